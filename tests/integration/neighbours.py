"""Programs of others that our exports meet: in an environment of their own, which `make test` builds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-neighbours" / "bin" / "python"


def needed() -> None:
    """Fail where that environment was not built: `make test` builds it, so without it nothing was tested."""
    if not (ROOT / ".venv-neighbours" / ".ready").exists():
        pytest.fail("no .venv-neighbours: `make .venv-neighbours/.ready` builds it", pytrace=False)


def validated(crate: Path, level: str, scratch: Path) -> dict[str, Any]:
    """What the public validator says of an RO-Crate: `passed`, `issues`, and how many `entities` it has."""
    script = ROOT / "tests" / "neighbours" / "validate.py"
    done = subprocess.run([PYTHON, script, crate, level, scratch / "cache"], capture_output=True, text=True,
                          check=False, timeout=120, cwd=scratch)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
