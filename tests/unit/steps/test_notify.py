from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket

import pytest

from executor.errors import UsageError
from executor.evidence.interval import estimate
from executor.evidence.summary import Row, Summary
from executor.steps import notify
from executor.steps.notify import MOST_METRICS, SIGNATURE, Webhook, ended, failed, swept
from tests.receivers import receiver

VIEW = {
    "spec_hash": "ab" * 32, "attempt": "a1", "name": "digits", "status": "succeeded", "cached": False, "exit_code": 0,
    "reason": "", "verdict": None, "metrics": {"accuracy": 0.91, "loss": "NaN"}, "runtime_s": 12.34,
    "store": "s3://acme/runs/v1/runs/x", "findings": [{"field": "host"}], "outputs": [],
}  # fmt: skip


def hook(url: str, secret: bytes = b"", within_s: float = 20) -> Webhook:
    return Webhook(url, secret, within_s, pauses=(0, 0))


def test_a_document_is_posted_once() -> None:
    with receiver() as there:
        assert hook(f"{there.url}/services/T0?a=1").tell({"text": "ü", "metrics": {"loss": "NaN"}}) == ""
    assert [json.loads(body) for body in there.bodies] == [{"text": "ü", "metrics": {"loss": "NaN"}}]
    assert there.paths == ["/services/T0?a=1"]
    (headers,) = there.headers
    assert headers["content-type"] == "application/json"
    assert {SIGNATURE.lower(), "authorization"}.isdisjoint(headers)


def test_it_is_signed_when_there_is_a_secret_and_knows_a_user() -> None:
    with receiver() as there:
        url = there.url.replace("://", "://ada:p%40ss@")
        assert hook(url, b"a secret").tell({"text": "x"}) == ""
    (headers,), (body,) = there.headers, there.bodies
    assert headers[SIGNATURE.lower()] == f"sha256={hmac.new(b'a secret', body, hashlib.sha256).hexdigest()}"
    assert headers["authorization"] == f"Basic {base64.b64encode(b'ada:p@ss').decode()}"
    assert headers["host"] == there.url.removeprefix("http://")
    assert there.paths == ["/"]


@pytest.mark.parametrize(("statuses", "tries"), [((500, 200), 2), ((429, 503, 204), 3), ((408, 200), 2)])
def test_what_may_go_well_later_is_tried_again(statuses: tuple[int, ...], tries: int) -> None:
    with receiver(*statuses) as there:
        assert hook(there.url).tell({}) == ""
    assert len(there.bodies) == tries


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (404, 1), (403, 1), (302, 1), (308, 1)])
def test_what_goes_wrong_is_told_without_the_url(status: int, tries: int) -> None:
    with receiver(status) as there:
        problem = hook(f"{there.url.replace('://', '://ada:hidden@')}/hidden?hidden").tell({})
    assert problem == f"the webhook at 127.0.0.1 was not told: it answers {status}"
    assert len(there.bodies) == tries, "a redirect is not followed"


def test_nobody_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        problem = hook(f"http://127.0.0.1:{taken.getsockname()[1]}/hidden").tell({})
    assert problem == "the webhook at 127.0.0.1 was not told: Connection refused"
    assert "hidden" not in hook("http://nowhere.invalid/hidden").tell({})


def test_who_does_not_answer_is_not_waited_for_beyond_the_bound() -> None:
    with receiver(0) as there:
        assert hook(there.url, within_s=0.2).tell({}).endswith("was not told: no answer within 0 s")


def test_one_try_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "ANSWER_S", 0.1)
    with receiver(0) as there:
        assert hook(there.url, within_s=600).tell({}).endswith("was not told: no answer within 0 s")


@pytest.mark.parametrize(
    "url", ["hooks.example.org/x", "ftp://host/x", "https://", "https://host:port/x", "http://host/a b", "http://[x"]
)
def test_what_is_no_url_of_a_webhook_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Webhook(url)
    assert url not in str(refused.value)


def test_neither_url_nor_secret_is_shown() -> None:
    assert repr(hook("https://host/hidden", b"hidden")) == "Webhook(within_s=20, pauses=(0, 0))"


# What it is told ---------------------------------------------------------------------------------------------------


def test_a_run_is_told_in_a_small_document_with_a_sentence() -> None:
    assert ended(VIEW) == {
        "event": "run", "text": "digits abababababab succeeded in 12.3 s; accuracy 0.91, loss nan",
        "spec_hash": "ab" * 32, "attempt": "a1", "name": "digits", "status": "succeeded", "exit_code": 0, "reason": "",
        "verdict": None, "runtime_s": 12.34, "store": "s3://acme/runs/v1/runs/x",
        "metrics": {"accuracy": 0.91, "loss": "NaN"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"verdict": "identical"}, "succeeded in 12.3 s, identical to its reference"),
        ({"verdict": "different"}, "succeeded in 12.3 s, different from its reference"),
        ({"status": "failed", "exit_code": 137, "reason": "out of memory"},
         "failed in 12.3 s, exit status 137: out of memory"),
        ({"status": "failed", "exit_code": 1}, "failed in 12.3 s, exit status 1"),
        ({"status": "refused", "runtime_s": None}, "refused"),
    ],
)  # fmt: skip
def test_the_sentence_says_how_it_ended(changes: dict[str, object], text: str) -> None:
    assert ended({**VIEW, "metrics": {}, **changes})["text"] == f"digits abababababab {text}"


def test_many_metrics_are_cut_and_nothing_in_them_calls_a_channel() -> None:
    found = ended({**VIEW, "metrics": {"<!channel>&": 1.0, **{f"m{at}": 1.0 for at in range(99)}}})
    assert found["text"].endswith("; &lt;!channel&gt;&amp; 1, m0 1, m1 1, m2 1")
    assert len(found["metrics"]) == MOST_METRICS


def test_a_run_without_a_result_is_told_with_the_reason() -> None:
    found = failed("ab" * 32, "the engine is away")
    assert (found["status"], found["reason"]) == ("error", "the engine is away")
    assert found["text"] == "abababababab came to no result: the engine is away"
    assert found.keys() == ended(VIEW).keys()


def test_a_sweep_is_told_with_its_best_point() -> None:
    best = Row(values={"params.lr": 0.1}, spec_hashes=("ab" * 32,), failed=0, metrics={"acc": estimate([0.9])})
    summary = Summary(file="s.yaml", total=3, done=1, cached=1, failed=0, left=1, metric="acc", direction="maximize",
                      best=best, rows=(best,), runs=())  # fmt: skip
    found = swept(summary)
    assert found["text"] == "sweep s.yaml: 1 done, 1 cached, 0 failed, 1 not begun; best acc 0.9"
    assert json.loads(json.dumps(found))["best"] == {"values": {"params.lr": 0.1}, "spec_hashes": ["ab" * 32]}
    assert swept(summary.model_copy(update={"best": None, "left": 0}))["best"] is None
