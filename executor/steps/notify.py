"""A webhook is told how a run ended: a small JSON document, posted once, signed when there is a secret.

What goes wrong with it is a warning: it changes neither a result nor an exit code. Its URL is a credential, as with
Slack, and is never told, neither in a record nor in a message.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from executor.errors import UsageError
from executor.text import duration, number

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from executor.evidence.summary import Summary

SIGNATURE = "X-Executor-Signature-256"
"""Header that holds `sha256=` and the HMAC-SHA256 of the body, as GitHub signs its webhooks."""
WITHIN_S, ANSWER_S = 20.0, 6.0
"""Seconds that all tries may take together, and that one may wait for an answer."""
PAUSES = (0.5, 2.0)
"""Seconds before the second and the third try."""
MOST_METRICS, IN_TEXT = 50, 4
"""Metrics in the document, and in its sentence."""
_FIELDS = ("spec_hash", "attempt", "name", "status", "exit_code", "reason", "verdict", "runtime_s", "store")
_AGAIN = (408, 425, 429)
_ADVICE = "write https://host/path; EXECUTOR_NOTIFY keeps it out of the list of processes"


@dataclass(frozen=True)
class Webhook:
    """Where it is told, and what proves that it was us."""

    url: str = field(repr=False)
    secret: bytes = field(default=b"", repr=False)
    """Key of the signature; nothing is signed without one."""
    within_s: float = WITHIN_S
    pauses: Sequence[float] = PAUSES

    def __post_init__(self) -> None:
        try:
            usable = self._at.scheme in ("http", "https") and self._at.hostname and self._at.port != 0
        except ValueError:
            usable = False
        if not usable or any(not "!" <= character <= "~" for character in self.url):
            raise UsageError("--notify: this is not the URL of a webhook", advice=_ADVICE)

    @property
    def _at(self) -> SplitResult:
        return urlsplit(self.url)

    def tell(self, document: Mapping[str, Any]) -> str:
        """Post a document, in bounded time; returns what went wrong, or nothing."""
        body = json.dumps(document, allow_nan=False).encode()
        problems: list[str] = []
        trying = threading.Thread(target=lambda: problems.append(self._tries(body)), daemon=True)
        trying.start()
        trying.join(self.within_s)  # name resolution has no time limit of its own
        problem = problems[0] if problems else f"no answer within {self.within_s:.0f} s"
        return f"the webhook at {self._at.hostname} was not told: {problem}" if problem else ""

    def _tries(self, body: bytes) -> str:
        for pause in (*self.pauses, None):
            problem, again = self._post(body)
            if not again or pause is None:
                break
            time.sleep(pause)
        return problem

    def _post(self, body: bytes) -> tuple[str, bool]:
        """What went wrong, and whether it may go well a moment later; a redirect is not followed."""
        from http.client import HTTPException  # only who is told pays for it

        connection = self._connection()
        try:
            connection.request("POST", self._target, body, self._headers(body))
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            return _words(error), True
        finally:
            connection.close()
        return ("" if 200 <= status < 300 else f"it answers {status}"), status >= 500 or status in _AGAIN

    def _connection(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        kind = HTTPSConnection if self._at.scheme == "https" else HTTPConnection
        return kind(self._at.hostname or "", self._at.port, timeout=ANSWER_S)

    @property
    def _target(self) -> str:
        return (self._at.path or "/") + (f"?{self._at.query}" if self._at.query else "")

    def _headers(self, body: bytes) -> dict[str, str]:
        found = {"Content-Type": "application/json", "User-Agent": "repro-executor"}
        if self._at.username is not None:
            words = f"{unquote(self._at.username)}:{unquote(self._at.password or '')}"
            found["Authorization"] = f"Basic {base64.b64encode(words.encode()).decode()}"
        if self.secret:
            found[SIGNATURE] = f"sha256={hmac.new(self.secret, body, hashlib.sha256).hexdigest()}"
        return found


def _words(error: Exception) -> str:
    """What went wrong, without anything of the URL."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:.0f} s"
    return getattr(error, "strerror", None) or type(error).__name__


# What it is told ---------------------------------------------------------------------------------------------------


def ended(view: Mapping[str, Any]) -> dict[str, Any]:
    """How an attempt ended, from what `submit --json` says of it; `text` is a sentence, as chats show it."""
    metrics = dict(list(view["metrics"].items())[:MOST_METRICS])
    return {"event": "run", "text": _escaped(_sentence(view)), **{name: view.get(name) for name in _FIELDS},
            "metrics": metrics}  # fmt: skip


def failed(spec_hash: str, problem: str) -> dict[str, Any]:
    """A run that came to no result, and why."""
    text = _escaped(f"{spec_hash[:12]} came to no result: {problem}")
    return {"event": "run", "text": text, **dict.fromkeys(_FIELDS), "spec_hash": spec_hash, "status": "error",
            "reason": problem, "metrics": {}}  # fmt: skip


def swept(summary: Summary) -> dict[str, Any]:
    """How a sweep ended."""
    counts = {name: getattr(summary, name) for name in ("total", "done", "cached", "failed", "left")}
    words = f"{summary.done} done, {summary.cached} cached, {summary.failed} failed"
    text = f"sweep {summary.file}: {words}" + (f", {summary.left} not begun" if summary.left else "")
    best = summary.best and {"values": summary.best.values, "spec_hashes": summary.best.spec_hashes}
    if summary.best and summary.metric:
        text += f"; best {summary.metric} {number(summary.best.metrics[summary.metric].mean)}"
    return {"event": "sweep", "text": _escaped(text), "file": summary.file, **counts, "metric": summary.metric,
            "best": best}  # fmt: skip


def _sentence(view: Mapping[str, Any]) -> str:
    words = " ".join(word for word in (view.get("name"), view["spec_hash"][:12], view["status"]) if word)
    words += f" in {duration(view['runtime_s'])}" if view["runtime_s"] is not None else ""
    words += f", {view['verdict']} to its reference" if view["verdict"] in ("identical", "close") else ""
    words += ", different from its reference" if view["verdict"] == "different" else ""
    if view["status"] == "failed":
        words += f", exit status {view['exit_code']}" + (f": {view['reason']}" if view.get("reason") else "")
    told = [f"{name} {number(float(value))}" for name, value in list(view["metrics"].items())[:IN_TEXT]]
    return f"{words}; {', '.join(told)}" if told else words


def _escaped(text: str) -> str:
    """For Slack, to which `<!channel>` means something."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
