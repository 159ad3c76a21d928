/*
 * The writing side of the hot cache: what is kept, leases, batches. Rules 1 to 5 of cache.h.
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
    TEND_PARTS = 64,   /* per script */
    RETRY_MS = 1000,   /* after an error reply */
    BEYOND_MS = 10000, /* a position beyond the end of the log for so long: another log */
    WRITE_KEYS = 2,    /* before the lists */
    WRITE_ARGS = 8,    /* before the entries */
    NEAR_MS = 100,     /* a tend out of turn, when a lease or position was not what we thought */
};

/* ---- what is kept ---- */

static void mark_dirty(struct hg_cache_part *p)
{
    if (p->dirty)
        return;
    p->dirty = true;
    p->next_dirty = p->ca->dirty;
    p->ca->dirty = p;
}

static void set_mine(struct hg_cache_part *p, bool mine)
{
    if (p->mine == mine)
        return;
    p->mine = mine;
    if (mine)
        HG_INC(p->ca->spec.metrics, cache_leases);
    else
        HG_DEC(p->ca->spec.metrics, cache_leases);
}

static uint64_t cost_of(const struct hg_cache_kept *k)
{
    return sizeof *k + k->key_n + k->value_n;
}

static void pop(struct hg_cache_part *p)
{
    struct hg_cache_kept *k = p->first;

    p->before = p->before_known ? HG_MAX(p->before, k->lsn) : k->lsn;
    p->before_known |= k->lsn > 0;
    p->from = k->offset + 1;
    p->first = k->next;
    if (!p->first)
        p->end = &p->first;
    p->ca->kept_bytes -= cost_of(k);
    free(k);
}

/* Everything below next is written. */
static void advance(struct hg_cache_part *p, uint64_t next)
{
    while (p->first && (uint64_t)p->first->offset < next)
        pop(p);
    p->from = HG_MAX(p->from, (int64_t)HG_MIN(next, (uint64_t)p->to));
}

static void forget_all(struct hg_cache_part *p)
{
    while (p->first)
        pop(p);
}

static struct hg_cache_part *activate(struct hg_cache *ca, uint32_t part, int64_t next,
                                      uint64_t before)
{
    struct hg_cache_part *p = hg_calloc(1, sizeof *p);

    p->ca = ca;
    p->part = part;
    p->end = &p->first;
    p->from = p->to = next;
    p->before = p->highest = before;
    p->before_known = before > 0 || next == 0;
    ca->parts[part] = p;
    return p;
}

static void deactivate(struct hg_cache_part *p)
{
    struct hg_cache_part **at = &p->ca->dirty;

    set_mine(p, false);
    forget_all(p);
    while (p->dirty && *at != p)
        at = &(*at)->next_dirty;
    if (p->dirty)
        *at = p->next_dirty;
    p->ca->parts[p->part] = NULL;
    free(p);
}

static void keep(struct hg_cache_part *p, const struct hg_cache_rec *rec)
{
    struct hg_cache *ca = p->ca;
    size_t prefix_n = strlen(ca->prefix);
    bool is_diff = rec->kind == HG_CACHE_DIFF;
    uint32_t key_n = is_diff ? (uint32_t)(prefix_n + 5 + rec->key.n) : 0;
    uint32_t value_n = is_diff ? (uint32_t)rec->value.n : 0;
    struct hg_cache_kept *k = hg_malloc(sizeof *k + key_n + value_n);

    *k = (struct hg_cache_kept){.kind = rec->kind,
                                .offset = rec->pos.offset,
                                .lsn = rec->lsn.v,
                                .key_n = key_n,
                                .value_n = value_n};
    if (!is_diff)
        k->hole = HG_MAX(p->highest, rec->lsn.v);
    else if (rec->lsn.v < p->highest)
        k->hole = p->highest;
    if (is_diff) {
        memcpy(k->bytes, ca->prefix, prefix_n);
        memcpy(k->bytes + prefix_n, "diff:", 5);
        memcpy(k->bytes + prefix_n + 5, rec->key.p, rec->key.n);
        if (value_n)
            memcpy(k->bytes + key_n, rec->value.p, value_n);
    }
    *p->end = k;
    p->end = &k->next;
    p->highest = HG_MAX(p->highest, rec->lsn.v);
    ca->kept_bytes += cost_of(k);
}

