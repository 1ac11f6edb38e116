import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.spec.globs import matches, problem, role_of
from executor.spec.model import OutputRules

CASES = """
*.pt            model.pt a/b/model.pt .pt       | model.pth pt a.pt/b
model.pt        model.pt a/model.pt             | model.ptx xmodel.pt
tb/**           tb/a tb/a/b                     | tb x/tb/a tbx/a
tb/*            tb/a                            | tb/a/b x/tb/a
**/x            x a/x a/b/x                     | xx a/bx
a/**/b          a/b a/x/b a/x/y/b               | ab a/xb axb
**              a a/b                           |
a/?.log         a/1.log                         | a/12.log a/.log b/1.log
ckpt-[0-9].pt   ckpt-3.pt d/ckpt-3.pt           | ckpt-a.pt ckpt-33.pt
[!a]*           b bc d/b                        | a ab d/a
[]a]x           ]x ax                           | bx
[a^]            a ^ d/^                         | b
[\\]            \\                              | a
[*]             *                               | a
a.b             a.b                             | axb
*a*b*           ab xaxbx aabb                   | ba xb
*ab*b           abb xababb                      | ab ba
x/[!a]          x/b                             | x/a x/ x//
é*              éa                              | ea
A.PT            A.PT                            | a.pt
"""


def cases() -> list[tuple[str, str, bool]]:
    found = []
    for line in CASES.strip().splitlines():
        pattern, rest = line.split(None, 1)
        yes, no = rest.split("|")
        found += [(pattern, path, True) for path in yes.split()] + [(pattern, path, False) for path in no.split()]
    return found


@pytest.mark.parametrize(("pattern", "path", "expected"), cases())
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert not problem(pattern)
    assert matches(pattern, path) is expected


@pytest.mark.parametrize("path", ["a\nb.pt", "a\\.pt", "a b.pt", "-.pt"])
def test_odd_names_are_names(path: str) -> None:
    assert matches("*.pt", path)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "1 to 256 characters"),
        ("x" * 257, "1 to 256 characters"),
        ("/a", "relative to /outputs"),
        ("a/", "relative to /outputs"),
        ("a//b", "relative to /outputs"),
        ("../a", "relative to /outputs"),
        ("./a", "relative to /outputs"),
        ("a**", "stands alone"),
        ("**/**/**/**/**", "at most 4"),
        ("[a", "has no `]`"),
        ("[]", "has no `]`"),
        ("[a/b]", "has no `]`"),
        ("[z-a]", "runs backwards"),
    ],
)
def test_patterns_that_match_nothing_are_refused(pattern: str, said: str) -> None:
    assert said in problem(pattern)


@given(st.text("ab*?[]!-^\\&~|/.", max_size=10), st.text("ab[]!-^\\/", min_size=1, max_size=8))
def test_every_well_formed_pattern_compiles(pattern: str, path: str) -> None:
    if not problem(pattern):
        assert matches(pattern, path) in (True, False)


@given(st.text("ab.*-", min_size=1, max_size=6), st.text("ab.*-/", min_size=1, max_size=8))
def test_stars_mean_what_a_regular_expression_says(pattern: str, path: str) -> None:
    if not problem(pattern) and pattern != "**":
        expected = re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), path.rpartition("/")[2])
        assert matches(pattern, path) is bool(expected)


def test_many_stars_cost_nothing() -> None:
    assert not matches("*a" * 60 + "b", "a" * 4000)
    assert matches("*a" * 60 + "*b", "a" * 4000 + "b")


RULES = OutputRules(weights=("*.pt",), metrics="logs/metrics.jsonl", ignore=("tb/**", "*.pt", "*.log"))


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("logs/metrics.jsonl", "metrics"),
        ("metrics.jsonl", "file"),
        ("x/logs/metrics.jsonl", "file"),
        ("model.pt", "weights"),
        ("tb/model.pt", "weights"),
        ("tb/events", "ignored"),
        ("a/run.log", "ignored"),
        ("telemetry.jsonl", "ignored"),
        ("a/telemetry.jsonl", "ignored"),
        ("report.txt", "file"),
    ],
)
def test_roles(path: str, role: str) -> None:
    assert role_of(path, RULES) == role


def test_telemetry_is_ignored_even_where_weights_claim_it() -> None:
    assert role_of("telemetry.jsonl", OutputRules(weights=("**",))) == "ignored"


def test_ignoring_all_leaves_weights_and_metrics() -> None:
    rules = OutputRules(ignore=("**",))
    assert [role_of(path, rules) for path in ("m.pt", "metrics.jsonl", "x")] == ["weights", "metrics", "ignored"]
