"""`ls`, `show`, `logs` and `pull`: what is in the store."""

from __future__ import annotations

import codecs
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli import output
from executor.cli.details import asked, attempts, kept, listed
from executor.cli.output import emit, say, shared, show
from executor.errors import CorruptObject, NotFound, count

if TYPE_CHECKING:
    from executor.evidence.record import Record
    from executor.spec.canonical import Digest
    from executor.store.interface import Store

attempt_option = click.option(
    "--attempt", metavar="ID", help="This attempt; the reference, or else the last, by default."
)
FOLLOW_S = 0.5
"""Seconds between two looks for new log segments."""


@click.command("ls")
@shared
def ls_command(store: str | None, as_json: bool) -> int:
    """List every attempt of every run, the newest first."""
    from executor.cli.wiring import store as open_store
    from executor.evidence.record import view
    from executor.steps.history import records

    place = open_store(store)
    found, problem = [], None
    for spec_hash in place.spec_hashes():
        try:
            found += records(place, spec_hash)
        except CorruptObject as error:  # one wrong record does not hide the others
            say(f"executor: {error.message}")
            problem = error
    found.sort(key=lambda record: record.created, reverse=True)
    views = [view(record, cached=False, store=place.attempt_url(record.spec_hash, record.attempt), outputs=False)
             for record in found]  # fmt: skip
    if as_json:
        emit(views)
    elif not views:
        say(f"no runs in {place.url} yet")
    else:
        show(listed(views))
    return problem.exit_code if problem else 0


@click.command("show")
@click.argument("spec_hash", metavar="HASH")
@attempt_option
@shared
def show_command(spec_hash: str, attempt: str | None, store: str | None, as_json: bool) -> int:
    """Show run HASH: how its attempts agree, and one of them whole."""
    from executor.cli.runs import summary
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.evidence.record import agreement, view
    from executor.steps.history import records
    from executor.steps.keeping.archiving import archived

    place = open_store(store)
    found = find_run(place, spec_hash)
    every = records(place, found)
    record = choose(place, found, every, attempt)
    same, of = agreement(every)
    diagnosis = place.diagnosis(found, record.attempt)
    document = view(record, cached=False, store=place.attempt_url(found, record.attempt)) | {
        "spec": record.spec,
        "hints": record.hints.model_dump(mode="json"),
        "fingerprint": record.fingerprint.model_dump(mode="json"),
        "log_tail": record.outcome.log_tail,
        "reference": place.reference(found),
        "attempts": [view(one, cached=False, store=place.attempt_url(found, one.attempt), outputs=False)
                     for one in every],
        "agreement": {"identical": same, "succeeded": of},
        "archived": [one.model_dump(mode="json") for one in archived(place, record)],
    }  # fmt: skip
    if diagnosis is not None:
        document["divergence"] = json.loads(diagnosis)
    if as_json:
        emit(document)
        return 0
    show(summary(document))
    show(asked(document["spec"], document["hints"]))
    if document["archived"]:
        show(f"  archived  {kept(document['archived'])}")
    show(f"  attempts  {len(every)}, {f'identical in {same} of {of} that succeeded' if of else 'none succeeded'}")
    show(attempts([view(one, cached=False, store="") for one in every], document["reference"]))
    host, engine = record.fingerprint.host, record.fingerprint.engine
    show(f"  ran on    {host.hostname}: {host.cpu_model}, {', '.join(g.name for g in host.gpus) or 'no GPU'}; "
         f"{engine.name} {engine.version}")  # fmt: skip
    if record.status != "succeeded" and record.outcome.log_tail:
        show("  the last of its log:")
        show("\n".join(f"  │ {line}" for line in record.outcome.log_tail.splitlines()[-20:]))
    return 0


@click.command("logs")
@click.argument("spec_hash", metavar="HASH")
@click.option("--follow", "-f", is_flag=True, help="Wait for more until the run ends.")
@attempt_option
@shared
def logs_command(spec_hash: str, follow: bool, attempt: str | None, store: str | None, as_json: bool) -> int:
    """Print what run HASH printed; control characters are left out."""
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.steps.history import records

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
    from executor.steps.history import pull, records

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


def choose(place: Store, spec_hash: Digest, every: list[Record], attempt: str | None) -> Record:
    """The attempt that was named, or the reference, or the last."""
    wanted = attempt or place.reference(spec_hash)
    named = [record for record in every if record.attempt == wanted]
    if not named and (attempt or not every):
        there = ", ".join(record.attempt for record in every) or "nothing yet"
        raise NotFound(f"{spec_hash.hex[:12]}: no attempt {attempt or 'is finished'}", advice=f"there is: {there}")
    return (named or every)[-1]
