/* Who writes a partition to the hot cache, and how far it is written: asked of Redis every quarter
 * of a lease, at least every two seconds, and sooner when something was not as we thought. Rules 1
 * and 3 of cache.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/num.h"
#include "common/sys/log.h"
#include "worker/cache_priv.h"

enum {
    TEND_PARTS = 64,   /* per script */
    TEND_MS = 2000,    /* leases may be long; what is given up, or newly ours, waits no longer */
    BEYOND_MS = 10000, /* a position beyond the end of the log for so long: another log */
};

static void on_tend_timer(void *arg, struct hg_mono now);

void hg_cache_tend_within(struct hg_cache *ca, int64_t us)
{
    struct hg_mono at = hg_mono_add(hg_loop_now(ca->spec.loop), us);

    if (hg_timer_is_running(&ca->tend) && !hg_mono_reached(ca->tend.when, at))
        return;
    hg_timer_start(hg_loop_timers(ca->spec.loop), &ca->tend, at, on_tend_timer, ca);
}

enum wish { TAKE, FORCE, PEEK, GIVE };
static const char *const wish_words[] = {
    [TAKE] = "take", [FORCE] = "force", [PEEK] = "peek", [GIVE] = "give"};

struct tend { /* what was asked of which partitions */
    struct hg_cache *ca;
    unsigned n;
    struct tended {
        uint32_t part;
        enum wish wish;
    } of[TEND_PARTS];
};

static bool holds(const struct hg_cache *ca, uint32_t part)
{
    return hg_host_holds(ca->spec.host, ca->spec.seat, part);
}

/* The share moved, and what was ours to write is written. */
static bool is_over(const struct hg_cache_part *p)
{
    return !holds(p->ca, p->part) && !p->flying && (!p->mine || !p->first);
}

static enum wish wish_of(const struct hg_cache_part *p)
{
    if (p->ca->ending || is_over(p))
        return GIVE;
    if (p->anew || (p->force_at.us && hg_mono_reached(hg_loop_now(p->ca->spec.loop), p->force_at)))
        return FORCE;
    return hg_cache_part_is_behind(p) ? PEEK : TAKE;
}

/* A position beyond the end of the log, for long, while we have read all of it: the topic was made
 * anew while nobody looked. */
