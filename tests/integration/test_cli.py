"""The real command with real parts: exit codes, one JSON document, and what each command promises."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from executor.spec.canonical import Digest
from tests.integration.site import EXECUTOR, SCRIPT, SMALL, SPEC, Machine, commit, locked, project
from tests.ran import Ran

pytestmark = pytest.mark.engine

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@dataclass(frozen=True)
class Finished:
    """A machine with one run that was submitted and run again."""

    machine: Machine
    spec: Path
    """The locked spec."""
    hash: str
    submitted: Ran
    rerun: Ran


@pytest.fixture(scope="module")
def finished(small_image: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    machine = Machine(folder, f"file:{folder}/store")
    draft = project(folder / "project", SPEC, run_sh=SCRIPT)
    submitted = machine.run("submit", "--lock", "--json", draft)
    assert submitted.code == 0, submitted
    spec_hash = submitted.json["spec_hash"]
    rerun = machine.run("rerun", "--json", spec_hash[:6])
    return Finished(machine, draft.with_name("spec.lock.yaml"), spec_hash, submitted, rerun)


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Machine:
    """A machine with a copy of the finished run's store, and a home of its own."""
    shutil.copytree(finished.machine.folder / "store", tmp_path / "store")
    return Machine(tmp_path, f"file:{tmp_path}/store")


# What comes out -------------------------------------------------------------------------------------------------------


def test_submit_and_rerun_promise_these_fields(finished: Finished) -> None:
    for ran, verdict in ((finished.submitted, None), (finished.rerun, "identical")):
        assert ran.code == 0, ran
        view = ran.json
        assert view["spec_hash"] == finished.hash
        assert (view["status"], view["cached"], view["exit_code"], view["verdict"]) == ("succeeded", False, 0, verdict)
        assert {file["path"]: file["role"] for file in view["outputs"]} == {
            "metrics.jsonl": "metrics", "model.pt": "weights",
        }  # fmt: skip
        weights = next(file for file in view["outputs"] if file["path"] == "model.pt")
        assert (weights["digest"], weights["size"]) == (str(Digest.of(b"weights\n")), 8)
        assert view["metrics"] == {"loss": 0.5}
        assert view["runtime_s"] >= 0
        assert view["store"] == f"{finished.machine.url}/v1/runs/{finished.hash}/attempts/{view['attempt']}"
        assert {"field", "expected", "observed", "severity", "advice"} <= view["findings"][0].keys()
        assert "divergence" not in view
    assert finished.submitted.json["attempt"] != finished.rerun.json["attempt"]


def test_ls_lists_both_without_outputs(finished: Finished) -> None:
    listed = finished.machine.run("ls", "--json").json
    assert [one["attempt"] for one in listed] == [finished.rerun.json["attempt"], finished.submitted.json["attempt"]]
    assert all("outputs" not in one and one["spec_hash"] == finished.hash for one in listed)
    text = finished.machine.run("ls").out
    assert finished.hash[:12] in text
    assert "loss=0.5" in text


def test_show_says_how_many_agree(finished: Finished) -> None:
    shown = finished.machine.run("show", "--json", finished.hash[:12]).json
    assert shown["attempt"] == shown["reference"] == finished.submitted.json["attempt"]
    assert shown["agreement"] == {"identical": 2, "succeeded": 2}
    assert shown["log_tail"] == "hello\n"
    assert shown["spec"]["command"] == ["sh", "run.sh"]
    assert "identical in 2 of 2" in finished.machine.run("show", finished.hash).out


def test_logs_prints_what_the_run_printed(finished: Finished) -> None:
    assert finished.machine.run("logs", finished.hash).out == "hello\n"
    assert finished.machine.run("logs", "-f", finished.hash).out == "hello\n"
    assert finished.machine.run("logs", finished.hash, "--json").json["log"] == "hello\n"


def test_hash_prints_64_digits_and_nothing_else(finished: Finished) -> None:
    assert finished.machine.run("hash", finished.spec).out == finished.hash + "\n"
    assert finished.machine.run("hash", "--json", finished.spec).json["spec_hash"] == finished.hash


