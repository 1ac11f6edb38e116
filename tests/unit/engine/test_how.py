from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.engine.how import LEVELS, SEEDS, SWITCHES, WATCHED, How, variation
from executor.errors import UsageError


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("OMP_NUM_THREADS=2", "OMP_NUM_THREADS", "2"),
        ("MKL_CBWR=", "MKL_CBWR", ""),
        ("A=b=c", "A", "b=c"),
        ("_X1= é ", "_X1", " é "),
        ("PYTHONHASHSEED=0", "PYTHONHASHSEED", "0"),
        ("cpus=1", "cpus", "1"),
        ("threads=4096", "threads", "4096"),
        ("fill=on", "fill", "on"),
        ("determinism=warn", "determinism", "warn"),
        ("seeds=off", "seeds", "off"),
        *((f"{name}=off", name, "off") for name in SWITCHES),
    ],
)
def test_what_can_be_varied(word: str, name: str, value: str) -> None:
    assert variation([word]) == {name: value}


@pytest.mark.parametrize(
    "word",
    [
        "", "=", "=1", "A", "threads", "a=1", "Ab=1", "A-B=1", "1A=1", "A\n=1", f"{'A' * 129}=1", "A=\0", "é=1",
        "PATH=/x", "PYTHONPATH=/x", "PYTHONHOME=/x", "LD_PRELOAD=x", "LD_LIBRARY_PATH=x", "NVIDIA_VISIBLE_DEVICES=0",
        "EXECUTOR_SEED=1", "EXECUTOR_RELAXED=", "cpus=0", "cpus=4097", "cpus=-1", "cpus=1.5", "cpus=", "cpus= 1",
        "threads=x", "threads=²", "threads=٣", "cpus=1_0", f"cpus={'9' * 5000}", "fill=off", "fill=", "seeds=on",
        "seeds=", "torch=on", "numpy=", "determinism=", "determinism=on", "unknown=off", "SEEDS",
    ],
)  # fmt: skip
def test_what_cannot_be_varied_is_told(word: str) -> None:
    with pytest.raises(UsageError, match="cannot be varied") as told:
        variation(["A=1", word])
    assert told.value.message.startswith(f"--vary {word}")
    assert all(name in told.value.advice for name in SWITCHES)


def test_names_that_only_look_like_ours_can_be_varied() -> None:
    words = {"XPATH": "1", "PATHS": "1", "MY_EXECUTOR_X": "1", "LD_BIND_NOW": "1", "EXECUTOR": "1"}
    assert variation(f"{name}={value}" for name, value in words.items()) == words


def test_the_last_word_counts() -> None:
    assert variation(["A=1", "A=2"]) == {"A": "2"}
    assert variation([]) == {}


@given(st.lists(st.text("A=019_xz\0é", max_size=6) | st.sampled_from(["cpus=1", "threads=2", "seeds=off", "PATH=1"])))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        how = How(varied=variation(words))
    except UsageError:
        return
    assert {f"{name}={value}" for name, value in how.varied.items()} <= {*words}
    assert how.cpus is None or how.cpus > 0
    assert all("\0" not in f"{name}{value}" for name, value in how.variables.items())


def test_nothing_is_varied_when_nobody_says_so() -> None:
    assert (WATCHED.relaxed, WATCHED.variables, WATCHED.determinism, WATCHED.threads, WATCHED.cpus) == (
        (), {}, None, None, None,
    )  # fmt: skip
    assert WATCHED.plan() == {"level": "steps", "stop_after": None, "capture": None}


def test_the_inside_room_is_told_how_to_watch() -> None:
    assert How("tensors", 7, 6).plan() == {"level": "tensors", "stop_after": 7, "capture": 6}
    assert LEVELS == ("off", "steps", "tensors", "operations")


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_leaves_out_its_own_part(name: str) -> None:
    how = How(varied={name: "off"})
    assert (how.relaxed, how.variables) == ((name,), {})


def test_seeds_leave_out_every_seed_once() -> None:
    assert How(varied={"seeds": "off"}).relaxed == tuple(sorted(SEEDS))
    both = How(varied={"seeds": "off", "torch": "off", "sqrt": "off", "fill": "on"})
    assert both.relaxed == ("fill", "numpy", "python", "sqrt", "torch")
    assert {*SEEDS} < SWITCHES.keys()


def test_variables_are_set_or_taken_away() -> None:
    assert How(varied={"A": "1", "B": "", "sqrt": "off"}).variables == {"A": "1", "B": None}


def test_threads_go_to_every_library_and_the_container() -> None:
    how = How(varied={"threads": "3"})
    assert how.threads == 3
    assert how.variables == {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3", "NUMEXPR_NUM_THREADS": "3"}
    assert How(varied={"threads": "3", "OMP_NUM_THREADS": ""}).variables["OMP_NUM_THREADS"] is None


def test_cpus_and_determinism_replace_the_specs() -> None:
    how = How(varied={"cpus": "5", "determinism": "warn"})
    assert (how.cpus, how.determinism, how.variables, how.relaxed) == (5, "warn", {}, ())
