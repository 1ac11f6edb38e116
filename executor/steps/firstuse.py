"""A store is tried before results are trusted to it, once from each home: one without fault is remembered."""

from __future__ import annotations

import io
import json
from pathlib import Path

from executor.facts import Finding
from executor.steps.site import Site
from executor.store.probe import FIRST_USE, examine
from executor.store.transfer import write_whole


def faults(site: Site, *, again: bool = False) -> tuple[Finding, ...]:
    """What the store cannot do of what safe results need; tried on its first use, or `again`.

    Raises `StoreUnreachable`.
    """
    place, known = site.store.place, _remembered(site.home.stores)
    if not again and known.get(place) == list(FIRST_USE):
        return ()
    site.reporter.stage(f"first use of {site.store.url}: trying what it can do")
    found = tuple(one for one in examine(site.store, site.new_attempt(), FIRST_USE) if one.severity != "info")
    if not found:
        known[place] = list(FIRST_USE)
        write_whole(site.home.stores, io.BytesIO(json.dumps(known, indent=1).encode()))
    return found


def _remembered(path: Path) -> dict[str, list[str]]:
    """What each store was tried for, by its place; nothing when nobody can read it: then it is tried anew."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
