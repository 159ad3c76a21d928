/*
 * The way `registry` (members.h): who holds which live query stands in one Redis. Each worker is a
 * member of its own, named <boot id>.<seat>.<generation>.<incarnation>, with a lease that it renews
 * three times while it lasts. What stands there, and each step, is registry_lua.h's.
 *
 *             first member                       last one leaves (`leave`)
 *   (nobody) ───────────────▶ held by members ───────────────────────────────────▶ closing
 *      ▲                        ▲   │ lease of the last one ran out (`tick`)  ▲      │  │
 *      │                        │   └───────────────────────────────────────┘      │  │
 *      │ `closed`: nobody came  └───────────────────────────── `closed`: joiners ───┘  │
 *      └───────────────────────────────────────────────────────────────────────────────┘
 *
 * Each step is one run of the script, so that of several sweepers one gets a query. A joiner is a
 * member while it is closing, but is told so and asks again until the mark is gone. A mark that
 * runs out (its closer died, or Kafka refused the tombstone) goes when there are members, else the
 * sweep closes the query anew; the tombstone of the old closer is in the log or given up by then:
 * its message.timeout.ms is a third of the mark's time, and an answer that came late is not acted
 * on.
 *
 * Everything in Redis is a copy: after each coming up, after a lost lease and after a loss of
 * everything in it, this worker takes a new incarnation and joins all its queries anew; what the
 * old one held, the sweep finds. So nobody sweeps before its link has been up for a whole lease:
 * by then everybody who lives has said so. Queries that ended while Redis was away are found the
 * same way; only where Redis comes back empty (another epoch) are they told from a list of our own.
 */
#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/map.h"
#include "common/sys/log.h"
#include "worker/members.h"
#include "worker/redis.h"
#include "worker/registry_lua.h"

enum {
    PATIENCE_MS = 1000, /* how long a subscribe's query waits for a registry that was just lost */
    PROBE_MS = 1000,
    ANSWER_MS = 2000,
    VERB_ARGS = 4,     /* of each verb: its name, prefix, member, lease */
    SWEEP_BATCH = 100, /* 1 to 2 ms in which Redis does nothing else */
    SWEEP_MORE_MS = 5, /* to the next batch, while one was full */
    JOINS_MAX = 8,
    CLOSES_MAX = 1000, /* tombstones on their way, above which nothing is swept */
    ENDS_MAX = 10000,
    NAME_LEN = 64,
};

/* ---- the struct ---- */

struct end { /* a query that ended while Redis was away */
    struct hg_map_node node;
    char key[];
};

struct registry {
    struct hg_members_spec spec;
    struct hg_redis *link;
    char me[NAME_LEN], epoch[NAME_LEN];
    unsigned incarnation;
    uint64_t tokens; /* made so far */
    bool up, registered, ticking, freeing;
    bool told_down;             /* the log has said that it is away */
    struct hg_mono since;       /* up: when it came up; else when it was lost */
    struct hg_mono out_of_luck; /* no patience before: it answered with errors */
    struct hg_timer tick;
    unsigned joins;  /* whose answer has not come */
    unsigned closes; /* tombstones on their way */
    struct hg_map ends;
    bool emptied; /* Redis came back without what it knew: ends are told */
};

struct call { /* the script under way */
    struct registry *r;
    struct hg_mono sent;
    char token[HG_MEMBERS_TOKEN];
    bool hello; /* tick */
    uint64_t hash;
    struct hg_buf keys; /* of the items, end to end */
    unsigned n;
    struct item {
        uint64_t id; /* join */
        size_t end;  /* of its key in keys */
    } items[];
};

/* ---- calling ---- */

static struct hg_mono now_of(const struct registry *r)
{
    return hg_loop_now(r->spec.loop);
}

static int64_t lease_of(const struct registry *r)
{
    return r->spec.conf->query_control_lease;
}

static struct call *call_new(struct registry *r, unsigned items)
{
    struct call *call = hg_calloc(1, sizeof *call + items * sizeof call->items[0]);

    call->r = r;
    call->sent = now_of(r);
    return call;
}

static void call_add(struct call *call, struct hg_slice key, uint64_t id)
{
    hg_buf_add_slice(&call->keys, key);
    call->items[call->n++] = (struct item){id, call->keys.n};
}

static struct hg_slice call_key(const struct call *call, unsigned i)
{
    size_t from = i > 0 ? call->items[i - 1].end : 0;

    return hg_slice_of(hg_buf_slice(&call->keys).p + from, call->items[i].end - from);
}

static void call_free(struct call *call)
{
    hg_buf_fini(&call->keys);
    free(call);
}

