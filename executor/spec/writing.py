"""Specs and drafts as YAML text that reads back to exactly the same value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from executor.errors import Issue, SpecError
from executor.spec.hints import relative
from executor.spec.model import ORDER, Request
from executor.spec.notation import MAX_BYTES, block


def spec_text(request: Request, *, header: str = "", folder: Path | None = None) -> str:
    """The YAML that reads back to exactly `request`; hints below `folder` are written relative to it."""
    if folder:
        request = relative(request, folder)
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    return "\n".join([*lines, *block(_written(request))]) + "\n"


def write_spec(request: Request, path: Path, header: str = "") -> None:
    """Write a spec or draft file in one step; `header` becomes comment lines. Raises `SpecError` when it is too big."""
    text = spec_text(request, header=header, folder=path.parent.absolute()).encode()
    if len(text) > MAX_BYTES:
        raise SpecError([Issue(f"would be {len(text)} bytes; a spec has at most {MAX_BYTES}")], path=str(path))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(text)
    partial.replace(path)


def _written(request: Request) -> dict[str, Any]:
    """The fields of a spec file in their usual order, without those that say nothing."""
    plain = request.model_dump()
    plain |= {key: plain[key] or "none" for key in ("code", "gpu")}
    for section in [plain["code"], plain["outputs"], plain["metrics"], plain["resources"], *plain["data"].values()]:
        for key in [key for key, item in section.items() if item is None] if isinstance(section, dict) else ():
            del section[key]
    return {key: plain[key] for key in ORDER if plain[key] not in ({}, [])}
