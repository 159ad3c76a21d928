#!/bin/bash
# Installs the Debian packages that a task needs, and only those that are missing: with all of them there it asks no network.
#   tools/setup/apt.sh build|test|checks|fuzz|package|deploy|python ...
# An item is a package, or command:package where any provider of the command will do (a machine may have its own Node.js or JDK).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

declare -A groups=(
    [build]="gcc g++ make cmake ninja-build pkg-config libssl-dev libbsd-dev libcjson-dev librdkafka-dev libhiredis-dev libnats-dev
             libsqlite3-dev libpcre2-dev flatbuffers-compiler libflatbuffers-dev libcmocka-dev"
    [kafka]="java:openjdk-17-jre-headless mvn:maven"
    [redis]="redis-server:redis-server"
    [nats]="nats-server:nats-server"
    [test]="java:openjdk-17-jre-headless mvn:maven redis-server:redis-server nats-server:nats-server node:nodejs npm:npm chromium:chromium
            curl:curl file:file"
    [checks]="clang-format:clang-format clang-tidy:clang-tidy run-clang-tidy:clang-tidy"
    [fuzz]="clang:clang libclang-rt-14-dev llvm-symbolizer:llvm"
    [deploy]="systemd-analyze:systemd unshare:util-linux adduser"
    [python]="python3:python3 python3-venv"
    [package]="dpkg-deb:dpkg-dev dpkg-shlibdeps:dpkg-dev file:file"
)

is_there() {
    case $1 in
    *:*) command -v "${1%%:*}" >/dev/null ;;
    *) [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    esac
}

missing=()
for group in "$@"; do
    [ -n "${groups[$group]:-}" ] || fail "no such group of packages: $group"
    for item in ${groups[$group]}; do
        is_there "$item" || missing+=("${item#*:}")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0
command -v apt-get >/dev/null || fail "please install what is missing here, by the names that Debian has for it: ${missing[*]}"

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "please install as root: apt-get install ${missing[*]}"
    as_root=(sudo)
fi
say "installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
mkdir -p "$root/build"
log=$root/build/apt.log
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -y "$@"; }
{ apt update && apt install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 &
installer=$!
# One line for each package that is ready, so that a slow network is seen to move.
shown=0
while true; do
    done_now=0
    kill -0 "$installer" 2>/dev/null || done_now=1
    total=$(grep -c '^Setting up ' "$log" || true)
    if [ "$total" -gt "$shown" ]; then
        say "  $total packages set up, the last: $(grep '^Setting up ' "$log" | tail -1 | cut -d' ' -f3)"
        shown=$total
    fi
    [ $done_now = 0 ] || break
    sleep 2
done
wait "$installer" || { tail -20 "$log" >&2; fail "apt-get failed; the whole of it is in $log"; }
