from __future__ import annotations

from pathlib import Path

from executor.evidence.series import read
from executor.steps.exports.numbers import series_table
from tests.unit.sites import Program, World, a_spec

LINES = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'


def points(path: Path | None) -> list[tuple[str, list[int], list[float]]]:
    assert path
    with path.open("rb") as source:
        return [(name, list(part.steps), list(part.values)) for name, part in read(source, "x")]


def test_the_table_is_the_one_that_was_kept_or_one_made_again(world: World, tmp_path: Path) -> None:
    world.program = Program(outputs={"metrics.jsonl": LINES, "model.pt": b"w"})
    record = world.submit(a_spec()).record
    assert record.series
    for name, one in (("kept", record), ("old", record.model_copy(update={"series": None}))):
        (tmp_path / name).mkdir()
        assert points(series_table(one, world.store, tmp_path / name)) == [("loss", [1, 2], [0.5, 0.25])]


def test_a_run_without_numbers_has_no_table(world: World, tmp_path: Path) -> None:
    record = world.submit(a_spec()).record
    assert series_table(record, world.store, tmp_path) is None
