/*
 * The gateway that the benchmark starts for itself: one headgate on a free loopback port, without
 * Kafka, or with librdkafka's mock cluster (in this process) and a headgate-sqlworker on a database
 * of its own.
 *
 *   struct hg_bench_server s;
 *   hg_bench_server_start(&s, headgate, workers, with_kafka);    dies when it does not come up
 *   s.target ...
 *   hg_bench_server_stop(&s);
 */
#ifndef HG_TOOLS_BENCH_SERVER_H
#define HG_TOOLS_BENCH_SERVER_H

#include "tools/bench/run.h"

struct hg_bench_server {
    struct hg_run_target target;
    pid_t master, sqlworker;
    void *mock, *mock_owner; /* private to server.c */
    char brokers[128], db[64];
};

void hg_bench_server_start(struct hg_bench_server *s, const char *headgate, int workers,
                           int with_kafka);
void hg_bench_server_stop(struct hg_bench_server *s);
/* A program beside this one, or one folder up. */
void hg_bench_find(const char *name, char *path, size_t cap);

#endif
