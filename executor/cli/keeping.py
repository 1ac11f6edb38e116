"""`store check`, `store repair`, `store gc` and `store copy`: a store that loses nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli import output
from executor.cli.output import emit, shared, show
from executor.errors import UsageError, count

if TYPE_CHECKING:
    from executor.spec.canonical import Digest
    from executor.steps.keeping.audit import Audit, Sample
    from executor.steps.keeping.crosscheck import Fault
    from executor.steps.keeping.garbage import Collected
    from executor.steps.site import Site
    from executor.store.interface import Store

EXIT_WRONG = 5
MOST_SHOWN = 50
"""Faults that are shown to people; `--json` has them all."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
hashes_argument = click.argument("hashes", metavar="[HASH]...", nargs=-1)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No steps.")


@click.command("check")
@hashes_argument
@click.option("--sample", metavar="N|P%", default="", help="Read the bytes of so many blobs only; all by default.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which sample: one seed, one sample.")
@quiet_option
@shared
def check_command(
    hashes: tuple[str, ...], sample: str, seed: int, quiet: bool, store: str | None, as_json: bool
) -> int:
    """Read everything in the store, or in runs HASH, and name all that is damaged or missing, and whom it hurts.

    Ends with 5 when anything is wrong.
    """
    from executor.steps.keeping.audit import audit

    chosen = _sample(sample, seed)
    with _looking(store, quiet=quiet) as site:
        found = audit(site, _wanted(site.store, hashes), chosen)
    if as_json:
        emit(found.as_json())
    else:
        show(_checked(found))
    return EXIT_WRONG if found.faults else 0


@click.command("repair")
@hashes_argument
@click.option("--from", "others", multiple=True, metavar="URL", help="Another store that may have copies. Repeatable.")
@click.option("--folder", "folders", multiple=True, metavar="DIR", help="Files that may be copies. Repeatable.",
              type=click.Path(path_type=Path, exists=True))  # fmt: skip
