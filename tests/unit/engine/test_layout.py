import io
import json
import tarfile
from pathlib import Path

from executor.engine.layout import NAME, stream
from executor.engine.oci import Manifest
from executor.spec.canonical import Digest
from tests.unit.engine.blobs import FolderBlobs


def members(pieces: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(pieces)) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


def test_the_archive_holds_every_blob_under_its_digest(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.image(b"x" * 1000, b"y" * 3_000_000)
    found = members(b"".join(stream(blobs, digest, "localhost/test:latest", "amd64")))
    names = {digest, *(blob.digest for blob in Manifest.parse((tmp_path / digest.hex).read_bytes()))}
    assert found.keys() == {
        "oci-layout",
        "index.json",
        "manifest.json",
        *(f"blobs/sha256/{name.hex}" for name in names),
    }
    assert all(Digest.of(found[f"blobs/sha256/{name.hex}"]) == name for name in names)


def test_the_index_names_the_manifest_and_the_image(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.image(b"")
    found = members(b"".join(stream(blobs, digest, "localhost/test:latest", "amd64")))
    entry = json.loads(found["index.json"])["manifests"][0]
    assert (entry["digest"], entry["annotations"][NAME]) == (str(digest), "localhost/test:latest")
    assert entry["size"] == len(found[f"blobs/sha256/{digest.hex}"])


def test_what_docker_reads_names_config_layers_and_image(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.image(b"low", b"high")
    found = members(b"".join(stream(blobs, digest, "localhost/test:latest", "amd64")))
    (entry,) = json.loads(found["manifest.json"])
    assert [found[name] for name in entry["Layers"]] == [b"low", b"high"]
    assert b"diff_ids" in found[entry["Config"]]
    assert entry["RepoTags"] == ["localhost/test:latest"]


def test_the_archive_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.image(b"layer")
    assert b"".join(stream(blobs, digest, "a:b", "amd64")) == b"".join(stream(blobs, digest, "a:b", "amd64"))
