/*
 * A worker of the ring tests: it consumes an endless, computable log through the shares it holds,
 * appends to its ring, walks the others', joins and leaves rooms, and checks promise 1 on the way:
 * no position of a joined room is passed over unless a hole told so. Used by the torture test
 * (processes that are killed) and the thread test. Include common/sys/ring.c before, with
 * HG_RING_POINT as the test wants it.
 *
 * Record (part, offset) of the log: its room, size and bytes follow from the two numbers.
 */
#ifndef HG_TESTS_RING_VIEW_H
#define HG_TESTS_RING_VIEW_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "common/sys/ring.h"

enum { VIEW_ROOMS = 24, VIEW_PARTS = 6, VIEW_SIZE_MAX = 700 };

struct view {
    struct hg_host *h;
    uint32_t seat;
    struct hg_ring_writer rw;
    struct hg_ring_walker wk;
    uint64_t rnd;
    uint64_t epoch; /* of the shares below */
    bool holds[HG_MAX_SLOTS];
    int64_t last[VIEW_PARTS]; /* position walked to */
    bool joined[VIEW_ROOMS];
    int64_t from[VIEW_ROOMS][VIEW_PARTS]; /* first position that must be seen */
    bool owed;                            /* want() said yes: record() or a hole must follow */
    struct hg_pos owed_pos;
    uint64_t checked, records, holes, lost, again, walked;
    char fail[200];
};

static inline uint64_t view_mix(uint64_t x)
{
    x ^= x >> 31, x *= UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 29, x *= UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 32;
}
static inline uint64_t view_rnd(struct view *v)
{
    return view_mix(v->rnd += UINT64_C(0x632be59bd9b4e019));
}
static inline uint32_t log_room(uint32_t part, int64_t offset)
{
    return (uint32_t)(view_mix((uint64_t)part << 48 ^ (uint64_t)offset) % VIEW_ROOMS);
}
static inline uint64_t room_hash(uint32_t room)
{
    return view_mix(room + 1);
}
static inline size_t log_body(uint32_t part, int64_t offset, unsigned char out[VIEW_SIZE_MAX])
{
    uint64_t x = view_mix((uint64_t)part << 40 ^ (uint64_t)offset ^ 77);
    size_t n = x % VIEW_SIZE_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)(x + i * 7);
    return n;
}

static inline void view_fail(struct view *v, const char *what, uint32_t part, int64_t offset)
{
    if (!v->fail[0])
        snprintf(v->fail, sizeof v->fail,
                 "seat %u: %s at part %u offset %" PRId64 " (last %" PRId64 ")", v->seat, what,
                 part, offset, part < VIEW_PARTS ? v->last[part] : 0);
}

/* What the position stored in shared memory and the own walk say together: all up to here has been
 * handed over. */
static inline int64_t view_watermark(struct view *v, uint32_t part)
{
    int64_t stored = atomic_load(&v->h->parts[part].next) - 1;
    return HG_MAX(stored, v->last[part]);
}

static inline void view_passed(struct view *v, uint32_t part, int64_t upto)
{
    for (int64_t o = v->last[part] + 1; o < upto; o++) {
        uint32_t room = log_room(part, o);
        if (v->joined[room] && o >= v->from[room][part])
            view_fail(v, "record passed over", part, o);
    }
}

/* A position was met, in a ring or by consuming it. False for a repeat. */
static inline bool view_meet(struct view *v, uint32_t part, int64_t offset)
{
    if (offset <= v->last[part])
        return false;
    view_passed(v, part, offset);
    v->last[part] = offset;
    return true;
}

static inline void view_settle(struct view *v)
{
    if (v->owed)
        view_fail(v, "wanted record did not come", v->owed_pos.part, v->owed_pos.offset);
    v->owed = false;
}

