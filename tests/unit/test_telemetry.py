from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from executor.errors import EngineUnreachable
from executor.run import Options, submit
from executor.steps.site import Reporter
from executor.telemetry import FIRST, Spans, reporting, traced, wanted
from tests.receivers import Receiver, receiver
from tests.unit.sites import World, a_spec

SPEC = a_spec()
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def spans(there: Receiver) -> list[Span]:
    found = [ExportTraceServiceRequest.FromString(body) for body in there.bodies]
    return [span for one in found for resource in one.resource_spans for scope in resource.scope_spans
            for span in scope.spans]  # fmt: skip


def about(span: Span) -> dict[str, str | bool]:
    return {one.key.removeprefix("executor."): one.value.string_value or one.value.bool_value
            for one in span.attributes}  # fmt: skip


def submitted(world: World, reporter: Reporter) -> None:
    object.__setattr__(world.site, "reporter", reporter)
    traced("submit", SPEC.hash, reporter, partial(submit, SPEC, world.site, Options()))


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector that the environment names."""
    with receiver() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found


def test_a_submit_is_one_trace_with_a_span_for_each_step(world: World, there: Receiver) -> None:
    with reporting(world.watcher, {"EXECUTOR_OTEL": "1"}, "0.1") as reporter:
        submitted(world, reporter)
    assert set(there.paths) == {"/v1/traces"}
    *steps, whole = spans(there)
    assert [one.name for one in steps] == [
        FIRST, "checking the environment", "first use of memory", "inputs", "running", "keeping the result",
    ]  # fmt: skip
    assert {one.parent_span_id for one in steps} == {whole.span_id}
    assert {one.trace_id for one in (*steps, whole)} == {whole.trace_id}
    for before, after in pairwise(steps):
        assert before.start_time_unix_nano <= before.end_time_unix_nano <= after.start_time_unix_nano
    (record,) = world.records(SPEC)
    assert (whole.name, whole.parent_span_id) == ("submit", b"")
    assert about(whole) == {
        "spec_hash": SPEC.hash.hex, "name": "digits", "attempt": record.attempt, "status": "succeeded",
        "cached": False, "store": world.store.attempt_url(SPEC.hash, record.attempt),
    }  # fmt: skip
    assert world.watcher.stages[-1] == "keeping the result", "whoever watched still does"
    assert world.watcher.printed == b"training\n"


def test_a_second_submit_is_a_trace_of_its_own(world: World, there: Receiver) -> None:
    with reporting(world.watcher, {"EXECUTOR_OTEL": "1"}, "0.1") as reporter:
        submitted(world, reporter)
        submitted(world, reporter)
    first, second = (span for span in spans(there) if span.name == "submit")
    assert first.trace_id != second.trace_id
    assert about(second)["cached"] is True


def test_a_run_belongs_to_the_trace_that_the_environment_names(world: World, there: Receiver) -> None:
    outer = {"EXECUTOR_OTEL": "1", "TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}
    with reporting(world.watcher, outer, "0.1") as reporter:
        submitted(world, reporter)
    whole = spans(there)[-1]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE, PARENT)


def test_what_comes_to_no_result_is_an_error_of_the_trace(
    world: World, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise EngineUnreachable("the engine is away")

    monkeypatch.setattr(world.engine, "run", away)
    with reporting(world.watcher, {"EXECUTOR_OTEL": "1"}, "0.1") as reporter, pytest.raises(EngineUnreachable):
        submitted(world, reporter)
    *_, last, whole = spans(there)
    assert (last.name, whole.status.code, whole.status.message) == ("running", 2, "the engine is away")


def test_a_collector_that_is_away_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("executor.telemetry.FLUSH_S", 0.1)
    with reporting(world.watcher, {"EXECUTOR_OTEL": "1"}, "0.1") as reporter:
        submitted(world, reporter)
    assert len(world.records(SPEC)) == 1


def test_only_who_asks_has_spans(world: World) -> None:
    asks: list[dict[str, str]] = [{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, {"EXECUTOR_OTEL": "1"}]
    silent: list[dict[str, str]] = [{}, {"EXECUTOR_OTEL": "0"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}]
    assert all(map(wanted, asks))
    assert not any(map(wanted, silent))
    with reporting(world.watcher, {}, "0.1") as reporter:
        assert reporter is world.watcher


def test_without_opentelemetry_there_is_a_warning_and_no_span(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with reporting(world.watcher, {"EXECUTOR_OTEL": "1"}, "0.1") as reporter:
        assert not isinstance(reporter, Spans)
    assert "repro-executor[telemetry]" in capsys.readouterr().err
