from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from executor.errors import UsageError
from executor.spec.sweep import Sampler, parse_sweep
from executor.steps.sweeps.sampling import Sampling

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="Optuna, the extra `sweep`, is not installed"
)
OPEN = "{params.lr: {from: 0.00001, to: 0.1, scale: log}, params.width: {from: 1, to: 100}}"
FINITE = "{params.lr: {from: 0.1, to: 0.5, step: 0.1}, params.opt: [adam, 1, 1.0, null, [1, 2]]}"


def search(kind: str, space: str, *, seed: int = 3, batch: int = 1, trials: int = 30) -> Sampling:
    sampler = f"{{kind: {kind}, seed: {seed}, trials: {trials}, batch: {batch}, space: {space}}}"
    text = f"version: 1\nspec: a\nobjective: {{metric: loss, direction: minimize}}\nsampler: {sampler}\n"
    asked = parse_sweep(text.encode(), "s.yaml").asked
    assert isinstance(asked.sampler, Sampler)
    assert asked.objective is not None
    return Sampling(asked.sampler, asked.objective)


def chosen(sampling: Sampling, judge: Callable[[dict[str, Any]], float | None]) -> list[dict[str, Any]]:
    found = []
    for batch in sampling.batches():
        found += batch
        sampling.tell([judge(point) for point in batch])
    return found


def valley(point: dict[str, Any]) -> float:
    return float(abs(point["params.lr"] - 0.01) + abs(point.get("params.width", 40) - 40))


@needs_optuna
@pytest.mark.parametrize(("kind", "space"), [("tpe", OPEN), ("random", OPEN), ("tpe", FINITE), ("grid", FINITE)])
def test_a_seed_and_results_give_the_same_points(kind: str, space: str) -> None:
    once, again, other = (chosen(search(kind, space, seed=seed), valley) for seed in (3, 3, 4))
    assert repr(once) == repr(again)
    assert repr(once) != repr(other)


@needs_optuna
@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_trial_depends_on_earlier_trials_alone(kind: str) -> None:
    def turned(point: dict[str, Any]) -> float:
        turned_from.append(point)
        return valley(point) * (1 if len(turned_from) <= 20 else -1)

    turned_from: list[dict[str, Any]] = []
    before, after = chosen(search(kind, OPEN), valley), chosen(search(kind, OPEN), turned)
    assert before[:21] == after[:21]
    assert (before == after) == (kind == "random")


@needs_optuna
def test_a_batch_is_chosen_before_the_first_of_it_is_judged() -> None:
    sampling, other = search("tpe", OPEN, batch=8, trials=28), search("tpe", OPEN, batch=8, trials=28)
    sizes = []
    for one, two in zip(sampling.batches(), other.batches(), strict=True):
        sizes.append(len(one))
        assert one == two
        for each in (sampling, other):
            each.tell([valley(point) for point in one])
    assert sizes == [8, 8, 8, 4]


@needs_optuna
def test_what_is_learned_is_used() -> None:
    found = chosen(search("tpe", OPEN, trials=60), valley)
    early, late = (sum(map(valley, part)) for part in (found[:20], found[-20:]))
    assert late < early / 2


@needs_optuna
def test_a_grid_gives_each_combination_once() -> None:
    found = chosen(search("grid", FINITE, trials=100), lambda point: 1.0)
    assert len({repr(point) for point in found}) == len(found) == 25


@needs_optuna
def test_values_are_those_of_the_file_with_their_types() -> None:
    found = chosen(search("random", FINITE, trials=60), lambda point: 1.0)
    assert {repr(point["params.opt"]) for point in found} == {"'adam'", "1", "1.0", "None", "[1, 2]"}
    assert {repr(point["params.lr"]) for point in found} == {"0.1", "0.2", "0.3", "0.4", "0.5"}


@needs_optuna
def test_numbers_between_two_have_few_digits_and_stay_between() -> None:
    found = chosen(search("random", OPEN), lambda point: 1.0)
    assert all(1e-5 <= point["params.lr"] <= 0.1 and float(f"{point['params.lr']:.6g}") == point["params.lr"]
               for point in found)  # fmt: skip
    assert {type(point["params.width"]) for point in found} == {int}


@needs_optuna
@pytest.mark.parametrize("ends", ["1.00000011, to: 1.00000012", "-1.0e-300, to: 1.0e-300"])
def test_a_range_of_any_width_has_many_numbers(ends: str) -> None:
    tried = chosen(search("random", f"{{params.lr: {{from: {ends}}}}}"), lambda point: 1.0)
    found = {point["params.lr"] for point in tried}
    assert len(found) == 30
    assert max(len(repr(rate)) for rate in found) <= 16


@needs_optuna
def test_failures_nan_and_infinity_are_taken() -> None:
    wild = iter([None, float("nan"), float("inf"), float("-inf"), *[1.0] * 26])
    assert len(chosen(search("tpe", OPEN), lambda point: next(wild))) == 30


def test_without_optuna_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *words: Any, **named: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return real(name, *words, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError) as caught:
        search("tpe", OPEN)
    assert caught.value.advice == 'pip install "repro-executor[sweep]"'
