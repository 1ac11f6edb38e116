"""What the model's annotations say about a place in a spec: its fields, its words, whether it is text. Pure: no I/O."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from executor.spec.canonical import Digest
from executor.spec.complaints import Place
from executor.spec.scalars import ImageRef


def base(annotation: Any) -> Any:
    """The type itself, without `Annotated` and `| None`."""
    if get_origin(annotation) is Annotated:
        return base(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return base(next(part for part in get_args(annotation) if part is not NoneType))
    return annotation


def optional(annotation: Any) -> bool:
    """Whether `None` is a value of it."""
    if get_origin(annotation) is Annotated:
        return optional(get_args(annotation)[0])
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)


def is_model(annotation: Any) -> bool:
    """Whether it is a section with fields of its own."""
    found = base(annotation)
    return isinstance(found, type) and issubclass(found, BaseModel)


def fields(annotation: Any) -> dict[str, FieldInfo]:
    """Fields of a section by name; empty for anything else."""
    model = base(annotation)
    return dict(model.model_fields) if is_model(model) else {}


def inner(annotation: Any, step: str | int) -> Any:
    """Annotation of what is found one step inside; `Any` where the model says nothing."""
    if is_model(annotation):
        field = fields(annotation).get(str(step))
        return field.annotation if field else Any
    arguments = get_args(base(annotation))
    if get_origin(base(annotation)) is tuple:
        return arguments[0]
    return arguments[1] if get_origin(base(annotation)) is Mapping else Any


def field_at(model: type[BaseModel], place: Place) -> tuple[Any, FieldInfo | None]:
    """Annotation of a place, and the field when the place is one."""
    annotation: Any = model
    field: FieldInfo | None = None
    for step in place:
        field = fields(annotation).get(str(step))
        annotation = inner(annotation, step)
    return annotation, field


def is_text(annotation: Any) -> bool:
    """Whether a scalar here is text, and so means exactly the characters that were written."""
    found = base(annotation)
    return found in (str, Digest, ImageRef) or all(isinstance(word, str) for word in words(found) or [0])


def words(annotation: Any) -> tuple[Any, ...]:
    """The allowed values where there are only a few."""
    found = base(annotation)
    return get_args(found) if get_origin(found) is Literal else ()


@cache
def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field, inherited ones included.

    pydantic's `use_attribute_docstrings` reads the source at import: 60 ms of every start for what few starts need.
    """
    found: dict[str, str] = {}
    for owner in reversed([cls for cls in model.__mro__ if issubclass(cls, BaseModel) and cls is not BaseModel]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        found |= _documented(body.body) if isinstance(body, ast.ClassDef) else {}
    return found


def _documented(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for line, below in pairwise(body):
        match line, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
