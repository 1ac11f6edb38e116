"""How a run is watched, and what is varied in it: nothing that a spec asks for. Pure: no I/O.

A variation changes one thing at a time of what we set, to see whether it changes the bits: a variable of the container,
the count of CPUs, or a part of the contract that is left out. A varied run is never the reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from executor.errors import UsageError

Level = Literal["off", "steps", "tensors", "operations"]
"""What a trace holds: nothing, a row of digests for each optimizer step, the digest of every tensor too, or every
operation besides. Of a single step, operations are what a diagnosis asks for by `How.capture`."""
LEVELS: tuple[Level, ...] = get_args(Level)

SWITCHES: Mapping[str, str] = {
    "python": "seeds of `random`, and generators of it that are made without one",
    "numpy": "seeds of numpy, and generators of it that are made without one",
    "torch": "torch's seed",
    "deterministic": "deterministic algorithms of torch and cuDNN, and full-precision products",
    "warm_up": "the first call of oneMKL's vector functions on one thread",
    "sqrt": "the correctly rounded square root of the portable tier",
}
"""Parts of the contract that `--vary NAME=off` leaves out."""
SEEDS = ("python", "numpy", "torch")
"""What `--vary seeds=off` leaves out."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_OURS = re.compile(r"EXECUTOR_.*|PYTHONPATH|PYTHONHOME|PATH|LD_PRELOAD|LD_LIBRARY_PATH|NVIDIA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class How:
    """How one run is watched and varied."""

    trace: Level = "steps"
    stop_after: int | None = None
    """End the program after this optimizer step (0-based); none for a whole run."""
    capture: int | None = None
    """Step (0-based) of which every operation is written down; none for none."""
    varied: Mapping[str, str] = field(default_factory=dict)
    """Name to value, as `variation` reads them."""

    @property
    def relaxed(self) -> tuple[str, ...]:
        """Parts of the contract that are left out, sorted."""
        left_out = [name for name in SWITCHES if self.varied.get(name) == "off"]
        more = list(SEEDS) if self.varied.get("seeds") == "off" else []
        extra = ["fill"] if self.varied.get("fill") == "on" else []
        return tuple(sorted({*left_out, *more, *extra}))

    @property
    def variables(self) -> dict[str, str | None]:
        """Variables of the container that are set, or with none taken away."""
        threads = dict.fromkeys(_THREADS, self.varied["threads"]) if "threads" in self.varied else {}
        own = {name: value or None for name, value in self.varied.items() if _VARIABLE.fullmatch(name)}
        return {**threads, **own}

    @property
    def determinism(self) -> str | None:
        """Level of determinism in place of the spec's."""
        return self.varied.get("determinism")

    @property
    def threads(self) -> int | None:
        """Threads of every numeric library in place of the spec's."""
        return int(self.varied["threads"]) if "threads" in self.varied else None

    @property
    def cpus(self) -> int | None:
        """CPUs that the run sees; none for as many as the spec's threads."""
        return int(self.varied["cpus"]) if "cpus" in self.varied else None

    def plan(self) -> dict[str, object]:
        """What the inside room is told."""
        return {"level": self.trace, "stop_after": self.stop_after, "capture": self.capture}


WATCHED = How()
"""How a run is watched when nobody says otherwise."""


def variation(words: Iterable[str]) -> dict[str, str]:
    """Read `NAME=VALUE` words; raises `UsageError` for what cannot be varied."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _known(name, value):
            raise UsageError(
                f"--vary {word}: cannot be varied",
                advice="VARIABLE=value (or VARIABLE= to take it away), cpus=N, threads=N, fill=on, "
                "determinism=strict|warn|off, seeds=off, or =off of one of "
                f"{', '.join(SWITCHES)}",
            )
        found[name] = value
    return found


def _known(name: str, value: str) -> bool:
    if name == "determinism":
        return value in ("strict", "warn", "off")
    if name in ("cpus", "threads"):
        return bool(re.fullmatch(r"[1-9][0-9]{0,3}", value)) and int(value) <= 4096
    if name == "fill":
        return value == "on"
    if name in SWITCHES or name == "seeds":
        return value == "off"
    return bool(_VARIABLE.fullmatch(name)) and not _OURS.fullmatch(name) and "\0" not in value
