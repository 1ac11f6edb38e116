"""`image build`, `image pin` and `image ls`."""

from __future__ import annotations

from pathlib import Path

import click

from executor.cli import output
from executor.cli.output import emit, say, shared, show
from executor.errors import UsageError

RECIPES = Path("images")
"""Folder of the recipes, relative to where the command runs."""


@click.group("image")
def image_command() -> None:
    """Build and pin container images."""


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
    from executor.spec.scalars import ImageRef
    from executor.steps.locking import pin_image

    try:
        wanted = ImageRef.parse(reference)
    except ValueError as error:
        raise UsageError(str(error)) from error
    ref = pin_image(engine(), wanted)
    if as_json:
        emit({"ref": str(ref), "digest": str(ref.pinned)})
    else:
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
