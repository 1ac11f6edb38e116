"""A rerun from the bucket alone: registry, repository, data and caches are gone, real ones each."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.engine.container import DockerEngine
from executor.engine.oci import DOCKER_MANIFEST, INDEX
from executor.engine.registry import serve
from executor.spec.canonical import Digest
from executor.spec.scalars import ImageRef
from executor.store import layout
from tests.integration.conftest import MakeMachine
from tests.integration.registries import PASSWORDS, Running, registry
from tests.integration.site import Machine, commit, docker, git, project
from tests.unit.engine.blobs import FolderBlobs

pytestmark = pytest.mark.engine

SPEC = """
version: 1
name: from-the-bucket
image: {image}
code: {{repo: .}}
data:
  digits: {{hash: {tree}, source: {source}}}
command: [sh, run.sh]
seed: 1
gpu: none
resources: {{memory: 256MiB}}
"""
SCRIPT = """
/data/digits/tools/show >/outputs/model.pt
cat /data/digits/train.csv >>/outputs/model.pt
echo '{"step": 1, "loss": 0.5}' >/outputs/metrics.jsonl
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def own_image(engine: DockerEngine, small_blobs: tuple[FolderBlobs, Digest], tmp_path: Path) -> Iterator[str]:
    """An image of the engine that shares layers with no other test's: what removes it removes it whole."""
    blobs = FolderBlobs(tmp_path / "own")
    shutil.copytree(small_blobs[0].root, blobs.root)
    base = json.loads((blobs.root / small_blobs[1].hex).read_bytes())
    layer = (blobs.root / Digest.parse(base["layers"][0]["digest"]).hex).read_bytes()
    mark = tmp_path / "mark"
    (mark / "etc").mkdir(parents=True)
    (mark / "etc" / "mark").write_text(str(tmp_path))
    tar = ("tar", "--create", f"--directory={mark}", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "etc")
    digest = blobs.image(layer, subprocess.run(tar, capture_output=True, check=True).stdout)
    with serve(blobs) as address:
        reference = f"{address}/executor-test-own@{digest}"
        engine.pull(reference, lambda *_: None)
    found = engine.image(digest)
    assert found
    name = f"localhost/executor-test-own-{digest.hex[:12]}"
    engine.tag(found, name)
    yield f"{name}@{digest}"
    remove(engine, found.id)


def remove(engine: DockerEngine, image: str) -> None:
    """Remove an image under all its names; none is fine."""
    subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)


def forget(engine: DockerEngine, ref: str) -> None:
    """The engine no longer has it, by no name."""
    found = engine.image(ImageRef.parse(ref).pinned)
    assert found
    remove(engine, found.id)
    assert engine.image(ImageRef.parse(ref).pinned) is None


def locked(machine: Machine, image: str) -> Path:
    """A spec with a repository and a data folder of its own, all pinned."""
    data = machine.folder / "digits"
    (data / "tools").mkdir(parents=True)
    (data / "train.csv").write_text("1,2\n" * 1000)
    (data / "tools" / "show").write_text("#!/bin/sh\necho weights\n")
    (data / "tools" / "show").chmod(0o755)
    (data / "again.csv").write_text("1,2\n" * 1000)
    draft = project(machine.folder / "project", "version: 1\n", run_sh=SCRIPT)
    draft.write_text(SPEC.format(image=image, tree="null", source=data).replace("hash: null, ", ""))
    commit(draft.parent)
    spec = draft.with_name("spec.lock.yaml")
    made = machine.run("lock", draft, "--output", spec)
    assert made.code == 0, made
    return spec


def elsewhere(machine: Machine, tmp_path: Path) -> Machine:
    """Another machine on the same store; of this one nothing is left."""
    for name in ("project", "project-source", "digits", "home"):
        shutil.rmtree(machine.folder / name, ignore_errors=True)
    other = tmp_path / "elsewhere"
    other.mkdir()
    return replace(machine, folder=other)


