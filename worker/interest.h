/*
 * This worker's interest in rooms: exact private counts per bucket of the shared table, and the
 * delay before a bit is taken back (interest_linger), so that churn does not touch shared memory.
 * Owns the counts; never walks a ring.
 *
 *   hg_interest_hold(&in, hash);          first of its bucket: the bit is set, with a full fence;
 *                                         who needs more than wakes walks the rings then
 *   hg_interest_drop(&in, hash, when);    last of its bucket: the bit may go from then on, unless
 *                                         it is held again
 *   hg_interest_sweep(&in, now);          now and then
 */
#ifndef HG_WORKER_INTEREST_H
#define HG_WORKER_INTEREST_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/mono.h"
#include "common/sys/host.h"

struct hg_bucket {
    uint32_t held;
    bool lingers;       /* it is in the queue: once, however often its rooms come and go */
    struct hg_mono due; /* no earlier than this, once nobody holds it */
};

struct hg_linger {
    uint32_t bucket;
    struct hg_mono when; /* to look at it again */
};

struct hg_interests {
    struct hg_host *host;
    uint32_t seat;
    struct hg_bucket *buckets; /* HG_INTEREST_BUCKETS */
    struct hg_linger *queue;   /* ring of those that linger, nearly in order of time */
    uint32_t head, n, cap;
};

void hg_interests_init(struct hg_interests *in, struct hg_host *host, uint32_t seat);
void hg_interests_fini(struct hg_interests *in);
void hg_interest_hold(struct hg_interests *in, uint64_t hash);
void hg_interest_drop(struct hg_interests *in, uint64_t hash, struct hg_mono when);
/* Takes back the bits whose time has come. Called now and then. */
void hg_interest_sweep(struct hg_interests *in, struct hg_mono now);
static inline bool hg_interest_is_held(const struct hg_interests *in, uint64_t hash)
{
    return in->buckets[hash % HG_INTEREST_BUCKETS].held > 0;
}

#endif
