import ctypes
import errno
import os
import socket
import subprocess
import time

problems = []


def check(name, found, expected):
    if found != expected:
        problems.append(f"{name}: {found!r}, expected {expected!r}")


def refuses(name, action, *numbers):
    try:
        action()
    except OSError as error:
        if numbers and error.errno not in numbers:
            problems.append(f"{name}: {error}")
    else:
        problems.append(f"{name}: worked")


status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    check(kind, int(status[kind], 16), 0)
check("NoNewPrivs", status["NoNewPrivs"], "1")
check("Seccomp", status["Seccomp"], "2")
check("Cpus_allowed", len(os.sched_getaffinity(0)), 1)
check("user", (os.getuid(), os.geteuid(), os.getgid(), os.getgroups()), (1000, 1000, 1000, [1000]))
umask = os.umask(0o022)
check("umask", umask, 0o022)

check("network", sorted(name for _, name in socket.if_nameindex()), ["lo"])
refuses("connect", lambda: socket.create_connection(("192.0.2.1", 80), timeout=5))
refuses("resolve", lambda: socket.getaddrinfo("example.org", 80))
refuses("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
check("host name", (socket.gethostname(), os.environ["HOSTNAME"]), ("executor", "executor"))
check("time zone", (time.tzname, os.environ["TZ"]), (("UTC", "UTC"), "UTC"))
check("locale", (os.environ["LANG"], os.environ["LC_ALL"]), ("C.UTF-8", "C.UTF-8"))
check(
    "engine socket", [p for p in ("/var/run/docker.sock", "/run/docker.sock", "/run/podman") if os.path.exists(p)], []
)
check("working directory", os.getcwd(), "/code")

for path in (
    "/new",
    "/usr/new",
    "/etc/new",
    "/var/tmp/new",
    "/run/new",
    "/run/executor/new",
    "/run/executor/inside/new",
):
    refuses(path, lambda: open(path, "w"), errno.EROFS, errno.EACCES)
refuses("spec.json", lambda: open("/run/executor/spec.json", "a"), errno.EROFS, errno.EACCES)
for path in ("/tmp/new", "/outputs/new.txt", "/code/new", "/dev/shm/new"):
    with open(path, "w") as file:
        file.write("mine")
with open("/tmp/tool", "w") as tool:
    tool.write("#!/bin/sh\necho built")
os.chmod("/tmp/tool", 0o755)
check("/tmp runs what is built in it", subprocess.check_output("/tmp/tool"), b"built\n")
libc = ctypes.CDLL(None, use_errno=True)
check("mount", (libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), ctypes.get_errno()), (-1, errno.EPERM))
check("new user namespace", (libc.unshare(0x10000000), ctypes.get_errno()), (-1, errno.EPERM))
check("set user", (libc.setuid(0), ctypes.get_errno()), (-1, errno.EPERM))
check("process 1", "executor" in open("/proc/1/cmdline").read() or "init" in open("/proc/1/cmdline").read(), True)
mine = {
    name for name in os.environ if name.startswith(("AWS_", "EXECUTOR_S3", "EXECUTOR_STORE", "EXECUTOR_HOME", "DOCKER"))
}
check("the host's variables", mine, set())

print("\n".join(problems) or "sealed")
raise SystemExit(bool(problems))
