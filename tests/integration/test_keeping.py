"""A store that loses nothing, on a folder and on S3: what is damaged is named, refilled, tidied up and copied."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from executor.evidence.record import Record
from executor.steps.history import read
from executor.store import layout
from executor.store.local import LocalStore
from executor.store.s3 import S3Store
from tests.integration.conftest import MakeMachine, S3Server
from tests.integration.site import SCRIPT, SPEC, Machine, commit, project, wait_until
from tests.thorough import thorough

pytestmark = [pytest.mark.engine, pytest.mark.s3]


@dataclass(frozen=True)
class Place:
    """A machine whose store has two attempts of one spec, and ways to change that store behind its back."""

    machine: Machine

    @property
    def records(self) -> list[Record]:
        store = self.machine.store
        (spec_hash,) = store.spec_hashes()
        return [read(store, spec_hash, attempt) for attempt in store.attempts(spec_hash)]

    @property
    def weights(self) -> str:
        """Key of an output of both."""
        return layout.blob(next(file.digest for file in self.records[0].outputs if file.path == "model.pt"))

    def overwrite(self, key: str, data: bytes) -> None:
        store = self.machine.store
        if isinstance(store, S3Store):
            store._s3.put_object(**store._at(key), Body=data)
        else:
            assert isinstance(store, LocalStore)
            store._path(key).write_bytes(data)

    def check(self, *words: str) -> dict[str, str]:
        """What `store check` names: key to kind."""
        ran = self.machine.run("store", "check", *words, "--quiet", "--json")
        found = {one["key"]: kind for kind in ("damaged", "missing", "unreadable") for one in ran.json[kind]}
        assert ran.code == (5 if found else 0), ran
        return found


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, make_machine: MakeMachine, finished: Machine) -> Place:
    machine = make_machine(request.param)
    copied = finished.run("store", "copy", "--to", machine.url, "--quiet", env=machine.variables)
    assert copied.code == 0, copied
    return Place(machine)


def test_a_copy_is_the_same_and_a_second_one_has_nothing_to_do(place: Place, finished: Machine) -> None:
    def kept(machine: Machine) -> dict[str, bytes]:
        passing = (layout.PROBES, layout.GC)
        return {one.key: machine.store.read(one.key) for one in machine.store.objects()
                if not one.key.startswith(passing) and "/log/" not in one.key and "/lease" not in one.key}  # fmt: skip

    assert kept(place.machine) == kept(finished)
    assert place.check() == {}
    again = finished.run("store", "copy", "--to", place.machine.url, "--json", env=place.machine.variables)
    assert (again.json["attempts"], again.json["blobs"], again.json["documents"]) == (2, 0, 0)


def test_a_copy_answers_a_submit_and_can_be_verified(place: Place) -> None:
    spec_hash = place.records[0].spec_hash.hex
    shown = place.machine.run("show", spec_hash, "--json")
    assert shown.json["agreement"] == {"identical": 2, "succeeded": 2}
    assert place.machine.run("pull", spec_hash, place.machine.folder / "out").code == 0


def test_whatever_is_damaged_or_removed_is_named_and_comes_back_from_another_store(
    place: Place, finished: Machine
) -> None:
    first, second = place.records
    base = layout.attempt(first.spec_hash, first.attempt)
    run = layout.run(first.spec_hash)
    before = {one.key: place.machine.store.read(one.key) for one in place.machine.store.objects(f"{layout.RUNS}/")}
    damaged = [f"{run}/reference.json", f"{base}/record.json", f"{base}/provenance.json", place.weights]
    removed = [f"{run}/spec.json", f"{layout.attempt(second.spec_hash, second.attempt)}/record.json"]
    removed += [layout.blob(first.log.digest)] if first.log else []
    for key in damaged:
        flipped = bytearray(place.machine.store.read(key))
        flipped[len(flipped) // 2] ^= 1
        place.overwrite(key, bytes(flipped))
    for key in removed:
        place.machine.store.remove(key)
    named = place.check()
    assert {key: named.get(key) for key in damaged} == dict.fromkeys(damaged, "damaged")
    assert f"{run}/spec.json" in named  # what only a lost record names cannot be known yet
    repaired = place.machine.run("store", "repair", "--from", finished.url, "--json")
    assert (repaired.code, repaired.json["lost"]) == (0, []), repaired
    assert {one["key"] for one in repaired.json["refilled"]} >= set(damaged)
    assert place.check() == {}
    restored = {one.key: place.machine.store.read(one.key) for one in place.machine.store.objects(f"{layout.RUNS}/")}
    # a record that nobody names any more is no loss that can be seen from here: a copy brings it
    copied = finished.run("store", "copy", "--to", place.machine.url, "--quiet", env=place.machine.variables)
    assert copied.code == 0, copied
    assert restored.items() <= before.items()
    for key, data in before.items():
        assert place.machine.store.read(key) == data, key


def test_a_lost_output_is_made_again_by_running_its_spec_once_more(place: Place) -> None:
    data = place.machine.store.read(place.weights)
    place.overwrite(place.weights, b"?" * len(data))
    assert place.check() == {place.weights: "damaged"}
    assert place.machine.run("store", "repair", "--quiet").code == 5
    repaired = place.machine.run("store", "repair", "--rerun", "--quiet", "--json")
    assert (repaired.code, [one["key"] for one in repaired.json["refilled"]]) == (0, [place.weights]), repaired
    assert place.machine.store.read(place.weights) == data
    assert (len(place.records), place.check(), place.machine.attempts_left()) == (2, {}, [])


def test_the_folder_of_somebody_who_pulled_the_outputs_is_a_copy_too(place: Place, finished: Machine) -> None:
    pulled = place.machine.folder / "pulled"
    assert finished.run("pull", place.records[0].spec_hash.hex, pulled).code == 0
    place.machine.store.remove(place.weights)
    assert place.machine.run("store", "repair", "--folder", pulled, "--quiet").code == 0
    assert place.check() == {}


def test_garbage_goes_and_everything_that_is_needed_stays(place: Place) -> None:
    store = place.machine.store
    needed = {one.key for one in store.objects(f"{layout.BLOBS}/")}
    spare = {layout.blob(store.put_bytes(b"spare %d" % number)) for number in range(20)}
    store.put_log(place.records[0].spec_hash, place.records[0].attempt, 0, b"hello\n")
    dry = place.machine.run("store", "gc", "--dry-run", "--grace", "0", "--json").json
    assert {key for key in dry["keys"] if key.startswith(layout.BLOBS)} == spare
    assert {one.key for one in store.objects(f"{layout.BLOBS}/")} == needed | spare
    wait_until(lambda: _gone(place, spare), "garbage to be a second old")
    assert {one.key for one in store.objects(f"{layout.BLOBS}/")} == needed
    assert place.check() == {}


def _gone(place: Place, spare: set[str]) -> bool:
    """A clock of whole seconds takes a blob of this very second for younger than it is."""
    assert place.machine.run("store", "gc", "--grace", "0", "--quiet").code == 0
    return not spare & {one.key for one in place.machine.store.objects(f"{layout.BLOBS}/")}


def test_two_passes_are_needed_when_there_is_a_grace(place: Place) -> None:
    spare = layout.blob(place.machine.store.put_bytes(b"spare"))
    # younger than its grace, then found for the first time, then old enough: within a few seconds
    found = [place.machine.run("store", "gc", "--grace", "2s", "--json").json["removed"]["blobs"]["count"]]
    assert found == [0]
    wait_until(lambda: place.machine.run("store", "gc", "--grace", "2s", "--quiet").code or _absent(place, spare), "gc")
    assert place.check() == {}


def _absent(place: Place, key: str) -> bool:
    return place.machine.store.stat(key) is None


def test_a_killed_collector_is_in_nobodys_way(place: Place) -> None:
    store = place.machine.store
    for number in range(300):
        store.put_bytes(b"spare %d" % number)
    with place.machine.start("store", "gc", "--grace", "0") as collector:
        wait_until(lambda: store.stat(layout.SWEEP), "a sweep")
        collector.send_signal(signal.SIGKILL)
    assert place.check() == {}
    after = place.machine.run("store", "gc", "--grace", "0", "--json")
    assert (after.code, after.json["cut_short"]) == (0, False)
    assert place.check() == {}


@pytest.mark.slow
def test_no_record_lacks_a_blob_while_others_collect_all_the_time(place: Place) -> None:
    """Each result's contents lie there as garbage when it is published, so that it counts on what is being removed."""
    machine, done, passes = place.machine, threading.Event(), 0

    def keep_collecting() -> None:
        nonlocal passes
        while not done.is_set():
            assert machine.run("store", "gc", "--grace", "0", "--quiet").code == 0
            passes += 1

    draft = project(machine.folder / "project", SPEC, run_sh=SCRIPT)
    collecting = threading.Thread(target=keep_collecting)
    collecting.start()
    try:
        for number in range(6):
            (draft.parent / "run.sh").write_text(f"{SCRIPT}\necho only {number} >/outputs/own\n")
            commit(draft.parent)
            machine.store.put_bytes(b"only %d\n" % number)
            assert machine.run("submit", draft, "--lock", "--force", "--quiet").code == 0
    finally:
        done.set()
        collecting.join()
    assert passes > 3
    assert place.machine.run("store", "check", "--quiet").code == 0
    found = [read(machine.store, spec_hash, attempt) for spec_hash in machine.store.spec_hashes()
             for attempt in machine.store.attempts(spec_hash)]  # fmt: skip
    assert len(found) == 8
    assert [machine.store.missing_blobs(record.blobs()) for record in found] == [[]] * 8


