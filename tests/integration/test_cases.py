"""Every folder of `tests/cases` is one run in the real engine: `spec.yaml`, its program, and what it must give.

`expect.yaml` holds, all but `store` and `exit` optional:

- `store`: `file` or `s3`; `exit`: exit status of `submit --lock`;
- `status`, `exit_code`, `metrics`, `unreadable` (lines of metrics): as the record has them;
- `reason`: a regular expression found in it; `log`: regular expressions, each found in a line of the log;
- `outputs`: path to role, all of them; `roles`: first name of the path to role; `files`: how many;
- `text`, `sizes`: path to contents, or to bytes; `refused`: paths that were not collected, all of them;
- `warnings`: fields of findings that warn; `inside`: whether the container was looked at from inside;
- `rerun`: `exit`, `verdict`, `divergence` (its kind), `differing` (whether files that are not compared differ).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from executor.evidence.record import Record
from tests.integration.conftest import MakeMachine
from tests.integration.site import Machine, containers, repository
from tests.ran import Ran
from tests.thorough import thorough

pytestmark = [pytest.mark.engine, pytest.mark.s3, pytest.mark.slow]

CASES = sorted(path.parent for path in Path(__file__).parents[1].glob("cases/*/expect.yaml"))
LONG = ("beside-itself", "dataloader-workers", "large-file", "many-files", "unseeded")
"""Those that take long and whose parts are tested elsewhere."""
assert {*LONG} <= {one.name for one in CASES}

Look = Callable[[Machine, Record], Any]
LOOKS: Mapping[str, Look] = {
    "status": lambda machine, record: record.status,
    "exit_code": lambda machine, record: record.outcome.exit_code,
    "metrics": lambda machine, record: {name: repr(value) for name, value in record.metrics.items()},
    "unreadable": lambda machine, record: record.unreadable_metrics,
    "outputs": lambda machine, record: {file.path: file.role for file in record.outputs},
    "roles": lambda machine, record: {file.path.partition("/")[0]: file.role for file in record.outputs},
    "files": lambda machine, record: len(record.outputs),
    "sizes": lambda machine, record: {file.path: file.size for file in record.outputs},
    "refused": lambda machine, record: sorted(record.refused_outputs),
    "inside": lambda machine, record: record.fingerprint.container and record.fingerprint.container.checked,
}
"""What is compared as it is."""
KNOWN = {"store", "exit", "reason", "log", "text", "warnings", "rerun", *LOOKS}


@pytest.mark.parametrize(
    "case", [pytest.param(one, id=one.name, marks=[thorough] if one.name in LONG else []) for one in CASES]
)
def test_case(case: Path, make_machine: MakeMachine, images: Mapping[str, str], tmp_path: Path) -> None:
    expect = yaml.safe_load((case / "expect.yaml").read_text())
    assert expect.keys() <= KNOWN, "expect.yaml has a key that means nothing"
    machine = make_machine(expect["store"])
    folder = repository(case, tmp_path / case.name, images=images, leave=frozenset({"expect.yaml"}))
    submitted = machine.run("submit", "--lock", "--json", folder / "spec.yaml")
    assert submitted.code == expect["exit"], submitted
    record = machine.record(submitted.json)
    _compare(expect, machine, record, submitted)
    if "rerun" in expect:
        _rerun(expect["rerun"], machine, record)
    assert containers(record.spec_hash.hex) == []
    assert machine.attempts_left() == []


def _compare(expect: Mapping[str, Any], machine: Machine, record: Record, ran: Ran) -> None:
    wanted = {name: expect[name] for name in LOOKS if name in expect}
    if "metrics" in wanted:
        wanted["metrics"] = {name: repr(float(value)) for name, value in wanted["metrics"].items()}
    assert {name: LOOKS[name](machine, record) for name in wanted} == wanted, ran.err
    assert re.search(expect.get("reason", ""), record.outcome.reason), record.outcome.reason
    log = machine.log(record)
    for pattern in expect.get("log", []):
        assert re.search(pattern, log, re.MULTILINE), log
        assert re.search(pattern, re.sub(r"(?m)^  │ ", "", ran.err), re.MULTILINE), "not shown while it ran"
    assert {*expect.get("warnings", [])} <= {one.field for one in record.findings if one.severity == "warn"}
    digests = {file.path: file.digest for file in record.outputs}
    found = {path: machine.store.read_blob(digests[path], 1 << 20).decode() for path in expect.get("text", {})}
    assert found == expect.get("text", {})
    assert machine.store.missing_blobs(record.blobs()) == []


def _rerun(expect: Mapping[str, Any], machine: Machine, first: Record) -> None:
    ran = machine.run("rerun", "--json", first.spec_hash.hex)
    assert ran.code == expect["exit"], ran
    if "verdict" not in expect:
        assert ran.json["error"] == "NotFound", "what failed is no reference"
        return
    again = machine.record(ran.json)
    assert ran.json["verdict"] == expect["verdict"], ran
    assert ran.json.get("divergence", {}).get("kind") == expect.get("divergence")
    ignored = [{f.path: f.digest for f in one.outputs if f.role == "ignored"} for one in (first, again)]
    assert not expect.get("differing") or ignored[0] != ignored[1], "the case would prove nothing"
