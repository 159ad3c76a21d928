/* Shared memory from the master's side: seats taken and left, shares moved as shares.c decides,
 * records blamed. */
#include "master/state.h"
#include "common/sys/census.h"
#include "common/sys/log.h"
#include "common/sys/ring.h"

uint32_t hg_seats_take(struct hg_master *m, uint32_t slot)
{
    struct hg_host *h = m->host;
    for (uint32_t n = 1; n <= h->nseats; n++) {
        uint32_t i = (m->last_seat + n) % h->nseats;
        struct hg_seat *seat = &h->seats[i];
        if (atomic_load(&seat->state) != HG_SEAT_FREE)
            continue;
        m->last_seat = i;
        atomic_store(&seat->slot, slot);
        atomic_fetch_add(&seat->generation, 1);
        atomic_store(&seat->heartbeat, 0);
        atomic_store(&seat->doing, 0);
        atomic_store(&seat->ready, 0);
        atomic_store(&seat->nparts, 0);
        atomic_store(&seat->poison_part, 0);
        atomic_store(&seat->state, HG_SEAT_STARTING);
        return i;
    }
    return HG_NO_SEAT;
}

void hg_seats_give_back(struct hg_master *m, uint32_t seat)
{
    atomic_store(&m->host->seats[seat].state, HG_SEAT_FREE);
}

static void blame(struct hg_master *m, const struct hg_seat *seat)
{
    uint32_t part = atomic_load(&seat->poison_part);
    int64_t offset = atomic_load(&seat->poison_offset);
    if (part == 0)
        return;
    part--;
    const char *topic = m->host->topics[part / HG_TOPIC_PARTS % HG_MAX_TOPICS].name;
    unsigned partition = part % HG_TOPIC_PARTS;
    hg_log(HG_LOG_WARN, NULL, "worker.died_in_record", "topic=%s partition=%u offset=%lld", topic,
           partition, (long long)offset);
    if (!hg_poison_died_in(&m->poison, part, offset))
        return;
    hg_poison_skip(m->host, part, offset);
    atomic_fetch_add(&m->host->share_epoch, 1);
    hg_log(HG_LOG_ERROR, NULL, "record.poison",
           "topic=%s partition=%u offset=%lld why=\"workers died in it twice; it is skipped\"",
           topic, partition, (long long)offset);
}

void hg_seats_died(struct hg_master *m, uint32_t i, bool blame_record)
{
    struct hg_seat *seat = &m->host->seats[i];
    if (blame_record)
        blame(m, seat);
    atomic_store(&seat->poison_part, 0);
    atomic_store(&seat->ready, 0);
    atomic_store(&seat->nparts, 0);
    atomic_store(&seat->state, HG_SEAT_DEAD);
    m->noted.dead_at[i] = m->now;
    hg_metrics_retire(&m->host->retired, &seat->metrics);
    hg_ring_sweep_seat(m->host, i);
    hg_census_clear(m->host, i);
    hg_host_wake_all(m->host); /* rule 5: whoever it did not wake any more is woken now */
}

/* Has every living seat walked this living seat's ring to where it was when it let go of the
 * share? */
static bool walked_to(struct hg_host *h, uint32_t writer, uint64_t head)
{
    for (uint32_t i = 0; i < h->nseats; i++) {
        uint32_t state = atomic_load(&h->seats[i].state);
        bool living =
            state == HG_SEAT_STARTING || state == HG_SEAT_SERVING || state == HG_SEAT_DRAINING;
        /* HG_CURSOR_NONE, of who has not begun to read, is above every head. */
        if (i != writer && living && atomic_load(&h->seats[writer].ring.readers[i].cursor) < head)
            return false;
    }
    return true;
}

static void gather_facts(struct hg_master *m)
{
    struct hg_host *h = m->host;
    struct hg_shares_facts *f = &m->facts;
    f->now = m->now;
    f->ring_wait = m->conf->ring_wait;
    f->stopping = m->phase != HG_MASTER_RUNS;
    for (uint32_t i = 0; i < h->nseats; i++) {
        struct hg_shares_seat *seat = &f->seats[i];
        seat->state = atomic_load(&h->seats[i].state);
        seat->slot = atomic_load(&h->seats[i].slot);
        seat->kafka = atomic_load(&h->seats[i].ready) & HG_READY_KAFKA;
        seat->dead_at = m->noted.dead_at[i];
        seat->walked = seat->state == HG_SEAT_DEAD && hg_ring_all_walked(h, i);
    }
    for (uint32_t i = 0; i < h->nslots; i++) {
        const struct hg_share *share = &m->shares.shares[i];
        f->shares[i].answered =
            share->phase == HG_SHARE_RELEASING && atomic_load(&h->shares[i].release) == 2;
        f->shares[i].walked =
            share->phase == HG_SHARE_RELEASED && walked_to(h, share->holder, m->noted.head[i]);
    }
}

