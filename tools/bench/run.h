/*
 * One measured run: connect a crowd to one server, bring it into its rooms (or live queries), feed
 * messages, count what arrives, and say what it cost the server.
 *
 * Connection 0 publishes; connections 1..clients are members, member i of room (i - 1) % rooms. A
 * message begins with "HGB1" and 16 hex digits of the moment it was due, so that one clock measures
 * the whole way.
 */
#ifndef HG_TOOLS_BENCH_RUN_H
#define HG_TOOLS_BENCH_RUN_H

#include <netinet/in.h>
#include "tools/bench/hist.h"
#include "tools/bench/proc.h"

enum hg_run_feed { HG_FEED_BARE, HG_FEED_ROOM, HG_FEED_KAFKA };

struct hg_run_target {
    const char *name;
    struct sockaddr_in addr;
    enum hg_run_feed feed;
    struct hg_procs procs; /* whose CPU time and memory count */
    const char *brokers;   /* KAFKA */
    const char *table;     /* KAFKA: a table the SQL worker has */
};

struct hg_run_load {
    uint32_t clients, rooms;
    uint32_t size;     /* bytes of a message */
    uint32_t inflight; /* closed loop: messages on their way per client */
    double rate;       /* > 0: open loop, messages per second over all rooms */
    double warm, seconds;
};

struct hg_run_result {
    double deliveries_per_s;
    double cpu_s_per_million; /* CPU seconds of the server per million deliveries; 0 when its pids
                                 are unknown */
    double client_cpu; /* share of a CPU this program used: near 1 means that it was the limit */
    struct hg_hist latency;
    uint64_t deliveries;
};

void hg_run(const struct hg_run_target *t, const struct hg_run_load *l, struct hg_run_result *r);

/* Memory of idle connections: anonymous bytes of the server per connection, without and with one
 * subscription. */
struct hg_idle_result {
    double bytes_per_connection;
    double bytes_per_subscriber; /* connection and subscription; 0 when not measured */
    double cpu_ms_per_s;         /* of the server while nothing happens */
};
void hg_run_idle(const struct hg_run_target *t, uint32_t clients, uint32_t streams,
                 struct hg_idle_result *r);
/* Handshakes per second until all are open. */
double hg_run_accept(const struct hg_run_target *t, uint32_t clients);

#endif
