"""What the engine says becomes our words; real engines are asked in the integration tests."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
import requests
from docker.errors import APIError, NotFound

from executor.engine.container import DockerEngine
from executor.engine.interface import Credentials
from executor.engine.plan import Plan
from executor.engine.remote import packed
from executor.errors import EngineUnreachable, EnvironmentMismatch, ImageNotFound, RegistryUnreachable
from executor.facts import Outcome
from executor.spec.canonical import Digest
from tests.fakes import NOON
from tests.unit.engine.plans import BARE, planned

DIGEST = Digest.of(b"manifest")
INFO = {
    "Architecture": "x86_64", "KernelVersion": "6.1", "NCPU": 4, "MemTotal": 2**33, "Driver": "overlay2",
    "CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=default"], "Runtimes": {"runc": {}},
}  # fmt: skip
IMAGE = {
    "Id": "sha256:i", "Size": 7, "Architecture": "amd64", "RepoDigests": [f"example.org/x@{DIGEST}"],
    "Config": {"Env": ["PATH=/opt/bin:/bin"], "Entrypoint": ["/init"]},
}  # fmt: skip
STATE = {
    "Running": False, "ExitCode": 3, "OOMKilled": False, "StartedAt": "2026-01-01T12:00:00Z",
    "FinishedAt": "2026-01-01T12:00:05Z",
}  # fmt: skip


class Api:
    """What docker-py gives of an engine: answers from what a test put down, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.host = dict(INFO)
        self.parts: list[dict[str, str]] = [{"Name": "Engine"}]
        self.listed: list[dict[str, Any]] = [
            {"Id": "sha256:i", "RepoTags": ["example.org/x:1"], "RepoDigests": IMAGE["RepoDigests"]}
        ]
        self.pulls: Iterable[dict[str, Any]] = ()
        self.printed: list[bytes] = [b"hello\n"]
        self.programs = {"/opt/bin/python3"}
        self.state: dict[str, Any] = dict(STATE)
        self.fails: dict[str, Exception] = {}
        self.remembered: list[dict[str, str]] = []
        """Events since the engine's own start."""
        self.wait_fails: list[Exception] = []
        """What the first waits raise."""
        self.kept: list[dict[str, str]] | None = None
        """Volumes."""
        self.there = Path()
        """What a run left, wherever it is asked for."""
        self.base_url, self.timeout, self.api_version = "http://engine", 1, "1.41"

    def _ask(self, *words: Any) -> None:
        self.asked.append(words)
        if words[0] in self.fails:
            raise self.fails[words[0]]

    def info(self) -> Any:
        self._ask("info")
        return {"SystemTime": "2026-01-01T12:00:05.123456789Z", **self.host}

    def version(self, api_version: bool = True) -> Any:
        return {"Version": "28.1", "ApiVersion": "1.49", "Components": self.parts}

    def images(self, *_: Any, **__: Any) -> Any:
        return self.listed

    def inspect_image(self, image: str) -> Any:
        self._ask("inspect_image", image)
        return IMAGE

    def inspect_distribution(self, image: str, auth_config: Any = None) -> Any:
        self._ask("inspect_distribution", image)
        return {"Descriptor": {"digest": str(DIGEST)}}

    def pull(self, *words: Any, **_: Any) -> Any:
        self._ask("pull", *words)
        return iter(self.pulls)

    def load_image(self, data: Any, *_: Any, **__: Any) -> Iterator[Any]:
        self._ask("load", b"".join(data))
        return iter(self.pulls)

    def get_image(self, image: str, *_: Any, **__: Any) -> Iterator[bytes]:
        self._ask("save", image)
        return iter([b"arch", b"ive"])

    def tag(self, *words: Any, **_: Any) -> Any:
        self._ask("tag", *words)

    def head(self, url: str, params: Any = None, **_: Any) -> Any:
        return SimpleNamespace(status_code=200 if params["path"] in self.programs else 404)

    def create_container_from_config(self, config: Any, *_: Any, **__: Any) -> Any:
        self._ask("create", config["Entrypoint"])
        return {"Id": "c1"}

    def start(self, container: str, *_: Any, **__: Any) -> None:
        self._ask("start", container)

    def wait(self, container: str, *_: Any, **__: Any) -> Any:
        self._ask("wait", container)
        if self.wait_fails:
            raise self.wait_fails.pop(0)

    def events(self, *_: Any, **__: Any) -> Any:
        return iter(self.remembered)

    def attach(self, container: str, *_: Any, **__: Any) -> Any:
        self._ask("attach", container)
        return iter(self.printed)

    def logs(self, container: str, *_: Any, **__: Any) -> Any:
        return iter(self.printed)

    def inspect_container(self, container: str) -> Any:
        self._ask("inspect_container")
        return {"Image": "sha256:i", "State": self.state}

    def stop(self, container: str, *_: Any, **__: Any) -> None:
        self._ask("stop", container)

    def remove_container(self, container: str, *_: Any, **__: Any) -> None:
        self._ask("remove", container)

    def containers(self, *_: Any, filters: Any, **__: Any) -> Any:
        self._ask("containers", filters)
        return [{"Id": "c1"}]

    def volumes(self, filters: Any = None) -> Any:
        self._ask("volumes", filters)
        return {"Volumes": self.kept}

    def remove_volume(self, name: str, *_: Any, **__: Any) -> None:
        self._ask("remove_volume", name)

    def put_archive(self, container: str, path: str, data: Any) -> Any:
        self._ask("put", path, b"".join(data))

    def get_archive(self, container: str, path: str, *_: Any, **__: Any) -> Any:
        self._ask("get", path)
        return packed({path.rpartition("/")[2]: self.there}), {}


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def engine(api: Api) -> DockerEngine:
    engine = DockerEngine({}, lambda: NOON)
    engine._connected = cast(docker.APIClient, api)
    return engine


