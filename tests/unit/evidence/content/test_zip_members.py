import io
import struct
import zipfile

from executor.evidence.content.explain import explain
from tests.unit.evidence.content.samples import as_json, as_torch, as_zip

FEBRUARY = (2026, 2, 1, 0, 0, 0)


def test_time_stamps_alone_are_no_values() -> None:
    found = explain("a.npz", as_zip({"a.npy": b"1"}), as_zip({"a.npy": b"1"}, FEBRUARY))
    assert (found.format, found.same_values, found.leaks) == ("zip", True, ("time",))
    assert found.lines == ("member a.npy: same bytes; time stamp 2026-01-01 00:00:00 → 2026-02-01 00:00:00",)


def test_nor_is_the_compression() -> None:
    members = {"a": b"x" * 1000}
    found = explain("a.zip", as_zip(members), as_zip(members, kind=zipfile.ZIP_DEFLATED))
    assert (found.same_values, found.lines) == (True, ("the same 1 member, packed differently",))


def test_a_torch_archive_is_compared_below_its_root() -> None:
    found = explain("model.pt", as_torch("model"), as_torch("checkpoint_3"))
    assert (found.same_values, found.lines) == (True, ('root folder: "model/" → "checkpoint_3/"',))
    found = explain("model.pt", as_torch("model"), as_torch("model", b"\0" * 63 + b"\1"))
    assert not found.same_values
    assert found.lines == ("member model/data/0: 1 of 64 bytes differ, first at offset 63: 0x00 → 0x01",)


def test_a_member_is_explained_by_its_format() -> None:
    old, new = (as_zip({"m.json": as_json({"a": a}), "b": b"1"}, kind=zipfile.ZIP_DEFLATED) for a in (1, 2))
    assert explain("a.zip", old, new).lines == ("member m.json: a: 1 → 2",)


def test_archives_in_archives_are_opened_to_a_depth() -> None:
    old, new = as_json({"a": 1}), as_json({"a": 2})
    for _ in range(3):
        old, new = as_zip({"x": old}), as_zip({"x": new})
    assert explain("a.zip", old, new).lines == ("member x: member x: member x: a: 1 → 2",)
    for _ in range(50):
        old, new = as_zip({"x": old}), as_zip({"x": new})
    (line,) = explain("a.zip", old, new).lines
    assert "bytes differ" in line


def test_a_bomb_is_left_to_plain_bytes() -> None:
    members = {f"{at}": b"\0" * (8 << 20) for at in range(9)}
    bomb = as_zip(members, kind=zipfile.ZIP_DEFLATED)
    assert explain("a.zip", bomb, as_zip({"a": b"1"})).format == "binary"


def test_members_that_lie_over_each_other_are_left_to_plain_bytes() -> None:
    one = as_zip({"a": b"x" * 2000})
    directory = one[one.index(b"PK\1\2") : one.index(b"PK\5\6")]
    many = b"".join(directory[:-1] + bytes([65 + at]) for at in range(20))
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 20, 20, len(many), one.index(b"PK\1\2"), 0)
    bomb = one[: one.index(b"PK\1\2")] + many + end
    assert len(zipfile.ZipFile(io.BytesIO(bomb)).infolist()) == 20
    assert explain("a.zip", bomb, one).format == "binary"


def test_other_compressions_encryption_and_wrong_sizes_are_left_to_plain_bytes() -> None:
    good = as_zip({"a": b"x" * 100})
    assert explain("a.zip", good, as_zip({"a": b"y" * 100}, kind=zipfile.ZIP_LZMA)).format == "binary"
    at = good.index(b"PK\1\2")
    encrypted = good[: at + 8] + b"\1" + good[at + 9 :]
    longer = good[: at + 24] + struct.pack("<I", 1 << 30) + good[at + 28 :]
    for broken in (encrypted, longer, good.replace(b"x" * 100, b"x" * 99 + b"y"), good[:-5], good[:30]):
        assert explain("a.zip", good, broken).format == "binary"


def test_two_members_of_one_name_are_left_to_plain_bytes() -> None:
    good = as_zip({"a": b"1", "b": b"2"})
    assert explain("a.zip", good, good.replace(b"b", b"a")).format == "binary"


def test_nothing_is_unpickled() -> None:
    pickled = b"cbuiltins\nexit\n(tR."
    old, new = (as_zip({"m/data.pkl": pickled + tail}) for tail in (b"1", b"2"))
    assert explain("m.pt", old, new).lines[0].startswith("member m/data.pkl: ")
