#!/usr/bin/env bash
# Debian packages that building images needs: ./scripts/packages.sh [PACKAGE…]; does nothing when they are there.
set -euo pipefail

[ "$#" -gt 0 ] || set -- mmdebstrap

missing=()
for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}; as root on Debian: apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 6
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
