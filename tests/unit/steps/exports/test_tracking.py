from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from executor.errors import ExecutorError, NotFound, Unreachable, UsageError
from executor.steps.exports.tracking import Tracking


def raising(error: Exception) -> Any:
    """A client all of whose calls fail."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return type("Client", (), {"__getattr__": lambda self, name: fail})()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (codes.RESOURCE_DOES_NOT_EXIST, NotFound), (codes.INVALID_PARAMETER_VALUE, UsageError),
        (codes.PERMISSION_DENIED, Unreachable), (codes.INTERNAL_ERROR, Unreachable),
    ],
)  # fmt: skip
def test_errors_of_the_client_are_ours(code: int, kind: type[ExecutorError]) -> None:
    tracking = Tracking("http://x", raising(MlflowException("odd\n words", error_code=code)))
    with pytest.raises(kind, match="http://x: odd words"):
        tracking.experiment("e")
    with pytest.raises(kind):
        list(tracking.runs("1"))


def test_what_its_client_cannot_read_is_said_so() -> None:
    tracking = Tracking("file:///x", raising(TypeError("expected string")))
    with pytest.raises(Unreachable, match="file:///x: MLflow's client cannot read what is there: TypeError"):
        list(tracking.runs("1"))


def test_a_step_of_more_than_64_bits_is_said_so() -> None:
    history = [SimpleNamespace(value=0.5, timestamp=1, step=2**63)]
    tracking = Tracking("file:///x", SimpleNamespace(get_metric_history=lambda run, name: history))
    with pytest.raises(Unreachable, match="OverflowError"):
        tracking.points("r", "loss")


def test_errors_of_where_artifacts_lie_are_ours(tmp_path: Path) -> None:
    tracking = Tracking("http://x", raising(LookupError("NoSuchBucket")))
    with pytest.raises(Unreachable, match="LookupError: NoSuchBucket"):
        list(tracking.files("r"))
    with pytest.raises(Unreachable, match="cannot be reached from here"):
        tracking.put_files("r", tmp_path)


def test_an_address_that_is_none_is_said_so() -> None:
    for url in ("ftp://x", "x", ""):
        with pytest.raises(UsageError, match="is no MLflow server"):
            Tracking.open(url)


def test_without_mlflow_there_is_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError) as caught:
        Tracking.open("http://x")
    assert caught.value.advice == 'pip install "repro-executor[mlflow]"'


def test_nobody_is_told_the_password() -> None:
    assert Tracking.open("http://me:secret@127.0.0.1:1/").url == "http://127.0.0.1:1"


def test_an_experiment_that_is_deleted_is_not_written_to() -> None:
    gone = SimpleNamespace(lifecycle_stage="deleted", experiment_id="1")
    client = SimpleNamespace(get_experiment_by_name=lambda name: gone)
    with pytest.raises(UsageError, match="is deleted there"):
        Tracking("http://x", client).experiment("e")


def test_a_file_that_did_not_arrive_whole_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"four")
    there = [SimpleNamespace(path="a", is_dir=False, file_size=3)]
    client = SimpleNamespace(log_artifacts=lambda run, folder: None, list_artifacts=lambda run, below: there)
    with pytest.raises(Unreachable, match="a did not arrive whole"):
        Tracking("http://x", client).put_files("r", tmp_path)
    there[0].file_size = 4
    Tracking("http://x", client).put_files("r", tmp_path)