/* The oldest of the partition that wants more; a host that does not write loses nothing by it. */
static void keep_cap(struct hg_cache_part *p)
{
    struct hg_cache *ca = p->ca;

    while (ca->kept_bytes > (uint64_t)ca->spec.conf->hotcache_buffer && p->first) {
        if (p->mine || !ca->up)
            HG_INC(ca->spec.metrics, cache_dropped);
        pop(p);
    }
}

static bool is_cached_topic(const struct hg_cache *ca, uint32_t part)
{
    return ca->spec.host->topics[part / HG_TOPIC_PARTS].kind == HG_TOPIC_DIFF;
}

void hg_cache_record(struct hg_cache *ca, const struct hg_cache_rec *rec)
{
    struct hg_cache_part *p;

    if (!ca || !is_cached_topic(ca, rec->pos.part))
        return;
    p = ca->parts[rec->pos.part];
    if (!p)
        p = activate(ca, rec->pos.part, rec->pos.offset, rec->before.v);
    if (rec->pos.offset < p->to)
        return;
    p->to = rec->pos.offset + 1;
    if (rec->kind != HG_CACHE_NOTHING)
        keep(p, rec);
    if (p->known && !p->anew)
        advance(p, p->pos.next); /* the one who writes is ahead of us */
    keep_cap(p);
    mark_dirty(p);
}

void hg_cache_begin_anew(struct hg_cache *ca, uint32_t part, int64_t next)
{
    struct hg_cache_part *p = ca && is_cached_topic(ca, part) ? ca->parts[part] : NULL;

    if (!p)
        return;
    forget_all(p);
    p->before = p->highest;
    p->from = p->to = next;
    p->anew = true;
    mark_dirty(p);
}

/* ---- leases ---- */

static void on_tend_timer(void *arg, struct hg_mono now);

static void tend_within(struct hg_cache *ca, int64_t us)
{
    struct hg_mono at = hg_mono_add(hg_loop_now(ca->spec.loop), us);

    if (hg_timer_is_running(&ca->tend) && !hg_mono_reached(ca->tend.when, at))
        return;
    hg_timer_start(hg_loop_timers(ca->spec.loop), &ca->tend, at, on_tend_timer, ca);
}

struct tend { /* what was asked of which partitions */
    struct hg_cache *ca;
    unsigned n;
    struct {
        uint32_t part;
        bool give, take;
    } of[TEND_PARTS];
};

static bool holds(const struct hg_cache *ca, uint32_t part)
{
    return hg_host_holds(ca->spec.host, ca->spec.seat, part);
}

static bool is_behind(const struct hg_cache_part *p)
{
    return p->known && p->pos_there && !p->anew && p->pos.next > (uint64_t)p->to;
}

/* The share moved, and what was ours to write is written. */
static bool is_over(const struct hg_cache_part *p)
{
    return !holds(p->ca, p->part) && !p->flying && (!p->mine || !p->first);
}

static const char *wish(const struct hg_cache_part *p, struct hg_mono now)
{
    if (is_over(p))
        return "give";
    if (p->anew || (p->force_at.us && hg_mono_reached(now, p->force_at)))
        return "force";
    return is_behind(p) ? "peek" : "take";
}

/* A position beyond the end of the log, for long, while we have read all of it: the topic was made
 * anew while nobody looked. */
