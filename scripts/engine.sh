#!/usr/bin/env bash
# A container engine that answers: nothing to do when there is one, else Debian's docker.io is installed and started.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
log=/var/log/dockerd.log
socket=/var/run/docker.sock

# The daemon is asked over its socket: a docker client may be missing, or be there without any daemon.
answers() {
    if [ -n "${DOCKER_HOST:-}" ]; then
        docker version >/dev/null 2>&1
    else
        python3 - "$socket" 2>/dev/null <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.settimeout(5)
    line.connect(sys.argv[1])
    line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
    sys.exit(b" 200 " not in line.recv(64))
PYTHON
    fi
}

answers && exit 0

if [ -n "${DOCKER_HOST:-}" ]; then
    echo "the engine at DOCKER_HOST=$DOCKER_HOST does not answer" >&2
    exit 6
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "no container engine answers: start one, join the group that owns $socket, set DOCKER_HOST, or run this as root" >&2
    exit 6
fi

command -v dockerd >/dev/null || "$here/packages.sh" docker.io iptables
if answers; then exit 0; fi # where there is an init system, the package has started it

# a daemon that was killed leaves files behind that stop the next one when another process has its number now
grep -qsx dockerd /proc/[0-9]*/comm || rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid
setsid nohup dockerd >>"$log" 2>&1 </dev/null &
for _ in $(seq 150); do
    if answers; then exit 0; fi
    sleep 0.2
done
echo "dockerd did not answer within 30 s; the end of $log:" >&2
tail -n 15 "$log" >&2
exit 6
