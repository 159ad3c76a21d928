#include "worker/log.h"

#include <stdlib.h>
#include "common/base/macros.h"

static uint64_t cost(const struct hg_entry *e)
{
    return e->len + sizeof *e;
}

static void grow(struct hg_log *l)
{
    uint32_t cap = l->cap ? l->cap * 2 : 4;
    struct hg_entry *ring = hg_malloc(cap * sizeof *ring);

    for (uint64_t s = l->base; s != l->head; s++)
        ring[s & (cap - 1)] = *hg_log_at(l, s);
    free(l->ring);
    l->ring = ring;
    l->cap = cap;
}

void hg_log_insert(struct hg_log *l, uint64_t seq, const struct hg_entry *e)
{
    if (hg_log_count(l) == l->cap)
        grow(l);
    for (uint64_t s = l->head; s != seq; s--)
        *hg_log_at(l, s) = *hg_log_at(l, s - 1);
    *hg_log_at(l, seq) = *e;
    hg_log_at(l, seq)->cum = l->cum;
    l->head++;
    l->cum += cost(e);
    l->bytes += cost(e);
}

static void drop_spans(struct hg_entry *e, struct hg_frames *fr)
{
    for (int i = 0; i < HG_DIFF_ENCS; i++)
        hg_span_unref(fr, &e->enc[i]);
}

void hg_log_drop_front(struct hg_log *l, struct hg_frames *fr)
{
    struct hg_entry *e = hg_log_at(l, l->base);

    l->bytes -= cost(e);
    drop_spans(e, fr);
    l->base++;
}

void hg_log_clear(struct hg_log *l, struct hg_frames *fr)
{
    while (l->base != l->head)
        hg_log_drop_front(l, fr);
    free(l->ring);
    l->ring = NULL;
    l->cap = 0;
}

void hg_log_fini(struct hg_log *l, struct hg_frames *fr)
{
    hg_log_clear(l, fr);
    *l = (struct hg_log){0};
}

uint64_t hg_log_above(const struct hg_log *l, uint64_t lsn)
{
    uint64_t lo = l->base, hi = l->head;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (hg_log_at(l, mid)->lsn > lsn)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}