static void look_beyond(struct hg_cache_part *p)
{
    const struct hg_host *h = p->ca->spec.host;
    struct hg_mono now = hg_loop_now(p->ca->spec.loop);
    int64_t end = atomic_load(&h->parts[p->part].end);
    bool up = atomic_load(&h->seats[p->ca->spec.seat].ready) & HG_READY_KAFKA;

    if (!is_behind(p) || !up || end < 0 || end > p->to) {
        p->beyond = (struct hg_mono){0};
    } else if (!p->beyond.us) {
        p->beyond = now;
    } else if (hg_mono_sub(now, p->beyond) >= BEYOND_MS * HG_MS) {
        hg_log(HG_LOG_WARN, NULL, "cache.log_anew",
               "topic=%s partition=%u written=%" PRIu64 " end=%lld",
               h->topics[p->part / HG_TOPIC_PARTS].name, p->part % HG_TOPIC_PARTS, p->pos.next,
               (long long)end);
        p->anew = true;
    }
}

/* What Redis says of one partition: our lease's text, the position's, whether anybody has it. */
static void learn(struct hg_cache_part *p, struct hg_slice ours, struct hg_slice pos, int64_t held,
                  bool took)
{
    struct hg_cache *ca = p->ca;
    struct hg_mono now = hg_loop_now(ca->spec.loop);

    set_mine(p, ours.n > 0 && ours.n < sizeof p->lease);
    if (p->mine)
        snprintf(p->lease, sizeof p->lease, "%.*s", HG_SLICE_ARG(ours));
    if (held == 2 || pos.n >= sizeof p->pos_text) {
        p->known = false;
        hg_cache_error(ca, "lease",
                       held == 2 ? HG_SLICE_LIT("a key has the wrong type")
                                 : HG_SLICE_LIT("a position is too long"));
        return;
    }
    if (p->flying)
        return;
    p->known = true;
    p->pos_there = hg_cachepos_read(pos, &p->pos);
    snprintf(p->pos_text, sizeof p->pos_text, "%.*s", HG_SLICE_ARG(pos));
    if (pos.n > 0 && !p->pos_there) /* goes over it */
        hg_cache_error(ca, "lease", HG_SLICE_LIT("a position cannot be read"));
    if (p->pos_there && !p->anew)
        advance(p, p->pos.next);
    if (!took || held)
        p->force_at = (struct hg_mono){0};
    else if (!p->force_at.us)
        p->force_at = hg_mono_add(now, ca->spec.conf->hotcache_lease);
    look_beyond(p);
    mark_dirty(p);
}

static void on_tended(void *ctx, const struct hg_redis_reply *reply)
{
    struct tend *t = ctx;
    struct hg_cache *ca = t->ca;

    ca->tending--;
    if (reply && (reply->is_error || reply->count != 3 * t->n))
        hg_cache_error(ca, "lease", reply->text);
    for (unsigned i = 0; reply && reply->count == 3 * t->n && i < t->n; i++) {
        struct hg_redis_reply ours = hg_redis_item(reply, 3 * i);
        struct hg_redis_reply pos = hg_redis_item(reply, 3 * i + 1);
        struct hg_redis_reply held = hg_redis_item(reply, 3 * i + 2);
        struct hg_cache_part *p = ca->parts[t->of[i].part];

        if (!p)
            continue;
        if (t->of[i].give && is_over(p))
            deactivate(p);
        else
            learn(p, ours.text, pos.text, held.integer, t->of[i].take);
    }
    free(t);
}

