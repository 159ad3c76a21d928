/*
 * A histogram of durations in nanoseconds: 32 linear steps per power of two, so a quantile is right
 * to 3 %. Fixed memory, no allocation.
 */
#ifndef HG_TOOLS_BENCH_HIST_H
#define HG_TOOLS_BENCH_HIST_H

#include <stdint.h>

enum { HG_HIST_SUB = 32, HG_HIST_BUCKETS = 60 * HG_HIST_SUB };

struct hg_hist {
    uint64_t n, max;
    uint32_t at[HG_HIST_BUCKETS];
};

static inline unsigned hg_hist_bucket(uint64_t ns)
{
    if (ns < HG_HIST_SUB)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 5; /* the top 6 bits: 32..63 */
    unsigned b = (shift + 1) * HG_HIST_SUB + (unsigned)(ns >> shift) - HG_HIST_SUB;
    return b < HG_HIST_BUCKETS ? b : HG_HIST_BUCKETS - 1;
}

static inline void hg_hist_add(struct hg_hist *h, uint64_t ns)
{
    h->n++;
    h->at[hg_hist_bucket(ns)]++;
    if (ns > h->max)
        h->max = ns;
}

/* Upper edge of the bucket that holds quantile q. 0 when empty. */
static inline uint64_t hg_hist_quantile(const struct hg_hist *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->n), seen = 0;
    for (unsigned b = 0; b < HG_HIST_BUCKETS; b++) {
        seen += h->at[b];
        if (h->at[b] && seen > want) {
            if (b < HG_HIST_SUB)
                return b;
            unsigned shift = b / HG_HIST_SUB - 1;
            if (b == HG_HIST_BUCKETS - 1) /* its upper edge is 2^64 */
                return h->max;
            uint64_t edge = ((uint64_t)(b % HG_HIST_SUB) + HG_HIST_SUB + 1) << shift;
            return edge < h->max ? edge : h->max;
        }
    }
    return h->max;
}

#endif
