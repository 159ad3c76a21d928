#include "worker/interest.h"

#include <stdlib.h>
#include "common/base/macros.h"
#include "common/sys/ring.h"

void hg_interests_init(struct hg_interests *in, struct hg_host *host, uint32_t seat)
{
    *in = (struct hg_interests){.host = host, .seat = seat};
    in->buckets = hg_calloc(HG_INTEREST_BUCKETS, sizeof *in->buckets);
}

void hg_interests_fini(struct hg_interests *in)
{
    free(in->buckets);
    free(in->queue);
    *in = (struct hg_interests){0};
}

void hg_interest_hold(struct hg_interests *in, uint64_t hash)
{
    /* Set each time the count leaves 0: fetch_or of a bit that still lingers costs nothing, and the
     * fence is wanted. */
    if (in->buckets[hg_interest_bucket(hash)].held++ == 0)
        hg_interest_set(in->host, in->seat, hash);
}

static void queue_grow(struct hg_interests *in)
{
    uint32_t cap = in->cap ? in->cap * 2 : 64;
    struct hg_linger *q = hg_malloc(cap * sizeof *q);

    for (uint32_t i = 0; i < in->n; i++)
        q[i] = in->queue[(in->head + i) % in->cap];
    free(in->queue);
    in->queue = q;
    in->head = 0;
    in->cap = cap;
}

static void look_again(struct hg_interests *in, uint32_t bucket, struct hg_mono when)
{
    if (in->n == in->cap)
        queue_grow(in);
    in->queue[(in->head + in->n++) % in->cap] = (struct hg_linger){bucket, when};
    in->buckets[bucket].lingers = true;
}

void hg_interest_drop(struct hg_interests *in, uint64_t hash, struct hg_mono when)
{
    uint32_t bucket = hg_interest_bucket(hash);
    struct hg_bucket *b = &in->buckets[bucket];

    HG_BUG_ON(b->held == 0);
    if (--b->held > 0)
        return;
    b->due = when;
    if (!b->lingers)
        look_again(in, bucket, when);
}

void hg_interest_sweep(struct hg_interests *in, struct hg_mono now)
{
    while (in->n > 0 && hg_mono_reached(now, in->queue[in->head].when)) {
        uint32_t bucket = in->queue[in->head].bucket;
        struct hg_bucket *b = &in->buckets[bucket];

        in->head = (in->head + 1) % in->cap;
        in->n--;
        b->lingers = false;
        if (b->held > 0)
            continue;
        if (hg_mono_reached(now, b->due))
            hg_interest_clear(in->host, in->seat, bucket);
        else
            look_again(in, bucket, b->due);
    }
}