def silent(what: str, done: int, total: int) -> None: ...


def refuse(words: str, status: int = 500) -> APIError:
    answer = requests.Response()
    answer.status_code = status
    return (NotFound if status == 404 else APIError)("refused", response=answer, explanation=words)


# What it is --------------------------------------------------------------------------------------------------------


def test_docker_is_seen_for_what_it_can(engine: DockerEngine, api: Api) -> None:
    seen = engine.observe()
    assert (seen.name, seen.version, seen.api_version, seen.cpus) == ("docker", "28.1", "1.49", 4)
    assert (seen.address, seen.gpu_requests, seen.cdi_devices) == ("unix:///var/run/docker.sock", (), ())


def test_ways_to_hand_over_gpus(engine: DockerEngine, api: Api) -> None:
    api.host["Runtimes"] = {"nvidia": {}}
    api.host["DiscoveredDevices"] = [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]
    assert engine.observe().gpu_requests == ("nvidia", "cdi")
    assert engine.observe().cdi_devices == ("nvidia.com/gpu=0",)


def test_podman_says_nvidia_and_ignores_it(engine: DockerEngine, api: Api) -> None:
    api.host["Runtimes"], api.parts = {"nvidia": {}}, [{"Name": "Podman Engine"}]
    assert (engine.observe().name, engine.observe().gpu_requests) == ("podman", ())


@pytest.mark.parametrize("error", [requests.exceptions.ConnectionError("refused"), refuse("boom"), ConnectionError()])
def test_an_engine_that_does_not_answer_is_unreachable(engine: DockerEngine, api: Api, error: Exception) -> None:
    api.fails["info"] = error
    with pytest.raises(EngineUnreachable, match="unix:///var/run/docker") as caught:
        engine.observe()
    assert "DOCKER_HOST" in caught.value.advice


