"""A secret reaches the program and nothing else: it is looked for in all that the engine, the store and we keep."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from executor.engine.plan import LABEL
from executor.steps.secrets import folder_of
from tests.integration.conftest import MakeMachine
from tests.integration.site import Machine, docker, wait_until
from tests.integration.test_jail import held, lock

pytestmark = [pytest.mark.engine, pytest.mark.slow]

VALUE = 'cänary "7f3a" / 91c2+e5\n'
PROGRAM = r"""
import base64, json, os, stat, sys, time
from pathlib import Path
from urllib.parse import quote

value = Path("/run/secrets/TOKEN").read_text()
seen = os.stat("/run/secrets/TOKEN")
print("read", len(value), oct(stat.S_IMODE(seen.st_mode)), seen.st_uid, os.listdir("/run/secrets"), flush=True)
for path in ("/run/secrets/TOKEN", "/run/secrets/new"):
    try:
        open(path, "w")
        print("written", path)
    except OSError as error:
        print("sealed", path)
token = value.strip()
print("plain", token, "json", json.dumps({"key": token}), "url", quote(token, safe=""), flush=True)
print("base64", base64.b64encode(b"user:" + token.encode()).decode(), repr(token), token.encode().hex())
sys.stdout.write("split " + token[:9])
sys.stdout.flush()
time.sleep(0.3)
sys.stdout.write(token[9:] + " end\n")
sys.stdout.flush()
time.sleep(0.3)  # the engine does not keep the order of two streams
print("loss 0.5", file=sys.stderr)
Path("/outputs/model.pt").write_bytes(b"weights")
Path("/outputs/metrics.jsonl").write_text(json.dumps({"loss": 1.0, token: 2}) + "\n" if "LEAK" in os.environ else "")
Path("/run/executor/report/process-9.json").write_text(json.dumps({"process": token, "settings": {"key": token}}))
Path("/outputs/ready").touch()
while not Path("/outputs/go").exists():
    time.sleep(0.05)
Path("/outputs/go").unlink()
sys.exit(f"failed with {token}")
"""


def written(value: str) -> list[bytes]:
    """Pieces of the value that would tell it."""
    token = value.strip().encode()
    return [token, token[-9:], base64.b64encode(token)[:12], token.hex().encode()]


def holders(places: Iterator[Path]) -> list[Path]:
    found = []
    for path in places:
        if path.is_file() and not path.is_symlink() and (data := path.read_bytes()):
            found += [path for piece in written(VALUE) if piece in data]
    return found


@pytest.fixture
def machine(make_machine: MakeMachine) -> Machine:
    return make_machine("file")


def test_a_secret_is_in_nothing_that_is_kept(machine: Machine, images: Mapping[str, str], tmp_path: Path) -> None:
    spec = lock(machine, images, PROGRAM, "secrets: [TOKEN]\n")
    value = tmp_path / "value"
    value.write_text(VALUE)
    with held(machine, spec, "--secret", f"TOKEN={value}", env={}) as (container, ended):
        inspected = docker("inspect", container)
        engine = Path(docker("info", "--format", "{{.DockerRootDir}}").strip())
        kept = holders((engine / "containers" / container).rglob("*") if os.geteuid() == 0 else iter(()))
        memory = folder_of(json.loads(inspected)[0]["Config"]["Labels"][f"{LABEL}.attempt"]).parent
        assert memory.stat().st_mode & 0o777 == 0o700
    (ran,) = ended
    assert (ran.code, ran.json["status"], ran.json["exit_code"]) == (1, "failed", 1), ran
    log = machine.log(machine.record(ran.json))
    assert "read 24 0o400 1000 ['TOKEN']" in log
    assert "sealed /run/secrets/TOKEN\nsealed /run/secrets/new\n" in log
    assert "plain [secret TOKEN] json" in log
    assert "split [secret TOKEN] end\n" in log
    assert "failed with [secret TOKEN]" in log
    shown = machine.run("logs", spec_hash := ran.json["spec_hash"]).out + machine.run("show", spec_hash).out
    for piece in written(VALUE):
        text = piece.decode("utf-8", "ignore")
        assert text not in inspected + ran.out + ran.err + shown + log
    assert kept == [], "the engine keeps no log of such a run"
    assert holders(machine.folder.rglob("*")) == []
    assert not memory.exists()


def test_a_rerun_needs_the_value_again_and_gives_the_same_bits(machine: Machine, images: Mapping[str, str]) -> None:
    program = "from pathlib import Path\nPath('/outputs/n').write_text(str(len(Path('/run/secrets/A').read_bytes())))"
    spec = lock(machine, images, program, "secrets: [A]\n")
    missing = machine.run("submit", spec)
    assert (missing.code, machine.attempts_left()) == (2, [])
    assert "set EXECUTOR_SECRET_A" in missing.err
    short = machine.run("submit", spec, env={"EXECUTOR_SECRET_A": "short"})
    assert (short.code, "expected 8 to 16384" in short.err) == (2, True)
    first = machine.run("submit", "--json", spec, env={"EXECUTOR_SECRET_A": "long enough"})
    assert first.code == 0, first
    assert machine.run("rerun", first.json["spec_hash"]).code == 2
    again = machine.run("rerun", "--json", first.json["spec_hash"], env={"EXECUTOR_SECRET_A": "long enough"})
    assert (again.code, again.json["verdict"]) == (0, "identical"), again
    assert machine.run("submit", spec).code == 0, "an answer from the store needs no secret"


def test_a_killed_run_leaves_none_behind_once_another_starts(
    machine: Machine, images: Mapping[str, str], tmp_path: Path
) -> None:
    spec = lock(machine, images, PROGRAM, "secrets: [TOKEN]\n")
    (tmp_path / "value").write_text(VALUE)
    with machine.start("submit", "--quiet", spec, "--secret", f"TOKEN={tmp_path / 'value'}") as process:
        (ready,) = wait_until(lambda: [*machine.home.glob("attempts/*/work/outputs/ready")], "the program")
        attempt = ready.parents[2].name
        process.kill()
    left = folder_of(attempt).parent
    assert left.is_dir()
    assert machine.run("submit", spec).code == 2, "there is no value now, but what was left goes first"
    assert not left.exists()
    assert machine.attempts_left() == []