static bool view_want(void *ctx, uint32_t seat, const struct hg_rec *rec)
{
    struct view *v = ctx;
    (void)seat;
    view_settle(v);
    v->walked++;
    if (rec->kind != HG_REC_DIFF)
        return false;
    if (rec->part >= VIEW_PARTS) {
        view_fail(v, "garbage head", rec->part, rec->offset);
        return false;
    }
    bool fresh = view_meet(v, rec->part, rec->offset);
    uint32_t room = log_room(rec->part, rec->offset);
    v->owed_pos = (struct hg_pos){rec->part, rec->offset};
    v->owed = fresh && v->joined[room] && rec->offset >= v->from[room][rec->part];
    return v->owed || view_rnd(v) % 8 == 0;
}

static void view_record(void *ctx, uint32_t seat, const struct hg_rec *rec, struct hg_slice key,
                        struct hg_slice body)
{
    struct view *v = ctx;
    unsigned char expect[VIEW_SIZE_MAX];
    size_t n = log_body(rec->part, rec->offset, expect);
    (void)seat;
    v->checked += v->owed;
    v->owed = false;
    if (body.n != n || memcmp(body.p, expect, n) != 0 || key.n != (size_t)(rec->offset % 13) ||
        rec->hash != room_hash(log_room(rec->part, rec->offset)))
        view_fail(v, "wrong bytes", rec->part, rec->offset);
}

/* The reset of architecture.md: from the watermark of now on nothing may be missing again. */
static void view_hole(void *ctx, uint32_t seat, const uint64_t bits[HG_HOLE_BITS / 64])
{
    struct view *v = ctx;
    (void)seat;
    v->holes++;
    for (uint32_t room = 0; room < VIEW_ROOMS; room++) {
        uint32_t bit = (uint32_t)(room_hash(room) % HG_HOLE_BITS);
        if (!(bits[bit / 64] >> bit % 64 & 1))
            continue;
        for (uint32_t p = 0; p < VIEW_PARTS; p++)
            v->from[room][p] = view_watermark(v, p) + 1;
        if (v->owed && log_room(v->owed_pos.part, v->owed_pos.offset) == room)
            v->owed = false;
    }
}

static const struct hg_ring_ops view_ops = {view_want, view_record, view_hole};

static inline void view_start(struct view *v, struct hg_host *h, uint32_t seat, uint64_t seed)
{
    *v = (struct view){.h = h, .seat = seat, .rnd = seed};
    for (uint32_t p = 0; p < VIEW_PARTS; p++)
        v->last[p] = -1;
    hg_ring_writer_init(&v->rw, h, seat);
    hg_ring_walker_init(&v->wk, h, seat, &view_ops, v);
}

/* Rule 2. */
static inline void view_join(struct view *v, uint32_t room)
{
    hg_interest_set(v->h, v->seat, room_hash(room));
    hg_ring_walk(&v->wk, 0);
    view_settle(v);
    for (uint32_t p = 0; p < VIEW_PARTS; p++)
        v->from[room][p] = view_watermark(v, p) + 1;
    v->joined[room] = true;
}

static inline void view_leave(struct view *v, uint32_t room)
{
    v->joined[room] = false;
    hg_interest_clear(v->h, v->seat, room_hash(room));
}

/* Handles the next record of part: own view, ring, position. wait: how often a full ring is waited
 * for before it is lapped. */
static inline void view_consume(struct view *v, uint32_t part, unsigned wait)
{
    struct hg_part *p = &v->h->parts[part];
    int64_t offset = atomic_load(&p->next);
    unsigned char body[VIEW_SIZE_MAX];
    size_t n = log_body(part, offset, body);
    struct hg_rec rec = {.kind = HG_REC_DIFF,
                         .part = part,
                         .offset = offset,
                         .lsn = (uint64_t)offset + 1,
                         .hash = room_hash(log_room(part, offset))};
    struct hg_slice key = hg_slice_of("0123456789abc", (size_t)(offset % 13));
    int rc;
    view_meet(v, part, offset);
    while ((rc = hg_ring_append(&v->rw, &rec, key, hg_slice_of(body, n), wait == 0)) ==
           -HG_E_AGAIN) {
        hg_ring_flush_wakes(&v->rw);
        v->again++;
        wait--;
        usleep(50);
    }
    if (rc < 0)
        view_fail(v, "append failed", part, offset);
    v->lost += rc > 0 ? (unsigned)rc : 0;
    v->records++;
    HG_RING_POINT();
    atomic_store(&p->lsn, rec.lsn);
    atomic_store(&p->next, offset + 1);
}