@pytest.mark.parametrize(
    "variables",
    [
        {"DOCKER_HOST": "nonsense://x"},
        {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nowhere"},
    ],
)
def test_settings_that_make_no_sense_are_an_unreachable_engine(variables: dict[str, str]) -> None:
    engine = DockerEngine(variables, lambda: NOON)
    assert engine.address == variables["DOCKER_HOST"]
    with pytest.raises(EngineUnreachable, match=variables["DOCKER_HOST"]):
        engine.observe()


# Images ------------------------------------------------------------------------------------------------------------


def test_an_image_is_found_by_its_digest_whatever_its_name(engine: DockerEngine) -> None:
    found = engine.image(DIGEST)
    assert found is not None
    assert (found.id, found.digest, found.size, found.source) == ("sha256:i", DIGEST, 7, "engine")
    assert (found.environment, found.entrypoint) == ({"PATH": "/opt/bin:/bin"}, ("/init",))
    assert engine.image(Digest.of(b"another")) is None


def test_images_are_listed_as_a_spec_names_them(engine: DockerEngine, api: Api) -> None:
    local, nameless = Digest.of(b"local"), Digest.of(b"nameless")
    api.listed += [
        {"Id": "i2", "RepoTags": ["localhost/torch:cpu"], "RepoDigests": [f"127.0.0.1:5000/torch@{local}"]},
        {"Id": "i3", "RepoTags": None, "RepoDigests": [f"<none>@{nameless}"]},
        {"Id": "i4", "RepoTags": ["a:b"], "RepoDigests": None},
    ]
    assert [ref for ref, _ in engine.images()] == [f"example.org/x@{DIGEST}", f"localhost/torch@{local}"]


def test_a_tag_is_looked_up_here_then_in_its_registry(engine: DockerEngine, api: Api) -> None:
    assert engine.digest_of("example.org/x:1") == DIGEST
    assert api.asked == [("inspect_image", "example.org/x:1")]
    api.fails["inspect_image"] = refuse("no such image", 404)
    assert engine.digest_of("example.org/x:1") == DIGEST
    assert engine.digest_of("localhost/x:1") is None
    api.fails["inspect_distribution"] = refuse("not found", 404)
    assert engine.digest_of("example.org/x:1") is None
    api.fails["inspect_distribution"] = refuse("timeout")
    with pytest.raises(RegistryUnreachable):
        engine.digest_of("example.org/x:1")


def test_a_pull_tells_its_progress(engine: DockerEngine, api: Api) -> None:
    api.pulls = [{"status": "Pulling"}, {"id": "l1", "progressDetail": {"current": 5, "total": 9}}]
    moved: list[tuple[str, int, int]] = []
    engine.pull(f"example.org/x@{DIGEST}", lambda *seen: moved.append(seen))
    assert moved == [("l1", 5, 9)]
    assert api.asked == [("pull", "example.org/x")]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("manifest unknown", ImageNotFound),
        ("pull access denied for x", ImageNotFound),
        ("dial tcp: i/o timeout", RegistryUnreachable),
        ("received unexpected HTTP status: 503", RegistryUnreachable),
    ],
)
def test_absent_and_unreachable_are_never_confused(
    engine: DockerEngine, api: Api, words: str, kind: type[Exception]
) -> None:
    api.pulls = [{"error": words}]
    with pytest.raises(kind, match=words):
        engine.pull(f"x@{DIGEST}", silent)
    api.fails["pull"] = refuse(words)
    with pytest.raises(kind, match=words):
        engine.pull(f"x@{DIGEST}", silent)


def test_an_engine_that_is_lost_while_pulling_is_no_missing_image(engine: DockerEngine, api: Api) -> None:
    api.fails["pull"] = requests.exceptions.ConnectionError("gone")
    with pytest.raises(EngineUnreachable, match="lost while pulling"):
        engine.pull(f"x@{DIGEST}", silent)


def test_an_archive_that_the_engine_refuses_is_an_error(engine: DockerEngine, api: Api) -> None:
    engine.load([b"a", b"b"])
    assert api.asked == [("load", b"ab")]
    api.pulls = [{"error": "no such layout"}]
    with pytest.raises(EngineUnreachable, match="no such layout"):
        engine.load([b"a"])


def test_a_name_goes_to_the_image(engine: DockerEngine, api: Api) -> None:
    image = engine.image(DIGEST)
    assert image is not None
    engine.tag(image, "localhost/x")
    assert api.asked[-1] == ("tag", "sha256:i", "localhost/x", "latest")


def test_an_image_that_lost_its_manifest_is_known_by_its_config(engine: DockerEngine, api: Api) -> None:
    config = Digest.of(b"config")
    api.listed = [{"Id": str(config), "RepoDigests": None}]
    assert engine.image(DIGEST) is None
    assert engine.image(DIGEST, Digest.of(b"another")) is None
    found = engine.image(DIGEST, config)
    assert found is not None
    assert found.digest == DIGEST


def test_an_image_is_saved_by_the_engines_own_id(engine: DockerEngine, api: Api) -> None:
    image = engine.image(DIGEST)
    assert image is not None
    assert b"".join(engine.save(image)) == b"archive"
    assert api.asked[-1] == ("save", "sha256:i")
    api.fails["save"] = ConnectionError("gone")
    with pytest.raises(EngineUnreachable, match="gone"):
        list(engine.save(image))


