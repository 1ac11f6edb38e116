"""Hypothesis strategies: specs as plain data, and the many ways to write one down."""

import json
import math
import random
import re
from typing import Any

from hypothesis import strategies as st

from executor.spec.notation import core_scalar

HEX = "0123456789abcdef"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
KEY = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,6}", fullmatch=True)
DIGEST = st.text(HEX, min_size=64, max_size=64).map("sha256:{}".format)
COMMIT = st.one_of(
    st.text(HEX, min_size=40, max_size=40),
    st.text("0123456789", min_size=40, max_size=40),
    st.integers(0, 10**9).map(lambda n: f"{n}e{'1' * 39}"[:40].ljust(40, "0")),
)
SCALAR = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64) + 1, 2**64 - 1),
    st.integers(-10, 10),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.sampled_from(["yes", "no", "null", "~", "", "1", "1.0", "1e-3", "0x1F", "22:22", "true", "- a", "a: b", "#x"]),
)


def _variable(key: str) -> str:
    return key.upper().replace("-", "_")


def _distinct(mapping: dict[str, Any]) -> dict[str, Any]:
    """Without parameters that would become the same environment variable."""
    kept: dict[str, Any] = {}
    for key, value in mapping.items():
        if not any(_variable(key).startswith(_variable(k)) or _variable(k).startswith(_variable(key)) for k in kept):
            kept[key] = value
    return kept


VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3).map(_distinct),
    max_leaves=8,
)
PARAMS = st.dictionaries(KEY, VALUES, max_size=4).map(_distinct)
PATTERN = st.sampled_from(["*.pt", "**", "a/**/b", "x[0-9]", "?", "tb/**", "m.bin"])

SPECS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True),
        "image": DIGEST.map("ml/torch@{}".format),
        "command": st.lists(TEXT.filter(lambda word: "{" not in word), min_size=1, max_size=4),
        "seed": st.integers(0, 2**64 - 1),
    },
    optional={
        "code": st.fixed_dictionaries(
            {"commit": COMMIT}, optional={"repo": st.sampled_from(["..", "https://x.org/y"])}
        ),
        "data": st.dictionaries(
            st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}", fullmatch=True),
            st.fixed_dictionaries({"hash": DIGEST}, optional={"source": st.sampled_from(["s3://b/p", "../d"])}),
            max_size=2,
        ),
        "params": PARAMS,
        "gpu": st.fixed_dictionaries({"type": TEXT.filter(bool)}, optional={"count": st.integers(1, 64)}),
        "cpu": st.fixed_dictionaries(
            {}, optional={"threads": st.integers(1, 64), "isa": st.sampled_from(["default", "avx2"])}
        ),
        "env": st.dictionaries(st.from_regex(r"X_[A-Z]{1,3}", fullmatch=True), TEXT, max_size=2),
        "network": st.booleans(),
        "workdir": st.sampled_from(["/code", "/outputs"]),
        "determinism": st.sampled_from(["strict", "warn", "off"]),
        "tier": st.sampled_from(["native", "portable"]),
        "outputs": st.fixed_dictionaries(
            {}, optional={"weights": st.lists(PATTERN, max_size=2), "ignore": st.lists(PATTERN, max_size=2)}
        ),
        "resources": st.fixed_dictionaries({}, optional={"memory": st.integers(1, 2**40), "pids": st.integers(16, 99)}),
        "secrets": st.lists(st.from_regex(r"[A-Z][A-Z0-9_]{0,5}", fullmatch=True), max_size=2, unique=True),
        "labels": st.dictionaries(st.from_regex(r"[a-z][a-z./]{0,5}", fullmatch=True), TEXT, max_size=2),
    },
)


def dressed(plain: dict[str, Any], rng: random.Random) -> str:
    """The same spec with other key order, quotes, comments, notation, flow and block style."""
    return "".join(_lines(plain, "", rng))


def _lines(mapping: dict[str, Any], indent: str, rng: random.Random) -> list[str]:
    lines = []
    for key in rng.sample(list(mapping), len(mapping)):
        value, written = mapping[key], _key(key, rng)
        if rng.random() < 0.2:
            lines.append(f"{indent}# {key}: a comment\n")
        if isinstance(value, dict) and value and rng.random() < 0.6:
            lines += [f"{indent}{written}:{_gap(rng)}\n", *_lines(value, indent + " " * rng.randint(1, 4), rng)]
        elif isinstance(value, list) and value and rng.random() < 0.5:
            deeper = indent + " " * rng.randint(0 if indent == "" else 1, 3)
            lines += [f"{indent}{written}:{_gap(rng)}\n", *(f"{deeper}- {_flow(item, rng)}\n" for item in value)]
        else:
            lines.append(f"{indent}{written}: {_flow(value, rng)}{_gap(rng)}\n")
    return lines


def _gap(rng: random.Random) -> str:
    return rng.choice(["", "", "  ", "  # why", " #"])


def _key(key: str, rng: random.Random) -> str:
    plain = [key] if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else []
    return rng.choice([json.dumps(key), f"'{key}'", *plain])


def _flow(value: Any, rng: random.Random) -> str:
    if isinstance(value, dict):
        items = [f"{_key(key, rng)}: {_flow(value[key], rng)}" for key in rng.sample(list(value), len(value))]
        return "{" + rng.choice([", ", " , "]).join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item, rng) for item in value) + rng.choice(["]", " ]"])
    return rng.choice(_ways(value))


def _ways(value: Any) -> list[str]:
    """Every way to write one scalar."""
    if value is None:
        return ["null", "~", "Null", "NULL"]
    if isinstance(value, bool):
        return [str(value), str(value).lower(), str(value).upper()]
    if isinstance(value, int):
        return [str(value)] + ([f"+{value}", f"0{value}", hex(value), oct(value)] if value >= 0 else [])
    if isinstance(value, float):
        return [repr(value), f"{value:.17e}"] + ([f"{value:.1f}"] if value == int(value) and abs(value) < 1e15 else [])
    escaped = "".join(f"\\U{ord(letter):08x}" for letter in value)
    ways = [f'"{escaped}"']
    if value.isprintable():
        ways += [json.dumps(value, ensure_ascii=False), "'" + value.replace("'", "''") + "'"]
    if re.fullmatch(r"[a-z][a-z0-9_]*", value) and core_scalar(value) == value:
        ways.append(value)
    return ways


def independent_json(value: Any) -> str:
    """The canonical text by another hand: what `docs/spec.md` says, written without the `json` module's help."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{independent_json(k)}:{independent_json(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(independent_json, value)) + "]"
    if isinstance(value, str):
        short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
        letters = (short.get(c, f"\\u{ord(c):04x}" if c < " " else c) for c in value)
        return '"' + "".join(letters) + '"'
    if isinstance(value, float):
        assert math.isfinite(value)
        return repr(value)
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else str(value)
    )
