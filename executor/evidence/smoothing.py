"""A noisy series made smooth, as it is read. Pure: no I/O.

The moving average is exponential and free of the bias towards zero at its start: each sum is divided by the sum of its
weights, as in Adam (Kingma and Ba 2015, section 3) and in TensorBoard. NaN and infinity stay where they are and do not
count: one of them must not swallow all that comes after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from executor.evidence.series import Stretch


def smoothed(stretches: Iterable[Stretch], weight: float) -> Iterator[Stretch]:
    """The series with every value in the place of which stands the average up to there.

    `weight`, from 0 (as it is) to below 1, is what stays of the average at each new value; `ValueError` for others.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"expected a weight from 0 to below 1, found {weight}")
    total = weights = 0.0
    for stretch in stretches:
        values = []
        for value in stretch.values:
            if math.isfinite(value):
                total = weight * total + (1 - weight) * value
                weights = weight * weights + (1 - weight)
                value = total / weights
            values.append(value)
        yield replace(stretch, values=values)
