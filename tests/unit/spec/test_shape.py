from typing import Any

from pydantic import BaseModel

from executor.spec.model import Draft, Spec
from executor.spec.shape import descriptions, field_at, fields, inner, is_model, is_text, optional, words


def text_places(model: Any, place: str = "") -> set[str]:
    """Every place of a model where a scalar is text."""
    found: set[str] = set()
    for name, field in fields(model).items():
        here = f"{place}{name}"
        inside = inner(field.annotation, "")
        if is_model(field.annotation):
            found |= text_places(field.annotation, f"{here}.")
        elif is_model(inside):
            found |= text_places(inside, f"{here}.*.")
        elif is_text(field.annotation):
            found.add(here)
        elif inside is not Any and is_text(inside):
            found.add(f"{here}.*")
    return found


def test_text_places_of_a_spec() -> None:
    assert text_places(Spec) == {
        *(
            "name",
            "image",
            "code.commit",
            "code.repo",
            "data.*.hash",
            "data.*.source",
            "command.*",
            "gpu.type",
            "cpu.isa",
        ),
        *("env.*", "workdir", "determinism", "tier", "outputs.weights.*", "outputs.metrics", "outputs.ignore.*"),
        *("metrics.stdout", "secrets.*", "labels.*"),
    }


def test_a_draft_has_a_branch_too() -> None:
    assert text_places(Draft) == text_places(Spec) | {"code.branch"}


def test_numbers_and_parameters_are_not_text() -> None:
    for place in (("seed",), ("params", "x"), ("params", "x", 0), ("network",), ("resources", "memory"), ("nowhere",)):
        assert not is_text(field_at(Spec, place)[0])


def test_fields_are_found_with_their_limits() -> None:
    annotation, field = field_at(Spec, ("gpu", "count"))
    assert annotation is int
    assert field
    assert not field.is_required()
    assert field_at(Spec, ("command", 0))[1] is None


def test_none_and_words() -> None:
    assert optional(Spec.model_fields["gpu"].annotation)
    assert not optional(Spec.model_fields["cpu"].annotation)
    assert words(Spec.model_fields["tier"].annotation) == ("native", "portable")
    assert words(Spec.model_fields["seed"].annotation) == ()


def documented(model: type[BaseModel]) -> list[type[BaseModel]]:
    inside = [inner(f.annotation, "") if not is_model(f.annotation) else f.annotation for f in fields(model).values()]
    sections = [field_at(model, (name,))[0] for name in model.model_fields] + inside
    from executor.spec.shape import base

    return [model, *(base(section) for section in sections if is_model(section))]


def test_every_field_has_a_sentence_under_it() -> None:
    for model in {*documented(Spec), *documented(Draft)}:
        assert all(descriptions(model).get(name, "").endswith(".") for name in model.model_fields), model
