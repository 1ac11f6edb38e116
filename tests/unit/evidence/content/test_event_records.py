import math

from executor.evidence.content.explain import explain
from executor.evidence.content.found import Explanation
from tests.unit.evidence.content.samples import as_events, counted, event, record, simple, tensor

NAME = "events.out.tfevents.1767225600.host.17.0"


def of(old: bytes, new: bytes) -> Explanation:
    found = explain(NAME, old, new)
    assert found.format == "events"
    return found


def test_wall_times_alone_are_no_values() -> None:
    found = of(as_events([0.5, 0.25]), as_events([0.5, 0.25], wall=1767312000.5))
    assert (found.same_values, found.leaks) == (True, ("time",))
    assert found.lines == ("only wall times differ, in 3 of 3 records",)


def test_a_value_is_told_by_tag_and_step() -> None:
    found = of(as_events([0.5, 0.5]), as_events([0.5, 0.6], wall=3))
    assert (found.same_values, found.lines) == (False, ("tag loss, step 1: 0.5 → 0.6", "wall times differ too"))


def test_scalars_of_tensorflow_2_are_numbers() -> None:
    for packed in (True, False):
        old, new = (event(1, 4, tensor("loss", value, packed=packed)) for value in (0.5, 0.6))
        assert of(old, new).lines == ("tag loss, step 4: 0.5 → 0.6",)


def test_nan_is_itself() -> None:
    old, new = (event(wall, 1, simple("loss", math.nan)) for wall in (1, 2))
    assert of(old, new).same_values


def test_other_kinds_of_values_are_named() -> None:
    old, new = (event(1, 2, counted(1, b"grad") + counted(5, data)) for data in (b"a", b"b"))
    assert of(old, new).lines == ("tag grad, step 2: histogram differs",)
    old, new = (event(1, 2, counted(1, b"w") + counted(8, counted(4, data))) for data in (b"1234", b"1235"))
    assert of(old, new).lines == ("tag w, step 2: tensor differs",)


def test_values_of_one_side() -> None:
    assert of(as_events([0.5]), as_events([0.5, 0.25])).lines == (
        "tag loss, step 1: only in this attempt",
        "wall times differ too",
    )


def test_the_order_of_records_is_no_value() -> None:
    one, other = event(1, 1, simple("a", 1)), event(1, 2, simple("b", 1))
    found = of(one + other, other + one)
    assert (found.same_values, len(found.lines)) == (True, 1)


def test_one_tag_may_be_written_twice_at_a_step() -> None:
    old, new = (event(1, 1, simple("a", 1)) + event(1, 1, simple("a", last)) for last in (2, 3))
    assert of(old, new).lines == ("tag a, step 1: 2 → 3",)


def test_graphs_and_versions_are_a_difference() -> None:
    old, new = (event(1, other=counted(4, graph)) for graph in (b"a", b"b"))
    assert of(old, new).lines == ("graph differs in 1 record",)
    assert not of(old, new).same_values


def test_a_tag_of_times_leaks() -> None:
    old, new = (event(1, 1, simple("perf/it_s", value)) for value in (1, 2))
    assert of(old, new).leaks == ("time",)


def test_broken_files_are_left_to_plain_bytes() -> None:
    good = as_events([0.5])
    for broken in (good[:-1], good + b"x", record(b"\xff"), record(counted(5, b"\x08\x01")), record(counted(2, b"1"))):
        assert explain(NAME, good, broken).format == "binary"
