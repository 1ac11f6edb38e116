"""Which hardware gave which results for one experiment: a table over every attempt that is stored. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from executor.errors import count
from executor.evidence.record import Record
from executor.facts import Fact


class Cell(Fact):
    """The attempts of one kind of machine that gave one result."""

    gpu: str
    """`none` for a CPU run."""
    cpu: str
    """CPU model."""
    isa: str
    """Instruction set that torch dispatched to."""
    threads: int
    driver: str
    """NVIDIA driver; empty without one."""
    varied: str
    """What was varied in these runs, empty for none."""
    result: str
    """First 12 digits of the digest over everything that counts."""
    attempts: int


class Matrix(Fact):
    """All successful attempts of one experiment."""

    experiment_key: str
    reference: str
    """Result of the oldest attempt."""
    reproduced: int
    """Attempts beyond the first that gave the reference's result."""
    of: int
    """Attempts beyond the first."""
    cells: tuple[Cell, ...]

    @property
    def sentence(self) -> str:
        """Such as `reproduced 7 of 9, parts on NVIDIA A100`."""
        if not self.of:
            return f"{count(sum(cell.attempts for cell in self.cells), 'attempt')}: nothing to compare yet"
        parts = list(dict.fromkeys(_where(cell, self.cells) for cell in self.cells if cell.result != self.reference))
        return f"reproduced {self.reproduced} of {self.of}" + (f", parts on {'; '.join(parts)}" if parts else "")


def matrix(records: Iterable[Record]) -> Matrix | None:
    """The table over the records of one experiment key; none when none has succeeded."""
    good = sorted((one for one in records if one.status == "succeeded"), key=lambda one: one.created)
    if not good:
        return None
    good.sort(key=lambda one: bool(one.varied))  # a varied attempt is never the reference
    results = [one.result_digest.hex[:12] for one in good]
    cells = Counter((*machine(one), result) for one, result in zip(good, results, strict=True))
    return Matrix(
        experiment_key=good[0].experiment_key.hex, reference=results[0],
        reproduced=sum(result == results[0] for result in results[1:]), of=len(results) - 1,
        cells=tuple(Cell(gpu=key[0], cpu=key[1], isa=key[2], threads=key[3], driver=key[4], varied=key[5],
                         result=key[6], attempts=number) for key, number in cells.items()),
    )  # fmt: skip


def machine(record: Record) -> tuple[str, str, str, int, str, str]:
    """What a run ran on: GPUs, CPU model, instruction set, threads, driver, and what was varied."""
    host, inside = record.fingerprint.host, record.fingerprint.container
    gpus = [gpu.name for gpu in inside.gpus] if inside else []
    asked = record.spec["cpu"]
    return (
        " + ".join(gpus) or "none", host.cpu_model, (inside.isa if inside else None) or asked["isa"],
        (inside.threads if inside else None) or asked["threads"], (host.gpu_driver or "") if gpus else "",
        " ".join(f"{name}={value}" for name, value in sorted(record.varied.items())),
    )  # fmt: skip


def _where(cell: Cell, cells: Sequence[Cell]) -> str:
    """What sets a cell apart from the reference's, in few words."""
    first = cells[0]
    told = [f"{name} {getattr(cell, name)}" for name in ("gpu", "cpu", "isa", "threads", "driver", "varied")
            if getattr(cell, name) != getattr(first, name)]  # fmt: skip
    return ", ".join(told) or "the same machine"