static void token_new(struct registry *r, char out[HG_MEMBERS_TOKEN])
{
    snprintf(out, HG_MEMBERS_TOKEN, "%s/%llu", r->me, (unsigned long long)++r->tokens);
}

/* Runs one verb of the script. fn gets call as its context, once; when this fails call is gone. */
static int run(struct call *call, const char *verb, const struct hg_slice *args, unsigned n,
               hg_redis_reply_fn fn)
{
    struct registry *r = call->r;
    struct hg_slice argv[VERB_ARGS + HG_MEMBERS_BATCH] = {
        hg_slice_str(verb), hg_slice_str(r->spec.conf->registry_prefix), hg_slice_str(r->me)};
    char lease[24];
    int rc = -HG_E_AGAIN;

    HG_BUG_ON(n > HG_MEMBERS_BATCH);
    snprintf(lease, sizeof lease, "%lld", (long long)(lease_of(r) / HG_MS));
    argv[VERB_ARGS - 1] = hg_slice_str(lease);
    memcpy(argv + VERB_ARGS, args, n * sizeof *args);
    if (r->link)
        rc = hg_redis_eval(r->link, &hg_registry_lua, 0, argv, (int)(VERB_ARGS + n), fn, call);
    if (rc < 0)
        call_free(call);
    return rc;
}

static void tick(struct registry *r);

static void unregister(struct registry *r)
{
    r->registered = false;
    r->spec.ev.moved(r->spec.ev.ctx);
}

/* An answer that is no answer: full, read-only, no scripts, keys of another type. Act alone; the
 * next tick says hello again. */
static void refused(struct registry *r, const struct hg_redis_reply *reply)
{
    HG_INC(r->spec.m, registry_errors);
    hg_log_limited(HG_LOG_WARN, "registry", "registry.error", "why=\"%.*s\"",
                   HG_SLICE_ARG(reply->text));
    r->out_of_luck = now_of(r);
    unregister(r);
}

static void lease_lost(struct registry *r)
{
    if (!r->registered)
        return;
    HG_INC(r->spec.m, registry_errors);
    hg_log_limited(HG_LOG_WARN, "registry", "registry.lease_lost", "member=%s", r->me);
    unregister(r);
    tick(r);
}

/* ---- ends that wait for an empty registry ---- */

static void end_free(struct registry *r, struct end *e)
{
    hg_map_del(&r->ends, &e->node);
    free(e);
}

static void ends_clear(struct registry *r)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    while ((node = hg_map_next(&r->ends, &it)))
        end_free(r, HG_CONTAINER_OF(node, struct end, node));
}

static void end_add(struct registry *r, struct hg_slice key)
{
    struct end *e;

    if (r->freeing || hg_map_get(&r->ends, key))
        return;
    if (r->ends.count >= ENDS_MAX) {
        HG_INC(r->spec.m, control_dropped);
        return;
    }
    e = hg_malloc(sizeof *e + key.n);
    memcpy(e->key, key.p, key.n);
    e->node.key = hg_slice_of(e->key, key.n);
    hg_map_put(&r->ends, &e->node);
}

static void end_forget(struct registry *r, struct hg_slice key)
{
    struct hg_map_node *node = hg_map_get(&r->ends, key);

    if (node)
        end_free(r, HG_CONTAINER_OF(node, struct end, node));
}

/* ---- joining ---- */

static enum hg_cq_event how_of(char letter)
{
    return letter == 'c' ? HG_CQ_JOINED_CLOSING : letter == 'f' ? HG_CQ_JOINED_FIRST : HG_CQ_JOINED;
}

static void on_joined(void *ctx, const struct hg_redis_reply *reply)
{
    struct call *call = ctx;
    struct registry *r = call->r;
    bool good = reply && !reply->is_error && reply->text.n == call->n && reply->text.p[0] != '!';

    r->joins--;
    for (unsigned i = 0; i < call->n && !r->freeing; i++)
        r->spec.ev.joined(r->spec.ev.ctx, call_key(call, i), call->items[i].id,
                          good ? how_of(reply->text.p[i]) : HG_CQ_AWAY);
    if (reply && reply->is_error)
        refused(r, reply);
    else if (reply && !good)
        lease_lost(r);
    call_free(call);
}

static bool is_patient(const struct registry *r)
{
    return hg_mono_sub(now_of(r), r->since) < PATIENCE_MS * HG_MS &&
           r->out_of_luck.us < r->since.us;
}

