"""An MLflow server, or a folder of MLflow runs: the one place that speaks to MLflow's client."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from executor.errors import ExecutorError, NotFound, Unreachable, UsageError

EXTRA = "repro-executor[mlflow]"
SCHEMES = ("http", "https", "file")
PAGE = 1_000
"""Runs and points that are asked for, or sent, at a time: as many as MLflow takes."""
_TOGETHER = 100
"""Parameters and tags of one request."""


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    value: float
    time: int
    """Milliseconds since 1970."""
    step: int


@dataclass(frozen=True)
class Tracking:
    """What is asked of MLflow. Raises `Unreachable`, `NotFound` and `UsageError` for what its client raises."""

    url: str
    """Without user and password."""
    client: Any

    @classmethod
    def open(cls, url: str) -> Tracking:
        """A server by its URL, or a folder as `file:…`; nothing is asked yet. Raises `UsageError` without MLflow."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise UsageError(f"{url!r} is no MLflow server", advice="write http://host:port or https://host")
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise UsageError("MLflow's client is not installed", advice=f'pip install "{EXTRA}"') from error
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        with _mapped(shown):
            return cls(shown, MlflowClient(tracking_uri=url))

    # Write ----------------------------------------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """Id of the experiment of that name, which is made when there is none."""
        with _mapped(self.url):
            found = self.client.get_experiment_by_name(name)
            if found is None:
                return str(self.client.create_experiment(name))
        if found.lifecycle_stage != "active":
            raise UsageError(f"{self.url}: the experiment {name} is deleted there",
                             advice="restore it, or name another with --experiment")  # fmt: skip
        return str(found.experiment_id)

    def begin(self, experiment: str, name: str, started: datetime, tags: Mapping[str, str]) -> str:
        """Id of a new run, which counts as running until `end`."""
        with _mapped(self.url):
            made = self.client.create_run(experiment, start_time=_ms(started), tags=dict(tags), run_name=name)
            return str(made.info.run_id)

    def put_params(self, run: str, params: Mapping[str, str]) -> None:
        """Keep parameters."""
        from mlflow.entities import Param

        every = [Param(name, value) for name, value in params.items()]
        with _mapped(self.url):
            for start in range(0, len(every), _TOGETHER):
                self.client.log_batch(run, params=every[start : start + _TOGETHER])

    def put_points(self, run: str, points: Sequence[Point]) -> None:
        """Keep at most `PAGE` points."""
        from mlflow.entities import Metric

        with _mapped(self.url):
            self.client.log_batch(run, metrics=[Metric(one.name, one.value, one.time, one.step) for one in points])

    def put_files(self, run: str, folder: Path) -> None:
        """Keep every file below a folder; raises `Unreachable` when one is not there whole afterwards."""
        with _mapped(self.url), _stored(self.url):
            self.client.log_artifacts(run, str(folder))
        there = dict(self.files(run))
        wanted = {
            path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()
        }
        if missing := [path for path, size in wanted.items() if there.get(path) != size]:
            raise Unreachable(f"{self.url}: {missing[0]} did not arrive whole", advice="export it again")

    def end(self, run: str, status: str, finished: datetime) -> None:
        """Say that a run is over: `FINISHED`, `FAILED` or `KILLED`."""
        with _mapped(self.url):
            self.client.set_terminated(run, status=status, end_time=_ms(finished))

    def discard(self, run: str) -> None:
        """Delete a run, as far as MLflow deletes: it can be restored there."""
        with _mapped(self.url):
            self.client.delete_run(run)

    # Read -----------------------------------------------------------------------------------------------------------

    def experiments(self) -> dict[str, str]:
        """Name by id of every experiment."""
        with _mapped(self.url):
            return {str(one.experiment_id): one.name for one in _pages(self.client.search_experiments)}

    def runs(self, experiment: str, expression: str = "") -> Iterator[Any]:
        """Runs of an experiment, as MLflow has them."""
        with _mapped(self.url):
            yield from _pages(self.client.search_runs, [experiment], expression)

    def points(self, run: str, name: str) -> list[Point]:
        """Every value of a metric."""
        with _mapped(self.url):
            history = self.client.get_metric_history(run, name)
            return [Point(name, float(one.value), _int64(one.timestamp), _int64(one.step)) for one in history]

    def files(self, run: str, below: str | None = None) -> Iterator[tuple[str, int]]:
        """Path and size of each artifact."""
        with _mapped(self.url), _stored(self.url):
            listed = self.client.list_artifacts(run, below)
        for one in listed:
            if one.is_dir:
                yield from self.files(run, one.path)
            else:
                yield one.path, int(one.file_size or 0)


def _pages(ask: Any, *words: Any) -> Iterator[Any]:
    token = None
    while True:
        page = ask(*words, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _int64(number: Any) -> int:
    """As MLflow's protocol has it; raises `OverflowError` for more, which a file can hold."""
    return array("q", [int(number)])[0]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@contextmanager
def _mapped(url: str) -> Iterator[None]:
    """MLflow's errors as ours."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise _ours(url, error) from error
    except OSError as error:  # of a folder, or of a connection that its client lets through
        raise Unreachable(f"{url}: {error}", advice="check the address") from error
    except ExecutorError:
        raise
    except Exception as error:  # its client trusts what it reads
        message = f"{url}: MLflow's client cannot read what is there: {type(error).__name__}: {error}"
        raise Unreachable(message, advice="look at it with MLflow itself") from error


@contextmanager
def _stored(url: str) -> Iterator[None]:
    """Artifacts can lie anywhere, and every cloud has errors of its own."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException:
        raise
    except Exception as error:
        message = f"{url}: its artifacts cannot be reached from here: {type(error).__name__}: {error}"
        raise Unreachable(message, advice="a server started with --artifacts-destination passes them on") from error


def _ours(url: str, error: Any) -> ExecutorError:
    message = f"{url}: {' '.join(str(error).split())[:500]}"
    if error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound(message)
    if error.error_code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return Unreachable(
            message, advice="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or _TOKEN, say who asks"
        )
    if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
        return UsageError(message)
    return Unreachable(message, advice="check the address, and that an MLflow server answers there")
