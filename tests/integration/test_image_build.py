"""Images that are built here, pulled by a real engine from the loopback registry, and run."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executor.engine import layers
from executor.engine.build import build
from executor.engine.registry import serve
from executor.spec.canonical import Digest
from tests.unit.engine.blobs import FolderBlobs
from tests.unit.engine.test_recipe import GOOD

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
HERMETIC = ("--network=none", "--read-only", "--user=1000:1000", "--tmpfs=/tmp", "--cap-drop=ALL")


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def pulled(blobs: FolderBlobs, digest: Digest) -> Iterator[str]:
    with serve(blobs) as address:
        ref = f"{address}/executor-test/tiny@{digest}"
        docker("pull", "--quiet", ref)
    try:
        yield ref
    finally:
        docker("rmi", ref)


def shell_layer(root: Path) -> bytes:
    """The tar of a root that holds this host's `sh` and the libraries that it is linked to."""
    program = Path("/bin/sh").resolve()
    linked = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    for path in [str(program), "/bin/sh", *re.findall(r"(/\S+) \(0x", linked)]:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path in sorted(root.iterdir()):
            layers.pack(tar, root, path, 0)
    return stream.getvalue()


def test_an_engine_pulls_an_image_by_digest_and_runs_it(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    blobs.root.mkdir()
    digest = blobs.image(shell_layer(tmp_path / "root"))
    with pulled(blobs, digest) as ref:
        assert docker("image", "inspect", "--format={{index .RepoDigests 0}}", ref) == ref
        assert docker("run", "--rm", *HERMETIC, ref, "/bin/sh", "-c", "echo $((6 * 7))") == "42"


def test_an_engine_refuses_a_layer_that_is_not_what_its_digest_says(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    digest = blobs.image(good := b"\0" * 10_240)
    (tmp_path / Digest.of(good).hex).write_bytes(b"\1" * 10_240)
    with serve(blobs) as address:
        done = subprocess.run(["docker", "pull", f"{address}/x@{digest}"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert re.search("verification failed|digest", done.stderr)


def tiny_recipe(folder: Path, index: Path) -> Path:
    """A recipe of Python and one small wheel with a console script; `index` is where pip finds that wheel."""
    wheel = index / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "def main():\n    print('made by tiny')\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in archive.namelist()))
    lock = (ROOT / "images/torch-cpu/requirements.lock").read_text()
    installer = re.search(r"^installer==.*\\\n.*$", lock, re.MULTILINE)
    assert installer
    folder.mkdir()
    (folder / "recipe.toml").write_text(GOOD.replace("source_date_epoch = 0", "source_date_epoch = 1767225600"))
    (folder / "requirements.lock").write_text(f"{installer[0]}\ntiny==1.0 --hash={Digest.of(wheel.read_bytes())}\n")
    return folder


@pytest.mark.slow
def test_two_builds_give_one_digest_and_an_image_fit_for_a_read_only_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    found = os.environ.get("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{index} {found}".strip())
    recipe = tiny_recipe(tmp_path / "recipe", index)
    blobs = FolderBlobs(tmp_path / "blobs")
    blobs.root.mkdir()

    first = build(recipe, blobs, tmp_path / "one", lambda _: None, update=True)
    second = build(recipe, blobs, tmp_path / "two", lambda _: None)
    assert (second.digest, second.changed) == (first.digest, ())

    script = (
        "import getpass, os, pathlib, sys, tiny; tiny.main(); "
        "print(getpass.getuser(), os.path.expanduser('~'), os.path.basename(sys.executable), bool(tiny.__cached__), "
        "all(map(os.path.isdir, ['/code', '/data', '/outputs', '/run/executor'])), os.path.exists(tiny.__cached__))"
    )
    with pulled(blobs, first.digest) as ref:
        assert docker("run", "--rm", *HERMETIC, ref, "tiny") == "made by tiny"
        said = docker("run", "--rm", *HERMETIC, ref, "python", "-c", script).splitlines()
        assert said == ["made by tiny", "runner /tmp python True True True"]
        kept = docker(
            "run", "--rm", *HERMETIC, ref, "sh", "-c", "cat /etc/machine-id /etc/apt/sources.list 2>&1 | wc -l"
        )
        assert kept == "2"  # two complaints that there is no such file
