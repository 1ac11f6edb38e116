"""What the rest of the program asks of a container engine. Pure: no I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from executor.engine.plan import Plan
from executor.facts import EngineFacts, ImageFacts, Outcome
from executor.spec.canonical import Digest

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
"""Where an engine is looked for when `DOCKER_HOST` names none."""
LogSink = Callable[[bytes], None]
"""Takes what the program prints, as it comes; pieces need not end at a line."""
Progress = Callable[[str, int, int], None]
"""Takes a layer's or file's name, bytes done and bytes in all (0 when unknown)."""


@dataclass(frozen=True)
class Credentials:
    """Whom a registry knows its user as."""

    user: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    """In the place of both, for registries where people sign in elsewhere."""


class Engine(Protocol):
    """A container engine: Docker, or Podman through the same API."""

    def observe(self) -> EngineFacts:
        """Look at the engine; raises `EngineUnreachable`."""
        ...

    def image(self, digest: Digest, config: Digest | None = None) -> ImageFacts | None:
        """The image of that manifest digest, whatever its name here; none when the engine does not have it.

        `config` is the digest of the config blob that this manifest names. An engine that forgot the manifest, as
        Docker does when it loads an archive, still knows the image by it, and it names every layer's content.
        """
        ...

    def images(self) -> list[tuple[str, ImageFacts]]:
        """Every image that has a digest, with the reference that a spec takes."""
        ...

    def digest_of(self, reference: str) -> Digest | None:
        """Manifest digest of a tag: the engine's own, or its registry's answer; none when neither knows it."""
        ...

    def pull(self, reference: str, progress: Progress) -> None:
        """Pull `name@sha256:…`; raises `ImageNotFound` or `RegistryUnreachable`."""
        ...

    def load(self, archive: Iterable[bytes]) -> None:
        """Take an image from the pieces of an OCI archive; raises `EngineUnreachable` when the engine refuses it."""
        ...

    def save(self, image: ImageFacts) -> Iterator[bytes]:
        """The engine's own archive of an image, in pieces; raises `EngineUnreachable`."""
        ...

    def credentials(self, registry: str) -> Credentials | None:
        """What the user's `docker login` left for a registry (`host:port`, or `docker.io`).

        Raises `RegistryUnreachable` when it cannot be read.
        """
        ...

    def tag(self, image: ImageFacts, name: str) -> None:
        """Give the image a name for people."""
        ...

    def run(self, plan: Plan, image: ImageFacts, *, log: LogSink, stop: threading.Event) -> tuple[Outcome, bool]:
        """Run the plan to its end; what the engine has of the attempt then is for `remove`.

        Returns the outcome and whether the inside room ran. `stop` ends the run early (the outcome says interrupted).
        Raises `EnvironmentMismatch` when the engine would run another image, `EngineUnreachable` when it is lost.
        """
        ...

    def remove(self, attempt: str, *, patience: float = 0) -> None:
        """Kill and remove all that there is of an attempt, by its label: containers and volumes.

        Raises `EngineUnreachable` when the engine still has some of it after `patience` seconds of asking again.
        """
        ...


def name_and_tag(reference: str) -> tuple[str, str]:
    """Split `host:port/name:tag` into name and tag (`latest` when there is none)."""
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


def variables_of(pairs: Iterable[str] | None) -> dict[str, str]:
    """`KEY=value` lines of an image's configuration as a mapping."""
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs or ())}
