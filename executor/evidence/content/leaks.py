"""What seems to have got into a file from outside the spec, judged by the names and looks of two values that differ.

A guess for people who look for the cause, never a verdict: a field called `elapsed` says time whatever it holds.
"""

from __future__ import annotations

import math
import re

KINDS = ("time", "host", "path", "random")

_MOST_READ = 2000
"""Characters of a name or value that are looked at."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_NAMES = {
    "time": re.compile(
        r"\b((?:date|wall)?times?(?! steps?\b)|timestamps?|timings?|dates?|durations?|elapsed|eta|clock|latency|runtime"
        r"|speed|throughput|fps|seconds?|secs?|minutes?|hours?|msecs?|ms|millis|wallclock|now|uptime"
        r"|(?:created|started|finished|modified|updated|ended|saved) (?:at|on)|(?:its?|per) s|s it)\b"
    ),
    "host": re.compile(r"\b(host ?names?|hosts?|node ?name|machine|fqdn|user(?: ?name)?|uname|ip|ip address)\b"),
    "path": re.compile(r"\b(cwd|tmp ?dir|temp ?dir|work ?dir|home ?dir)\b"),
    "random": re.compile(r"\b(uuid|guid|pid|nonce|salt|seed|run id|session id|process id)\b"),
}
"""What a field that is called so holds; names are split into words, `tokens_per_s` and `tokensPerS` alike."""
_SHAPES = (
    ("time", re.compile(r"(?<!\d)\d{4}[-/.]\d\d[-/.]\d\d(?:[T _]\d\d:?\d\d(?::?\d\d(?:\.\d+)?)?)?(?!\d)")),
    ("time", re.compile(r"(?<![\d:])\d?\d:\d\d(?::\d\d(?:\.\d+)?)?(?![\d:])")),
    ("time", re.compile(r"(?<![\w.])\d+(?:\.\d+)? ?(?:[mun]?s|secs?|seconds?|min|[a-z]{0,9}/s)(?![\w/])")),
    ("random", re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)),
    ("random", re.compile(r"(?<!\w)0x[0-9a-f]{6,16}(?!\w)", re.IGNORECASE)),
    ("path", re.compile(r"(?<![\w:/.<])/(?:[\w.+@~-]+/)+[\w.+@~-]*|(?<!\w)/tmp/[\w.-]+|(?<!\w)[A-Z]:\\[\w.\\-]+")),
    ("path", re.compile(r"(?<![^\W_])tmp[a-z0-9_]{8}(?![a-z0-9])")),
    ("host", re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<!\w)ip(?:-\d{1,3}){4}(?!\w)")),
)  # fmt: skip
_HEX = re.compile(r"(?<![\w./])(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{8,64}(?!\w|[+-]\d|\.\d)")
_DIGEST = re.compile(r"sha\d|md5|crc|digest|hash|checksum|commit", re.IGNORECASE)
"""A digest follows from what it is of, so that it leaks nothing by itself."""
_EPOCH = re.compile(r"(?<![\w.])(\d{10}(?:\d{3}){0,3})(\.\d+)?(?!\w)")
_EPOCH_YEARS = (1_200_000_000, 2_300_000_000)
"""Seconds of 2008 and 2042."""
_EPOCH_APART = 100_000_000
"""About three years: numbers that are farther apart are no two runs of one spec."""


def leaked(name: str, old: object, new: object) -> frozenset[str]:
    """What two values of one field tell about where they came from."""
    words = _words(name)
    kinds = {kind for kind, pattern in _NAMES.items() if pattern.search(words)}
    return frozenset(kinds | _by_looks(name, _text(old), _text(new)))


def in_text(old: str, new: str) -> frozenset[str]:
    """What two versions of one line of text tell: each word that differs, by its looks and by the words before it."""
    one, other = (line[:_MOST_READ].replace("=", " = ").split() for line in (old, new))
    kinds = set(_by_looks("", old[:_MOST_READ], new[:_MOST_READ]))
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            before = _words(" ".join(one[max(0, at - 2) : at]))
            kinds.update(kind for kind, pattern in _NAMES.items() if pattern.search(before))
    return frozenset(kinds)


def _words(name: str) -> str:
    return " ".join(_WORD.findall(name[-_MOST_READ:])).lower()


def _text(value: object) -> str:
    """A value as text; of a container nothing, for its fields are judged one by one."""
    if isinstance(value, int) and value.bit_length() > 100:
        return ""
    return str(value)[:_MOST_READ] if isinstance(value, str | int | float) else ""


def _by_looks(name: str, old: str, new: str) -> set[str]:
    kinds = {kind for kind, pattern in _SHAPES if _differ(pattern, old, new)}
    if not _DIGEST.search(f"{name} {old}") and _differ(_HEX, old, new):
        kinds.add("random")
    if any(map(_epochs_differ, _EPOCH.findall(old), _EPOCH.findall(new))):
        kinds.add("time")
    return kinds


def _differ(pattern: re.Pattern[str], old: str, new: str) -> bool:
    """Whether both sides have something that looks so, and not the same."""
    one, other = pattern.findall(old), pattern.findall(new)
    return bool(one and other and one != other)


def _epochs_differ(old: tuple[str, str], new: tuple[str, str]) -> bool:
    """Whether two numbers are moments of these years, near to each other."""
    one, other = _seconds(*old), _seconds(*new)
    return old != new and abs(one - other) < _EPOCH_APART  # not a number when one is no moment


def _seconds(whole: str, fraction: str) -> float:
    seconds = float(f"{whole[:10]}.{whole[10:]}{fraction[1:]}")
    return seconds if _EPOCH_YEARS[0] < seconds < _EPOCH_YEARS[1] else math.nan
