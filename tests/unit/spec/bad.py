"""The table of broken specs, `tests/golden/bad_specs/table.txt`: what is changed, and everything that is said about it.

`python -m tests.unit.spec.bad` writes what is said anew; read the difference before you keep it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from executor.errors import SpecError
from executor.spec.file import parse_spec

FOLDER = Path(__file__).parents[2] / "golden" / "bad_specs"
TABLE = FOLDER / "table.txt"
BASE = (FOLDER / "base.yaml").read_text()


@dataclass(frozen=True)
class Bad:
    name: str
    change: tuple[str, ...]
    """`8| params: …` puts this in the place of line 8; `*| b"…"` is a whole file."""
    said: tuple[str, ...]

    @property
    def text(self) -> bytes:
        lines = [*BASE.splitlines(), ""]
        for change in self.change:
            number, _, line = change.partition("| ")
            if number == "*":
                return bytes(ast.literal_eval(line))
            lines[int(number) - 1] = line.replace("⏎", "\n")
        return "\n".join(lines).encode()


def heading() -> str:
    return TABLE.read_text().split("\n\n", 1)[0]


def table() -> Iterator[Bad]:
    for case in TABLE.read_text().strip().split("\n\n")[1:]:
        name, *lines = case.splitlines()
        change = tuple(line for line in lines if not line.startswith("   "))
        yield Bad(name, change, tuple(line.strip() for line in lines[len(change) :]))


def said(text: bytes) -> tuple[str, ...]:
    """Every line of the complaint, then its advice."""
    try:
        parse_spec(text, "")
    except SpecError as error:
        advice = (f"advice: {error.advice}",) if error.advice else ()
        return (*(line.removeprefix(":").strip() for line in str(error).splitlines()), *advice)
    return ("nothing",)


if __name__ == "__main__":
    cases = ["\n".join([bad.name, *bad.change, *(f"    {line}" for line in said(bad.text))]) for bad in table()]
    TABLE.write_text("\n\n".join([heading(), *cases]) + "\n")
