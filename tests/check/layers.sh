#!/bin/bash
# The arrows of ARCHITECTURE.md: a layer includes only what lies below it, and a foreign library has one door.
# Fails with the include that points the wrong way. ROOT is another tree, for checks_can_fail.sh.
set -uo pipefail
cd "${ROOT:-$(dirname "$0")/../..}" || exit 1
bad=0
grep() { command grep -s "$@"; } # a layer without a file yet breaks no rule

# includes PATTERN FOLDER...: file:line:#include of what matches, in the sources there.
includes() {
    local pattern=$1 folder
    shift
    for folder in "$@"; do
        [ -d "$folder" ] || continue
        grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]($pattern)" "$folder" --include='*.[ch]' --include='*.cc' --include='*.def'
    done
}

refuse() { # refuse WHAT, with the lines on stdin
    local found
    found=$(cat)
    [ -z "$found" ] || { echo "$1:"; echo "$found"; bad=1; }
}

# may LAYER [ALLOWED...]: every project include in LAYER begins with LAYER or one of ALLOWED. Written from the root, so there
# is a slash in it; generated headers of the FlatBuffers compiler are the exception.
may() {
    local allowed
    allowed=$(printf '%s/|' "$@")
    refuse "$1 may include only $*" < <(includes '[^>"]*"' "$1" | grep -E 'include[[:space:]]+"' |
        grep -vE "include[[:space:]]+\"(${allowed%|}|[a-z_]+_generated\.h)")
}
may common/base
may common/sys common/base
may proto common/base
may worker proto common/sys common/base
# The master knows of proto only the HTTP codec, and of the worker nothing but in main.c, the one file that sees both. The
# client side of ctl (ctl_x.c) writes messages, so it knows their codecs.
refuse "master may include only common, proto/http1.h and, in main.c, the worker" < <(includes '[^>"]*"' master |
    grep -E 'include[[:space:]]+"' | grep -vE 'include[[:space:]]+"(master/|common/sys/|common/base/|proto/http1\.h)' |
    grep -vE '^master/main\.c:.*include[[:space:]]+"(worker|proto)/' |
    grep -vE '^master/ctl_[a-z]+\.c:.*include[[:space:]]+"proto/')

# door LIBRARY HEADERS FILES: the headers are included by those files only (companion programs and tests are free).
door() {
    refuse "$1 has one door ($3)" < <(includes "$2" common proto worker master | grep -vE "^($3):")
}
door hiredis 'hiredis/|hiredis\.h' 'worker/redis[a-z_]*\.c'
door librdkafka 'librdkafka/|rdkafka' 'worker/(kafka_[a-z_]+\.[ch]|kafka\.c|devbroker[a-z_]*\.c)'
door libnats 'nats/|nats\.h' 'worker/bus_nats\.c'
door cJSON '(cjson/)?cJSON' 'proto/json\.c'
door FlatBuffers 'flatbuffers/|[a-z_]+_generated\.h' 'proto/[a-z0-9_]*\.cc'
door OpenSSL 'openssl/' 'proto/(sha1|ws_handshake)\.c|worker/jwt_keys\.c'
door epoll 'sys/epoll\.h' 'common/sys/loop\.c'
door SQLite 'sqlite3' 'nobody'
door PCRE2 'pcre2' 'nobody'
exit $bad
