from executor.evidence.content.explain import _explain
from executor.evidence.content.found import Explanation, Limits
from executor.evidence.content.members import Member, explain_members


def of(old: list[Member], new: list[Member]) -> Explanation:
    return explain_members("zip", old, new, Limits(_explain))


A, B = Member("d/a", b"1", "2026-01-01"), Member("d/b", b"2", "2026-01-01")


def test_a_time_stamp_is_no_value() -> None:
    found = of([A, B], [A._replace(stamp="2026-01-02"), B])
    assert (found.same_values, found.leaks) == (True, ("time",))
    assert found.lines == ("member d/a: same bytes; time stamp 2026-01-01 → 2026-01-02",)


def test_many_time_stamps_are_one_line() -> None:
    (line,) = of([A, B], [A._replace(stamp="x"), B._replace(stamp="x")]).lines
    assert line == "member d/a: same bytes; time stamp 2026-01-01 → x, and 1 other member too"


def test_order_is_no_value() -> None:
    found = of([A, B], [B, A])
    assert (found.same_values, found.lines) == (True, ("the same members in another order",))


def test_the_root_folder_is_no_value() -> None:
    found = of([A, B], [A._replace(name="e/a"), B._replace(name="e/b")])
    assert (found.same_values, found.lines) == (True, ('root folder: "d/" → "e/"',))


def test_another_name_below_no_common_root_is_a_difference() -> None:
    found = of([A._replace(name="a")], [A._replace(name="b")])
    assert (found.same_values, found.lines) == (
        False,
        ("member only in the reference: a", "member only in this attempt: b"),
    )


def test_a_random_name_leaks() -> None:
    found = of([A._replace(name="run-1a2b3c4d.txt")], [A._replace(name="run-9f8e7d6c.txt")])
    assert found.leaks == ("random",)


def test_members_of_one_side_are_named() -> None:
    found = of([A, B], [A])
    assert (found.same_values, found.lines) == (False, ("member only in the reference: d/b",))


def test_contents_are_explained() -> None:
    found = of([A._replace(content=b'{"x": 1}')], [A._replace(content=b'{"x": 2}')])
    assert (found.same_values, found.lines) == (False, ("member d/a: x: 1 → 2",))
    assert of([A._replace(content=b'{"x": 1}')], [A._replace(content=b'{"x":1}')]).same_values


def test_a_mode_is_a_value_and_an_owner_is_none() -> None:
    found = of([A], [A._replace(kind="mode 755")])
    assert (found.same_values, found.lines) == (False, ("member d/a:  → mode 755",))
    found = of([A._replace(owner="1000:1000 ann")], [A._replace(owner="0:0 root")])
    assert (found.same_values, found.leaks) == (True, ("host",))


def test_nothing_but_the_packing() -> None:
    assert of([A, B], [A, B]).lines == ("the same 2 members, packed differently",)
