"""Spec files: strict YAML 1.2 to a `Spec` or a `Draft` and back, with file, line and column in every complaint.

PyYAML only splits the text into events (its pure Python part, so that every machine reads alike); what they mean is
decided here. Scalars follow YAML 1.2's core schema, except that a field that is text takes the characters as written:
a commit of digits, `lr: 0.1` as a word of the command and `no` as a variable's value all stay what they look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import yaml
from pydantic import ValidationError

from executor.errors import Issue, SpecError
from executor.spec.complaints import Place, shown
from executor.spec.hints import located
from executor.spec.messages import dotted, problems
from executor.spec.model import Draft, Request, Spec
from executor.spec.notation import MAX_BYTES, NULL, core_scalar, decoded
from executor.spec.shape import inner, is_text, optional
from executor.spec.writing import spec_text, write_spec

__all__ = ["load_draft", "load_spec", "located", "parse_draft", "parse_spec", "spec_text", "write_spec"]

R = TypeVar("R", bound=Request)
_Event: TypeAlias = Any
"""One of PyYAML's events; its type stubs leave out half of their fields."""
_Events: TypeAlias = Iterator[_Event]

MAX_DEPTH = 20
MAX_ISSUES = 50

LOCK_ADVICE = "this is a draft: `executor lock` pins it, `executor submit --lock` pins and runs it"

_UNWANTED = object()
"""Stands where the reader has already complained, so that the model is checked around it."""


def parse_spec(text: bytes, path: str) -> Spec:
    """Read a spec; raises `SpecError` with every problem, and advice to lock when it is a draft."""
    return _parse(text, path, Spec)


def parse_draft(text: bytes, path: str) -> Draft:
    """Read a draft, which may also be a spec; raises `SpecError` with every problem."""
    return _parse(text, path, Draft)


def load_spec(path: Path) -> Spec:
    """Read a spec file; its relative hints become absolute, counted from the file's folder."""
    return located(parse_spec(read_file(path), str(path)), path.parent.absolute())


def load_draft(path: Path) -> Draft:
    """Read a draft file; its relative hints become absolute, counted from the file's folder."""
    return located(parse_draft(read_file(path), str(path)), path.parent.absolute())


