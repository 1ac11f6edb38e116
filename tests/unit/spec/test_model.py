import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from executor.spec.model import ORDER, Draft, Spec
from tests.unit.spec.golden import HASHES, observed, written
from tests.unit.spec.strategies import SPECS

A, B = "a" * 64, "b" * 64
FULL: dict[str, Any] = {
    "version": 1,
    "name": "full",
    "image": f"ml/torch@sha256:{A}",
    "code": {"commit": "0" * 40, "repo": ".."},
    "data": {"d": {"hash": f"sha256:{B}", "source": "../d"}},
    "command": ["python", "{params.lr}"],
    "params": {"lr": 1, "deep": {"x": [1, None]}},
    "seed": 7,
    "gpu": {"type": "NVIDIA H100", "count": 2},
    "cpu": {"threads": 2, "isa": "avx2"},
    "env": {"A": "1"},
    "network": False,
    "workdir": "/code",
    "determinism": "strict",
    "tier": "native",
    "outputs": {"weights": ["*.pt"], "metrics": "metrics.jsonl", "ignore": []},
    "metrics": {"stdout": "(?P<loss>.)"},
    "resources": {"memory": "8GiB", "shm": "1GiB", "timeout": "2h", "pids": 100},
    "secrets": ["TOKEN"],
    "labels": {"team": "vision"},
}


def spec(**changes: Any) -> Spec:
    return Spec.model_validate(FULL | changes)


IDENTITY: dict[str, Any] = {
    "image": f"ml/torch@sha256:{B}",
    "code": {"commit": "1" * 40},
    "data": {"d": {"hash": f"sha256:{A}"}},
    "command": ["python3", "{params.lr}"],
    "params": {"lr": 1.0, "deep": {"x": [1, None]}},
    "seed": 8,
    "gpu": {"type": "NVIDIA A100", "count": 2},
    "cpu": {"threads": 1, "isa": "avx2"},
    "env": {"A": "2"},
    "network": True,
    "workdir": "/outputs",
    "determinism": "warn",
    "tier": "portable",
    "outputs": {"weights": ["*.pt"], "metrics": "m.jsonl", "ignore": []},
    "metrics": {"stdout": "(?P<acc>.)"},
}
MORE_IDENTITY: list[tuple[str, Any]] = [
    ("code", None),
    ("data", {}),
    ("data", {"e": {"hash": f"sha256:{B}"}}),
    ("command", ["python", "{params.lr}", ""]),
    ("params", {"lr": True, "deep": {"x": [1, None]}}),
    ("params", {"lr": "1", "deep": {"x": [1, None]}}),
    ("params", {"lr": 1, "deep": {"x": [1]}}),
    ("gpu", "none"),
    ("gpu", {"type": "NVIDIA H100", "count": 1}),
    ("cpu", {"threads": 2, "isa": "avx512"}),
    ("env", {}),
    ("env", {"B": "1"}),
    ("determinism", "off"),
    ("outputs", {"weights": ["*.pth"], "metrics": "metrics.jsonl", "ignore": []}),
    ("outputs", {"weights": ["*.pt"], "metrics": "metrics.jsonl", "ignore": ["*"]}),
    ("metrics", {}),
]
NOT_IDENTITY: list[tuple[str, Any]] = [
    ("name", "other"),
    ("image", f"mirror.example.org:5000/x:3@sha256:{A}"),
    ("code", {"commit": "0" * 40, "repo": "https://example.org/x.git"}),
    ("data", {"d": {"hash": f"sha256:{B}", "source": "s3://b/d"}}),
    ("resources", {"memory": "1GiB", "shm": "2GiB", "timeout": None, "pids": 99}),
    ("resources", {"memory": "8GiB", "shm": "1GiB", "disk": "1GiB", "timeout": "2h", "pids": 100}),
    ("secrets", ["TOKEN", "OTHER_1"]),
    ("labels", {"team": "sound", "x": "y"}),
]


