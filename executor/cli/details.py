"""What `show` says of a run: who ran what where, what came of it, how its attempts agree, how to have it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from executor.cli.output import cut, duration, findings, number, size, table
from executor.cli.verdict import short, verdict, where
from executor.errors import count

Document = Mapping[str, Any]
Lines = Iterator[str]
WIDTH = 100
"""Columns of a line that fits most terminals."""
INDENT = 12
"""Columns before what a label stands for."""
MOST_METRICS, MOST_OUTPUTS, MOST_ATTEMPTS, MOST_FILES, MOST_LOG = 12, 10, 6, 3, 12
"""How many are told; `--json` has them all."""


def page(document: Document) -> str:
    """The document of `show` for people: its parts, an empty line between them."""
    parts: Sequence[Callable[[Document], Lines]] = (
        _title, _identity, _asked, _metrics, _environment, _outputs, _verdict, _attempts, _log, _kept, _again,
    )  # fmt: skip
    return "\n\n".join(text for part in parts if (text := "\n".join(part(document))))


def _labelled(label: str, lines: Iterable[str]) -> Lines:
    """Lines of which the first has a label, all of them aligned; lines without a text are left out."""
    for line in lines:
        if line:
            yield f"  {label:<{INDENT - 3}} {line}"
            label = ""


def _one(label: str, text: str) -> Lines:
    return _labelled(label, [text])


def _wrapped(words: Sequence[str]) -> Lines:
    """Words on as many lines as they need, two spaces apart."""
    line = ""
    for word in words:
        if line and len(line) + len(word) + 2 > WIDTH - INDENT:
            yield line
            line = ""
        line = f"{line}  {word}" if line else word
    yield line


def _some(lines: Sequence[str], most: int, what: str) -> Lines:
    """The first lines, and how many more there are."""
    yield from lines[:most]
    if len(lines) > most:
        yield f"… and {count(len(lines) - most, f'more {what}')}"


# Its parts ---------------------------------------------------------------------------------------------------------


def _title(run: Document) -> Lines:
    yield f"{run['name']}  {run['spec_hash'][:12]}  {run['status']}  ({duration(run['runtime_s'])})"
    if run["status"] != "succeeded":
        reason = f": {run['reason']}" if run["reason"] else ""
        yield f"  exit status {run['exit_code']}{reason}"


def _identity(run: Document) -> Lines:
    host, engine = run["fingerprint"]["host"], run["fingerprint"]["engine"]
    gpus = ", ".join(gpu["name"] for gpu in host["gpus"]) or "no GPU"
    yield from _one("spec", run["spec_hash"])
    yield from _one("attempt", f"{run['attempt']}{_role(run)}")
    yield from _one("who", run["submitter"])
    yield from _one("when", f"{run['created'][:19].replace('T', ' ')} UTC")
    yield from _one("where", f"{host['hostname']}: {host['cpu_model']}, {gpus}; {engine['name']} {engine['version']}")


def _role(run: Document) -> str:
    if run["attempt"] == run["reference"]:
        return ", the reference"
    varied = ", ".join(f"{name}={value}" for name, value in run["varied"].items())
    return f", varied on purpose: {varied}" if varied else ""


def _asked(run: Document) -> Lines:
    """What the spec says, one aligned line for each thing that is set."""
    spec, hints = run["spec"], run["hints"]
    yield from _one("command", cut(" ".join(shlex.join(spec["command"]).split()), WIDTH - INDENT))
    params = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in spec["params"].items()]
    yield from _labelled("params", _wrapped(params))
    yield from _one("seed", str(spec["seed"]))
    yield from _one("cpu", f"{count(spec['cpu']['threads'], 'thread')}, {spec['cpu']['isa']}")
    if gpu := spec["gpu"]:
        yield from _one("gpu", f"{gpu['count']} × {gpu['type']}")
    yield from _one("image", f"{hints['image']}@{spec['image']}")
    if spec["code"]:
        yield from _one("code", f"{spec['code']}  {hints['repo']}".rstrip())
    data = [f"{name}  {digest}  {hints['sources'].get(name, '')}".rstrip() for name, digest in spec["data"].items()]
    yield from _labelled("data", data)
    yield from _labelled("labels", _wrapped([f"{name}={value}" for name, value in hints["labels"].items()]))


def _metrics(run: Document) -> Lines:
    """Final values exactly; the lowest and the highest as far as the record has them."""
    rows = [(name, number(float(value)), *(_rounded(run[end].get(name)) for end in ("lowest", "highest")))
            for name, value in run["metrics"].items()]  # fmt: skip
    if any(row[2] or row[3] for row in rows):
        lines = table(rows, ("", "final", "lowest", "highest")).splitlines()
    else:
        lines = [line for line in table([row[:2] for row in rows], ("", "")).splitlines() if line]
    yield from _labelled("metrics", _some(lines, MOST_METRICS, "metric"))


def _rounded(value: Any) -> str:
    return "" if value is None else f"{float(value):.6g}"


def _environment(run: Document) -> Lines:
    """What was seen from inside, and every check that found something."""
    inside = run["fingerprint"]["container"] or {}
    gpu = [f"CUDA {inside['torch_cuda']}"] if inside.get("torch_cuda") else []
    seen = [f"{name} {inside[key]}" for name, key in (("Python", "python"), ("torch", "torch"), ("glibc", "glibc"))
            if inside.get(key)]  # fmt: skip
    yield from _one("inside", ", ".join([*seen, *gpu]) or inside.get("reason", ""))
    good = sum(one["severity"] == "info" for one in run["findings"])
    bad = len(run["findings"]) - good
    yield from _one("checks", f"{good} passed" + (f", {bad} did not:" if bad else ""))
    if shown := findings(run["findings"]):
        yield shown
    if run["proof"]:
        yield from _one("proof", ": ".join([run["proof"]["standing"], *run["proof"]["reasons"][:1]]))


def _outputs(run: Document) -> Lines:
    rows = [(one["role"], one["path"], short(one["digest"]), size(one["size"])) for one in run["outputs"]]
    lines = table(rows, ("", "", "", "")).splitlines()[1:]
    yield from _labelled("outputs", _some(lines, MOST_OUTPUTS, "file"))
    yield from _labelled("refused", [f"{path}: {why}" for path, why in run["refused_outputs"].items()])


def _verdict(run: Document) -> Lines:
    if run["comparison"]:
        yield from verdict(run)


def _attempts(run: Document) -> Lines:
    """A line for each attempt, and under it where it parted from the reference."""
    every, agree = run["attempts"], run["agreement"]
    of = f"identical in {agree['identical']} of {agree['succeeded']} that succeeded"
    yield from _one("attempts", f"{len(every)}, {of if agree['succeeded'] else 'none succeeded'}")
    yield from chain.from_iterable(_attempt(one, run["reference"]) for one in every[:MOST_ATTEMPTS])
    if len(every) > MOST_ATTEMPTS:
        yield f"{'':{INDENT}}… and {len(every) - MOST_ATTEMPTS} more"


def _attempt(one: Document, reference: str | None) -> Lines:
    words = (one["attempt"], f"{one['status']:<11}", f"{one['verdict'] or '':<9}", one["submitter"].partition(" <")[0])
    mark = "*" if one["attempt"] == reference else " "
    yield f"{mark:>{INDENT - 1}} {'  '.join(words)}".rstrip()
    if one["verdict"] in ("different", "close") and "reason" in one["divergence"]:
        yield f"{'':{INDENT + 2}}{where(one['divergence'])}"
    files = one["comparison"]["files"] if one["comparison"] else []
    names = [file["path"] for file in files if file["reference"] != file["observed"]]
    yield from (f"{'':{INDENT + 2}}≠ {name}" for name in _some(names, MOST_FILES, "file"))


def _log(run: Document) -> Lines:
    """The end of the log of a run that did not succeed."""
    if run["status"] != "succeeded" and run["log_tail"]:
        yield "  the last of its log:"
        yield from (f"  │ {line}" for line in run["log_tail"].splitlines()[-MOST_LOG:])


def _kept(run: Document) -> Lines:
    yield from _one("stored", run["store"])
    signature = run["signature"]
    yield from _one(
        "signed",
        f"by {signature['key']}, {signature['keyids'][0][:12]}"
        if signature["state"] == "trusted"
        else signature["why"],
    )
    archived = [f"{one['what']} ({'not whole' if one['size'] is None else size(one['size'])})"
                for one in run["archived"]]  # fmt: skip
    yield from _one("archived", ", ".join(archived))


def _again(run: Document) -> Lines:
    spec = run["spec_hash"][:12]
    rows = [(f"executor rerun {spec}", "run it again and compare bit for bit")] if run["reference"] else []
    rows += [(f"executor pull {spec} DIR", "its outputs, verified")] if run["outputs"] else []
    rows += [(f"executor logs {spec}", "what it printed")]
    yield from _labelled("again", table(rows, ("", "")).splitlines()[1:])
