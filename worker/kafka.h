/*
 * The only door to librdkafka (with devbroker.c). Owns the client handles of one worker: a change
 * consumer, a reply consumer and a producer, made after fork. Their threads stay behind event
 * queues that wake the loop; every callback here runs on the loop thread. Knows topics, partitions,
 * offsets and bytes; no stream, no LSN, no JSON.
 *
 *   k = hg_kafka_new(&spec);       never fails for an absent broker: it connects for ever
 *   hg_kafka_changes_apply(k);     after share_epoch moved: start and stop partitions as
 *                                  hg_host_holds says
 *   hg_kafka_produce(k, &msg)      queued locally; -HG_E_FULL; never blocks
 *   hg_kafka_free(k, flush_ms);    flushes the producer, deletes an own reply topic
 *
 * Changes: assign() without a group, explicit offsets only, auto.offset.reset=error, nothing
 * committed. A partition starts at hg_part.next when that is stored; else, when it was there at the
 * start of the host (index < start_count), at its last data record (TAIL(1), stepping back over
 * transaction markers until one is found or the log's start is reached), so that its LSN can be
 * noted; else at 0. on_record is called for each record in offset order; when it returns false
 * (ring full, budget) that record is kept and offered again after hg_kafka_resume(k), and nothing
 * else is taken from the queue meanwhile.
 */
#ifndef HG_WORKER_KAFKA_H
#define HG_WORKER_KAFKA_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/slice.h"
#include "common/sys/conf.h"
#include "common/sys/host.h"
#include "common/sys/loop.h"

struct hg_kafka;

struct hg_kafka_header {
    struct hg_slice name, value;
};

struct hg_kafka_record { /* all slices live until the callback returns */
    uint32_t topic;      /* index in hg_host.topics; UINT32_MAX for replies */
    uint32_t part;       /* part of common/sys/host.h */
    int64_t offset;
    int64_t stamp_ms;      /* time stamp of the record, 0 if none */
    struct hg_slice key;   /* p == NULL: none */
    struct hg_slice value; /* p == NULL: null */
    bool is_last_at_start; /* read only to learn the watermark of a log that was there before us:
                              not to be handed on */
    const void *impl;      /* for hg_kafka_record_header */
};
/* First header named one of names (NULL-terminated list, in order of preference); false if there is
 * none. */
bool hg_kafka_record_header(const struct hg_kafka_record *r, const char *const *names,
                            struct hg_slice *value);

struct hg_kafka_events {
    /* A change record. false: not now (see above). */
    bool (*on_record)(void *ctx, const struct hg_kafka_record *r);
    /* The start position of a partition is known: no record will come for it before next. The door
     * has not stored it: the callee stores hg_part.next (= next), known. Called once per partition
     * and start; also for empty logs. */
    void (*on_position)(void *ctx, uint32_t part, int64_t next);
    /* The stored position is gone (out of range, or end below it: a topic made anew). The door goes
     * on at next (log start). */
    void (*on_position_lost)(void *ctx, uint32_t part, int64_t next);
    /* A reply record on the reply topic. */
    void (*on_reply)(void *ctx, const struct hg_kafka_record *r);
    /* Delivery report of a produced message that asked for one (msg.want_report): 0; -HG_E_TOO_BIG
     * or -HG_E_RPC_UNAVAILABLE: it is in no log; -HG_E_RPC_TIMEOUT or -HG_E_RPC_SHUTDOWN: it may
     * be. */
    void (*on_report)(void *ctx, void *opaque, int err);
    /* A broker answers / none does any more; and whether replies can be received (reply topic made
     * and assigned). */
    void (*on_state)(void *ctx, bool up, bool replies_ready);
    void *ctx;
};

struct hg_kafka_spec {
    struct hg_loop *loop;
    struct hg_host *host;
    const struct hg_conf *conf;
    uint32_t seat;
    struct hg_metrics *metrics;
    struct hg_kafka_events ev;
    unsigned nworkers; /* the prefetch is divided by this */
};

struct hg_kafka_msg {
    const char *topic;
    struct hg_slice key, value; /* copied; value.p == NULL: a tombstone */
    bool want_report;
    void *opaque;
};

/* What opaque points to where several parts of a worker ask for reports: first member of theirs. */
struct hg_kafka_report {
    void (*fn)(struct hg_kafka_report *r, int err); /* frees it */
};

struct hg_kafka *hg_kafka_new(const struct hg_kafka_spec *spec);
void hg_kafka_free(struct hg_kafka *k, int flush_ms);
void hg_kafka_changes_apply(struct hg_kafka *k);
void hg_kafka_resume(struct hg_kafka *k); /* after on_record said false */
void hg_kafka_pause(struct hg_kafka *k,
                    bool pause); /* take nothing from the change queue; replies go on */
int hg_kafka_produce(struct hg_kafka *k, const struct hg_kafka_msg *m) HG_MUST_CHECK;
const char *hg_kafka_reply_topic(const struct hg_kafka *k); /* stable from new on */
bool hg_kafka_is_up(const struct hg_kafka *k);
bool hg_kafka_replies_ready(const struct hg_kafka *k);
uint32_t hg_kafka_held(const struct hg_kafka *k); /* partitions being consumed */

#endif
