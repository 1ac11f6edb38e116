import json
import os
from pathlib import Path
from typing import Any

import pytest

from executor.errors import EnvironmentMismatch
from executor.facts import Finding
from executor.steps.prepare import Environment, observe, ready
from executor.steps.report import BARE, GARBLED, LIMIT, SILENT, heard, read
from tests.unit.environment import samples
from tests.unit.sites import LAUNCH, World, a_spec

SPEC = a_spec()
LINE = {"field": "cpu.isa", "expected": "avx2", "observed": "default", "severity": "refuse", "advice": "elsewhere"}


@pytest.fixture
def here(world: World) -> Environment:
    return ready(SPEC, world.site, frozenset(), None)


def listen(here: Environment, folder: Path, *, inside: bool = True, **files: Any) -> Any:
    for name, document in files.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    said = heard(SPEC, here, folder, inside=inside, reference=None, allow=frozenset())
    return said.fingerprint, said.findings, said.proof


def test_what_the_launcher_saw_joins_the_fingerprint(here: Environment, tmp_path: Path) -> None:
    seen, findings, _ = listen(here, tmp_path, launch=LAUNCH | {"findings": []})
    assert seen.container == samples.container()
    assert findings[: len(here.findings)] == here.findings
    assert {one.severity for one in findings} == {"info"}


def test_what_torch_said_later_counts_more(here: Environment, tmp_path: Path) -> None:
    seen, _, _ = listen(here, tmp_path, launch=LAUNCH | {"torch": None}, torch={"torch": "2.13.0", "threads": 2})
    assert seen.container.torch == "2.13.0"


def test_a_refusal_raises_with_every_finding(here: Environment, tmp_path: Path) -> None:
    lines = [LINE, LINE | {"field": "cpu.threads", "advice": ""}]
    with pytest.raises(EnvironmentMismatch, match=r"cpu\.threads: expected avx2, found default") as caught:
        listen(here, tmp_path, refusal={"findings": lines})
    assert [one.field for one in caught.value.findings[-2:]] == ["cpu.isa", "cpu.threads"]
    assert caught.value.advice == "elsewhere"


def test_a_refusal_that_was_allowed_is_none(here: Environment, tmp_path: Path) -> None:
    listen(here, tmp_path, launch=LAUNCH, refusal={"findings": [LINE | {"allowed": True}]})


def test_what_inside_said_is_not_said_twice_and_only_warns(here: Environment, tmp_path: Path) -> None:
    _, findings, _ = listen(here, tmp_path, launch=LAUNCH | {"isa": "DEFAULT", "findings": [LINE]})
    late = [one for one in findings[len(here.findings) :] if one.field == "cpu.isa"]
    assert late == [Finding(**LINE | {"severity": "warn"})]


@pytest.mark.parametrize(
    ("inside", "files", "reason"),
    [(False, {"launch": LAUNCH}, BARE), (True, {}, SILENT), (True, {"launch": {"cpus": "all"}}, GARBLED)],
)
def test_a_container_that_was_not_looked_into_says_why(
    here: Environment, tmp_path: Path, inside: bool, files: dict[str, Any], reason: str
) -> None:
    seen, findings, _ = listen(here, tmp_path, inside=inside, **files)
    assert (seen.container.checked, seen.container.reason) == (False, reason)
    assert [(one.severity, one.observed) for one in findings if one.field == "inside"] == [("warn", reason)]


def test_the_observed_fingerprint_knows_no_container(world: World) -> None:
    assert observe(world.site).container is None


def test_a_report_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"a": "' + "x" * (LIMIT - 9) + '"}')
    assert path.stat().st_size == LIMIT
    assert read(path).keys() == {"a"}
    path.write_text('{"a": "' + "x" * (LIMIT - 8) + '"}')
    assert read(path) == {}


@pytest.mark.parametrize("data", [b"", b"[1]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}"])
def test_what_is_no_object_is_empty(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "r.json").write_bytes(data)
    assert read(tmp_path / "r.json") == {}


def test_nothing_but_a_plain_file_is_opened_for_long(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text('{"a": 1}')
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "fifo.json")
    before = set(os.listdir("/proc/self/fd"))
    names = ("link", "folder", "fifo", "absent")
    assert [read(tmp_path / f"{name}.json") for name in names] == [{}] * 4
    assert read(tmp_path / "real.json") == {"a": 1}
    assert set(os.listdir("/proc/self/fd")) == before
