/*
 * The graph (names of the functions beside the arrows; KILL means SIGKILL is asked for):
 *
 *     WAITING --SPAWNED--> STARTING --READY--> SERVING
 *      ^  | on_waiting        |  on_alive        |  on_alive
 *      |  |                   +---+------+-------+
 *      |  |                  HANG |      | DRAIN       STOP, STOP_NOW
 *      |  |                       v      v                  |
 *      |  |   on_killed        KILLED <- DRAINING on_drain  |
 *      +--|--- REAPED ------------+--------+                |
 *         |                       +---- STOP, STOP_NOW -----+
 *         v STOP, STOP_NOW                                  v
 *      STOPPED <------------- REAPED ------------------ STOPPING  on_stopping
 */
#include "master/slots.h"

static void set_state(struct hg_slot *slot, enum hg_slot_state to)
{
    /* Which states may follow a state, as bits: a promise of this file, broken only by a bug in
     * it. */
#define BIT(s) (1u << HG_SLOT_##s)
    static const unsigned next[HG_SLOT_STATES] = {
        [HG_SLOT_WAITING] = BIT(WAITING) | BIT(STARTING) | BIT(STOPPED),
        [HG_SLOT_STARTING] =
            BIT(SERVING) | BIT(DRAINING) | BIT(KILLED) | BIT(STOPPING) | BIT(WAITING),
        [HG_SLOT_SERVING] = BIT(DRAINING) | BIT(KILLED) | BIT(STOPPING) | BIT(WAITING),
        [HG_SLOT_DRAINING] = BIT(KILLED) | BIT(STOPPING) | BIT(WAITING),
        [HG_SLOT_KILLED] = BIT(STOPPING) | BIT(WAITING),
        [HG_SLOT_STOPPING] = BIT(STOPPING) | BIT(STOPPED),
    };
#undef BIT
    HG_BUG_ON(!(next[slot->state] & 1u << to));
    slot->state = to;
}

void hg_slot_init(struct hg_slot *slot, struct hg_mono now)
{
    *slot = (struct hg_slot){.state = HG_SLOT_WAITING, .when = now};
}

int64_t hg_slot_backoff(uint32_t deaths, uint32_t random)
{
    if (deaths <= HG_SLOT_FREE_DEATHS)
        return 0;
    uint32_t doublings = HG_MIN(deaths - HG_SLOT_FREE_DEATHS - 1, 16u);
    int64_t cap = HG_MIN(HG_SLOT_BACKOFF_MIN << doublings, HG_SLOT_BACKOFF_MAX);
    return cap / 2 + (int64_t)(random % (uint64_t)(cap / 2 + 1));
}

static void wait_for_next(struct hg_slot *slot, const struct hg_slot_in *in)
{
    slot->when = hg_mono_add(in->now, hg_slot_backoff(slot->deaths, in->random));
    set_state(slot, HG_SLOT_WAITING);
}

static void died(struct hg_slot *slot, const struct hg_slot_in *in)
{
    if (hg_mono_sub(in->now, slot->started) >= HG_SLOT_STABLE)
        slot->deaths = 0;
    slot->deaths++;
    slot->restarts++;
    wait_for_next(slot, in);
}

static enum hg_slot_act stop(struct hg_slot *slot, const struct hg_slot_in *in,
                             enum hg_slot_act act)
{
    slot->when = in->deadline;
    set_state(slot, HG_SLOT_STOPPING);
    return act;
}

static enum hg_slot_act on_waiting(struct hg_slot *slot, enum hg_slot_event ev,
                                   const struct hg_slot_in *in)
{
    switch (ev) {
    case HG_SLOT_EV_TICK:
        return hg_mono_reached(in->now, slot->when) ? HG_SLOT_ACT_SPAWN : HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_SPAWNED:
        slot->started = in->now;
        set_state(slot, HG_SLOT_STARTING);
        return HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_SPAWN_FAILED:
        /* Never at once: what fork lacks (memory, process ids) it will lack in a microsecond
         * too. */
        slot->deaths = HG_MAX(slot->deaths, (uint32_t)HG_SLOT_FREE_DEATHS) + 1;
        wait_for_next(slot, in);
        return HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_STOP:
    case HG_SLOT_EV_STOP_NOW:
        set_state(slot, HG_SLOT_STOPPED);
        return HG_SLOT_ACT_NONE;
    default:
        return HG_SLOT_ACT_NONE;
    }
}

