#!/bin/bash
# A real Apache Kafka, one KRaft node (broker and controller in one JVM), for tests and for trying out.
#   tools/setup/kafka.sh jars                                    fetch the jars, once
#   tools/setup/kafka.sh serve DIR BROKER_PORT CONTROLLER_PORT   format DIR if it is new, then become the server
# It listens on 127.0.0.1 only. DIR keeps the log over a restart on the same ports; remove it when done.
set -euo pipefail
. "$(dirname "$0")/common.sh"
jars=$cache/kafka
pom=$root/tests/support/kafka/pom.xml

# Fetched into a folder beside and moved at the end: a broken download is never taken for a whole one.
fetch_jars() {
    if [ ! -e "$jars/pom.xml" ] || ! cmp -s "$pom" "$jars/pom.xml"; then
        say "fetching the jars of Apache Kafka (56 MB, once)"
        rm -rf "$jars" "$jars.new"
        mkdir -p "$cache"
        mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$jars.new" >"$cache/maven.log" 2>&1 ||
            { tail -5 "$cache/maven.log" >&2; fail "Maven could not fetch the jars; see $cache/maven.log"; }
        cp "$pom" "$jars.new/pom.xml"
        mv "$jars.new" "$jars"
    fi
}

write_properties() {
    cat >"$1/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
log.dirs=$1/log
auto.create.topics.enable=true
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=33554432
replica.fetch.max.bytes=33554432
log.retention.ms=-1
END
    cat >"$1/log4j.properties" <<END
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c %m%n
END
}

serve() {
    local dir=$1
    local jvm=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx320m "-Dlog4j.configuration=file:$dir/log4j.properties"
        -cp "$jars/*")
    fetch_jars
    mkdir -p "$dir"
    write_properties "$dir" "$2" "$3"
    if [ ! -e "$dir/log/meta.properties" ]; then
        "${jvm[@]}" kafka.tools.StorageTool format -t aGVhZGdhdGUtdGVzdHM0Mg -c "$dir/server.properties"
    fi
    exec "${jvm[@]}" kafka.Kafka "$dir/server.properties"
}

case ${1:-} in
jars) fetch_jars ;;
serve) [ $# = 4 ] || fail "serve wants DIR BROKER_PORT CONTROLLER_PORT"; serve "$2" "$3" "$4" ;;
*) fail "say jars or serve" ;;
esac