/* Who takes a share walks first: what its former holder appended, or the hole in it, comes before
 * the first record of his own. */
static inline void view_take_shares(struct view *v)
{
    uint64_t epoch = atomic_load(&v->h->share_epoch);
    if (epoch == v->epoch)
        return;
    for (uint32_t s = 0; s < v->h->nslots; s++)
        v->holds[s] = atomic_load(&v->h->shares[s].holder) == v->seat;
    hg_ring_walk(&v->wk, 0);
    view_settle(v);
    v->epoch = epoch;
}

static inline bool view_may_consume(struct view *v, uint32_t part)
{
    return v->holds[hg_host_part_slot(v->h, part)] && hg_host_holds(v->h, v->seat, part) &&
           atomic_load(&v->h->share_epoch) == v->epoch;
}

static inline void view_consume_share(struct view *v)
{
    uint32_t part = (uint32_t)(view_rnd(v) % VIEW_PARTS);
    unsigned burst = (unsigned)(view_rnd(v) % 12);
    view_take_shares(v);
    while (burst-- > 0 && !hg_ring_turn_is_full(&v->rw) && view_may_consume(v, part))
        view_consume(v, part, (unsigned)(view_rnd(v) % 4));
    if (view_rnd(v) % 16 == 0) {
        struct hg_rec mark = {.kind = HG_REC_MARK, .part = UINT32_MAX};
        if (hg_ring_append(&v->rw, &mark, HG_SLICE_NONE, HG_SLICE_NONE, true) < 0)
            view_fail(v, "mark failed", 0, 0);
    }
    hg_ring_flush_wakes(&v->rw);
}

/* One turn of a worker: consume a little, walk a little, sometimes join or leave, sometimes be
 * slow. */
static inline void view_turn(struct view *v)
{
    uint64_t r = view_rnd(v);
    uint32_t room = (uint32_t)(r >> 8) % VIEW_ROOMS;
    view_consume_share(v);
    if (r % 64 == 0 && v->joined[room])
        view_leave(v, room);
    else if (r % 16 == 1 && !v->joined[room])
        view_join(v, room);
    if ((r >> 20) % 400 == 0)
        usleep((unsigned)(r >> 32) % 4000);
    if (r % 3 != 0)
        hg_ring_walk(&v->wk, (r >> 16) % 3 == 0 ? 1 + (r >> 24) % 7 : 0);
    else
        usleep(20);
}

/* When all have stopped consuming: everything joined must have been seen up to the stored
 * positions. */
static inline void view_end(struct view *v)
{
    hg_ring_walk(&v->wk, 0);
    view_settle(v);
    for (uint32_t p = 0; p < VIEW_PARTS; p++)
        view_passed(v, p, atomic_load(&v->h->parts[p].next));
    hg_ring_walker_fini(&v->wk);
}

static inline struct hg_host *view_host(uint32_t slots, uint32_t seats, uint64_t ring_size)
{
    struct hg_host_spec spec = {
        .nslots = slots, .nseats = seats, .ring_size = ring_size, .topics = "t"};
    struct hg_host *h;
    const char *why;
    HG_BUG_ON(hg_host_new(&spec, &h, &why) != 0);
    hg_host_topic_seen(h, 0, VIEW_PARTS);
    for (uint32_t p = 0; p < VIEW_PARTS; p++)
        atomic_store(&h->parts[p].next, 0);
    return h;
}

#endif
