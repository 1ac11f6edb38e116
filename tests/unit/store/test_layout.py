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


def test_a_pin_says_what_is_wanted_in_its_key_alone() -> None:
    for what in ("image", "data.digits", "data.A.b-c_1"):
        key = layout.pin(ZERO, what, ZERO)
        assert key.startswith(f"{layout.run(ZERO)}/archive/")
        assert layout.pinned(key) == layout.pinned(key.removeprefix(f"{layout.run(ZERO)}/")) == (what, ZERO)


@pytest.mark.parametrize(
    "key",
    ["spec.json", "archive/image", f"archive/image/{'0' * 63}", f"archive/code/{'0' * 64}", f"archive/data./{'0' * 64}",
     f"archive/data.x/y/{'0' * 64}", f"xarchive/image/{'0' * 64}", f"archive/image/{'0' * 64}/x"],
)  # fmt: skip
def test_other_keys_pin_nothing(key: str) -> None:
    assert layout.pinned(key) is None
