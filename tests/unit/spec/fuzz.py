"""A fuzzer of spec files: never a traceback, never two specs under one hash, always readable once written.

`python -m tests.unit.spec.fuzz 300 [SEED]` runs for that many seconds and prints what it saw.
"""

import hashlib
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from executor.errors import SpecError
from executor.spec.file import parse_draft, parse_spec, spec_text
from executor.spec.model import Spec
from tests.unit.spec.bad import table
from tests.unit.spec.golden import FOLDER
from tests.unit.spec.strategies import independent_json

SEEDS = [path.read_bytes() for path in sorted(FOLDER.glob("*.yaml"))]
BROKEN = [bad.text for bad in table()]
TOKENS = [
    *"{}[]:,#&*!|>'\"%@`?-\t\n\0~=<.\\", "\r\n", ": ", "- ", "<<: ", "---\n", "...\n", "%YAML 1.2\n", "!!binary ",
    "&a ", "*a", "null", "true", "yes", "1e3", ".nan", "-.inf", "0x", "0o7", "1_0", "\xef\xbb\xbf", "\x80", "\u2028",
    "\ud7ff", "\ud800", "\U0001f600", '"\\ud800"', "{params.lr}", "{{seed}}", "9" * 50, "1e999", "1e-999",
    "version: 1\n", "seed: 2\n", "code: none\n", "gpu:\n", "  ", "? ", "[[[[", "}}}}",
]  # fmt: skip


@dataclass
class Fuzzer:
    rng: random.Random
    seen: dict[str, str] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)

    def step(self) -> None:
        text = self.mutant()
        for parse in (parse_spec, parse_draft):
            try:
                found = parse(text, "fuzz.yaml")
            except SpecError:
                self.count["refused"] += 1
                continue
            self.count["accepted"] += 1
            again = parse(spec_text(found).encode(), "again.yaml")
            assert again.model_dump_json() == found.model_dump_json(), text
            if isinstance(found, Spec):
                self.check(found, again, text)

    def check(self, spec: Spec, again: object, text: bytes) -> None:
        identity = independent_json(spec.identity())
        expected = hashlib.sha256(b"executor/spec/v1\n" + identity.encode()).hexdigest()
        assert spec.hash.hex == expected, text
        assert isinstance(again, Spec)
        assert again.hash == spec.hash, text
        assert self.seen.setdefault(spec.hash.hex, identity) == identity, text

    def mutant(self) -> bytes:
        text: bytes = self.rng.choice(SEEDS if self.rng.random() < 0.8 else BROKEN)
        for _ in range(self.rng.choice([1, 1, 1, 2, 3, 8])):
            change = self.rng.choice((self.flip, self.insert, self.lines, self.splice, self.cut))
            text = change(text)
        return text

    def flip(self, text: bytes) -> bytes:
        changed = bytearray(text or b" ")
        at = self.rng.randrange(len(changed))
        changed[at] ^= 1 << self.rng.randrange(8)
        return bytes(changed)

    def insert(self, text: bytes) -> bytes:
        at = self.rng.randint(0, len(text))
        token: str = self.rng.choice(TOKENS)
        return text[:at] + token.encode("utf-8", "surrogatepass") + text[at:]

    def lines(self, text: bytes) -> bytes:
        lines = text.splitlines(keepends=True) or [b"\n"]
        at = self.rng.randrange(len(lines))
        other = self.rng.choice(lines)
        ways: list[list[bytes]] = [
            lines[:at] + lines[at + 1 :],
            [*lines[:at], other, *lines[at:]],
            [*lines[:at], b"  " + lines[at], *lines[at + 1 :]],
            [*lines[:at], other, *lines[at + 1 :]],
            self.rng.sample(lines, len(lines)),
        ]
        return b"".join(self.rng.choice(ways))

    def splice(self, text: bytes) -> bytes:
        other = self.rng.choice(SEEDS)
        return text[: self.rng.randint(0, len(text))] + other[self.rng.randint(0, len(other)) :]

    def cut(self, text: bytes) -> bytes:
        low, high = sorted((self.rng.randint(0, len(text)), self.rng.randint(0, len(text))))
        return text[:low] + text[high:] if high - low < 200 else text[low:high]


if __name__ == "__main__":
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    fuzzer, end, cases = Fuzzer(random.Random(seed)), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        fuzzer.step()
        cases += 1
    print(f"{cases} cases, {dict(fuzzer.count)}, {len(fuzzer.seen)} different specs")
