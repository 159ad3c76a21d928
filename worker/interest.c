#include "worker/interest.h"

#include <stdlib.h>
#include "common/base/macros.h"
#include "common/sys/ring.h"

void hg_interests_init(struct hg_interests *in, struct hg_host *host, uint32_t seat)
{
    *in = (struct hg_interests){.host = host, .seat = seat};
    in->counts = hg_calloc(HG_INTEREST_BUCKETS, sizeof *in->counts);
}

void hg_interests_fini(struct hg_interests *in)
{
    free(in->counts);
    free(in->queue);
    *in = (struct hg_interests){0};
}

void hg_interest_hold(struct hg_interests *in, uint64_t hash)
{
    /* Set each time the count leaves 0: fetch_or of a bit that still lingers costs nothing, and the
     * fence is wanted. */
    if (in->counts[hg_interest_bucket(hash)]++ == 0)
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

void hg_interest_drop(struct hg_interests *in, uint64_t hash, struct hg_mono when)
{
    uint32_t b = hg_interest_bucket(hash);

    HG_BUG_ON(in->counts[b] == 0);
    if (--in->counts[b] > 0)
        return;
    if (in->n == in->cap)
        queue_grow(in);
    in->queue[(in->head + in->n++) % in->cap] = (struct hg_linger){b, when};
}

void hg_interest_sweep(struct hg_interests *in, struct hg_mono now)
{
    while (in->n > 0 && hg_mono_reached(now, in->queue[in->head].when)) {
        uint32_t b = in->queue[in->head].bucket;

        in->head = (in->head + 1) % in->cap;
        in->n--;
        if (in->counts[b] == 0)
            hg_interest_clear(in->host, in->seat, b);
    }
}
