/* The link and the readers of the hot cache. See cache.h; the writing side is cache_write.c. */
#include <bsd/string.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/num.h"
#include "common/sys/log.h"
#include "proto/json.h"
#include "worker/cache_priv.h"

enum {
    RANGE_MAX = 100000, /* keys of one rangeIndex */
    RELINK_MS = 5000,   /* a replica is left: the name may lead to the new master */
};

struct hg_cache_read {
    struct hg_cache *ca;
    hg_cache_range_fn on_range; /* both NULL: cancelled */
    hg_cache_after_fn on_after;
    void *ctx;
    struct hg_lsn after;
    struct hg_cached_upto *need; /* what this host had handed over when it asked */
    size_t nneed;
};

/* ---- is it wanted? ---- */

bool hg_cache_wanted(const struct hg_conf *conf)
{
    static const char *const names[] = {"keydb_host",         "keydb_port",
                                        "keydb_password",     "keydb_prefix",
                                        "hotcache_max_diffs", "hotcache_retention_ms",
                                        "hotcache_snapshots"};

    if (conf->hot_cache != HG_HOT_CACHE_AUTO)
        return conf->hot_cache == HG_HOT_CACHE_ON;
    if (conf->dev)
        return false;
    for (size_t i = 0; i < HG_COUNTOF(names); i++)
        if (hg_conf_is_given(conf, hg_slice_str(names[i])))
            return true;
    return conf->profile == HG_PROFILE_V3;
}

/* ---- the link ---- */

static void open_link(struct hg_cache *ca);

static void on_relink(void *arg, struct hg_mono now)
{
    struct hg_cache *ca = arg;
    struct hg_redis *old = ca->link;

    (void)now;
    ca->up = false;
    hg_redis_free(old); /* says that what was asked has no answer */
    hg_cache_write_down(ca);
    HG_SET(ca->spec.metrics, cache_up, 0);
    open_link(ca);
}

/* Before Redis 7, and from KeyDB, it stands behind the words that a script failed. */
static bool is_readonly(struct hg_slice text)
{
    return text.n > 0 && memmem(text.p, text.n, "READONLY ", 9);
}

void hg_cache_error(struct hg_cache *ca, const char *what, struct hg_slice text)
{
    HG_INC(ca->spec.metrics, cache_errors);
    hg_log_limited(HG_LOG_WARN, NULL, "cache.error", "at=%s why=\"%.*s\"", what,
                   HG_SLICE_ARG(text));
    if (is_readonly(text) && !hg_timer_is_running(&ca->relink))
        hg_timer_start(hg_loop_timers(ca->spec.loop), &ca->relink,
                       hg_mono_add(hg_loop_now(ca->spec.loop), RELINK_MS * HG_MS), on_relink, ca);
}

static void on_up(void *ctx)
{
    struct hg_cache *ca = ctx;

    ca->up = true;
    HG_SET(ca->spec.metrics, cache_up, 1);
    hg_log(HG_LOG_INFO, NULL, "cache.up", "host=%s port=%lld", ca->spec.conf->keydb_host,
           (long long)ca->spec.conf->keydb_port);
    hg_cache_write_up(ca);
}

static void on_down(void *ctx, const char *why)
{
    struct hg_cache *ca = ctx;

    ca->up = false;
    HG_SET(ca->spec.metrics, cache_up, 0);
    hg_log_limited(HG_LOG_WARN, NULL, "cache.down", "host=%s port=%lld why=\"%s\"",
                   ca->spec.conf->keydb_host, (long long)ca->spec.conf->keydb_port, why);
    hg_cache_write_down(ca);
}

static void open_link(struct hg_cache *ca)
{
    const struct hg_conf *cf = ca->spec.conf;
    struct hg_redis_spec spec = {.loop = ca->spec.loop,
                                 .probe_every = ca->spec.probe_every,
                                 .answer_timeout = ca->spec.answer_timeout,
                                 .on_up = on_up,
                                 .on_down = on_down,
                                 .ctx = ca};

    strlcpy(spec.url.host, cf->keydb_host, sizeof spec.url.host);
    if (cf->keydb_password)
        strlcpy(spec.url.password, cf->keydb_password, sizeof spec.url.password);
    spec.url.port = (uint16_t)cf->keydb_port;
    ca->link = hg_redis_new(&spec);
    explicit_bzero(&spec.url, sizeof spec.url);
}

/* ---- life ---- */

static void set_prefix(struct hg_cache *ca)
{
    const char *given = ca->spec.conf->keydb_prefix ? ca->spec.conf->keydb_prefix : "";
    size_t n = 0;

    ca->prefix = hg_malloc(strlen(given) + 1);
    for (const char *p = given; *p; p++)
        if (!isspace((unsigned char)*p))
            ca->prefix[n++] = *p;
    ca->prefix[n] = 0;
}

