"""`lock`, `hash` and `plan`: what is asked, before anything runs."""

from __future__ import annotations

from pathlib import Path

import click

from executor.cli.output import archive_option, emit, say, shared


@click.command("lock")
@click.argument("draft", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the spec to this file instead of stdout.")
@shared
def lock_command(draft: Path, output: Path | None, store: str | None, as_json: bool) -> int:
    """Pin DRAFT and print the spec: tag to digest, branch to commit, path to hash."""
    from executor.cli.wiring import site
    from executor.spec.file import spec_text, write_spec
    from executor.steps.locking import lock_draft

    spec = lock_draft(draft, site(store))
    if output:
        write_spec(spec, output)
        say(f"wrote {output}")
    if as_json:
        emit(spec.model_dump(mode="json") | {"spec_hash": spec.hash.hex, "experiment_key": spec.experiment_key.hex})
    elif not output:
        click.echo(spec_text(spec), nl=False)
    return 0


@click.command("hash")
@click.argument("spec", type=click.Path(path_type=Path))
@shared
def hash_command(spec: Path, store: str | None, as_json: bool) -> int:
    """Print the spec hash of SPEC: 64 hexadecimal digits."""
    from executor.spec.file import load_spec

    found = load_spec(spec)
    if as_json:
        emit({"spec_hash": found.hash.hex, "experiment_key": found.experiment_key.hex})
    else:
        click.echo(found.hash.hex)
    return 0


@click.command("plan")
@click.argument("spec", type=click.Path(path_type=Path))
@archive_option
@shared
def plan_command(spec: Path, archive: frozenset[str], store: str | None, as_json: bool) -> int:
    """Print everything that would be asked of the engine for SPEC, as JSON; touches nothing."""
    from executor.cli.wiring import engine_address, home, now
    from executor.spec.file import load_spec
    from executor.steps.prepare import preview

    emit(preview(load_spec(spec), home(), now(), address=engine_address(), archive=archive))
    return 0
