from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from executor.spec.canonical import Digest
from executor.spec.tree import scan
from executor.steps.home import Home
from executor.steps.keeping.sources import Before, Elsewhere, Files, Manifests, Offer, Source, caches
from executor.store import layout
from executor.store.objects import Version
from tests.fakes import NOON, MemoryStore

ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")


def given(offers: dict[Digest, Offer]) -> dict[Digest, bytes]:
    """What is offered, twice alike."""
    found = {}
    for digest, offer in offers.items():
        with offer.open() as first, offer.open() as again:
            found[digest] = first.read()
            assert again.read() == found[digest]
        assert len(found[digest]) == offer.size
    return found


def test_a_source_has_nothing_unless_it_says_so() -> None:
    assert Source().offer({ONE: 3}) == {}
    assert list(Source().documents("key")) == []


def test_another_store_offers_what_is_as_large_as_it_should_be() -> None:
    store = MemoryStore()
    for data in (b"one", b"other"):
        store.put_bytes(data)
    source = Elsewhere(store)
    assert source.name == "memory:"
    assert given(source.offer({ONE: 3, OTHER: 4, Digest.of(b"absent"): 6})) == {ONE: b"one"}
    assert given(source.offer({OTHER: None})) == {OTHER: b"other"}
    store.overwrite("key", b"document")
    assert list(source.documents("key")) == [b"document"]
    assert list(source.documents("absent")) == []


def test_files_are_known_by_their_bytes_alone(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "anything").write_bytes(b"one")
    (tmp_path / "same-size").write_bytes(b"two")
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "anything")
    os.mkfifo(tmp_path / "fifo")
    assert given(Files([tmp_path], "here").offer({ONE: 3, OTHER: 5})) == {ONE: b"one"}
    assert given(Files([tmp_path / "deep" / "anything"], "here").offer({ONE: 3})) == {ONE: b"one"}
    assert given(Files([tmp_path], "here").offer({ONE: None})) == {ONE: b"one"}
    assert Files([tmp_path / "absent"], "here").offer({ONE: 3}) == {}


def test_only_files_of_a_size_that_is_wanted_are_read(tmp_path: Path) -> None:
    (tmp_path / "unreadable").write_bytes(b"longer")
    (tmp_path / "unreadable").chmod(0)
    (tmp_path / "one").write_bytes(b"one")
    assert given(Files([tmp_path], "here").offer({ONE: 3})) == {ONE: b"one"}


def test_manifests_are_made_again_of_the_data_that_is_cached(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_bytes(b"data")
    tree = scan(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / tree.hash.hex)
    (tmp_path / ONE.hex).mkdir()  # which is no tree: there are no files in it
    assert given(Manifests(tmp_path).offer({tree.hash: None, ONE: 3})) == {tree.hash: tree.manifest()}


def test_this_machine_has_caches(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (home.trees / "one").write_bytes(b"one")
    (home.images / "layer.tar").write_bytes(b"other")
    offers = [offer for source in caches(home) for offer in given(source.offer({ONE: 3, OTHER: 5})).items()]
    assert dict(offers) == {ONE: b"one", OTHER: b"other"}


class Versioned(MemoryStore):
    """A store that keeps what objects were before."""

    def __init__(self, *contents: bytes) -> None:
        super().__init__()
        self.before = contents

    def versions(self, prefix: str = "") -> Iterator[Version]:
        yield Version(prefix, "", "", NOON)
        for number in reversed(range(len(self.before))):
            yield Version(prefix, str(number), "", NOON)
        yield Version(f"{prefix}-another", "0", "", NOON)

    def open_version(self, key: str, version: str) -> BinaryIO:
        return io.BytesIO(self.before[int(version)])


def test_an_earlier_version_that_is_right() -> None:
    source = Before(Versioned(b"damaged", b"one", b"written over"))
    assert given(source.offer({ONE: 3, OTHER: 5})) == {ONE: b"one"}
    assert list(source.documents("key")) == [b"damaged", b"one", b"written over"]
    assert source.offer({ONE: 3})[ONE].name == layout.blob(ONE)


def test_a_store_without_versions_has_no_earlier_ones() -> None:
    source = Before(MemoryStore())
    assert (source.offer({ONE: 3}), list(source.documents("key"))) == ({}, [])
