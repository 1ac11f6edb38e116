"""Every stream of random numbers of a run follows from one seed of 64 bits.

- The first process has `random.seed(seed)`, `numpy.random.seed(fold(seed))` and `torch.manual_seed(seed)`: what its
  author would have written. A seed that the program sets itself comes later and wins.
- In a child process each library behaves as it does by itself: `random` and a fresh numpy start another stream, which
  here follows from the seed and the child's place in the tree of processes; torch repeats the parent's.
- What a library would take from the operating system because no seed was given (`random.Random()`,
  `numpy.random.default_rng()`) follows from the seed, the process, the thread and module that ask, and the count of
  their requests: so a library that asks in a thread of its own, at a time of its own, disturbs nobody.
"""

from __future__ import annotations

import os
import sys
from itertools import count

from .lineage import Lineage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def derive(bits: int, *path: object) -> int:
    """A number of `bits` bits that follows from `path` alone: SHAKE-256 of its parts, joined by line feeds."""
    from hashlib import shake_256

    digest = shake_256("\n".join(map(str, ("executor/seed/v1",) + path)).encode()).digest((bits + 7) // 8)
    return int.from_bytes(digest, "little") & ((1 << bits) - 1)


def fold(seed: int) -> int:
    """A 64-bit seed as the 32 bits that numpy's legacy generator takes: the upper half xor the lower.

    A seed below 2**32 stays as it is.
    """
    return (seed ^ seed >> 32) & 0xFFFFFFFF


def _thread_name() -> str:
    threading = sys.modules.get("threading")
    return str(threading.current_thread().name) if threading else "MainThread"


def _asking_module() -> str:
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__") in (__name__, "random"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))


class Streams:
    """The seeds of one process."""

    def __init__(self, seed: int, process: Lineage, relaxed: frozenset[str] = frozenset(), log: Any = None) -> None:
        self.seed = seed
        self.process = process
        self._relaxed, self._log = relaxed, log
        self._counts = {}  # type: dict[tuple[str, str, str], Any]

    def global_seed(self, library: str) -> int:
        """64-bit seed of a library's global generator in this process."""
        if self.process.name == "0":
            return self.seed
        return derive(64, self.seed, self.process.name, library, "global")

    def entropy(self, library: str, bits: int) -> int:
        """What a library gets in place of the operating system's entropy."""
        asker = (library, _thread_name(), _asking_module())
        number = next(self._counts.setdefault(asker, count()))
        return derive(bits, self.seed, self.process.name, *asker, number)

    def seed_random(self, random: Any) -> None:
        """Seed the `random` module, here and in forked children, and every `Random()` made without a seed."""
        if "python" in self._relaxed:
            self._tell(random.Random, "seed", "random.Random()")
            return
        original = random.Random.seed

        def seed(generator: Any, a: Any = None, version: int = 2) -> None:
            original(generator, self.entropy("random", 64) if a is None else a, version)

        def seed_global() -> None:
            random.seed(self.global_seed("random"))

        seed.__doc__ = original.__doc__
        random.Random.seed = seed
        random.seed = random._inst.seed
        seed_global()
        # After a fork `random` seeds itself from the operating system; this comes after that.
        os.register_at_fork(after_in_child=seed_global)

    def seed_numpy(self, random: Any) -> None:
        """Seed `numpy.random` and every generator made without a seed (all of them ask `randbits`)."""
        source = getattr(random, "bit_generator", None) or random._bit_generator  # its name until numpy 1.18
        if "numpy" in self._relaxed:
            self._tell(source, "randbits", "numpy.random, unseeded")
            return
        source.randbits = lambda bits: self.entropy("numpy", bits)
        random.seed(fold(self.global_seed("numpy")))

    def seed_torch(self, torch: Any) -> None:
        """Seed torch, CPU and CUDA: the same in every process, as torch's own default seed is."""
        if "torch" in self._relaxed:
            torch.seed()
            self._tell(torch, "seed", "torch.seed()")
            return
        torch.manual_seed(self.seed)

        def seed() -> int:
            number = self.entropy("torch", 63)
            torch.manual_seed(number)
            return number

        seed.__doc__ = torch.seed.__doc__
        torch.seed = torch.random.seed = seed

    def _tell(self, owner: Any, name: str, what: str) -> None:
        """With the contract off: leave entropy as it is, and write down who takes it."""
        original, log = getattr(owner, name), self._log

        def taken(*arguments: Any, **options: Any) -> Any:
            if name != "seed" or len(arguments) < 2 or arguments[1] is None:
                log.note("entropy", what)
            return original(*arguments, **options)

        setattr(owner, name, taken)