def test_every_field_is_listed_once() -> None:
    assert sorted(ORDER) == sorted(Spec.model_fields) == sorted(Draft.model_fields)
    assert {*IDENTITY, *(field for field, _ in NOT_IDENTITY), "version"} == set(ORDER)


@pytest.mark.parametrize(("field", "value"), [*IDENTITY.items(), *MORE_IDENTITY])
def test_a_change_of_identity_changes_the_hash(field: str, value: Any) -> None:
    assert spec(**{field: value}).hash != spec().hash
    assert (spec(**{field: value}).experiment_key == spec().experiment_key) is (field == "gpu")


@pytest.mark.parametrize(("field", "value"), NOT_IDENTITY)
def test_everything_else_does_not(field: str, value: Any) -> None:
    assert spec(**{field: value}) != spec()
    assert spec(**{field: value}).hash == spec().hash
    assert spec(**{field: value}).canonical() == spec().canonical()


@given(SPECS, SPECS)
def test_two_specs_share_a_hash_only_if_they_are_one_experiment(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = Spec.model_validate(one), Spec.model_validate(other)
    assert (first.hash == second.hash) is (first.canonical() == second.canonical())


@given(SPECS)
def test_a_spec_survives_its_own_dump(plain: dict[str, Any]) -> None:
    first = Spec.model_validate(plain)
    for dump in (first.model_dump(), first.model_dump(mode="json"), json.loads(first.model_dump_json())):
        assert Spec.model_validate(dump).canonical() == first.canonical()
        assert Spec.model_validate(dump) == first


@given(SPECS)
def test_a_spec_comes_back_from_its_canonical_bytes_and_hints(plain: dict[str, Any]) -> None:
    first = Spec.model_validate(plain)
    hints = {
        "name": first.name,
        "image": first.image.name,
        "repo": first.code.repo if first.code else "",
        "sources": {name: data.source for name, data in first.data.items()},
        "resources": first.resources.model_dump(),
        "secrets": first.secrets,
        "labels": dict(first.labels),
    }
    again = Spec.of_identity(json.loads(first.canonical()), hints)
    assert again.canonical() == first.canonical()
    assert again == first


def test_the_least_hints_are_enough() -> None:
    again = Spec.of_identity(spec().identity(), {"name": "x", "image": "y"})
    assert again.hash == spec().hash


def test_golden_hashes_never_change() -> None:
    assert written(observed()) == HASHES.read_text()


def test_golden_specs_touch_every_field() -> None:
    found = observed()
    assert len(found) >= 12
    full = json.loads(found["full"]["canonical"])
    default = json.loads(found["minimal"]["canonical"])
    assert {key for key in full if full[key] != default[key]} == set(full) - {"version", "image"}
    assert found["full"] == found["same_as_full"]
    assert found["cpu_defaults"]["experiment_key"] == found["gpu_default_count"]["experiment_key"]
    assert found["cpu_defaults"]["spec_hash"] != found["gpu_default_count"]["spec_hash"]


def test_the_experiment_key_is_the_hash_of_no_spec() -> None:
    assert spec(gpu="none").experiment_key != spec(gpu="none").hash


def test_a_spec_cannot_be_changed() -> None:
    found = spec()
    with pytest.raises(ValidationError):
        found.seed = 8  # type: ignore[misc]
    mappings: list[Any] = [found.params, found.params["deep"], found.env, found.labels, found.data]
    for mapping in mappings:
        with pytest.raises(TypeError):
            mapping["x"] = 1
    assert isinstance(found.params["deep"]["x"], tuple)


def test_what_was_given_can_change_without_the_spec() -> None:
    params = {"lr": 1, "list": [1]}
    found = spec(params=params)
    before = found.hash
    params["list"].append(2)  # type: ignore[attr-defined]
    assert found.hash == before


def test_arguments_are_filled_in() -> None:
    assert spec(command=["x", "{params.lr}", "{seed}"]).arguments == ("x", "1", "7")


def test_a_dump_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(spec().model_dump())) == spec().model_dump()
