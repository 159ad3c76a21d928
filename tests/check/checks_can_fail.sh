#!/bin/bash
# The other checks, each on a small tree that breaks its rule: one that passes there would say nothing here.
set -uo pipefail
checks=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
bad=0

# must_fail CHECK FILE TEXT [WORD]: with this file in the tree the check fails and names WORD, by default the file.
must_fail() {
    local check=$1 file=$2 text=$3 word=${4:-$2} out
    rm -rf "${tree:?}"/* && mkdir -p "$tree/$(dirname "$file")"
    printf '%s\n' "$text" >"$tree/$file"
    if out=$(ROOT=$tree BUILD=$tree bash "$checks/$check.sh" 2>&1); then
        echo "$check passes with $file: $text"
        bad=1
    elif ! grep -qF "$word" <<<"$out"; then
        echo "$check fails with $file, but does not say so: $out"
        bad=1
    fi
}

must_pass() {
    local check=$1 file=$2 text=$3 out
    rm -rf "${tree:?}"/* && mkdir -p "$tree/$(dirname "$file")"
    printf '%s\n' "$text" >"$tree/$file"
    out=$(ROOT=$tree bash "$checks/$check.sh" 2>&1) || { echo "$check fails with $file: $text: $out"; bad=1; }
}

must_fail layers common/base/x.c '#include "common/sys/loop.h"'
must_fail layers common/sys/x.h '#  include "proto/op.h"'
must_fail layers proto/x.c '#include "common/sys/log.h"'
must_fail layers proto/x.c '#include "op.h"'
must_fail layers worker/x.c '#include "master/slots.h"'
must_fail layers master/x.c '#include "worker/worker.h"'
must_fail layers master/x.c '#include "proto/ws_msg.h"'
must_fail layers worker/hub.c '#include <hiredis/async.h>'
must_fail layers worker/hub.c '#include <librdkafka/rdkafka.h>'
must_fail layers worker/bus.c '#include <nats/nats.h>'
must_fail layers worker/kafka.h '#include <librdkafka/rdkafka.h>'
must_fail layers proto/op.c '#include <cjson/cJSON.h>'
must_fail layers proto/op.c '#include "sql_schema_generated.h"'
must_fail layers worker/conn.c '#include <sys/epoll.h>'
must_pass layers master/main.c '#include "worker/worker.h"'
must_pass layers master/admin.c '#include "proto/http1.h"'
must_pass layers worker/redis.c '#include <hiredis/async.h>'
must_pass layers worker/conn.c '#include "proto/http1.h"'
must_fail close_codes_in_one_place worker/x.c 'int a = 1012;'
must_fail close_codes_in_one_place master/x.h '#define A 1001'
must_pass close_codes_in_one_place worker/x.c '/* closed
 * with 1012 */ int a = 10120; // 1001'
must_fail headers_alone worker/x.h 'size_t n;'
must_pass headers_alone worker/x.h '#include <stddef.h>
struct x { size_t n; };'
must_fail docs_links docs/x.md 'see [there](y.md)'
must_fail docs_links x.md '[below](#nothing)'
must_fail docs_links ARCHITECTURE.md 'proven by `e2e/nothing`' e2e/nothing
must_pass docs_links x.md '# A title, `so`
[above](#a-title-so), [elsewhere](https://example.com/y.md)'

# An object that reads the clock.
rm -rf "${tree:?}"/*
echo 'int f(void);' | ${CC:-cc} -x c -c - -o "$tree/empty.o"
echo '#include <time.h>
int f(void); int f(void) { return (int)time(0); }' | ${CC:-cc} -x c -c - -o "$tree/clock.o"
ar rc "$tree/libhg_base.a" "$tree/empty.o"
ar rc "$tree/libhg_proto.a" "$tree/empty.o"
BUILD=$tree bash "$checks/proto_is_pure.sh" || { echo "proto_is_pure fails with nothing in it"; bad=1; }
ar rc "$tree/libhg_proto.a" "$tree/clock.o"
out=$(BUILD=$tree bash "$checks/proto_is_pure.sh")
grep -q 'clock\.o time' <<<"$out" || { echo "proto_is_pure passes with time(): $out"; bad=1; }
exit $bad
