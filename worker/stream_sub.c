/* Subscriptions and the life of streams. */
#include "worker/stream_priv.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"
#include "proto/query.h"
#include "proto/route.h"

enum {
    ATTACH_POLL_MS = 10,
    KEY_MAX = HG_ROUTE_TENANT_MAX + HG_ROUTE_TABLE_MAX + HG_ROUTE_HASH_MAX + 3, /* and BARE_MARK */
    BARE_MARK = 1,
};

/* ---- finding ---- */

struct hg_stream *hg_stream_find(const struct hg_streams *ss, struct hg_slice key)
{
    struct hg_map_node *node = hg_map_get(&ss->by_key, key);

    return node ? HG_CONTAINER_OF(node, struct hg_stream, node) : NULL;
}

struct hg_stream *hg_stream_find_bare(const struct hg_streams *ss, struct hg_slice key)
{
    char text[KEY_MAX];

    if (ss->by_hash.count == 0 || key.n >= sizeof text)
        return NULL;
    memcpy(text, key.p, key.n);
    text[key.n] = BARE_MARK;
    return hg_stream_find(ss, hg_slice_of(text, key.n + 1));
}

bool hg_stream_is_open(const struct hg_streams *ss, struct hg_slice key)
{
    return hg_stream_find(ss, key) || hg_stream_find_bare(ss, key);
}

bool hg_stream_wants(const struct hg_streams *ss, struct hg_slice key)
{
    return attached(hg_stream_find(ss, key)) || attached(hg_stream_find_bare(ss, key));
}

bool hg_stream_is_flying(const struct hg_stream *st)
{
    for (const struct hg_flight *fl = st->flights; fl; fl = fl->next)
        if (fl->flying || hg_timer_is_running(&fl->timer))
            return true;
    return false;
}

static void lru_remove(struct hg_streams *ss, struct hg_stream *st)
{
    *(st->lru_prev ? &st->lru_prev->lru_next : &ss->lru_first) = st->lru_next;
    *(st->lru_next ? &st->lru_next->lru_prev : &ss->lru_last) = st->lru_prev;
    st->lru_prev = st->lru_next = NULL;
}

static void lru_append(struct hg_streams *ss, struct hg_stream *st)
{
    st->lru_prev = ss->lru_last;
    st->lru_next = NULL;
    *(ss->lru_last ? &ss->lru_last->lru_next : &ss->lru_first) = st;
    ss->lru_last = st;
}

void hg_stream_touch(struct hg_streams *ss, struct hg_stream *st)
{
    lru_remove(ss, st);
    lru_append(ss, st);
}

/* ---- lists: a stream's subscriptions, a session's, those that wait ---- */

void hg_sub_set_behind(struct hg_sub *sub, bool behind)
{
    if (sub->behind == behind)
        return;
    sub->behind = behind;
    sub->st->nlagging += behind ? 1 : (uint32_t)-1;
    if (!behind)
        sub->lagged = false;
}

void hg_sub_set_live(struct hg_sub *sub, bool live)
{
    if ((sub->state == HG_SUB_LIVE) == live)
        return;
    if (!live)
        hg_sub_set_behind(sub, false);
    sub->state = live ? HG_SUB_LIVE : HG_SUB_FLYING;
}

/* Leaves a gap, so that who walks the list loses nobody and nobody's place in the order changes. */
static void list_blank(struct hg_sub **list, uint32_t n, const struct hg_sub *sub)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == sub)
            list[i] = NULL;
}

static void list_remove(struct hg_sub **list, uint32_t *n, const struct hg_sub *sub)
{
    for (uint32_t i = 0; i < *n; i++)
        if (list[i] == sub) {
            list[i] = list[--*n];
            return;
        }
}

void hg_sub_array_add(struct hg_sub ***list, uint32_t *n, uint32_t *cap, struct hg_sub *sub)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 16;
        *list = hg_realloc(*list, *cap * sizeof(struct hg_sub *));
    }
    (*list)[(*n)++] = sub;
}

static void stream_add(struct hg_stream *st, struct hg_sub *sub)
{
    sub->at = st->nsubs;
    hg_sub_array_add(&st->subs, &st->nsubs, &st->subs_cap, sub);
}

static void stream_remove(struct hg_stream *st, struct hg_sub *sub)
{
    struct hg_sub *moved = st->subs[--st->nsubs];

    st->subs[sub->at] = moved;
    moved->at = sub->at;
}

static void session_remove(struct hg_streams *ss, struct hg_sub *sub)
{
    struct hg_sub_list *list = ss->ops->subs_of(ss->ctx, sub->c);
    struct hg_sub **p = &list->first;

    list->n--;
    while (*p != sub)
        p = &(*p)->next;
    *p = sub->next;
}

