# Sourced by the scripts beside it: where the project is, one way to speak, one way to fail, free loopback ports.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/build/cache

say() { printf '%s %s\n' "--" "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# A loopback port that nobody listens on, below the range the kernel hands out for outgoing connections.
free_port() {
    local port
    for _ in $(seq 200); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return 0
        fi
    done
    fail "no free port on 127.0.0.1"
}

# wait_until SECONDS WHAT COMMAND...: polls until the command succeeds.
wait_until() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "$what: not there in time"
        sleep 0.2
    done
}

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
