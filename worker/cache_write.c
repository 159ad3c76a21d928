/*
 * The writing side of the hot cache: batches. Rules 1 to 5 of cache.h. What is kept is
 * cache_keep.c, leases are cache_lease.c.
 *
 *          record                 tend: lease, position            turn: one batch
 *   read ─────────▶ kept ─────────────────────────────▶ mine, known ─────────────▶ flying
 *                    ▲                                       ▲                       │ written
 *                    │ lease or link lost, error             └───────────────────────┘ (forgotten)
 *                    └───────────────────────────────────────────────────────────────┘
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "common/base/num.h"
#include "common/sys/log.h"
#include "worker/cache_priv.h"

enum {
    RETRY_MS = 1000, /* after an error reply */
    WRITE_KEYS = 2,  /* before the lists */
    NEAR_MS = 100,   /* a tend out of turn, when a lease or position was not what we thought */
};

/* ---- batches ---- */

/* What is not whole below from: everything up to this LSN. */
static uint64_t missing_upto(const struct hg_cache_part *p)
{
    return p->before_known ? p->before : HG_CACHEPOS_NOTHING;
}

/* since, after one more record. */
static uint64_t raise(uint64_t since, const struct hg_cache_kept *k)
{
    if (since == HG_CACHEPOS_NOTHING) /* all there was before is not above this one */
        return k->lsn > 0 || k->hole > 0 ? HG_MAX(k->lsn, k->hole) : since;
    return HG_MAX(since, k->hole);
}

struct batch {
    struct hg_cachepos pos; /* after it */
    uint64_t highest;       /* LSN in it */
    struct hg_cache_kept *kept[HG_CACHE_BATCH_RECORDS];
    unsigned n;
};

static void gather(struct hg_cache_part *p, struct batch *b)
{
    struct hg_cache_kept *k = p->first;
    size_t bytes = 0;

    b->pos = p->pos;
    p->sent_hole = p->pos_there ? p->anew || p->pos.next < (uint64_t)p->from : missing_upto(p) > 0;
    if (!p->pos_there)
        b->pos = (struct hg_cachepos){.since = missing_upto(p)};
    else if (p->sent_hole)
        b->pos.since = HG_MAX(b->pos.since, missing_upto(p));
    for (; k && b->n < HG_CACHE_BATCH_RECORDS && bytes < HG_CACHE_BATCH_BYTES; k = k->next) {
        b->pos.since = raise(b->pos.since, k);
        b->highest = HG_MAX(b->highest, k->lsn);
        b->pos.next = (uint64_t)k->offset + 1;
        bytes += k->value_n;
        if (k->kind == HG_CACHE_DIFF)
            b->kept[b->n++] = k;
    }
    if (!k)
        b->pos.next = (uint64_t)p->to;
    b->pos.token = strtoull(p->lease, NULL, 10);
}

static void on_written(void *ctx, const struct hg_redis_reply *reply);

static void put_lists(const struct hg_cache_part *p, const struct batch *b,
                      struct hg_cache_args *args)
{
    hg_cache_lease_key(p->ca, p->part, &args->text);
    hg_cache_args_end(args);
    hg_cache_pos_key(p->ca, p->part / HG_TOPIC_PARTS, &args->text);
    hg_cache_args_end(args);
    for (unsigned i = 0; i < b->n; i++) {
        hg_buf_add(&args->text, b->kept[i]->bytes, b->kept[i]->key_n);
        hg_cache_args_end(args);
    }
}

static void put_entries(const struct hg_cache_part *p, const struct batch *b,
                        struct hg_cache_args *args)
{
    const struct hg_conf *cf = p->ca->spec.conf;
    char now[HG_CACHEPOS_TEXT], worse[HG_CACHEPOS_TEXT];
    struct hg_cachepos failed = b->pos;

    failed.since = HG_MAX(failed.since, b->highest);
    hg_cachepos_put(now, &b->pos);
    hg_cachepos_put(worse, &failed);
    HG_CACHE_ARG(args, "%s", p->lease);
    HG_CACHE_ARG(args, "%lld", (long long)(cf->hotcache_lease / HG_MS));
    HG_CACHE_ARG(args, "%u", p->part % HG_TOPIC_PARTS);
    HG_CACHE_ARG(args, "%s", p->pos_text);
    HG_CACHE_ARG(args, "%s", now);
    HG_CACHE_ARG(args, "%s", worse);
    HG_CACHE_ARG(args, "%lld", (long long)cf->hotcache_max_diffs);
    HG_CACHE_ARG(args, "%lld", (long long)cf->hotcache_retention_ms);
    for (unsigned i = 0; i < b->n; i++) {
        const struct hg_cache_kept *k = b->kept[i];

        hg_cachediff_put(&args->text, k->lsn, hg_slice_of(k->bytes + k->key_n, k->value_n));
        hg_cache_args_end(args);
    }
}

static int send_batch(struct hg_cache_part *p, const struct batch *b)
{
    struct hg_cache_args *args = hg_cache_args_begin(p->ca);

    put_lists(p, b, args);
    put_entries(p, b, args);
    return hg_cache_run(p->ca, &hg_cache_lua_write, (int)(WRITE_KEYS + b->n), on_written, p);
}

static bool may_send(const struct hg_cache_part *p)
{
    const struct hg_cache *ca = p->ca;

    return ca->up && p->mine && p->known && !p->flying && !hg_cache_part_is_behind(p) &&
           (!p->retry_at.us || hg_mono_reached(hg_loop_now(ca->spec.loop), p->retry_at)) &&
           hg_redis_inflight(ca->link) < (size_t)ca->spec.conf->hotcache_buffer;
}