/* ---- life of streams and flights ---- */

void hg_flight_free(struct hg_streams *ss, struct hg_flight *fl)
{
    struct hg_flight **p = &fl->st->flights;

    while (*p != fl)
        p = &(*p)->next;
    *p = fl->next;
    if (ss->ops->forget)
        ss->ops->forget(ss->ctx, fl);
    hg_timer_stop(hg_loop_timers(ss->loop), &fl->timer);
    hg_query_free(fl->query);
    free(fl);
}

void hg_stream_account(struct hg_streams *ss, struct hg_stream *st, uint64_t before)
{
    ss->bytes = ss->bytes - before + st->log.bytes + st->rows.bytes;
    HG_SET(ss->m, history_bytes, ss->bytes);
}

static void ask_siblings(struct hg_streams *ss, const struct hg_stream *st, bool hold)
{
    ss->ops->interest(ss->ctx, st->hash, hold);
    if (st->bare)
        ss->ops->interest(ss->ctx, st->bare->hash, hold);
}

static void leave_idle(struct hg_streams *ss, struct hg_stream *st)
{
    if (!st->is_idle)
        return;
    TAILQ_REMOVE(&ss->idle, st, idle);
    st->is_idle = false;
    ss->nidle--;
}

/* It is subscribed to again, or ends. */
static void stop_linger(struct hg_streams *ss, struct hg_stream *st)
{
    hg_timer_stop(hg_loop_timers(ss->loop), &st->linger);
    leave_idle(ss, st);
    ss->nleft -= st->is_left;
    st->is_left = false;
}

static void stream_free(struct hg_streams *ss, struct hg_stream *st)
{
    uint64_t before = bytes_of(st);

    stop_linger(ss, st);
    while (st->flights)
        hg_flight_free(ss, st->flights); /* NOLINT(clang-analyzer-unix.Malloc): it takes it off */
    if (st->attached)
        ask_siblings(ss, st, false);
    if (st->bare)
        hg_bare_del(&ss->by_hash, st->bare);
    hg_log_fini(&st->log, ss->frames);
    hg_log_fini(&st->rows, ss->frames);
    hg_stream_account(ss, st, before);
    hg_arena_fini(ss->frames, &st->arena);
    lru_remove(ss, st);
    hg_map_del(&ss->by_key, &st->node);
    HG_DEC(ss->m, streams);
    if (ss->ops->ended)
        ss->ops->ended(ss->ctx, st);
    free(st->bare);
    free(st->subs);
    free(st);
}

static void on_linger(void *arg, struct hg_mono now)
{
    struct hg_stream *st = arg;
    struct hg_streams *ss = st->ss;

    if (st->nsubs > 0)
        return;
    if (hg_stream_is_flying(st)) { /* a call's answer still names the flight */
        hg_timer_start(hg_loop_timers(ss->loop), &st->linger, hg_mono_add(now, HG_S), on_linger,
                       st);
        return;
    }
    stream_free(ss, st);
}

/* Who subscribes to one query after the other and stays with none must not fill memory for as long
 * as they linger. */
static void linger(struct hg_streams *ss, struct hg_stream *st)
{
    TAILQ_INSERT_TAIL(&ss->idle, st, idle);
    st->is_idle = st->is_left = true;
    ss->nidle++;
    ss->nleft++;
    hg_timer_start(hg_loop_timers(ss->loop), &st->linger,
                   hg_mono_add(now_of(ss), ss->conf->interest_linger), on_linger, st);
    if (ss->nidle <= HG_STREAMS_IDLE)
        return;
    st = TAILQ_FIRST(&ss->idle);
    leave_idle(ss, st);
    hg_timer_start(hg_loop_timers(ss->loop), &st->linger, now_of(ss), on_linger, st);
}

static void index_bare(struct hg_streams *ss, struct hg_stream *st)
{
    struct hg_bare *b = hg_calloc(1, sizeof *b);

    b->st = st;
    b->node.key = hg_stream_hash_id(st);
    b->hash = hg_route_hub_hash(HG_ROUTE_BARE, HG_SLICE_NONE, b->node.key);
    hg_bare_add(&ss->by_hash, b);
    st->bare = b;
}

static struct hg_stream *stream_new(struct hg_streams *ss, const struct hg_sub_spec *spec)
{
    struct hg_stream *st = hg_calloc(1, sizeof *st + spec->key.n + spec->bare);

