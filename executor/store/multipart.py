"""Large objects go to a bucket in parts; an upload that was cut off goes on where it was.

- Plain requests, no transfer manager: its CRT variant ignores the endpoint that it is given.
- The journal says what was sent; the server's list of parts only confirms it, and never adds to it.
- Every byte is read again and compared with the digest of the whole, so a resumed upload is as good as a fresh one.
- Never a commit: contents alone go this way, under the name of their digest.
"""

from __future__ import annotations

import base64
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from executor.errors import CorruptObject, NotFound, StoreUnreachable
from executor.log import get_logger
from executor.store.journal import Header, Journal, Sent, left, worked_on
from executor.store.transfer import Payload

MULTIPART, PART, MAX_PARTS = 64 << 20, 16 << 20, 10_000
"""Bytes from which on an object goes in parts, bytes of a part, and how many there may be."""
_AT_ONCE = 4


class Bucket(Protocol):
    """What is asked of the bucket, through requests of the client that it tries and maps errors of."""

    client: Any
    """The S3 client."""
    place: str
    """Endpoint and bucket, which make an upload id mean something."""

    def address(self, key: str) -> dict[str, Any]:
        """Bucket and full key, as requests name them."""
        ...

    def call(self, action: Callable[[], Any]) -> Any:
        """Try a request until it is answered; raises `NotFound` and `StoreUnreachable`."""
        ...

    def once(self, action: Callable[[], Any]) -> None:
        """Try a request once, and leave it at that."""
        ...

    def size_of(self, key: str) -> int | None:
        """Bytes of an object, None when there is none."""
        ...


@dataclass
class _Upload:
    request: dict[str, Any]
    """Bucket, key and upload id."""
    part_size: int
    parts: dict[int, Sent] = field(default_factory=dict)
    """What the server has."""
    journal: Journal | None = None

    def add(self, part: Sent) -> None:
        self.parts[part.number] = part
        try:
            if self.journal:
                self.journal.add(part)
        except OSError as error:  # a part that is not written down is sent again, no more
            get_logger("store").warning("a part is not in the journal of its upload", problem=str(error))

    def forget(self) -> None:
        if self.journal:
            self.journal.forget()