def rerun_is_identical(machine: Machine, spec_hash: str, image: str) -> None:
    again = machine.run("rerun", spec_hash, "--json")
    assert again.code == 0, again
    assert again.json["verdict"] == "identical"
    seen = {finding["field"]: finding["observed"] for finding in again.json["findings"]}
    assert seen["data.digits.hash"].endswith("from: archive")
    assert seen["code.commit"].endswith("from: archive")
    record = machine.record(again.json)
    assert record.fingerprint.image
    assert (record.fingerprint.image.source, record.fingerprint.image.digest) == ("store", ImageRef.parse(image).digest)


@pytest.mark.parametrize("kind", ["file", pytest.param("s3", marks=pytest.mark.s3)])
def test_a_rerun_needs_nothing_but_the_store(
    make_machine: MakeMachine, kind: str, there: Running, own_image: str, engine: DockerEngine, tmp_path: Path
) -> None:
    machine, image = make_machine(kind), there.push(own_image, "acme/small")
    spec = locked(machine, image)
    planned = machine.run("plan", spec, "--archive", "image,data").json
    assert planned["archive"] == ["code", "image", "data.digits"]
    ran = machine.run("submit", spec, "--archive", "image,data", "--json")
    assert ran.code == 0, ran
    shown = machine.run("show", ran.json["spec_hash"], "--json").json["archived"]
    assert [(one["what"], one["size"] is not None) for one in shown] == [("data.digits", True), ("image", True)]
    assert "data.digits (7.8 KiB)" in machine.run("show", ran.json["spec_hash"]).out

    there.kill()
    forget(engine, image)
    other = elsewhere(machine, tmp_path)
    rerun_is_identical(other, ran.json["spec_hash"], image)
    (tree,) = [path for path in (other.home / "trees").iterdir() if path.is_dir()]
    assert {path.name: path.stat().st_mode & 0o777 for path in tree.rglob("*")} == {
        "tools": 0o755, "show": 0o555, "train.csv": 0o444, "again.csv": 0o444,
    }  # fmt: skip


def test_a_finished_result_is_archived_later_and_nothing_is_sent_twice(
    machine: Machine, there: Running, own_image: str, engine: DockerEngine, tmp_path: Path
) -> None:
    image = there.push(own_image, "acme/small")
    spec = locked(machine, image)
    ran = machine.run("submit", spec, "--json").json
    assert machine.run("show", ran["spec_hash"], "--json").json["archived"] == []
    later = machine.run("submit", spec, "--archive", "image,data")
    assert later.code == 0, later
    assert "archiving image" in later.err
    assert "archiving data digits" in later.err
    assert "answered from the store" in later.out
    before = {one.key: one.modified for one in machine.store.objects("v1/blobs/")}
    there.kill()
    once_more = machine.run("submit", spec, "--archive", "image,data")
    assert (once_more.code, "archiving" in once_more.err) == (0, False)
    assert {one.key: one.modified for one in machine.store.objects("v1/blobs/")} == before
    forget(engine, image)
    rerun_is_identical(elsewhere(machine, tmp_path), ran["spec_hash"], image)


def test_what_cannot_be_archived_is_told_before_anything_runs(
    machine: Machine, there: Running, own_image: str, tmp_path: Path
) -> None:
    image = there.push(own_image, "acme/small")
    spec = locked(machine, image)
    there.kill()
    refused = machine.run("submit", spec, "--archive", "image", "--json")
    assert (refused.code, refused.json["error"]) == (6, "ImageNotFound")
    assert "keeps the layers of" in refused.json["message"]
    assert "push it to a registry" in refused.json["advice"]
    assert not [one for one in machine.store.objects("v1/runs/") if "/attempts/" in one.key]
    assert machine.attempts_left() == []
    assert machine.run("submit", spec).code == 0


def test_an_image_for_several_platforms_is_archived_for_this_one(
    machine: Machine, there: Running, own_image: str, small_image: str, engine: DockerEngine, tmp_path: Path
) -> None:
    ours, other = there.push(own_image, "acme/small"), there.push(small_image, "acme/small")
    entries = [
        {"mediaType": DOCKER_MANIFEST, "digest": str(ImageRef.parse(ref).pinned), "size": _size(there, ref),
         "platform": {"os": "linux", "architecture": name}}
        for ref, name in ((other, "s390x"), (ours, _architecture(engine)))
    ]  # fmt: skip
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    image = there.put_index("acme/small", index)
    spec = locked(machine, image)
    ran = machine.run("submit", spec, "--archive", "image,data", "--json")
    assert ran.code == 0, ran
    kept = {ref: machine.store.has_blob(ImageRef.parse(ref).pinned) for ref in (image, ours, other)}
    assert kept == {image: True, ours: True, other: False}
    there.kill()
    forget(engine, image)
    rerun_is_identical(elsewhere(machine, tmp_path), ran.json["spec_hash"], image)


