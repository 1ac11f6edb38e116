"""Functions whose importance is known, and forests that are asked for it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from executor.evidence.held import ABSENT

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")
from executor.steps.finding.forest import Measured, measure  # noqa: E402 - only with scikit-learn

RUNS = 160


def planted(seed: int = 0, runs: int = RUNS) -> tuple[Any, ...]:
    """Four columns of uniform numbers, and one of three letters."""
    random = np.random.default_rng(seed)
    return (*(random.random(runs) for _ in range(4)), random.choice(["x", "y", "z"], runs))


def explain(*columns: Any, values: Any, seed: int = 0) -> Measured:
    return measure([column.tolist() if hasattr(column, "tolist") else column for column in columns], list(values), seed)


@pytest.fixture(scope="module")
def additive() -> Measured:
    """4a + 2b: variances 16 to 4, so 0.8 and 0.2; c has no part."""
    a, b, c, *_ = planted()
    return explain(a, b, c, values=4 * a + 2 * b)


def test_an_additive_function_is_shared_out_by_its_variances(additive: Measured) -> None:
    assert additive.r2 > 0.95
    for measured in (additive.permutation, additive.impurity, additive.alone):
        assert [share.mean for share in measured] == pytest.approx([0.8, 0.2, 0], abs=0.07)


def test_an_additive_function_has_no_interactions(additive: Measured) -> None:
    assert set(additive.together) == {(0, 1), (0, 2), (1, 2)}
    assert max(share.mean for share in additive.together.values()) < 0.06


def test_intervals_lie_around_their_means(additive: Measured) -> None:
    for share in (*additive.permutation, *additive.impurity, *additive.alone):
        assert share.low <= share.mean <= share.high
    assert additive.permutation[2].low <= 0.005
    assert additive.permutation[1].low > additive.permutation[2].high


def test_the_same_seed_gives_the_same_numbers(additive: Measured) -> None:
    a, b, c, *_ = planted()
    assert explain(a, b, c, values=4 * a + 2 * b) == additive
    assert explain(a, b, c, values=4 * a + 2 * b, seed=1) != additive


def test_what_two_explain_only_together_is_theirs_and_no_ones_alone() -> None:
    a, b, _, _, letter = planted()
    found = explain(a > 0.5, b > 0.5, letter, values=(a > 0.5) ^ (b > 0.5))
    assert found.together[0, 1].mean > 0.85
    assert max(share.mean for share in found.alone) < 0.1
    assert [share.mean for share in found.permutation] == pytest.approx([1, 1, 0], abs=0.15)


def test_a_product_is_both_alone_and_together() -> None:
    a, b, c, *_ = planted(runs=400)
    found = explain(a, b, c, values=a * b)  # 3/7 each, 1/7 together
    assert [share.mean for share in found.alone] == pytest.approx([0.43, 0.43, 0], abs=0.08)
    assert found.together[0, 1].mean == pytest.approx(0.14, abs=0.05)


def test_a_category_is_one_parameter_whatever_its_columns() -> None:
    a, *_, letter = planted()
    found = explain(a, letter, values=a + 3 * (letter == "x"))  # variances 1/12 and 2
    for measured in (found.permutation, found.impurity, found.alone):
        assert [share.mean for share in measured] == pytest.approx([0.04, 0.96], abs=0.06)


def test_a_missing_value_is_a_value_of_its_own() -> None:
    a, b, c, *_ = planted()
    held = [ABSENT if missing else value for value, missing in zip(b.tolist(), c > 0.5, strict=True)]
    found = explain(a, held, values=a + 3 * (c > 0.5))
    assert found.permutation[1].mean == pytest.approx(9 / 4 / (9 / 4 + 1 / 12), abs=0.1)


def test_a_scale_does_not_matter() -> None:
    a, b, *_ = planted()
    plain, wide = (explain(column, b, values=a + b) for column in (a, 10 ** (600 * a - 300)))
    assert plain == wide
    large = explain(a, b, values=(a + b) * 1e300)
    assert [share.mean for share in large.alone] == pytest.approx([share.mean for share in plain.alone], abs=0.02)


def test_what_parameters_do_not_explain_is_not_explained() -> None:
    a, b, c, *_ = planted()
    assert explain(a, b, values=np.random.default_rng(7).normal(size=RUNS)).r2 <= 0.1
    assert math.isfinite(explain(a, b, values=c).r2)
