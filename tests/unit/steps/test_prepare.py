import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executor.engine.interface import DEFAULT_ADDRESS
from executor.engine.plan import Plan
from executor.environment.launch import LAUNCH_CHECKS
from executor.errors import EnvironmentMismatch, InputMismatch, StoreUnreachable
from executor.facts import Finding
from executor.spec.canonical import Digest
from executor.spec.tree import scan
from executor.steps.prepare import (
    UNBENDING,
    Blobs,
    choose_cpus,
    counter,
    hash_cache,
    place,
    preview,
    ready,
    refuse,
    store_facts,
    take_inputs,
    tried,
    write_control,
)
from executor.steps.workspace import open_workspace
from executor.store.local import LocalStore
from tests.fakes import NOON, MemoryStore
from tests.unit.sites import IMAGE, World, a_spec

SPEC = a_spec()
NOTHING: frozenset[str] = frozenset()


def finding(field: str, **changes: Any) -> Finding:
    return Finding.model_validate(
        {"field": field, "expected": "a", "observed": "b", "severity": "refuse", "advice": ""} | changes
    )


def test_an_environment_that_fits_is_all_information(world: World) -> None:
    here = ready(SPEC, world.site, NOTHING, None)
    assert {one.severity for one in here.findings} == {"info"}
    assert here.image.digest == IMAGE
    assert here.fingerprint.image == here.image
    assert here.gpus == ()


def test_what_does_not_fit_is_refused_before_an_image_is_pulled(world: World) -> None:
    world.engine.registry, world.engine.digests = {IMAGE}, set()
    with pytest.raises(EnvironmentMismatch):
        ready(a_spec(resources={"memory": "2TiB"}), world.site, NOTHING, None)
    assert world.engine.pulled == []


def test_an_image_of_another_architecture_is_refused_once_it_is_here(world: World) -> None:
    world.engine.facts = world.engine.facts.model_copy(update={"architecture": "aarch64"})
    with pytest.raises(EnvironmentMismatch, match=r"image\.architecture: expected arm64, found amd64"):
        ready(SPEC, world.site, NOTHING, None)


def test_a_store_that_cannot_be_used_is_out_of_reach(world: World) -> None:
    world.site = replace(world.site, store=LocalStore(Path("/proc/no-such-store")))
    with pytest.raises(StoreUnreachable, match="no folder can be made there") as caught:
        ready(SPEC, world.site, NOTHING, None)
    assert caught.value.advice == "name a folder on a disk that can be written"


def test_a_store_among_other_refusals_is_a_finding() -> None:
    with pytest.raises(EnvironmentMismatch) as caught:
        refuse([finding("store", advice="start it"), finding("gpu.type")])
    assert caught.value.advice == "start it; or accept the difference: --allow gpu.type"


def test_what_accepting_cannot_help_is_not_offered() -> None:
    with pytest.raises(EnvironmentMismatch) as caught:
        refuse([finding("memory", advice="use a larger host"), finding("gpu.count")])
    assert caught.value.advice == "use a larger host"
    assert set(LAUNCH_CHECKS) > UNBENDING


def test_store_facts_are_those_of_the_check() -> None:
    facts = store_facts(MemoryStore(clock=NOON).check(NOON))
    assert (facts.address, facts.reachable, facts.writable, facts.skew_s) == ("memory:", True, True, 0)


def test_a_store_that_ignores_conditions_is_refused_with_what_was_seen(world: World) -> None:
    world.site = replace(world.site, store=MemoryStore(conditional=False))
    with pytest.raises(EnvironmentMismatch) as caught:
        ready(SPEC, world.site, NOTHING, None)
    assert "create: the second put was accepted" in caught.value.message
    assert "--single-writer" in caught.value.advice
    assert "--allow" not in caught.value.advice
    assert [one.field for one in caught.value.findings if one.severity == "refuse"] == ["store.capabilities"]


def test_it_serves_one_writer_who_is_warned_each_time(world: World) -> None:
    world.site = replace(world.site, store=MemoryStore(conditional=False))
    world.site.store.single_writer = True
    for _ in range(2):
        here = ready(SPEC, world.site, NOTHING, None)
        assert [one.field for one in here.findings if one.severity == "warn"] == ["store.capabilities"]


def test_a_store_that_got_worse_since_its_first_use_is_found_out(world: World) -> None:
    assert tried(world.site).faults == ()
    world.store._conditional = False
    assert {one.field for one in tried(world.site).faults} >= {"store.create"}


def test_a_refusal_names_every_field_and_how_to_accept_it() -> None:
    found = [finding("a", advice="mend it"), finding("b", severity="info"), finding("c"), finding("d", allowed=True)]
    with pytest.raises(EnvironmentMismatch) as caught:
        refuse(found)
    assert str(caught.value) == "a: expected a, found b\nc: expected a, found b"
    assert caught.value.advice == "mend it; or accept the difference: --allow a --allow c"
    assert list(caught.value.findings) == found
    refuse([finding("a", allowed=True), finding("b", severity="warn")])


