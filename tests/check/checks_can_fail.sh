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

# compat WANTED [FILE TEXT]...: what the check of compatibility says of a tree of these files; WANTED "" means nothing at all.
compat() {
    local wanted=$1 out
    shift
    rm -rf "${tree:?}"/* && mkdir -p "$tree/docs" "$tree/tests/check" "$tree/tests/e2e"
    while [ $# -gt 0 ]; do
        printf '%s\n' "$2" >"$tree/$1"
        shift 2
    done
    if out=$(ROOT=$tree bash "$checks/compatibility.sh" 2>&1); then
        [ -z "$wanted" ] || { echo "compatibility passes, wanted: $wanted"; bad=1; }
    elif [ -z "$wanted" ] || ! grep -qF "$wanted" <<<"$out"; then
        echo "compatibility says: $out, wanted: $wanted"
        bad=1
    fi
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
must_fail layers worker/identity_jwt.c '#include <openssl/evp.h>'
must_fail layers worker/conn.c '#include <sys/epoll.h>'
must_pass layers master/main.c '#include "worker/worker.h"'
must_pass layers master/admin.c '#include "proto/http1.h"'
must_pass layers master/ctl_publish.c '#include "proto/json.h"'
must_fail layers master/control.c '#include "proto/json.h"'
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

items=tests/check/compatibility.items rows=docs/compatibility.md file=tests/e2e/a.test.mjs
row='| `a.b` | v1 | works | `tests/e2e/a.test.mjs`: one and … |'
# shellcheck disable=SC2016
code='  test(`one and ${more}`, {}, () => {});'
compat '' $items '# a list
a.b  1' $rows "$row" $file "$code"
compat 'no row for a.b' $items 'a.b  1'
compat 'a.b is no item' $items '# none' $rows "$row" $file "$code"
compat 'a.b is there twice' $items 'a.b 1
a.b 1' $rows "$row" $file "$code"
compat 'two rows for a.b' $items 'a.b 1' $rows "$row
$row" $file "$code"
compat 'no file tests/e2e/a.test.mjs' $items 'a.b 1' $rows "$row"
compat 'has no test named: one and …' $items 'a.b 1' $rows "$row" $file "test('one', () => {});"
compat 'no test in: nothing' $items 'a.b 1' $rows '| `a.b` | v1 | works | nothing |' $file "$code"
compat '3 cells' $items 'a.b 1' $rows '| `a.b` | works | `tests/e2e/a.test.mjs`: one and … |' $file "$code"
compat 'has the number in its title' $items 'B-1 15' $rows '| `B-1` | v1 | gone | `tests/e2e/a.test.mjs`: B-10: x |' $file "test('B-10: x', f);"
compat '' $items 'B-1 15' $rows '| `B-1` | v1 | gone | `tests/e2e/a.test.mjs`: it'"'"'s B-1 |' $file "test('it\\'s B-1', f);"

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
