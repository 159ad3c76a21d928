/*
 * See timers.h. heap[0] is the earliest; a timer knows its place (slot), so stop is O(log n).
 *
 * hg_timers_run first moves all that is due out of the heap into due[], then calls. A timer there
 * is still "running": its slot has DUE set beside the index into due[], so that a stop or restart
 * by an earlier callback finds and empties it.
 */
#include "common/base/timers.h"

#include <stdlib.h>
#include "common/base/macros.h"

#define DUE 0x80000000u

static void place(struct hg_timers *ts, uint32_t i, struct hg_timer *t)
{
    ts->heap[i] = t;
    t->slot = i + 1;
}

static void sift_up(struct hg_timers *ts, uint32_t i, struct hg_timer *t)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;

        if (ts->heap[parent]->when.us <= t->when.us)
            break;
        place(ts, i, ts->heap[parent]);
        i = parent;
    }
    place(ts, i, t);
}

static void sift_down(struct hg_timers *ts, uint32_t i, struct hg_timer *t)
{
    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= ts->n)
            break;
        if (child + 1 < ts->n && ts->heap[child + 1]->when.us < ts->heap[child]->when.us)
            child++;
        if (ts->heap[child]->when.us >= t->when.us)
            break;
        place(ts, i, ts->heap[child]);
        i = child;
    }
    place(ts, i, t);
}

static void heap_remove(struct hg_timers *ts, struct hg_timer *t)
{
    uint32_t i = t->slot - 1;
    struct hg_timer *last = ts->heap[--ts->n];

    t->slot = 0;
    if (last == t)
        return;
    if (i > 0 && ts->heap[(i - 1) / 2]->when.us > last->when.us)
        sift_up(ts, i, last);
    else
        sift_down(ts, i, last);
}

static void grow(struct hg_timer ***array, uint32_t *cap, uint32_t need)
{
    if (need <= *cap)
        return;
    HG_BUG_ON(need >= DUE);
    *cap = HG_MAX(16u, *cap * 2);
    *array = hg_realloc(*array, *cap * sizeof **array);
}

void hg_timers_fini(struct hg_timers *ts)
{
    free(ts->heap);
    free(ts->due);
    *ts = (struct hg_timers){0};
}

void hg_timer_start(struct hg_timers *ts, struct hg_timer *t, struct hg_mono when, hg_timer_fn fn,
                    void *arg)
{
    hg_timer_stop(ts, t);
    t->when = when;
    t->fn = fn;
    t->arg = arg;
    grow(&ts->heap, &ts->cap, ts->n + 1);
    sift_up(ts, ts->n++, t);
}

void hg_timer_stop(struct hg_timers *ts, struct hg_timer *t)
{
    if (t->slot & DUE) {
        ts->due[t->slot & ~DUE] = NULL;
        t->slot = 0;
    } else if (t->slot) {
        heap_remove(ts, t);
    }
}

bool hg_timers_next(const struct hg_timers *ts, struct hg_mono *when)
{
    if (ts->n == 0)
        return false;
    *when = ts->heap[0]->when;
    return true;
}

static void collect_due(struct hg_timers *ts, struct hg_mono now)
{
    while (ts->n && hg_mono_reached(now, ts->heap[0]->when)) {
        struct hg_timer *t = ts->heap[0];

        heap_remove(ts, t);
        grow(&ts->due, &ts->due_cap, ts->ndue + 1);
        ts->due[ts->ndue] = t;
        t->slot = DUE | ts->ndue++;
    }
}

void hg_timers_run(struct hg_timers *ts, struct hg_mono now)
{
    HG_BUG_ON(ts->ndue != 0); /* called from a timer's callback */
    collect_due(ts, now);
    for (uint32_t i = 0; i < ts->ndue; i++) {
        struct hg_timer *t = ts->due[i];

        if (!t)
            continue;
        t->slot = 0;
        ts->due[i] = NULL;
        t->fn(t->arg, now);
    }
    ts->ndue = 0;
}
