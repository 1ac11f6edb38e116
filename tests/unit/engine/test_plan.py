import json

import pytest

from executor.spec.model import Spec
from tests.unit.engine.plans import BARE, CPU_RUN, FOLDER, GPU_RUN, PLANS, planned, written

HERMETIC = {
    "NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
    "Privileged": False, "IpcMode": "private", "Init": True, "AutoRemove": False,
}  # fmt: skip


def environment(name: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in PLANS[name].request["Env"])


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_is_the_golden_one(name: str) -> None:
    assert written(PLANS[name]) == (FOLDER / f"{name}.json").read_text()


@pytest.mark.parametrize("name", ["cpu", "bare"])
def test_the_container_is_hermetic_whatever_the_spec(name: str) -> None:
    host = PLANS[name].request["HostConfig"]
    assert {key: host[key] for key in HERMETIC} == HERMETIC
    assert PLANS[name].request["User"] == "1000:1000"
    assert not {"Binds", "Devices", "CapAdd", "PidMode", "UsernsMode"} & host.keys()


def test_only_a_spec_with_network_opens_it() -> None:
    assert PLANS["gpu"].request["HostConfig"]["NetworkMode"] == "bridge"
    assert PLANS["cpu"].request["HostConfig"]["NetworkMode"] == "none"


def test_only_outputs_report_and_code_can_be_written() -> None:
    mounts = PLANS["cpu"].request["HostConfig"]["Mounts"]
    assert {m["Target"] for m in mounts if not m["ReadOnly"]} == {"/outputs", "/code", "/run/executor/report"}


def test_the_container_is_given_what_is_hashed() -> None:
    assert PLANS["cpu"].files["spec.json"] == Spec.model_validate(CPU_RUN).canonical()


def test_parameters_come_three_ways() -> None:
    assert PLANS["cpu"].request["Cmd"] == ["python", "train.py", "--lr", "0.001"]
    assert json.loads(PLANS["cpu"].files["params.json"]) == CPU_RUN["params"]
    assert environment("cpu")["EXECUTOR_PARAM_LR"] == "0.001"
    assert environment("cpu")["EXECUTOR_PARAM_OPTIM_NAME"] == "adam"


def test_a_spec_may_set_variables_but_not_the_seed_or_the_interpreter() -> None:
    assert environment("cpu")["TOKENIZERS_PARALLELISM"] == "true"
    assert environment("cpu")["EXECUTOR_SEED"] == str(2**64 - 1)


def test_gpus_are_requested_by_their_serial_number() -> None:
    assert PLANS["gpu"].request["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["GPU-0", "GPU-1"]
    assert PLANS["gpu_cdi"].request["HostConfig"]["DeviceRequests"][0]["Driver"] == "cdi"
    assert PLANS["cpu"].request["HostConfig"]["DeviceRequests"] == []
    assert environment("cpu")["NVIDIA_VISIBLE_DEVICES"] == "void"


def test_on_another_machine_only_mounts_gpus_and_the_size_of_a_file_differ() -> None:
    here, there = (json.loads(json.dumps(PLANS[name].request)) for name in ("gpu", "remote"))
    for request in (here, there):
        del request["HostConfig"]["DeviceRequests"]
        request["HostConfig"]["Ulimits"] = [one for one in request["HostConfig"]["Ulimits"] if one["Name"] != "fsize"]
        for mount in request["HostConfig"]["Mounts"]:
            del mount["Type"], mount["Source"]
            mount.pop("VolumeOptions", None)
    assert here == there


def test_on_another_machine_each_mount_is_a_volume_of_the_attempt_that_is_carried_there() -> None:
    plan = PLANS["remote"]
    mounts = plan.request["HostConfig"]["Mounts"]
    assert {m["Target"] for m in mounts} == plan.carried.keys()
    assert all(m["Type"] == "volume" and plan.attempt in m["Source"] for m in mounts)
    assert {m["VolumeOptions"]["Labels"]["io.repro-executor.attempt"] for m in mounts} == {plan.attempt}
    assert not any(m["ReadOnly"] for m in plan.carrier["HostConfig"]["Mounts"])
    assert plan.carrier["Labels"] == plan.request["Labels"]


def test_the_gpus_of_another_machine_are_asked_for_by_count() -> None:
    assert PLANS["remote"].request["HostConfig"]["DeviceRequests"][0]["Count"] == 2
    expected = json.loads(PLANS["remote"].files["plan.json"])["expect"]["gpus"]
    assert expected == [{"name": "NVIDIA H100 80GB HBM3", "uuid": ""}] * 2


def test_without_code_the_program_starts_in_outputs() -> None:
    assert PLANS["bare"].request["WorkingDir"] == "/outputs"


def test_determinism_off_sets_no_gpu_switches() -> None:
    off = planned(GPU_RUN | {"determinism": "off"}).request["Env"]
    assert not [pair for pair in off if pair.startswith(("CUBLAS_", "NCCL_", "NVIDIA_TF32"))]


def test_bare_runs_the_command_itself() -> None:
    plan = planned(BARE)
    assert plan.bare(("true",)) == {**plan.request, "Entrypoint": ["true"], "Cmd": []}


def test_what_is_allowed_is_told_inside() -> None:
    assert json.loads(PLANS["cpu"].files["plan.json"])["expect"]["threads"] == 2
