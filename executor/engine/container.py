"""The container engine through docker-py: the only place that knows it.

The engine is the truth, its streams are not: a log stream or a wait that ends says nothing, so the end of a run is read
from the container's state, found again by its id, after a reconnect if need be.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import docker
import docker.auth
import docker.errors
import docker.utils
import requests
import requests.exceptions
import urllib3.exceptions

from executor.engine.answers import engine_facts, image_facts, registry_error
from executor.engine.interface import DEFAULT_ADDRESS, Credentials, LogSink, Progress, name_and_tag
from executor.engine.outcome import at_end, began, never_started, stopped_by_others, vanished
from executor.engine.plan import LABEL, REPORT, Plan
from executor.engine.pump import LogPump
from executor.engine.remote import packed, unpack
from executor.errors import EngineUnreachable, EnvironmentMismatch, ImageNotFound, RegistryUnreachable
from executor.facts import EngineFacts, ImageFacts, Outcome
from executor.spec.canonical import Digest

T = TypeVar("T")
STOP_GRACE = 10
"""Seconds between SIGTERM and SIGKILL when a run is stopped."""
LOST_AFTER = 60
"""Seconds without an answer after which the engine counts as lost."""
_NO_PROGRAM = re.compile(r'exec: "|executable file|open executable')
"""How runc and crun say that the program itself is at fault."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What engines set in an image that sets none."""
_LOST = (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.exceptions.Timeout,
         urllib3.exceptions.HTTPError, ConnectionError)  # fmt: skip