@pytest.mark.parametrize(
    ("left", "known"),
    [
        ({"auth": base64.b64encode(b"ada:se:cret").decode()}, Credentials("ada", "se:cret")),
        ({"identitytoken": "r3fresh"}, Credentials(refresh_token="r3fresh")),
        ({}, None),
    ],
)
def test_what_docker_login_left_is_found(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: dict[str, str], known: Credentials
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert engine.credentials("example.org") is None
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"example.org": left}}))
    assert engine.credentials("example.org") == known
    assert engine.credentials("elsewhere.org") is None


@pytest.mark.filterwarnings("ignore:docker-credential-no-such-helper")
@pytest.mark.parametrize("left", [{"auths": {"example.org": {"auth": "?"}}}, {"credsStore": "no-such-helper"}])
def test_a_login_that_cannot_be_read_is_told(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: dict[str, object]
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(left))
    with pytest.raises(RegistryUnreachable) as caught:
        engine.credentials("example.org")
    assert caught.value.advice == "docker login example.org"


# Runs --------------------------------------------------------------------------------------------------------------


def run(engine: DockerEngine, log: list[bytes] | None = None) -> tuple[Outcome, bool]:
    image = engine.image(DIGEST)
    assert image is not None
    kept: list[bytes] = [] if log is None else log
    return engine.run(planned(BARE), image, log=kept.append, stop=threading.Event())


def steps(api: Api) -> list[str]:
    return [words[0] for words in api.asked if words[0] in {"create", "start", "stop", "remove"}]


def test_a_run_goes_through_the_inside_room(engine: DockerEngine, api: Api) -> None:
    log: list[bytes] = []
    outcome, inside = run(engine, log)
    assert (outcome.exit_code, outcome.runtime_s, inside) == (3, 5, True)
    assert steps(api) == ["create", "start"]
    assert b"".join(log) == b"hello\n"


def test_an_image_without_python_runs_bare(engine: DockerEngine, api: Api) -> None:
    api.programs = set()
    _, inside = run(engine)
    assert not inside
    assert steps(api) == ["create", "remove", "create", "start"]
    assert [words[1] for words in api.asked if words[0] == "create"] == [["python3", "/run/executor/inside", "--"],
                                                                          ["true"]]  # fmt: skip


def test_a_program_that_is_not_there_is_the_outcome(engine: DockerEngine, api: Api) -> None:
    api.fails["start"] = refuse('exec: "train": executable file not found in $PATH')
    outcome, _ = run(engine)
    assert (outcome.exit_code, outcome.started) == (127, NOON)


@pytest.mark.parametrize("error", [refuse("no such file or directory: /x/report"), ConnectionError("reset")])
def test_a_start_that_the_engine_refuses_is_no_outcome(engine: DockerEngine, api: Api, error: Exception) -> None:
    api.fails["start"] = error
    api.state = STATE | {"StartedAt": "0001-01-01T00:00:00Z"}
    with pytest.raises(EngineUnreachable):
        run(engine)


def test_a_run_whose_start_was_not_answered_is_followed_to_its_end(engine: DockerEngine, api: Api) -> None:
    api.fails["start"] = ConnectionError("reset")
    outcome, _ = run(engine)
    assert outcome.exit_code == STATE["ExitCode"]


def test_another_image_than_the_verified_one_is_refused(engine: DockerEngine, api: Api) -> None:
    image = engine.image(DIGEST)
    assert image is not None
    other = image.model_copy(update={"id": "sha256:other"})
    with pytest.raises(EnvironmentMismatch, match="the engine took sha256:i"):
        engine.run(planned(BARE), other, log=lambda _: None, stop=threading.Event())
    assert steps(api) == ["create"]


def test_an_image_that_vanished_is_not_found(engine: DockerEngine, api: Api) -> None:
    api.fails["create"] = refuse("no such image", 404)
    with pytest.raises(ImageNotFound, match="no longer has image"):
        run(engine)


def test_a_container_that_someone_removed_was_interrupted(engine: DockerEngine, api: Api) -> None:
    api.fails["wait"] = refuse("no such container", 404)
    image = engine.image(DIGEST)
    assert image is not None

    def forget(_: bytes) -> None:
        api.fails["inspect_container"] = refuse("no such container", 404)

    outcome, _ = engine.run(planned(BARE), image, log=forget, stop=threading.Event())
    assert (outcome.exit_code, outcome.interrupted) == (None, True)


