/*
 * Query control: the change source learns on query_control_topic which live queries somebody has
 * (spec 13.1, B-11, B-23). Owns, per query of this worker, its bytes and its state
 * (control_state.h); asks members.h who else has it; knows Kafka as a function.
 *
 *   c = hg_control_new(&spec)
 *   hg_control_told(c, key, hash, query)    a subscribe: its query goes to Kafka at once, or when
 *                                           this worker is a member and no tombstone on its way
 *   hg_control_ended(c, key)                the stream is gone: a tombstone, when nobody else in
 *                                           the cluster has it
 *   hg_control_stop(c)                      the worker ends; Kafka still takes messages
 *   hg_control_free(c)                      after Kafka's end: no report comes any more
 *
 * What is promised of the last record of a key in the log, while Kafka and Redis answer: a query
 * while anybody in the cluster has one, and a null value once when the last has left, by
 * unsubscribe, close, death of the worker or of the host. Without Redis: per host, and a worker's
 * death tells nothing. While Redis or Kafka is away subscribes go on, queries are published as far
 * as Kafka takes them, ends wait; afterwards a key may get its tombstone twice, never one behind
 * the query of somebody who stays for longer than until that one's next query_control_republish.
 *
 * 1. Nothing here ever waits: what Kafka does not take is counted, and tried again with
 *    query_control_republish, or within a second where that is long. What it never takes (too
 *    big) is forgotten. At most UNSENT_MAX bytes are on their way.
 * 2. Above query_control_budget a query is kept until it is told, up to UNSENT_MAX bytes of such;
 *    beyond that it is told at once, member or not.
 * 3. Of two different queries under one key the one that came last is told.
 */
#ifndef HG_WORKER_CONTROL_H
#define HG_WORKER_CONTROL_H

#include "worker/kafka.h"
#include "worker/members.h"

struct hg_control;

struct hg_control_spec {
    struct hg_loop *loop;
    const struct hg_conf *conf;
    struct hg_metrics *m;
    struct hg_host *host;
    uint32_t seat;
    /* value.p NULL: a tombstone. 0: report->fn is called once, later; below 0: it is not. */
    int (*produce)(void *ctx, struct hg_slice key, struct hg_slice value,
                   struct hg_kafka_report *report);
    bool (*is_up)(void *ctx); /* does Kafka answer? */
    void *ctx;
};

struct hg_control *hg_control_new(const struct hg_control_spec *spec);
void hg_control_free(struct hg_control *c);
/* hash: of the key, the same in all workers of a host. An empty query is none: nothing is told of
 * it but its end. */
void hg_control_told(struct hg_control *c, struct hg_slice key, uint64_t hash,
                     struct hg_slice query);
void hg_control_ended(struct hg_control *c, struct hg_slice key);
void hg_control_stop(struct hg_control *c);

#endif