    memcpy(st->key, spec->key.p, spec->key.n);
    if (spec->bare)
        st->key[spec->key.n] = BARE_MARK;
    st->node.key = hg_slice_of(st->key, spec->key.n + spec->bare);
    st->hash = hg_route_hub_hash(HG_ROUTE_STREAM, HG_SLICE_NONE, spec->key);
    st->ss = ss;
    st->id = ++ss->next_id;
    st->arena.gated = true;
    st->tenant_n = (uint16_t)spec->tenant.n;
    st->table_n = (uint16_t)spec->table.n;
    st->hash_n = (uint16_t)spec->hash_id.n;
    if (spec->bare)
        index_bare(ss, st);
    hg_map_put(&ss->by_key, &st->node);
    lru_append(ss, st);
    HG_INC(ss->m, streams);
    return st;
}

/* Rule 2 of the ring: register, set the bit, fence, walk, only then note the watermark. */
static void attach(struct hg_streams *ss, struct hg_stream *st)
{
    if (st->attached)
        return;
    ask_siblings(ss, st, true);
    st->floor = ss->ops->walk(ss->ctx);
    st->attached = true;
}

static struct hg_flight *flight_for(struct hg_stream *st, const struct hg_sub_spec *spec)
{
    struct hg_flight *fl;

    for (fl = st->flights; fl; fl = fl->next)
        if (fl->fingerprint == spec->fingerprint && fl->empty == spec->empty) {
            fl->seeds = fl->seeds || !spec->before_v3;
            hg_query_free(spec->query);
            return fl;
        }
    if (st->flights)
        hg_log_limited(HG_LOG_WARN, NULL, "stream.two_queries", "stream=\"%.*s\"",
                       HG_SLICE_ARG(hg_stream_label(st)));
    fl = hg_calloc(1, sizeof *fl);
    fl->st = st;
    fl->query = spec->query;
    fl->fingerprint = spec->fingerprint;
    fl->empty = spec->empty;
    fl->seeds = !spec->before_v3;
    fl->next = st->flights;
    st->flights = fl;
    return fl;
}

/* ---- closing subscriptions ---- */

void hg_sub_close(struct hg_streams *ss, struct hg_sub *sub)
{
    struct hg_stream *st = sub->st;
    struct hg_flight *fl = sub->fl;

    HG_BUG_ON(sub->state == HG_SUB_CLOSED);
    hg_sub_set_live(sub, false);
    if (sub->state == HG_SUB_ATTACHING || ss->nattaching > 0)
        list_remove(ss->attaching, &ss->nattaching, sub);
    if (sub->pulling)
        list_blank(ss->pulling, ss->npulling, sub);
    session_remove(ss, sub);
    stream_remove(st, sub);
    if (--fl->nsubs == 0 && !fl->flying)
        hg_flight_free(ss, fl);
    if (st->nsubs == 0)
        linger(ss, st);
    HG_DEC(ss->m, subscriptions);
    /* A caller up the stack may be looking at it: memory goes at the end of the turn. */
    sub->state = HG_SUB_CLOSED;
    sub->next = ss->closed;
    ss->closed = sub;
}

void hg_subs_close_all(struct hg_streams *ss, struct hg_conn *c)
{
    struct hg_sub_list *list = ss->ops->subs_of(ss->ctx, c);

    while (list->first)
        hg_sub_close(ss, list->first);
}

static void on_reap(void *arg)
{
    struct hg_streams *ss = arg;

    while (ss->closed) {
        struct hg_sub *sub = ss->closed;

        ss->closed = sub->next;
        free(sub);
    }
}

/* The subscription ends with a word to the client; overflow of a v1-v3 session ends all of them
 * with one. Closed first, told then: the write may empty a full queue, and what it pulls must not
 * be the diffs of a subscription whose place in the log is gone. */
void hg_sub_fail(struct hg_streams *ss, struct hg_sub *sub, int err, struct hg_slice text)
{
    if (err == -HG_E_OVERFLOW)
        HG_INC(ss->m, overflows);
    else
        HG_INC(ss->m, snapshots_failed);
    HG_ERR_INC(ss->m, err);
    if (err == -HG_E_OVERFLOW && sub->whole_session)
        hg_subs_close_all(ss, sub->c);
    else
        hg_sub_close(ss, sub);
    ss->ops->failed(ss->ctx, sub, err, text); /* its memory lasts to the end of the turn */
}

/* ---- subscribing ---- */

static void on_attach_timer(void *arg, struct hg_mono now);

