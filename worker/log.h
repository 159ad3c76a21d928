/*
 * The log of a stream: a ring of entries numbered without end, sorted by LSN. Owns the spans of its
 * entries. Pure but for the heap; decides nothing (caps and order are stream.c's).
 */
#ifndef HG_WORKER_LOG_H
#define HG_WORKER_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include "worker/frame.h"

/* How diffs are wrapped for a subscriber. */
enum hg_diff_enc { HG_DIFF_RAW, HG_DIFF_TAGGED, HG_DIFF_B64, HG_DIFF_ENCS };

struct hg_entry {
    uint64_t lsn;
    int64_t offset;
    uint64_t cum;       /* bytes of all entries there were before it; not kept exact by inserts */
    uint32_t part, len; /* len: of the payload */
    bool cached;        /* of the hot cache: its place in Kafka is not known */
    struct hg_span enc[HG_DIFF_ENCS]; /* RAW always; the others when first needed */
};

struct hg_log { /* entries [base, head) by number; zeroed is empty */
    struct hg_entry *ring;
    uint32_t cap;
    uint64_t base, head;
    uint64_t bytes; /* payload of the entries here, and their structs */
    uint64_t cum;   /* of all there ever were */
};

static inline struct hg_entry *hg_log_at(const struct hg_log *l, uint64_t seq)
{
    return &l->ring[seq & (l->cap - 1)];
}
static inline uint64_t hg_log_count(const struct hg_log *l)
{
    return l->head - l->base;
}
/* Puts an entry at number seq (base <= seq <= head), moving later ones up by one. Takes its
 * spans. */
void hg_log_insert(struct hg_log *l, uint64_t seq, const struct hg_entry *e);
void hg_log_drop_front(struct hg_log *l, struct hg_frames *fr);
void hg_log_clear(struct hg_log *l, struct hg_frames *fr); /* base moves to head */
void hg_log_fini(struct hg_log *l, struct hg_frames *fr);
/* Number of the first entry with LSN above lsn; head if there is none. */
uint64_t hg_log_above(const struct hg_log *l, uint64_t lsn);

#endif
