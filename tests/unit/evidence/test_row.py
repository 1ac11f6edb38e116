from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from executor.evidence.record import Comparison, Hints
from executor.evidence.row import FIELDS, MOST_DIGESTS, microseconds, moment, row
from executor.facts import Outcome
from executor.spec.canonical import Digest
from tests.fakes import NOON
from tests.unit.evidence.samples import file, record
from tests.unit.sites import a_spec

SPEC = a_spec(
    params={"lr": 0.1, "big": 2**64 - 1, "hidden": [128, 64], "amp": True, "none": None, "model": {"depth": {"n": 3}}},
    gpu={"type": "NVIDIA H100", "count": 2},
    data={"train": {"hash": f"sha256:{'d' * 64}", "source": "s3://x/y"}},
    code={"commit": "c" * 40, "repo": "."},
)
FULL = record(
    file("model.pt", "weights"), file("log.txt", "words", "file"), file("tb/events", "noise", "ignored"),
    spec=SPEC.identity(), spec_hash=SPEC.hash, experiment_key=SPEC.experiment_key,
    hints=Hints(name="digits", image="localhost/torch", labels={"team": "vision"}),
    outcome=Outcome(exit_code=0, started=NOON, finished=NOON + timedelta(seconds=90)),
    metrics={"loss": math.nan, "val/acc": math.inf, "n": 3.0}, rerun=True, varied={"seed": "2", "cpus": "1"},
    comparison=Comparison(reference="x", verdict="close", reason=""),
)  # fmt: skip


def test_every_field_is_one_that_is_listed_and_every_other_name_belongs_to_a_family() -> None:
    names = row(FULL).values
    plain = {name for name in names if "." not in name}
    assert plain == FIELDS.keys() - {"submitter", "proof"}
    assert {name.partition(".")[0] for name in names if "." in name} == {"params", "metrics", "labels", "data"}


def test_a_row_says_what_was_asked_and_what_came_of_it() -> None:
    values = row(FULL).values
    assert (values["spec"], values["attempt"]) == (SPEC.hash.hex, FULL.attempt)
    assert (values["gpu"], values["gpus"], values["commit"]) == ("NVIDIA H100", 2, "c" * 40)
    assert (values["status"], values["verdict"], values["rerun"]) == ("succeeded", "close", True)
    assert (values["runtime_s"], values["outputs"], values["varied"]) == (90.0, 3, "cpus=1, seed=2")
    assert values["data.train"] == f"sha256:{'d' * 64}"


def test_parameters_are_flat_exact_and_of_their_own_kind() -> None:
    values = row(FULL).values
    found = {name: value for name, value in values.items() if name.startswith("params.")}
    assert found == {"params.lr": 0.1, "params.big": 2**64 - 1, "params.hidden": [128, 64], "params.amp": True,
                     "params.model.depth.n": 3}  # fmt: skip


def test_numbers_that_are_none_survive() -> None:
    values = row(FULL).values
    assert math.isnan(values["metrics.loss"])  # type: ignore[arg-type]
    assert values["metrics.val/acc"] == math.inf


def test_runs_of_one_configuration_share_it_whatever_their_seed_and_gpu() -> None:
    def config(**changes: object) -> object:
        spec = SPEC.model_copy(update=changes)
        return row(FULL.model_copy(update={"spec": spec.identity()})).values["config"]

    assert config(seed=7) == config(gpu=None) == config()
    assert config(params={"lr": 0.2}) != config()


def test_files_are_known_by_digest_weights_first_and_those_that_never_count_not_at_all() -> None:
    assert row(FULL).digests == (Digest.of(b"weights").hex, Digest.of(b"words").hex)
    many = [file(f"{number}", f"{number}", "file") for number in range(MOST_DIGESTS)]
    found = row(record(*many, file("w.pt", "last"))).digests
    assert (len(found), found[0]) == (MOST_DIGESTS, Digest.of(b"last").hex)


def test_a_record_with_the_least_has_a_row() -> None:
    values = row(record()).values
    assert values["gpus"] == 0
    assert not {"gpu", "verdict", "varied", "commit"} & values.keys()


def test_moments_are_whole_microseconds_there_and_back() -> None:
    at = datetime(2026, 1, 31, 12, 30, 1, 250_001, tzinfo=UTC)
    assert moment(microseconds(at)) == at
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -1_000_000
