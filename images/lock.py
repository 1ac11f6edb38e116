"""Write a recipe's requirements.lock: every wheel that pip resolves, with its sha256 and no address.

    python images/lock.py images/torch-cpu torch==2.13.0+cpu numpy==2.4.6 …

pip resolves from the index's metadata, so that gigabytes stay where they are. Several Python versions may be asked for
(`--python 3.11 --python 3.12`): one lock then serves all, with the hashes of each. `installer` is always in it: it
installs the others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from executor.engine.layers import manylinux
from executor.engine.recipe import Recipe

TOOL = "installer"


def resolve(requirements: list[str], python: str, recipe: Recipe) -> dict[str, str]:
    """Wheels by `name==version`, each with its sha256 in hex, as pip would install them."""
    platforms = [f"--platform={name}" for name in manylinux(recipe.glibc, recipe.architecture)]
    report = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report=-",
         "--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}",
         "--target=unused", *platforms, *requirements],
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    found = {}
    for item in json.loads(report.stdout)["install"]:
        name = f"{item['metadata']['name'].lower().replace('_', '-')}=={item['metadata']['version']}"
        found[name] = item["download_info"]["archive_info"]["hashes"]["sha256"]
    return found


def main() -> None:
    """Resolve for every Python and write the lock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="recipe folder")
    parser.add_argument("requirement", nargs="+", help="what the image is for, such as torch==2.13.0")
    parser.add_argument("--python", action="append", help="Python version (default: the recipe's)")
    options = parser.parse_args()
    recipe = Recipe.read(options.recipe)
    hashes: dict[str, set[str]] = {}
    for python in options.python or [recipe.python]:
        for name, digest in resolve([*options.requirement, TOOL], python, recipe).items():
            hashes.setdefault(name, set()).add(digest)
    lines = [
        " \\\n    ".join([name, *(f"--hash=sha256:{digest}" for digest in sorted(found))])
        for name, found in sorted(hashes.items())
    ]
    (options.recipe / "requirements.lock").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