@pytest.mark.parametrize(
    ("mine", "engine", "threads", "chosen"),
    [
        ((0, 1, 2, 3), 4, 2, (0, 1)),
        ((2, 3), 4, 2, (2, 3)),
        ((2, 9), 4, 2, (2,)),
        ((8, 9), 4, 2, (0, 1)),
        ((0,), 1, 4, (0,)),
    ],
)
def test_cpus_are_those_that_both_may_use(
    mine: tuple[int, ...], engine: int, threads: int, chosen: tuple[int, ...]
) -> None:
    assert choose_cpus(mine, engine, threads) == chosen


def test_a_placement_says_where_everything_lies(world: World, tmp_path: Path) -> None:
    here = ready(SPEC, world.site, NOTHING, None)
    with open_workspace(world.site.home, "a") as space:
        placed = place(SPEC, here, space, {"d": tmp_path})
    assert placed.disk == (None if space.disk.own else space.disk.size)
    assert (placed.attempt, placed.work, placed.cpus) == ("a", space.work, (0, 1))
    assert (placed.image, placed.data) == (here.image.id, {"d": tmp_path})


def test_a_preview_touches_nothing(world: World, tmp_path: Path) -> None:
    spec = a_spec(data={"d": {"hash": str(Digest.of(b"x")), "source": ""}})
    shown = preview(spec, world.site.home, NOON, address=DEFAULT_ADDRESS)
    assert not world.site.home.root.exists()
    assert (shown["spec_hash"], shown["experiment_key"]) == (spec.hash.hex, spec.experiment_key.hex)
    assert shown["request"]["Labels"]["io.repro-executor.attempt"] == "<attempt>"
    assert shown["files"]["params.json"] == {}
    sources = [mount["Source"] for mount in shown["request"]["HostConfig"]["Mounts"]]
    assert f"<data {Digest.of(b'x')}>" in sources
    assert world.store.requests == []


def test_a_preview_for_another_machine_shows_volumes(world: World) -> None:
    shown = preview(SPEC, world.site.home, NOON, address="ssh://elsewhere")
    assert {mount["Type"] for mount in shown["request"]["HostConfig"]["Mounts"]} == {"volume"}


def test_control_files_and_the_inside_room_are_copied(world: World, tmp_path: Path) -> None:
    (tmp_path / "inside" / "boot").mkdir(parents=True)
    (tmp_path / "inside" / "boot" / "a.py").write_text("1")
    (tmp_path / "inside" / "a.pyc").write_text("no source")
    with open_workspace(world.site.home, "a") as space:
        write_control(Plan({}, {"spec.json": b"{}"}, None), tmp_path / "inside", space)
        found = sorted(str(path.relative_to(space.control)) for path in space.control.rglob("*") if path.is_file())
    assert found == ["inside/boot/a.py", "spec.json"]


def test_an_input_that_is_another_comes_with_its_finding(world: World, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("x")
    spec = a_spec(data={"d": {"hash": str(Digest.of(b"x")), "source": str(tmp_path / "d")}})
    with open_workspace(world.site.home, "a") as space, pytest.raises(InputMismatch) as caught:
        take_inputs(spec, world.site, space, None)
    (one,) = caught.value.findings
    assert (one.field, one.expected, one.severity) == ("data.d.hash", str(Digest.of(b"x")), "refuse")


def test_data_are_found_where_they_lie(world: World, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("x")
    spec = a_spec(data={"d": {"hash": str(scan(tmp_path / "d").hash), "source": str(tmp_path / "d")}})
    with open_workspace(world.site.home, "a") as space:
        inputs = take_inputs(spec, world.site, space, None)
    assert (inputs.code, inputs.folders) == (None, {"d": tmp_path / "d"})


def test_blobs_are_the_stores(tmp_path: Path) -> None:
    store, path, digest = MemoryStore(), tmp_path / "a", Digest.of(b"abc")
    path.write_bytes(b"abc")
    blobs = Blobs(store)
    assert blobs.size(digest) is None
    blobs.put(path, digest, 3)
    with blobs.open(digest) as stream:
        assert (stream.read(), blobs.size(digest)) == (b"abc", 3)
    store.down = True
    with pytest.raises(StoreUnreachable):
        blobs.size(digest)


def test_bytes_add_up_from_any_thread(world: World) -> None:
    count = counter(world.site, "data d", 100)
    threads = [threading.Thread(target=count, args=(10,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.watcher.moved == [("data d", done, 100) for done in range(10, 101, 10)]


def test_the_hash_cache_lies_in_the_home(world: World, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("x")
    scan(tmp_path / "d", cache=hash_cache(world.site))
    assert (world.site.home.root / "hashes.sqlite").stat().st_size > 0
