/*
 * How many messages per second a peer may send, with a burst: one number per peer, no timer. The
 * number is the moment from which a message would be exactly on time (a leaky bucket seen from its
 * other end). Pure.
 *
 *   int64_t rate = 0;                                             per peer
 *   if (!hg_rate_take(&rate, now_us, per_second, burst)) refuse;
 */
#ifndef HG_WORKER_RATE_H
#define HG_WORKER_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* May one more be sent now? burst of them may follow each other at once. per_second 0: always. A
 * refused one costs nothing. */
static inline bool hg_rate_take(int64_t *rate, int64_t now_us, int64_t per_second, int64_t burst)
{
    int64_t each, from;

    if (per_second <= 0)
        return true;
    each = 1000000 / per_second;
    from = *rate > now_us ? *rate : now_us;
    if (from - now_us > (burst - 1) * each)
        return false;
    *rate = from + each;
    return true;
}

#endif