/* STARTING and SERVING */
static enum hg_slot_act on_alive(struct hg_slot *slot, enum hg_slot_event ev,
                                 const struct hg_slot_in *in)
{
    switch (ev) {
    case HG_SLOT_EV_READY:
        if (slot->state == HG_SLOT_STARTING)
            set_state(slot, HG_SLOT_SERVING);
        return HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_HANG:
        set_state(slot, HG_SLOT_KILLED);
        return HG_SLOT_ACT_KILL;
    case HG_SLOT_EV_REAPED:
        died(slot, in);
        return HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_DRAIN:
        slot->when = in->deadline;
        set_state(slot, HG_SLOT_DRAINING);
        return HG_SLOT_ACT_DRAIN;
    case HG_SLOT_EV_STOP:
        return stop(slot, in, HG_SLOT_ACT_DRAIN);
    case HG_SLOT_EV_STOP_NOW:
        return stop(slot, in, HG_SLOT_ACT_STOP);
    default:
        return HG_SLOT_ACT_NONE;
    }
}

static enum hg_slot_act on_draining(struct hg_slot *slot, enum hg_slot_event ev,
                                    const struct hg_slot_in *in)
{
    switch (ev) {
    case HG_SLOT_EV_TICK:
        if (!hg_mono_reached(in->now, slot->when))
            return HG_SLOT_ACT_NONE;
        set_state(slot, HG_SLOT_KILLED);
        return HG_SLOT_ACT_KILL;
    case HG_SLOT_EV_HANG:
        set_state(slot, HG_SLOT_KILLED);
        return HG_SLOT_ACT_KILL;
    case HG_SLOT_EV_REAPED: /* as asked: no death to hold against the slot */
        slot->deaths = 0;
        slot->restarts++;
        wait_for_next(slot, in);
        return HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_STOP: /* it drains already; only its deadline may move */
        return stop(slot, in, HG_SLOT_ACT_DRAIN);
    case HG_SLOT_EV_STOP_NOW:
        return stop(slot, in, HG_SLOT_ACT_STOP);
    default:
        return HG_SLOT_ACT_NONE;
    }
}

static enum hg_slot_act on_killed(struct hg_slot *slot, enum hg_slot_event ev,
                                  const struct hg_slot_in *in)
{
    switch (ev) {
    case HG_SLOT_EV_REAPED:
        died(slot, in);
        return HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_STOP:
    case HG_SLOT_EV_STOP_NOW:
        return stop(slot, in, HG_SLOT_ACT_NONE);
    default:
        return HG_SLOT_ACT_NONE;
    }
}

static enum hg_slot_act on_stopping(struct hg_slot *slot, enum hg_slot_event ev,
                                    const struct hg_slot_in *in)
{
    switch (ev) {
    case HG_SLOT_EV_TICK:
        if (!hg_mono_reached(in->now, slot->when))
            return HG_SLOT_ACT_NONE;
        slot->when = hg_mono_add(in->now, HG_S);
        return HG_SLOT_ACT_KILL;
    case HG_SLOT_EV_HANG:
        slot->when = hg_mono_add(in->now, HG_S);
        return HG_SLOT_ACT_KILL;
    case HG_SLOT_EV_REAPED:
        set_state(slot, HG_SLOT_STOPPED);
        return HG_SLOT_ACT_NONE;
    case HG_SLOT_EV_STOP_NOW: /* a second signal hastens, it never grants more time */
        if (in->deadline.us < slot->when.us)
            slot->when = in->deadline;
        return HG_SLOT_ACT_STOP;
    default:
        return HG_SLOT_ACT_NONE;
    }
}

enum hg_slot_act hg_slot_step(struct hg_slot *slot, enum hg_slot_event ev,
                              const struct hg_slot_in *in)
{
    switch (slot->state) {
    case HG_SLOT_WAITING:
        return on_waiting(slot, ev, in);
    case HG_SLOT_STARTING:
    case HG_SLOT_SERVING:
        return on_alive(slot, ev, in);
    case HG_SLOT_DRAINING:
        return on_draining(slot, ev, in);
    case HG_SLOT_KILLED:
        return on_killed(slot, ev, in);
    case HG_SLOT_STOPPING:
        return on_stopping(slot, ev, in);
    default:
        return HG_SLOT_ACT_NONE;
    }
}

bool hg_slot_next(const struct hg_slot *slot, struct hg_mono *when)
{
    *when = slot->when;
    return slot->state == HG_SLOT_WAITING || slot->state == HG_SLOT_DRAINING ||
           slot->state == HG_SLOT_STOPPING;
}

bool hg_slot_has_worker(const struct hg_slot *slot)
{
    return slot->state != HG_SLOT_WAITING && slot->state != HG_SLOT_STOPPED;
}

const char *hg_slot_state_name(enum hg_slot_state state)
{
    static const char *const names[HG_SLOT_STATES] = {
#define HG_SLOT_STATE(name, text, doc) [HG_SLOT_##name] = text,
#include "master/slot_state.def"
#undef HG_SLOT_STATE
    };
    return names[state];
}

bool hg_hang_tick(struct hg_hang *hang, uint64_t heartbeat, uint32_t ticks)
{
    if (heartbeat != hang->heartbeat) {
        *hang = (struct hg_hang){.heartbeat = heartbeat};
        return false;
    }
    if (++hang->still < ticks)
        return false;
    hang->still = 0; /* said once; again after as long again */
    return true;
}
