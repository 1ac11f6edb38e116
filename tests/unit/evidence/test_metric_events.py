from __future__ import annotations

import io
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evidence import metric_events
from executor.evidence.content.wire import checksum
from executor.evidence.metric_events import LARGEST, columns
from executor.evidence.series import Tally
from tests.unit.evidence.content.samples import as_events, counted, event, record, simple, tensor

Points = dict[str, list[tuple[int | None, float, float]]]


def read(data: bytes, tally: Tally | None = None) -> Points:
    """Steps, times and values by tag."""
    found: Points = {}
    for part in columns(io.BytesIO(data), tally or Tally()):
        for tag, one in part.items():
            assert one.steps is not None
            assert one.times is not None
            found.setdefault(tag, []).extend(zip(one.steps, one.times, one.values, strict=True))
    return found


def unreadable(data: bytes) -> int:
    tally = Tally()
    read(data, tally)
    return tally.unreadable


def double(tag: str, value: float, shape: bytes = b"") -> bytes:
    return counted(1, tag.encode()) + counted(8, b"\x08\x02" + counted(2, shape) + counted(4, struct.pack("<d", value)))


def test_scalars_have_their_tag_step_and_time() -> None:
    assert read(as_events([0.5, 0.25], wall=100.0)) == {"loss": [(0, 100.0, 0.5), (1, 101.0, 0.25)]}


def test_scalars_of_tensorflow_2_are_read() -> None:
    for packed in (True, False):
        assert read(event(1, 4, tensor("loss", 0.5, packed=packed))) == {"loss": [(4, 1.0, 0.5)]}
    assert read(event(1, 4, double("loss", 0.1))) == {"loss": [(4, 1.0, 0.1)]}


def test_several_scalars_of_an_event_are_read() -> None:
    assert read(event(1, 4, simple("a", 1), tensor("b", 2), simple("a", 3))) == {
        "a": [(4, 1.0, 1.0), (4, 1.0, 3.0)], "b": [(4, 1.0, 2.0)],
    }  # fmt: skip


def test_nan_and_infinity_are_values() -> None:
    found = read(event(1, 0, simple("a", math.nan)) + event(1, 1, simple("a", math.inf)))
    assert repr([value for _, _, value in found["a"]]) == "[nan, inf]"


def test_a_step_that_was_left_out_is_0_and_steps_can_be_negative() -> None:
    zero = record(b"\x09" + struct.pack("<d", 1.0) + counted(5, counted(1, simple("a", 2.0))))
    assert read(zero) == {"a": [(0, 1.0, 2.0)]}
    assert read(event(1, 2**64 - 3, simple("a", 2.0))) == {"a": [(-3, 1.0, 2.0)]}


def test_what_is_no_scalar_is_passed_over() -> None:
    image = counted(1, b"image") + counted(4, b"png")
    vector = double("vector", 1.0, shape=counted(2, b"\x08\x01"))
    words = counted(1, b"text") + counted(8, b"\x08\x07" + counted(8, b"hello"))
    data = event(1, 1, image, vector, words) + event(1, 2, other=counted(4, b"graph")) + event(1, 3, simple("a", 1))
    assert (read(data), unreadable(data)) == ({"a": [(3, 1.0, 1.0)]}, 0)


def test_records_too_large_for_scalars_are_not_read() -> None:
    length = struct.pack("<Q", LARGEST + 1)
    image = length + struct.pack("<I", checksum(length)) + b"x" * (LARGEST + 1 + 4)
    assert read(image + event(1, 3, simple("a", 1))) == {"a": [(3, 1.0, 1.0)]}


def test_a_file_that_ends_within_a_record_counts_to_there() -> None:
    whole = as_events([0.5, 0.25])
    for cut in range(len(as_events([0.5])) + 1, len(whole)):
        assert (len(read(whole[:cut])["loss"]), unreadable(whole[:cut])) == (1, 1)


def test_a_file_that_is_none_has_no_points() -> None:
    assert (read(b"PNG" * 100), unreadable(b"PNG" * 100)) == ({}, 1)
    assert (read(b""), unreadable(b"")) == ({}, 0)


@pytest.mark.parametrize(
    "content", [b"\xff", counted(5, b"\x0a\xff"), counted(1, b"123"), b"\x09123", counted(5, counted(1, b"\x15\x01"))]
)
def test_a_broken_record_is_counted_and_the_next_is_read(content: bytes) -> None:
    data = record(content) + event(1, 3, simple("a", 1))
    assert (read(data), unreadable(data)) == ({"a": [(3, 1.0, 1.0)]}, 1)


def test_many_points_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_events, "POINTS", 10)
    parts = list(columns(io.BytesIO(as_events([0.5] * 25)), Tally()))
    assert [len(part["loss"].values) for part in parts] == [10, 10, 5]


TAGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)


@given(st.floats(width=32), st.integers(0, 2**64 - 1), st.floats(), TAGS)
def test_the_quick_way_reads_what_the_other_does(value: float, step: int, wall: float, tag: str) -> None:
    data = event(wall, step, simple(tag, value))[12:-4]
    quick, general = metric_events._usual(data), list(metric_events._scalars(data))
    assert repr(quick) in ("[]", repr(general))
    assert quick or len(tag.encode()) > 90


@given(st.binary(max_size=120))
def test_any_record_is_read_or_counted(content: bytes) -> None:
    tally = Tally()
    read(record(content), tally)
    assert tally.unreadable in (0, 1)


def test_a_step_of_eight_bytes_is_unreadable() -> None:
    tally = Tally()
    assert read(record(b"\x11" + bytes(8)), tally) == {}
    assert tally.unreadable == 1


@given(st.binary(min_size=9, max_size=60))
def test_the_quick_way_never_reads_more_than_is_there(content: bytes) -> None:
    found = metric_events._usual(b"\x09" + content[:8] + b"\x10" + content[8:])
    assert len(found) in (0, 1)