static void begin(struct hg_streams *ss, struct hg_sub *sub)
{
    struct hg_flight *fl = sub->fl;

    attach(ss, sub->st);
    if (sub->state ==
        HG_SUB_CLOSED) /* what the walk brought closed the connection; fl may be gone, too */
        return;
    sub->state = HG_SUB_FLYING;
    sub->row_cur = sub->st->rows.head;
    sub->joined = fl->flying;
    ss->ops->ack(ss->ctx, sub);
    if (sub->state == HG_SUB_FLYING && !fl->flying && !hg_timer_is_running(&fl->timer))
        hg_flight_fly(ss, fl);
}

static void wait_for_positions(struct hg_streams *ss, struct hg_sub *sub)
{
    sub->attach_by = hg_mono_add(now_of(ss), ss->conf->attach_timeout);
    hg_sub_array_add(&ss->attaching, &ss->nattaching, &ss->attaching_cap, sub);
    if (!hg_timer_is_running(&ss->attach_timer))
        hg_timer_start(hg_loop_timers(ss->loop), &ss->attach_timer,
                       hg_mono_add(now_of(ss), ATTACH_POLL_MS * HG_MS), on_attach_timer, ss);
}

static void on_attach_timer(void *arg, struct hg_mono now)
{
    struct hg_streams *ss = arg;

    for (uint32_t i = ss->nattaching; i-- > 0;) {
        struct hg_sub *sub;

        if (i >= ss->nattaching)
            continue;
        sub = ss->attaching[i];
        if (is_ready(ss, sub->fl)) {
            ss->attaching[i] = ss->attaching[--ss->nattaching];
            begin(ss, sub);
        } else if (hg_mono_reached(now, sub->attach_by)) {
            hg_sub_fail(ss, sub, -HG_E_SNAPSHOT_FAILED,
                        HG_SLICE_LIT("Kafka's positions are not known yet"));
        }
    }
    if (ss->nattaching > 0)
        hg_timer_start(hg_loop_timers(ss->loop), &ss->attach_timer,
                       hg_mono_add(now, ATTACH_POLL_MS * HG_MS), on_attach_timer, ss);
}

struct hg_sub *hg_sub_find(struct hg_streams *ss, const struct hg_sub_list *list,
                           struct hg_slice key, bool bare)
{
    struct hg_stream *st = bare ? hg_stream_find_bare(ss, key) : hg_stream_find(ss, key);

    for (struct hg_sub *sub = list->first; sub && st; sub = sub->next)
        if (sub->st == st)
            return sub;
    return NULL;
}

void hg_sub_open(struct hg_streams *ss, const struct hg_sub_spec *spec)
{
    struct hg_sub_list *list = ss->ops->subs_of(ss->ctx, spec->c);
    struct hg_sub *old = hg_sub_find(ss, list, spec->key, spec->bare);
    struct hg_stream *st;
    struct hg_sub *sub;

    if (old)
        hg_sub_close(ss, old);
    st = spec->bare ? hg_stream_find_bare(ss, spec->key) : hg_stream_find(ss, spec->key);
    if (!st)
        st = stream_new(ss, spec);
    stop_linger(ss, st);
    sub = hg_calloc(1, sizeof *sub);
    *sub = (struct hg_sub){.c = spec->c,
                           .st = st,
                           .resume = spec->resume,
                           .enc = (uint8_t)spec->enc,
                           .state = HG_SUB_ATTACHING,
                           .whole_session = spec->whole_session,
                           .late_b64 = spec->late_b64,
                           .no_delta = spec->no_delta,
                           .range_index = spec->range_index,
                           .no_rows = spec->before_v3};
    sub->fl = flight_for(st, spec);
    sub->fl->nsubs++;
    sub->next = list->first;
    list->first = sub;
    list->n++;
    stream_add(st, sub);
    HG_INC(ss->m, subscriptions);
    if (is_ready(ss, sub->fl))
        begin(ss, sub);
    else
        wait_for_positions(ss, sub);
}

/* ---- life ---- */

void hg_streams_init(struct hg_streams *ss)
{
    TAILQ_INIT(&ss->idle);
    hg_loop_on_reap(ss->loop, on_reap, ss);
}

void hg_streams_fini(struct hg_streams *ss)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    while ((node = hg_map_next(&ss->by_key, &it))) {
        struct hg_stream *st = HG_CONTAINER_OF(node, struct hg_stream, node);

        while (st->nsubs > 0)
            hg_sub_close(ss, st->subs[0]);
        stream_free(ss, st);
    }
    on_reap(ss);
    hg_timer_stop(hg_loop_timers(ss->loop), &ss->attach_timer);
    hg_map_fini(&ss->by_key);
    hg_map_fini(&ss->by_hash);
    free(ss->attaching);
    free(ss->pulling);
}