def test_plan_is_what_would_be_asked_and_touches_nothing(finished: Finished, tmp_path: Path) -> None:
    elsewhere = replace(finished.machine, folder=tmp_path, url=f"file:{tmp_path}/store")
    planned = elsewhere.run("plan", finished.spec, env=NO_ENGINE)
    assert planned.code == 0, planned
    assert planned.json["spec_hash"] == finished.hash
    assert planned.json["request"]["HostConfig"]["NetworkMode"] == "none"
    assert planned.json["request"]["Cmd"] == ["sh", "run.sh"]
    assert list(tmp_path.iterdir()) == []


def test_doctor_looks_at_everything(finished: Finished) -> None:
    seen = finished.machine.run("doctor", "--json")
    assert seen.code == (0 if seen.json["ready"] else 3)
    assert {"engine", "store", "disk"} <= {one["field"] for one in seen.json["findings"]}
    bad = finished.machine.run("doctor", "--json", "--store", "s3://nowhere", env=NO_ENGINE | nobody_listens())
    assert (bad.code, bad.json["ready"]) == (3, False)
    assert {"engine", "store"} <= {one["field"] for one in bad.json["findings"] if one["severity"] == "refuse"}


# Answered from the store ----------------------------------------------------------------------------------------------


def test_a_second_submit_needs_no_engine(finished: Finished) -> None:
    again = finished.machine.run("submit", "--json", finished.spec, env=NO_ENGINE)
    assert again.code == 0, again
    assert again.json["cached"] is True
    assert again.json["attempt"] == finished.submitted.json["attempt"]


def test_force_runs_again(finished: Finished, copy: Machine) -> None:
    again = copy.run("submit", "--json", "--force", finished.spec)
    assert (again.code, again.json["cached"], again.json["verdict"]) == (0, False, "identical"), again
    assert copy.run("show", "--json", finished.hash).json["agreement"] == {"identical": 3, "succeeded": 3}


def test_a_result_with_a_missing_blob_is_no_answer(finished: Finished, copy: Machine) -> None:
    digest = Digest.of(b"weights\n").hex
    (copy.folder / f"store/v1/blobs/sha256/{digest[:2]}/{digest}").unlink()
    again = copy.run("submit", "--json", finished.spec)
    assert (again.code, again.json["cached"]) == (0, False), again
    assert copy.store.has_blob(Digest(digest))


def test_several_specs_give_a_list(finished: Finished) -> None:
    both = finished.machine.run("submit", "--json", finished.spec, finished.spec, env=NO_ENGINE).json
    assert [one["cached"] for one in both] == [True, True]


# Pull -----------------------------------------------------------------------------------------------------------------


def test_pull_writes_verified_files_and_overwrites_nothing(finished: Finished, tmp_path: Path) -> None:
    pulled = finished.machine.run("pull", finished.hash, tmp_path / "out", "--json")
    assert pulled.code == 0, pulled
    assert (tmp_path / "out/model.pt").read_bytes() == b"weights\n"
    assert {file["path"] for file in pulled.json["files"]} == {"model.pt", "metrics.jsonl"}
    assert finished.machine.run("pull", finished.hash, tmp_path / "out").code == 0, "what is there already is kept"
    (tmp_path / "out/model.pt").write_bytes(b"my own\n")
    (tmp_path / "out/metrics.jsonl").unlink()
    refused = finished.machine.run("pull", finished.hash, tmp_path / "out")
    assert refused.code == 2
    assert "model.pt" in refused.err
    assert (tmp_path / "out/model.pt").read_bytes() == b"my own\n"
    assert not (tmp_path / "out/metrics.jsonl").exists()


def test_pull_of_wrong_bytes_is_exit_5(finished: Finished, copy: Machine, tmp_path: Path) -> None:
    digest = Digest.of(b"weights\n").hex
    blob = copy.folder / f"store/v1/blobs/sha256/{digest[:2]}/{digest}"
    blob.chmod(0o644)
    blob.write_bytes(b"Weights\n")
    pulled = copy.run("pull", finished.hash, tmp_path / "out", "--json")
    assert (pulled.code, pulled.json["error"]) == (5, "CorruptObject"), pulled
    assert not (tmp_path / "out/model.pt").exists()


# Drafts and locks -----------------------------------------------------------------------------------------------------


