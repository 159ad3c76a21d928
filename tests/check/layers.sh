#!/bin/bash
# The arrows of ARCHITECTURE.md: a layer includes only what lies below it, and a foreign library has one door.
# Fails with the include that points the wrong way.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0

# may LAYER ALLOWED...: every project include in LAYER begins with LAYER or one of ALLOWED.
may() {
    local layer=$1 allowed
    allowed=$(printf '%s|' "$@" | sed 's/|$//')
    local found
    found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' "$layer" --include='*.[ch]' --include='*.cc' --include='*.def' |
        grep -vE "include[[:space:]]+\"($allowed)/" | grep -vE 'include[[:space:]]+"[a-z_]+_generated\.h"' || true)
    if [ -n "$found" ]; then
        echo "$layer may include only $*:"
        echo "$found"
        bad=1
    fi
}
may common/base
may common/sys common/base
may proto common/base
may worker proto common/sys common/base
# main.c is the one file that sees both; it is checked for nothing else.
found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"worker/' master --include='*.[ch]' | grep -v '^master/main\.c:' || true)
[ -z "$found" ] || { echo "master knows the worker only in main.c:"; echo "$found"; bad=1; }
found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' master --include='*.[ch]' | grep -vE 'include[[:space:]]+"(master|worker|proto/http1|common/sys|common/base)[/.]' |
    grep -v '^master/main\.c:' || true)
[ -z "$found" ] || { echo "master includes only common and proto's HTTP codec:"; echo "$found"; bad=1; }

# door LIBRARY PATTERN FILES: the header is included by those files only (the companion programs in tools/ are their own).
door() {
    local found
    found=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]$2" common proto worker master --include='*.[ch]' --include='*.cc' |
        grep -vE "^($3):" || true)
    [ -z "$found" ] || { echo "$1 has one door ($3):"; echo "$found"; bad=1; }
}
door hiredis 'hiredis/' 'worker/(redis|bus_redis)[a-z_]*\.c'
door librdkafka 'librdkafka/' 'worker/(kafka|devbroker)[a-z_]*\.c'
door cJSON '(cjson/)?cJSON\.h' 'proto/json\.c'
door FlatBuffers 'flatbuffers/|sql_[a-z]+_generated\.h' 'proto/[a-z_]*\.cc'
door epoll 'sys/epoll\.h' 'common/sys/loop\.c'
exit $bad
