"""What a program can see and do from inside its container, written to /outputs/seen.json. Standard library alone."""

import errno
import json
import os
import resource
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARAMS = json.loads(Path("/run/executor/params.json").read_text())


def refusal(action: Callable[[], object]) -> str:
    """Name of the error that an action ends with; `done` when it works."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def write(path: str) -> Callable[[], object]:
    return lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def connected(host: str, port: int) -> tuple[str, float]:
    """How a connection ends, and after how many seconds."""
    began = time.monotonic()
    said = refusal(lambda: socket.create_connection((host, port), timeout=5).close())
    return said, time.monotonic() - began


def read(path: str) -> str:
    """What can be read of a file: `EACCES` and the like when nothing."""
    found: list[bytes] = []
    said = refusal(lambda: found.append(Path(path).read_bytes()))
    return f"{len(found[0])} bytes" if found else said


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def set_id_programs() -> list[str]:
    return [
        str(path) for folder in ("/bin", "/usr/bin", "/usr/sbin", "/usr/lib") for path in Path(folder).rglob("*")
        if path.is_file() and path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    ]  # fmt: skip


def su() -> str:
    """User ids that a set-user-id program really has, or that it ended at once."""
    with subprocess.Popen(["/bin/su", "-c", "id -u"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        time.sleep(0.5)
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        process.kill()
        return next(line for line in lines if line.startswith("Uid:"))


def forks() -> tuple[int, str]:
    """How many children there can be, and what the next one ends with."""
    children: list[int] = []
    said = "done"
    try:
        while len(children) < 10_000:
            child = os.fork()
            if not child:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    except OSError as error:
        said = errno.errorcode[error.errno or 0]
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return len(children), said


def seen() -> dict[str, Any]:
    own = status()
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    readable = [path for path in ("/proc/1/environ", "/proc/self/environ") if os.access(path, os.R_OK)]
    return {
        "status": {name: own[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
                                                "Seccomp", "Uid", "Gid", "Groups")},
        "mounts": {row[4]: {"root": row[3], "options": row[5].split(","), "line": " ".join(row)} for row in mounts},
        "root": sorted(os.listdir("/")),
        "dev": sorted(os.listdir("/dev")),
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "routes": Path("/proc/net/route").read_text().splitlines()[1:],
        "environ": {path: Path(path).read_bytes().decode() for path in readable},
        "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
        "connections": {f"{host}:{port}": connected(host, port) for host, port in PARAMS["targets"]},
        "sockets": [path for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock",
                                      "/run/containerd/containerd.sock") if os.path.lexists(path)],
        "writes": {path: refusal(write(path)) for path in PARAMS["writes"]},
        "reads": {path: read(path) for path in PARAMS["reads"]},
        "mknod": refusal(lambda: os.mknod("/outputs/device", stat.S_IFCHR | 0o666, os.makedev(1, 3))),
        "setuid": refusal(lambda: os.setuid(0)),
        "chroot": refusal(lambda: os.chroot("/tmp")),
        "priority": refusal(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)),
        "raw socket": refusal(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)),
        "set-id programs": set_id_programs(),
        "su": su(),
        "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in ("CORE", "NOFILE")},
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
        "cgroup": Path("/proc/self/cgroup").read_text().splitlines(),
        "hostname": socket.gethostname(),
        "forks": forks(),
    }  # fmt: skip


if __name__ == "__main__":
    Path("/outputs/seen.json").write_text(json.dumps(seen()))
    Path("/outputs/ready").touch()
    while not Path("/outputs/go").exists():
        time.sleep(0.05)
    Path("/outputs/go").unlink()