struct hg_cache *hg_cache_new(const struct hg_cache_spec *spec)
{
    const struct hg_host *h = spec->host;

    HG_SET(spec->metrics, cache_up, 0);
    HG_SET(spec->metrics, cache_leases, 0);
    if (!hg_cache_wanted(spec->conf))
        return NULL;
    struct hg_cache *ca = hg_calloc(1, sizeof *ca);
    ca->spec = *spec;
    snprintf(ca->owner, sizeof ca->owner, "%016" PRIx64 ".%u.%u", h->boot_id, spec->seat,
             atomic_load(&h->seats[spec->seat].generation));
    set_prefix(ca);
    hg_cache_write_init(ca);
    open_link(ca);
    return ca;
}

void hg_cache_free(struct hg_cache *ca)
{
    if (!ca)
        return;
    hg_timer_stop(hg_loop_timers(ca->spec.loop), &ca->relink);
    hg_redis_free(ca->link);
    hg_cache_write_fini(ca);
    HG_SET(ca->spec.metrics, cache_up, 0);
    hg_cache_args_fini(&ca->args);
    free(ca->prefix);
    free(ca);
}

bool hg_cache_is_up(const struct hg_cache *ca)
{
    return ca && ca->up;
}

void hg_cache_key(const struct hg_cache *ca, const char *kind, struct hg_slice key,
                  struct hg_buf *out)
{
    hg_buf_addf(out, "%s%s", ca->prefix, kind);
    hg_buf_add_slice(out, key);
}

void hg_cache_pos_key(const struct hg_cache *ca, uint32_t topic, struct hg_buf *out)
{
    hg_buf_addf(out, "%spos:%s", ca->prefix, ca->spec.host->topics[topic].name);
}

void hg_cache_lease_key(const struct hg_cache *ca, uint32_t part, struct hg_buf *out)
{
    hg_buf_addf(out, "%slease:%s:%u", ca->prefix, ca->spec.host->topics[part / HG_TOPIC_PARTS].name,
                part % HG_TOPIC_PARTS);
}

/* ---- snapshots ---- */

bool hg_cache_keeps_snapshots(const struct hg_cache *ca)
{
    return ca && ca->spec.conf->hotcache_snapshots;
}

static void on_snapshot(void *ctx, const struct hg_redis_reply *reply)
{
    if (reply && reply->is_error)
        hg_cache_error(ctx, "snapshot", reply->text);
}

/* The list beside it is not trimmed: its entry at or below a snapshot's LSN is what proves that
 * nothing is missing (rule 7). It lives as long, so that readers find what comes after. */
static int send_snapshot(struct hg_cache *ca, struct hg_slice key, struct hg_slice text)
{
    struct hg_buf snap = {0}, diff = {0};
    char ttl[21];
    struct hg_slice px =
        hg_slice_of(ttl, hg_num_u64_text((uint64_t)ca->spec.conf->hotcache_retention_ms, ttl));
    int rc;

    hg_cache_key(ca, "snap:", key, &snap);
    hg_cache_key(ca, "diff:", key, &diff);
    const struct hg_slice set[] = {HG_SLICE_LIT("SET"), hg_buf_slice(&snap), text,
                                   HG_SLICE_LIT("PX"), px};
    const struct hg_slice expire[] = {HG_SLICE_LIT("PEXPIRE"), hg_buf_slice(&diff), px};
    bool expires = ca->spec.conf->hotcache_retention_ms > 0;

    rc = hg_redis_command(ca->link, set, expires ? 5 : 3, on_snapshot, ca);
    if (rc == 0 && expires)
        rc = hg_redis_command(ca->link, expire, 3, on_snapshot, ca);
    hg_buf_fini(&snap);
    hg_buf_fini(&diff);
    return rc;
}

void hg_cache_snapshot(struct hg_cache *ca, struct hg_slice key, struct hg_slice text)
{
    const struct hg_conf *cf = ca->spec.conf;
    size_t busy = ca->up ? hg_redis_inflight(ca->link) : 0, max = (size_t)cf->hotcache_buffer;

    if (!ca->up || text.n > (size_t)cf->max_snapshot || busy > max || text.n > max - busy ||
        send_snapshot(ca, key, text) < 0)
        HG_INC(ca->spec.metrics, cache_snapshots_dropped);
    else
        HG_INC(ca->spec.metrics, cache_snapshots);
}

/* ---- reading ---- */

static struct hg_cache_read *read_new(struct hg_cache *ca, void *ctx)
{
    struct hg_cache_read *r = hg_calloc(1, sizeof *r);

    r->ca = ca;
    r->ctx = ctx;
    return r;
}

static void read_free(struct hg_cache_read *r)
{
    free(r->need);
    free(r);
}