static void look_beyond(struct hg_cache_part *p)
{
    const struct hg_host *h = p->ca->spec.host;
    struct hg_mono now = hg_loop_now(p->ca->spec.loop);
    int64_t end = atomic_load(&h->parts[p->part].end);
    bool up = atomic_load(&h->seats[p->ca->spec.seat].ready) & HG_READY_KAFKA;

    if (!hg_cache_part_is_behind(p) || !up || end < 0 || end > p->to) {
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

/* Whoever held the lease of a log that began anew may have written any of what we kept, and the
 * position does not tell: better a hole than repeats. moved: the position is not what it was, so
 * that the one who writes has found the new log, too, or finds it and moves it once more. */
static void doubt_kept(struct hg_cache_part *p, bool moved)
{
    hg_cache_part_forget(p);
    if (!p->mine && moved && p->pos_there && p->pos.next <= (uint64_t)p->to)
        p->anew = false;
}

/* What Redis says of one partition: our lease's text, the position's, whether anybody has it. */
static void learn(struct hg_cache_part *p, struct hg_slice ours, struct hg_slice pos, int64_t held,
                  bool took)
{
    struct hg_cache *ca = p->ca;
    struct hg_mono now = hg_loop_now(ca->spec.loop);
    bool was_mine = p->mine, moved;

    hg_cache_part_set_mine(p, ours.n > 0 && ours.n < sizeof p->lease);
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
    moved = !hg_slice_eq(pos, hg_slice_str(p->pos_text));
    p->pos_there = hg_cachepos_read(pos, &p->pos);
    snprintf(p->pos_text, sizeof p->pos_text, "%.*s", HG_SLICE_ARG(pos));
    if (pos.n > 0 && !p->pos_there) /* goes over it */
        hg_cache_error(ca, "lease", HG_SLICE_LIT("a position cannot be read"));
    if (p->anew && held && !(was_mine && p->mine))
        doubt_kept(p, moved);
    if (p->pos_there && !p->anew)
        hg_cache_part_advance(p, p->pos.next);
    if (!took || held)
        p->force_at = (struct hg_mono){0};
    else if (!p->force_at.us)
        p->force_at = hg_mono_add(now, ca->spec.conf->hotcache_lease);
    look_beyond(p);
    hg_cache_part_touch(p);
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
        if (t->of[i].wish == GIVE && is_over(p))
            hg_cache_part_free(p);
        else
            learn(p, ours.text, pos.text, held.integer, t->of[i].wish == TAKE);
    }
    free(t);
}

/* Up to TEND_PARTS partitions from *part on; what is wished of each. */
static struct tend *tend_of(struct hg_cache *ca, uint32_t *part, uint32_t end)
{
    struct tend *t = hg_calloc(1, sizeof *t);

    t->ca = ca;
    for (; *part < end && t->n < TEND_PARTS; ++*part)
        if (ca->parts[*part])
            t->of[t->n++] = (struct tended){*part, wish_of(ca->parts[*part])};
    return t;
}

static void put_keys(const struct tend *t, struct hg_cache_args *args)
{
    for (unsigned i = 0; i < t->n; i++) {
        hg_cache_lease_key(t->ca, t->of[i].part, &args->text);
        hg_cache_args_end(args);
        hg_cache_pos_key(t->ca, t->of[i].part / HG_TOPIC_PARTS, &args->text);
        hg_cache_args_end(args);
    }
}

static void put_wishes(const struct tend *t, struct hg_cache_args *args)
{
    struct hg_cache *ca = t->ca;

    HG_CACHE_ARG(args, "%s", ca->owner);
    HG_CACHE_ARG(args, "%lld", (long long)(ca->spec.conf->hotcache_lease / HG_MS));
    HG_CACHE_ARG(args, "%lld", (long long)hg_wall_ms());
    for (unsigned i = 0; i < t->n; i++) {
        const struct hg_cache_part *p = ca->parts[t->of[i].part];

        HG_CACHE_ARG(args, "%u", p->part % HG_TOPIC_PARTS);
        HG_CACHE_ARG(args, "%s", wish_words[t->of[i].wish]);
        HG_CACHE_ARG(args, "%s", p->mine ? p->lease : "");
        HG_CACHE_ARG(args, "%lld", (long long)p->from);
    }
}

static void tend_some(struct hg_cache *ca, uint32_t *part, uint32_t end)
{
    struct tend *t = tend_of(ca, part, end);
    struct hg_cache_args *args = hg_cache_args_begin(ca);

    put_keys(t, args);
    put_wishes(t, args);
    if (t->n > 0 && hg_cache_run(ca, &hg_cache_lua_tend, (int)(2 * t->n), on_tended, t) == 0)
        ca->tending++, t = NULL;
    free(t);
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
                hg_cache_part_new(ca, part, atomic_load(&h->parts[part].next),
                                  atomic_load(&h->parts[part].lsn));
    }
}

void hg_cache_tend(struct hg_cache *ca)
{
    uint32_t part = 0, end = ca->spec.host->ntopics * HG_TOPIC_PARTS;

    if (!ca->up || ca->tending > 0)
        return;
    while (part < end)
        tend_some(ca, &part, end);
}

static void on_tend_timer(void *arg, struct hg_mono now)
{
    struct hg_cache *ca = arg;

    (void)now;
    hg_cache_tend_within(ca, HG_MIN(ca->spec.conf->hotcache_lease / 4, TEND_MS * HG_MS));
    if (ca->up && ca->tending == 0)
        find_idle(ca);
    hg_cache_tend(ca);
}
