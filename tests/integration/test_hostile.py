"""A program that means harm with what it leaves and prints: nothing of it runs here, floods us or draws on a screen."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest

from executor.engine.logs import TAIL
from executor.engine.plan import LOG_LIMIT
from tests.integration.conftest import MakeMachine
from tests.integration.site import Machine
from tests.integration.test_jail import lock

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PICKLE = r"""
import json, time
from pathlib import Path

canary = json.loads(Path("/run/executor/params.json").read_text())["canary"]
evil = f"cposix\nsystem\n(Vtouch {canary} /tmp/canary # {time.time_ns()}\ntR."
for name in ("model.pt", "model.pth", "weights.pkl", "model.safetensors"):
    Path("/outputs", name).write_text(evil)
Path("/outputs/metrics.jsonl").write_text('{"loss": 1}\n')
"""


@pytest.fixture
def machine(make_machine: MakeMachine) -> Machine:
    return make_machine("file")


def test_pickled_code_passes_through_and_is_run_by_nothing_here(machine: Machine, images: Mapping[str, str]) -> None:
    """Weights that differ are loaded to be compared: in the run's image, in a container, never on this machine."""
    canary = machine.folder / "canary"
    evil = pickle.loads(f"cposix\nsystem\n(Vtouch {canary}\ntR.".encode())
    assert evil == 0, "such a file does run code where it is loaded"
    canary.unlink()
    spec = lock(machine, images, PICKLE, f"params: {{canary: {canary}}}\n")
    first = machine.run("submit", "--json", spec)
    assert (first.code, first.json["status"]) == (0, "succeeded"), first
    hash_ = first.json["spec_hash"]
    again = machine.run("rerun", "--json", hash_)
    assert (again.code, again.json["verdict"]) == (4, "different"), again
    for words in (("show", hash_), ("ls",), ("logs", hash_), ("pull", hash_, machine.folder / "pulled"),
                  ("diff", hash_, hash_), ("rerun", "--diagnose", hash_)):  # fmt: skip
        assert machine.run(*words).code in (0, 4), words
    assert (machine.folder / "pulled" / "model.pt").is_file()
    assert not canary.exists()
    assert not Path("/tmp/canary").exists()


FLOOD = r"""
import os, sys, time

out = sys.stdout.buffer
out.write(b"the beginning\n")
out.write(b"\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m \xff\xfe \x9b1m gpj.\xe2\x80\xaeexe \x08\x08\r\n")
out.write(b"x" * 20_000_000 + b"\n")
ends, block = time.monotonic() + 4, (b"y" * 99 + b"\n") * 655
while time.monotonic() < ends:
    out.write(block)
out.flush()
for _ in range(1200):
    out.write(block)
out.write(b"the \x1b[5mend\n")
"""


def test_a_flood_of_text_is_bounded_whole_at_both_ends_and_harmless(
    machine: Machine, images: Mapping[str, str]
) -> None:
    spec = lock(machine, images, FLOOD)
    ran = machine.run("submit", spec)
    assert ran.code == 0, ran.err[-2000:]
    (view,) = machine.run("ls", "--json").json
    record = machine.record(view)
    assert record.log is not None
    assert record.log.size < LOG_LIMIT + 2 * TAIL
    assert record.outcome.log_dropped > 2**23
    assert record.outcome.log_tail.endswith("the \x1b[5mend\n")
    kept = machine.log(record)
    assert kept.startswith("the beginning\n")
    assert kept.endswith("the \x1b[5mend\n")
    assert f"[{record.outcome.log_dropped} bytes of log were not kept; its end follows]" in kept
    shown = machine.run("logs", view["spec_hash"]).out
    assert shown.startswith("the beginning\n]0;ownedred \ufffd\ufffd")
    for text in (ran.out, ran.err, shown, machine.run("show", view["spec_hash"]).out):
        assert not {"\x1b", "\x07", "\x08", "\x9b", "\u202e"} & set(text)