@pytest.mark.parametrize(
    ("lives", "remembered", "interrupted"),
    [(False, [], True), (True, [], False), (False, ["start"], False), (True, ["start", "kill"], True)],
    ids=["it was restarted", "it lets containers live", "only the connection was lost", "someone stopped it"],
)
def test_an_engine_that_was_lost_is_asked_whether_it_ended_the_run(
    lives: bool, remembered: list[str], interrupted: bool, engine: DockerEngine, api: Api
) -> None:
    api.host["LiveRestoreEnabled"], api.remembered = lives, [{"Action": action} for action in remembered]
    api.wait_fails = [requests.exceptions.ChunkedEncodingError("lost")]
    outcome, _ = run(engine)
    assert outcome.interrupted is interrupted


def test_an_end_that_someone_else_asked_for_is_no_success(engine: DockerEngine, api: Api) -> None:
    api.remembered = [{"Action": "start"}, {"Action": "kill"}, {"Action": "die"}]
    outcome, _ = run(engine)
    assert outcome.interrupted
    assert "someone else" in outcome.reason


def test_what_is_of_an_attempt_is_found_by_its_label(engine: DockerEngine, api: Api) -> None:
    mine = {"label": "io.repro-executor.attempt=a"}
    api.kept = [{"Name": "v1"}, {"Name": "v2"}]
    engine.remove("a")
    assert api.asked == [("containers", mine), ("remove", "c1"), ("volumes", mine), ("remove_volume", "v1"),
                         ("remove_volume", "v2")]  # fmt: skip


@pytest.mark.parametrize("gone", ["remove", "remove_volume"])
def test_what_is_gone_already_is_fine(engine: DockerEngine, api: Api, gone: str) -> None:
    api.kept = [{"Name": "v1"}]
    api.fails[gone] = refuse("no such thing", 404)
    engine.remove("a")
    assert api.asked[-1] == ("remove_volume", "v1")


def test_an_engine_that_is_busy_with_a_container_is_asked_again(engine: DockerEngine, api: Api) -> None:
    api.fails["remove"] = refuse("removal of container c1 is already in progress", 409)
    api.kept = []
    threading.Timer(0.3, api.fails.clear).start()
    engine.remove("a", patience=60)
    assert api.asked[-2:] == [("remove", "c1"), ("volumes", {"label": "io.repro-executor.attempt=a"})]


def test_a_container_that_stays_is_told(engine: DockerEngine, api: Api) -> None:
    api.fails["remove"] = refuse("device or resource busy")
    with pytest.raises(EngineUnreachable, match="device or resource busy"):
        engine.remove("a")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Plan:
    """A plan for another machine; the folders of its attempt."""
    for name in ("control", "report", "outputs"):
        (tmp_path / "work" / name).mkdir(parents=True)
    return planned(BARE, work=tmp_path / "work", remote=True)


def test_elsewhere_a_container_that_never_runs_is_filled_and_what_was_left_comes_back(
    engine: DockerEngine, api: Api, elsewhere: Plan, tmp_path: Path
) -> None:
    api.there = tmp_path / "there"
    api.there.mkdir()
    (api.there / "left").write_text("left")
    image = engine.image(DIGEST)
    assert image is not None
    engine.run(elsewhere, image, log=lambda _: None, stop=threading.Event())
    seen = [words[0] for words in api.asked if words[0] in {"create", "put", "start", "get", "remove"}]
    assert seen == ["create", "put", "remove", "create", "start", "get", "get"]
    assert [(tmp_path / "work" / name / "left").read_text() for name in ("outputs", "report")] == ["left", "left"]


@pytest.mark.parametrize("moment", ["put", "get"])
def test_elsewhere_a_lost_engine_is_no_result(
    engine: DockerEngine, api: Api, elsewhere: Plan, tmp_path: Path, moment: str
) -> None:
    api.fails[moment] = ConnectionError("reset")
    image = engine.image(DIGEST)
    assert image is not None
    with pytest.raises(EngineUnreachable, match="reset"):
        engine.run(elsewhere, image, log=lambda _: None, stop=threading.Event())


def test_an_engine_that_is_not_there_is_said_in_the_systems_own_words(engine: DockerEngine, api: Api) -> None:
    wrapped = requests.exceptions.ConnectionError("('Connection aborted.', FileNotFoundError(2, 'No such file'))")
    wrapped.__cause__ = FileNotFoundError(2, "No such file or directory")
    api.fails["info"] = wrapped
    with pytest.raises(EngineUnreachable) as caught:
        engine.observe()
    assert caught.value.message == "container engine at unix:///var/run/docker.sock: No such file or directory"
