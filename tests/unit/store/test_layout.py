from __future__ import annotations

import pytest

from executor.spec.canonical import Digest
from executor.store import layout

ZERO = Digest("0" * 64)


def test_keys() -> None:
    assert layout.blob(ZERO) == f"v1/blobs/sha256/00/{'0' * 64}"
    assert layout.run(ZERO) == f"v1/runs/{'0' * 64}"
    assert layout.attempt(ZERO, "20260101T000000-ab12") == f"v1/runs/{'0' * 64}/attempts/20260101T000000-ab12"
    assert layout.log(ZERO, "a", 12) == f"v1/runs/{'0' * 64}/attempts/a/log/00000012"


def test_what_is_not_an_attempt_id_is_refused() -> None:
    with pytest.raises(ValueError, match="not an attempt id"):
        layout.attempt(ZERO, "../x")
