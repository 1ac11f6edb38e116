import pytest
from pydantic_core import PydanticCustomError

from executor.spec.canonical import canonical_bytes
from executor.spec.parameters import fill, param_variables, unfilled


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("{params.lr}", "0.001"),
        ("--lr={params.lr},{seed}", "--lr=0.001,7"),
        ("{params.name}", "a b"),
        ("{params.flag}", "true"),
        ("{params.none}", "null"),
        ("{params.list}", '[1,2.0,"x"]'),
        ("{params.deep.er}", '{"z":1}'),
        ("{params.deep.er.z}", "1"),
        ("{{seed}}", "{seed}"),
        ("{{params.lr}}", "{params.lr}"),
        ("{{seed}", "{7"),
        ("{seed}}", "7}"),
        ("{}", "{}"),
        ("{other}", "{other}"),
        ("{seeds}", "{seeds}"),
        ("${HOME}", "${HOME}"),
    ],
)
def test_placeholders(word: str, filled: str) -> None:
    params = {"lr": 1e-3, "name": "a b", "flag": True, "none": None, "list": [1, 2.0, "x"], "deep": {"er": {"z": 1}}}
    assert fill(word, params, 7) == filled
    assert fill("{params}", params, 7).encode() == canonical_bytes(params)


def test_a_filled_parameter_is_not_filled_again() -> None:
    assert fill("{params.a}", {"a": "{seed}"}, 7) == "{seed}"


def test_an_unknown_parameter_is_a_complaint() -> None:
    with pytest.raises(PydanticCustomError, match="there is lr, step"):
        fill("{params.rate}", {"lr": 1, "step": 2}, 7)


def test_parameters_become_variables() -> None:
    assert param_variables({"lr": 1e-3, "opt": {"name": "adam", "beta-1": 0.9}}) == {
        "EXECUTOR_PARAM_LR": "0.001",
        "EXECUTOR_PARAM_OPT": '{"beta-1":0.9,"name":"adam"}',
        "EXECUTOR_PARAM_OPT_NAME": "adam",
        "EXECUTOR_PARAM_OPT_BETA_1": "0.9",
    }


def test_variables_that_collide_are_a_complaint() -> None:
    with pytest.raises(PydanticCustomError, match="same environment variable EXECUTOR_PARAM_A_B"):
        param_variables({"a": {"b": 1}, "a-b": 2})


def test_every_word_that_does_not_fit_is_told() -> None:
    found = unfilled(("ok", "{params.x}", "{params.y}" * 2), {"y": "z" * 70_000})
    assert [place for place, _ in found] == [(1,), (2,)]
    assert unfilled(("z" * 131_071,), {}) == []
