"""Runs as Parquet files in the store, so that a new machine does not read every record of a large store one by one.

    v1/index/<version of the rows>/<from>-<until>-<runs>-<part>of<parts>.parquet

`from` and `until` are hours of the feed (`changes`), `YYYYMMDDHH`: a segment holds every run that was announced from
the one on and before the other; the first also those that never were. They are copies, made by whoever has read much,
and can be deleted at any time.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from executor.store import layout
from executor.store.arrays import KINDS
from executor.store.changes import START
from executor.store.interface import Store
from executor.store.view import Batch

SNAPSHOTS = "v1/index"
PART = 100_000
"""Most runs of one file."""
_SEGMENT = re.compile(r"(\d{10})-(\d{10})-(\d{1,12})-\d+of\d+\.parquet")
_SPEC = re.compile(r"[0-9a-f]{64}")
_FILES = "files"


@dataclass(frozen=True, order=True)
class Segment:
    """What came in a stretch of the feed, in one file or several."""

    start: str
    """First hour, `YYYYMMDDHH`."""
    until: str
    """The hour after the last."""
    runs: int

    def keys(self, version: int) -> list[str]:
        """The keys of its files."""
        parts = max(1, math.ceil(self.runs / PART))
        name = f"{SNAPSHOTS}/{version}/{self.start}-{self.until}-{self.runs}"
        return [f"{name}-{part}of{parts}.parquet" for part in range(1, parts + 1)]


def chain(store: Store, version: int) -> list[Segment]:
    """Segments that together hold all that any of them reach back for without a gap: few, and as far as it goes."""
    present = {one.key for one in store.objects(f"{SNAPSHOTS}/{version}/")}
    named = (_SEGMENT.fullmatch(key.rpartition("/")[2]) for key in present)
    every = {Segment(match[1], match[2], int(match[3])) for match in named if match}
    whole = [one for one in every if one.start < one.until and present.issuperset(one.keys(version))]
    found: list[Segment] = []
    while near := [one for one in whole if one.start <= _end(found) < one.until]:
        found.append(max(near, key=lambda one: (one.until, one.runs)))
    return found


def _end(found: Sequence[Segment]) -> str:
    return found[-1].until if found else START


def read(store: Store, segment: Segment, version: int) -> Iterator[Batch]:
    """The runs of a segment, file by file; raises `ValueError` for what is no such file, and `NotFound`."""
    for key in segment.keys(version):
        with closing(store.open_object(key)) as stream:
            data = stream.read()
        try:
            yield _batch(pq.read_table(io.BytesIO(data), page_checksum_verification=True))
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ValueError(f"{key}: {error}") from error


def write(store: Store, batch: Batch, start: str, until: str, version: int) -> Segment:
    """Keep runs as a segment; one of the same name that is there already is as good."""
    segment = Segment(start, until, len(batch.digests))
    for part, key in enumerate(segment.keys(version)):
        store.create(key, _parquet(batch, part * PART))
    return segment


def _parquet(batch: Batch, cut: int) -> bytes:
    columns = {f"{kind} {name}": array[cut : cut + PART] for (name, kind), array in sorted(batch.columns.items())}
    table = pa.table({_FILES: pa.array(batch.digests[cut : cut + PART], pa.list_(pa.binary())), **columns})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def _batch(table: pa.Table) -> Batch:
    """Columns of another kind than their name says are refused, and what has no keys."""
    columns, table = {}, table.combine_chunks()
    for name, array in zip(table.column_names, table.columns, strict=True):
        kind, _, rest = name.partition(" ")
        if rest and array.type == KINDS[kind]:
            columns[rest, kind] = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    digests = table[_FILES].to_pylist()
    batch = Batch(columns, digests)
    if not all(_SPEC.fullmatch(key.spec) and layout.ATTEMPT.fullmatch(key.attempt) for key in batch.keys):
        raise KeyError("spec")
    return batch
