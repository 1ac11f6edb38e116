"""`export`: one attempt in a format that others read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli.look import attempt_option, choose
from executor.cli.output import emit, shared, show
from executor.errors import CorruptObject, NotFound, UsageError

if TYPE_CHECKING:
    from executor.evidence.record import Record
    from executor.store.interface import Store


@dataclass(frozen=True)
class Format:
    """One way to write an attempt down."""

    suffix: str
    """What its files end with."""
    make: Callable[[Record, Store], bytes]
    """The whole file."""


def _in_toto(record: Record, store: Store) -> bytes:
    """The signed statement as it is stored: one line of JSON, an envelope (DSSE) that in-toto's tools read."""
    from executor.steps.signed.attest import envelope_of
    from executor.steps.signed.signing import BadEnvelope, opened

    try:
        data = envelope_of(store, record.spec_hash, record.attempt)
        opened(data)
    except NotFound as error:
        raise NotFound(f"{record.spec_hash.hex[:12]}/{record.attempt}: it is not signed",
                       advice="an attempt is signed when it is stored: run it again") from error  # fmt: skip
    except BadEnvelope as error:
        where = store.attempt_url(record.spec_hash, record.attempt)
        raise CorruptObject(where, expected="a signed statement", observed=str(error)) from error
    return data


FORMATS = {"in-toto": Format(".intoto.jsonl", _in_toto)}


@click.command("export")
@click.argument("spec_hash", metavar="HASH")
@click.option("--as", "kind", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option("--output", "target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Where to write it; a name made of HASH and the attempt by default.")  # fmt: skip
@attempt_option
@shared
def export_command(
    spec_hash: str, kind: str, target: Path | None, attempt: str | None, store: str | None, as_json: bool
) -> int:
    """Write an attempt of run HASH to a file in another format; a file that is there stays."""
    from executor.cli.wiring import find_run
    from executor.cli.wiring import store as open_store
    from executor.steps.history import records

    place = open_store(store)
    found = find_run(place, spec_hash)
    record = choose(place, found, records(place, found), attempt)
    made = FORMATS[kind]
    target = target or Path(f"{found.hex[:12]}-{record.attempt}{made.suffix}")
    data = made.make(record, place)
    try:
        with target.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{target} is there already", advice="name another with --output") from error
    if as_json:
        emit({"spec_hash": found.hex, "attempt": record.attempt, "format": kind, "file": str(target)})
    else:
        show(str(target))
    return 0
