from __future__ import annotations

from typing import Any

import pytest

from executor.environment.doctor import CHECKS, TOOLS, diagnose
from executor.errors import EngineUnreachable, StoreUnreachable
from executor.facts import Finding
from tests.unit.environment.samples import engine, gpu, gpu_host, host, store

FOUND: dict[str, str | None] = {"git": "/usr/bin/git", "mmdebstrap": "/usr/bin/mmdebstrap", "weed": "/usr/bin/weed"}


def lines(**changes: Any) -> dict[str, Finding]:
    known: dict[str, Any] = {"host": host(), "engine": engine(), "store": store(), "tools": FOUND}
    return {one.field: one for one in diagnose(**known | changes)}


def test_a_good_machine_is_well_on_every_line() -> None:
    for machine in (host(), gpu_host()):
        found = lines(host=machine)
        assert list(found) == [*CHECKS, *(f"tool.{name}" for name in TOOLS)]
        assert {one.severity for one in found.values()} == {"info"}


@pytest.mark.parametrize(
    ("changes", "field", "severity", "observed"),
    [
        ({"host": host(isa=())}, "cpu", "warn", "AMD EPYC 9654, 4 CPUs, no avx2"),
        ({"host": host(disk_free=2**30)}, "disk", "warn", "1.0 GiB free"),
        ({"engine": EngineUnreachable("no socket")}, "engine", "refuse", "no socket"),
        ({"engine": engine(api_version="1.30")}, "engine", "refuse", "docker 28.1.1, API 1.30"),
        ({"host": gpu_host(), "engine": engine(gpu_requests=())}, "engine.gpu", "warn", "docker 28.1.1 cannot"),
        ({"store": StoreUnreachable("refused")}, "store", "refuse", "refused"),
        ({"store": store(writable=False)}, "store", "refuse", "s3://runs cannot be written: "),
        ({"store": store(skew_s=-120.0)}, "clock", "warn", "-120 s"),
        ({"tools": FOUND | {"git": None}}, "tool.git", "refuse", "not on PATH"),
        ({"host": gpu_host(), "gpu_problem": "GPU 1: GPU is lost"}, "gpu", "warn",
         "NVIDIA H100 80GB HBM3 (80.0 GiB); GPU 1: GPU is lost"),
    ],
)  # fmt: skip
def test_what_is_wrong_says_what_to_do(changes: dict[str, Any], field: str, severity: str, observed: str) -> None:
    found = lines(**changes)
    assert (found[field].severity, found[field].observed) == (severity, observed)
    assert found[field].advice
    assert {one.field for one in found.values() if one.severity != "info"} == {field}


def test_an_error_keeps_its_own_advice() -> None:
    assert lines(engine=EngineUnreachable("no socket", advice="start dockerd"))["engine"].advice == "start dockerd"


def test_the_doctor_does_not_send_for_the_doctor() -> None:
    engine = EngineUnreachable("no socket", advice="start it; `executor doctor` says more")
    found = lines(engine=engine, store=StoreUnreachable("odd", advice="`executor doctor` looks at the store"))
    assert (found["engine"].advice, found["store"].advice) == ("start it", "start it, or name another")


def test_a_machine_without_a_gpu_says_why_and_is_well() -> None:
    line = lines(gpu_problem="Driver Not Loaded")["gpu"]
    assert (line.severity, line.observed) == ("info", "none: Driver Not Loaded")


def test_gpus_without_an_engine_are_not_blamed_on_the_toolkit() -> None:
    found = lines(host=gpu_host(gpu()), engine=EngineUnreachable("no socket"))
    assert (found["engine.gpu"].severity, found["engine.gpu"].observed) == ("info", "no engine")


@pytest.mark.parametrize(
    ("security", "observed"),
    [(("name=seccomp,profile=default", "name=userns"), "userns"), (("name=rootless",), "rootless"),
     (("name=seccomp,profile=default",), "no user namespaces; runs are user 1000 without privileges all the same")],
)  # fmt: skip
def test_user_namespaces_are_reported(security: tuple[str, ...], observed: str) -> None:
    found = lines(engine=engine(security=security))["engine.users"]
    assert (found.severity, found.observed) == ("info", observed)
    assert lines(engine=EngineUnreachable("no socket"))["engine.users"].observed == "no engine"


def test_only_git_is_needed_for_every_run() -> None:
    found = lines(tools={})
    assert {name for name in TOOLS if found[f"tool.{name}"].severity == "refuse"} == {"git"}
