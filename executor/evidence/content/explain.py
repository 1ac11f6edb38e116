"""Why two versions of one output file differ: chooses what to read them as.

A family of formats is tried when both files start as it does, else when they are named so, else when they look so.
One that cannot read both gives way to the next; text and plain bytes come last, and bytes read everything. Nothing is
executed or unpickled, and what may be decompressed or nested is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from executor.evidence.content.binary import explain_binary
from executor.evidence.content.csv_rows import explain_csv
from executor.evidence.content.event_records import explain_events
from executor.evidence.content.found import DEEPEST, Explanation, Limits
from executor.evidence.content.gzip_stream import explain_gzip
from executor.evidence.content.json_values import explain_json, explain_jsonl
from executor.evidence.content.png_pixels import SIGNATURE, explain_png
from executor.evidence.content.tar_members import explain_tar
from executor.evidence.content.tensors import explain_safetensors
from executor.evidence.content.text import explain_text
from executor.evidence.content.wire import starts_with_record
from executor.evidence.content.zip_members import explain_zip


@dataclass(frozen=True)
class Family:
    """One row of the table."""

    name: str
    read: Callable[[str, bytes, bytes, Limits], Explanation]
    starts: Callable[[bytes], bool] = lambda _: False
    """Whether a file starts as only this format does."""
    suffixes: tuple[str, ...] = ()
    """How its files are named."""
    looks: Callable[[bytes], bool] = lambda _: False
    """Whether a file may be of this format, by its content."""


def _json_like(data: bytes) -> bool:
    return data[:100].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


FAMILIES = (
    Family("png", explain_png, lambda data: data.startswith(SIGNATURE)),
    Family("zip", explain_zip, lambda data: data[:4] in (b"PK\3\4", b"PK\5\6")),
    Family("gzip", explain_gzip, lambda data: data.startswith(b"\x1f\x8b")),
    Family("tar", explain_tar, lambda data: data[257:262] == b"ustar"),
    Family("events", explain_events, starts_with_record),
    Family("safetensors", explain_safetensors, suffixes=(".safetensors",), looks=lambda data: data[8:9] == b"{"),
    Family("json", explain_json, suffixes=(".json",), looks=_json_like),
    Family("jsonl", explain_jsonl, suffixes=(".jsonl", ".ndjson"), looks=_json_like),
    Family("csv", explain_csv, suffixes=(".csv", ".tsv")),
)
"""A new format is one row more."""
TEXT = Family("text", explain_text)


def explain(path: str, reference: bytes, observed: bytes) -> Explanation:
    """Explain why the file at `path` is not the same in two attempts. Never raises, whatever the bytes are."""
    return _explain(path, reference, observed, Limits(_explain))


def _explain(path: str, reference: bytes, observed: bytes, limits: Limits) -> Explanation:
    for family in _candidates(path, reference, observed) if limits.depth < DEEPEST else ():
        try:
            explanation = family.read(path, reference, observed, limits)
        except Exception:  # noqa: S112 - hostile bytes fail in more ways than can be named; the next family reads
            continue
        if reference == observed:
            return Explanation(format=explanation.format, same_values=True, lines=())
        if explanation.lines:
            return explanation
    return explain_binary(path, reference, observed, limits)


def _candidates(path: str, reference: bytes, observed: bytes) -> Iterator[Family]:
    """What to read both files as, the most likely first."""
    both, name = (reference, observed), path.lower()
    rules: tuple[Callable[[Family], bool], ...] = (
        lambda family: all(map(family.starts, both)),
        lambda family: name.endswith(family.suffixes),
        lambda family: all(map(family.looks, both)),
    )
    tried = []
    for rule in rules:
        for family in FAMILIES:
            if family not in tried and rule(family):
                tried.append(family)
                yield family
    yield TEXT
