from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from executor.spec.sections import Code, Cpu, DraftCode, DraftData, Gpu, MetricRules, OutputRules, Resources

COMMIT = "0" * 40


def test_defaults() -> None:
    assert (Cpu().threads, Cpu().isa) == (1, "avx2")
    assert (OutputRules().metrics, OutputRules().ignore) == ("metrics.jsonl", ())
    assert (Resources().memory, Resources().shm, Resources().timeout) == (4 * 2**30, 2**30, None)
    assert (DraftCode().branch, DraftCode().repo) == ("HEAD", ".")


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        (Code, {"commit": COMMIT, "repo": "https://a:b@x.org"}, "must not hold a password"),
        (Code, {"commit": COMMIT, "extra": 1}, "Extra inputs"),
        (DraftCode, {"commit": COMMIT, "branch": "main"}, "a commit or a branch, found both"),
        (DraftData, {}, "a hash, a source or both, found neither"),
        (Gpu, {"type": "x", "count": 1.0}, "valid integer"),
        (OutputRules, {"metrics": "a/telemetry.jsonl"}, "never compared"),
        (OutputRules, {"metrics": "*.jsonl"}, "the path of one file"),
        (OutputRules, {"weights": ["a", "/b"]}, "relative to /outputs"),
        (MetricRules, {"stdout": "x"}, "a named group"),
        (MetricRules, {"stdout": "(?P<x>" + "(" * 500 + ")" * 500 + ")"}, "not a regular expression"),
        (MetricRules, {"stdout": "(?P<x>a{9999999999})"}, "not a regular expression"),
    ],
)
def test_what_does_not_fit_is_refused(model: type[BaseModel], fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        model.model_validate(fields)


@pytest.mark.parametrize("repo", ["", ".", "ssh://git@x.org/y", "git@x.org:y", "https://user@x.org/y", "/a:b@c"])
def test_hints_that_are_fine(repo: str) -> None:
    assert Code(commit=COMMIT, repo=repo).repo == repo
