#!/bin/bash
# proto and common/base are fed bytes and hand back facts: no socket, clock, file, log or process in them. What their objects
# ask of the outside is compared with a list of what a codec must not touch.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD:-build/debug}
forbidden='(recv|send|sendto|recvfrom|sendmsg|recvmsg|socket|connect|accept4?|listen|bind|poll|epoll_[a-z0-9]+|select|open|openat|fopen|read|write|writev|readv|close|dup2?|fork|execv[a-z]*|kill|signal|sigaction|mmap|time|clock_gettime|gettimeofday|usleep|nanosleep|sleep|printf|fprintf|puts|fputs|syslog|getenv|rand|srand|pthread_[a-z_]+|hg_log[a-z_]*)'
bad=0
for lib in base proto; do
    archive=$build/libhg_$lib.a
    [ -e "$archive" ] || { echo "$archive is not built"; exit 1; }
    found=$(nm -A -u "$archive" | grep -E " U $forbidden(@.*)?$" || true)
    # An aborted promise prints itself: that one file may.
    found=$(echo "$found" | grep -vE ':(macros|bug)\.c\.o:' || true)
    [ -z "$found" ] || { echo "hg_$lib is not pure:"; echo "$found"; bad=1; }
done
exit $bad
