"""From pydantic's errors to one sentence each: what is wrong, what was expected, what to do. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from executor.spec.complaints import Place, shown
from executor.spec.model import ORDER, Draft, Spec
from executor.spec.shape import base, descriptions, field_at, fields, is_model, is_text, optional, words

_YAML_11 = ("yes", "no", "on", "off", "y", "n")


@dataclass(frozen=True)
class Problem:
    """One complaint about a place in a spec."""

    place: Place
    message: str
    unpinned: bool = False
    """Whether a draft could leave it so, and `lock` would settle it."""


def problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Every problem that pydantic found in a value for `model`, in its order."""
    return [_problem(details, model) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails, model: type[BaseModel]) -> Problem:
    place = tuple(details["loc"])
    if details["type"] in ("spec", "unpinned"):
        return Problem(place, details["msg"], details["type"] == "unpinned")
    if details["type"] == "missing":
        return _missing(place, model)
    if details["type"] == "extra_forbidden":
        return _unknown(place, model)
    annotation, field = field_at(model, place)
    value = details["input"]
    message = f"expected {expectation(annotation, field)}, found {shown(value)}{_hint(annotation, field, value)}"
    return Problem(place, message)


def _missing(place: Place, model: type[BaseModel]) -> Problem:
    meaning = descriptions(base(field_at(model, place[:-1])[0]))[str(place[-1])]
    pins = place == ("code", "commit") or (place[0] == "data" and place[-1] == "hash")
    advice = "; `executor lock` finds it" if pins else ""
    return Problem(place, f"missing: {meaning[0].lower()}{meaning[1:].rstrip('.')}{advice}", unpinned=pins)


def _unknown(place: Place, model: type[BaseModel]) -> Problem:
    key = str(place[-1])
    known = list(fields(field_at(model, place[:-1])[0])) if place[:-1] else list(ORDER)
    if model is Spec and field_at(Draft, place)[1]:
        return Problem(place, f"only a draft has `{key}`; `executor lock` puts the commit in its place", unpinned=True)
    close = get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    advice = f"did you mean `{close[0]}`?" if close else f"expected {_listed(known)}"
    return Problem(place, f"unknown field; {advice}")


def expectation(annotation: Any, field: FieldInfo | None = None) -> str:
    """What belongs here, in words, limits included."""
    kind = base(annotation)
    limits = {type(limit).__name__: limit for limit in (field.metadata if field else ())}
    if allowed := words(annotation):
        text = _listed(allowed)
    elif is_model(annotation):
        text = f"a mapping with {_listed(list(fields(annotation)), last='and')}"
    elif kind is int and "Ge" in limits:
        text = f"a whole number from {limits['Ge'].ge} to {limits['Le'].le}"
    elif get_origin(kind) is tuple:
        text = "a list of at least one text" if "MinLen" in limits else "a list of texts"
    elif get_origin(kind) is Mapping:
        text = "a mapping"
    else:
        text = {int: "a whole number", bool: "true or false"}.get(kind, "text")
        text += " that is not empty" if "MinLen" in limits else ""
    return f"{text}, or none" if optional(annotation) and is_model(annotation) else text


def _hint(annotation: Any, field: FieldInfo | None, value: Any) -> str:
    """What to do, for the mistakes that are made most."""
    kind = base(annotation)
    container = is_model(annotation) or get_origin(kind) in (tuple, Mapping)
    if value is None and container and field and not field.is_required():
        return "; leave the field out to take its default"
    if get_origin(kind) is tuple and isinstance(value, str):
        return "; write a list: [a, b]"
    if kind is bool and isinstance(value, str) and value.lower() in _YAML_11:
        return "; yes, no, on and off are text in YAML 1.2"
    if kind is int and isinstance(value, str) and value.strip("+-").isdigit():
        return "; write it without quotes"
    if kind is int and isinstance(value, float) and value.is_integer():
        return "; write it without a point or an exponent"
    return "; write it with quotes" if is_text(annotation) and isinstance(value, (bool, int, float)) else ""


def dotted(place: Place) -> str:
    """A place as people write it: `data.digits.hash`, `command[2]`."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{_step(step)}" for step in place]
    return "".join(steps).removeprefix(".")


def _step(key: str) -> str:
    return key if re.fullmatch(r"[\w./<-]{1,128}", key) else shown(key)


def _listed(names: Any, last: str = "or") -> str:
    shown_names = [f"`{name}`" for name in names]
    return " ".join([", ".join(shown_names[:-1]), last, shown_names[-1]]) if len(shown_names) > 1 else shown_names[0]
