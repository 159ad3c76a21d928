#!/bin/bash
# run_real.sh [flags]: a real Apache Kafka and a redis-server on free loopback ports, then headgate --dev on both.
# Ctrl-C stops all three; what they stored is removed.
set -euo pipefail
. "$(dirname "$0")/common.sh"
bin=$root/build/release/headgate
"$root/tools/setup/apt.sh" kafka redis
"$root/tools/setup/kafka.sh" jars

dir=$(mktemp -d)
servers=()
stop_all() {
    trap '' INT TERM
    [ ${#servers[@]} = 0 ] || { kill "${servers[@]}" 2>/dev/null; wait "${servers[@]}" 2>/dev/null; } || true
    rm -rf "$dir"
    say "stopped Kafka and Redis"
}
trap stop_all EXIT
trap : INT TERM

kafka_port=$(free_port)
controller_port=$(free_port)
redis_port=$(free_port)
say "starting Apache Kafka on 127.0.0.1:$kafka_port"
"$root/tools/setup/kafka.sh" serve "$dir/kafka" "$kafka_port" "$controller_port" >"$dir/kafka.log" 2>&1 &
servers+=($!)
say "starting redis-server on 127.0.0.1:$redis_port"
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$dir" --save '' --daemonize no >"$dir/redis.log" 2>&1 &
servers+=($!)
wait_until 60 "Kafka (see $dir/kafka.log)" port_answers "$kafka_port"
wait_until 10 "Redis (see $dir/redis.log)" port_answers "$redis_port"

flags=(--dev --kafka-brokers "127.0.0.1:$kafka_port" --backplane redis --backplane-url "redis://127.0.0.1:$redis_port" "$@")
say "starting headgate ${flags[*]}; Ctrl-C stops all three"
rc=0
"$bin" "${flags[@]}" || rc=$?
exit $rc