void hg_cache_cancel(struct hg_cache_read *r)
{
    if (!r)
        return;
    r->on_range = NULL;
    r->on_after = NULL;
}

/* ---- rangeIndex ---- */

/* false: none, no list of text, or more than a frame may hold. */
static bool put_pks(struct hg_buf *out, const struct hg_redis_reply *reply, size_t max)
{
    hg_buf_addc(out, '[');
    for (size_t i = 0; i < reply->count; i++) {
        struct hg_redis_reply item = hg_redis_item(reply, i);

        if (item.kind != HG_REDIS_TEXT || out->n > max)
            return false;
        if (i > 0)
            hg_buf_addc(out, ',');
        hg_json_add_str(out, item.text);
    }
    hg_buf_addc(out, ']');
    return reply->count > 0 && out->n <= max;
}

static void on_range(void *ctx, const struct hg_redis_reply *reply)
{
    struct hg_cache_read *r = ctx;
    struct hg_buf text = {0};
    bool found = reply && reply->kind == HG_REDIS_ARRAY && r->on_range &&
                 put_pks(&text, reply, (size_t)r->ca->spec.conf->max_snapshot);

    if (reply && reply->is_error)
        hg_cache_error(r->ca, "range", reply->text);
    if (found)
        HG_INC(r->ca->spec.metrics, cache_ranges);
    if (r->on_range)
        r->on_range(r->ctx, found ? hg_buf_slice(&text) : HG_SLICE_NONE);
    hg_buf_fini(&text);
    read_free(r);
}

struct hg_cache_read *hg_cache_range(struct hg_cache *ca, struct hg_slice key, hg_cache_range_fn fn,
                                     void *ctx)
{
    struct hg_buf name = {0};
    struct hg_slice argv[] = {HG_SLICE_LIT("LRANGE"), {0}, HG_SLICE_LIT("0"), {0}};
    char last[21];
    struct hg_cache_read *r;

    if (!hg_cache_is_up(ca))
        return NULL;
    r = read_new(ca, ctx);
    r->on_range = fn;
    hg_cache_key(ca, "range:", key, &name);
    argv[1] = hg_buf_slice(&name);
    argv[3] = hg_slice_of(last, hg_num_u64_text(RANGE_MAX - 1, last));
    if (hg_redis_command(ca->link, argv, 4, on_range, r) < 0)
        read_free(r), r = NULL;
    hg_buf_fini(&name);
    return r;
}

/* ---- the diffs after an LSN ---- */

void hg_cached_free(struct hg_cached *c)
{
    if (!c)
        return;
    hg_cachelist_fini(&c->list);
    free(c->upto);
    free(c);
}

bool hg_cached_is_behind(const struct hg_cached *c, const struct hg_host *host)
{
    for (size_t i = 0; i < c->nupto; i++)
        if (atomic_load(&host->parts[c->upto[i].part].next) < c->upto[i].next)
            return false;
    return true;
}

static bool is_diff_topic(const struct hg_host *h, uint32_t topic)
{
    return h->topics[topic].kind == HG_TOPIC_DIFF;
}

/* What every partition of diffs has handed over by now. */
static void note_need(struct hg_cache_read *r)
{
    struct hg_host *h = r->ca->spec.host;
    size_t cap = 0;

    for (uint32_t topic = 0; topic < h->ntopics; topic++)
        cap += is_diff_topic(h, topic) ? HG_TOPIC_PARTS : 0;
    r->need = hg_calloc(cap ? cap : 1, sizeof *r->need);
    for (uint32_t topic = 0; topic < h->ntopics; topic++)
        for (uint32_t i = 0; is_diff_topic(h, topic) && i < HG_TOPIC_PARTS; i++) {
            uint32_t part = topic * HG_TOPIC_PARTS + i;
            int64_t next = atomic_load(&h->parts[part].next);

            if (next > 0)
                r->need[r->nneed++] = (struct hg_cached_upto){part, next};
        }
}

/* One topic's hash into the table of all; false: not what we write there. */
static bool read_hash(const struct hg_redis_reply *hash, uint32_t topic, struct hg_cached *c,
                      struct hg_cachepos *table)
{
    for (size_t i = 0; i + 1 < hash->count; i += 2) {
        struct hg_redis_reply field = hg_redis_item(hash, i), value = hg_redis_item(hash, i + 1);
        uint64_t part;
        const char *why;

        if (hg_num_u64(field.text, &part, &why) < 0 || part >= HG_TOPIC_PARTS)
            return false;
        part += (uint64_t)topic * HG_TOPIC_PARTS;
        if (!hg_cachepos_read(value.text, &table[part]))
            return false;
        c->upto[c->nupto++] = (struct hg_cached_upto){(uint32_t)part, (int64_t)table[part].next};
    }
    return true;
}

