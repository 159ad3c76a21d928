/*
 * Timers in a binary heap of intrusive nodes. Never reads the clock: "now" is an argument. Owns the
 * heap array only.
 *
 *   hg_timer_start(&ts, &t, when, fn, arg);   starting a running timer moves it
 *   next = hg_timers_next(&ts);               when the loop must wake at the latest
 *   hg_timers_run(&ts, now);                  calls what is due, earliest first; each timer is
 * stopped before its call
 *
 * 1. A callback may start and stop any timer: what it stops is not called, what it starts is not
 *    called in this run, however early it is due. So a timer that restarts itself for "now" starves
 *    nobody.
 *
 * For thousands of coarse per-connection deadlines use a wheel of your own, not this.
 */
#ifndef HG_COMMON_BASE_TIMERS_H
#define HG_COMMON_BASE_TIMERS_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/mono.h"

typedef void (*hg_timer_fn)(void *arg, struct hg_mono now);

struct hg_timer {
    struct hg_mono when;
    uint32_t slot; /* private: index + 1 in the heap; 0 = stopped */
    hg_timer_fn fn;
    void *arg;
};

struct hg_timers {
    struct hg_timer **heap; /* private; zeroed struct is empty and valid */
    uint32_t n, cap;
    struct hg_timer **due; /* private: what the running hg_timers_run still has to call */
    uint32_t ndue, due_cap;
};

void hg_timers_fini(struct hg_timers *ts);
void hg_timer_start(struct hg_timers *ts, struct hg_timer *t, struct hg_mono when, hg_timer_fn fn,
                    void *arg);
void hg_timer_stop(struct hg_timers *ts, struct hg_timer *t); /* stopping a stopped timer is fine */
static inline bool hg_timer_is_running(const struct hg_timer *t)
{
    return t->slot != 0;
}
bool hg_timers_next(const struct hg_timers *ts, struct hg_mono *when); /* false: none */
void hg_timers_run(struct hg_timers *ts, struct hg_mono now);

#endif
