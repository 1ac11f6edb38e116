"""`index`: the table of all runs that `find`, `best` and the others ask."""

from __future__ import annotations

import click

from executor.cli import output
from executor.cli.listing import library_of, told_problems
from executor.cli.output import emit, shared, show
from executor.errors import count


@click.command("index")
@click.option("--rebuild", is_flag=True, help="Make it anew from the records alone.")
@shared
def index_command(rebuild: bool, store: str | None, as_json: bool) -> int:
    """Bring the index of the store up to date, and say what is in it.

    It is a cache on this machine, and can be deleted; what others have kept of it in the store is used where it can be.
    """
    library = library_of(store)
    if rebuild:
        library.rebuild()
    runs, names = library.ask(lambda view: (view.count, len(view.names)))
    path, waiting = library.index.path, library.index.waiting()
    if as_json:
        emit({"store": library.store.url, "path": str(path), "runs": runs, "names": names, "bytes": path.stat().st_size,
              "unreadable": [{**one.key._asdict(), "problem": one.problem} for one in waiting if one.problem],
              "awaited": sum(not one.problem for one in waiting)})  # fmt: skip
    else:
        show(f"{count(runs, 'run')} of {library.store.url}, {count(names, 'name')}, "
             f"{output.size(path.stat().st_size)} in {path}")  # fmt: skip
    return told_problems(library)