@click.option("--rerun", is_flag=True, help="Run specs again whose outputs are found nowhere; takes what is identical.")
@quiet_option
@shared
def repair_command(
    hashes: tuple[str, ...], others: tuple[str, ...], folders: tuple[Path, ...], rerun: bool, quiet: bool,
    store: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Refill what is damaged or missing in the store, or in runs HASH, and say what is still lost.

    Copies are looked for in earlier versions of the bucket, in this machine's caches, and in what is named. Nothing
    intact is touched. Variables that begin with FROM_ (FROM_AWS_ACCESS_KEY_ID, FROM_EXECUTOR_S3_ENDPOINT, …) are those
    of the stores that are named with --from. Ends with 5 when something is still lost.
    """
    from functools import partial

    from executor.cli.wiring import other_store, watched
    from executor.refill import rerun_lost
    from executor.run import Options
    from executor.steps.keeping.repair import repair
    from executor.steps.keeping.sources import Before, Elsewhere, Files, caches

    named = [Elsewhere(other_store(url, "FROM_")) for url in others]
    with watched(store, quiet=quiet) as site:
        sources = [Before(site.store), *caches(site.home), *named, *(Files([path], str(path)) for path in folders)]
        again = partial(rerun_lost, site, Options(predict=False)) if rerun else None
        found = repair(site, sources, _wanted(site.store, hashes), again)
    if as_json:
        emit(found.as_json())
    else:
        lines = [f"  ✓ {one.key}  from {one.source}" for one in found.refilled]
        lines += [f"{count(len(found.refilled), 'object')} refilled, {len(found.lost)} still lost"]
        show("\n".join([*lines, *([_faults(found.lost)] if found.lost else [])]))
    return EXIT_WRONG if found.lost else 0


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Change nothing, and say what would go.")
@click.option("--grace", default="7d", show_default=True, metavar="AGE",
              help="Leave alone what is younger: a number and s, m, h, d or w.")  # fmt: skip
@quiet_option
@shared
def gc_command(dry_run: bool, grace: str, quiet: bool, store: str | None, as_json: bool) -> int:
    """Remove blobs that nothing needs, and what attempts left on their way to a record.

    Two passes, at least half the grace apart: the first only finds what the second removes. Safe at any grace while
    others publish. Records, specs, references, signatures and keys are never removed.
    """
    from executor.steps.keeping.garbage import collect

    age = _age(grace)
    with _looking(store, quiet=quiet) as site:
        found = collect(site, age, dry_run=dry_run)
    if as_json:
        emit(found.as_json())
    else:
        show(_collected(found))
    return 0


@click.command("copy")
@hashes_argument
@click.option("--to", "target", required=True, metavar="URL", help="The other store.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Read back all that was written.")
@quiet_option
@shared
def copy_command(
    hashes: tuple[str, ...], target: str, verify: bool, quiet: bool, store: str | None, as_json: bool
) -> int:
    """Copy runs HASH, or all, to another store, with all that they need; what is there already is skipped.

    Variables that begin with TO_ (TO_AWS_ACCESS_KEY_ID, TO_EXECUTOR_S3_ENDPOINT, …) are those of the other store,
    where it has others. Ends with 5 when something could not be copied whole.
    """
    from executor.cli.wiring import other_store
    from executor.steps.keeping.mirror import mirror

    with _looking(store, quiet=quiet) as site:
        done = mirror(site, other_store(target, "TO_"), _wanted(site.store, hashes), verify=verify)
    if as_json:
        emit(done.as_json())
    else:
        written = f"{count(done.blobs, 'blob')} ({output.size(done.bytes)}) and {count(done.documents, 'document')}"
        show(f"{count(done.attempts, 'attempt')} in {target}; {written} written{', verified' if done.verified else ''}")
        for one in done.failures[:MOST_SHOWN]:
            show(f"  ✗ {one.key}: {one.problem}")
    return EXIT_WRONG if done.failures else 0


@contextmanager
def _looking(url: str | None, *, quiet: bool) -> Iterator[Site]:
    """A site whose progress is shown; nothing runs in it."""
    from executor.cli import wiring
    from executor.cli.terminal import Terminal

    with Terminal(quiet=quiet) as terminal:
        yield wiring.site(url, terminal)


# What is asked -------------------------------------------------------------------------------------------------------


def _wanted(place: Store, hashes: Sequence[str]) -> list[Digest] | None:
    """The runs that are named; none for all."""
    from executor.cli.wiring import find_run

    return sorted({find_run(place, text) for text in hashes}) if hashes else None


def _sample(text: str, seed: int) -> Sample | None:
    from executor.steps.keeping.audit import Sample

    if not text:
        return None
    match = re.fullmatch(r"(\d{1,9})|(\d{1,3}(?:\.\d+)?)%", text)
    if not match or (match[2] and float(match[2]) > 100):
        raise UsageError(
            f"--sample {text}: no such sample", advice="a number of blobs such as 100, or a share such as 5%"
        )
    return Sample(int(match[1]), None, seed) if match[1] else Sample(None, float(match[2]), seed)


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhdw]?)", text)
    if not match or (match[1].strip("0") and not match[2]):
        raise UsageError(f"--grace {text}: no such age", advice="a number and its unit, such as 7d or 12h; or 0")
    return timedelta(**{_UNITS[match[2] or "s"]: int(match[1])})


# What is said --------------------------------------------------------------------------------------------------------


def _checked(found: Audit) -> str:
    lines = [f"{count(found.objects, 'object')}, {output.size(found.bytes)}; {found.hashed} of "
             f"{count(found.blobs, 'blob')} read to the last byte"]  # fmt: skip
    if found.unreferenced and found.unreferenced[0]:
        spare, size = found.unreferenced
        lines.append(
            f"{count(spare, 'blob')} ({output.size(size)}) that nothing needs: `executor store gc` removes them"
        )
    if not found.faults:
        return "\n".join([*lines, "nothing is wrong"])
    kinds = {kind: sum(fault.kind == kind for fault in found.faults) for kind in ("damaged", "missing", "unreadable")}
    lines.append(", ".join(f"{number} {kind}" for kind, number in kinds.items() if number) + ":")
    hurt = len(found.hurt())
    return "\n".join([*lines, _faults(found.faults), f"{count(hurt, 'attempt')} hurt → `executor store repair`"])


def _faults(faults: Sequence[Fault]) -> str:
    lines = []
    for fault in faults[:MOST_SHOWN]:
        lines.append(f"  ✗ {fault.kind}  {fault.key}: {fault.problem}")
        for one in fault.hurts[:5]:
            where = (
                f"{one.spec_hash.hex[:12]}{f'/{one.attempt}' if one.attempt else ''}" if one.spec_hash else "an image"
            )
            lines.append(f"      {where}: {one.role}")
        if len(fault.hurts) > 5:
            lines.append(f"      … and {len(fault.hurts) - 5} more")
    if len(faults) > MOST_SHOWN:
        lines.append(f"  … and {len(faults) - MOST_SHOWN} more: --json names all")
    return "\n".join(lines)


def _collected(found: Collected) -> str:
    lines = [] if not found.dry_run else [f"  {key}" for key in found.keys]
    verb = "would go" if found.dry_run else "removed"
    gone = [f"{count(total.count, kind if kind != 'log' else 'piece of log')} ({output.size(total.bytes)})"
            for kind, total in found.removed.items() if total.count]  # fmt: skip
    lines.append(f"{', '.join(gone) or 'nothing'} {verb}")
    stays = {"too young, or found for the first time": found.waiting, "locked": found.retained, "needed": found.kept}
    lines += [f"{count(total.count, 'object')} ({output.size(total.bytes)}) stay: {why}"
              for why, total in stays.items() if total.count]  # fmt: skip
    if found.uploads:
        lines.append(f"{count(found.uploads, 'unfinished upload')} ended")
    if found.cut_short:
        lines.append("cut short: the store did not answer for too long; run it again")
    return "\n".join(lines)
