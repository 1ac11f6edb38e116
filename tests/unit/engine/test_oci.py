from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.engine.oci import (
    CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    MANIFEST,
    MANIFEST_LIMIT,
    Descriptor,
    Image,
    ImageConfig,
    Manifest,
    document,
    manifests,
    media_type,
    platforms,
)
from executor.errors import CorruptObject
from executor.spec.canonical import Digest
from tests.unit.engine.blobs import FolderBlobs

A, B, C = (Digest.of(text) for text in (b"a", b"b", b"c"))
SAMPLE = Manifest(Descriptor(CONFIG, A, 1), (Descriptor(LAYER, B, 20), Descriptor(LAYER, C, 300)))


def test_manifest_bytes_never_change() -> None:
    assert Digest.of(SAMPLE.encode()).hex == "b0b384e1a7e7136b2c040ec9e8f5c1020a1ba1fe615de555d4db562c2bc55058"


def test_manifest_is_read_back_as_it_was() -> None:
    assert Manifest.parse(SAMPLE.encode()) == SAMPLE


def test_manifest_names_every_blob_and_their_size() -> None:
    assert [blob.digest for blob in SAMPLE] == [A, B, C]
    assert SAMPLE.size == 321


def test_docker_manifest_is_read_too() -> None:
    value = json.loads(SAMPLE.encode()) | {"mediaType": DOCKER_MANIFEST}
    assert Manifest.parse(json.dumps(value).encode()).layers == SAMPLE.layers


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"mediaType": INDEX},
        {"mediaType": DOCKER_INDEX},
        {"config": None},
        {"layers": [{"digest": str(B)}]},
        {"config": {"mediaType": CONFIG, "digest": "md5:00", "size": 1}},
        {"config": {"mediaType": CONFIG, "digest": 7, "size": 1}},
        {"layers": [{"mediaType": LAYER, "digest": str(B), "size": -1}]},
        {"layers": [{"mediaType": LAYER, "digest": str(B), "size": "1"}]},
    ],
)
def test_what_is_not_the_manifest_of_one_image_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"manifest|sha256|digest"):
        Manifest.parse(json.dumps(json.loads(SAMPLE.encode()) | change).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"layer bytes", b"\xff\xfe", b"[" * 100_000])
def test_bytes_that_are_no_manifest_have_no_media_type(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (each parser says it its own way)
        media_type(data)


def test_media_type_may_be_left_out() -> None:
    assert media_type(b'{"schemaVersion":2,"layers":[]}') == MANIFEST
    assert media_type(b'{"schemaVersion":2,"manifests":[]}') == INDEX


def test_config_says_what_it_was_given_and_nothing_of_the_host() -> None:
    config = ImageConfig("arm64", 86_400, (B, C), ("base", "wheels"), {"Z": "1", "A": "x=y"}, {"title": "t"}, ("sh",))
    assert json.loads(config.encode()) == {
        "architecture": "arm64",
        "os": "linux",
        "created": "1970-01-02T00:00:00Z",
        "config": {"Env": ["A=x=y", "Z=1"], "Cmd": ["sh"], "Labels": {"title": "t"}, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [str(B), str(C)]},
        "history": [
            {"created": "1970-01-02T00:00:00Z", "created_by": "base"},
            {"created": "1970-01-02T00:00:00Z", "created_by": "wheels"},
        ],
    }


def index(*entries: tuple[Digest, object]) -> bytes:
    """An index of manifests and their platforms."""
    listed = [{"mediaType": MANIFEST, "digest": str(digest), "size": 1, "platform": platform}
              for digest, platform in entries]  # fmt: skip
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()


AMD, ARM = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}


def sample(config: bytes) -> bytes:
    return Manifest(Descriptor(CONFIG, Digest.of(config), len(config)), ()).encode()


def test_an_image_is_followed_from_its_digest_to_every_blob() -> None:
    data = SAMPLE.encode()
    image = Image.read(Digest.of(data), {Digest.of(data): data}.get, "amd64")
    assert image.sizes == {Digest.of(data): len(data), A: 1, B: 20, C: 300}


def test_of_an_index_the_one_that_the_engine_has_is_taken_else_the_first() -> None:
    first, second, arm = sample(b"v1"), sample(b"v3"), sample(b"arm")
    names = [Digest.of(data) for data in (first, second, arm)]
    data = index((names[2], ARM), (names[0], AMD), (names[1], AMD | {"variant": "v3"}))
    known = {Digest.of(data): data, **dict(zip(names, (first, second, arm), strict=True))}
    wanted = Digest.of(data)
    assert [*Image.read(wanted, known.get, "amd64").documents] == [wanted, names[0]]
    assert [*Image.read(wanted, known.get, "amd64", str(Digest.of(b"v3"))).documents] == [wanted, names[1]]
    assert [*Image.read(wanted, known.get, "arm64").documents] == [wanted, names[2]]
    del known[names[0]]
    assert [*Image.read(wanted, known.get, "amd64").documents] == [wanted, names[1]]
    with pytest.raises(ValueError, match="without an image for linux/s390x"):
        Image.read(wanted, known.get, "s390x")


def test_an_index_within_an_index_is_no_image() -> None:
    inner = index((A, AMD))
    data = index((Digest.of(inner), AMD))
    with pytest.raises(ValueError, match="not the manifest of one image"):
        Image.read(Digest.of(data), {Digest.of(data): data, Digest.of(inner): inner}.get, "amd64")


@pytest.mark.parametrize("entries", [None, [None], [{}], [{"digest": "md5:0"}], [{"digest": str(A), "platform": 1}]])
def test_what_is_no_index_is_refused(entries: object) -> None:
    data = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    with pytest.raises(ValueError):  # noqa: PT011  (each says it its own way)
        _ = platforms(data), platforms(data, "amd64")


def test_a_kept_document_has_its_digest_and_an_end(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    data = SAMPLE.encode()
    digest = blobs.add(data)
    assert document(blobs, digest) == data
    assert document(blobs, A) is None
    for wrong in (data + b" ", data + b" " * MANIFEST_LIMIT):  # as JSON the same
        (tmp_path / digest.hex).write_bytes(wrong)
        with pytest.raises(CorruptObject, match=str(digest)):
            document(blobs, digest)


def test_manifests_of_an_image_are_those_that_are_kept(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    amd, arm = sample(b"amd"), sample(b"arm")
    listed = blobs.add(index((Digest.of(arm), ARM), (Digest.of(amd), AMD)))
    assert manifests(blobs, listed) == []
    blobs.add(amd)
    assert manifests(blobs, listed) == manifests(blobs, Digest.of(amd)) == [Manifest.parse(amd)]
    assert manifests(blobs, A) == manifests(blobs, blobs.add(b"no manifest")) == []
