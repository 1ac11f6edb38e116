"""The dashboard: read-only pages over one store, for people who would rather look. It keeps nothing of its own.

Where to add
- a page: a module in `pages` with `routes` (Starlette routes; a handler is a plain function of a request and runs in a
  thread) and, to be in the navigation, `menu` (label and path). Name it in `PAGES` of `app`.
- what a handler needs: `desk.of(request)` gives the library, the store, the clock and the home of this machine;
  `render(request, "compare.html", …)` of `templating` the page. An `ExecutorError` that is raised becomes a page with
  its message, its advice and a fitting status; nothing has to be caught.
- a template: `{% extends "base.html" %}` with the blocks `title`, `main` and `scripts`. Everything is escaped, and
  freed of control and direction characters, by the environment. `{{ run_url(spec, attempt) }}` and the filters `size`,
  `number`, `cell`, `when`, `short` write things as every page does.
- a script: `static/NAME.js`, an ES module, as `<script type="module" src="/static/NAME.js"></script>` in `scripts`.
  The policy forbids inline scripts, inline styles (`style=` too; attributes of SVG such as `fill` are fine), and
  `innerHTML`: make elements with `document.createElement`. Colours are the variables of `static/style.css`.
- everything is a GET: what a page shows is in its URL, and nothing that is asked changes anything.
"""
