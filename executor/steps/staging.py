"""A run that has ended is safe on this machine before the store is asked anything.

First what was seen of the run is on disk, then what it left in `/outputs`: copied, hashed, listed. `result.json` says
which, and is never half written; what it does not name is not believed.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from executor.engine.outputs import OutputLimits, collect
from executor.engine.redact import NO_SECRETS, Secrets
from executor.errors import CorruptObject, NotFound
from executor.evidence.record import Blob, Record
from executor.facts import Fact, OutputFile
from executor.spec.canonical import Digest, sealed, unsealed
from executor.spec.globs import role_of
from executor.spec.model import Spec
from executor.spec.scalars import DigestField
from executor.steps.recorded import Beside, Ended, blob_of, completed, drafted, with_printed
from executor.steps.secrets import cleaned, leaks
from executor.steps.series import gather_series
from executor.steps.site import Site
from executor.steps.workspace import Workspace, remove_tree
from executor.store.transfer import in_threads, sync_folder, write_whole

LIMITS = OutputLimits()
"""What a run may leave behind."""
RESULT, RECORD = "result.json", "record.json"
"""Files of an attempt's folder: what is staged, and the record just as it is, or will be, in the store."""
_SYNCED_ALONE = 256
"""Files that are waited for one by one; of more, all that the machine has written is waited for."""


class Parcel(Fact):
    """A file that the record needs in the store."""

    path: str
    """Below the attempt's folder."""
    digest: DigestField
    size: int
    """Bytes."""


class Staged(Fact):
    """The result of a run, on this machine."""

    version: Literal[1] = 1
    url: str
    """The store that it is meant for; where a server of another address has that bucket now, it goes there."""
    reference: str | None
    """Attempt that it is to be held against; none for whichever is the reference by then."""
    require_signed: bool
    """Whether it is held against nothing but that one."""
    outputs: str | None
    """Which folder still holds the outputs, until they are listed in the record."""
    record: Record
    """Without a comparison."""
    parcels: tuple[Parcel, ...]

    @property
    def spec(self) -> Spec:
        """What ran."""
        return Spec.of_identity(self.record.spec, self.record.hints.model_dump())


def stage(ended: Ended, kept: Beside, space: Workspace, site: Site) -> Staged:
    """Have everything of a run on disk; raises `DiskFailed` and `OSError`, after which `listed` can go on."""
    record = cleaned(drafted(ended, kept, site), site.secrets.known(ended.spec.secrets))
    parcels = [_parcel(path, blob.digest, blob.size, space) for path, blob in kept.files.values()]
    on_disk(path for path, _ in kept.files.values())
    staged = Staged(
        url=site.store.url, reference=ended.reference.attempt if ended.reference else None,
        require_signed=ended.require_signed, outputs=_origin(space), record=record, parcels=tuple(parcels),
    )  # fmt: skip
    _write(staged, space)
    space.keep()
    return listed(staged, space, site.secrets)


def listed(staged: Staged, space: Workspace, secrets: Secrets = NO_SECRETS) -> Staged:
    """Copy and list the outputs, from the start if need be; the copy does not stay when there is no room for it.

    A file that holds one of the `secrets` is named in a finding.

    Raises `CorruptObject` when the folder is no longer what the program left.
    """
    if staged.outputs is None:
        space.copied()
        return staged
    if staged.outputs != (found := _origin(space)):
        raise CorruptObject(str(space.outputs), expected=f"the folder {staged.outputs}", observed=found)
    spec = staged.spec
    try:
        _empty(space.staging)
        collected = collect(space.outputs, space.staging, lambda path: role_of(path, spec.outputs), LIMITS)
        collected = with_printed(collected, space)
        files: dict[Path, OutputFile | Blob] = {space.staging / file.path: file for file in collected.files}
        table = space.folder / "series.parquet"
        numbers = gather_series(collected.files, space.staging, table)
        series = blob_of(table) if numbers.series else None
        files |= {table: series} if series else {}
        on_disk(files)
        record = completed(staged.record, spec, collected, numbers, series)
        known = secrets.known(spec.secrets)
        told = leaks(collected.files, space.staging, known)
        record = cleaned(record.model_copy(update={"findings": (*record.findings, *told)}), known)
        parcels = [_parcel(path, file.digest, file.size, space) for path, file in files.items()]
        update = {"outputs": None, "record": record, "parcels": (*staged.parcels, *parcels)}
        whole = staged.model_copy(update=update)
        _write(whole, space)
        space.copied()
    except BaseException:
        _empty(space.staging)
        raise
    return whole


def read(space: Workspace) -> Staged:
    """What is staged in a folder; raises `NotFound` when nothing is, `CorruptObject` when its words are damaged."""
    path = space.folder / RESULT
    try:
        body, expected, observed = unsealed(path.read_bytes())
    except FileNotFoundError:
        advice = f"look at {space.outputs}, then `executor publish --discard {space.folder.name}`"
        problem = f"{space.folder}: the run ended before anything was written down of it"
        raise NotFound(problem, advice=advice) from None
    if expected is None or expected != observed:
        raise CorruptObject(str(path), expected=str(expected or "a seal"), observed=str(observed or "none"))
    try:
        return Staged.model_validate_json(body)
    except ValidationError as error:
        raise CorruptObject(str(path), expected="a staged result", observed=str(error)) from error


def committed(space: Workspace) -> tuple[Record, bytes] | None:
    """The record that was about to be stored, or is: what became of the request may be unknown. None before that."""
    path = space.folder / RECORD
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return Record.from_json(data, str(path)), data


def commit(record: Record, space: Workspace) -> bytes:
    """Settle which bytes are stored as the record, on disk, so that every later try stores the same."""
    data = record.to_json()
    write_whole(space.folder / RECORD, io.BytesIO(data))
    return data


def on_disk(paths: Iterable[Path]) -> None:
    """Wait until files, and their names, are on disk; raises `OSError` when the disk does not take them."""
    files = list(paths)
    if len(files) > _SYNCED_ALONE:
        os.sync()
        return
    in_threads(_sync, files, 8)
    in_threads(sync_folder, {file.parent for file in files}, 8)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write(staged: Staged, space: Workspace) -> None:
    write_whole(space.folder / RESULT, io.BytesIO(sealed(json.loads(staged.model_dump_json()))))


def _parcel(path: Path, digest: Digest, size: int, space: Workspace) -> Parcel:
    return Parcel(path=path.relative_to(space.folder).as_posix(), digest=digest, size=size)


def _empty(folder: Path) -> None:
    if folder.exists():
        remove_tree(folder)
    folder.mkdir()


def _origin(space: Workspace) -> str:
    """The output folder as the program left it: after a restart of the machine it may have lost what was not on disk.

    The inode tells a file system that is no longer mounted there.
    """
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {space.outputs.stat().st_ino}"
