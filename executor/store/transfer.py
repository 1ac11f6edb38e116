"""Moving bytes safely: verified while they stream, files written whole or not at all, many at once."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from executor.errors import CorruptObject, UsageError
from executor.spec.canonical import CHUNK, Digest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int], None]
"""Hears the number of bytes that have newly passed; one call at a time."""
Position = Callable[[int], None]
"""Hears how many bytes have passed since the start."""


def verified(
    raw: BinaryIO, name: str, digest: Digest, *, size: int | None = None, position: Position | None = None
) -> BinaryIO:
    """Stream of the same bytes that raises `CorruptObject` at its end, before the last bytes count as read to the end.

    `name` is what the error calls it; `position` hears how many bytes have passed. Only a reader that goes on until
    it is given nothing has verified bytes.
    """
    return io.BufferedReader(_Verifying(raw, name, digest, size, position), CHUNK)


class _Verifying(io.RawIOBase):
    def __init__(self, raw: BinaryIO, name: str, digest: Digest, size: int | None, position: Position | None) -> None:
        self._raw, self._name, self._digest, self._expected, self._position = raw, name, digest, size, position
        self._hasher, self._size = hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        chunk = self._raw.read(len(view))
        if not chunk:
            self._verify()
            return 0
        view[: len(chunk)] = chunk
        self._hasher.update(chunk)
        self._size += len(chunk)
        if self._position:
            self._position(self._size)
        return len(chunk)

    def _verify(self) -> None:
        if self._expected is not None and self._size != self._expected:
            raise CorruptObject(self._name, expected=f"{self._expected} bytes", observed=f"{self._size} bytes")
        if (observed := Digest(self._hasher.hexdigest())) != self._digest:
            raise CorruptObject(self._name, expected=str(self._digest), observed=str(observed))

    def close(self) -> None:
        self._raw.close()
        super().close()


def write_whole(
    target: Path, source: BinaryIO, *, if_absent: bool = False, scratch: Path | None = None, mode: int = 0o644
) -> bool:
    """Copy `source` to `target`, complete and on disk or not there at all; False when `if_absent` and it exists.

    The temporary file lies in `scratch`, by default beside the target; whatever is raised, it is gone afterwards.
    Nobody but the user can read it before it has its `mode`.
    """
    handle, name = tempfile.mkstemp(dir=scratch or target.parent, prefix=".part-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(source, file, CHUNK)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        placed = _link(temporary, target) if if_absent else bool(temporary.replace(target))
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)
    return placed


def _link(temporary: Path, target: Path) -> bool:
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def in_threads(task: Callable[[T], R], items: Iterable[T], workers: int) -> list[R]:
    """Results of `task` in the order of `items`; the first error stops what has not begun and is raised."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(task, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Payload:
    """Bytes to send: opened anew for every try, verified each time, progress told once."""

    def __init__(
        self, source: Callable[[], BinaryIO], name: str, digest: Digest, size: int, tell: Progress | None = None
    ) -> None:
        self.name, self.digest, self.size = name, digest, size
        self._source, self._tell, self._told = source, tell, 0

    @classmethod
    def of_bytes(cls, data: bytes, name: str) -> Payload:
        """Bytes in memory."""
        return cls(lambda: io.BytesIO(data), name, Digest.of(data), len(data))

    @classmethod
    def of_file(cls, path: Path, digest: Digest, size: int, tell: Progress) -> Payload:
        """A file that had this digest and size when it was last hashed."""
        return cls(lambda: path.open("rb"), str(path), digest, size, tell)

    def open(self) -> BinaryIO:
        """Stream from the start that raises `CorruptObject` at its end when the bytes are no longer the digest's."""
        try:
            raw = self._source()
        except FileNotFoundError as error:
            raise CorruptObject(self.name, expected=str(self.digest), observed="no file") from error
        return verified(raw, self.name, self.digest, size=self.size, position=self._reached)

    def _reached(self, position: int) -> None:
        if self._tell and position > self._told:
            self._tell(position - self._told)
            self._told = position


def one_at_a_time(progress: Progress | None) -> Progress:
    """The same listener, safe to call from several threads."""
    lock = threading.Lock()

    def tell(moved: int) -> None:
        if progress:
            with lock:
                progress(moved)

    return tell


def read_at_most(stream: BinaryIO, name: str, limit: int) -> bytes:
    """All bytes of a stream; a `UsageError` when there are more than `limit`."""
    data = bytearray()
    while chunk := stream.read(CHUNK):
        data += chunk
        if len(data) > limit:
            raise UsageError(f"{name}: larger than {limit} bytes", advice="download it to a file instead")
    return bytes(data)


def look_twice(fetch: Callable[[], R]) -> R:
    """Fetch again when the bytes were wrong: what was flipped on its way is right the second time."""
    try:
        return fetch()
    except CorruptObject:
        return fetch()
