/*
 *            GIVE                 RELEASE                  NOTE
 *   NOBODY --------> HELD ------------------> RELEASING -----------> RELEASED
 *     ^               | holder is dead, its       | the same            | walked, or FLAG_SHARE;
 *     +----- TAKE ----+ ring walked or FLAG_SEAT  +---------------------+ or the holder died: the
 * same
 */
#include "master/shares.h"

static const struct hg_share_act nothing = {HG_SHARE_ACT_NONE, 0, HG_NO_SEAT};

void hg_shares_init(struct hg_shares *sh, uint32_t nslots, uint32_t nseats, struct hg_mono now)
{
    *sh = (struct hg_shares){.nslots = nslots, .nseats = nseats};
    for (uint32_t i = 0; i < nslots; i++)
        sh->shares[i] = (struct hg_share){HG_SHARE_NOBODY, HG_NO_SEAT, now, false, false};
}

uint32_t hg_shares_of(const struct hg_shares *sh, uint32_t seat)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < sh->nslots; i++)
        n += sh->shares[i].phase != HG_SHARE_NOBODY && sh->shares[i].holder == seat;
    return n;
}

static void set_phase(struct hg_share *share, enum hg_share_phase phase, uint32_t holder,
                      struct hg_mono now)
{
    share->phase = phase;
    share->holder = holder;
    share->since = now;
    share->flagged = false;
    share->had_holder |= phase == HG_SHARE_HELD;
}

static struct hg_share_act take(struct hg_shares *sh, uint32_t slot, struct hg_mono now)
{
    struct hg_share_act act = {HG_SHARE_ACT_TAKE, slot, sh->shares[slot].holder};
    set_phase(&sh->shares[slot], HG_SHARE_NOBODY, HG_NO_SEAT, now);
    return act;
}

/* Rule 4 for the dead: wait for the readers, move its shares, free its seat. */
static struct hg_share_act step_dead(struct hg_shares *sh, const struct hg_shares_facts *facts,
                                     uint32_t seat)
{
    const struct hg_shares_seat *dead = &facts->seats[seat];
    if (!dead->walked && !sh->seat_flagged[seat]) {
        if (!hg_mono_reached(facts->now, hg_mono_add(dead->dead_at, facts->ring_wait)))
            return nothing;
        sh->seat_flagged[seat] = true;
        return (struct hg_share_act){HG_SHARE_ACT_FLAG_SEAT, 0, seat};
    }
    for (uint32_t i = 0; i < sh->nslots; i++)
        if (sh->shares[i].phase != HG_SHARE_NOBODY && sh->shares[i].holder == seat)
            return take(sh, i, facts->now);
    sh->seat_flagged[seat] = false;
    return (struct hg_share_act){HG_SHARE_ACT_FREE, 0, seat};
}

/* The seat that serves this slot, or HG_NO_SEAT. */
static uint32_t home_of(const struct hg_shares *sh, const struct hg_shares_facts *facts,
                        uint32_t slot)
{
    for (uint32_t i = 0; i < sh->nseats; i++)
        if (facts->seats[i].state == HG_SEAT_SERVING && facts->seats[i].slot == slot)
            return i;
    return HG_NO_SEAT;
}

/* Is there a worker on its way for this slot? */
static bool home_is_starting(const struct hg_shares *sh, const struct hg_shares_facts *facts,
                             uint32_t slot)
{
    for (uint32_t i = 0; i < sh->nseats; i++)
        if (facts->seats[i].state == HG_SEAT_STARTING && facts->seats[i].slot == slot)
            return true;
    return false;
}

/* The seat in this state (with Kafka, if asked) that holds the fewest shares; the home of the slot
 * wins a draw. */
static uint32_t least_loaded(const struct hg_shares *sh, const struct hg_shares_facts *facts,
                             enum hg_seat_state state, bool kafka, uint32_t slot)
{
    uint32_t best = HG_NO_SEAT, best_load = 0;
    for (uint32_t i = 0; i < sh->nseats; i++) {
        const struct hg_shares_seat *seat = &facts->seats[i];
        if (seat->state != state || (kafka && !seat->kafka))
            continue;
        uint32_t load = 2 * hg_shares_of(sh, i) + (seat->slot != slot);
        if (best == HG_NO_SEAT || load < best_load) {
            best = i;
            best_load = load;
        }
    }
    return best;
}

