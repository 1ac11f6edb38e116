"""What the fault tests share: worlds, and the table of what was injected."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.world import World, make_world
from tests.integration.conftest import (  # noqa: F401  (fixtures)
    S3Server,
    engine,
    images,
    s3_server,
    small_blobs,
    small_image,
    torch_image,
)
from tests.integration.fault_proxy import FaultProxy
from tests.thorough import ALL

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "faults.json"


HookWrapper = Generator[None, pytest.TestReport, pytest.TestReport]


@dataclass
class Row:
    """One row of the table: a test, what it injected, and whether the invariants held."""

    test: str
    faults: dict[str, int] = field(default_factory=dict)
    """Fault to how often it was injected."""
    held: bool = False

    def injected(self, fault: str, times: int = 1) -> None:
        """Count a fault that was really injected."""
        self.faults[fault] = self.faults.get(fault, 0) + times


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """The row of this test."""
    return Row(request.node.nodeid.rpartition("/")[2])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> HookWrapper:
    """Note which tests with a row passed: each ends by checking the invariants. A report comes from any process."""
    report = yield
    if call.when == "call" and "row" in getattr(item, "funcargs", {}):
        row = item.funcargs["row"]  # type: ignore[attr-defined]
        report.user_properties.append(("fault row", asdict(replace(row, held=report.passed))))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was injected and what was lost; keep the whole table when everything was tested."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    rows = [value for report in reports for name, value in report.user_properties if name == "fault row"]
    if not rows:
        return
    rows.sort(key=lambda row: str(row["test"]))
    total = sum(sum(row["faults"].values()) for row in rows)
    lost = sum(not row["held"] for row in rows)
    terminalreporter.write_line(f"{total} faults injected, {lost} lost")
    if ALL:
        table = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "injected": total, "lost": lost, "rows": rows}
        RESULTS.write_text(json.dumps(table, indent=1) + "\n")


MakeWorld = Callable[..., World]


@pytest.fixture
def make(s3_server: S3Server, small_image: str, tmp_path: Path) -> Callable[..., World]:  # noqa: F811
    """Makes a world whose store is a bucket; behind a fault proxy when one is given."""

    def made(name: str = "world", proxy: FaultProxy | None = None, **more: str) -> World:
        return make_world(tmp_path / name, s3_server, proxy, **more)

    return made


@pytest.fixture
def world(make: MakeWorld) -> World:
    """A world whose store is a bucket."""
    return make()
