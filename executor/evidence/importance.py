"""What a metric depends on, and when that can be said at all. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from executor.errors import count
from executor.evidence.held import Held, kept_apart
from executor.evidence.interval import Estimate, estimate
from executor.evidence.parallel import axis
from executor.evidence.versus import Row
from executor.facts import Fact

PER_PARAMETER, FEWEST = 10, 20
"""So many runs it takes for each parameter that varies, and in all.

Ten observations for each explanatory variable is the rule of thumb of regression (Harrell, Regression Modeling
Strategies, 4.4). And a bootstrap sample leaves out 37 % of the runs: what a forest is worth is read off those, and of
fewer than seven nothing can be read.
"""
MOST_PARAMETERS = 30
MOST_VALUES = 12
"""A parameter with more different values is no choice between a few: runs are not grouped by it."""
METHOD = "random forests on 20 bootstrap samples: permutation importance, functional ANOVA, impurity"
UNEXPLAINED = "the parameters do not explain it: a forest predicts unseen runs no better than their mean does"


class Share(Fact):
    """A share of the variance of a metric, over bootstrap samples."""

    mean: float
    low: float
    """The 2.5th percentile."""
    high: float
    """The 97.5th."""


class Parameter(Fact):
    """One parameter that varies."""

    name: str
    kind: Literal["number", "category"]
    values: int
    """How many different ones it has, a missing one among them."""
    missing: int
    """Runs that do not have it."""
    total: Share
    """Permutation importance: the variance in which it has a part, alone or with others."""
    alone: Share
    """Functional ANOVA: what it explains whatever the others are."""
    impurity: Share
    """Mean decrease in impurity: its share of what all splits gain."""


class Pair(Fact):
    """Two parameters, and what they explain only together."""

    names: tuple[str, str]
    share: Share


class Level(Fact):
    """The runs that have one value of a parameter, whatever their others are."""

    value: str
    """As people read it; `missing` for runs that do not have the parameter."""
    over: Estimate
    """The metric over them."""


class Choice(Fact):
    """A parameter with few values, and the metric for each of them."""

    name: str
    levels: tuple[Level, ...]
    """In the order of the values."""

    @property
    def spread(self) -> float:
        """How far apart the means are, in the metric's unit."""
        means = [level.over.mean for level in self.levels]
        return max(means) - min(means)


class Importance(Fact):
    """What a metric depends on; no parameters where numbers would mean nothing: `problem` says why."""

    metric: str
    where: str
    """Which runs were asked for."""
    runs: int
    """Specs that were looked at: attempts of one spec count once, the last of them."""
    left_out: dict[str, int]
    """Runs that were found and do not count, by why."""
    parameters: tuple[Parameter, ...] = ()
    """The most important first."""
    pairs: tuple[Pair, ...] = ()
    """The strongest first, at most five."""
    choices: tuple[Choice, ...] = ()
    """Means by value, which a few runs tell already: the parameter whose means are furthest apart first."""
    constant: tuple[str, ...] = ()
    """Parameters that are the same in all runs."""
    tied: tuple[tuple[str, ...], ...] = ()
    """Parameters that only vary together: what is said of one of them may be the other's."""
    r2: float | None = None
    """Share of the variance of unseen runs that a forest predicts (out of bag); none when none was grown."""
    problem: str = ""
    seed: int = 0
    method: str = METHOD


def problem(values: Sequence[float], varying: Mapping[str, Sequence[Held]]) -> str:
    """Why nothing can be said of runs with these values and parameters that vary; empty when it can be tried."""
    needed = max(FEWEST, PER_PARAMETER * len(varying))
    if not values:
        return "no successful run has it as a finite number"
    if not varying:
        return "no parameter varies"
    if len(varying) > MOST_PARAMETERS:
        return f"{len(varying)} parameters vary, more than the {MOST_PARAMETERS} that are told apart"
    if len(values) < needed:
        takes = "takes" if len(varying) == 1 else "take"
        return f"too few runs: {len(values)} of the {needed} that {count(len(varying), 'varying parameter')} {takes}"
    if len(set(values)) == 1:
        return f"every run has the same value, {values[0]:g}: there is nothing to explain"
    return ""


def tied(varying: Mapping[str, Sequence[Held]]) -> Iterator[tuple[str, ...]]:
    """Parameters each of whose values always comes with the same value of the others."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, values in varying.items():
        order: dict[str, int] = {}
        pattern = tuple(order.setdefault(kept_apart(value), len(order)) for value in values)
        groups.setdefault(pattern, []).append(name)
    yield from (tuple(names) for names in groups.values() if len(names) > 1)


def choices(varying: Mapping[str, Sequence[Held]], numbers: Sequence[float]) -> list[Choice]:
    """The finite metric of runs by the values of each parameter that has few, if any value is that of two runs."""
    found = []
    for name, held in varying.items():
        groups: dict[str, list[float]] = {}
        for value, number in zip(held, numbers, strict=True):
            groups.setdefault(kept_apart(value), []).append(number)
        if 1 < len(groups) <= MOST_VALUES and len(groups) < len(numbers):
            line = axis(Row("", name, tuple({kept_apart(value): value for value in held}.values())))
            ordered = sorted(zip(line.places, groups, line.texts, strict=True))
            levels = tuple(Level(value=text, over=estimate(groups[key])) for _, key, text in ordered)
            found.append(Choice(name=name, levels=levels))
    return sorted(found, key=lambda one: -one.spread)
