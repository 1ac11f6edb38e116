"""Which files of a program its command can reach: the scripts it names, and the modules that these import. Pure."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from posixpath import dirname, join, normpath

_BETWEEN = re.compile(r"[\s;&|()<>`'\"=$]+")
"""What stands between the words that a shell reads."""


def reachable(files: Mapping[str, bytes], command: Sequence[str]) -> dict[str, bytes]:
    """The files that `command`, run in their folder, can reach; all of them when it names none.

    Modules that are loaded by a name that is only known at run time are missed; `screen` flags what loads them.
    """
    start = list(_named(files, command))
    if not start:
        return dict(files)
    found, waiting = dict[str, bytes](), start
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = files[path]
        waiting += _imported(files, path)
    return found


def _named(files: Mapping[str, bytes], command: Sequence[str]) -> Iterator[str]:
    """Files that the words of a command name: as a path, as `-m module`, or inside a line for a shell."""
    words = [part for word in command for part in (word, *_BETWEEN.split(word))]
    for before, word in zip(["", *words], words, strict=False):
        path, name = normpath(word.removeprefix("/code/")), word.rpartition("/")[2]
        if path in files:
            yield path
        elif before == "-m":
            found = list(_module(files, word, ""))
            if any(normpath(one.removesuffix("/__init__.py").removesuffix("/__main__.py").removesuffix(".py"))
                   == word.replace(".", "/") for one in found):  # fmt: skip
                yield from found
        elif name.endswith((".py", ".sh")):  # named from another folder
            yield from (one for one in files if one.rpartition("/")[2] == name)


def _imported(files: Mapping[str, bytes], path: str) -> Iterator[str]:
    if not path.endswith(".py"):
        yield from _named(files, [files[path].decode("utf-8", "replace")])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(files[path])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    here = dirname(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module(files, alias.name, here)
        elif isinstance(node, ast.ImportFrom):
            base = join(here, *[".."] * (node.level - 1)) if node.level else here
            yield from _module(files, node.module or "", base)
            for alias in node.names:
                yield from _module(files, f"{node.module or ''}.{alias.name}".lstrip("."), base)


def _module(files: Mapping[str, bytes], name: str, here: str) -> Iterator[str]:
    """Files of a module and of the packages that hold it, beside the importer or at the top."""
    parts = name.split(".") if name else []
    above = ["/".join(here.split("/")[:depth]) for depth in range(here.count("/") + 1, 0, -1)]
    for base in dict.fromkeys((here, *above, "")):
        for end in range(len(parts) + 1):
            stem = normpath(join(base, *parts[:end]))
            for path in (f"{stem}.py", normpath(f"{stem}/__init__.py"), normpath(f"{stem}/__main__.py")):
                if path in files:
                    yield path
