from __future__ import annotations

import json
from typing import Any

import pytest

from executor.cli.details import MOST_ATTEMPTS, MOST_METRICS, WIDTH, page
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from tests.unit.cli.conftest import Run
from tests.unit.sites import Program, World, a_spec

DATA = Digest.of(b"data")


@pytest.fixture
def document(run: Run, wired: World) -> dict[str, Any]:
    """What `show --json` says of a run that went well."""
    wired.program = Program(outputs={
        "model.pt": b"weights",
        "metrics.jsonl": b'{"step": 0, "loss": 2.5, "acc": 0.1}\n{"step": 1, "loss": 0.123456789, "acc": 0.9}\n',
    })  # fmt: skip
    spec = a_spec(params={"lr": 1e-3, "hidden": [1, 2]}, labels={"team": "vision"})
    wired.submit(spec)
    found = run("show", spec.hash.hex, "--json").json
    assert isinstance(found, dict)
    return found


def part(document: dict[str, Any], label: str) -> list[str]:
    """The lines from a label up to the next label or empty line."""
    lines = page(document).splitlines()
    (start,) = [at for at, line in enumerate(lines) if line.startswith(f"  {label} ")]
    rest = [at for at, line in enumerate(lines[start + 1 :], start + 1) if not line.startswith("     ")]
    return lines[start : rest[0] if rest else None]


def test_a_usual_run_fits_a_screen(document: dict[str, Any]) -> None:
    lines = page(document).splitlines()
    assert lines[0] == f"digits  {document['spec_hash'][:12]}  succeeded  (0.0 s)"
    assert len(lines) < 60
    labels = [line.split()[0] for line in lines[1:] if line[2:3].strip()]
    assert labels == [
        "spec", "attempt", "who", "when", "where", "command", "params", "seed", "cpu", "image", "labels", "metrics",
        "inside", "checks", "proof", "outputs", "attempts", "stored", "signed", "again",
    ]  # fmt: skip


def test_it_says_who_ran_it_where_and_which_attempt_it_is(document: dict[str, Any]) -> None:
    assert part(document, "who") == ["  who       Ada <ada@example.org>"]
    assert part(document, "attempt") == [f"  attempt   {document['attempt']}, the reference"]
    assert part({**document, "reference": None, "varied": {"threads": "4"}}, "attempt") == [
        f"  attempt   {document['attempt']}, varied on purpose: threads=4"
    ]
    assert part(document, "where") == ["  where     node1: AMD EPYC 9654, no GPU; docker 28.2.2"]
    assert part(document, "params") == ["  params    hidden=[1, 2]  lr=0.001"]


def test_what_a_spec_asks_of_code_data_and_gpus_is_told(document: dict[str, Any]) -> None:
    spec: Spec = a_spec(
        code={"commit": "a" * 40, "repo": "https://example.org/a.git"}, gpu={"type": "NVIDIA L4", "count": 2},
        data={"digits": {"hash": str(DATA), "source": "s3://acme/digits"}, "other": {"hash": str(DATA)}},
    )  # fmt: skip
    hints = {
        **document["hints"],
        "repo": spec.code.repo if spec.code else "",
        "sources": {"digits": "s3://acme/digits"},
    }
    asked = {**document, "spec": spec.identity(), "hints": hints}
    assert part(asked, "gpu") == ["  gpu       2 × NVIDIA L4"]
    assert part(asked, "code") == [f"  code      {'a' * 40}  https://example.org/a.git"]
    assert part(asked, "data") == [f"  data      digits  {DATA}  s3://acme/digits", f"            other  {DATA}"]


def test_a_long_command_has_one_line_and_many_parameters_have_several(document: dict[str, Any]) -> None:
    spec = {**document["spec"], "command": ["python", "-c", "x = 1\n" * 50],
            "params": {f"parameter{at}": at for at in range(20)}}  # fmt: skip
    (line,) = part({**document, "spec": spec}, "command")
    assert (len(line), line[-1]) == (WIDTH, "…")
    lines = part({**document, "spec": spec}, "params")
    assert len(lines) == 4
    assert all(len(line) <= WIDTH for line in lines)
    assert " ".join(lines).split()[1:] == [f"parameter{at}={at}" for at in range(20)]


