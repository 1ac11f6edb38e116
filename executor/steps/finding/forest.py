"""Random forests over runs: how much of a metric each parameter explains. The same seed gives the same numbers.

Three measures are taken of forests that are grown on bootstrap samples of the runs (Efron 1979), one forest a sample,
so that each measure comes with the interval of its percentiles over the samples:

- permutation importance (Breiman 2001): how much worse the forest predicts the runs that its sample left out once one
  parameter is shuffled among them. Half of the squared error that this adds is the share of the variance in which the
  parameter has a part, alone or with others (the total effect; Jansen 1999, Gregorutti et al. 2017);
- mean decrease in impurity (Breiman 1984, Louppe et al. 2013): what the splits on a parameter gain, as a share of all;
- functional ANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014): the share of the forest's variance that a parameter
  explains alone, whatever the others are, and that two explain only together. It is that of the mean of the trees: a
  single one follows noise. The values that runs have are the measure, and not a box around them: it needs no bounds,
  and no guess whether an axis is logarithmic.

A number becomes its rank among the values that there are (trees see no more of it), anything else one column for each
category; the columns of one parameter are shuffled, summed up and integrated together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from executor.evidence.held import ABSENT, Held, is_number, kept_apart
from executor.evidence.importance import Share

SAMPLES, TREES, SHUFFLES = 20, 32, 4
MOST_LEVELS = 48
"""Values of one parameter that variance is integrated over."""
LEAF, MOST_LEAVES = 2, 200
"""Runs of the smallest leaf (one alone would be its noise), and how many leaves a tree has at most."""
MOST_PAIRED = 8
DRAWN = 2048
"""Points that the variance of a forest is estimated from, to some 3 %."""
PERCENTILES = (2.5, 97.5)
Array: TypeAlias = Any


@dataclass(frozen=True)
class Measured:
    """What the forests say of some parameters, in their order."""

    permutation: tuple[Share, ...]
    impurity: tuple[Share, ...]
    alone: tuple[Share, ...]
    together: dict[tuple[int, int], Share]
    """By two parameters, of the `MOST_PAIRED` that matter most: what they explain only together."""
    r2: float
    """Share of the variance of runs that a forest of all of them predicts without having seen them (out of bag)."""


@dataclass(frozen=True)
class _Encoded:
    """One parameter as columns."""

    columns: Array
    """Runs × columns."""
    levels: Array
    """Levels × columns: the values that there are, or as many of them as are integrated over."""
    weights: Array
    """How often runs have each level; they sum up to 1."""


def measure(parameters: Sequence[Sequence[Held]], values: Sequence[float], seed: int = 0) -> Measured:
    """Explain the finite `values` of n runs by what they have for each of the k `parameters` that vary.

    `parameters` is k columns of n values. Shares are of the variance, 0 to 1, k of each kind.
    """
    encoded = [_encoded(column) for column in parameters]
    inputs = np.hstack([one.columns for one in encoded])
    targets = np.asarray(values, dtype=np.float64)
    targets = targets / (np.abs(targets).max() or 1)  # squares of very large numbers are none
    targets = (targets - targets.mean()) / (targets.std() or 1)
    owner = np.repeat(np.arange(len(encoded)), [one.columns.shape[1] for one in encoded])
    whole = _grown(inputs, targets, seed, trees=4 * TREES, out_of_bag=True)
    ranked = np.argsort(-_impurity(whole, owner), kind="stable")[:MOST_PAIRED]
    pairs = list(combinations(sorted(ranked.tolist()), 2))
    random = np.random.default_rng(seed)
    taken = [_sample(inputs, targets, encoded, owner, pairs, random) for _ in range(SAMPLES)]
    permutation, impurity, alone, together = (np.vstack(part) for part in zip(*taken, strict=True))
    return Measured(_intervals(permutation), _intervals(impurity), _intervals(alone),
                    dict(zip(pairs, _intervals(together), strict=True)), float(whole.oob_score_))  # fmt: skip


def _sample(
    inputs: Array, targets: Array, encoded: Sequence[_Encoded], owner: Array, pairs: Sequence[tuple[int, int]],
    random: Any,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """All measures of one forest, grown on one bootstrap sample."""
    chosen = random.integers(0, len(targets), len(targets))
    left = np.setdiff1d(np.arange(len(targets)), chosen)
    forest = _grown(inputs[chosen], targets[chosen], int(random.integers(2**31)))
    shuffled = _shuffled(forest, inputs[left], targets[left], owner, random)
    return shuffled, _impurity(forest, owner), *_variance(forest, encoded, pairs, random)


def _impurity(forest: Any, owner: Array) -> Array:
    """Mean decrease in impurity, summed up over the columns of each parameter."""
    return np.bincount(owner, weights=forest.feature_importances_, minlength=owner.max() + 1)


def _grown(inputs: Array, targets: Array, seed: int, trees: int = TREES, *, out_of_bag: bool = False) -> Any:
    leaf = max(LEAF, len(targets) // MOST_LEAVES)
    forest = RandomForestRegressor(trees, min_samples_leaf=leaf, oob_score=out_of_bag, random_state=seed)
    return forest.fit(inputs, targets)


def _shuffled(forest: Any, inputs: Array, targets: Array, owner: Array, random: Any) -> Array:
    """Half of what shuffling each parameter adds to the squared error; the variance of all runs is 1."""
    number = owner.max() + 1
    worse = np.tile(inputs, (number, SHUFFLES, 1, 1))
    for parameter in range(number):
        for turn in range(SHUFFLES):
            order = random.permutation(len(inputs))
            worse[parameter, turn][:, owner == parameter] = inputs[order][:, owner == parameter]
    errors = (forest.predict(worse.reshape(-1, inputs.shape[1])).reshape(number, -1) - np.tile(targets, SHUFFLES)) ** 2
    return (errors.mean(axis=1) - ((forest.predict(inputs) - targets) ** 2).mean()) / 2


def _variance(
    forest: Any, encoded: Sequence[_Encoded], pairs: Sequence[tuple[int, int]], random: Any
) -> tuple[Array, Array]:  # fmt: skip
    """Shares of the forest's variance that parameters explain alone, and two of them only together.

    The marginals are exact: sums over leaves, averaged over the trees. The variance of the whole is that of points
    which are drawn.
    """
    singles = [np.zeros(len(one.levels)) for one in encoded]
    surfaces = [np.zeros((len(encoded[one].levels), len(encoded[other].levels))) for one, other in pairs]
    for estimator in forest.estimators_:
        values, reached = _leaves(estimator.tree_, encoded)
        some = [part @ one.weights for part, one in zip(reached, encoded, strict=True)]
        for at, part in enumerate(reached):
            singles[at] += (values * _others(some, at)) @ part / TREES
        for at, (one, other) in enumerate(pairs):
            weighted = (values * _others(some, one, other))[:, None] * reached[one]
            surfaces[at] += weighted.T @ reached[other] / TREES
    drawn = [one.levels[random.choice(len(one.levels), DRAWN, p=one.weights)] for one in encoded]
    total = forest.predict(np.hstack(drawn)).var() or 1.0
    mean = singles[0] @ encoded[0].weights
    alone = np.array([one.weights @ (single - mean) ** 2 for one, single in zip(encoded, singles, strict=True)])
    both = np.array([encoded[one].weights @ (surface - mean) ** 2 @ encoded[other].weights - alone[one] - alone[other]
                     for (one, other), surface in zip(pairs, surfaces, strict=True)])  # fmt: skip
    return alone / total, np.maximum(both, 0) / total


def _others(some: Sequence[Array], *left_out: int) -> Array:
    """The share of each leaf in all parameters but these."""
    return np.prod([one for at, one in enumerate(some) if at not in left_out] or [np.ones_like(some[0])], axis=0)


def _leaves(tree: Any, encoded: Sequence[_Encoded]) -> tuple[Array, list[Array]]:
    """Value of each leaf, and for each parameter (leaves × levels) which of its levels lead there."""
    starts = np.cumsum([0, *(one.levels.shape[1] for one in encoded)])
    owner = np.repeat(np.arange(len(encoded)), np.diff(starts))
    values, reached = [], []
    nodes = [(0, [np.ones(len(one.levels), dtype=bool) for one in encoded])]
    while nodes:
        node, levels = nodes.pop()
        if tree.children_left[node] < 0:
            values.append(tree.value[node, 0, 0])
            reached.append(levels)
            continue
        column = tree.feature[node]
        which = owner[column]
        below = encoded[which].levels[:, column - starts[which]] <= tree.threshold[node]
        for child, side in ((tree.children_left[node], below), (tree.children_right[node], ~below)):
            nodes.append((child, [*levels[:which], levels[which] & side, *levels[which + 1 :]]))
    return np.array(values), [np.array(part, dtype=float) for part in zip(*reached, strict=True)]


def _encoded(values: Sequence[Held]) -> _Encoded:
    """A parameter as columns, and the levels of it."""
    columns = _ranks(values) if all(is_number(value) or value is ABSENT for value in values) else _categories(values)
    levels, often = np.unique(columns, axis=0, return_counts=True)
    if len(levels) > MOST_LEVELS:  # evenly many runs apart
        places = ((np.arange(MOST_LEVELS) + 0.5) / MOST_LEVELS * len(values)).astype(int)
        levels, often = np.unique(columns[np.lexsort(columns.T[::-1])][places], axis=0, return_counts=True)
    return _Encoded(columns, levels, often / often.sum())


def _ranks(values: Sequence[Held]) -> Array:
    """A column of numbers, and one that says where there is none if some run has none."""
    order = {value: rank for rank, value in enumerate(sorted({value for value in values if value is not ABSENT}))}  # type: ignore[type-var]  # numbers
    return np.array([[order.get(value, -1), *([value is ABSENT] if ABSENT in values else [])] for value in values],
                    dtype=float)  # fmt: skip


def _categories(values: Sequence[Held]) -> Array:
    """One column for each value."""
    words = [kept_apart(value) for value in values]
    return np.array([[word == name for name in sorted(set(words))] for word in words], dtype=float)


def _intervals(samples: Array) -> tuple[Share, ...]:
    low, high = np.percentile(samples, PERCENTILES, axis=0)
    rows = zip(samples.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    return tuple(Share(mean=mean, low=least, high=most) for mean, least, most in rows)
