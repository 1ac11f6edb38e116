"""The text that `find` takes, read strictly: a word that has no meaning is an error that says where it stands. Pure.

    accuracy >= 0.9 and params.optimizer == 'adam'
    created > 7d and (status != 'succeeded' or metrics.loss == nan)
    0.001 <= params.lr < 0.1 and name ~ '^resnet' and seed in (1, 2, 3)

Names are words that may hold `-`, `/` and dots; any other name stands in backquotes: metrics.`loss (train)`.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from executor.errors import QueryError
from executor.evidence.query import And, Compare, Date, Expression, Not, Op, Or, Span

OPS: tuple[Op, ...] = ("==", "!=", "<=", ">=", "<", ">", "~")
"""Operators that stand between a name and one value."""
_TURNED: Mapping[str, Op] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
LONGEST, DEEPEST, MOST_VALUES = 20_000, 100, 1_000
"""Characters of an expression, how deep it is nested, values of one list."""
_WORDS: Mapping[str, Any] = {"null": None, "true": True, "false": False, "nan": math.nan}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<date>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?Z?)?(?!\w))
    |(?P<span>\d+(?:\.\d+)?[smhdw](?!\.?\w))
    |(?P<number>[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|inf)(?!\.?\w))
    |(?P<name>(?:[^\W\d][\w/-]*|`[^`]+`)(?:\.(?:[\w/-]+|`[^`]+`))*)
    |(?P<op>==|!=|<=|>=|<|>|~)
    |(?P<mark>[()\[\],])
    |(?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)
_HABITS = {
    "=": "`==`", "&&": "`and`", "&": "`and`", "||": "`or`", "|": "`or`", "!": "`not`", "<>": "`!=`", "None": "`null`",
    "True": "`true`", "False": "`false`", "NaN": "`nan`", "NULL": "`null`",
}  # fmt: skip
"""What people write who come from elsewhere, and what it is here."""


def parse(text: str) -> Expression:
    """Read an expression; an empty one is true of every run. Raises `QueryError`: what is wrong, where, and why."""
    if len(text) > LONGEST:
        raise QueryError(text, LONGEST, f"longer than {LONGEST} characters")
    if half := re.search("[\ud800-\udfff]", text):  # a byte of the command line that is no UTF-8
        raise QueryError(text, half.start(), "this is half a character, which no name and no text has")
    return _Parser(text).whole()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _unreadable(text, at + len(text[at:]) - len(text[at:].lstrip()))
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return found


def _unreadable(text: str, at: int) -> QueryError:
    rest = text[at:]
    if rest[0] in "'\"`":
        return QueryError(text, at, f"this {'name' if rest[0] == '`' else 'text'} does not end: no closing {rest[0]}")
    if habit := next((_HABITS[word] for word in ("&&", "||", "=", "&", "|", "!") if rest.startswith(word)), None):
        return QueryError(text, at, f"expected {habit}")
    word = re.match(r"\S[\w.+-]*", rest)
    return QueryError(text, at, f"this is neither a name, a value nor an operator: {word[0] if word else rest[:1]}")


class _Parser:
    """Recursive descent over the tokens, one method for each rule."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._next, self._depth = text, _tokens(text), 0, 0

    def whole(self) -> Expression:
        if self._token.kind == "end":
            return And(())
        found = self._either()
        if self._token.kind != "end":
            raise self._expected("`and`, `or` or the end")
        return found

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _is(self, *words: str) -> bool:
        return self._token.kind in ("name", "mark", "op") and self._token.text in words

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _expected(self, what: str, token: _Token | None = None) -> QueryError:
        token = token or self._token
        found = "the end" if token.kind == "end" else token.text
        habit = f"; write {_HABITS[found]}" if found in _HABITS else ""
        if token.kind == "name" and not habit:
            if what == "a value":
                habit = "; a text stands in quotes"
            elif found != found.lower() in ("and", "or", "not", "in"):
                habit = f"; write `{found.lower()}`"
        return QueryError(self._text, token.at, f"expected {what}, found {found}{habit}")

    def _either(self) -> Expression:
        found = [self._both()]
        while self._is("or"):
            self._take()
            found.append(self._both())
        return found[0] if len(found) == 1 else Or(tuple(found))

    def _both(self) -> Expression:
        found = [self._opposite()]
        while self._is("and"):
            self._take()
            found.append(self._opposite())
        return found[0] if len(found) == 1 else And(tuple(found))

    def _opposite(self) -> Expression:
        if not self._is("not", "("):
            return self._comparison()
        if self._depth == DEEPEST:
            raise QueryError(self._text, self._token.at, f"nested more than {DEEPEST} levels deep")
        self._depth += 1
        if self._take().text == "not":
            found: Expression = Not(self._opposite())
        else:
            found = self._either()
            if not self._is(")"):
                raise self._expected("`and`, `or` or `)`")
            self._take()
        self._depth -= 1
        return found

    def _comparison(self) -> Expression:
        """`name op value`, `name in (…)`, `value op name`, or `value op name op value`."""
        if self._token.kind != "name" or self._token.text in _WORDS or self._token.text in _HABITS:
            return self._turned()
        name = self._name()
        if self._is("in", "not"):
            return self._among(name)
        return self._compare(name)

    def _turned(self) -> Expression:
        value_at, value = self._token.at, self._value("a name, a value, `not` or `(`")
        operator = self._token
        if operator.text not in _TURNED:
            raise self._expected("`==`, `!=`, `<`, `<=`, `>` or `>=`")
        self._take()
        name = self._name()
        first = Compare(_plain(name), _TURNED[operator.text], value, name.at, value_at)
        if not self._is(*_TURNED):
            return first
        return And((first, self._compare(name)))

    def _compare(self, name: _Token) -> Compare:
        operator = self._token
        if operator.kind != "op":
            raise self._expected(f"{', '.join(f'`{op}`' for op in OPS)}, `in` or `not in` after {name.text}")
        self._take()
        value_at = self._token.at
        if operator.text == "~":
            value: Any = self._pattern()
        elif self._is("["):
            value = self._list()
        else:
            value = self._value("a value")
        return Compare(_plain(name), next(op for op in OPS if op == operator.text), value, name.at, value_at)

    def _among(self, name: _Token) -> Compare:
        op: Op = "in"
        if self._take().text == "not":
            op = "not in"
            if not self._is("in"):
                raise self._expected("`in` after `not`")
            self._take()
        value_at = self._token.at
        if not self._is("(", "["):
            raise self._expected("a list such as ('adam', 'sgd')")
        return Compare(_plain(name), op, self._list(), name.at, value_at)

    def _name(self) -> _Token:
        token = self._token
        if token.kind != "name" or token.text in ("and", "or", "not", "in") or token.text in _WORDS:
            raise self._expected("a name")
        return self._take()

    def _list(self) -> tuple[Any, ...]:
        close = ")" if self._take().text == "(" else "]"
        found: list[Any] = []
        while not self._is(close):
            if found and not self._is(","):
                raise self._expected(f"`,` or `{close}`")
            if found:
                self._take()
            if len(found) == MOST_VALUES:
                raise QueryError(self._text, self._token.at, f"a list of more than {MOST_VALUES} values")
            found.append(self._value("a value"))
        self._take()
        return tuple(found)

    def _pattern(self) -> str:
        token = self._token
        if token.kind != "text":
            raise self._expected("a regular expression in quotes after `~`")
        pattern = _unquoted(self._take().text)
        try:
            with warnings.catch_warnings(action="ignore"):  # what Python may read otherwise one day, RE2 reads today
                re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise QueryError(self._text, token.at, f"not a regular expression: {error}") from None
        return pattern

    def _value(self, expected: str) -> Any:
        token = self._token
        if token.kind == "name" and token.text in _WORDS:
            return _WORDS[self._take().text]
        if token.kind not in _READERS:
            raise self._expected(expected)
        return _READERS[token.kind](self._take().text)


def _plain(name: _Token) -> str:
    return name.text.replace("`", "")


def _unquoted(text: str) -> str:
    """What stands between the quotes; a backslash makes a quote or a backslash plain, and is itself elsewhere."""
    return re.sub(r"\\([\\'\"])", r"\1", text[1:-1])


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d{1,20}", text) else float(text)


_READERS: Mapping[str, Any] = {
    "text": _unquoted,
    "number": _number,
    "date": Date,
    "span": lambda text: Span(float(text[:-1]) * _UNITS[text[-1]], text),
}
