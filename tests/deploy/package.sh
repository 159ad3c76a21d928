#!/bin/bash
# The .deb is installed, runs, answers /health, drains, is upgraded over an edited configuration, removed and purged, in a
# throw-away copy of this machine: an overlay whose upper half is a tmpfs, entered by chroot in namespaces of its own, so that
# nothing here changes. Kafka is a port where nobody listens: a gateway without Kafka starts, serves /health and says on /readyz
# what is missing.
# Not tested here: starting by systemd itself (unit.sh verifies the unit); dependencies on a bare Debian (by hand).
. "$(dirname "$0")/common.sh"
need cpack dpkg-deb dpkg-shlibdeps file unshare curl

if [ "${1:-}" != inside ]; then
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || skip "installing a package needs root"
        exec sudo -n env BUILD="$build" CI="${CI:-}" PATH="$PATH" bash "$0"
    fi
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$build" && cpack -G DEB -B "$work/deb") >"$work/cpack.log" 2>&1 || { tail -20 "$work/cpack.log"; fail "cpack"; }
    deb=$(echo "$work"/deb/headgate_*.deb)
    [ -e "$deb" ] || fail "cpack made no package"
    if ! unshare --mount --pid --net --fork true 2>/dev/null; then
        # A container without namespaces. CI's is thrown away afterwards, so it may be used itself.
        [ -n "${CI:-}" ] || skip "this machine does not allow mount namespaces"
        ! dpkg -s headgate >/dev/null 2>&1 || fail "headgate is installed on this machine"
        echo "without namespaces: on this machine itself"
        bash "$0" inside "$deb"
        exit
    fi
    mkdir "$work/t"
    unshare --mount --pid --net --fork bash -s "$work/t" "$deb" "$(realpath "$0")" <<'END' || fail "see above"
set -euo pipefail
t=$1
mount -t tmpfs tmpfs "$t"
mkdir "$t"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$t/upper,workdir=$t/work" "$t/root"
mount -t proc proc "$t/root/proc"
mount -t tmpfs tmpfs "$t/root/run"
mount -t tmpfs tmpfs "$t/root/tmp"
mount --bind /dev "$t/root/dev"
cp "$2" "$t/root/tmp/headgate.deb"
cp "$3" "$(dirname "$3")/common.sh" "$t/root/tmp/"
ip link set lo up 2>/dev/null || true
exec chroot "$t/root" env -u XDG_RUNTIME_DIR -u TMPDIR CI="${CI:-}" bash /tmp/package.sh inside /tmp/headgate.deb
END
    exit 0
fi

# ---- in the copy ----
deb=$2
log=$(mktemp -d)
conf=/etc/headgate/headgate.conf
cd /

# What the machine itself may have must not be taken for the package's.
dpkg --purge headgate >/dev/null 2>&1 || true
userdel headgate 2>/dev/null || true
export DEBIAN_FRONTEND=noninteractive

depends=$(dpkg-deb -f "$deb" Depends)
for lib in adduser librdkafka1 libhiredis libnats libssl3 libcjson1 libbsd0; do
    case $depends in *"$lib"*) ;; *) fail "Depends lacks $lib: $depends" ;; esac
done
ok "dependencies: $depends"

# adduser may be missing where the package was built; apt would bring it.
force=()
dpkg -s adduser >/dev/null 2>&1 || force=(--force-depends)
command -v adduser >/dev/null || useradd --system --no-create-home headgate
dpkg "${force[@]}" -i "$deb" >"$log/dpkg" 2>&1 || { cat "$log/dpkg"; fail "dpkg -i"; }
getent passwd headgate >/dev/null || fail "no user headgate"
[ "$(dpkg-query -W -f='${Conffiles}' headgate | awk 'NF { print $1 }')" = "$conf" ] || fail "$conf is no conffile"
for f in /usr/bin/headgate /usr/lib/systemd/system/headgate.service /usr/share/man/man8/headgate.8 \
    /usr/share/man/man5/headgate.conf.5 /usr/share/doc/headgate/copyright; do
    [ -e "$f" ] || fail "$f is missing"
done
for b in $(dpkg -L headgate | grep '^/usr/bin/'); do
    "$b" --version >/dev/null || fail "$b does not run"
    [ -e "/usr/share/man/man1/$(basename "$b").1" ] || [ -e "/usr/share/man/man8/$(basename "$b").8" ] || fail "$b has no man page"
done
headgate --check || fail "the installed configuration does not pass --check"
ok "installed"

cat >>"$conf" <<'END'
listen = 127.0.0.1
port = 27070
admin_listen = 127.0.0.1:27071
kafka_brokers = 127.0.0.1:1
workers = 2
user = headgate
drain_timeout = 1s
END
install -d -o headgate /run/headgate # systemd's RuntimeDirectory=
headgate >"$log/headgate" 2>&1 &
pid=$!
trap 'tail -20 "$log/headgate"; kill -9 $pid 2>/dev/null' EXIT
eventually 10 "/health" curl -fs http://127.0.0.1:27070/health
curl -fs http://127.0.0.1:27070/health | grep -q '"status":"healthy"' || fail "/health"
curl -fs http://127.0.0.1:27071/livez >/dev/null || fail "/livez"
[ "$(curl -s -o "$log/ready" -w '%{http_code}' http://127.0.0.1:27071/readyz)" = 503 ] || fail "/readyz is ready without Kafka"
grep -q Kafka "$log/ready" || fail "/readyz does not say what is missing: $(cat "$log/ready")"
headgate ctl status | grep -q 'worker' || fail "ctl status"
[ "$(stat -c %U "/proc/$pid")" = headgate ] || fail "runs as $(stat -c %U "/proc/$pid")"
ok "runs as user headgate and answers"
kill -TERM $pid
eventually 10 "the end after TERM" bash -c "! kill -0 $pid"
code=0
wait $pid || code=$?
[ $code = 0 ] || fail "ended with $code"
trap - EXIT
ok "drained and ended"

dpkg "${force[@]}" --force-confold -i "$deb" >"$log/dpkg" 2>&1 || { cat "$log/dpkg"; fail "installing it again"; }
grep -q 'kafka_brokers = 127.0.0.1:1' "$conf" || fail "an upgrade lost the configuration"
ok "upgrade keeps the configuration"
dpkg -r headgate >/dev/null || fail "dpkg -r"
[ ! -e /usr/bin/headgate ] || fail "/usr/bin/headgate is still there"
[ -e "$conf" ] || fail "removal took the configuration"
dpkg -P headgate >/dev/null || fail "dpkg -P"
[ ! -e /etc/headgate ] && [ ! -e /usr/share/doc/headgate ] || fail "purge left files behind"
ok "removed and purged"
