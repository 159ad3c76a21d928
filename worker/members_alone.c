/*
 * The way `alone` (members.h): the workers of one host, which know of each other by bits in shared
 * memory: two buckets per query and a bit per seat in each; a seat is taken to hold the query when
 * it has both. Plain atomics, so that a worker may die at any point; the master sweeps its bits.
 *
 * Joining:  set both bits; take back a claim on this query.
 * Leaving:  clear the bits that no other query of ours needs; claim the end (exchange our hash for
 *           what stands there); nobody else has both bits: close. Otherwise the claim is taken back
 *           and the query goes on the list of doubts: another holds it, who will close it, or two
 *           queries share both buckets. Doubts are looked at again now and then: somebody has
 *           claimed it since, or nobody holds it any more and we close.
 * Closed:   when the tombstone is in the log and somebody has both bits, his query may stand before
 *           it: ours is published once more behind it (ev.revive), and left again.
 *
 * What only a dead worker held is not known to anybody: no tombstone comes, and the change source
 * forgets it when it has not heard of it for a few query_control_republish.
 */
#include <stdlib.h>
#include "common/base/map.h"
#include "worker/members.h"

enum {
    LOOK_AGAIN_MS = 1000,
    DOUBTS_MAX = 10000,
};

struct doubt {
    struct hg_map_node node;
    uint64_t hash;
    char key[];
};

struct alone {
    struct hg_members_spec spec;
    uint32_t *counts; /* per bucket: queries of this worker */
    struct hg_map doubts;
    struct hg_timer again;
};

/* ---- bits ---- */

static uint32_t first_of(uint64_t hash)
{
    return (uint32_t)(hash % HG_INTEREST_BUCKETS);
}

static uint32_t second_of(uint64_t hash)
{
    return (uint32_t)((hash >> 32) % HG_INTEREST_BUCKETS);
}

static _Atomic uint64_t *word_of(struct alone *a, uint32_t bucket)
{
    return &a->spec.host->queries[bucket][a->spec.seat / 64];
}

static void hold(struct alone *a, uint32_t bucket)
{
    if (a->counts[bucket]++ == 0)
        atomic_fetch_or(word_of(a, bucket), UINT64_C(1) << a->spec.seat % 64);
}

static void drop(struct alone *a, uint32_t bucket)
{
    HG_BUG_ON(a->counts[bucket] == 0);
    if (--a->counts[bucket] == 0)
        atomic_fetch_and(word_of(a, bucket), ~(UINT64_C(1) << a->spec.seat % 64));
}

static bool others_hold(const struct alone *a, uint64_t hash)
{
    struct hg_host *h = a->spec.host;
    uint64_t seats[HG_SEAT_WORDS];

    for (unsigned w = 0; w < HG_SEAT_WORDS; w++)
        seats[w] = atomic_load(&h->queries[first_of(hash)][w]) &
                   atomic_load(&h->queries[second_of(hash)][w]);
    seats[a->spec.seat / 64] &= ~(UINT64_C(1) << a->spec.seat % 64);
    for (unsigned w = 0; w < HG_SEAT_WORDS; w++)
        if (seats[w])
            return true;
    return false;
}

/* ---- claims ---- */

static _Atomic uint64_t *end_of(const struct alone *a, uint64_t hash)
{
    return &a->spec.host->query_ends[first_of(hash)];
}

static void unclaim(const struct alone *a, uint64_t hash)
{
    uint64_t mine = hash;

    atomic_compare_exchange_strong(end_of(a, hash), &mine, 0);
}

/* Are we to close it? Claims first and looks then: who joins sets his bits first and takes the
 * claim back then. */
static bool claim(const struct alone *a, uint64_t hash)
{
    if (atomic_exchange(end_of(a, hash), hash) == hash)
        return false; /* another's claim, who may still take it back: a doubt */
    if (!others_hold(a, hash))
        return true;
    unclaim(a, hash);
    return false;
}

/* ---- doubts ---- */

static void doubt_free(struct alone *a, struct doubt *d)
{
    hg_map_del(&a->doubts, &d->node);
    free(d);
}