def _size(there: Running, ref: str) -> int:
    """Bytes of a manifest that the registry has."""
    name, _, digest = ref.removeprefix(f"{there.address}/").partition("@")
    url = f"http://{there.address}/v2/{name}/manifests/{digest}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": DOCKER_MANIFEST}), timeout=10) as answer:
        return len(answer.read())


def _architecture(engine: DockerEngine) -> str:
    return engine.observe().platform


def test_a_private_registry_is_asked_with_what_docker_login_left(
    machine: Machine, own_image: str, engine: DockerEngine, tmp_path: Path
) -> None:
    with registry(tmp_path / "private", passwords=PASSWORDS) as private:
        login = {"auths": {private.address: {"auth": base64.b64encode(b"ada:secret").decode()}}}
        config = machine.folder / ".docker"
        config.mkdir()
        (config / "config.json").write_text(json.dumps(login))
        tag = f"{private.address}/acme/small"
        docker("tag", own_image.partition("@")[0], tag)
        pushed = docker("--config", str(config), "push", tag)
        digest = pushed.partition("digest: ")[2].split()[0]
        kept = machine.run("image", "archive", f"{tag}@{digest}", "--json")
        assert kept.code == 0, kept
        assert machine.store.has_blob(Digest.parse(digest))
        (config / "config.json").unlink()
        again = replace(machine, url=f"file:{tmp_path}/second")
        refused = again.run("image", "archive", f"{tag}@{digest}", "--json")
        assert (refused.code, "who asks" in refused.json["message"]) == (6, True)


def test_an_image_is_archived_without_a_run_and_given_back_without_its_registry(
    machine: Machine, there: Running, own_image: str, engine: DockerEngine
) -> None:
    image = there.push(own_image, "acme/small")
    digest = ImageRef.parse(image).pinned
    kept = machine.run("image", "archive", image, "--json")
    assert kept.code == 0, kept
    assert (kept.json["ref"], kept.json["digest"]) == (image, str(digest))
    assert machine.store.stat(layout.image(digest))
    there.kill()
    assert machine.run("image", "archive", image).code == 0  # all of it is there
    assert machine.run("image", "restore", image, "--json").json["source"] == "engine"
    forget(engine, image)
    for wanted in (str(digest), image):
        back = machine.run("image", "restore", wanted, "--json")
        assert (back.code, back.json["ref"], back.json["source"]) == (0, image, "store"), back
        assert engine.image(digest)
        forget(engine, image)
    absent = machine.run("image", "restore", str(Digest.of(b"nobody has this")), "--json")
    assert (absent.code, absent.json["error"]) == (6, "ImageNotFound")


def test_an_image_built_here_is_archived_from_the_engine_into_another_store(
    machine: Machine, own_image: str, engine: DockerEngine
) -> None:
    kept = machine.run("image", "archive", own_image, "--json")
    assert kept.code == 0, kept
    forget(engine, own_image)
    back = machine.run("image", "restore", own_image, "--json")
    assert (back.code, back.json["digest"]) == (0, own_image.partition("@")[2]), back
    assert docker("run", "--rm", "--network=none", own_image.partition("@")[0], "/bin/sh", "-c", "echo 42") == "42\n"


def test_git_is_really_gone(machine: Machine, there: Running, own_image: str, tmp_path: Path) -> None:
    """Without the archive the same rerun finds nothing: what the tests above remove is what a run needs."""
    spec = locked(machine, there.push(own_image, "acme/small"))
    ran = machine.run("submit", spec, "--json").json
    assert git(spec.parent, "rev-parse", "HEAD")
    failed = elsewhere(machine, tmp_path).run("rerun", ran["spec_hash"], "--json")
    assert (failed.code, "there is nothing at" in failed.json["message"]) == (6, True)