/* Rule 6. */
static bool read_positions(const struct hg_cache_read *r, const struct hg_redis_reply *hashes,
                           struct hg_cached *c)
{
    const struct hg_host *h = r->ca->spec.host;
    struct hg_cachepos *table = hg_calloc(h->ntopics * HG_TOPIC_PARTS, sizeof *table);
    size_t at = 0;
    bool ok = true;

    c->upto = hg_calloc(h->ntopics * HG_TOPIC_PARTS, sizeof *c->upto);
    for (uint32_t topic = 0; ok && topic < h->ntopics; topic++)
        if (is_diff_topic(h, topic)) {
            struct hg_redis_reply hash = hg_redis_item(hashes, at++);

            ok = hash.count <= 2 * HG_TOPIC_PARTS && read_hash(&hash, topic, c, table);
        }
    for (size_t i = 0; ok && i < r->nneed; i++) {
        const struct hg_cachepos *pos = &table[r->need[i].part];

        ok = pos->next >= (uint64_t)r->need[i].next && pos->since <= r->after.v;
    }
    free(table);
    return ok;
}

/* Rule 8; they come newest first. */
static bool read_entries(const struct hg_redis_reply *entries, struct hg_cached *c)
{
    struct hg_buf bytes = {0};
    bool ok = true;

    for (size_t i = entries->count; ok && i-- > 0;) {
        struct hg_redis_reply text = hg_redis_item(entries, i);
        uint64_t lsn;

        hg_buf_reset(&bytes);
        ok = hg_cachediff_read(text.text, &lsn, &bytes) && lsn > c->after.v &&
             hg_cachelist_add(&c->list, lsn, hg_buf_slice(&bytes));
    }
    hg_buf_fini(&bytes);
    return ok;
}

static struct hg_cached *prove(const struct hg_cache_read *r, const struct hg_redis_reply *reply)
{
    struct hg_redis_reply hashes = hg_redis_item(reply, 1), entries = hg_redis_item(reply, 2);
    struct hg_cached *c = hg_calloc(1, sizeof *c);

    c->after = r->after;
    if (hg_redis_item(reply, 0).integer == 1 && read_positions(r, &hashes, c) &&
        read_entries(&entries, c))
        return c;
    hg_cached_free(c);
    return NULL;
}

static void on_after(void *ctx, const struct hg_redis_reply *reply)
{
    struct hg_cache_read *r = ctx;
    struct hg_cached *c = NULL;

    if (reply && reply->is_error)
        hg_cache_error(r->ca, "read", reply->text);
    if (reply && !reply->is_error && r->on_after)
        c = prove(r, reply);
    if (c)
        HG_INC(r->ca->spec.metrics, cache_hits);
    else
        HG_INC(r->ca->spec.metrics, cache_misses);
    if (r->on_after)
        r->on_after(r->ctx, c);
    read_free(r);
}

/* Offsets that stand in for LSNs order one partition only, and fence nothing. */
static bool has_real_lsns(const struct hg_host *h)
{
    for (uint32_t topic = 0; topic < h->ntopics; topic++)
        if (is_diff_topic(h, topic) && h->topics[topic].version_is_offset)
            return false;
    return true;
}

static int ask_after(struct hg_cache_read *r, struct hg_slice key)
{
    struct hg_cache *ca = r->ca;
    const struct hg_host *h = ca->spec.host;
    struct hg_cache_args *args = hg_cache_args_begin(ca);
    int nkeys;

    hg_cache_key(ca, "diff:", key, &args->text);
    hg_cache_args_end(args);
    for (uint32_t topic = 0; topic < h->ntopics; topic++)
        if (is_diff_topic(h, topic)) {
            hg_cache_pos_key(ca, topic, &args->text);
            hg_cache_args_end(args);
        }
    nkeys = args->n;
    HG_CACHE_ARG(args, "%" PRIu64, r->after.v);
    HG_CACHE_ARG(args, "%lld", (long long)ca->spec.conf->held_bytes / 2);
    HG_CACHE_ARG(args, "%lld", (long long)ca->spec.conf->held_records / 2);
    return hg_cache_run(ca, &hg_cache_lua_after, nkeys, on_after, r);
}

struct hg_cache_read *hg_cache_after(struct hg_cache *ca, struct hg_slice key, struct hg_lsn after,
                                     hg_cache_after_fn fn, void *ctx)
{
    struct hg_cache_read *r;

    if (!hg_cache_is_up(ca) || !has_real_lsns(ca->spec.host))
        return NULL;
    r = read_new(ca, ctx);
    r->on_after = fn;
    r->after = after;
    note_need(r);
    if (ask_after(r, key) < 0)
        read_free(r), r = NULL;
    return r;
}
