import gzip

from executor.evidence.content.explain import explain
from tests.unit.evidence.content.samples import as_gzip, as_json, as_tar


def test_the_time_in_the_header_is_no_value() -> None:
    found = explain("a.gz", as_gzip(b"abc", 1767225600), as_gzip(b"abc", 1767312000))
    assert (found.format, found.same_values, found.leaks) == ("gzip", True, ("time",))
    assert found.lines == ("time in the header: 2026-01-01 00:00:00 → 2026-01-02 00:00:00",)


def test_nor_are_the_file_name_and_the_level() -> None:
    found = explain("a.gz", as_gzip(b"abc", name="a.json"), as_gzip(b"abc", name="tmpab12cd_3"))
    assert (found.same_values, found.lines) == (True, ('file name in the header: "a.json" → "tmpab12cd_3"',))
    content = bytes(range(256)) * 40
    found = explain("a.gz", as_gzip(content, level=0), as_gzip(content, level=9))
    assert (found.same_values, found.lines) == (True, ("the same content, compressed differently",))


def test_what_is_inside_is_explained_by_its_own_name() -> None:
    old, new = (as_gzip(as_json({"loss": loss})) for loss in (0.1, 0.2))
    found = explain("m.json.gz", old, new)
    assert (found.format, found.same_values, found.lines) == ("gzip", False, ("loss: 0.1 → 0.2",))
    old, new = (as_gzip(b"a,b\n1," + cell) for cell in (b"2", b"3"))
    assert explain("m.csv.gz", old, new).lines == ("row 2, column b: 2 → 3",)


def test_a_tar_inside_differs_only_in_its_times() -> None:
    old, new = (as_gzip(as_tar({"a": b"x"}, mtime)) for mtime in (1, 2))
    for path in ("a.tgz", "a.tar.gz", "a"):
        found = explain(path, old, new)
        assert (found.format, found.same_values, found.leaks) == ("gzip", True, ("time",))


def test_parts_are_joined() -> None:
    one, other = as_gzip(b"ab") + as_gzip(b"cd"), as_gzip(b"abcd")
    assert explain("a.gz", one, other).same_values
    assert explain("a.gz", as_gzip(b"") * 200, as_gzip(b"") * 201).format == "binary"


def test_a_bomb_is_left_to_plain_bytes() -> None:
    bomb = gzip.compress(b"\0" * (65 << 20), 1)
    found = explain("a.gz", bomb, bomb + b"\0")
    assert (found.format, found.same_values) == ("binary", False)


def test_a_file_that_is_cut_off_is_left_to_plain_bytes() -> None:
    whole = as_gzip(b"abc" * 1000)
    assert explain("a.gz", whole, whole[:-9]).format == "binary"
