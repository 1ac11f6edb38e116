from typing import Any

from executor.cli.details import WIDTH, asked, attempts, kept, listed
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.steps.recorded import hints_of
from tests.unit.sites import a_spec

DATA = Digest.of(b"data")


def shown(spec: Spec) -> list[str]:
    return asked(spec.identity(), hints_of(spec).model_dump(mode="json")).splitlines()


def test_all_that_a_spec_asks_is_aligned() -> None:
    spec = a_spec(
        command=("python", "train.py", "--lr", "{params.lr}"), params={"lr": 1e-3, "hidden": [1, 2]},
        code={"commit": "a" * 40, "repo": "https://example.org/a.git"}, gpu={"type": "NVIDIA L4", "count": 2},
        data={"digits": {"hash": str(DATA), "source": "s3://acme/digits"}}, labels={"team": "vision"},
    )  # fmt: skip
    assert shown(spec) == [
        "  command   python train.py --lr '{params.lr}'",
        "  params    lr=0.001  hidden=[1, 2]",
        "  seed      1",
        "  cpu       2 threads, avx2",
        "  gpu       2 × NVIDIA L4",
        f"  image     {spec.image}",
        f"  code      {'a' * 40}  https://example.org/a.git",
        f"  data      digits  {DATA}  s3://acme/digits",
        "  labels    team=vision",
    ]


def test_only_what_is_set_is_shown() -> None:
    assert [line.split()[0] for line in shown(a_spec())] == ["command", "seed", "cpu", "image"]


def attempt(name: str, *differ: str) -> dict[str, Any]:
    files = [{"path": path, "reference": "a", "observed": "b"} for path in differ]
    comparison = {"verdict": "different", "files": [*files, {"path": "same", "reference": "a", "observed": "a"}]}
    return {"attempt": name, "status": "succeeded", "comparison": comparison if differ else None}


def test_an_attempt_names_the_files_that_differ() -> None:
    found = attempts([attempt("one"), attempt("two", "a", "b", "c", "d")], "one")
    assert found.splitlines() == [
        "   * one  succeeded", "     two  succeeded  different",
        "       ≠ a", "       ≠ b", "       ≠ c", "       ≠ … and 1 more file",
    ]  # fmt: skip


def test_the_list_fits_and_shortens_numbers() -> None:
    one = {
        "spec_hash": "a" * 64, "name": "digits-mlp", "created": "2026-01-01T12:00:00Z", "status": "succeeded",
        "verdict": "identical", "runtime_s": 12.34, "metrics": {"loss": 0.123456789, "accuracy": "nan", "step": 1e6},
    }  # fmt: skip
    head, row = listed([one]).splitlines()
    assert head.startswith("SPEC")
    assert row.endswith("12.3 s  loss=0.123457 …")
    assert len(row) <= WIDTH
    assert listed([one | {"metrics": {"step": 1e6}}]).splitlines()[1].endswith("step=1e+06")


def test_what_is_kept_beside_a_run_has_a_size_or_is_not_whole() -> None:
    assert kept([{"what": "image", "size": 3 << 30}, {"what": "data.x", "size": None}]) == (
        "image (3.0 GiB), data.x (not whole)"
    )