static void tell_all(struct hg_master *m)
{
    atomic_fetch_add(&m->host->share_epoch, 1);
    hg_host_wake_all(m->host);
}

static void give(struct hg_master *m, uint32_t slot, uint32_t seat)
{
    atomic_store(&m->host->shares[slot].release, 0);
    atomic_store(&m->host->shares[slot].holder, seat);
    tell_all(m);
    hg_log(HG_LOG_INFO, NULL, "share.given", "share=%u worker=%u seat=%u", slot,
           atomic_load(&m->host->seats[seat].slot), seat);
}

static void take(struct hg_master *m, uint32_t slot)
{
    /* The holder first: with release cleared before, the old one would believe that it may go
     * on. */
    atomic_store(&m->host->shares[slot].holder, HG_NO_SEAT);
    atomic_store(&m->host->shares[slot].release, 0);
    tell_all(m);
}

static void flag(struct hg_master *m, uint32_t seat)
{
    unsigned n = hg_ring_flag_unwalked(m->host, seat);
    hg_log(HG_LOG_WARN, NULL, "ring.flagged",
           "seat=%u readers=%u why=\"they did not walk it within ring_wait\"", seat, n);
}

static void carry_out(struct hg_master *m, struct hg_share_act act)
{
    struct hg_host *h = m->host;
    switch (act.kind) {
    case HG_SHARE_ACT_FLAG_SEAT:
    case HG_SHARE_ACT_FLAG_SHARE:
        flag(m, act.seat);
        break;
    case HG_SHARE_ACT_TAKE:
        take(m, act.slot);
        break;
    case HG_SHARE_ACT_GIVE:
        give(m, act.slot, act.seat);
        break;
    case HG_SHARE_ACT_RELEASE:
        atomic_store(&h->shares[act.slot].release, 1);
        tell_all(m);
        break;
    case HG_SHARE_ACT_NOTE:
        m->noted.head[act.slot] = atomic_load(&h->seats[act.seat].ring.head);
        hg_host_wake_all(h);
        break;
    case HG_SHARE_ACT_FREE:
        atomic_store(&h->seats[act.seat].state, HG_SEAT_FREE);
        break;
    case HG_SHARE_ACT_NONE:
        break;
    }
}

void hg_seats_move_shares(struct hg_master *m)
{
    struct hg_share_act act;
    do {
        gather_facts(m);
        act = hg_shares_step(&m->shares, &m->facts);
        carry_out(m, act);
    } while (act.kind != HG_SHARE_ACT_NONE);
}

bool hg_seats_pending(struct hg_master *m)
{
    return hg_shares_pending(&m->shares, &m->facts);
}

/* ---- metrics ---- */

struct own_metric {
    const char *name, *type, *help;
    uint64_t (*value)(const struct hg_worker_slot *w);
};

static uint64_t restarts_of(const struct hg_worker_slot *w)
{
    return w->slot.restarts;
}

static uint64_t is_up(const struct hg_worker_slot *w)
{
    return w->slot.state == HG_SLOT_SERVING;
}

static const struct own_metric own_metrics[] = {
    {"headgate_worker_restarts_total", "counter", "Workers of this slot that ended.", restarts_of},
    {"headgate_worker_up", "gauge", "1 while this worker serves.", is_up},
};

static void print_own(struct hg_master *m, struct hg_buf *out)
{
    for (size_t k = 0; k < HG_COUNTOF(own_metrics); k++) {
        const struct own_metric *o = &own_metrics[k];
        hg_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", o->name, o->help, o->name, o->type);
        for (uint32_t i = 0; i < m->host->nslots; i++)
            hg_buf_addf(out, "%s{worker=\"%u\"} %llu\n", o->name, i,
                        (unsigned long long)o->value(&m->workers[i]));
    }
}

void hg_master_metrics_docs(struct hg_buf *out)
{
    for (size_t k = 0; k < HG_COUNTOF(own_metrics); k++)
        hg_buf_addf(out, "| `%s` | %s | worker | %s |\n", own_metrics[k].name, own_metrics[k].type,
                    own_metrics[k].help);
}

void hg_seats_metrics(struct hg_master *m, struct hg_buf *out)
{
    struct hg_metrics_row rows[HG_MAX_SEATS + 1];
    char names[HG_MAX_SEATS][12];
    size_t n = 0;
    for (uint32_t i = 0; i < m->host->nslots; i++) {
        uint32_t seat = m->workers[i].seat;
        if (seat == HG_NO_SEAT)
            continue;
        snprintf(names[i], sizeof names[i], "%u", i);
        rows[n++] = (struct hg_metrics_row){names[i], &m->host->seats[seat].metrics};
    }
    rows[n++] = (struct hg_metrics_row){NULL, &m->host->retired};
    hg_metrics_print(rows, n, out);
    print_own(m, out);
}