static void close_it(struct alone *a, struct hg_slice key, uint64_t hash)
{
    a->spec.ev.close(a->spec.ev.ctx, key, hash, "", false);
}

static void look(struct alone *a, struct doubt *d)
{
    if (others_hold(a, d->hash))
        return;
    if (atomic_load(end_of(a, d->hash)) != d->hash) {
        if (!claim(a, d->hash))
            return;
        close_it(a, d->node.key, d->hash);
        if (atomic_load(end_of(a, d->hash)) != d->hash)
            return; /* Kafka took no tombstone: alone_closed took the claim back */
    }
    doubt_free(a, d);
}

static void arm(struct alone *a);

static void on_again(void *arg, struct hg_mono now)
{
    struct alone *a = arg;
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    (void)now;
    while ((node = hg_map_next(&a->doubts, &it)))
        look(a, HG_CONTAINER_OF(node, struct doubt, node));
    arm(a);
}

static void arm(struct alone *a)
{
    if (a->doubts.count > 0 && !hg_timer_is_running(&a->again))
        hg_timer_start(hg_loop_timers(a->spec.loop), &a->again,
                       hg_mono_add(hg_loop_now(a->spec.loop), LOOK_AGAIN_MS * HG_MS), on_again, a);
}

static void doubt_add(struct alone *a, struct hg_slice key, uint64_t hash)
{
    struct doubt *d;

    if (hg_map_get(&a->doubts, key))
        return;
    if (a->doubts.count >= DOUBTS_MAX) {
        HG_INC(a->spec.m, control_dropped);
        return;
    }
    d = hg_malloc(sizeof *d + key.n);
    d->hash = hash;
    memcpy(d->key, key.p, key.n);
    d->node.key = hg_slice_of(d->key, key.n);
    hg_map_put(&a->doubts, &d->node);
    arm(a);
}

/* ---- the way ---- */

static int alone_join(void *way, const struct hg_member_item *items, unsigned n)
{
    struct alone *a = way;

    for (unsigned i = 0; i < n; i++) {
        struct hg_map_node *doubt = hg_map_get(&a->doubts, items[i].key);

        if (doubt)
            doubt_free(a, HG_CONTAINER_OF(doubt, struct doubt, node));
        if (!items[i].again) {
            hold(a, first_of(items[i].hash));
            hold(a, second_of(items[i].hash));
        }
        unclaim(a, items[i].hash);
        a->spec.ev.joined(a->spec.ev.ctx, items[i].key, items[i].id, HG_CQ_JOINED);
    }
    return 0;
}

static void alone_leave(void *way, struct hg_slice key, uint64_t hash, bool told)
{
    struct alone *a = way;

    (void)told;
    drop(a, first_of(hash));
    drop(a, second_of(hash));
    if (claim(a, hash))
        close_it(a, key, hash);
    else
        doubt_add(a, key, hash);
}

static void alone_closed(void *way, struct hg_slice key, uint64_t hash, const char *token, bool ok)
{
    struct alone *a = way;

    (void)token;
    if (!ok) {
        unclaim(a, hash);
        doubt_add(a, key, hash);
    } else if (others_hold(a, hash)) {
        a->spec.ev.revive(a->spec.ev.ctx, key, hash);
    }
}

static void alone_free(void *way)
{
    struct alone *a = way;
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    while ((node = hg_map_next(&a->doubts, &it)))
        doubt_free(a, HG_CONTAINER_OF(node, struct doubt, node));
    hg_map_fini(&a->doubts);
    hg_timer_stop(hg_loop_timers(a->spec.loop), &a->again);
    free(a->counts);
    free(a);
}

void *hg_members_alone_new(const struct hg_members_spec *spec)
{
    struct alone *a = hg_calloc(1, sizeof *a);

    a->spec = *spec;
    a->counts = hg_calloc(HG_INTEREST_BUCKETS, sizeof *a->counts);
    HG_SET(spec->m, registry_up, 1);
    return a;
}

const struct hg_members_way hg_members_alone = {alone_join, alone_leave, alone_closed, alone_free};
