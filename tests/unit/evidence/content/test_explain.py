import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.evidence.content.explain import FAMILIES, explain
from executor.evidence.content.found import MOST_LINES, Explanation
from executor.evidence.content.leaks import KINDS
from tests.unit.evidence.content.samples import (
    as_events,
    as_gzip,
    as_json,
    as_png,
    as_safetensors,
    as_tar,
    as_torch,
    as_zip,
    floats,
    gray,
)

VALID = {
    "a.json": as_json({"history": [{"loss": 0.5, "time": 1767225600}], "name": "é"}),
    "a.jsonl": b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n',
    "a.csv": b'epoch,loss\n1,0.5\n2,"x"\n',
    "a.zip": as_zip({"a.json": b'{"a": 1}', "b/c": b"xyz"}, kind=8),
    "a.pt": as_torch("a"),
    "a.tar": as_tar({"a.json": b'{"a": 1}', "n" * 120: b"xyz"}, 1767225600.5),
    "a.csv.gz": as_gzip(b"a,b\n1,2\n", 1767225600, "a.csv"),
    "a.png": as_png([b"\0abcdef", b"\1abcdef", b"\4abcdef"], 2, color=2, extra=[(b"tEXt", b"a\0b")]),
    "p.png": as_png(gray([0, 1], [1, 0]), 2, color=3, extra=[(b"PLTE", b"abcdef")]),
    "a.svg": b'<svg><g id="p1234"/>\n<use href="#p1234"/></svg>\n',
    "a.txt": b"epoch 1 took 3.5s\nloss 0.5\n",
    "events.out.tfevents.1": as_events([0.5, 0.25]),
    "a.safetensors": as_safetensors({"w": ("F32", [2], floats(1, 2))}, {"format": "pt"}),
    "a.bin": bytes(range(256)),
}
PATHS = st.sampled_from([*VALID, "a", "", "a.tgz", "a.tsv"])
STARTS = st.sampled_from([b"", b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b"\x89PNG\r\n\x1a\n", b"{", b"[" * 50, b"a,b\n"])


def check(found: Explanation, old: bytes, new: bytes) -> None:
    assert bool(found.lines) == (old != new)
    assert len(found.lines) <= MOST_LINES
    assert all(line.isprintable() and line for line in found.lines)
    assert set(found.leaks) <= set(KINDS)
    assert found.same_values or old != new
    assert Explanation.model_validate_json(found.model_dump_json()) == found


@given(PATHS, STARTS, st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_explained(path: str, start: bytes, old: bytes, new: bytes) -> None:
    check(explain(path, start + old, start + new), old, new)


@given(PATHS, st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_explained(path: str, old: str, new: str) -> None:
    one, other = (text.encode("utf-8", "surrogatepass") for text in (old, new))
    check(explain(path, one, other), one, other)


@pytest.mark.parametrize("path", VALID)
@settings(max_examples=150)
@given(data=st.data())
def test_mutated_files_are_explained(path: str, data: st.DataObject) -> None:
    old = VALID[path]
    new = bytearray(old)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(new)))
        new[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    for one, other in ((old, bytes(new)), (bytes(new), old)):
        check(explain(path, one, other), one, other)


@pytest.mark.parametrize("path", VALID)
def test_a_file_that_is_cut_off_anywhere_is_explained(path: str) -> None:
    whole = VALID[path]
    for end in range(0, len(whole), 1 + len(whole) // 200):
        check(explain(path, whole, whole[:end]), whole, whole[:end])


@pytest.mark.parametrize("path", VALID)
def test_equal_files_need_no_words(path: str) -> None:
    found = explain(path, VALID[path], VALID[path])
    assert (found.same_values, found.lines, found.leaks) == (True, (), ())


@pytest.mark.parametrize("path", VALID)
def test_two_formats_under_one_name_are_explained(path: str) -> None:
    for other in VALID.values():
        check(explain(path, VALID[path], other), VALID[path], other)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("a.zip", "zip"), ("a.pt", "zip"), ("a.tar", "tar"), ("a.csv.gz", "gzip"), ("a.png", "png"), ("a.json", "json"),
     ("events.out.tfevents.1", "events"), ("a.safetensors", "safetensors"), ("a.jsonl", "jsonl")],
)  # fmt: skip
def test_the_content_tells_the_format_whatever_the_name(path: str, kind: str) -> None:
    for name in ("x", "x.txt", "x.csv" if kind not in ("json", "jsonl") else "x.log"):
        assert explain(name, VALID[path], VALID[path]).format == kind


def test_the_start_goes_before_the_name() -> None:
    old, new = as_zip({"a": b"1"}), as_zip({"a": b"2"})
    assert explain("a.json", old, new).format == "zip"
    assert explain("a.zip", b"a\n", b"b\n").format == "text"


def test_no_name_is_given_to_two_families() -> None:
    suffixes = [suffix for family in FAMILIES for suffix in family.suffixes]
    assert len(suffixes) == len(set(suffixes))


@pytest.mark.parametrize("path", ["a.json", "a.jsonl", "a.csv", "a.txt", "a.svg", "a.safetensors"])
@pytest.mark.parametrize("piece", [b"[", b'{"a":', b'"', b"0", b"a,", b"\n", b"/a", b"1.", b"<svg id=", b"\\u0000"])
def test_bombs_take_no_time(path: str, piece: bytes) -> None:
    start = time.monotonic()
    old, new = piece * (400_000 // len(piece)) + b"1", piece * (400_000 // len(piece)) + b"2"
    check(explain(path, old, new), old, new)
    assert time.monotonic() - start < 10
