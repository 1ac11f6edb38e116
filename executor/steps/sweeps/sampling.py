"""Samplers choose the next points of a sweep from what came of the earlier ones: Optuna, asked and told.

The same seed and the same results, told in the same order, give the same points: a sweep that is begun again asks for
what it asked for before, and the store answers. Optuna is an extra: `pip install "repro-executor[sweep]"`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from executor.errors import UsageError
from executor.spec.canonical import canonical_bytes
from executor.spec.ranges import Axis, Range, values
from executor.spec.sweep import Objective, Sampler

DIGITS = 6
"""Digits of a number between two: processors that compute its last bits in other ways then give the same number."""


class Sampling:
    """One search; `batches` asks for points, and after each batch `tell` says what came of it.

    Raises `UsageError` when Optuna is not installed.
    """

    def __init__(self, sampler: Sampler, objective: Objective) -> None:
        self._optuna = optuna = _optuna()
        self._asked = sampler
        self._choices = {name: _distribution(axis, optuna.distributions) for name, axis in sampler.space.items()}
        self._study = optuna.create_study(sampler=_sampler(sampler, optuna.samplers), direction=objective.direction)
        self._open: list[Any] = []
        self.version: str = optuna.__version__
        """Of Optuna: another one may choose other points."""

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """Points as values by parameter."""
        left = self._asked.most
        while left:
            self._open = [self._study.ask(self._choices) for _ in range(min(self._asked.batch, left))]
            left -= len(self._open)
            yield [self._values(trial.params) for trial in self._open]

    def tell(self, results: Sequence[float | None]) -> None:
        """The metric at each point of the last batch, in its order; none where the point failed."""
        if self._asked.kind == "grid":  # does not look, and would end a study that runs nothing by itself
            return
        for trial, result in zip(self._open, results, strict=True):
            if result is None or math.isnan(result):
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, result)

    def _values(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _value(axis, chosen[name]) for name, axis in self._asked.space.items()}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError("a sweep with a sampler needs Optuna, which is not installed",
                         advice='pip install "repro-executor[sweep]"') from None  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _sampler(asked: Sampler, samplers: Any) -> Any:
    if asked.kind == "tpe":
        return samplers.TPESampler(seed=asked.seed)
    if asked.kind == "random":
        return samplers.RandomSampler(seed=asked.seed)
    grid = {name: list(_choices(axis)) for name, axis in asked.space.items()}
    return samplers.GridSampler(grid, seed=asked.seed)


def _distribution(axis: Axis, distributions: Any) -> Any:
    """What Optuna chooses from: numbers where they are ordered, places in a range, else texts."""
    if not isinstance(axis, Range):
        return distributions.CategoricalDistribution(list(_choices(axis)))
    if axis.count:
        return distributions.IntDistribution(0, axis.count - 1)
    kind = distributions.IntDistribution if axis.whole else distributions.FloatDistribution
    return kind(axis.low, axis.high, log=axis.log)


def _choices(axis: Axis) -> Iterator[int | str]:
    """A finite axis as Optuna has it: the places in a range, the values of a list as texts, each once."""
    if isinstance(axis, Range):
        yield from range(axis.count)
    else:
        yield from dict.fromkeys(canonical_bytes(value).decode() for value in values(axis))


def _value(axis: Axis, chosen: Any) -> Any:
    """The value that a choice stands for."""
    if not isinstance(axis, Range):
        return json.loads(chosen)
    if axis.count:
        return axis[chosen]
    if axis.whole:
        return chosen
    return _rounded(chosen, float(axis.low), float(axis.high))


def _rounded(chosen: float, low: float, high: float) -> float:
    """A number between two with as many digits as tell it from its neighbours in a range of this width."""
    if chosen == 0:
        return 0.0
    scale = min(high - low, abs(chosen))
    return min(max(round(chosen, DIGITS - 1 - math.floor(math.log10(scale))), low), high)