/* Up to TEND_PARTS partitions from *part on, in one script. */
static void tend_some(struct hg_cache *ca, uint32_t *part, uint32_t end, struct hg_mono now)
{
    struct hg_slice argv[2 * TEND_PARTS + 3 + 4 * TEND_PARTS];
    char numbers[TEND_PARTS][2][21], head[2][21];
    struct hg_buf keys = {0};
    size_t key_at[2 * TEND_PARTS + 1] = {0};
    struct tend *t = hg_calloc(1, sizeof *t);
    struct hg_slice *arg;

    t->ca = ca;
    for (; *part < end && t->n < TEND_PARTS; ++*part) {
        struct hg_cache_part *p = ca->parts[*part];
        uint32_t topic = *part / HG_TOPIC_PARTS;

        if (!p)
            continue;
        hg_buf_addf(&keys, "%slease:%s:%u", ca->prefix, ca->spec.host->topics[topic].name,
                    *part % HG_TOPIC_PARTS);
        key_at[2 * t->n + 1] = keys.n;
        hg_cache_pos_key(ca, topic, &keys);
        key_at[2 * t->n + 2] = keys.n;
        t->of[t->n++].part = *part;
    }
    if (t->n == 0) {
        free(t);
        return;
    }
    for (unsigned i = 0; i < 2 * t->n; i++)
        argv[i] = hg_slice_of(keys.p + key_at[i], key_at[i + 1] - key_at[i]);
    arg = argv + 2 * t->n;
    *arg++ = hg_slice_str(ca->owner);
    *arg++ = hg_slice_of(
        head[0], hg_num_u64_text((uint64_t)(ca->spec.conf->hotcache_lease / HG_MS), head[0]));
    *arg++ = hg_slice_of(head[1], hg_num_u64_text((uint64_t)hg_wall_ms(), head[1]));
    for (unsigned i = 0; i < t->n; i++) {
        struct hg_cache_part *p = ca->parts[t->of[i].part];
        const char *want = wish(p, now);

        t->of[i].give = strcmp(want, "give") == 0;
        t->of[i].take = strcmp(want, "take") == 0;
        *arg++ =
            hg_slice_of(numbers[i][0], hg_num_u64_text(p->part % HG_TOPIC_PARTS, numbers[i][0]));
        *arg++ = hg_slice_str(want);
        *arg++ = hg_slice_str(p->mine ? p->lease : "");
        *arg++ = hg_slice_of(numbers[i][1], hg_num_u64_text((uint64_t)p->from, numbers[i][1]));
    }
    if (hg_redis_eval(ca->link, &hg_cache_lua_tend, (int)(2 * t->n), argv, (int)(arg - argv),
                      on_tended, t) == 0)
        ca->tending++, t = NULL;
    free(t);
    hg_buf_fini(&keys);
}

/* Partitions of our share that had nothing yet: they count as written up to where we are, too. */
static void find_idle(struct hg_cache *ca)
{
    struct hg_host *h = ca->spec.host;

    for (uint32_t topic = 0; topic < h->ntopics; topic++) {
        uint32_t count = HG_MIN(atomic_load(&h->topics[topic].count), (uint32_t)HG_TOPIC_PARTS);

        if (h->topics[topic].kind != HG_TOPIC_DIFF)
            continue;
        for (uint32_t part = topic * HG_TOPIC_PARTS; count-- > 0; part++)
            if (!ca->parts[part] && atomic_load(&h->parts[part].known) && holds(ca, part))
                activate(ca, part, atomic_load(&h->parts[part].next),
                         atomic_load(&h->parts[part].lsn));
    }
}

static void on_tend_timer(void *arg, struct hg_mono now)
{
    struct hg_cache *ca = arg;
    uint32_t part = 0, end = ca->spec.host->ntopics * HG_TOPIC_PARTS;

    tend_within(ca, ca->spec.conf->hotcache_lease / 4);
    if (!ca->up || ca->tending > 0)
        return;
    find_idle(ca);
    while (part < end)
        tend_some(ca, &part, end, now);
}

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

