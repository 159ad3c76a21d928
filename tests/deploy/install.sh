#!/bin/bash
# "make install": what lies where below a prefix, that paths in the unit follow it, that a configuration that is there stays;
# the unit passes systemd-analyze verify, as installed and as it lies in deploy/, and its time-outs fit the drain.
# Not tested here: the package (package.sh).
. "$(dirname "$0")/common.sh"
need cmake systemd-analyze
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
p=$work/prefix

cmake --install "$build" --prefix "$p" >"$work/log" || { tail "$work/log"; fail "cmake --install"; }
for f in bin/headgate etc/headgate/headgate.conf lib/systemd/system/headgate.service lib/sysusers.d/headgate.conf \
    share/man/man8/headgate.8 share/man/man5/headgate.conf.5 share/doc/headgate/headgate.conf.example; do
    [ -e "$p/$f" ] || fail "$f was not installed"
done
"$p/bin/headgate" --check --config "$p/etc/headgate/headgate.conf" >/dev/null || fail "the installed configuration is not good"
grep -qx "ExecStart=$p/bin/headgate --config $p/etc/headgate/headgate.conf" "$p/lib/systemd/system/headgate.service" ||
    fail "the unit's paths do not follow the prefix"
echo '# mine' >"$p/etc/headgate/headgate.conf"
cmake --install "$build" --prefix "$p" >/dev/null
[ "$(cat "$p/etc/headgate/headgate.conf")" = '# mine' ] || fail "a configuration that was there was overwritten"
ok "installed below a prefix"

# Every flag a program names in --help stands in its page; of headgate itself those that are no options of headgate.conf(5).
for b in "$p"/bin/*; do
    name=$(basename "$b")
    page=$(echo "$p"/share/man/man[18]/"$name".[18])
    [ -e "$page" ] || fail "no man page of $name"
    flags=$("$b" --help | grep -oE -- '--[a-z]+(-[a-z]+)*' | sort -u)
    [ "$name" != headgate ] || flags='--config --dev --check --print --version --help'
    for flag in $flags; do
        grep -qE -- "Fl (.*Fl )?-?${flag#-}( |\$)" "$page" || fail "$name(${page##*.}) says nothing of $flag"
    done
done
ok "man pages have every flag"

# The words of verify are the finding; its exit code is 0 for most of them. Of units of this machine it may speak too.
verify() {
    local said
    said=$(systemd-analyze verify --man=no "$1" 2>&1) || { echo "$said"; fail "systemd-analyze verify $1"; }
    said=$(grep -F headgate <<<"$said" || true)
    [ -z "$said" ] || fail "systemd-analyze verify: $said"
}
verify "$p/lib/systemd/system/headgate.service"
sed "s|/usr/bin/headgate|$p/bin/headgate|" "$root/deploy/headgate.service" >"$work/headgate.service"
verify "$work/headgate.service"
# That it can fail: a unit with a mistake.
sed 's|^Type=notify|Type=notfy|' "$work/headgate.service" >"$work/headgate-wrong.service"
systemd-analyze verify --man=no "$work/headgate-wrong.service" 2>&1 | grep -q notfy || fail "verify finds nothing"
ok "systemd-analyze verify"

seconds_of() { sed -n "s/^$1=\([0-9]*\)s\$/\1/p" "$root/deploy/headgate.service"; }
drain=$("$p/bin/headgate" --print=example | sed -n 's/^#drain_timeout = \([0-9]*\)s$/\1/p')
[ "$(seconds_of TimeoutStopSec)" -ge $((drain + 5)) ] || fail "TimeoutStopSec is too short for drain_timeout = ${drain}s"
ok "TimeoutStopSec fits the drain"
