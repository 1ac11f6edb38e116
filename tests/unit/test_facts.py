from datetime import timedelta

import pytest
from pydantic import ValidationError

from executor.facts import ContainerFacts, Finding, Outcome, OutputFile, refused
from executor.spec.canonical import Digest
from tests.fakes import NOON
from tests.unit.environment import samples


def finding(severity: str, *, allowed: bool = False) -> Finding:
    line = {"field": "f", "expected": "a", "observed": "b", "severity": severity, "allowed": allowed}
    return Finding.model_validate(line)


def test_only_what_refuses_and_is_not_allowed_stops_a_run() -> None:
    found = [finding("info"), finding("warn"), finding("refuse", allowed=True), finding("refuse")]
    assert refused(found) == found[3:]


def test_the_runtime_is_wall_time() -> None:
    ended = Outcome(exit_code=0, started=NOON, finished=NOON + timedelta(minutes=1, milliseconds=5))
    assert ended.runtime_s == 60.005


def test_an_observation_never_changes() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(finding("info"), "observed", "c")  # noqa: B010  (mypy knows that it is read-only)


def test_fields_of_a_later_version_are_ignored() -> None:
    assert ContainerFacts.model_validate({"checked": True, "colour": "blue"}) == ContainerFacts(checked=True)


@pytest.mark.parametrize("change", [{"role": "model"}, {"digest": "sha256:12"}, {"digest": "md5:" + "a" * 32}])
def test_what_is_no_output_is_refused(change: dict[str, str]) -> None:
    known = {"path": "a", "digest": str(Digest.of(b"")), "size": 0, "role": "file"}
    OutputFile.model_validate(known)
    with pytest.raises(ValidationError):
        OutputFile.model_validate(known | change)


def test_facts_come_back_from_their_json() -> None:
    seen = samples.fingerprint()
    assert type(seen).model_validate_json(seen.model_dump_json()) == seen


def test_numbers_that_json_has_not_are_words() -> None:
    seen = ContainerFacts(checked=True, settings={"nan": float("nan"), "more": float("inf")})
    assert '"settings":{"nan":"NaN","more":"Infinity"}' in seen.model_dump_json()


def test_a_run_took_no_less_than_no_time() -> None:
    """An engine may see the end of a short program before it notes the beginning."""
    later = NOON + timedelta(seconds=1.5)
    assert Outcome(exit_code=0, started=NOON, finished=later).runtime_s == 1.5
    assert Outcome(exit_code=0, started=later, finished=NOON).runtime_s == 0
