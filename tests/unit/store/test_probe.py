from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import pytest

from executor.errors import StoreUnreachable
from executor.facts import Finding
from executor.store.local import LocalStore
from executor.store.objects import Seen
from executor.store.probe import CAPABILITIES, FIRST_USE, KEYS, WRITERS, examine
from executor.store.transfer import Payload
from tests.fakes import MemoryStore


def bad(store: MemoryStore, *wanted: str) -> dict[str, Finding]:
    """What was found wrong; whatever was found, nothing is left."""
    found = examine(store, "a", wanted or tuple(CAPABILITIES))
    assert [key for key in store.contents if key.startswith("v1/probes/")] == []
    return {one.field.removeprefix("store."): one for one in found if one.severity != "info"}


def test_a_store_that_can_all_is_found_so_and_left_as_it_was() -> None:
    store = MemoryStore()
    store.contents["v1/probes/b/kept"] = b"of another one"
    found = examine(store, "a")
    assert {one.field: (one.severity, one.observed) for one in found} == {
        "store.create": ("info", "refused"),
        "store.race": ("info", "one winner of 16, 3 times"),
        "store.swap": ("info", "refused; 16 increments by 4 writers add up"),
        "store.listing": ("info", "1,001 keys"),
    }
    assert list(store.contents) == ["v1/probes/b/kept"]


def test_a_folder_can_all_too(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    assert {one.severity for one in examine(store, "a")} == {"info"}
    assert list(store.objects()) == []


def test_the_first_use_is_cheap() -> None:
    store = MemoryStore()
    assert [one.field for one in examine(store, "a", FIRST_USE)] == ["store.create", "store.race", "store.swap"]
    assert len(store.requests) < 60


def test_a_store_that_ignores_conditions_is_refused_for_each_of_them() -> None:
    found = bad(MemoryStore(conditional=False))
    assert {name: one.severity for name, one in found.items()} == dict.fromkeys(("create", "race", "swap"), "refuse")
    assert found["create"].observed == "the second put was accepted: the condition is ignored"
    assert found["race"].observed == f"{WRITERS} of {WRITERS} puts at the same time were accepted"
    assert all("If-None-Match" in one.advice for one in found.values())


class Hasty(MemoryStore):
    """Looks whether a key exists, and then puts: right for one writer, wrong for two at the same time."""

    def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
        if if_absent:
            if key in self.contents:
                return False
            if "race" in key:
                self.both.wait(10)
        return super()._put(key, payload, if_version=if_version)

    both = threading.Barrier(2)


def test_only_a_race_finds_a_condition_that_is_looked_at_too_early() -> None:
    assert list(bad(Hasty(), "create", "race")) == ["race"]


def test_a_swap_that_is_always_refused_ends() -> None:
    class Stubborn(MemoryStore):
        def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
            return if_version is None and super()._put(key, payload, if_absent=if_absent)

    found = bad(Stubborn(), "swap")
    assert found["swap"].observed == "a put in the place of the version that is there was refused"


def test_a_count_that_loses_increments_is_found() -> None:
    class Forgetful(MemoryStore):
        def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
            if if_version is not None and "count" in key:
                return True
            return super()._put(key, payload, if_absent=if_absent, if_version=if_version)

    found = bad(Forgetful(), "swap")
    assert found["swap"].observed == "4 increments by 2 writers came to 0"


def test_a_win_whose_answer_was_lost_is_a_win() -> None:
    class Mute(MemoryStore):
        def _put(self, key: str, payload: Payload, *, if_absent: bool = False, if_version: str | None = None) -> bool:
            won = super()._put(key, payload, if_absent=if_absent, if_version=if_version)
            return won and not if_absent

    assert bad(Mute(), "create", "race") == {}


def test_a_listing_that_stops_at_a_page_is_found() -> None:
    class OnePage(MemoryStore):
        def _list(self, prefix: str, *, deep: bool):  # type: ignore[no-untyped-def]
            yield from sorted(super()._list(prefix, deep=deep))[:1000]

    store = OnePage()
    found = {one.field: one for one in examine(store, "a", ("listing",))}["store.listing"]
    assert (found.severity, found.observed) == ("refuse", f"1,000 of {KEYS:,} keys")


def tried(trial: Callable[[str], Seen]) -> MemoryStore:
    """A store with a trial of its own."""

    class Special(MemoryStore):
        def trials(self) -> Mapping[str, Callable[[str], Seen]]:
            return {"checksum": trial}

    return Special()


@pytest.mark.parametrize(("good", "severity"), [(True, "info"), (False, "warn"), (None, "info")])
def test_a_backend_has_trials_of_its_own(good: bool | None, severity: str) -> None:
    (found,) = examine(tried(lambda prefix: Seen(good, prefix)), "a", ("checksum",))
    assert (found.field, found.severity, found.observed) == ("store.checksum", severity, "v1/probes/a")
    assert bool(found.advice) == (severity != "info")


def test_a_request_that_the_store_cannot_answer_is_a_finding() -> None:
    def fail(_: str) -> Seen:
        raise StoreUnreachable("501 for this one")

    (found,) = examine(tried(fail), "a", ("checksum",))
    assert (found.severity, found.observed) == ("warn", "it failed: 501 for this one")


def test_a_store_that_stops_to_answer_is_out_of_reach() -> None:
    store = MemoryStore()
    store.down = True
    with pytest.raises(StoreUnreachable):
        examine(store, "a")


def test_what_was_put_is_removed_also_when_it_is_interrupted() -> None:
    class Interrupting(MemoryStore):
        def _open(self, key: str) -> BinaryIO:
            raise KeyboardInterrupt

    store = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        examine(store, "a", ("create",))
    assert store.contents == {}


def test_what_cannot_be_removed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Sticky(MemoryStore):
        def _delete(self, key: str) -> None:
            raise StoreUnreachable("403")

    assert examine(Sticky(), "a", ("create",))[0].severity == "info"
    assert "what was tried is not removed prefix=v1/probes/a problem=403" in capsys.readouterr().err
