from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.store import open_store
from tests.unit.evidence.samples import record

HEAVY = ("numpy", "pydantic", "boto3", "docker", "requests", "yaml")
PROGRAM = f"""
import sys, executor.cli.main as m
sys.argv = ["executor", *sys.argv[1:]]
try: m.main()
finally: print("LOADED", [name for name in {HEAVY} if name in sys.modules])
"""


QUESTIONS = (("ls",), ("find", "accuracy > 0.1"), ("best", "accuracy"), ("claim", "accuracy=0.5"))


@pytest.mark.parametrize("words", QUESTIONS, ids=lambda words: words[0])
def test_a_question_is_quick_because_it_imports_little(words: tuple[str, ...], tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path}/store", {})
    made = record(metrics={"accuracy": 0.5})
    store.put_record(made.spec_hash, made.attempt, made.to_json())
    kept = {**os.environ, "EXECUTOR_HOME": str(tmp_path / "home"), "EXECUTOR_STORE": store.url}
    first, second = (
        subprocess.run([sys.executable, "-c", PROGRAM, *words], env=kept, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert made.spec_hash.hex[:12] in second.stdout
    assert second.stdout.endswith("LOADED []\n")
    assert first.stdout.partition("LOADED")[0] == second.stdout.partition("LOADED")[0], "the first reads the record"