static int registry_join(void *way, const struct hg_member_item *items, unsigned n)
{
    struct registry *r = way;
    struct hg_slice keys[HG_MEMBERS_BATCH];
    struct call *call;
    int rc;

    if (!r->registered)
        return is_patient(r) ? -HG_E_AGAIN : -HG_E_RPC_UNAVAILABLE;
    if (r->joins >= JOINS_MAX)
        return -HG_E_AGAIN;
    call = call_new(r, n);
    for (unsigned i = 0; i < n; i++) {
        end_forget(r, items[i].key);
        call_add(call, items[i].key, items[i].id);
        keys[i] = items[i].key;
    }
    rc = run(call, "join", keys, n, on_joined);
    if (rc == 0)
        r->joins++;
    return rc;
}

/* ---- leaving, closing ---- */

static void closed(struct registry *r, struct hg_slice key, const char *token, bool ok);

static void close_it(struct registry *r, const struct call *call, struct hg_slice key, bool swept)
{
    if (r->freeing)
        return;
    /* So late that the mark may run out before the tombstone is given up: leave it to the sweep. */
    if (hg_mono_sub(now_of(r), call->sent) > lease_of(r) / 3) {
        closed(r, key, call->token, false);
        return;
    }
    r->closes++;
    r->spec.ev.close(r->spec.ev.ctx, key, call->hash, call->token, swept);
}

static void on_left(void *ctx, const struct hg_redis_reply *reply)
{
    struct call *call = ctx;
    struct registry *r = call->r;
    struct hg_slice key = call_key(call, 0);

    if (!reply || reply->is_error)
        end_add(r, key);
    else if (hg_slice_is(reply->text, "close"))
        close_it(r, call, key, false);
    if (reply && reply->is_error)
        refused(r, reply);
    call_free(call);
}

static void registry_leave(void *way, struct hg_slice key, uint64_t hash, bool told)
{
    struct registry *r = way;
    struct call *call;

    if (!r->registered) {
        end_add(r, key);
        return;
    }
    call = call_new(r, 1);
    call->hash = hash;
    token_new(r, call->token);
    call_add(call, key, 0);
    struct hg_slice args[] = {hg_slice_str(call->token), hg_slice_str(told ? "1" : "0"), key};
    if (run(call, "leave", args, HG_COUNTOF(args), on_left) < 0)
        end_add(r, key);
}

static void on_closed(void *ctx, const struct hg_redis_reply *reply)
{
    struct call *call = ctx;
    struct registry *r = call->r;

    if (reply && reply->is_error)
        refused(r, reply);
    else if (reply && !r->freeing)
        r->spec.ev.moved(r->spec.ev.ctx);
    call_free(call);
}

static void closed(struct registry *r, struct hg_slice key, const char *token, bool ok)
{
    struct hg_slice args[] = {hg_slice_str(token), hg_slice_str(ok ? "1" : "0"), key};

    if (r->up && !r->freeing)
        (void)run(call_new(r, 0), "closed", args, HG_COUNTOF(args),
                  on_closed); /* if it is lost the mark runs out */
}

static void registry_closed(void *way, struct hg_slice key, uint64_t hash, const char *token,
                            bool ok)
{
    struct registry *r = way;

    (void)hash;
    r->closes--;
    closed(r, key, token, ok);
}

/* ---- the tick: lease, sweep ---- */

static void on_tick_timer(void *arg, struct hg_mono now)
{
    (void)now;
    tick(arg);
}

static void tick_after(struct registry *r, int64_t us)
{
    hg_timer_start(hg_loop_timers(r->spec.loop), &r->tick, hg_mono_add(now_of(r), us),
                   on_tick_timer, r);
}

static bool is_settled(const struct registry *r)
{
    return r->registered && hg_mono_sub(now_of(r), r->since) >= lease_of(r);
}

static void tell_ends(struct registry *r)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    for (unsigned n = 0; r->closes + n < CLOSES_MAX && r->registered; n++) {
        struct end *e;

        it = (struct hg_map_iter){0};
        node = hg_map_next(&r->ends, &it);
        if (!node) {
            r->emptied = false;
            return;
        }
        e = HG_CONTAINER_OF(node, struct end, node);
        hg_map_del(&r->ends, node);
        registry_leave(r, node->key, 0, true);
        free(e);
    }
}

/* Is this the Redis we knew? Then what ended while it was away is swept with our old lease. */
static void look_at_epoch(struct registry *r, struct hg_slice epoch)
{
    char was[NAME_LEN];

    snprintf(was, sizeof was, "%s", r->epoch);
    snprintf(r->epoch, sizeof r->epoch, "%.*s", HG_SLICE_ARG(epoch));
    if (strcmp(was, r->epoch) != 0)
        r->emptied = r->ends.count > 0;
    else if (!r->emptied)
        ends_clear(r);
}