def test_metrics_have_their_ends_where_the_record_has_them(document: dict[str, Any]) -> None:
    assert [line.split() for line in part(document, "metrics")] == [
        ["metrics", "final", "lowest", "highest"], ["acc", "0.9", "0.1", "0.9"],
        ["loss", "0.123456789", "0.123457", "2.5"],
    ]  # fmt: skip
    before = {**document, "lowest": {}, "highest": {}}
    assert [line.split() for line in part(before, "metrics")] == [["metrics", "acc", "0.9"], ["loss", "0.123456789"]]
    many = {f"m{at:02}": "NaN" for at in range(MOST_METRICS + 2)}
    lines = part({**before, "metrics": many}, "metrics")
    assert (lines[0].split(), lines[-1].strip()) == (["metrics", "m00", "nan"], "… and 2 more metrics")


def test_a_run_without_metrics_outputs_or_a_look_inside_has_no_empty_parts(document: dict[str, Any]) -> None:
    fingerprint = {**document["fingerprint"], "container": {"checked": False, "reason": "the image has no python3"}}
    bare = {**document, "metrics": {}, "outputs": [], "fingerprint": fingerprint, "proof": None, "submitter": ""}
    text = page(bare)
    assert "\n\n\n" not in text
    for label in ("metrics", "outputs", "proof", "who"):
        assert f"  {label} " not in text
    assert part(bare, "inside") == ["  inside    the image has no python3"]


def test_findings_are_told_with_their_advice(document: dict[str, Any]) -> None:
    bad = {"field": "gpu.type", "expected": "a", "observed": "b", "severity": "warn", "advice": "do", "allowed": False}
    good = sum(one["severity"] == "info" for one in document["findings"])
    text = page({**document, "findings": [*document["findings"], bad]})
    assert f"  checks    {good} passed, 1 did not:\n  ! gpu.type: expected a, found b\n      → do\n" in text


def test_an_attempt_names_where_it_parted_and_the_files_that_differ(document: dict[str, Any]) -> None:
    files = [{"path": path, "reference": "a", "observed": "b"} for path in "abcd"]
    files.append({"path": "same", "reference": "a", "observed": "a"})
    (first,) = document["attempts"]
    where = {"kind": "gradient", "step": 3, "tensor": "fc.weight", "reason": "x"}
    other = {**first, "attempt": "two", "verdict": "different", "comparison": {"files": files}, "divergence": where}
    lines = part({**document, "attempts": [first, other]}, "attempts")
    assert lines[2:] == [
        "            two  succeeded    different  Ada",
        "              at step 3, in the gradients, first in fc.weight",
        *(f"              ≠ {name}" for name in ("a", "b", "c", "… and 1 more file")),
    ]  # fmt: skip
    assert part({**document, "attempts": [first] * 9}, "attempts")[-1].strip() == f"… and {9 - MOST_ATTEMPTS} more"


def test_what_is_kept_and_who_signed_it(document: dict[str, Any]) -> None:
    kept = [{"what": "image", "size": 3 << 30}, {"what": "data.x", "size": None}]
    assert part({**document, "archived": kept}, "archived") == ["  archived  image (3.0 GiB), data.x (not whole)"]
    assert part(document, "signed")[0].startswith("  signed    by own, ")
    unsigned = {**document, "signature": {"state": "unsigned", "why": "it is not signed", "key": "", "keyids": []}}
    assert part(unsigned, "signed") == ["  signed    it is not signed"]


def test_how_to_have_it_again_depends_on_what_there_is(document: dict[str, Any]) -> None:
    assert [line.removeprefix("  again").split()[1] for line in part(document, "again")] == ["rerun", "pull", "logs"]
    words = part({**document, "reference": None, "outputs": []}, "again")
    assert [line.split() for line in words] == [
        ["again", "executor", "logs", document["spec_hash"][:12], "what", "it", "printed"]
    ]


def test_the_document_is_whole(document: dict[str, Any]) -> None:
    names = {"spec", "hints", "fingerprint", "metrics", "lowest", "highest", "findings", "outputs", "attempts",
             "agreement", "reference", "signature", "archived", "log_tail", "store", "submitter"}  # fmt: skip
    assert names <= set(document)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
