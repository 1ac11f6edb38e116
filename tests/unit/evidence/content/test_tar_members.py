import tarfile

import pytest

from executor.evidence.content.explain import explain
from tests.unit.evidence.content.samples import as_json, as_tar

MEMBERS = {"d/a.json": as_json({"a": 1}), "d/b": b"x" * 1000, "d/" + "n" * 150: b""}
FORMATS = [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]


@pytest.mark.parametrize("kind", FORMATS)
def test_times_alone_are_no_values(kind: int) -> None:
    members = dict(list(MEMBERS.items())[:2])
    found = explain("a.tar", as_tar(members, 1767225600, kind=kind), as_tar(members, 1767312000, kind=kind))
    assert (found.format, found.same_values, found.leaks) == ("tar", True, ("time",))
    assert found.lines == (
        "member d/a.json: same bytes; time stamp 2026-01-01 00:00:00 → 2026-01-02 00:00:00, and 1 other member too",
    )


def test_fractions_of_a_second_count() -> None:
    (line,) = explain("a.tar", as_tar({"a": b""}, 1767225600.25), as_tar({"a": b""}, 1767225600.5)).lines
    assert "00:00:00.250000 → 2026-01-01 00:00:00.5" in line


@pytest.mark.parametrize("kind", FORMATS[:2])
def test_a_member_with_a_long_name_is_explained(kind: int) -> None:
    old, new = (as_tar({"d/" + "n" * 150 + ".json": as_json({"a": a}), "d/b": b""}, kind=kind) for a in (1, 2))
    found = explain("a.tar", old, new)
    assert (found.format, found.same_values) == ("tar", False)
    assert found.lines == ("member d/" + "n" * 150 + ".json: a: 1 → 2",)


def test_two_ways_of_writing_are_the_same() -> None:
    old, new = (as_tar(MEMBERS, kind=kind) for kind in FORMATS[:2])
    assert explain("a.tar", old, new).same_values


def test_an_owner_leaks_the_host() -> None:
    found = explain("a.tar", as_tar(MEMBERS, uname="ann"), as_tar(MEMBERS, uname="bob"))
    assert (found.same_values, found.leaks) == (True, ("host",))


def test_a_broken_archive_is_left_to_plain_bytes() -> None:
    good = as_tar(MEMBERS)
    for at, junk in ((124, b"\xff" * 12), (124, b"77777777777"), (148, b"zzzzzz"), (136, b"\xff" * 12)):
        assert explain("a.tar", good, good[:at] + junk + good[at + len(junk) :]).format == "binary"
    assert explain("a.tar", good, good[:2000]).format == "binary"
