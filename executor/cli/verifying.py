"""`verify`: everything that is stored of a run, to the last byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from executor.cli import output
from executor.cli.output import emit, shared, show
from executor.errors import count

if TYPE_CHECKING:
    from executor.steps.signed.attest import Standing
    from executor.steps.signed.verifying import Verified, VerifiedAttempt, Wrong

EXIT_WRONG = 5
ADVICE = {
    "unsigned": "who ran it cannot be told; `executor submit --force` gives a result that is signed",
    "unknown key": "ask whose key it is, then `executor key trust`",
}


@click.command("verify")
@click.argument("spec_hash", metavar="HASH")
@click.option("--attempt", metavar="ID", help="This attempt alone; every one by default.")
@click.option("--require-signed", is_flag=True, help="An attempt that no trusted key signed is wrong too.")
@shared
def verify_command(
    spec_hash: str, attempt: str | None, require_signed: bool, store: str | None, as_json: bool
) -> int:  # fmt: skip
    """Read all that is stored of run HASH, and hold it against its digests, seals and signatures."""
    from executor.cli.terminal import Terminal
    from executor.cli.wiring import find_run, site
    from executor.steps.signed.verifying import verify

    with Terminal() as terminal:
        here = site(store, terminal)
        found = verify(find_run(here.store, spec_hash), here, attempt=attempt, require_signed=require_signed)
    if as_json:
        emit({"right": not found.every, **found.model_dump(mode="json")})
    else:
        show("\n".join(_told(found)))
    return EXIT_WRONG if found.every else 0


def _told(found: Verified) -> Iterator[str]:
    """One line for each fact, and what they come to."""
    yield f"run {found.spec_hash}"
    yield from _lines(found.wrong)
    if not found.wrong:
        yield "  ✓ spec and reference: as they were written"
    for attempt in found.attempts:
        yield f"attempt {attempt.attempt}  {attempt.status or 'unreadable'}"
        yield from _attempt(attempt)
    for name in found.unfinished:
        yield f"attempt {name}"
        yield "  ! signed, and without a record: being stored, not stored whole, or its record was removed"
    total = f"{count(len(found.attempts), 'attempt')}, {output.size(sum(one.bytes for one in found.attempts))}"
    yield f"wrong: {count(len(found.every), 'thing')} in {total}" if found.every else f"right: {total}"


def _attempt(attempt: VerifiedAttempt) -> Iterator[str]:
    yield from _lines(attempt.wrong)
    if not attempt.wrong:
        yield f"  ✓ record, log and {count(attempt.blobs, 'blob')}: every byte as its digest says"
    if attempt.signature:
        yield from _signature(attempt.signature, told=any(one.role == "signature" for one in attempt.wrong))


def _signature(found: Standing, *, told: bool) -> Iterator[str]:
    if found.good:
        yield f"  ✓ signed by {found.key}: this spec, its inputs, this attempt, its record and its outputs"
    elif not found.wrong and not told:
        yield f"  ! {found.why}"
    if advice := ADVICE.get(found.state):
        yield f"      → {advice}"


def _lines(wrong: tuple[Wrong, ...]) -> Iterator[str]:
    yield from (f"  ✗ {one.role}: {one.problem}" for one in wrong)
