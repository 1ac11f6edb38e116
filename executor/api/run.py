"""One attempt that is stored, as Python sees it."""

from __future__ import annotations

import tempfile
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor import here
from executor.api.tables import facts
from executor.errors import NotFound
from executor.evidence.record import Record
from executor.facts import OutputFile
from executor.steps.history import pull, records
from executor.steps.home import Home
from executor.store.interface import Store

if TYPE_CHECKING:
    from executor.evidence.divergence import Divergence
    from executor.steps.signed.verifying import Verified

MOST_READ = 1 << 30
"""Bytes of the largest output that is read into memory."""


@dataclass(frozen=True)
class Points:
    """One metric, every value in the order in which it was written. `numpy.asarray` takes each array as it is."""

    name: str
    steps: array[int]
    values: array[float]
    times: array[float]
    """Seconds since 1970; NaN where none was given."""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Run:
    """One attempt of a spec, as its record says."""

    store: Store = field(repr=False)
    home: Home = field(repr=False)
    record: Record = field(repr=False)
    """Everything about it."""
    cached: bool = False
    """Whether `submit` found it in the store, and nothing ran."""

    @property
    def spec_hash(self) -> str:
        """64 hex digits."""
        return self.record.spec_hash.hex

    @property
    def attempt(self) -> str:
        """Id of the attempt."""
        return self.record.attempt

    @property
    def name(self) -> str:
        """Name of the spec."""
        return self.record.hints.name

    @property
    def status(self) -> str:
        """`succeeded`, `failed` or `interrupted`."""
        return self.record.status

    @property
    def verdict(self) -> str | None:
        """`identical`, `close`, `different` or `incomparable` to the reference; none where nothing was compared."""
        return self.record.comparison.verdict if self.record.comparison else None

    @property
    def spec(self) -> dict[str, Any]:
        """The spec's identity, as in its canonical bytes."""
        return self.record.spec

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the spec."""
        return dict(self.record.spec["params"])

    @property
    def metrics(self) -> dict[str, float]:
        """Final value of each metric."""
        return self.record.metrics

    @property
    def outputs(self) -> tuple[OutputFile, ...]:
        """The files that it left."""
        return self.record.outputs

    @property
    def url(self) -> str:
        """Where it is stored."""
        return self.store.attempt_url(self.record.spec_hash, self.attempt)

    @property
    def divergence(self) -> Divergence | None:
        """Where it parted from the reference, and why: what a diagnosis found, else what the comparison did."""
        from executor.evidence.divergence import Divergence

        diagnosis = self.store.diagnosis(self.record.spec_hash, self.attempt)
        if diagnosis is not None:
            return Divergence.model_validate_json(diagnosis)
        return self.record.comparison.divergence if self.record.comparison else None

    def attempts(self) -> list[Run]:
        """Every attempt of its spec, the oldest first."""
        return [Run(self.store, self.home, record) for record in records(self.store, self.record.spec_hash)]

    def series(self, name: str) -> Points:
        """Every value of one metric; raises `NotFound` for one that it does not have."""
        found = self._series(name)
        if name not in found:
            raise NotFound(f"{self.spec_hash[:12]}: no metric {name}", advice=f"there is {', '.join(self.metrics)}")
        return found[name]

    def all_series(self) -> dict[str, Points]:
        """Every value of every metric, by name."""
        return self._series(None)

    def _series(self, only: str | None) -> dict[str, Points]:
        from executor.evidence.series import read as stretches
        from executor.steps.exports.numbers import series_table

        found: dict[str, Points] = {}
        with tempfile.TemporaryDirectory() as folder:
            path = series_table(self.record, self.store, Path(folder))
            if path is None:
                return found
            with path.open("rb") as source:
                for name, part in stretches(source, self.url, only):
                    held = found.setdefault(name, Points(name, array("q"), array("d"), array("d")))
                    held.steps.extend(part.steps)
                    held.values.extend(part.values)
                    held.times.extend(part.times or array("d", [float("nan")]) * len(part.values))
        return found

    def log(self) -> str:
        """What its program printed, verified; raises `CorruptObject`."""
        blob = self.record.log
        return self.store.read_blob(blob.digest, blob.size).decode("utf-8", "replace") if blob else ""

    def read(self, path: str) -> bytes:
        """One output whole, verified; raises `NotFound`, `CorruptObject`, and `UsageError` for one beyond 1 GiB."""
        named = next((file for file in self.outputs if file.path == path), None)
        if named is None:
            there = ", ".join(file.path for file in self.outputs[:20]) or "nothing"
            raise NotFound(f"{self.spec_hash[:12]}: no output {path}", advice=f"there is {there}")
        return self.store.read_blob(named.digest, MOST_READ)

    def pull(self, folder: str | Path) -> list[Path]:
        """Fetch its outputs into a folder, verified; what is there already is kept. Raises `CorruptObject`."""
        files = pull(self.store, self.record, Path(folder), lambda *_: None)
        return [Path(folder) / file.path for file in files]

    def verify(self, *, require_signed: bool = False) -> Verified:
        """Read all that is stored of it, and hold it against digests and signatures; `every` lists what is wrong."""
        from executor.steps.signed.verifying import verify

        site = here.site(self.store, self.home)
        return verify(self.record.spec_hash, site, attempt=self.attempt, require_signed=require_signed)

    def __repr__(self) -> str:
        return f"<Run {self.name} {self.spec_hash[:12]}/{self.attempt}: {self.status}>"

    def _repr_html_(self) -> str:
        record = self.record
        known = {"status": self.status, "verdict": self.verdict, "spec": self.spec_hash, "attempt": self.attempt,
                 "submitter": record.hints.submitter, "created": record.created, "runtime_s": record.outcome.runtime_s,
                 **{f"params.{name}": value for name, value in self.params.items()}, "seed": record.spec["seed"],
                 **{f"metrics.{name}": value for name, value in self.metrics.items()},
                 "outputs": ", ".join(file.path for file in self.outputs[:20]), "stored": self.url}  # fmt: skip
        return facts(self.name, known)