static void hello_answered(struct registry *r, struct hg_slice epoch)
{
    r->registered = true;
    look_at_epoch(r, epoch);
    r->spec.ev.renewed(r->spec.ev.ctx);
}

/* reply: epoch, "1" if there is more to sweep, then the queries that are ours to close. */
static void ticked(struct registry *r, const struct call *call, const struct hg_redis_reply *reply)
{
    if (!r->registered)
        hello_answered(r, hg_redis_item(reply, 0).text);
    for (size_t i = 2; i < reply->count; i++)
        close_it(r, call, hg_redis_item(reply, i).text, true);
    if (reply->count > 2)
        hg_log_limited(HG_LOG_INFO, "registry", "registry.swept", "queries=%zu", reply->count - 2);
    if (hg_slice_is(hg_redis_item(reply, 1).text, "1"))
        tick_after(r, SWEEP_MORE_MS * HG_MS);
}

static void on_tick(void *ctx, const struct hg_redis_reply *reply)
{
    struct call *call = ctx;
    struct registry *r = call->r;

    r->ticking = false;
    if (!reply || r->freeing)
        ;
    else if (reply->is_error)
        refused(r, reply);
    else if (reply->kind == HG_REDIS_ARRAY && reply->count >= 2 && (r->registered || call->hello))
        ticked(r, call, reply);
    else if (r->registered)
        lease_lost(r);
    else
        tick(r); /* a renewal sent before the lease was lost: that name is to run out */
    call_free(call);
}

/* Jitter, so that workers that came up together do not ask together. */
static void tick_later(struct registry *r)
{
    int64_t third = lease_of(r) / 3;

    tick_after(r, third - third / 8 + arc4random_uniform((uint32_t)third / 4));
}

static void tick(struct registry *r)
{
    bool sweeps = is_settled(r) && r->closes < CLOSES_MAX;
    char limit[24];
    struct call *call;

    tick_later(r);
    if (!r->up || r->ticking)
        return;
    if (!r->registered)
        snprintf(r->me, sizeof r->me, "%016llx.%u.%u.%u", (unsigned long long)r->spec.host->boot_id,
                 r->spec.seat, atomic_load(&r->spec.host->seats[r->spec.seat].generation),
                 ++r->incarnation);
    if (is_settled(r) && r->emptied)
        tell_ends(r);
    call = call_new(r, 0);
    call->hello = !r->registered;
    token_new(r, call->token);
    snprintf(limit, sizeof limit, "%u", sweeps ? SWEEP_BATCH : 0u);
    struct hg_slice args[] = {hg_slice_str(call->token),
                              hg_slice_str(r->registered ? "renew" : "hello"), hg_slice_str(limit)};
    r->ticking = run(call, "tick", args, HG_COUNTOF(args), on_tick) == 0;
}

/* ---- the link ---- */

static void on_up(void *ctx)
{
    struct registry *r = ctx;

    r->up = true;
    r->ticking = false;
    r->since = now_of(r);
    r->told_down = false;
    HG_SET(r->spec.m, registry_up, 1);
    hg_log(HG_LOG_INFO, "registry", "registry.up", "incarnation=%u", r->incarnation + 1);
    tick(r);
}

static void on_down(void *ctx, const char *why)
{
    struct registry *r = ctx;

    if (r->freeing)
        return;
    if (!r->told_down)
        hg_log(HG_LOG_WARN, "registry", "registry.down", "why=\"%s\"", why);
    r->told_down = true;
    if (r->up)
        r->since = now_of(r);
    r->up = false;
    HG_SET(r->spec.m, registry_up, 0);
    unregister(r);
}

static void registry_free(void *way)
{
    struct registry *r = way;

    r->freeing = true;
    hg_redis_free(r->link); /* what is under way gets its NULL now */
    hg_timer_stop(hg_loop_timers(r->spec.loop), &r->tick);
    ends_clear(r);
    hg_map_fini(&r->ends);
    free(r);
}

void *hg_members_registry_new(const struct hg_members_spec *spec, const struct hg_redis_url *url)
{
    struct registry *r = hg_calloc(1, sizeof *r);
    struct hg_redis_spec link = {.loop = spec->loop,
                                 .url = *url,
                                 .probe_every = PROBE_MS * HG_MS,
                                 .answer_timeout = ANSWER_MS * HG_MS,
                                 .on_up = on_up,
                                 .on_down = on_down,
                                 .ctx = r};

    r->spec = *spec;
    r->since = now_of(r);
    HG_SET(spec->m, registry_up, 0);
    r->link = hg_redis_new(&link);
    explicit_bzero(&link.url, sizeof link.url);
    return r;
}

const struct hg_members_way hg_members_registry = {registry_join, registry_leave, registry_closed,
                                                   registry_free};
