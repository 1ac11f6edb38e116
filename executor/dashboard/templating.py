"""What is answered: pages from templates, and tables as files.

Whatever a run wrote is data: every value of a page is escaped, and freed of what could disguise it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from executor import text
from executor.dashboard import cells
from executor.evidence import interval


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page; the request's path and its menu are known to every template."""
    page = _ENVIRONMENT.get_template(template)
    return HTMLResponse(page.render(path=request.url.path, menu=request.app.state.menu, **values), status)


def csv_file(name: str, text: str) -> Response:
    """A table that a browser saves."""
    return Response(text, media_type="text/csv; charset=utf-8",
                    headers={"content-disposition": f'attachment; filename="{name}"'})  # fmt: skip


def alone(template: str, **values: Any) -> str:
    """A page that stands alone in a file."""
    return _ENVIRONMENT.get_template(template).render(**values)


def shown(value: Any) -> Any:
    """A value as a template prints it: texts without control and direction characters, markup of ours as it is."""
    return text.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def run_url(spec: str, attempt: str = "") -> str:
    """Where the page of a run is."""
    return f"/runs/{quote(spec, safe='')}" + (f"/{quote(attempt, safe='')}" if attempt else "")


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """A path with a query; what is empty is left out."""
    words = urlencode({name: value for name, value in query.items() if value not in ("", None, (), [])}, doseq=True)
    return f"{path}?{words}" if words else path


def when(moment: datetime) -> str:
    """A moment to the second, UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("executor.dashboard"), autoescape=True, undefined=StrictUndefined, finalize=shown,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_ENVIRONMENT.filters |= {
    "cell": cells.cell, "duration": text.duration, "estimate": interval.written, "number": cells.number,
    "short": cells.short, "size": text.size, "when": when,
}  # fmt: skip
_ENVIRONMENT.globals |= {"run_url": run_url, "with_query": with_query, "CHIPS": cells.CHIPS}
