"""MLflow in memory: the interface of `Tracking`, with the rules of its server that matter here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from executor.steps.exports.tracking import PAGE, Point, Tracking


@dataclass
class Kept:
    """One run."""

    experiment: str
    name: str
    tags: dict[str, str]
    start: int | None
    end: int | None = None
    status: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    deleted: bool = False


class MemoryTracking(Tracking):
    """A server in a dict."""

    def __init__(self) -> None:
        super().__init__("http://mlflow", None)
        self.__dict__["kept"] = {}
        self.__dict__["named"] = {}

    kept: dict[str, Kept]
    named: dict[str, str]
    """Experiment ids by name."""

    def experiment(self, name: str) -> str:
        return self.named.setdefault(name, str(len(self.named)))

    def begin(self, experiment: str, name: str, started: datetime, tags: Mapping[str, str]) -> str:
        run = f"run{len(self.kept)}"
        self.kept[run] = Kept(experiment, name, dict(tags), int(started.timestamp() * 1000))
        return run

    def put_params(self, run: str, params: Mapping[str, str]) -> None:
        self.kept[run].params.update(params)

    def put_points(self, run: str, points: Sequence[Point]) -> None:
        assert 0 < len(points) <= PAGE
        self.kept[run].points += points

    def put_files(self, run: str, folder: Path) -> None:
        self.kept[run].files = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

    def end(self, run: str, status: str, finished: datetime) -> None:
        self.kept[run].status, self.kept[run].end = status, int(finished.timestamp() * 1000)

    def discard(self, run: str) -> None:
        self.kept[run].deleted = True

    def experiments(self) -> dict[str, str]:
        return {number: name for name, number in self.named.items()}

    def runs(self, experiment: str, expression: str = "") -> Iterator[Any]:
        for name, one in list(self.kept.items()):
            asked = all(f"'{value}'" in expression for key, value in one.tags.items() if f"`{key}`" in expression)
            if one.experiment == experiment and not one.deleted and (not expression or asked):
                final = {point.name: point.value for point in one.points}
                info = SimpleNamespace(
                    run_id=name, run_name=one.name, status=one.status, user_id="", start_time=one.start,
                    end_time=one.end, artifact_uri=f"mlflow-artifacts:/{name}",
                )  # fmt: skip
                yield SimpleNamespace(info=info, data=SimpleNamespace(params=one.params, metrics=final, tags=one.tags))

    def points(self, run: str, name: str) -> list[Point]:
        return [point for point in self.kept[run].points if point.name == name]

    def files(self, run: str, below: str | None = None) -> Iterator[tuple[str, int]]:
        yield from ((path, len(data)) for path, data in self.kept[run].files.items())