def test_a_bare_draft_is_refused_with_advice(finished: Finished) -> None:
    refused = finished.machine.run("submit", "--json", finished.spec.with_name("spec.yaml"))
    assert refused.code == 2
    assert {error["field"] for error in refused.json["errors"]} >= {"image", "code.commit"}
    assert all(error["line"] for error in refused.json["errors"])
    assert "--lock" in refused.err


def test_locking_a_dirty_tree_names_the_files(machine: Machine, small_image: str) -> None:
    draft = project(machine.folder / "project", SPEC, run_sh=SCRIPT)
    (draft.parent / "run.sh").write_text("changed")
    (draft.parent / "new ü.py").write_text("new")
    refused = machine.run("lock", draft)
    assert refused.code == 2
    assert "run.sh" in refused.err
    assert "new ü.py" in refused.err
    assert "commit" in refused.err
    commit(draft.parent)
    assert machine.run("lock", draft).code == 0


def test_lock_prints_a_spec_that_hashes_the_same(finished: Finished, machine: Machine) -> None:
    printed = machine.run("lock", finished.spec.with_name("spec.yaml"))
    assert printed.code == 0, printed
    (machine.folder / "printed.yaml").write_text(printed.out)
    assert machine.run("hash", machine.folder / "printed.yaml").out.strip() == finished.hash


def test_init_makes_what_runs_as_it_is(machine: Machine, torch_image: str) -> None:
    identity = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    made = machine.run("init", machine.folder / "mine", "--json", env=identity)
    assert made.code == 0, made
    assert "spec.yaml" in made.json["files"]
    assert machine.run("init", machine.folder / "mine").code == 2, "nothing is overwritten"
    spec = machine.folder / "mine/spec.yaml"
    spec.write_text(re.sub(r"(?m)^image: \S+", f"image: {torch_image}", spec.read_text()))
    if not made.json["committed"] or torch_image not in spec.read_text():
        commit(spec.parent)
    ran = machine.run("submit", "--lock", "--json", spec)
    assert (ran.code, ran.json["status"]) == (0, "succeeded"), ran
    assert ran.json["metrics"]
    assert any(file["role"] == "weights" for file in ran.json["outputs"])


# What is refused, and how ---------------------------------------------------------------------------------------------


