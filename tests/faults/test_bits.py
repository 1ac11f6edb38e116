"""One bit is flipped in every object of a store: `store check` names it, and the wrong bytes are never served."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.conftest import Row
from tests.faults.world import World, make_world
from tests.thorough import ALL

pytestmark = [pytest.mark.engine, pytest.mark.slow]
SEED = 20261126
LIVE = ("lease.json", "/gc/", "/probes/")
"""Objects that are no evidence: a lease says who runs a spec now, a collector what it does."""


@pytest.fixture(scope="module")
def rotten(small_image: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world whose store is a folder and holds two attempts of a spec."""
    world = make_world(tmp_path_factory.mktemp("bits"), None)
    assert world.submit(world.spec).code == 0
    spec_hash = world.run("hash", world.spec).out.strip()
    assert world.run("rerun", "--json", spec_hash).code == 0
    world.check()
    return world


def evidence(world: World) -> list[Path]:
    root = Path(world.machine.url.removeprefix("file:"))
    return sorted(path for path in root.rglob("*") if path.is_file() and ".part" not in path.parts
                  and not any(word in f"/{path.relative_to(root)}" for word in LIVE))  # fmt: skip


def test_every_object_is_watched(rotten: World, row: Row) -> None:
    draw, files = random.Random(SEED), evidence(rotten)
    assert len(files) > 10
    spec_hash = rotten.run("hash", rotten.spec).out.strip()
    clean = rotten.run("store", "check", "--json")
    assert clean.code == 0, clean
    for path in files if ALL else draw.sample(files, 6):
        data = path.read_bytes()
        if not data:
            continue
        bit = draw.randrange(8 * len(data))
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        path.write_bytes(wrong)
        row.injected(f"a bit of {kind(path)}")
        found = rotten.run("store", "check", "--json")
        assert found.code == 5, (path, bit, found)
        assert path.name in found.out, (path, found)
        pulled = rotten.machine.folder / "pulled"
        taken = rotten.run("pull", spec_hash, pulled)
        if taken.code == 0:
            served(rotten, pulled)
        else:
            assert taken.code in (2, 5), taken
        path.write_bytes(data)
    assert rotten.run("store", "check", "--json").code == 0
    rotten.check()


def kind(path: Path) -> str:
    """What an object is, by its name."""
    return "a blob" if "blobs" in path.parts else "a log segment" if "log" in path.parts else path.name


def served(world: World, folder: Path) -> None:
    """What was pulled is what the run left."""
    assert (folder / "model.pt").read_text() == "weights of 1\n"
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink()
