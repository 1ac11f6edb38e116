"""Hints where code and data may be found; a relative path counts from the spec file's folder. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from executor.spec.model import Request

R = TypeVar("R", bound=Request)


def located(request: R, folder: Path) -> R:
    """The same request with `code.repo` and `data.*.source` that are relative paths joined to `folder`."""
    return _changed(request, lambda hint: f"{folder}/{hint}" if _is_relative(hint) else hint)


def relative(request: R, folder: Path) -> R:
    """The inverse of `located`: hints below `folder` as they stood in the file, `..` and all."""

    def shortened(hint: str) -> str:
        rest = hint.removeprefix(f"{folder}/")
        return rest if _is_relative(rest) else hint

    return _changed(request, shortened)


def _changed(request: R, change: Callable[[str], str]) -> R:
    plain = request.model_dump()
    for section, key in [(plain["code"], "repo"), *((data, "source") for data in plain["data"].values())]:
        if section:
            section[key] = change(section[key])
    return type(request).model_validate(plain)


def _is_relative(hint: str) -> bool:
    """Whether it is a path that counts from somewhere: nothing special in front, no scheme, no `host:path`."""
    return not re.match(r"$|[/~-]|[^/]+:", hint)
