"""The layers of an image as tars whose bytes depend on nothing but the recipe and the packages it resolves to.

Debian's packages by mmdebstrap, then hash-checked wheels unpacked and byte-compiled by the image's own Python with no
network. Each step keeps its result in a cache folder named by the hash of its inputs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from executor.engine.recipe import Recipe
from executor.errors import CorruptObject, EnvironmentMismatch, ExecutorError, SourceUnreachable
from executor.spec.canonical import Digest, canonical_bytes

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = "packages.lock"

# Without it Debian 12 merges /usr by a package that brings 47 MB of Perl.
_MERGED_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"

# Runs against the new root ($1) before the package lists go. The host's resolver, name and mirrors are not the image's;
# the mount points are there so that the root can be read-only.
_FINISH = r"""
set -eu; cd "$1"
export APT_CONFIG=$MMDEBSTRAP_APT_CONFIG LC_ALL=C
apt-cache show --no-all-versions $(dpkg-query --root="$1" -W -f '${Package} ') |
    awk '/^Package:/ {p=$2} /^Version:/ {v=$2} /^SHA256:/ {print p "=" v " sha256:" $2}' | sort -u >packages.lock
test -e usr/bin/python || ln -s python3 usr/bin/python
echo 'runner:x:1000:1000:runner:/tmp:/bin/sh' >>etc/passwd
echo 'runner:x:1000:' >>etc/group
rm -rf run/*; mkdir -p code data outputs run/lock run/executor
rm -rf usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/lintian var/log/* var/cache/debconf/*-old
rm -f etc/machine-id etc/resolv.conf etc/hostname etc/*- var/lib/dpkg/*-old
rm -f etc/apt/sources.list etc/apt/sources.list.d/*
"""

# A file that does not compile (a template, a Python 2 relic) simply has no byte code, as with pip.
_COMPILE = """
import compileall, py_compile, sys
compileall.compile_dir(sys.argv[1], quiet=2, workers=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


@dataclass(frozen=True)
class Base:
    """The lowest layer."""

    tar: Path
    packages: str
    """What it holds, in the format of `debian.lock`."""


def debian(recipe: Recipe, work: Path, mirrors: Sequence[str] = ()) -> Base:
    """Debian's packages of the recipe; `mirrors` are sources.list lines or addresses, by default the suite's own."""

    def make(folder: Path) -> None:
        tool = _tool("mmdebstrap")
        mode = "root" if os.geteuid() == 0 else "unshare"
        _run(
            ["env", f"SOURCE_DATE_EPOCH={recipe.source_date_epoch}", "LC_ALL=C.UTF-8", "TZ=UTC", tool, "--quiet",
             f"--mode={mode}", "--variant=minbase", f"--architectures={recipe.architecture}",
             "--skip=output/dev,cleanup/run",
             f"--include={','.join(recipe.packages)}", f"--hook-dir={_MERGED_USR}", f"--customize-hook={_FINISH}",
             f"--customize-hook=copy-out /{PACKAGES} {folder}", f'--customize-hook=rm "$1"/{PACKAGES}',
             "--format=tar", recipe.suite, str(folder / "layer.tar"), *mirrors],
            SourceUnreachable(f"Debian's packages for {recipe.name} could not be put together",
                              advice="is the Debian mirror in reach? without root, user namespaces and newuidmap "
                                     "(package uidmap) are needed"),
        )  # fmt: skip

    inputs = [
        recipe.suite,
        recipe.architecture,
        recipe.source_date_epoch,
        list(recipe.packages),
        _FINISH,
        list(mirrors),
    ]
    folder = _cached(work, "debian", inputs, make)
    return Base(folder / "layer.tar", (folder / PACKAGES).read_text(encoding="utf-8"))


def wheelhouse(recipe: Recipe, work: Path) -> Path:
    """A folder with the wheels of `requirements.lock`, each checked against it again on every call."""

    def make(folder: Path) -> None:
        lock = folder / "requirements.txt"
        lock.write_text(recipe.requirements_lock, encoding="utf-8")
        platforms = [f"--platform={name}" for name in manylinux(recipe.glibc, recipe.architecture)]
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir",
             "--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp",
             f"--python-version={recipe.python}", *platforms, f"--dest={folder}", f"--requirement={lock}"],
            SourceUnreachable("pip could not get every wheel of requirements.lock",
                              advice="each must come, with the very hash, from an index that pip is configured for; "
                                     "CPU builds of torch have an index of their own (see images/README.md)"),
        )  # fmt: skip
        lock.unlink()

    folder = _cached(work, "wheels", [recipe.requirements_lock, recipe.python, recipe.glibc], make)
    for wheel in folder.glob("*.whl"):
        with wheel.open("rb") as stream:
            digest, _ = Digest.of_stream(stream)
        if digest.hex not in recipe.wheel_hashes:
            raise CorruptObject(str(wheel), expected="a hash in requirements.lock", observed=str(digest))
    return folder


def python(recipe: Recipe, base: Base, wheels: Path, work: Path) -> Path:
    """The tar of `/usr/local` after the image's own Python has unpacked and byte-compiled the wheels."""
    prefix = f"usr/local/lib/python{recipe.python}/dist-packages"
    refused = EnvironmentMismatch(
        "the image's Python cannot be run here", advice="build as root, or allow user namespaces; same architecture"
    )

    def make(folder: Path) -> None:
        with TemporaryDirectory(dir=work, prefix="root-") as name:
            root = Path(name)
            _run([_tool("tar"), "-xf", str(base.tar), "-C", name, "--no-same-owner"], refused)
            inside = root / "tmp/wheels"
            shutil.copytree(wheels, inside, copy_function=_link)
            installer = next(inside.glob("installer-*.whl"))
            packed = [f"/tmp/wheels/{wheel.name}" for wheel in sorted(inside.iterdir())]  # noqa: S108  (of the image)
            enter = [*_chroot(root, f"/tmp/wheels/{installer.name}"), "/usr/bin/python3", "-B"]  # noqa: S108
            _run([*enter, "-m", "installer", "--no-compile-bytecode", *packed], refused)
            _run([*enter, "-c", _COMPILE, f"/{prefix}"], refused)
            with (folder / "layer.tar").open("wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
                pack(tar, root, root / "usr/local", recipe.source_date_epoch)

    with base.tar.open("rb") as stream:
        below, _ = Digest.of_stream(stream)
    return _cached(work, "python", [below, recipe.requirements_lock, recipe.python, _COMPILE], make) / "layer.tar"


def pack(tar: tarfile.TarFile, root: Path, path: Path, epoch: int) -> None:
    """Add `path` and all below it, named relative to `root`: sorted, one time, no owner, plain modes."""
    info = tar.gettarinfo(path, arcname=path.relative_to(root).as_posix())
    if info.islnk():  # a second name of the same bytes is a file of its own
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = epoch
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    if info.isreg():
        with path.open("rb") as stream:
            tar.addfile(info, stream)
    else:
        tar.addfile(info)
    if info.isdir():
        for child in sorted(path.iterdir()):
            pack(tar, root, child, epoch)


def manylinux(glibc: str, architecture: str) -> list[str]:
    """Platform tags of wheels that run on a C library of that version, newest first."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
    minor = int(glibc.split(".")[1])
    tags = [f"manylinux_2_{number}_{machine}" for number in range(minor, 4, -1)]
    return [*tags, f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]


def _cached(work: Path, step: str, inputs: object, make: Callable[[Path], None]) -> Path:
    """The folder of a step with these inputs; made under another name first, so that half of one is never found."""
    folder = work / f"{step}-{Digest.of(canonical_bytes(inputs)).hex[:16]}"
    if not folder.exists():
        work.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=work, prefix=f"{step}-new-") as name:
            made = Path(name) / "made"
            made.mkdir()
            make(made)
            made.rename(folder)
    return folder


def _chroot(root: Path, pythonpath: str) -> list[str]:
    enter = ["chroot", str(root)] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net", "chroot", str(root)]
    return [
        "env",
        "-i",
        f"PATH={SEARCH_PATH}",
        "LC_ALL=C.UTF-8",
        "PYTHONHASHSEED=0",
        f"PYTHONPATH={pythonpath}",
        *enter,
    ]


def _link(source: str, target: str) -> None:
    os.link(source, target)


def _tool(name: str) -> str:
    if not (found := shutil.which(name)):
        raise EnvironmentMismatch(
            f"{name} is not installed", advice=f"apt-get install -y --no-install-recommends {name}"
        )
    return found


def _run(command: Sequence[str], failed: ExecutorError) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, umask=0o022)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise type(failed)(f"{failed.message}:\n{said}", advice=failed.advice)