class Multipart:
    """Uploads in parts to one bucket; `folder` holds their journals, none for none."""

    def __init__(self, bucket: Bucket, folder: Path | None) -> None:
        self._bucket, self._folder = bucket, folder

    def send(self, key: str, payload: Payload) -> None:
        """Store an object, or go on storing it; when this returns the store has it, whole.

        What cannot be sent now is kept for the next try if there is a journal, and taken back if there is none.
        """
        for _ in range(2):
            with suppress(_Forgotten), self._begun(key, payload) as upload:
                self._send_parts(upload, payload)
                self._complete(key, payload, upload)
                return
        raise StoreUnreachable(f"{key}: the store forgets uploads in parts", advice="try again later")

    def abort_stale(self, prefix: str, before: datetime) -> int:
        """End uploads below `prefix` that nobody will go on with; returns how many.

        Those of this machine whose object is stored by now, or that were last worked on before `before`; those of
        others that began before it.
        """
        ended = 0
        for journal in left(self._folder, self._bucket.place) if self._folder else ():
            header = journal.header
            if journal.touched >= before and self._bucket.size_of(header.key) != header.size:
                journal.close()
                continue
            self._abort(self._bucket.address(header.key) | {"UploadId": header.upload})
            journal.forget()
            ended += 1
        kept = worked_on(self._folder) if self._folder else set()
        for found in list(self._listed(prefix)):
            if found["Initiated"] < before and found["UploadId"] not in kept:
                at = self._bucket.address("") | {"Key": found["Key"], "UploadId": found["UploadId"]}
                self._abort(at)
                ended += 1
        return ended

    # One upload -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _begun(self, key: str, payload: Payload) -> Iterator[_Upload]:
        upload = self._again(key, payload) or self._anew(key, payload)
        try:
            yield upload
            upload.forget()
        except NotFound as error:
            upload.forget()
            raise _Forgotten from error
        except BaseException as error:
            if upload.journal is None or isinstance(error, CorruptObject):  # these bytes are no more
                self._bucket.once(lambda: self._bucket.client.abort_multipart_upload(**upload.request))
                upload.forget()
            raise
        finally:
            if upload.journal:
                upload.journal.close()

    def _anew(self, key: str, payload: Payload) -> _Upload:
        at, client = self._bucket.address(key), self._bucket.client
        begun = self._bucket.call(lambda: client.create_multipart_upload(**at, ChecksumAlgorithm="CRC32"))
        part_size = max(PART, -(-payload.size // MAX_PARTS))
        upload = _Upload(at | {"UploadId": begun["UploadId"]}, part_size)
        header = Header(place=self._bucket.place, key=key, upload=begun["UploadId"], digest=payload.digest,
                        size=payload.size, part_size=part_size)  # fmt: skip
        try:
            upload.journal = Journal.start(self._folder, header) if self._folder else None
        except OSError as error:
            get_logger("store").warning("an upload has no journal", problem=str(error))
        return upload

    def _again(self, key: str, payload: Payload) -> _Upload | None:
        """An upload of the same bytes that a process left, if the server still knows it."""
        for journal in left(self._folder, self._bucket.place, key) if self._folder else ():
            header = journal.header
            if (header.key, header.digest, header.size) != (key, payload.digest, payload.size):
                journal.close()
                continue
            upload = _Upload(self._bucket.address(key) | {"UploadId": header.upload}, header.part_size, {}, journal)
            try:
                upload.parts = self._confirmed(upload, journal)
            except NotFound:
                journal.forget()
                continue
            except BaseException:
                journal.close()
                raise
            get_logger("store").info("an upload goes on", key=key, parts=len(upload.parts))
            return upload
        return None

    def _confirmed(self, upload: _Upload, journal: Journal) -> dict[int, Sent]:
        """The parts of a journal that the server has too, whole."""
        size, step = journal.header.size, upload.part_size
        has = {part["PartNumber"]: (part["ETag"], part["Size"]) for part in self._parts(upload.request)}
        return {
            number: sent
            for number, sent in journal.parts.items()
            if has.get(number) == (sent.etag, min(step, size - (number - 1) * step))
        }

    def _send_parts(self, upload: _Upload, payload: Payload) -> None:
        waiting: deque[Future[None]] = deque()
        with payload.open() as stream, ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for number, body in enumerate(iter(lambda: stream.read(upload.part_size), b""), start=1):
                    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
                    if number in upload.parts and upload.parts[number].crc32 == crc:
                        continue
                    waiting.append(pool.submit(self._send_part, upload, number, body, crc))
                    if len(waiting) > _AT_ONCE:
                        waiting.popleft().result()
                for part in waiting:
                    part.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # none that has not begun
                raise

    def _send_part(self, upload: _Upload, number: int, body: bytes, crc: str) -> None:
        request = upload.request | {"PartNumber": number, "Body": body, "ChecksumCRC32": crc}
        answer = self._bucket.call(lambda: self._bucket.client.upload_part(**request))
        upload.add(Sent(number=number, etag=answer["ETag"], crc32=crc, checked="ChecksumCRC32" in answer))

    def _complete(self, key: str, payload: Payload, upload: _Upload) -> None:
        parts = [
            {"PartNumber": part.number, "ETag": part.etag} | ({"ChecksumCRC32": part.crc32} if part.checked else {})
            for _, part in sorted(upload.parts.items())
        ]
        request = upload.request | {"MultipartUpload": {"Parts": parts}}
        try:
            self._bucket.call(lambda: self._bucket.client.complete_multipart_upload(**request))
        except (StoreUnreachable, NotFound):
            with suppress(StoreUnreachable):
                if self._bucket.size_of(key) == payload.size:  # only the answer was lost
                    return
            raise
        if (size := self._bucket.size_of(key)) != payload.size:
            raise StoreUnreachable(f"{key}: the store has {size} bytes of {payload.size}", advice="try again")

    # Requests ---------------------------------------------------------------------------------------------------------

    def _abort(self, request: dict[str, Any]) -> None:
        with suppress(NotFound):
            self._bucket.call(lambda: self._bucket.client.abort_multipart_upload(**request))

    def _parts(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        request = dict(request)
        while True:
            page = self._bucket.call(lambda: self._bucket.client.list_parts(**request))
            yield from page.get("Parts", ())
            if not page["IsTruncated"]:
                return
            request["PartNumberMarker"] = page["NextPartNumberMarker"]

    def _listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        at = self._bucket.address(prefix)
        request = {"Bucket": at["Bucket"], "Prefix": at["Key"]}
        while True:
            page = self._bucket.call(lambda: self._bucket.client.list_multipart_uploads(**request))
            yield from page.get("Uploads", ())
            if not page["IsTruncated"]:
                return
            request.update(KeyMarker=page["NextKeyMarker"], UploadIdMarker=page["NextUploadIdMarker"])


class _Forgotten(Exception):
    """The server no longer knows an upload that was under way."""
