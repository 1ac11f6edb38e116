from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from executor.errors import SpecError
from executor.spec.file import load_spec, parse_draft, parse_spec
from executor.spec.model import Spec
from executor.spec.writing import spec_text, write_spec
from tests.unit.spec.bad import BASE
from tests.unit.spec.golden import FOLDER
from tests.unit.spec.strategies import SPECS

GOLDEN = sorted(FOLDER.glob("*.yaml"))


@given(SPECS)
def test_what_is_written_reads_back_to_the_same_spec(plain: dict[str, Any]) -> None:
    spec = Spec.model_validate(plain)
    again = parse_spec(spec_text(spec, header="locked").encode(), "s")
    assert again == spec
    assert again.model_dump_json() == spec.model_dump_json()
    assert again.canonical() == spec.canonical()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_specs_survive_being_written(path: Path) -> None:
    spec = parse_spec(path.read_bytes(), path.name)
    assert parse_spec(spec_text(spec).encode(), "s").hash == spec.hash
    assert parse_draft(path.read_bytes(), path.name).model_dump()["params"] == spec.model_dump()["params"]


def test_writing_keeps_hints_as_they_were(tmp_path: Path) -> None:
    path, lock = tmp_path / "digits.yaml", tmp_path / "digits.lock.yaml"
    path.write_text(BASE)
    write_spec(load_spec(path), lock, header="Locked from digits.yaml.\n\nDo not edit.")
    assert lock.read_text().startswith("# Locked from digits.yaml.\n#\n# Do not edit.\nversion: 1\n")
    assert 'repo: ".."' in lock.read_text()
    assert load_spec(lock) == load_spec(path)
    assert sorted(tmp_path.iterdir()) == [lock, path]


def test_writing_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("old")
    write_spec(parse_spec(BASE.encode(), "s"), path)
    assert load_spec(path).name == "digits"
    assert list(tmp_path.iterdir()) == [path]


def test_a_spec_too_big_to_be_read_is_not_written(tmp_path: Path) -> None:
    spec = parse_spec(
        BASE.replace("lr: 1e-3", "lr: 1, x: '" + "\x7f" * 30_000 + "'").replace("\x7f", "é").encode(), "s"
    )
    large = Spec.model_validate(spec.model_dump() | {"env": {"X": "\x7f" * 20_000}})
    with pytest.raises(SpecError, match="a spec has at most 65536"):
        write_spec(large, tmp_path / "s.yaml")
    assert list(tmp_path.iterdir()) == []
