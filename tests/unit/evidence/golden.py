"""The golden record: a record as it is stored, byte for byte.

`python -m tests.unit.evidence.golden` writes it anew; a line that changes there is a line that old stores lack.
"""

from pathlib import Path

from executor.evidence.compare import compare
from executor.evidence.record import Blob, Record
from executor.facts import Finding
from executor.spec.canonical import Digest
from tests.unit.evidence.samples import file, record

PATH = Path(__file__).parents[2] / "golden" / "record.json"


def golden() -> Record:
    reference = record(file("model.pt", "1"), file("metrics.jsonl", "2", "metrics"))
    again = record(
        file("model.pt", "1"), file("metrics.jsonl", "3", "metrics"), file("tb/events", "4", "ignored"),
        attempt="20260102T120000Z-00000001", metrics={"loss": 0.1, "nan": float("nan"), "inf": float("inf")},
        lowest={"loss": 0.05}, highest={"loss": 1.5, "inf": float("inf")},
        series=Blob(digest=Digest.of(b"table"), size=5), log=Blob(digest=Digest.of(b"log"), size=3),
        code=Blob(digest=Digest.of(b"code"), size=4),
        manifests={"digits": Blob(digest=Digest.of(b"tree"), size=4)}, allowed=("cpu_model",), rerun=True,
        refused_outputs={"link": "a symbolic link"}, unreadable_metrics=1,
        findings=(Finding(field="memory", expected="a", observed="b", severity="refuse", advice="c", allowed=True),),
    )  # fmt: skip
    return again.model_copy(update={"comparison": compare(reference, again)})


if __name__ == "__main__":
    PATH.write_bytes(golden().to_json())
