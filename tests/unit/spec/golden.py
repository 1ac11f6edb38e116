"""Golden specs: each file of `tests/golden/specs` with the bytes and hashes that it must have for ever.

`python -m tests.unit.spec.golden` writes `hashes.json` anew; a line that changes breaks every stored run.
"""

import json
from pathlib import Path
from typing import Any

from executor.spec.file import parse_spec

FOLDER = Path(__file__).parents[2] / "golden" / "specs"
HASHES = FOLDER / "hashes.json"


def observed() -> dict[str, Any]:
    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        spec = parse_spec(path.read_bytes(), path.name)
        found[path.stem] = {
            "spec_hash": spec.hash.hex,
            "experiment_key": spec.experiment_key.hex,
            "canonical": spec.canonical().decode(),
        }
    return found


def written(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    HASHES.write_text(written(observed()))
