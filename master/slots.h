/*
 * A worker slot as a pure state machine: what happened and what time it is go in, what to do comes
 * out. Never forks, kills, logs, allocates or reads a clock; the master does what it says.
 *
 *   hg_slot_init(&slot, now);
 *   act = hg_slot_step(&slot, HG_SLOT_EV_TICK, &in);
 *   HG_SLOT_ACT_SPAWN: fork, then step with SPAWNED or SPAWN_FAILED; KILL, DRAIN, STOP: tell the
 * worker
 *
 * 1. An event that makes no sense in a state changes nothing and asks for nothing.
 * 2. The first deaths in a row cost no delay; later ones back off, doubled, capped first and
 *    jittered after. A worker that lived for `stable` clears the count.
 * 3. After STOP or STOP_NOW no SPAWN comes out any more.
 *
 * Beside it: the hang watch of one worker, which counts the master's own ticks, so that a machine
 * that was paused kills nobody.
 */
#ifndef HG_MASTER_SLOTS_H
#define HG_MASTER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/macros.h"
#include "common/base/mono.h"

enum hg_slot_state {
#define HG_SLOT_STATE(name, text, doc) HG_SLOT_##name,
#include "master/slot_state.def"
#undef HG_SLOT_STATE
    HG_SLOT_STATES
};

enum hg_slot_event {
    HG_SLOT_EV_TICK,         /* time has passed */
    HG_SLOT_EV_SPAWNED,      /* the fork asked for by SPAWN worked */
    HG_SLOT_EV_SPAWN_FAILED, /* it did not */
    HG_SLOT_EV_READY,        /* the worker says that it accepts */
    HG_SLOT_EV_HANG,         /* its heartbeat stands still */
    HG_SLOT_EV_REAPED,       /* it is gone */
    HG_SLOT_EV_DRAIN,        /* this worker shall be replaced gracefully; in->deadline */
    HG_SLOT_EV_STOP,         /* the service ends gracefully; in->deadline */
    HG_SLOT_EV_STOP_NOW,     /* the service ends at once; in->deadline */
    HG_SLOT_EVENTS
};

enum hg_slot_act {
    HG_SLOT_ACT_NONE,
    HG_SLOT_ACT_SPAWN,
    HG_SLOT_ACT_KILL,  /* SIGKILL to its pid */
    HG_SLOT_ACT_DRAIN, /* message DRAIN */
    HG_SLOT_ACT_STOP,  /* message STOP_NOW */
};

struct hg_slot_in {
    struct hg_mono now;
    struct hg_mono deadline; /* DRAIN, STOP, STOP_NOW: kill then */
    uint32_t random;         /* for the jitter */
};

enum {
    HG_SLOT_FREE_DEATHS = 3, /* deaths in a row that are answered at once */
};
#define HG_SLOT_STABLE (10 * HG_S) /* having lived this long clears the count of deaths */
#define HG_SLOT_BACKOFF_MIN (200 * HG_MS)
#define HG_SLOT_BACKOFF_MAX (10 * HG_S)

struct hg_slot {
    enum hg_slot_state state;
    struct hg_mono when;    /* see slot_state.def */
    struct hg_mono started; /* of the present or last worker */
    uint32_t deaths;        /* in a row */
    uint32_t restarts;      /* ever, for status */
};

void hg_slot_init(struct hg_slot *slot, struct hg_mono now);
enum hg_slot_act hg_slot_step(struct hg_slot *slot, enum hg_slot_event ev,
                              const struct hg_slot_in *in) HG_MUST_CHECK;
/* When the next TICK can matter; false: never by itself. */
bool hg_slot_next(const struct hg_slot *slot, struct hg_mono *when);
/* Is there a process in it? */
bool hg_slot_has_worker(const struct hg_slot *slot);
const char *hg_slot_state_name(enum hg_slot_state state);

/* Delay before the next start after so many deaths in a row. */
int64_t hg_slot_backoff(uint32_t deaths, uint32_t random);

struct hg_hang {
    uint64_t heartbeat; /* as last seen */
    uint32_t still;     /* ticks of the master since it moved */
};
/* Called once per tick of the master; true each time the heartbeat has stood still for `ticks` of
 * them. */
bool hg_hang_tick(struct hg_hang *hang, uint64_t heartbeat, uint32_t ticks);

#endif
