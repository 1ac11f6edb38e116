from __future__ import annotations

import json

import pytest

from executor.engine.oci import (
    CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    MANIFEST,
    Descriptor,
    ImageConfig,
    Manifest,
    media_type,
)
from executor.spec.canonical import Digest

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
    ],
)
def test_what_is_not_the_manifest_of_one_image_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"manifest|sha256"):
        Manifest.parse(json.dumps(json.loads(SAMPLE.encode()) | change).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"layer bytes", b"\xff\xfe"])
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
