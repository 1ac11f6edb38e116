"""Data that lies in S3: every object below a prefix, as the files of a folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from executor.errors import NotFound, SourceUnreachable, StoreUnreachable, UsageError
from executor.spec.canonical import CHUNK
from executor.store import open_store
from executor.store.interface import Store
from executor.store.transfer import Progress, in_threads, one_at_a_time

_WORKERS = 8


def fetch_prefix(url: str, target: Path, env: Mapping[str, str], progress: Progress | None = None) -> None:
    """Download the objects below `s3://bucket/prefix` into the folder `target`, which must not hold any of them yet.

    Not verified: whoever asks for data knows its hash. Raises `SourceUnreachable`, `NotFound` when nothing lies there,
    and `UsageError` for a key that cannot be a file below `target`.
    """
    store, tell = open_store(url, env), one_at_a_time(progress)

    def fetch(key: str) -> None:
        tell(_download(store, key, target / key))

    try:
        # "a/" is a folder of S3 consoles
        keys = [one.key for one in store.objects() if one.size or not one.key.endswith("/")]
        if not keys:
            raise NotFound(f"{url}: no objects there", advice="check the bucket and the prefix")
        if bad := [key for key in keys if not _is_path(key)]:
            raise UsageError(f"{url}: not the name of a file: {bad[0]!r}", advice="rename the object in the bucket")
        in_threads(fetch, keys, _WORKERS)
    except StoreUnreachable as error:
        raise SourceUnreachable(error.message, advice=error.advice) from error


def _download(store: Store, key: str, path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with store.open_object(key) as stream, path.open("xb") as file:
            shutil.copyfileobj(stream, file, CHUNK)
            return file.tell()
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"{store.url}/{key}: an object of that name and a folder of that name cannot both be files",
            advice="rename one of them in the bucket",
        ) from error


def _is_path(key: str) -> bool:
    parts = key.split("/")
    return all(part not in ("", ".", "..") and "\0" not in part and len(part.encode()) <= 255 for part in parts)
