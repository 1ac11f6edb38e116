"""The folder that the run reports into, and the plan that it is held to. Both lie beside this program's own folder."""

from __future__ import annotations

import json
import os
import sys
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

REFUSED = 97
"""Exit status of a run that was refused from inside: the engine makes an `EnvironmentMismatch` of it."""

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def plan() -> Any:
    """What the engine was told to set up: `plan.json`."""
    with open(os.path.join(_HOME, "plan.json"), encoding="utf-8") as file:
        return json.load(file)


def publish(names: Iterable[str], document: Any) -> None:
    """Write JSON under the first of `names` that is free, whole or not at all; nothing when none is free."""
    folder = os.path.join(_HOME, "report")
    draft = os.path.join(folder, ".%d.draft" % os.getpid())
    with open(draft, "w", encoding="utf-8") as file:
        json.dump(document, file, sort_keys=True)
    try:
        for name in names:
            try:
                return os.link(draft, os.path.join(folder, name))
            except FileExistsError:
                continue
    finally:
        os.unlink(draft)


def claim(name: str) -> bool:
    """Whether this process is the first of the run to ask for `name`."""
    try:
        os.close(os.open(os.path.join(_HOME, "report", name + ".claim"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def stream(stem: str, suffix: str, held: int = 1 << 16) -> Any:
    """A new file for what grows while the run goes on; its name gets a number when there is one of that name.

    So many bytes are held before they are written.
    """
    number = 0
    while True:
        name = stem + ("-%d" % number if number else "") + suffix
        try:
            return open(os.path.join(_HOME, "report", name), "xb", buffering=held)
        except FileExistsError:
            number += 1


def numbered(stem: str) -> Iterable[str]:
    """`stem-0.json`, `stem-1.json`, …, from a number that is probably free."""
    taken = sum(name.startswith(stem + "-") for name in os.listdir(os.path.join(_HOME, "report")))
    return ("%s-%d.json" % (stem, number) for number in count(taken))


def finding(field: str, expected: object, observed: object, advice: str, severity: str = "refuse") -> dict[str, Any]:
    """One line of a check, in the shape of `executor.facts.Finding`."""
    return {
        "field": field,
        "expected": str(expected),
        "observed": str(observed),
        "severity": severity,
        "advice": advice,
        "allowed": False,
    }


def judge(findings: list[dict[str, Any]], allow: list[str]) -> bool:
    """Mark what the user allowed and say whether the run must be refused: on stderr and in `refusal.json` too."""
    for line in findings:
        line["allowed"] = line["field"] in allow
    refused = [line for line in findings if line["severity"] == "refuse" and not line["allowed"]]
    for line in refused:
        text = "executor: %(field)s: expected %(expected)s, found %(observed)s: %(advice)s" % line
        print(text, file=sys.stderr, flush=True)
    if refused:
        publish(["refusal.json"], {"findings": findings})
    return bool(refused)
