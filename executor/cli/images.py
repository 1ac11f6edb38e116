"""`image build`, `pin`, `archive`, `restore` and `ls`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli import output
from executor.cli.output import emit, say, shared, show
from executor.errors import UsageError

if TYPE_CHECKING:
    from executor.spec.scalars import ImageRef

RECIPES = Path("images")
"""Folder of the recipes, relative to where the command runs."""


@click.group("image")
def image_command() -> None:
    """Build, pin and keep container images."""


@image_command.command("build")
@click.argument("recipe", metavar="NAME|DIR")
@click.option("--update", is_flag=True, help="Write the new package lock and digest into the recipe.")
@shared
def build_command(recipe: str, update: bool, store: str | None, as_json: bool) -> int:
    """Build the image of a recipe folder (or images/NAME), keep it in the store, have the engine load it."""
    from executor.cli.wiring import site
    from executor.steps.imaging import build_image

    folder = next((path for path in (RECIPES / recipe, Path(recipe)) if (path / "recipe.toml").is_file()), None)
    if folder is None:
        raise UsageError(f"{recipe}: no recipe.toml there", advice=f"name a folder, or one below {RECIPES}/")
    built = build_image(folder, site(store), update=update, report=lambda text: say(f"· {text}"))
    document = {"ref": built.ref, "digest": str(built.digest), "size": built.size, "changed": list(built.changed)}
    if as_json:
        emit(document)
    else:
        for line in built.changed:
            say(f"  ! {line}")
        show(built.ref)
    return 0


@image_command.command("pin")
@click.argument("reference")
@shared
def pin_command(reference: str, store: str | None, as_json: bool) -> int:
    """Turn a tag into the digest that a spec names: the engine's own, or its registry's answer."""
    from executor.cli.wiring import engine
    from executor.steps.locking import pin_image

    ref = pin_image(engine(), _reference(reference))
    if as_json:
        emit({"ref": str(ref), "digest": str(ref.pinned)})
    else:
        show(str(ref))
    return 0


def _reference(text: str) -> ImageRef:
    from executor.spec.scalars import ImageRef

    try:
        return ImageRef.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


@image_command.command("archive")
@click.argument("reference", metavar="REF")
@shared
def archive_command(reference: str, store: str | None, as_json: bool) -> int:
    """Keep every byte of the image REF in the store, so that no registry is needed to have it again."""
    from executor.cli.terminal import Terminal
    from executor.cli.wiring import site
    from executor.steps.imaging import archive_image

    wanted = _reference(reference)
    with Terminal() as terminal:
        ref, size = archive_image(wanted, site(store, terminal))
    if as_json:
        emit({"ref": str(ref), "digest": str(ref.pinned), "size": size})
    else:
        say(f"{output.size(size)} in the store")
        show(str(ref))
    return 0


@image_command.command("restore")
@click.argument("reference", metavar="REF|DIGEST")
@shared
def restore_command(reference: str, store: str | None, as_json: bool) -> int:
    """Give the engine an image that the store keeps, with the digest that it had; no registry is asked."""
    from executor.cli.terminal import Terminal
    from executor.cli.wiring import site
    from executor.steps.imaging import restore_image

    with Terminal() as terminal:
        ref, found = restore_image(reference, site(store, terminal))
    if as_json:
        emit({"ref": str(ref), "digest": str(found.digest), "size": found.size, "source": found.source})
    else:
        say("from the store" if found.source == "store" else "the engine has it already")
        show(str(ref))
    return 0


@image_command.command("ls")
@shared
def ls_command(store: str | None, as_json: bool) -> int:
    """List the images of the engine that have a digest."""
    from executor.cli.wiring import engine

    found = engine().images()
    if as_json:
        emit([{"ref": ref, "digest": str(image.digest), "size": image.size} for ref, image in found])
    elif found:
        show(output.table([(ref, output.size(image.size)) for ref, image in found], ("REF", "SIZE")))
    else:
        say("the engine has no image with a digest; `executor image build` makes one")
    return 0
