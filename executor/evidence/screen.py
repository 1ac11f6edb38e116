"""A look at a program's source for what the determinism contract does not control. Pure: nothing is run or imported.

- A program without a suspect may be predicted `identical`; with one, nothing is known before the rerun.
- After a difference the suspects say where to look first.
- What is used counts, not what is imported or mentioned. Other programs and native libraries are not looked into.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping

from executor.evidence.constructs import constructs
from executor.evidence.uncontrolled import VARIABLES
from executor.facts import Fact

MOST_SUSPECTS = 200
"""How many are kept."""
LARGEST = 2 * 2**20
"""Bytes of a file that is still read."""
_TEXT = 120
_LONGEST = 4096
"""Characters of a shell command that is still read."""

_START = r"(?:^|[;&|({`!]|\b(?:do|then|else|exec|time|if|while|until|env|nohup|sudo)\s)"
_COMMAND = _START + r"\s*(?:\w+=[^\s;&|]*\s+)*(?:/[\w./-]*/)?"
_SORTED = r"sort\s*(-[zu]+\s*)*($|[|;)>])"
_PATTERNS = (
    ("clock", r"COMMAND date\b|\$\{?(SECONDS|EPOCHSECONDS|EPOCHREALTIME)\b"),
    ("entropy", r"\$\{?S?RANDOM\b|(?<![\w.-])/dev/u?random\b|COMMAND (mktemp|uuidgen|openssl\s+rand)\b"),
    ("entropy", r"COMMAND (shuf\b|sort\s[^|;]*(-\w*R|--random-sort))(?![^|;]*--random-source)"),
    ("host", r"COMMAND (hostname|uname|nproc|free|lscpu|nvidia-smi)\b|\$(\$|\{?PPID\b)"),
    ("host", r"(?<![\w./-])/(proc|sys)(?![\w-])"),
    ("concurrency", r"(?<![&><|\\])&(?=\s|;|\)|$)|\bxargs\s[^|;]*(-P|--max-procs)|COMMAND (parallel\b|wait\s+-n)"),
    ("directory-order", r"COMMAND (find\b|ls\s+(-\S+\s+)*-\w*[Uftcu])(?!.*\|\s*(\w+=\S+\s+)?SORTED)"),
    ("network", r"COMMAND (curl|wget|ssh|scp|rsync|aws|gsutil|git\s+(clone|fetch|pull)|\w+\s+install)\b"),
    ("save", r"COMMAND (tar\s+(--create|-?\w*c\w*)|gzip|zip)\b"),
    ("native", r"COMMAND (gcc|g\+\+|cc|clang|nvcc|make|cmake)\s"),
    ("subprocess", r"COMMAND (perl|ruby|node|Rscript|julia|java)\b"),
    ("dynamic", r"COMMAND (eval\b|python[\d.]*\s+(-c\b|-(\s|$)|<<)|(ba|da|z)?sh\s+-c\b)"),
    ("contract", rf"\b({'|'.join(VARIABLES)})\w*=|\bunset\s+({'|'.join(VARIABLES)})|COMMAND (taskset|numactl)\b"),
    ("signal", r"COMMAND timeout\s"),
)  # fmt: skip
_SHELL = tuple(
    (source, re.compile(pattern.replace("COMMAND ", _COMMAND).replace("SORTED", _SORTED)))
    for source, pattern in _PATTERNS
)
"""What counts in a command of a shell script."""


class Suspect(Fact):
    """One construct that may make a rerun differ."""

    source: str
    """Kind of construct, such as `clock`, `directory-order`; `unreadable` of a file that could not be looked at."""
    file: str
    line: int
    """Counted from 1."""
    text: str
    """The line, without its indentation, cut at 120 characters."""


def screen(files: Mapping[str, bytes]) -> tuple[Suspect, ...]:
    """The suspects in a program's files by path; the first 200 by file and line."""
    found: list[Suspect] = []
    for path in sorted(files):
        if len(found) < MOST_SUSPECTS:
            found += _of_file(path, files[path])
    return tuple(found[:MOST_SUSPECTS])


def _of_file(path: str, data: bytes) -> Iterator[Suspect]:
    language = _language(path, data)
    if not language:
        return
    lines = data[:LARGEST].decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    places = _python(data) if language == "python" else _shell(lines, len(data))
    for line, source in sorted({(line, source) for source, line in places}):
        text = lines[line - 1].strip()[:_TEXT] if 0 < line <= len(lines) else ""
        yield Suspect(source=source, file=path.encode("utf-8", "replace").decode(), line=line, text=text)


def _language(path: str, data: bytes) -> str:
    """`python`, `shell`, or nothing: by the name, else by the first line."""
    if path.endswith((".py", ".sh")):
        return "python" if path.endswith(".py") else "shell"
    first = data[:200].split(b"\n")[0]
    if not first.startswith(b"#!") or path.endswith(".ipynb"):
        return ""
    if b"python" in first:
        return "python"
    return "shell" if re.search(rb"\b(ba|da|z|k)?sh\b", first) else ""


def _python(data: bytes) -> list[tuple[str, int]]:
    if len(data) > LARGEST:
        return [("unreadable", 1)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(constructs(ast.parse(data)))
    except SyntaxError as error:
        return [("unreadable", max(error.lineno or 1, 1))]
    except (ValueError, RecursionError, MemoryError):
        return [("unreadable", 1)]


def _shell(lines: list[str], size: int) -> Iterator[tuple[str, int]]:
    if size > LARGEST:
        yield "unreadable", 1
        return
    for number, line in _commands(lines):
        if len(line) > _LONGEST:
            yield "unreadable", number
        else:
            yield from ((source, number) for source, pattern in _SHELL if pattern.search(line))


def _commands(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is no comment, what a backslash continues joined, quoted words left out."""
    start, held = 0, ""
    for number, line in enumerate(lines, 1):
        start, held = (start, held + line) if held else (number, line)
        if held.endswith("\\") and number < len(lines) and len(held) <= _LONGEST:
            held = held[:-1] + " "
            continue
        yield start, re.sub(r"(^|\s)#.*", "", re.sub(r"'[^']*'", "''", held)).strip()
        held = ""
