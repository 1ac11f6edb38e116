"""What a real run tells others over HTTP: a webhook, and spans over OTLP."""

from __future__ import annotations

import hashlib
import hmac
import json
from itertools import pairwise

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.site import SCRIPT, Machine, locked
from tests.receivers import receiver


def test_a_webhook_is_told_how_a_real_run_ended(machine: Machine, small_image: str) -> None:
    spec, spec_hash = locked(machine, SCRIPT)
    with receiver(503, 200) as there:
        url, secret = f"{there.url.replace('://', '://ada:hidden@')}/hidden", "a hidden key"
        ran = machine.run("submit", spec, "--json", env={"EXECUTOR_NOTIFY": url, "EXECUTOR_NOTIFY_SECRET": secret})
    assert ran.code == 0
    first, again = there.bodies
    assert first == again, "it is tried again when the first answer is a trouble of the receiver"
    told, view = json.loads(again), ran.json
    assert (told["event"], told["spec_hash"], told["metrics"]) == ("run", spec_hash, {"loss": 0.5})
    assert {name: told[name] for name in ("name", "status", "exit_code", "verdict", "runtime_s", "store")} == {
        name: view[name] for name in ("name", "status", "exit_code", "verdict", "runtime_s", "store")
    }
    signature = hmac.new(secret.encode(), again, hashlib.sha256).hexdigest()
    assert there.headers[-1]["x-executor-signature-256"] == f"sha256={signature}"
    stored = b"".join(path.read_bytes() for path in (machine.folder / "store").rglob("*") if path.is_file())
    assert b"hidden" not in stored + ran.out.encode() + ran.err.encode()


def test_a_webhook_that_is_away_changes_neither_the_code_nor_the_record(machine: Machine, small_image: str) -> None:
    spec, _ = locked(machine, "echo no >&2; exit 7")
    with receiver(410) as there:
        ran = machine.run("submit", spec, "--json", "--notify", f"{there.url}/hidden")
    assert (ran.code, ran.json["exit_code"], len(there.bodies)) == (1, 7, 1)
    assert "the webhook at 127.0.0.1 was not told: it answers 410" in ran.err


def test_a_real_run_is_one_trace(machine: Machine, small_image: str) -> None:
    spec, spec_hash = locked(machine, SCRIPT)
    with receiver() as there:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        ran = machine.run(
            "submit", spec, "--json", env={"OTEL_EXPORTER_OTLP_ENDPOINT": there.url, "TRACEPARENT": parent}
        )
    assert (ran.code, set(there.paths)) == (0, {"/v1/traces"})
    resources = [one for body in there.bodies for one in ExportTraceServiceRequest.FromString(body).resource_spans]
    spans = [span for one in resources for scope in one.scope_spans for span in scope.spans]
    whole = next(span for span in spans if span.name == "submit")
    steps = [span for span in spans if span is not whole]
    assert [span.name for span in steps if not span.name.startswith("first use")] == [
        "looking in the store", "checking the environment", "inputs", "running", "keeping the result",
    ]  # fmt: skip
    assert {span.trace_id.hex() for span in spans} == {parent.split("-")[1]}
    assert (whole.parent_span_id.hex(), {span.parent_span_id for span in steps}) == (
        parent.split("-")[2], {whole.span_id},
    )  # fmt: skip
    assert all(one.end_time_unix_nano <= other.start_time_unix_nano for one, other in pairwise(steps))
    about = {one.key: one.value.string_value for one in whole.attributes}
    assert (about["executor.spec_hash"], about["executor.attempt"], about["executor.status"]) == (
        spec_hash, ran.json["attempt"], "succeeded",
    )  # fmt: skip
