"""A run as a Workflow Run RO-Crate: a folder or a .zip of its outputs, spec, record and log, and what they are."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from executor.errors import NotFound
from executor.evidence.record import Blob, Record
from executor.spec.canonical import CHUNK, Digest
from executor.steps.exports.crate_document import NAME, Packed, document, manifest
from executor.steps.exports.genuine import genuine
from executor.steps.exports.intoto import envelope
from executor.steps.history import pull
from executor.steps.signed.signing import opened
from executor.store.interface import Store

Progress = Callable[[str, int, int], None]
_WORDS = {"log": "What the program printed.", "code": "The code at its commit, as it was mounted.",
          "series": "Every value of every metric, with step and time.",
          "trace": "Digests of parameters, gradients and random state at each step."}  # fmt: skip
_PATHS = {"log": "log.txt", "code": "code.tar", "series": "series.parquet", "trace": "trace.parquet"}


def write(record: Record, store: Store, target: Path, progress: Progress) -> list[Packed]:
    """Write the crate to `target`, a new folder, or a new archive where its name ends with `.zip`.

    Every byte is verified. Equal exports give equal bytes. Raises `CorruptObject`.
    """
    genuine(record, store)
    signed = _signed(record, store)
    folder = target.with_suffix("") if target.suffix == ".zip" else target
    folder.mkdir()
    files = sorted(_fill(record, store, folder, progress, signed), key=lambda file: file.path)
    crate = document(record, files, opened(signed).keyids if signed else ())
    (folder / NAME).write_text(json.dumps(crate, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if target != folder:
        _zip(folder, target, record)
    return files


def _signed(record: Record, store: Store) -> bytes | None:
    with suppress(NotFound):
        return envelope(record, store)
    return None


def _fill(
    record: Record, store: Store, folder: Path, progress: Progress, signed: bytes | None
) -> Iterator[Packed]:  # fmt: skip
    outputs = pull(store, record, folder / "outputs", progress)
    for file in outputs:
        about = f"Output of the program ({file.role})."
        yield Packed(f"outputs/{file.path}", file.digest, file.size, about, output=True)
    for name, blob in record.beside.items():
        if name in _PATHS:
            yield _fetched(store, blob, folder, _PATHS[name], _WORDS[name])
    for name, blob in record.manifests.items():
        yield _fetched(store, blob, folder, manifest(name), f"Digest, size and path of each file of the data {name}.")
    key, attempt = record.spec_hash, record.attempt
    yield _kept(folder, "spec.json", store.get_spec(key), "Canonical bytes of the spec: their hash is the run's name.")
    yield _kept(folder, "record.json", store.get_record(key, attempt), "The record of the run, as it is stored.")
    if signed:
        about = "Signed statement about the run: in-toto, SLSA provenance."
        yield _kept(folder, "provenance.intoto.jsonl", signed, about)


def _fetched(store: Store, blob: Blob, folder: Path, path: str, about: str) -> Packed:
    (folder / path).parent.mkdir(exist_ok=True)
    store.get_blob(blob.digest, folder / path)
    return Packed(path, blob.digest, blob.size, about)


def _kept(folder: Path, path: str, data: bytes, about: str) -> Packed:
    (folder / path).write_bytes(data)
    return Packed(path, Digest.of(data), len(data), about)


def _zip(folder: Path, target: Path, record: Record) -> None:
    """Pack in the order of names, with the time of the record: the same files give the same bytes."""
    with zipfile.ZipFile(target, "x") as sink:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), record.created.timetuple()[:6])
            info.external_attr, info.compress_type = path.stat().st_mode << 16, zipfile.ZIP_DEFLATED
            with path.open("rb") as source, sink.open(info, "w", force_zip64=True) as entry:
                shutil.copyfileobj(source, entry, CHUNK)
