"""`submit` and `rerun`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from executor.cli import output
from executor.cli.notifying import tell
from executor.cli.output import emit, say, show
from executor.cli.running import Asked, ready, run_options
from executor.cli.sweeps import EXIT_INTERRUPTED, submit_sweep, sweep_options
from executor.cli.verdict import MOST_FILES, short, verdict
from executor.errors import EnvironmentMismatch, ExecutorError, count

if TYPE_CHECKING:
    from executor.run import Result
    from executor.steps.notify import Webhook

EXIT_FAILED, EXIT_MISMATCH, EXIT_DIFFERS = 1, 3, 4


@click.command("submit")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--lock", "locking", is_flag=True, help="Lock a draft first; writes NAME.lock.yaml beside it.")
@sweep_options
@click.option("--force", is_flag=True, help="Run again even when the result is in the store.")
@click.option("--no-wait", is_flag=True, help="Do not wait while another executor runs the spec: end with 7.")
@run_options
def submit_command(
    asked: Asked, specs: tuple[Path, ...], locking: bool, sweep_file: Path | None, most: int | None,
    stop_on_failure: bool, force: bool, no_wait: bool,
) -> int:  # fmt: skip
    """Run each SPEC, or every point of a sweep; what is finished is returned from the store at once."""
    from executor.run import submit
    from executor.telemetry import traced

    if bool(specs) == bool(sweep_file):
        raise click.UsageError("name specs, or one sweep with --sweep FILE")
    options, hook, as_json = asked.options(force=force, wait=not no_wait), asked.hook, asked.as_json
    with asked.site() as site:
        if sweep_file:
            return submit_sweep(sweep_file, site, options, locking=locking, most=most,
                                stop_on_failure=stop_on_failure, hook=hook, as_json=as_json)  # fmt: skip
        every = [ready(path, site, locking=locking) for path in specs]
        views = []
        for spec in every:
            run = partial(traced, "submit", spec.hash, site.reporter, partial(submit, spec, site, options))
            views.append(_attempted(run, spec.hash.hex, hook, as_json=as_json))
            if not as_json:
                show(summary(views[-1]))
            if site.stop.event.is_set():  # a wish that was put off while the run was kept
                break
    if as_json:
        emit(views[0] if len(specs) == 1 else views)
    left_out = EXIT_INTERRUPTED if len(views) < len(every) else 0
    return next((code for code in map(_submit_code, views) if code), left_out)


@click.command("rerun")
@click.argument("spec_hash", metavar="HASH")
@click.option("--diagnose", is_flag=True, help="When it differs: run both sides up to there, and try the causes.")
@click.option("--vary", multiple=True, metavar="NAME=VALUE", help="Change one thing that we set, to see what it does.")
@run_options
def rerun_command(asked: Asked, spec_hash: str, diagnose: bool, vary: tuple[str, ...]) -> int:
    """Run the past spec HASH again and compare bit for bit with its reference."""
    from executor.cli.wiring import find_run
    from executor.diagnose import diagnosed
    from executor.run import rerun
    from executor.telemetry import traced

    options, hook, as_json = asked.options(vary=vary), asked.hook, asked.as_json
    with asked.site() as site:
        found = find_run(site.store, spec_hash)
        run = partial(traced, "rerun", found, site.reporter, partial(rerun, found, site, options))
        view = _attempted(run, found.hex, hook, as_json=as_json)
        if diagnose and view["verdict"] in ("different", "close"):
            view["divergence"] = diagnosed(found, view["attempt"], site, options).model_dump(mode="json")
    if as_json:
        emit(view)
    else:
        show(summary(view))
    return _submit_code(view) or (0 if view["verdict"] == "identical" else EXIT_DIFFERS)


def _view(result: Result) -> dict[str, Any]:
    from executor.evidence.record import view

    return view(result.record, cached=result.cached, store=result.url)


def _attempted(
    run: Callable[[], Result], spec_hash: str, hook: Webhook | None, *, as_json: bool
) -> dict[str, Any]:  # fmt: skip
    """The view of an attempt; for machines a refused one has the same fields, for people it is an error."""
    from executor.steps import notify

    try:
        view = _view(run())
    except ExecutorError as error:
        tell(hook, partial(notify.failed, spec_hash, error.message))
        if not as_json or not isinstance(error, EnvironmentMismatch):
            raise
        say(f"executor: {error.message}\n  → {error.advice}")
        nothing = dict.fromkeys(("attempt", "exit_code", "verdict", "runtime_s", "store"))
        return {"spec_hash": spec_hash, "cached": False, "outputs": [], "metrics": {}, **nothing, **error.as_json()}
    if not view["cached"]:
        tell(hook, partial(notify.ended, view))
    return view


def _submit_code(view: dict[str, Any]) -> int:
    codes = {"succeeded": 0, "interrupted": EXIT_INTERRUPTED, "refused": EXIT_MISMATCH}
    return codes.get(view["status"], EXIT_FAILED)


def summary(view: dict[str, Any]) -> str:
    """One attempt for people."""
    how = "answered from the store" if view["cached"] else f"{view['runtime_s']:.1f} s"
    lines = [f"{view['name']}  {view['spec_hash'][:12]}  {view['status']}  ({how})"]
    if view["status"] != "succeeded":
        lines += _ended(view)
    if view["metrics"]:
        lines.append("  metrics   " + "  ".join(f"{k} {output.number(float(v))}" for k, v in view["metrics"].items()))
    width = max((len(file["path"]) for file in view["outputs"][:MOST_FILES]), default=0)
    lines += [
        f"  {file['role']:<9} {file['path']:<{width}}  {short(file['digest'])}  {output.size(file['size'])}"
        for file in view["outputs"][:MOST_FILES]
    ]
    if len(view["outputs"]) > MOST_FILES:
        lines.append(f"  … and {count(len(view['outputs']) - MOST_FILES, 'more file')}")
    lines += [f"  refused   {path}: {why}" for path, why in view["refused_outputs"].items()]
    if shown := output.findings(view["findings"]):
        lines.append(shown)
    lines.append(f"  stored    {view['store']}")
    if view["comparison"]:
        lines += verdict(view)
    return "\n".join(lines)


def _ended(view: dict[str, Any]) -> list[str]:
    """How a run that did not succeed ended; a program that ended well can have left what cannot be kept."""
    line = f"  exit status {view['exit_code']}" + (f": {view['reason']}" if view["reason"] else "")
    if view["exit_code"] != 0 or not view["refused_outputs"]:
        return [line]
    what = count(len(view["refused_outputs"]), "output")
    odd = any("regular file" in why or "link" in why for why in view["refused_outputs"].values())
    advice = ["      → links, FIFOs and devices are not kept"] if odd else []
    return [f"{line}, but {what} cannot be kept", *advice]