class DockerEngine:
    """Docker's engine API; Podman's compatible socket and `ssh://` hosts come through `DOCKER_HOST` unchanged."""

    def __init__(self, environment: Mapping[str, str], now: Callable[[], datetime]) -> None:
        """Prepare to talk to the engine that `DOCKER_HOST` (or its default) names; nothing is sent yet."""
        self._now = now
        self.address = environment.get("DOCKER_HOST") or DEFAULT_ADDRESS
        self._environment = dict(environment)
        self._connected: docker.APIClient | None = None

    @property
    def _api(self) -> docker.APIClient:
        if self._connected is None:
            with self._border():
                options = docker.utils.kwargs_from_env(environment=self._environment)
                self._connected = docker.APIClient(**options, version="auto", timeout=120, use_ssh_client=True)
        return self._connected

    @contextlib.contextmanager
    def _border(self) -> Iterator[None]:
        """Map what docker-py and its transport raise to our words, once."""
        try:
            yield
        except (docker.errors.DockerException, *_LOST) as error:
            raise EngineUnreachable(
                f"container engine at {self.address}: {_reason(error)}",
                advice="start it (as root: dockerd), or name another one in DOCKER_HOST; `executor doctor` says more",
            ) from error

    def observe(self) -> EngineFacts:
        """Look at the engine."""
        with self._border():
            return engine_facts(self.address, self._api.info(), self._api.version())

    def image(self, digest: Digest, config: Digest | None = None) -> ImageFacts | None:
        """Find the image of that manifest digest, or of that config digest, which is Docker's own id of an image."""
        with self._border(), contextlib.suppress(docker.errors.NotFound):  # removed while we looked
            for summary in self._api.images():
                names = summary.get("RepoDigests") or ()
                if summary["Id"] == str(config) or any(name.endswith(f"@{digest}") for name in names):
                    return image_facts(self._api.inspect_image(summary["Id"]), digest)
        return None

    def images(self) -> list[tuple[str, ImageFacts]]:
        """Every image that has a digest, with the reference that a spec takes."""
        found: dict[tuple[str, Digest], ImageFacts] = {}
        with self._border():
            for summary in self._api.images():
                for name in summary.get("RepoDigests") or ():
                    repository, _, text = name.partition("@")
                    if repository == "<none>":  # what the engine shows of an image that lost its name
                        continue
                    digest = Digest.parse(text)
                    tags = [t for t in summary.get("RepoTags") or () if t.startswith("localhost/")]
                    shown = name_and_tag(tags[0])[0] if tags else repository
                    with contextlib.suppress(docker.errors.NotFound):  # removed while we looked
                        found[shown, digest] = image_facts(self._api.inspect_image(summary["Id"]), digest)
        return [(f"{name}@{digest}", facts) for (name, digest), facts in sorted(found.items())]

    def digest_of(self, reference: str) -> Digest | None:
        """Ask the engine for the digest of a tag, then its registry."""
        with self._border(), contextlib.suppress(docker.errors.NotFound):
            for name in self._api.inspect_image(reference).get("RepoDigests") or ():
                return Digest.parse(name.partition("@")[2])
        if reference.startswith("localhost/"):
            return None
        try:
            return Digest.parse(self._api.inspect_distribution(reference)["Descriptor"]["digest"])
        except docker.errors.NotFound:
            return None
        except docker.errors.APIError as error:
            raise registry_error(reference, _reason(error)) from error

    def pull(self, reference: str, progress: Progress) -> None:
        """Pull `name@sha256:…`."""
        name, _, digest = reference.partition("@")
        try:
            for event in self._api.pull(name, tag=digest, stream=True, decode=True):
                if "error" in event:
                    raise registry_error(reference, event["error"])
                detail = event.get("progressDetail") or {}
                if "current" in detail:
                    progress(event.get("id", ""), detail["current"], detail.get("total", 0))
        except docker.errors.APIError as error:
            raise registry_error(reference, _reason(error)) from error
        except _LOST as error:
            raise EngineUnreachable(f"{self.address}: lost while pulling {reference}: {_reason(error)}") from error

    def load(self, archive: Iterable[bytes]) -> None:
        """Take an image from the pieces of an OCI archive."""
        with self._border():
            for event in self._api.load_image(iter(archive)):
                if "error" in event:
                    raise EngineUnreachable(f"{self.address}: the image was not loaded: {event['error']}")

    def save(self, image: ImageFacts) -> Iterator[bytes]:
        """The engine's own archive of an image, in pieces."""
        with self._border():
            yield from self._api.get_image(image.id)

    def credentials(self, registry: str) -> Credentials | None:
        """What the user's `docker login` left for a registry, in a file or with a helper program."""
        try:
            known = docker.auth.load_config().resolve_authconfig(registry) or {}
        except (docker.errors.DockerException, ValueError) as error:
            problem = f"{registry}: what `docker login` left is unusable: {error}"
            raise RegistryUnreachable(problem, advice=f"docker login {registry}") from error
        found = {name.lower(): value or "" for name, value in known.items()}  # each of the two spells them its own way
        refresh = found.get("identitytoken", "")
        user, password = found.get("username", ""), found.get("password", "")
        return Credentials(user, password, refresh) if user or refresh else None

    def tag(self, image: ImageFacts, name: str) -> None:
        """Give the image a name for people."""
        repository, tag = name_and_tag(name)
        with self._border():
            self._api.tag(image.id, repository, tag)

    def run(self, plan: Plan, image: ImageFacts, *, log: LogSink, stop: threading.Event) -> tuple[Outcome, bool]:
        """Run the plan to its end, say how it ended and whether the inside room ran."""
        if plan.carried:
            self._carry(plan)
        container = self._create(plan.request)
        inside = self._has_program(container, plan.request["Entrypoint"][0], image)
        if not inside:  # the user's command runs bare, and the record says so
            self._remove(container)
            container = self._create(plan.bare(tuple(plan.request["Cmd"])))
        self._same_image(container, image)
        with self._border():
            pump = LogPump(self._api, container, log, (docker.errors.DockerException, *_LOST))
        if (problem := self._start(container, pump)) is not None:
            return never_started(problem, self._now()), inside
        outcome = self._finish(container, plan.timeout, pump, stop)
        self._bring_back(container, plan)
        return outcome, inside

    def _carry(self, plan: Plan) -> None:
        """Fill the volumes of a plan; they are made by the container that mounts them, which never runs."""
        carrier = self._create(plan.carrier)
        with self._border():
            self._api.put_archive(carrier, "/", packed(plan.carried))
        self._remove(carrier)

    def _bring_back(self, container: str, plan: Plan) -> None:
        """Fetch what the run left, unless it is here already."""
        for target in ("/outputs", REPORT) if plan.carried else ():
            with self._border(), contextlib.suppress(docker.errors.NotFound):  # the container was removed by others
                pieces, _ = self._api.get_archive(container, target)
                unpack(pieces, plan.carried[target])

    def _has_program(self, container: str, name: str, image: ImageFacts) -> bool:
        """Whether the image has `name` on its PATH; under an init process the start itself would not tell."""
        folders = image.environment.get("PATH", _PATH).split(":")
        return any(self._has_file(container, f"{folder}/{name}") for folder in folders)

    def _has_file(self, container: str, path: str) -> bool:
        with self._border():
            url = f"{self._api.base_url}/v{self._api.api_version}/containers/{container}/archive"
            answer = self._api.head(url, params={"path": path}, timeout=self._api.timeout)
        if answer.status_code not in (200, 404):
            raise EngineUnreachable(f"{self.address}: answered {answer.status_code} when asked for {path} in the image")
        return answer.status_code == 200

    def _create(self, request: Mapping[str, Any]) -> str:
        with self._border():
            try:
                found: str = self._api.create_container_from_config(dict(request))["Id"]
            except docker.errors.NotFound as error:
                raise ImageNotFound(f"the engine no longer has image {request['Image']}: {_reason(error)}") from error
            return found

    def _same_image(self, container: str, image: ImageFacts) -> None:
        """Compare what the engine really took with what was verified, so that nothing can move in between."""
        with self._border():
            taken = self._api.inspect_container(container)["Image"]
        if taken != image.id:
            problem = f"image: expected {image.digest} ({image.id}), the engine took {taken}"
            raise EnvironmentMismatch(problem, advice="the image was replaced while the run started; submit again")

    def _start(self, container: str, pump: LogPump) -> str | None:
        """Start it; the engine's own words when it holds no such program to start."""
        try:
            self._api.start(container)
        except docker.errors.APIError as error:
            words = _reason(error)
            if _NO_PROGRAM.search(words):
                return words
            if self._final_state(container) is None:  # somebody removed it, which its end will tell
                return None
            advice = "the engine refused what the run needs; `executor doctor` says what this machine can do"
            raise EngineUnreachable(f"the engine could not start the run: {words}", advice=advice) from error
        except _LOST as error:
            pump.lost.set()  # the answer never came: perhaps it runs
            state = self._patiently(lambda: self._final_state(container), pump.lost)
            if state is None or not began(state):
                raise EngineUnreachable(f"{self.address}: lost while starting the run: {_reason(error)}") from error
        return None

    def _finish(self, container: str, timeout: int | None, pump: LogPump, stop: threading.Event) -> Outcome:
        pump.start()
        ended, lost = threading.Event(), pump.lost
        threading.Thread(target=self._await_end, args=(container, ended, lost), daemon=True).start()
        deadline = None if timeout is None else time.monotonic() + timeout
        timed_out = interrupted = False
        while not ended.wait(0.05):
            timed_out = deadline is not None and time.monotonic() > deadline
            interrupted = stop.is_set()
            if timed_out or interrupted:
                self._stop(container)
                break
        pump.finish(time.monotonic())
        state = self._patiently(lambda: self._final_state(container), lost)
        if state is None:
            return vanished(self._now())
        if not (timed_out or interrupted or state.get("Running")):
            seen = self._patiently(lambda: self._seen_of(container), lost)
            if "kill" in seen or (lost.is_set() and "start" not in seen):
                return stopped_by_others(state)
        return at_end(state, timeout=timeout if timed_out else None, interrupted=interrupted)

    def _await_end(self, container: str, ended: threading.Event, lost: threading.Event) -> None:
        """Set `ended` when the container no longer runs, or the engine is lost for good; `lost` when it ever was."""
        silent_since: float | None = None
        while True:
            try:
                self._api.wait(container, timeout=86_400)
                silent_since = None
                if not self._api.inspect_container(container)["State"]["Running"]:
                    break
            except docker.errors.NotFound:
                break
            except (docker.errors.DockerException, *_LOST):
                lost.set()
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > LOST_AFTER:
                    break
                time.sleep(0.5)
        ended.set()

    def _patiently(self, ask: Callable[[], T], lost: threading.Event, seconds: float = LOST_AFTER) -> T:
        """Ask an engine that may be restarting or busy just now; `lost` is set when it did not answer at once."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return ask()
            except EngineUnreachable:
                lost.set()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _seen_of(self, container: str) -> set[str]:
        """Which of `kill` (by its own shutdown too) and `start` the engine remembers of a container."""
        with self._border():
            facts = self._api.info()
            now = datetime.fromisoformat(facts["SystemTime"]).timestamp()
            until: Any = f"{now:.9f}"  # by its own clock: of a later time it would wait for what is still to come
            found = self._api.events(since=1, until=until, filters={"container": container}, decode=True)
            # a restarted engine has forgotten the start: no matter if it lets containers live
            lives = {"start"} if facts.get("LiveRestoreEnabled") else set()
            return lives | {str(event.get("Action", "")) for event in found}

    def _stop(self, container: str) -> None:
        with self._border(), contextlib.suppress(docker.errors.NotFound):
            self._api.stop(container, timeout=STOP_GRACE)

    def _final_state(self, container: str) -> dict[str, Any] | None:
        with self._border(), contextlib.suppress(docker.errors.NotFound):
            state: dict[str, Any] = self._api.inspect_container(container)["State"]
            return state
        return None

    def remove(self, attempt: str, *, patience: float = 0) -> None:
        """Kill and remove all that there is of an attempt, by its label: containers and volumes."""
        mine = {"label": f"{LABEL}.attempt={attempt}"}
        self._patiently(lambda: self._remove_all(mine), threading.Event(), patience)

    def _remove_all(self, mine: dict[str, str]) -> None:
        with self._border():
            for entry in self._api.containers(all=True, filters=mine):
                self._remove(entry["Id"])
            for volume in self._api.volumes(filters=mine)["Volumes"] or ():
                with contextlib.suppress(docker.errors.NotFound):
                    self._api.remove_volume(volume["Name"])

    def _remove(self, container: str) -> None:
        """Kill and remove a container; one that is gone already is fine."""
        with self._border(), contextlib.suppress(docker.errors.NotFound):
            self._api.remove_container(container, force=True, v=True)


def _reason(error: BaseException) -> str:
    """The engine's own words, or what the system says of a connection that failed, below docker-py's wrapping."""
    if words := getattr(error, "explanation", None):
        return str(words).strip()
    deepest: BaseException | None = error
    while deepest is not None:
        if isinstance(deepest, OSError) and deepest.strerror and not isinstance(deepest, requests.RequestException):
            return deepest.strerror
        deepest = deepest.__cause__ or deepest.__context__
    return str(error).strip()
