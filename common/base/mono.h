/*
 * struct hg_mono: a moment on the monotonic clock in microseconds, so that it can't be mixed up
 * with a duration or the wall clock. Nobody below common/sys reads a clock: "now" is an argument.
 */
#ifndef HG_COMMON_BASE_MONO_H
#define HG_COMMON_BASE_MONO_H

#include <stdbool.h>
#include <stdint.h>

struct hg_mono {
    int64_t us;
};

#define HG_MS 1000LL /* microseconds */
#define HG_S 1000000LL

static inline struct hg_mono hg_mono_add(struct hg_mono t, int64_t us)
{
    return (struct hg_mono){t.us + us};
}
static inline int64_t hg_mono_sub(struct hg_mono a, struct hg_mono b) /* a - b in microseconds */
{
    return a.us - b.us;
}
static inline bool hg_mono_reached(struct hg_mono now, struct hg_mono t)
{
    return now.us >= t.us;
}

#endif
