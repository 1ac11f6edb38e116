"""A comparison as one file that can be sent: it holds its pictures, its scripts and its styles, and asks no network."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from markupsafe import Markup

from executor.dashboard import pictures
from executor.dashboard.templating import alone
from executor.evidence.versus import Versus
from executor.steps.finding.curves import curves
from executor.steps.finding.versus import code_changes
from executor.store.interface import Store

SCRIPTS = ("vega/vega.min.js", "vega/vega-interpreter.js", "vega/vega-lite.min.js", "charts.js")
STYLES = ("style.css", "charts.css")
MOST_METRICS = 6
"""Metrics whose curves a file holds."""
_STATIC = Path(__file__).parent / "static"


def still(store: Store, held: Versus, base: int, *, everything: bool = False) -> str:
    """The page of a comparison, whole; nothing but what stands in it may run or be loaded."""
    names = pictures.metrics(held.records)[:MOST_METRICS]
    series = {name: pictures.curves(*curves(store, held.records, name)) | {"final": pictures.finals(held, name)}
              for name in names}  # fmt: skip
    scripts, style = [_read(name) for name in SCRIPTS], "".join(map(_read, STYLES))
    return alone(
        "still.html", held=held, base=base, table=pictures.table(held, base, everything=everything),
        names=pictures.names(held), axes=pictures.parallel(held, names[0] if names else ""), metrics=names,
        series={"metrics": series}, code=code_changes(store, held.records, base), policy=_policy(scripts, style),
        scripts=[Markup(text) for text in scripts], style=Markup(style),  # noqa: S704 - our own files
    )  # fmt: skip


def _read(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")


def _policy(scripts: list[str], style: str) -> str:
    """Scripts and styles by their digests, and nothing else."""
    allowed = " ".join(map(_digest, scripts))
    return (f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; base-uri 'none'; "
            "form-action 'none'")  # fmt: skip


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
