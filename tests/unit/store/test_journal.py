from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.spec.canonical import Digest
from executor.store.journal import Header, Journal, Sent, left, worked_on

HEADER = Header(place="here", key="v1/blob", upload="u1", digest=Digest.of(b"x"), size=10, part_size=4)
HOLDER = """
import sys, time
from pathlib import Path
from executor.store.journal import Journal
journal = Journal.take(Path(sys.argv[1]))
assert journal
print("held", flush=True)
time.sleep(60)
"""


def part(number: int) -> Sent:
    return Sent(number=number, etag=f'"{number}"', crc32="AAAAAA==", checked=True)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal.start(tmp_path / "uploads", HEADER)
    journal.add(part(1))
    journal.add(part(3))
    return journal


def found(journal: Journal) -> list[Journal]:
    return list(left(journal.path.parent, "here"))


def test_what_was_written_is_found_when_its_process_is_gone(journal: Journal) -> None:
    journal.close()
    (again,) = found(journal)
    assert (again.header, again.parts) == (HEADER, {1: part(1), 3: part(3)})
    again.add(part(2))
    again.close()
    (last,) = found(journal)
    assert set(last.parts) == {1, 2, 3}
    last.close()


def test_a_file_is_left_alone_while_somebody_works_on_it(journal: Journal) -> None:
    assert found(journal) == []
    assert worked_on(journal.path.parent) == {"u1"}
    journal.close()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(journal.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert found(journal) == []
        holder.kill()
        holder.wait()
    (again,) = found(journal)
    again.close()


def test_an_upload_that_has_ended_leaves_nothing(journal: Journal) -> None:
    journal.forget()
    assert list(journal.path.parent.iterdir()) == []
    assert found(journal) == []


def test_uploads_to_elsewhere_and_of_other_keys_are_not_found(journal: Journal) -> None:
    journal.close()
    folder = journal.path.parent
    assert list(left(folder, "there")) == []
    assert list(left(folder, "here", "v1/other")) == []
    (same,) = left(folder, "here", "v1/blob")
    same.close()


@pytest.mark.parametrize("tail", [b'{"number":2,"et', b"\0\0\0\0\n", b'{"number":2}\n{"number":4}\n', b"\xff\n"])
def test_what_follows_a_damaged_line_is_not_believed(journal: Journal, tail: bytes) -> None:
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + tail)
    (again,) = found(journal)
    assert set(again.parts) == {1, 3}
    again.add(part(2))
    again.close()
    assert journal.path.read_bytes().startswith(whole)
    (last,) = found(journal)
    assert set(last.parts) == {1, 2, 3}
    last.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"place": "here"}'])
def test_a_file_that_says_nothing_is_nobodys_upload(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    assert list(left(tmp_path, "here")) == []
    assert worked_on(tmp_path) == set()
    assert (tmp_path / "x.jsonl").exists()


def test_a_file_that_is_removed_before_it_could_be_locked_is_gone(journal: Journal) -> None:
    path = journal.path
    waiting = path.open("r+b")
    journal.forget()
    path.write_bytes(b"another\n")
    assert os.fstat(waiting.fileno()).st_nlink == 0
    waiting.close()
    assert Journal.take(path) is None
    path.unlink()
    assert Journal.take(path) is None
