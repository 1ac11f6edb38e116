"""What a run left, to download: by digest, when its record names it, and verified on its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from executor.dashboard import desk
from executor.errors import NotFound
from executor.spec.canonical import CHUNK, Digest
from executor.steps.history import read
from executor.text import plain

POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
"""For what a run wrote: were it ever shown, it could do nothing."""


def output(request: Request) -> Response:
    """One blob of a run, as a file that a browser keeps and never opens."""
    key = desk.key_of(request)
    store = desk.of(request).store
    record = read(store, Digest(key.spec), key.attempt)
    sizes = {digest.hex: size for digest, size in record.blobs().items()}
    wanted = request.path_params["digest"]
    if wanted not in sizes:
        raise NotFound(f"{wanted[:80]}: {key.spec[:12]}/{key.attempt} names no such file")
    names = {file.digest.hex: file.path for file in reversed(record.outputs)}
    names |= {blob.digest.hex: name for name, blob in record.beside.items() if blob.digest.hex not in names}
    stream = store.open_blob(Digest(wanted))
    return StreamingResponse(_verified(stream), media_type="application/octet-stream", headers={
        "content-disposition": f"attachment; filename*=UTF-8''{quote(_file_name(names.get(wanted, wanted)), safe='')}",
        "content-length": str(sizes[wanted]), "content-security-policy": POLICY,
    })  # fmt: skip


def _file_name(path: str) -> str:
    """The last name of a path, with nothing in it that a file system or a person could take for something else."""
    return plain(PurePosixPath(path).name).replace("\\", "_").replace("\n", "_").strip(" .") or "output"


def _verified(stream: BinaryIO) -> Iterator[bytes]:
    """The last piece is given once all of them are what the digest says: a wrong file never arrives whole."""
    with stream:
        piece = stream.read(CHUNK)
        while following := stream.read(CHUNK):
            yield piece
            piece = following
        yield piece


routes = (Route("/runs/{spec}/{attempt}/outputs/{digest}", output),)
