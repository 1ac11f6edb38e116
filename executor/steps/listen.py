"""What the program prints goes three ways: into the log that is kept, to whoever watches, and to the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from executor.engine.interface import LogSink
from executor.engine.logs import LogKeeper
from executor.engine.redact import Redactor
from executor.evidence.metric_log import LogReader
from executor.facts import Outcome
from executor.spec.model import Spec
from executor.steps.site import Site
from executor.steps.workspace import Workspace


class Listener:
    """Takes the log of one attempt; `write` is the sink for the engine."""

    def __init__(self, keeper: LogKeeper, write: LogSink) -> None:
        self._keeper, self.write = keeper, write

    def heard(self, outcome: Outcome) -> Outcome:
        """The outcome with the end of the log, and how much of it was too much to keep."""
        return outcome.model_copy(update={"log_tail": self._keeper.tail, "log_dropped": self._keeper.dropped})


@contextmanager
def listen(spec: Spec, space: Workspace, site: Site) -> Iterator[Listener]:
    """Keep, publish and show the log of the attempt in `space`, and write its numbers to `space.printed`."""
    publish = _to_nobody if site.trying else site.live_log(spec.hash, space.folder.name)
    redactor = Redactor(site.secrets.known(spec.secrets))
    reader = LogReader(spec.metrics.stdout) if spec.metrics.stdout is not None else None
    with LogKeeper(space.log, publish, site.reporter.log) as keeper, space.printed.open("wb") as numbers:

        def write(piece: bytes, *, last: bool = False) -> None:
            shown = redactor.feed(piece, last=last)
            keeper.write(shown)
            if reader:
                numbers.write(reader.feed(shown, last=last))

        yield Listener(keeper, write)
        write(b"", last=True)


def _to_nobody(_: int, __: bytes) -> None:
    """Nobody follows a trial from elsewhere."""
