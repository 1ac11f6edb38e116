"""`ls`, `show`, `logs` and `pull`: what is in the store."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from executor.cli import details, output
from executor.cli.listing import Asked, answer, asking, ended, library_of, plain_row, question, tell, told_names
from executor.cli.output import emit, shared, show
from executor.errors import count

if TYPE_CHECKING:
    from executor.evidence.record import Record
    from executor.spec.canonical import Digest
    from executor.store.interface import Store

attempt_option = click.option(
    "--attempt", metavar="ID", help="This attempt; the reference, or else the last, by default."
)
_WHOLE = ("outputs", "refused_outputs", "findings", "prediction", "proof")
"""What is told of the attempt that is shown, and not of the others."""
FOLLOW_S = 0.5
"""Seconds between two looks for new log segments."""


@click.command("ls")
@click.option("--where", metavar="EXPR", default="", help="Only runs of which this is true, as in `find`.")
@asking
@shared
@question
def ls_command(where: str, store: str | None, as_json: bool, **words: Any) -> int:
    """List the attempts of all runs, the newest first."""
    asked = Asked(where, **words)
    asked.parsed()
    library, whole = library_of(store), as_json and not asked.columns
    found, records = answer(library, asked, as_json=as_json, whole=whole)
    if whole:
        emit(_views(library.store, records))
    elif as_json:
        emit([plain_row(row, told_names(found, asked)) for row in found.rows])
    else:
        tell(library, found, asked)
    return ended(library, found, lost=len(found.rows) - len(records) if whole else 0)


def _views(place: Store, records: Sequence[Record]) -> list[dict[str, Any]]:
    from executor.evidence.record import view

    return [view(one, cached=False, store=place.attempt_url(one.spec_hash, one.attempt), outputs=False)
            for one in records]  # fmt: skip


@click.command("show")
@click.argument("spec_hash", metavar="HASH")
@attempt_option
@shared
def show_command(spec_hash: str, attempt: str | None, store: str | None, as_json: bool) -> int:
    """Show run HASH on one screen: one attempt whole, and how all of them agree."""
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.steps.history import choose, records

    place = open_store(store)
    found = find_run(place, spec_hash)
    every = records(place, found)
    document = _document(place, choose(place, found, every, attempt), every)
    if as_json:
        emit(document)
    else:
        show(details.page(document))
    return 0


def _document(place: Store, record: Record, every: Sequence[Record]) -> dict[str, Any]:
    """All that is known of an attempt, and of the others of its spec."""
    from executor.cli.wiring import keys
    from executor.evidence.record import agreement, view
    from executor.steps.keeping.archiving import archived
    from executor.steps.signed.attest import standing

    spec_hash, (same, of) = record.spec_hash, agreement(every)
    signed = standing(record, place.get_record(spec_hash, record.attempt), place, keys().trusted())
    views = [view(one, cached=False, store=place.attempt_url(spec_hash, one.attempt)) for one in every]
    whole = record.model_dump(mode="json")
    document = views[every.index(record)] | {
        **{name: whole[name] for name in ("spec", "hints", "fingerprint", "lowest", "highest", "allowed", "rerun")},
        "log_tail": record.outcome.log_tail,
        "reference": place.reference(spec_hash),
        "attempts": [{name: value for name, value in one.items() if name not in _WHOLE} for one in views],
        "agreement": {"identical": same, "succeeded": of},
        "signature": signed.model_dump(mode="json") | {"why": signed.why},
        "archived": [one.model_dump(mode="json") for one in archived(place, record)],
    }
    if diagnosis := place.diagnosis(spec_hash, record.attempt):
        document["divergence"] = json.loads(diagnosis)
    return document


@click.command("logs")
@click.argument("spec_hash", metavar="HASH")
@click.option("--follow", "-f", is_flag=True, help="Wait for more until the run ends.")
@attempt_option
@shared
def logs_command(spec_hash: str, follow: bool, attempt: str | None, store: str | None, as_json: bool) -> int:
    """Print what run HASH printed; control characters are left out."""
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.steps.history import choose, records

    place = open_store(store)
    found = find_run(place, spec_hash)
    unrecorded, newest = place.live_attempts(found), max(place.attempts(found), default="")
    live = [one for one in unrecorded if one > newest]  # older ones were killed
    if attempt in unrecorded or (attempt is None and follow and live):
        which = attempt or live[-1]
        text = _follow(place, found, which, follow=follow, show=not as_json)
    else:
        record = choose(place, found, records(place, found), attempt)
        which, text = record.attempt, ""
        if record.log:
            with place.open_blob(record.log.digest) as stream:
                text = output.plain(stream.read().decode("utf-8", "replace"))
        if not as_json:
            click.echo(text, nl=False)
    if as_json:
        emit({"spec_hash": found.hex, "attempt": which, "log": text})
    return 0


def _follow(place: Store, found: Digest, attempt: str, *, follow: bool, show: bool) -> str:
    """Print segments as they come, until there is a record and no more of them."""
    parts: list[str] = []
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode  # a segment may end within a character
    while True:
        # a record of this attempt, or of a later one: then whoever worked on this one was killed
        ended = not follow or any(one >= attempt for one in place.attempts(found))
        for segment in place.log_segments(found, attempt, len(parts)):
            parts.append(output.plain(decode(segment)))
            if show:
                click.echo(parts[-1], nl=False)
        if ended:
            return "".join(parts)
        time.sleep(FOLLOW_S)


@click.command("pull")
@click.argument("spec_hash", metavar="HASH")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@attempt_option
@shared
def pull_command(spec_hash: str, folder: Path, attempt: str | None, store: str | None, as_json: bool) -> int:
    """Fetch the outputs of run HASH into DIR, every byte verified; files that are there already are kept."""
    from executor.cli.terminal import Terminal
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.steps.history import choose, pull, records

    place = open_store(store)
    found = find_run(place, spec_hash)
    record = choose(place, found, records(place, found), attempt)
    with Terminal() as terminal:
        files = pull(place, record, folder, terminal.progress)
    if as_json:
        listed = [{"path": file.path, "digest": str(file.digest), "size": file.size} for file in files]
        emit({"spec_hash": found.hex, "attempt": record.attempt, "folder": str(folder), "files": listed})
    else:
        show(f"{count(len(files), 'file')}, {output.size(sum(file.size for file in files))}, verified, in {folder}")
    return 0
