import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.errors import EnvironmentMismatch
from executor.evidence.record import Record
from executor.facts import Finding
from executor.steps import report
from executor.steps.prepare import Environment, observe, ready
from executor.steps.report import BARE, GARBLED, LIMIT, SILENT, heard, names, read
from tests.unit.environment import samples
from tests.unit.evidence.samples import record
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


def test_reports_of_one_kind_are_read_up_to_what_they_may_be_together(
    here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (tmp_path / f"process-{number:02}.json").write_text(json.dumps({"process": "0", "padding": "x" * 1000}))
    monkeypatch.setattr(report, "TOGETHER", 5_500)
    assert len(list(report._every(tmp_path, "process"))) == 5
    monkeypatch.setattr(report, "MOST", 3)
    assert len(list(report._every(tmp_path, "process"))) == 3


def test_of_very_many_names_the_first_are_taken(tmp_path: Path) -> None:
    for number in reversed(range(50)):
        (tmp_path / f"began-{number:02}.json").touch()
    (tmp_path / "a").touch()
    assert names(tmp_path, re.compile("began-.*"), 3) == ["began-00.json", "began-01.json", "began-02.json"]


def test_a_large_file_is_not_read_to_be_thrown_away(tmp_path: Path) -> None:
    with (tmp_path / "r.json").open("wb") as file:
        file.truncate(1 << 43)
    assert read(tmp_path / "r.json") == {}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("findings", "gpus", "cpus", "process", "settings", "reads", "environment", "probe", "distributions", "torch",
        "threads", "names", "problem", "version", "undetermined", "checked")  # fmt: skip
FILES = ("launch.json", "torch.json", "probe.json", "refusal.json", "began-0-1.json", "process-0.json", "began-.json")
GARBAGE = st.one_of(
    st.binary(max_size=50),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3).map(
        lambda value: json.dumps({**LAUNCH, "findings": [LINE | value, LINE], **value}).encode()
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from(FILES), GARBAGE, max_size=5))
def test_whatever_a_program_leaves_is_a_refusal_or_can_be_recorded(here: Environment, files: dict[str, bytes]) -> None:
    with TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        try:
            said = heard(SPEC, here, Path(folder), inside=True, reference=None, allow=frozenset())
        except EnvironmentMismatch as error:
            json.dumps(error.as_json())
            return
    one = record(findings=said.findings, proof=said.proof, fingerprint=said.fingerprint)
    assert Record.from_json(one.to_json(), "key").findings == said.findings
