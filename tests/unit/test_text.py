from __future__ import annotations

import pytest

from executor.text import cut, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (12.34, "12.3 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (250.4, "4 min 10 s"),
     (3599.6, "1 h 0 min"), (12_300, "3 h 25 min"), (360_000, "100 h 0 min")],
)  # fmt: skip
def test_a_length_of_time_has_two_parts_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_long_text_is_cut_and_marked() -> None:
    assert (cut("digits", 6), cut("digits!", 6)) == ("digits", "digit…")
