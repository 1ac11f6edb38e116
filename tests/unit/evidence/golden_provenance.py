"""The golden statement: what is signed of the golden record, made readable.

`python -m tests.unit.evidence.golden_provenance` writes it anew; a line that changes there is one that signed
statements of before lack, so `BUILD_TYPE` must be raised with it.
"""

import json
from pathlib import Path

from executor.evidence.provenance import statement
from executor.evidence.record import Blob, Hints, Record
from executor.spec.canonical import Digest, spec_hash
from tests.unit.evidence.golden import golden

PATH = Path(__file__).parents[2] / "golden" / "provenance.json"
SPEC = {
    "version": 1, "image": f"sha256:{'1' * 64}", "code": "2" * 40, "data": {"digits": str(Digest.of(b"tree"))},
    "command": ["python", "train.py"], "params": {"lr": 0.001, "layers": 2}, "seed": 2**64 - 1, "gpu": None,
}  # fmt: skip
HINTS = Hints(
    name="digits", image="registry.example.org/ml/torch", repo="https://example.org/acme/digits.git",
    sources={"digits": "s3://acme-data/digits"}, resources={"memory": 8 << 30, "timeout": 7200.0},
)  # fmt: skip


def signed(**changes: object) -> Record:
    """The golden record, with a spec that names every kind of input."""
    blobs = {name: Blob(digest=Digest.of(name.encode()), size=len(name)) for name in ("trace", "operations")}
    known = {"spec": SPEC, "spec_hash": spec_hash(SPEC), "hints": HINTS, "varied": {"cpus": "2"}, **blobs}
    return golden().model_copy(update=known | changes)


def written() -> str:
    """The statement as the golden file holds it."""
    return json.dumps(statement(signed(), Digest.of(b"the stored bytes of a record")), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(written())
