"""Fetch what the Dockerfile installs into a build context: wheels and Python's packages, each by its hash.

    python images/torch-cuda/context.py build/torch-cuda

Wheels come through pip's own configuration; Ubuntu's packages through apt inside the base image, which knows its own
mirrors and keys. Whatever is not exactly what a lock names is an error.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from executor.engine import layers
from executor.engine.recipe import Recipe
from executor.spec.canonical import Digest

HERE = Path(__file__).parent
LOCK = HERE / "ubuntu.lock"
BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)


def wheels(context: Path) -> None:
    """The wheels of requirements.lock that fit Ubuntu's Python and C library."""
    found = layers.wheelhouse(
        replace(Recipe.read(HERE), python="3.12", glibc="2.39"), context.with_name(context.name + ".cache")
    )
    shutil.rmtree(context / "wheels", ignore_errors=True)
    shutil.copytree(found, context / "wheels")


def debs(context: Path, base: str) -> None:
    """The packages of ubuntu.lock, fetched by apt in the base image."""
    locked = dict(line.split(" sha256:") for line in LOCK.read_text(encoding="utf-8").splitlines())
    folder = context.resolve() / "debs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run(
        ["docker", "run", "--rm", "--network=host", "--user=0:0", f"--volume={folder}:/debs", "--workdir=/debs", base,
         "sh", "-c", 'apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root "$@"', "fetch", *locked],
        check=True,
    )  # fmt: skip
    found = {Digest.of(path.read_bytes()).hex for path in folder.iterdir()}
    if found != set(locked.values()):
        sys.exit(f"{folder}: apt gave other packages than {LOCK.name} names")


def main() -> None:
    """Fetch both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("context", type=Path, help="folder to fill")
    parser.add_argument("--base", help="base image (default: the Dockerfile's)")
    options = parser.parse_args()
    found = BASE.search((HERE.parents[1] / "Dockerfile").read_text(encoding="utf-8"))
    base = options.base or (found[1] if found else sys.exit("the Dockerfile names no base"))
    debs(options.context, base)
    wheels(options.context)


if __name__ == "__main__":
    main()
