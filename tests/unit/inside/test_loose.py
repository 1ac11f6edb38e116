from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from executor.inside.loose import ByHand


class Optimizer:
    """In place of torch's."""


class Recorder:
    """A trace that remembers what it was told."""

    def __init__(self, *parameters: Any) -> None:
        self.roots = [SimpleNamespace(parameters=lambda: parameters)] if parameters else []
        self.told: list[str] = []

    def before(self, _: Any) -> None:
        self.told.append("before")

    def after(self, _: Any) -> None:
        self.told.append("after")


def torch() -> Any:
    tensor = type("Tensor", (), {"backward": lambda self: None})
    return SimpleNamespace(Tensor=tensor, optim=SimpleNamespace(Optimizer=type("Made", (Optimizer,), {})))


def test_a_backward_pass_ends_in_a_step_when_the_next_forward_begins() -> None:
    library, trace = torch(), Recorder("weight")
    by_hand = ByHand(library, trace)  # type: ignore[arg-type]
    library.Tensor().backward()
    assert trace.told == ["before"]
    library.Tensor().backward()
    assert trace.told == ["before"], "gradients of two passes are one step"
    by_hand.close()
    by_hand.close()
    assert trace.told == ["before", "after"]
    assert by_hand.param_groups == [{"params": ["weight"]}]


def test_a_program_with_an_optimizer_is_left_to_it() -> None:
    library, trace = torch(), Recorder("weight")
    ByHand(library, trace)  # type: ignore[arg-type]
    library.optim.Optimizer()
    library.Tensor().backward()
    assert trace.told == []


def test_without_a_module_there_is_nothing_to_look_at() -> None:
    library, trace = torch(), Recorder()
    ByHand(library, trace)  # type: ignore[arg-type]
    library.Tensor().backward()
    assert trace.told == []