def read_file(path: Path, absent: str = "`executor init` writes a starter spec") -> bytes:
    """The bytes of a YAML file of ours; raises `SpecError` for one that cannot be read, `absent` its advice."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        advice = absent if isinstance(error, FileNotFoundError) else ""
        problem = (getattr(error, "strerror", None) or str(error)).lower()
        raise SpecError([Issue(f"cannot be read: {problem}")], path=str(path), advice=advice) from None


def _parse(text: bytes, path: str, model: type[R]) -> R:
    reader = Reader(decoded(text, path))
    plain = reader.read(model)
    pins: list[bool] = []
    try:
        request = model.model_validate(plain)
    except ValidationError as error:
        for problem in problems(error, model):
            pins += [problem.unpinned] * reader.complain(problem.place, problem.message)
    if reader.issues:
        advice = LOCK_ADVICE if sum(pins) == len(reader.issues) else ""
        raise SpecError(shortened(reader.issues), path=path, advice=advice)
    return request


def shortened(issues: list[Issue]) -> list[Issue]:
    """The first issues of a file, in its order, and how many more there are."""
    ordered = sorted(issues, key=lambda issue: (issue.line, issue.column))
    rest = len(ordered) - MAX_ISSUES
    return ordered[:MAX_ISSUES] + ([Issue(f"and {rest} more problems")] if rest > 0 else [])


class _Unreadable(Exception):
    """Nothing after this can be read."""


@dataclass
class Reader:
    """One pass over the events of a file: plain values for the model, the place of each, and complaints."""

    text: str
    issues: list[Issue] = field(default_factory=list)
    marks: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """Line and column of each place: of its key, or of the item of a list."""
    broken: set[Place] = field(default_factory=set)

    def read(self, model: type[Request]) -> Any:
        """Plain data, shaped for `model`; after a syntax error nothing of it counts."""
        try:
            return self._document(_events(self.text), model)
        except yaml.MarkedYAMLError as error:
            mark: Any = error.problem_mark or error.context_mark
            self.issues.append(Issue(_syntax(error), "", *_position(mark)))
        except _Unreadable:
            pass
        self.broken.add(())
        return _UNWANTED

    def complain(self, place: Place, message: str) -> bool:
        """Add a complaint of the model, unless the reader has complained there already; true when it was added."""
        if any(place[:n] in self.broken for n in range(len(place) + 1)):
            return False
        known = next(place[:n] for n in range(len(place), -1, -1) if place[:n] in self.marks)
        self.issues.append(Issue(message, dotted(place), *self.marks[known]))
        return True

    def _refuse(self, event: _Event, place: Place, message: str) -> None:
        self.issues.append(Issue(message, dotted(place), *_position(event.start_mark)))
        self.broken.add(place)

    def _stop(self, event: _Event, place: Place, message: str) -> _Unreadable:
        self._refuse(event, place, message)
        return _Unreadable()

    def _document(self, events: _Events, model: type[Request]) -> Any:
        next(events)
        start = next(events)
        if isinstance(start, yaml.StreamEndEvent):
            raise self._stop(start, (), "the file is empty; a spec is a mapping that starts with `version: 1`")
        if start.tags or start.version not in (None, (1, 2)):
            raise self._stop(start, (), "a spec has no directives; leave out the line that starts with %")
        root = next(events)
        self.marks[()] = _position(root.start_mark)
        if not isinstance(root, yaml.MappingStartEvent):
            raise self._stop(root, (), f"expected a mapping that starts with `version: 1`, found {_kind(root)}")
        plain = self._value(root, events, model, ())
        next(events)
        if not isinstance(after := next(events), yaml.StreamEndEvent):
            raise self._stop(after, (), "a file holds one spec; found a second document")
        return plain

    def _value(self, event: _Event, events: _Events, annotation: Any, place: Place) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, place, f"aliases are not read: write the value out instead of *{event.anchor}")
            return _UNWANTED
        if event.anchor:
            self._refuse(event, place, f"anchors are not read: leave out &{event.anchor}")
        if event.tag:
            self._refuse(event, place, f"tags are not read: leave out {_tag(event.tag)}")
        if len(place) > MAX_DEPTH:
            raise self._stop(event, place[:3], f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, annotation, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, annotation, place)
        return self._scalar(event, annotation, place)

    def _sequence(self, events: _Events, annotation: Any, place: Place) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            here = (*place, len(items))
            self.marks[here] = _position(event.start_mark)
            items.append(self._value(event, events, inner(annotation, len(items)), here))
        return items

    def _mapping(self, events: _Events, annotation: Any, place: Place) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._stop(event, place, f"a key is text, found {_kind(event)}")
            here = (*place, event.value)
            if event.anchor or event.tag:
                self._refuse(event, here, "anchors and tags are not read: leave them out")
            if event.value == "<<" and event.implicit[0]:
                self._refuse(event, here, "merge keys are not read: write the fields out")
            if event.value in items:
                self._refuse(event, here, f"given twice; first on line {self.marks[here][0]}")
            self.marks.setdefault(here, _position(event.start_mark))
            items[event.value] = self._value(next(events), events, inner(annotation, event.value), here)
        return items

    def _scalar(self, event: _Event, annotation: Any, place: Place) -> Any:
        text: str = event.value
        if re.search("[\ud800-\udfff]", text):
            self._refuse(event, place, "half of a surrogate pair is not a character; write \\U and eight digits")
            return ""
        if not event.implicit[0] or (is_text(annotation) and not (optional(annotation) and text in NULL)):
            return text
        try:
            return core_scalar(text)
        except ValueError as error:
            self._refuse(event, place, f"{error}; write it as quoted text" if annotation is Any else str(error))
            return None


def _events(text: str) -> _Events:
    """Events of a file; raises `yaml.MarkedYAMLError`, also where PyYAML itself fails over an escape or a version."""
    loader: Any = yaml.SafeLoader(text)
    while True:
        try:
            if not loader.check_event():
                return
            event = loader.get_event()
        except (ValueError, OverflowError) as error:
            problem = "found a number that is out of range"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=loader.get_mark()) from error
        yield event


def _position(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _kind(event: _Event) -> str:
    if isinstance(event, yaml.MappingStartEvent):
        return "a mapping"
    if isinstance(event, yaml.SequenceStartEvent):
        return "a list"
    return "an alias" if isinstance(event, yaml.AliasEvent) else "a single value"


def _tag(tag: str) -> str:
    return shown(tag.replace("tag:yaml.org,2002:", "!!"))


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "not YAML: a tab stands where only spaces may; indent with spaces"
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{context}"
