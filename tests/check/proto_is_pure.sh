#!/bin/bash
# proto and common/base are fed bytes and hand back facts: no socket, clock, file, log or process. What their objects ask of
# the outside is compared with what a codec may need: memory, strings, digests, cJSON, and themselves.
# BUILD is the build directory.
set -uo pipefail
build=${BUILD:-$(dirname "$0")/../../build/debug}
memory='malloc|calloc|realloc|free|abort|__stack_chk_fail'
bytes='mem[a-z]+|str[a-z]+|(__)?(v)?snprintf(_chk)?|__(mem|str)[a-z]+_chk|__isoc[0-9]*_strto[a-z]+|tolower|toupper|__ctype_[a-z_]+|qsort|bsearch|__memcpy_chk'
maths='floor|ceil|trunc|round|fmod|ldexp|frexp|pow'
libraries='EVP_[A-Za-z0-9_]+|SHA1|cJSON_[A-Za-z0-9]+'
# What the FlatBuffers headers leave undefined without exceptions: new, delete, the throwers, tree and string helpers.
cplusplus='_Zn[aw]m.*|_Zd[al]Pv.*|_ZSt[0-9]+__throw_[a-z_]+.*|_ZSt[0-9]+_Rb_tree_[a-z_]+.*|_ZNK?S[ts].*|_ZNKSt.*|__cxa_[a-z_]+|__dso_handle|__gxx_personality_v0|_Unwind_Resume'
# A broken promise prints itself before it aborts (common/base/macros.c).
bug='fprintf|__fprintf_chk|fflush|stderr|fwrite'
sanitizers='__(asan|ubsan|tsan|sanitizer|sancov)_[A-Za-z0-9_]+|_GLOBAL_OFFSET_TABLE_|__start___sancov_[a-z0-9_]*|__stop___sancov_[a-z0-9_]*'
own=$(mktemp)
trap 'rm -f "$own"' EXIT
nm=${NM:-nm}
command -v gcc-nm >/dev/null && nm=${NM:-gcc-nm} # reads link-time-optimised objects too
bad=0
for lib in base proto; do
    archive=$build/libhg_$lib.a
    [ -e "$archive" ] || { echo "$archive is not built"; exit 1; }
    $nm --defined-only "$archive" 2>/dev/null | awk 'NF == 3 {print $3}' >>"$own"
    found=$($nm -A -u "$archive" 2>/dev/null | sed -E 's/^.*:([^:]+\.o):.* U ([^@]*).*$/\1 \2/' | sort -u |
        grep -vE " ($memory|$bytes|$maths|$libraries|$cplusplus|$sanitizers)$" | grep -vE "^macros\.c\.o ($bug)$" |
        while read -r object symbol; do grep -qxF "$symbol" "$own" || echo "$object $symbol"; done)
    [ -z "$found" ] || { echo "hg_$lib is not pure:"; echo "$found"; bad=1; }
done
exit $bad
