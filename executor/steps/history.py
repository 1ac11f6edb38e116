"""What the store knows of a spec: its records, the result that counts, its files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from executor.errors import CorruptObject, NotFound, UsageError, count
from executor.evidence.record import Record
from executor.facts import OutputFile
from executor.spec.canonical import Digest
from executor.spec.model import Spec
from executor.store.interface import Store
from executor.store.transfer import look_twice


def records(store: Store, spec_hash: Digest) -> list[Record]:
    """Every record of a spec, the oldest first."""
    return [read(store, spec_hash, attempt) for attempt in store.attempts(spec_hash)]


def read(store: Store, spec_hash: Digest, attempt: str) -> Record:
    """One record; raises `NotFound`, `CorruptObject`."""
    return look_twice(lambda: read_bytes(store.get_record(spec_hash, attempt), store, spec_hash, attempt))


def read_bytes(data: bytes, store: Store, spec_hash: Digest, attempt: str) -> Record:
    """A record whose stored bytes were fetched; raises `CorruptObject`, also for one that was put under another key."""
    record, key = Record.from_json(data, store.attempt_url(spec_hash, attempt)), f"{spec_hash.hex}/{attempt}"
    if (named := f"{record.spec_hash.hex}/{record.attempt}") != key:
        raise CorruptObject(store.attempt_url(spec_hash, attempt), expected=f"the record of {key}", observed=named)
    return record


def choose(store: Store, spec_hash: Digest, every: list[Record], attempt: str | None) -> Record:
    """The attempt that was named, or the reference, or the last; raises `NotFound`."""
    wanted = attempt or store.reference(spec_hash)
    named = [record for record in every if record.attempt == wanted]
    if not named and (attempt or not every):
        there = ", ".join(record.attempt for record in every) or "nothing yet"
        raise NotFound(f"{spec_hash.hex[:12]}: no attempt {attempt or 'is finished'}", advice=f"there is: {there}")
    return (named or every)[-1]


def finished(store: Store, spec_hash: Digest) -> Record | None:
    """The result that answers a submit and that reruns are held against.

    The reference; when its record or one of its blobs is missing, the oldest success that is whole. None when there is
    none of these either. An executor that was killed between record and reference has its success named now.
    """
    reference = store.reference(spec_hash)
    if reference:
        with contextlib.suppress(NotFound):
            if _answers(store, record := read(store, spec_hash, reference)):
                return record
    oldest = next(_successes(store, spec_hash), None)
    if oldest and not reference:
        store.put_reference(spec_hash, oldest.attempt)
    return oldest


def results(store: Store, spec_hash: Digest) -> Iterator[Record]:
    """Every result that could answer a submit: the one that does, then the other successes that are whole."""
    first = finished(store, spec_hash)
    if first:
        yield first
        yield from (record for record in _successes(store, spec_hash) if record.attempt != first.attempt)


def _successes(store: Store, spec_hash: Digest) -> Iterator[Record]:
    return (record for record in records(store, spec_hash) if _answers(store, record))


def spec_of(store: Store, record: Record) -> Spec:
    """The spec of a record, from its canonical bytes in the store and the hints beside them; raises `CorruptObject`."""
    data = store.get_spec(record.spec_hash)
    with spec_expected(store, record):
        return Spec.of_identity(json.loads(data), record.hints.model_dump())


@contextlib.contextmanager
def spec_expected(store: Store, record: Record) -> Iterator[None]:
    """Whatever a record that holds no spec raises, as `CorruptObject`: a store can be written to by others."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        where = store.attempt_url(record.spec_hash, record.attempt)
        raise CorruptObject(where, expected="a record with a spec", observed=type(error).__name__) from error


def _answers(store: Store, record: Record) -> bool:
    """Whether it is a whole success that nothing was varied in."""
    return record.status == "succeeded" and not record.varied and not store.missing_blobs(record.blobs())


def pull(store: Store, record: Record, folder: Path, progress: Callable[[str, int, int], None]) -> list[OutputFile]:
    """Write the outputs of `record` below `folder`, verified; a file that is there with other bytes is an error.

    Raises `UsageError` for such a file before anything is written, `CorruptObject` for wrong bytes in the store and
    for a path that would lead out of `folder`.
    """
    targets = [(file, _below(folder, file.path)) for file in record.outputs]
    taken = [str(target) for file, target in targets if target.exists() and not _is(target, file)]
    if taken:
        raise UsageError(f"{folder}: {count(len(taken), 'file')} there with other contents: {', '.join(taken[:5])}",
                         advice="name an empty folder: nothing is overwritten")  # fmt: skip
    total, done = sum(file.size for file, _ in targets), 0
    for file, target in targets:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            store.get_blob(file.digest, target)
            if file.executable:
                target.chmod(target.stat().st_mode | 0o111)
        done += file.size
        progress("outputs", done, total)
    return [file for file, _ in targets]


def _below(folder: Path, path: str) -> Path:
    """Where an output lies below `folder`: a record comes from a store that others write to."""
    names = path.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise CorruptObject("record.json", expected="outputs below /outputs", observed=repr(path))
    return folder.joinpath(*names)


def _is(target: Path, file: OutputFile) -> bool:
    if not target.is_file() or target.stat().st_size != file.size:
        return False
    with target.open("rb") as stream:
        return Digest.of_stream(stream)[0] == file.digest