static uint32_t pick_taker(const struct hg_shares *sh, const struct hg_shares_facts *facts,
                           uint32_t slot)
{
    const struct hg_share *share = &sh->shares[slot];
    uint32_t home = home_of(sh, facts, slot);
    if (home != HG_NO_SEAT && (facts->seats[home].kafka || !share->had_holder))
        return home;
    if (!share->had_holder) {
        if (home_is_starting(sh, facts, slot) &&
            !hg_mono_reached(facts->now, hg_mono_add(share->since, HG_SHARE_HOME_WAIT)))
            return HG_NO_SEAT;
    }
    uint32_t taker = least_loaded(sh, facts, HG_SEAT_SERVING, true, slot);
    if (taker == HG_NO_SEAT)
        taker = least_loaded(sh, facts, HG_SEAT_SERVING, false, slot);
    /* While the whole host drains, those who still have clients go on feeding them. */
    if (taker == HG_NO_SEAT && facts->stopping)
        taker = least_loaded(sh, facts, HG_SEAT_DRAINING, false, slot);
    return taker;
}

/* Should this living holder give the share up? */
static bool should_move(const struct hg_shares *sh, const struct hg_shares_facts *facts,
                        uint32_t slot)
{
    uint32_t holder = sh->shares[slot].holder;
    if (facts->stopping)
        return false;
    uint32_t home = home_of(sh, facts, slot);
    if (home != HG_NO_SEAT && home != holder && facts->seats[home].kafka)
        return true;
    return facts->seats[holder].state == HG_SEAT_DRAINING &&
           least_loaded(sh, facts, HG_SEAT_SERVING, false, slot) != HG_NO_SEAT;
}

static struct hg_share_act step_released(struct hg_shares *sh, const struct hg_shares_facts *facts,
                                         uint32_t slot)
{
    struct hg_share *share = &sh->shares[slot];
    if (facts->shares[slot].walked || share->flagged)
        return take(sh, slot, facts->now);
    if (!hg_mono_reached(facts->now, hg_mono_add(share->since, facts->ring_wait)))
        return nothing;
    share->flagged = true;
    return (struct hg_share_act){HG_SHARE_ACT_FLAG_SHARE, slot, share->holder};
}

static struct hg_share_act step_share(struct hg_shares *sh, const struct hg_shares_facts *facts,
                                      uint32_t slot)
{
    struct hg_share *share = &sh->shares[slot];
    uint32_t seat = share->holder;
    if (share->phase != HG_SHARE_NOBODY && facts->seats[seat].state == HG_SEAT_DEAD)
        return nothing; /* step_dead's business */
    switch (share->phase) {
    case HG_SHARE_NOBODY:
        seat = pick_taker(sh, facts, slot);
        if (seat == HG_NO_SEAT)
            return nothing;
        set_phase(share, HG_SHARE_HELD, seat, facts->now);
        return (struct hg_share_act){HG_SHARE_ACT_GIVE, slot, seat};
    case HG_SHARE_HELD:
        if (!should_move(sh, facts, slot))
            return nothing;
        set_phase(share, HG_SHARE_RELEASING, seat, facts->now);
        return (struct hg_share_act){HG_SHARE_ACT_RELEASE, slot, seat};
    case HG_SHARE_RELEASING:
        if (!facts->shares[slot].answered)
            return nothing;
        set_phase(share, HG_SHARE_RELEASED, seat, facts->now);
        return (struct hg_share_act){HG_SHARE_ACT_NOTE, slot, seat};
    default:
        return step_released(sh, facts, slot);
    }
}

struct hg_share_act hg_shares_step(struct hg_shares *sh, const struct hg_shares_facts *facts)
{
    for (uint32_t i = 0; i < sh->nseats; i++) {
        if (facts->seats[i].state != HG_SEAT_DEAD)
            continue;
        struct hg_share_act act = step_dead(sh, facts, i);
        if (act.kind != HG_SHARE_ACT_NONE)
            return act;
    }
    for (uint32_t i = 0; i < sh->nslots; i++) {
        struct hg_share_act act = step_share(sh, facts, i);
        if (act.kind != HG_SHARE_ACT_NONE)
            return act;
    }
    return nothing;
}

bool hg_shares_pending(const struct hg_shares *sh, const struct hg_shares_facts *facts)
{
    for (uint32_t i = 0; i < sh->nseats; i++)
        if (facts->seats[i].state == HG_SEAT_DEAD)
            return true;
    for (uint32_t i = 0; i < sh->nslots; i++)
        if (sh->shares[i].phase == HG_SHARE_RELEASING || sh->shares[i].phase == HG_SHARE_RELEASED)
            return true;
    return false;
}