def nobody_listens() -> dict[str, str]:
    """An S3 endpoint on which nothing answers."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    return {"EXECUTOR_S3_ENDPOINT": f"http://127.0.0.1:{port}", "EXECUTOR_STORE": "s3://nowhere", **keys}


def test_every_answer_and_every_error_is_one_document(finished: Finished, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\nname: [\n")
    run, spec, digits = finished.machine.run, finished.spec, finished.hash
    asked: list[tuple[int, tuple[object, ...], Mapping[str, str]]] = [
        (2, ("submit", bad), {}),
        (2, ("submit", tmp_path / "absent.yaml"), {}),
        (2, ("submit",), {}),
        (2, ("submit", spec, "--no-such-option"), {}),
        (2, ("submit", "--force", spec, "--allow", "no.such.field"), {}),
        (2, ("hash", bad), {}),
        (2, ("plan", bad), {}),
        (2, ("lock", bad), {}),
        (2, ("rerun", "12345"), {}),
        (2, ("rerun", "0" * 64), {}),
        (2, ("rerun", "not-a-hash"), {}),
        (2, ("show", "ffffff"), {}),
        (2, ("show", digits, "--attempt", "20260101T000000Z-00000000"), {}),
        (2, ("logs", "000000"), {}),
        (2, ("pull", "000000", tmp_path), {}),
        (2, ("no-such-command",), {}),
        (2, ("image", "build", "no-such-recipe"), {}),
        (2, ("image", "pin", "localhost/no-such-image"), {}),
        (6, ("submit", "--force", spec), NO_ENGINE),
        (6, ("rerun", digits), NO_ENGINE),
        (6, ("image", "ls"), NO_ENGINE),
        (6, ("submit", spec), nobody_listens()),
        (6, ("ls",), nobody_listens()),
        (2, ("ls", "--store", "ftp://nowhere"), {}),
        (0, ("image", "ls"), {}),
        (0, ("image", "pin", SMALL), {}),
        (0, ("show", digits), {}),
        (0, ("hash", spec), {}),
        (0, ("plan", spec), {}),
        (0, ("lock", spec.with_name("spec.yaml")), {}),
    ]
    problems = []
    for code, words, env in asked:
        ran = run(*words, "--json", env=env)
        try:
            document = ran.json
        except json.JSONDecodeError:
            document = None
        told = ran.err.startswith("executor: ") or "\nexecutor: " in ran.err
        if ran.code != code or document is None or "Traceback" in ran.err or (code and not told):
            problems.append((words, ran))
    assert problems == []


@pytest.mark.parametrize(
    ("more", "field", "observed"),
    [
        ("cpu: {threads: 512}\n", "cpu.threads", "CPUs"),
        ('gpu: {type: "NVIDIA H999 1TB"}\n', "gpu.type", ""),
        ("resources: {memory: 900TiB}\n", "memory", "GiB"),
    ],
)
def test_a_mismatch_is_exit_3_with_its_findings(
    machine: Machine, small_image: str, more: str, field: str, observed: str
) -> None:
    spec = SPEC.replace("gpu: none\n", "" if "gpu" in more else "gpu: none\n")
    spec = spec.replace("resources: {memory: 256MiB}\n", "" if "memory" in more else "resources: {memory: 256MiB}\n")
    draft = project(machine.folder / "project", spec + more, run_sh=SCRIPT)
    refused = machine.run("submit", "--lock", "--json", draft)
    assert refused.code == 3, refused
    assert refused.json["status"] == "refused"
    findings = {one["field"]: one for one in refused.json["findings"]}
    assert findings[field]["severity"] == "refuse"
    assert observed in findings[field]["observed"]
    assert findings[field]["advice"]
    assert (f"--allow {field}" in refused.err) == (field != "memory"), "accepting gives no memory"
    assert machine.run("ls", "--json").json == [], "nothing ran"


def test_an_allowed_mismatch_runs_and_the_record_keeps_it(machine: Machine, small_image: str) -> None:
    spec, _ = locked(machine, SCRIPT, "cpu: {threads: 512}\n")
    ran = machine.run("submit", "--json", spec, "--allow", "cpu.threads")
    assert ran.code == 0, ran
    assert [one["field"] for one in ran.json["findings"] if one["allowed"]] == ["cpu.threads"]
    assert machine.record(ran.json).allowed == ("cpu.threads",)


def test_data_that_changed_since_the_lock_is_refused(machine: Machine, small_image: str) -> None:
    data = machine.folder / "data"
    data.mkdir()
    (data / "a.csv").write_text("1\n")
    spec, _ = locked(machine, SCRIPT, f"data: {{numbers: {{source: {data}}}}}\n")
    (data / "a.csv").write_text("2\n")
    refused = machine.run("submit", "--json", spec)
    assert refused.code == 3, refused
    assert [(one["field"], one["severity"]) for one in refused.json["findings"]] == [("data.numbers.hash", "refuse")]
    assert "data.numbers" in refused.err
    assert machine.run("ls", "--json").json == []


def test_a_failing_program_shows_the_last_of_its_log(machine: Machine, small_image: str) -> None:
    spec, spec_hash = locked(machine, "echo the reason >&2\nexit 7\n")
    ran = machine.run("submit", spec)
    assert ran.code == 1
    assert "exit status 7" in ran.out
    assert "│ the reason" in ran.err
    assert "│ the reason" in machine.run("show", spec_hash).out
    second = machine.run("submit", "--json", spec).json
    assert (second["cached"], second["exit_code"]) == (False, 7), "a failure is no answer"


def test_help_is_quick_because_it_imports_little() -> None:
    names = "torch", "docker", "boto3", "botocore", "pydantic", "rich", "requests", "yaml"
    program = (
        "import sys, executor.cli.main as m\nsys.argv = ['executor', '--help']\n"
        f"try: m.main()\nfinally: print('LOADED', [n for n in {names!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "submit" in done.stdout
    assert done.stdout.endswith("LOADED []\n")


def test_every_command_has_help() -> None:
    whole = subprocess.run([EXECUTOR, "--help"], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  ([a-z]+)  ", whole.partition("Commands:")[2], re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        done = subprocess.run([EXECUTOR, command, "--help"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"Usage: executor {command}")