static void send_next(struct hg_cache_part *p)
{
    struct batch b = {.n = 0};

    if (!may_send(p))
        return;
    gather(p, &b);
    if (b.n == 0 && p->pos_there && b.pos.next == p->pos.next && b.pos.since == p->pos.since)
        return;
    if (send_batch(p, &b) < 0)
        return;
    p->flying = true;
    p->sent_anew = p->anew;
    p->pos = b.pos; /* as it will be; known again when it is answered */
    hg_cachepos_put(p->pos_text, &p->pos);
    p->known = false;
    HG_INC(p->ca->spec.metrics, cache_batches);
}

static void count(struct hg_cache_part *p, const struct hg_redis_reply *reply)
{
    struct hg_metrics *m = p->ca->spec.metrics;
    int64_t wrong = hg_redis_item(reply, 2).integer, failed = hg_redis_item(reply, 3).integer;

    HG_ADD(m, cache_written, (uint64_t)hg_redis_item(reply, 1).integer);
    HG_ADD(m, cache_dropped, (uint64_t)(wrong + failed));
    if (wrong + failed > 0)
        hg_cache_error(p->ca, "write",
                       wrong ? HG_SLICE_LIT("a key has the wrong type")
                             : HG_SLICE_LIT("entries were refused"));
    if (p->sent_hole || hg_redis_item(reply, 4).integer > 0)
        HG_INC(m, cache_holes);
}

static void on_written(void *ctx, const struct hg_redis_reply *reply)
{
    struct hg_cache_part *p = ctx;
    struct hg_cache *ca = p->ca;
    int64_t rc = reply && !reply->is_error ? hg_redis_item(reply, 0).integer : -1;

    p->flying = false;
    if (rc == 2) {
        count(p, reply);
        p->known = hg_redis_item(reply, 3).integer == 0 &&
                   hg_redis_item(reply, 4).integer == 0; /* else it is a worse one */
        p->pos_there = true;
        p->anew &= !p->sent_anew;
        if (!p->anew)
            hg_cache_part_advance(p, p->pos.next);
        hg_cache_part_touch(p);
    } else if (rc == 0) {
        hg_cache_part_set_mine(p, false);
        hg_log_limited(HG_LOG_INFO, NULL, "cache.lease_lost", "topic=%s partition=%u",
                       ca->spec.host->topics[p->part / HG_TOPIC_PARTS].name,
                       p->part % HG_TOPIC_PARTS);
    } else if (rc < 0 && reply) {
        hg_cache_error(ca, "write", reply->text);
        p->retry_at = hg_mono_add(hg_loop_now(ca->spec.loop), RETRY_MS * HG_MS);
    }
    if (reply && !p->known)
        hg_cache_tend_within(ca, (rc < 0 ? RETRY_MS : NEAR_MS) * HG_MS);
}

void hg_cache_turn(struct hg_cache *ca)
{
    struct hg_cache_part *p;

    if (!ca)
        return;
    while ((p = ca->dirty)) {
        ca->dirty = p->next_dirty;
        p->dirty = false;
        send_next(p);
    }
    HG_SET(ca->spec.metrics, cache_waiting_bytes, ca->kept_bytes);
}

/* ---- the end ---- */

/* What can be written is sent; is an answer still to come? What was refused a moment ago is not
 * tried again: who ends cannot wait for better times. */
static bool is_writing(struct hg_cache *ca)
{
    bool flying = ca->tending > 0;

    for (uint32_t part = 0; part < ca->spec.host->ntopics * HG_TOPIC_PARTS; part++)
        if (ca->parts[part]) {
            send_next(ca->parts[part]);
            flying |= ca->parts[part]->flying;
        }
    return ca->up && flying;
}

void hg_cache_stop(struct hg_cache *ca, int64_t within)
{
    struct hg_mono until = hg_mono_add(hg_mono_read(), within);

    if (!ca)
        return;
    while (is_writing(ca) && !hg_mono_reached(hg_mono_read(), until))
        (void)hg_redis_wait(ca->link, until);
    ca->ending = true;
    hg_cache_tend(ca);
    while (ca->up && ca->tending > 0 && !hg_mono_reached(hg_mono_read(), until))
        (void)hg_redis_wait(ca->link, until);
}

/* ---- life ---- */

void hg_cache_write_up(struct hg_cache *ca)
{
    hg_cache_tend_within(ca, 0);
}

/* What was under way may have been done or not: the position will tell. */
void hg_cache_write_down(struct hg_cache *ca)
{
    for (uint32_t part = 0; part < ca->spec.host->ntopics * HG_TOPIC_PARTS; part++) {
        struct hg_cache_part *p = ca->parts[part];

        if (!p)
            continue;
        p->known = p->flying = false;
        p->force_at = (struct hg_mono){0};
    }
}

void hg_cache_write_init(struct hg_cache *ca)
{
    ca->parts = hg_calloc(ca->spec.host->ntopics * HG_TOPIC_PARTS, sizeof(struct hg_cache_part *));
    hg_cache_tend_within(ca, 0); /* which goes on by itself */
}

void hg_cache_write_fini(struct hg_cache *ca)
{
    hg_timer_stop(hg_loop_timers(ca->spec.loop), &ca->tend);
    for (uint32_t part = 0; part < ca->spec.host->ntopics * HG_TOPIC_PARTS; part++)
        if (ca->parts[part])
            hg_cache_part_free(ca->parts[part]);
    free(ca->parts);
}
