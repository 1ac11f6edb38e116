from __future__ import annotations

from typing import Any

import pytest

from executor.cli.verdict import KINDS, divergence, verdict

FOUND = {
    "step": 17, "kind": "gradient", "tensor": "0.weight", "cause": "entropy", "where": "train.py:12", "process": "0",
    "confirmed": True, "reason": "os.urandom, read at train.py:12, reached xor", "evidence": ["trace: equal up to 17"],
}  # fmt: skip
FILE = {"path": "m.pt", "reference": "sha256:" + "1" * 64, "observed": "sha256:" + "2" * 64}
TENSORS = {
    "reference": "a", "observed": "b", "problem": "", "tensors": 4, "different_count": 1, "max_ulp": 3,
    "different": [{"name": "w", "count": 2, "elements": 9, "first_index": [0, 1], "max_ulp": 3, "max_relative": 1e-7}],
}  # fmt: skip


def view(**file: Any) -> dict[str, Any]:
    comparison = {"verdict": "different", "reason": "1 of 1 file differs: m.pt", "files": [FILE | file]}
    return {
        "comparison": comparison,
        "divergence": FOUND,
        "prediction": {"value": "unknown", "why": "it reads a clock"},
    }


def test_a_report_says_what_where_why_and_what_was_expected() -> None:
    lines = verdict(view(tensors=TENSORS))
    assert lines[1] == "  parted    at step 17, in the gradients, first in 0.weight"
    assert lines[2].startswith("  because   os.urandom, read at train.py:12")
    assert lines[2].endswith("shown by trying]")
    assert "  predicted unknown: it reads a clock" in lines
    assert "        w: 2 of 9 elements, first at [0, 1], up to 3 ulp, 1e-07 relative" in lines


def test_a_suspicion_is_no_certainty_and_says_how_to_know() -> None:
    lines = divergence(FOUND | {"confirmed": False})
    assert "the likeliest of what is known" in lines[1]
    assert "rerun --diagnose" in lines[-1]


def test_equal_values_are_told_in_words() -> None:
    assert any("every value is equal" in line for line in verdict(view(tensors=TENSORS | {"observed": "a"})))


def test_without_tensors_the_content_speaks() -> None:
    told = view(explanation={"lines": ["loss: 1 → 2"]})
    assert "        loss: 1 → 2" in verdict(told)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words(kind: str) -> None:
    assert KINDS[kind] in divergence(FOUND | {"kind": kind})[0]


def test_a_record_of_before_has_no_reason() -> None:
    assert divergence({"step": None, "kind": "output", "file": "m.pt"}) == []