@pytest.mark.slow
@thorough
def test_a_bit_that_flips_on_the_servers_disk_is_one_unreadable_object(
    make_machine: MakeMachine, finished: Machine, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SeaweedFS answers 500 for it for ever, and all else is well."""
    machine = make_machine("s3")
    marked = b"flip me " + os.urandom(16).hex().encode()
    assert finished.run("store", "copy", "--to", machine.url, "--quiet", env=machine.variables).code == 0
    digest = machine.store.put_bytes(marked)
    files = {path.resolve() for path in tmp_path_factory.getbasetemp().glob("s3*/data/**/*.dat")}
    volumes = [path for path in files if marked in path.read_bytes()]
    assert volumes
    for path in volumes:
        with path.open("r+b") as file:
            file.seek(path.read_bytes().index(marked))
            file.write(b"F")
    found = machine.run("store", "check", "--quiet", "--json")
    wrong = [one["key"] for kind in ("damaged", "unreadable") for one in found.json[kind]]
    assert (found.code, wrong, found.json["missing"]) == (5, [layout.blob(digest)], [])
    (tmp_path / "copy").write_bytes(marked)
    assert machine.run("store", "repair", "--folder", tmp_path, "--quiet").code == 0
    assert machine.store.read_blob(digest, 100) == marked


def test_a_store_out_of_reach_is_never_an_empty_one(place: Place, s3_server: S3Server, finished: Machine) -> None:
    gone = replace(place.machine, url="s3://no-such-bucket", variables=s3_server.env)
    for words in (["check"], ["repair"], ["gc", "--grace", "0"], ["copy", "--to", finished.url]):
        ran = gone.run("store", *words, "--json")
        assert (ran.code, ran.json["error"]) == (6, "StoreUnreachable"), ran


def test_nothing_is_copied_over_another_record_of_the_same_attempt(place: Place, finished: Machine) -> None:
    record = place.records[0]
    other = record.model_copy(update={"metrics": {"accuracy": 1.0}})
    place.overwrite(f"{layout.attempt(record.spec_hash, record.attempt)}/record.json", other.to_json())
    ran = finished.run("store", "copy", "--to", place.machine.url, "--json", env=place.machine.variables)
    assert (ran.code, ran.json["error"]) == (2, "UsageError")
    assert record.attempt in ran.json["message"]