static int send_batch(struct hg_cache_part *p, const struct batch *b)
{
    struct hg_cache *ca = p->ca;
    struct hg_slice *argv = hg_malloc((WRITE_KEYS + WRITE_ARGS + 2 * b->n) * sizeof *argv);
    struct hg_slice *arg = argv + WRITE_KEYS + b->n;
    uint32_t topic = p->part / HG_TOPIC_PARTS;
    struct hg_buf keys = {0}, *text = &ca->text;
    struct hg_cachepos failed = b->pos;
    char now[HG_CACHEPOS_TEXT], worse[HG_CACHEPOS_TEXT], num[4][21];
    size_t lease_n, at = 0;
    int rc;

    failed.since = HG_MAX(failed.since, b->highest);
    hg_buf_addf(&keys, "%slease:%s:%u", ca->prefix, ca->spec.host->topics[topic].name,
                p->part % HG_TOPIC_PARTS);
    lease_n = keys.n;
    hg_cache_pos_key(ca, topic, &keys);
    argv[0] = hg_slice_of(keys.p, lease_n);
    argv[1] = hg_slice_of(keys.p + lease_n, keys.n - lease_n);
    *arg++ = hg_slice_str(p->lease);
    *arg++ = hg_slice_of(
        num[0], hg_num_u64_text((uint64_t)(ca->spec.conf->hotcache_lease / HG_MS), num[0]));
    *arg++ = hg_slice_of(num[1], hg_num_u64_text(p->part % HG_TOPIC_PARTS, num[1]));
    *arg++ = hg_slice_str(p->pos_text);
    *arg++ = hg_slice_of(now, hg_cachepos_put(now, &b->pos));
    *arg++ = hg_slice_of(worse, hg_cachepos_put(worse, &failed));
    *arg++ =
        hg_slice_of(num[2], hg_num_u64_text((uint64_t)ca->spec.conf->hotcache_max_diffs, num[2]));
    *arg++ = hg_slice_of(num[3],
                         hg_num_u64_text((uint64_t)ca->spec.conf->hotcache_retention_ms, num[3]));
    hg_buf_reset(text);
    for (unsigned i = 0; i < b->n; i++) {
        const struct hg_cache_kept *k = b->kept[i];

        argv[WRITE_KEYS + i] = hg_slice_of(k->bytes, k->key_n);
        hg_cachediff_put(text, k->lsn, hg_slice_of(k->bytes + k->key_n, k->value_n));
        arg[i].n = text->n; /* where it ends; the buffer may still move */
    }
    for (unsigned i = 0; i < b->n; i++) {
        size_t end = arg[i].n;

        arg[i] = hg_slice_of(text->p + at, end - at);
        at = end;
    }
    rc = hg_redis_eval(ca->link, &hg_cache_lua_write, (int)(WRITE_KEYS + b->n), argv,
                       (int)(WRITE_KEYS + WRITE_ARGS + 2 * b->n), on_written, p);
    hg_buf_fini(&keys);
    free(argv);
    return rc;
}

static bool may_send(const struct hg_cache_part *p)
{
    const struct hg_cache *ca = p->ca;

    return ca->up && p->mine && p->known && !p->flying && !is_behind(p) &&
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
    if (p->sent_hole)
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
        p->known = hg_redis_item(reply, 3).integer == 0; /* else it is the worse one */
        p->pos_there = true;
        p->anew &= !p->sent_anew;
        if (!p->anew)
            advance(p, p->pos.next);
        mark_dirty(p);
    } else if (rc == 0) {
        set_mine(p, false);
        hg_log_limited(HG_LOG_INFO, NULL, "cache.lease_lost", "topic=%s partition=%u",
                       ca->spec.host->topics[p->part / HG_TOPIC_PARTS].name,
                       p->part % HG_TOPIC_PARTS);
    } else if (rc < 0 && reply) {
        hg_cache_error(ca, "write", reply->text);
        p->retry_at = hg_mono_add(hg_loop_now(ca->spec.loop), RETRY_MS * HG_MS);
    }
    if (reply && !p->known)
        tend_within(ca, (rc < 0 ? RETRY_MS : NEAR_MS) * HG_MS);
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

/* ---- life ---- */

void hg_cache_write_up(struct hg_cache *ca)
{
    tend_within(ca, 0);
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
    tend_within(ca, ca->spec.conf->hotcache_lease / 4);
}

void hg_cache_write_fini(struct hg_cache *ca)
{
    hg_timer_stop(hg_loop_timers(ca->spec.loop), &ca->tend);
    for (uint32_t part = 0; part < ca->spec.host->ntopics * HG_TOPIC_PARTS; part++)
        if (ca->parts[part])
            deactivate(ca->parts[part]);
    free(ca->parts);
}
