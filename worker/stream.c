#include "worker/stream.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/host.h"
#include "common/sys/log.h"
#include "proto/op.h"
#include "proto/query.h"
#include "proto/route.h"

enum {
    PULL_BYTES = 256 * 1024, /* one subscription's share of a turn */
    MAX_TRIES = 10,          /* calls for one snapshot, then snapshot_failed */
    MAX_REFILLS = 2,         /* times the log may overflow under a call, then overflow */
    PACE_MS = 50,            /* first pause before a repeated call; doubles */
    PACE_MAX_MS = 2000,
    RESET_CALM_MS = 10000, /* a stream without a reset for this long has a clean slate */
    ATTACH_POLL_MS = 10,
    STATE_CLOSED = 0xff,
    KEY_MAX = HG_ROUTE_TENANT_MAX + HG_ROUTE_TABLE_MAX + HG_ROUTE_HASH_MAX + 3, /* and BARE_MARK */
    BARE_MARK = 1,
};

/* ---- small things ---- */

static struct hg_mono now_of(const struct hg_streams *ss)
{
    return hg_loop_now(ss->loop);
}

static struct hg_stream *find(const struct hg_streams *ss, struct hg_slice key)
{
    struct hg_map_node *node = hg_map_get(&ss->by_key, key);

    return node ? HG_CONTAINER_OF(node, struct hg_stream, node) : NULL;
}

/* Bare streams stand under their routing key and a byte that no name may hold. */
static struct hg_stream *find_bare(const struct hg_streams *ss, struct hg_slice key)
{
    char text[KEY_MAX];

    if (ss->by_hash.count == 0 || key.n >= sizeof text)
        return NULL;
    memcpy(text, key.p, key.n);
    text[key.n] = BARE_MARK;
    return find(ss, hg_slice_of(text, key.n + 1));
}

static struct hg_stream *attached(struct hg_stream *st)
{
    return st && st->attached ? st : NULL;
}

bool hg_stream_is_open(const struct hg_streams *ss, struct hg_slice key)
{
    return find(ss, key) || find_bare(ss, key);
}

bool hg_stream_wants(const struct hg_streams *ss, struct hg_slice key)
{
    return attached(find(ss, key)) || attached(find_bare(ss, key));
}

static bool is_ready(const struct hg_streams *ss, const struct hg_flight *fl)
{
    return ss->ops->ready(ss->ctx, !fl->empty);
}

static bool is_flying(const struct hg_stream *st)
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

/* ---- the list of a stream's subscriptions, and of a session's ---- */

static void set_behind(struct hg_sub *sub, bool behind)
{
    if (sub->behind == behind)
        return;
    sub->behind = behind;
    sub->st->nlagging += behind ? 1 : (uint32_t)-1;
    if (!behind)
        sub->lagged = false;
}

static void set_live(struct hg_sub *sub, bool live)
{
    if ((sub->state == HG_SUB_LIVE) == live)
        return;
    if (!live)
        set_behind(sub, false);
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

static void list_add(struct hg_sub ***list, uint32_t *n, uint32_t *cap, struct hg_sub *sub)
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
    list_add(&st->subs, &st->nsubs, &st->subs_cap, sub);
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

static void flight_free(struct hg_streams *ss, struct hg_flight *fl)
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

static void account(struct hg_streams *ss, struct hg_stream *st, uint64_t before)
{
    ss->bytes = ss->bytes - before + st->log.bytes + st->rows.bytes;
    HG_SET(ss->m, history_bytes, ss->bytes);
}

static uint64_t bytes_of(const struct hg_stream *st)
{
    return st->log.bytes + st->rows.bytes;
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
        flight_free(ss, st->flights); /* NOLINT(clang-analyzer-unix.Malloc): it takes it off */
    if (st->attached)
        ask_siblings(ss, st, false);
    if (st->bare)
        hg_bare_del(&ss->by_hash, st->bare);
    hg_log_fini(&st->log, ss->frames);
    hg_log_fini(&st->rows, ss->frames);
    account(ss, st, before);
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
    if (is_flying(st)) { /* a call's answer still names the flight */
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

    HG_BUG_ON(sub->state == STATE_CLOSED);
    set_live(sub, false);
    if (sub->state == HG_SUB_ATTACHING || ss->nattaching > 0)
        list_remove(ss->attaching, &ss->nattaching, sub);
    if (sub->pulling)
        list_blank(ss->pulling, ss->npulling, sub);
    session_remove(ss, sub);
    stream_remove(st, sub);
    if (--fl->nsubs == 0 && !fl->flying)
        flight_free(ss, fl);
    if (st->nsubs == 0)
        linger(ss, st);
    HG_DEC(ss->m, subscriptions);
    /* A caller up the stack may be looking at it: memory goes at the end of the turn. */
    sub->state = STATE_CLOSED;
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
static void fail(struct hg_streams *ss, struct hg_sub *sub, int err, struct hg_slice text)
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

/* ---- handing over ---- */

static struct hg_span frame_of(struct hg_streams *ss, struct hg_stream *st, struct hg_entry *e,
                               enum hg_diff_enc enc)
{
    struct hg_slice payload = hg_frame_payload(e->enc[HG_DIFF_RAW]);

    if (e->enc[enc].c)
        return e->enc[enc];
    if (enc == HG_DIFF_TAGGED) {
        unsigned char tag[HG_OP_TAG_SIZE];
        struct hg_slice parts[2] = {hg_slice_of(tag, sizeof tag), payload};

        hg_op_tag(tag, st->id, hg_lsn(e->lsn), (uint64_t)e->offset);
        e->enc[enc] = hg_frame_build(ss->frames, &st->arena, HG_WS_OP_BINARY, parts, 2);
    } else {
        struct hg_buf text = {0};
        struct hg_slice part;

        hg_op_put_diffb64(&text, hg_stream_hash_id(st), payload);
        part = hg_buf_slice(&text);
        e->enc[enc] = hg_frame_build(ss->frames, &st->arena, HG_WS_OP_TEXT, &part, 1);
        hg_buf_fini(&text);
    }
    return e->enc[enc];
}

/* The one place where a diff goes to a client. The cursor moves first: sending may close the
 * subscription. */
static uint32_t hand_over(struct hg_streams *ss, struct hg_sub *sub)
{
    struct hg_stream *st = sub->st;
    struct hg_entry *e = hg_log_at(&st->log, sub->cur);
    bool b64 = e->cached || (sub->lagged && sub->late_b64);
    enum hg_diff_enc enc = b64 ? HG_DIFF_B64 : sub->enc;
    struct hg_span s;

    if (++sub->cur == st->log.head)
        set_behind(sub, false);
    if (e->lsn <= sub->fence.v)
        return 0;
    st->given = hg_lsn_max(st->given, hg_lsn(e->lsn));
    s = frame_of(ss, st, e, enc);
    HG_INC(ss->m, diffs_delivered);
    ss->ops->send(ss->ctx, sub->c, s);
    return s.len;
}

static void on_pull(void *arg);

static void pull_later(struct hg_streams *ss, struct hg_sub *sub)
{
    if (sub->pulling)
        return;
    sub->pulling = true;
    list_add(&ss->pulling, &ss->npulling, &ss->pulling_cap, sub);
    hg_loop_defer(ss->loop, &ss->pull_defer, on_pull, ss);
}

static bool rows_due(const struct hg_sub *sub)
{
    return !sub->no_rows && sub->row_cur != sub->st->rows.head;
}

static void pull_rows(struct hg_streams *ss, struct hg_sub *sub)
{
    struct hg_log *rows = &sub->st->rows;

    while (sub->state == HG_SUB_LIVE && rows_due(sub) && ss->ops->can_take(ss->ctx, sub->c)) {
        struct hg_entry *e = hg_log_at(rows, sub->row_cur++);

        HG_INC(ss->m, row_events_delivered);
        ss->ops->send(ss->ctx, sub->c, e->enc[HG_DIFF_RAW]);
    }
}

static void pull(struct hg_streams *ss, struct hg_sub *sub)
{
    uint32_t sent = 0;

    pull_rows(ss, sub);
    while (sub->state == HG_SUB_LIVE && sub->cur != sub->st->log.head) {
        if (!ss->ops->can_take(ss->ctx, sub->c)) {
            sub->lagged = true;
            return; /* hg_stream_writable goes on */
        }
        if (sent >= PULL_BYTES) {
            pull_later(ss, sub);
            return;
        }
        sent += hand_over(ss, sub);
    }
}

static void on_pull(void *arg)
{
    struct hg_streams *ss = arg;
    uint32_t n = ss->npulling;

    /* pull may close subscriptions, which blanks their places; those it puts back come behind n,
     * for the next turn. */
    for (uint32_t i = 0; i < n; i++) {
        struct hg_sub *sub = ss->pulling[i];

        ss->pulling[i] = NULL;
        if (!sub)
            continue;
        sub->pulling = false;
        pull(ss, sub);
    }
    ss->npulling -= n;
    memmove(ss->pulling, ss->pulling + n, ss->npulling * sizeof(struct hg_sub *));
}

void hg_stream_writable(struct hg_streams *ss, struct hg_conn *c)
{
    struct hg_sub *next;

    for (struct hg_sub *sub = ss->ops->subs_of(ss->ctx, c)->first; sub; sub = next) {
        next = sub->next;
        if (sub->state != HG_SUB_LIVE || (!sub->behind && !rows_due(sub)))
            continue;
        if (!ss->ops->can_take(ss->ctx, c))
            return;
        pull(ss, sub);
        if (sub->state == STATE_CLOSED && ss->ops->subs_of(ss->ctx, c)->first == NULL)
            return;
    }
}

/* ---- caps ---- */

static bool has_fallen(const struct hg_sub *sub)
{
    const struct hg_stream *st = sub->st;

    if (sub->state == HG_SUB_LIVE && sub->cur < st->log.base)
        return true;
    return (sub->state == HG_SUB_LIVE || sub->state == HG_SUB_FLYING) && !sub->no_rows &&
           sub->row_cur < st->rows.base;
}

/* Subscriptions whose next diff or row event was trimmed away can't go on. Row events have no fence
 * that a snapshot could meet, so this holds for those that wait for one, too. */
static void overflow_fallen(struct hg_streams *ss, struct hg_stream *st)
{
    for (uint32_t i = st->nsubs; i-- > 0 && i < st->nsubs;) {
        if (has_fallen(st->subs[i]))
            fail(ss, st->subs[i], -HG_E_OVERFLOW, HG_SLICE_NONE);
    }
}

static void drop_front(struct hg_streams *ss, struct hg_stream *st)
{
    st->trimmed = hg_lsn_max(st->trimmed, hg_lsn(hg_log_at(&st->log, st->log.base)->lsn));
    hg_log_drop_front(&st->log, ss->frames);
}

static bool above_cap(const struct hg_log *l, int64_t records, int64_t bytes)
{
    return hg_log_count(l) > 1 &&
           (hg_log_count(l) > (uint64_t)records || l->bytes > (uint64_t)bytes);
}

static void trim(struct hg_streams *ss, struct hg_stream *st)
{
    bool needed = st->nlagging > 0 || is_flying(st);
    int64_t records = needed ? ss->conf->held_records : ss->conf->history_records;
    int64_t bytes = needed ? ss->conf->held_bytes : ss->conf->history_bytes;
    uint64_t base = st->log.base;

    while (above_cap(&st->log, records, bytes))
        drop_front(ss, st);
    if (st->log.base != base && st->nlagging > 0)
        overflow_fallen(ss, st);
}

/* All histories together: the streams that were fed longest ago forget first. */
static void keep_budget(struct hg_streams *ss)
{
    for (size_t left = ss->by_key.count; left > 0 && ss->bytes > (uint64_t)ss->conf->history_budget;
         left--) {
        struct hg_stream *st = ss->lru_first;
        uint64_t before = bytes_of(st);

        lru_remove(ss, st);
        lru_append(ss, st);
        while (st->log.base != st->log.head)
            drop_front(ss, st);
        hg_log_clear(&st->rows, ss->frames);
        account(ss, st, before);
        overflow_fallen(ss, st);
    }
}

/* ---- the order table ---- */

static bool same_bytes(const struct hg_entry *e, struct hg_slice value)
{
    return hg_slice_eq(hg_frame_payload(e->enc[HG_DIFF_RAW]), value);
}

static bool under_all_fences(const struct hg_stream *st, uint64_t lsn)
{
    for (uint32_t i = 0; i < st->nsubs; i++)
        if (st->subs[i]->state != HG_SUB_LIVE || lsn > st->subs[i]->fence.v)
            return false;
    return true;
}

static bool in_history(const struct hg_stream *st, const struct hg_stream_rec *rec)
{
    for (uint64_t s = hg_log_above(&st->log, rec->lsn.v); s != st->log.base; s--) {
        const struct hg_entry *e = hg_log_at(&st->log, s - 1);

        if (e->lsn != rec->lsn.v)
            return false;
        if (same_bytes(e, rec->value))
            return true;
    }
    return false;
}

enum verdict { TAKE, OLD, REPLAY, DISORDER };

static enum verdict judge(const struct hg_stream *st, const struct hg_stream_rec *rec)
{
    uint64_t lsn = rec->lsn.v;
    uint64_t after = hg_log_above(&st->log, lsn);

    if (lsn <= st->floor.v || (lsn <= st->trimmed.v && lsn != st->given.v))
        return OLD;
    if (lsn < st->given.v) {
        if (in_history(st, rec))
            return REPLAY;
        return under_all_fences(st, lsn) ? OLD : DISORDER;
    }
    /* Equal LSNs are one transaction: only the record just before can be this one over again. */
    if (after != st->log.base && hg_log_at(&st->log, after - 1)->lsn == lsn &&
        same_bytes(hg_log_at(&st->log, after - 1), rec->value))
        return REPLAY;
    return TAKE;
}

static void deliver(struct hg_streams *ss, struct hg_stream *st)
{
    uint64_t seq = st->log.head - 1;

    for (uint32_t i = st->nsubs; i-- > 0;) {
        struct hg_sub *sub;

        if (i >= st->nsubs) /* a send closed more than its own */
            continue;
        sub = st->subs[i];
        if (sub->state != HG_SUB_LIVE || sub->cur != seq)
            continue;
        if (ss->ops->can_take(ss->ctx, sub->c) || hg_log_at(&st->log, seq)->lsn <= sub->fence.v) {
            hand_over(ss, sub);
        } else {
            sub->lagged = true;
            set_behind(sub, true);
        }
    }
}

static void take(struct hg_streams *ss, struct hg_stream *st, const struct hg_stream_rec *rec)
{
    struct hg_entry e = {.lsn = rec->lsn.v,
                         .offset = rec->pos.offset,
                         .part = rec->pos.part,
                         .len = (uint32_t)rec->value.n};
    uint64_t at = hg_log_above(&st->log, rec->lsn.v);
    uint64_t before = bytes_of(st);

    e.enc[HG_DIFF_RAW] = hg_frame_build(ss->frames, &st->arena, HG_WS_OP_BINARY, &rec->value, 1);
    hg_log_insert(&st->log, at, &e);
    lru_remove(ss, st);
    lru_append(ss, st);
    if (at == st->log.head - 1)
        deliver(ss, st);
    else /* whoever stands behind this place skipped what is there because of its fence, so it skips
            this too */
        for (uint32_t i = 0; i < st->nsubs; i++)
            if (st->subs[i]->state == HG_SUB_LIVE && st->subs[i]->cur > at)
                st->subs[i]->cur++;
    trim(ss, st);
    account(ss, st, before);
    keep_budget(ss);
}

static void reset(struct hg_streams *ss, struct hg_stream *st, const char *why);

static void diff(struct hg_streams *ss, struct hg_stream *st, const struct hg_stream_rec *rec)
{
    if (!attached(st))
        return;
    switch (judge(st, rec)) {
    case TAKE:
        take(ss, st, rec);
        break;
    case OLD:
        HG_INC(ss->m, records_old);
        st->olds++;
        break;
    case REPLAY:
        HG_INC(ss->m, records_replayed);
        break;
    case DISORDER:
        HG_INC(ss->m, records_disorder);
        reset(ss, st, "disorder");
        break;
    }
}

void hg_stream_diff(struct hg_streams *ss, struct hg_slice key, const struct hg_stream_rec *rec)
{
    diff(ss, find(ss, key), rec);
    diff(ss, find_bare(ss, key), rec);
}

void hg_stream_bare_diff(struct hg_streams *ss, struct hg_slice hash_id,
                         const struct hg_stream_rec *rec)
{
    /* Streams come and go by timers and ops only, never inside a delivery. */
    for (struct hg_bare *b = hg_bare_first(&ss->by_hash, hash_id); b; b = b->next)
        diff(ss, b->st, rec);
}

/* ---- row events ---- */

static bool rows_needed(const struct hg_stream *st)
{
    for (uint32_t i = 0; i < st->nsubs; i++)
        if (!st->subs[i]->no_rows && (st->subs[i]->state != HG_SUB_LIVE || rows_due(st->subs[i])))
            return true;
    return false;
}

static void row(struct hg_streams *ss, struct hg_stream *st, struct hg_slice text)
{
    struct hg_entry e = {.len = (uint32_t)text.n};
    uint64_t before, base;

    if (!attached(st) || st->nsubs == 0)
        return;
    before = bytes_of(st);
    base = st->rows.base;
    e.enc[HG_DIFF_RAW] = hg_frame_build(ss->frames, &st->arena, HG_WS_OP_TEXT, &text, 1);
    hg_log_insert(&st->rows, st->rows.head, &e);
    for (uint32_t i = st->nsubs; i-- > 0;)
        if (i < st->nsubs && st->subs[i]->state == HG_SUB_LIVE)
            pull_rows(ss, st->subs[i]);
    while (above_cap(&st->rows, ss->conf->held_records, ss->conf->held_bytes))
        hg_log_drop_front(&st->rows, ss->frames);
    if (st->rows.base != base)
        overflow_fallen(ss, st);
    if (!rows_needed(st))
        hg_log_clear(&st->rows, ss->frames);
    account(ss, st, before);
    keep_budget(ss);
}

void hg_stream_row(struct hg_streams *ss, struct hg_slice key, struct hg_slice text)
{
    row(ss, find(ss, key), text);
    row(ss, find_bare(ss, key), text);
}

/* ---- flights ---- */

static void on_flight_timer(void *arg, struct hg_mono now);

static void on_empty_lands(void *arg, struct hg_mono now)
{
    struct hg_flight *fl = arg;
    struct hg_landing l = {0};

    (void)now;
    hg_stream_landed(fl->st->ss, fl, &l);
}

static void fly(struct hg_streams *ss, struct hg_flight *fl)
{
    struct hg_stream *st = fl->st;

    if (!is_ready(ss, fl)) {
        hg_timer_start(hg_loop_timers(ss->loop), &fl->timer,
                       hg_mono_add(now_of(ss), PACE_MS * HG_MS), on_flight_timer, fl);
        return;
    }
    fl->flying = true; /* before the walk, which may reset this stream */
    fl->asked = ss->ops->walk(ss->ctx);
    fl->voided = false;
    fl->olds = st->olds;
    fl->tries++;
    if (fl->empty)
        hg_timer_start(hg_loop_timers(ss->loop), &fl->timer, now_of(ss), on_empty_lands, fl);
    else
        ss->ops->fly(ss->ctx, fl);
}

static void on_flight_timer(void *arg, struct hg_mono now)
{
    struct hg_flight *fl = arg;

    (void)now;
    if (!fl->flying)
        fly(fl->st->ss, fl);
}

static void fly_after(struct hg_streams *ss, struct hg_flight *fl, int64_t ms)
{
    if (fl->flying || hg_timer_is_running(&fl->timer))
        return;
    hg_timer_start(hg_loop_timers(ss->loop), &fl->timer, hg_mono_add(now_of(ss), ms * HG_MS),
                   on_flight_timer, fl);
}

static int64_t pace(uint32_t times)
{
    int64_t ms = PACE_MS;

    for (uint32_t i = 1; i < times && ms < PACE_MAX_MS; i++)
        ms *= 2;
    return times == 0 ? 0 : HG_MIN(ms, PACE_MAX_MS);
}

static void fail_waiting(struct hg_streams *ss, struct hg_flight *fl, int err, struct hg_slice text)
{
    struct hg_stream *st = fl->st;

    /* The flight must outlive the loop although its last subscription leaves. */
    fl->nsubs++;
    for (uint32_t i = st->nsubs; i-- > 0;)
        if (i < st->nsubs && st->subs[i]->fl == fl && st->subs[i]->state == HG_SUB_FLYING)
            fail(ss, st->subs[i], err, text);
    fl->tries = fl->refills = 0;
    if (--fl->nsubs == 0)
        flight_free(ss, fl);
}

static const char *reason_of(const struct hg_sub *sub)
{
    return sub->was_reset ? "reset" : sub->no_delta ? "unavailable" : NULL;
}

struct landed { /* what all who wait for a call get */
    struct hg_span snapshot, range;
    struct hg_lsn fence;
    const char *reason;
};

static void go_live(struct hg_streams *ss, struct hg_sub *sub, const struct landed *got)
{
    struct hg_stream *st = sub->st;

    sub->fence = got->fence;
    sub->cur = hg_log_above(&st->log, got->fence.v);
    sub->was_reset = sub->no_delta = sub->joined = false;
    set_live(sub, true);
    set_behind(sub, sub->cur != st->log.head);
    HG_INC(ss->m, snapshots);
    ss->ops->send(ss->ctx, sub->c, got->snapshot);
    if (sub->state == HG_SUB_LIVE && sub->range_index && got->range.c)
        ss->ops->send(ss->ctx, sub->c, got->range);
    if (sub->state == HG_SUB_LIVE)
        pull(ss, sub); /* from held to live in one step: nothing can come between */
}

static struct hg_lsn fence_of(const struct hg_sub *sub, const struct hg_landing *l)
{
    if (l->s.v)
        return l->s;
    return sub->joined ? sub->fl->asked : hg_lsn_max(sub->fl->asked, sub->resume);
}

/* Everybody who waits for this call, each with its fence; frames are shared by those whose fence
 * and reason are equal. */
static void land_all(struct hg_streams *ss, struct hg_flight *fl, const struct hg_landing *l)
{
    struct hg_stream *st = fl->st;
    struct landed got = {.snapshot = {0}};

    fl->nsubs++;
    if (ss->ops->range)
        got.range = ss->ops->range(ss->ctx, fl);
    for (uint32_t i = st->nsubs; i-- > 0;) {
        struct hg_sub *sub;
        struct hg_lsn fence;

        if (i >= st->nsubs)
            continue;
        sub = st->subs[i];
        if (sub->fl != fl || sub->state != HG_SUB_FLYING)
            continue;
        fence = fence_of(sub, l);
        if (!got.snapshot.c || fence.v != got.fence.v || reason_of(sub) != got.reason) {
            hg_span_unref(ss->frames, &got.snapshot);
            got.fence = fence;
            got.reason = reason_of(sub);
            got.snapshot = ss->ops->snapshot(ss->ctx, fl, l->reply, fence, got.reason);
        }
        if (!got.snapshot.c)
            fail(ss, sub, -HG_E_SNAPSHOT_FAILED, HG_SLICE_LIT("too large"));
        else if (!ss->ops->can_take_snapshot(ss->ctx, sub->c, got.snapshot.len))
            fail(ss, sub, -HG_E_OVERFLOW, HG_SLICE_NONE);
        else
            go_live(ss, sub, &got);
    }
    hg_span_unref(ss->frames, &got.snapshot);
    hg_span_unref(ss->frames, &got.range);
    fl->tries = fl->refills = 0;
    fl->behind = hg_lsn(0);
    if (ss->ops->forget)
        ss->ops->forget(ss->ctx, fl);
    if (--fl->nsubs == 0)
        flight_free(ss, fl);
}

/* ---- bridges (rule 3) ---- */

static void backfill(struct hg_streams *ss, struct hg_stream *st, const struct hg_cachelist *list,
                     struct hg_lsn s)
{
    uint64_t before = bytes_of(st);

    for (size_t i = 0; i < list->count; i++) {
        struct hg_slice value = hg_cachelist_value(list, i);
        struct hg_entry e = {.lsn = list->entries[i].lsn, .len = (uint32_t)value.n, .cached = true};
        uint64_t at = hg_log_above(&st->log, e.lsn);

        if (e.lsn <= s.v || e.lsn > st->floor.v)
            continue;
        e.enc[HG_DIFF_RAW] = hg_frame_build(ss->frames, &st->arena, HG_WS_OP_BINARY, &value, 1);
        hg_log_insert(&st->log, at, &e);
        for (uint32_t j = 0; j < st->nsubs; j++) /* the floor is under the fence of who is live */
            if (st->subs[j]->state == HG_SUB_LIVE && st->subs[j]->cur >= at)
                st->subs[j]->cur++;
    }
    st->floor = s;
    if (hg_lsn_lt(s, st->trimmed))
        st->trimmed = s;
    account(ss, st, before);
}

static bool may_bridge(const struct hg_flight *fl, struct hg_lsn s)
{
    const struct hg_stream *st = fl->st;

    /* A bare stream hears two keys, and a list is of one. What the log itself forgot may have left
     * a part of one LSN: that is no edge to build on. */
    return s.v && !st->bare && hg_lsn_lt(s, st->floor) && hg_lsn_le(st->trimmed, st->floor) &&
           !fl->voided && fl->olds == st->olds;
}

/* The flight still counts as flying: the walk may bring resets and close subscriptions. */
static void bridge(struct hg_streams *ss, struct hg_flight *fl, const struct hg_landing *l)
{
    const struct hg_cachelist *list;

    if (l->err < 0 || !ss->ops->bridge || !may_bridge(fl, l->s))
        return;
    list = ss->ops->bridge(ss->ctx, fl, l->s);
    if (!list || !may_bridge(fl, l->s))
        return;
    backfill(ss, fl->st, list, l->s);
    HG_INC(ss->m, snapshots_bridged);
}

static bool anyone_waits(const struct hg_flight *fl)
{
    for (uint32_t i = 0; i < fl->st->nsubs; i++)
        if (fl->st->subs[i]->fl == fl && fl->st->subs[i]->state == HG_SUB_FLYING)
            return true;
    return false;
}

static void fly_again(struct hg_streams *ss, struct hg_flight *fl)
{
    HG_INC(ss->m, snapshots_reflown);
    if (fl->tries >= MAX_TRIES)
        fail_waiting(ss, fl, -HG_E_SNAPSHOT_FAILED,
                     HG_SLICE_LIT("the snapshot stays behind the changes already known"));
    else
        fly_after(ss, fl, pace(fl->tries));
}

void hg_stream_landed(struct hg_streams *ss, struct hg_flight *fl, const struct hg_landing *l)
{
    struct hg_lsn fence = l->s.v ? l->s : fl->asked;
    struct hg_stream *st = fl->st;
    uint64_t before;

    HG_BUG_ON(!fl->flying);
    bridge(ss, fl, l);
    before = bytes_of(st);
    fl->flying = false;
    if (fl->nsubs == 0) {
        flight_free(ss, fl);
        return;
    }
    if (!anyone_waits(fl)) {
        fl->tries = fl->refills = 0;
        return;
    }
    if (l->err < 0) {
        if (l->err == -HG_E_RPC_TIMEOUT && fl->tries < 2) /* the same query once more (B-8) */
            fly_again(ss, fl);
        else
            fail_waiting(ss, fl, -HG_E_SNAPSHOT_FAILED, l->text);
        return;
    }
    if (!l->s.v && fl->voided) {
        fly_again(ss, fl);
        return;
    }
    if (hg_lsn_lt(fence, st->floor) || (l->s.v && hg_lsn_lt(fence, st->trimmed))) {
        if (l->s.v && (!fl->behind.v || hg_lsn_lt(l->s, fl->behind)))
            fl->behind = l->s;
        fly_again(ss, fl);
        return;
    }
    if (hg_lsn_lt(fence, st->trimmed)) { /* more came than may be held */
        if (++fl->refills < MAX_REFILLS)
            fly_again(ss, fl);
        else
            fail_waiting(ss, fl, -HG_E_OVERFLOW, HG_SLICE_NONE);
        return;
    }
    if (ss->ops->landed && fl->seeds)
        ss->ops->landed(ss->ctx, fl, l->reply, fence);
    land_all(ss, fl, l);
    trim(ss, st);
    if (st->rows.head != st->rows.base && !rows_needed(st))
        hg_log_clear(&st->rows, ss->frames);
    account(ss, st, before);
}

/* ---- reset ---- */

static void reset_subs(struct hg_streams *ss, struct hg_stream *st, int64_t delay_ms)
{
    for (uint32_t i = st->nsubs; i-- > 0;) {
        struct hg_sub *sub;

        if (i >= st->nsubs)
            continue;
        sub = st->subs[i];
        if (sub->state == HG_SUB_LIVE) {
            if (sub->whole_session) {
                fail(ss, sub, -HG_E_OVERFLOW, HG_SLICE_NONE);
                continue;
            }
            set_live(sub, false);
            sub->was_reset = true;
            sub->resume = hg_lsn(0);
        }
        if (sub->state == HG_SUB_FLYING)
            fly_after(ss, sub->fl, delay_ms);
    }
}

static void reset(struct hg_streams *ss, struct hg_stream *st, const char *why)
{
    struct hg_mono now = now_of(ss);
    uint64_t before = bytes_of(st);

    if (hg_mono_sub(now, st->reset_at) > RESET_CALM_MS * HG_MS)
        st->resets = 0;
    HG_INC(ss->m, streams_reset);
    hg_log_limited(HG_LOG_WARN, NULL, "stream.reset", "stream=\"%.*s\" why=%s subscribers=%u",
                   HG_SLICE_ARG(hg_stream_label(st)), why, st->nsubs);
    hg_log_clear(&st->log, ss->frames);
    account(ss, st, before);
    st->floor = hg_lsn_max(st->floor, ss->ops->watermark(ss->ctx));
    st->given = hg_lsn(0);
    for (struct hg_flight *fl = st->flights; fl; fl = fl->next)
        fl->voided = true;
    reset_subs(ss, st, pace(st->resets));
    st->resets++;
    st->reset_at = now;
}

void hg_stream_reset_key(struct hg_streams *ss, struct hg_slice key, const char *why)
{
    struct hg_stream *both[] = {find(ss, key), find_bare(ss, key)};

    for (unsigned i = 0; i < HG_COUNTOF(both); i++)
        if (attached(both[i]))
            reset(ss, both[i], why);
}

void hg_stream_bare_reset(struct hg_streams *ss, struct hg_slice hash_id, const char *why)
{
    for (struct hg_bare *b = hg_bare_first(&ss->by_hash, hash_id); b; b = b->next)
        if (attached(b->st))
            reset(ss, b->st, why);
}

static bool has_bit(const uint64_t *bits, uint64_t hash)
{
    unsigned bit = (unsigned)(hash % HG_HOLE_BITS);

    return bits[bit / 64] >> (bit % 64) & 1;
}

void hg_streams_reset(struct hg_streams *ss, const uint64_t *bits, const char *why)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    while ((node = hg_map_next(&ss->by_key, &it))) {
        struct hg_stream *st = HG_CONTAINER_OF(node, struct hg_stream, node);

        if (st->attached &&
            (!bits || has_bit(bits, st->hash) || (st->bare && has_bit(bits, st->bare->hash))))
            reset(ss, st, why);
    }
}

/* ---- subscribing ---- */

static void on_attach_timer(void *arg, struct hg_mono now);

static void begin(struct hg_streams *ss, struct hg_sub *sub)
{
    struct hg_flight *fl = sub->fl;

    attach(ss, sub->st);
    if (sub->state ==
        STATE_CLOSED) /* what the walk brought closed the connection; fl may be gone, too */
        return;
    sub->state = HG_SUB_FLYING;
    sub->row_cur = sub->st->rows.head;
    sub->joined = fl->flying;
    ss->ops->ack(ss->ctx, sub);
    if (sub->state == HG_SUB_FLYING && !fl->flying && !hg_timer_is_running(&fl->timer))
        fly(ss, fl);
}

static void wait_for_positions(struct hg_streams *ss, struct hg_sub *sub)
{
    sub->attach_by = hg_mono_add(now_of(ss), ss->conf->attach_timeout);
    list_add(&ss->attaching, &ss->nattaching, &ss->attaching_cap, sub);
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
            fail(ss, sub, -HG_E_SNAPSHOT_FAILED,
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
    struct hg_stream *st = bare ? find_bare(ss, key) : find(ss, key);

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
    st = spec->bare ? find_bare(ss, spec->key) : find(ss, spec->key);
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

/* ---- clients that make no progress ---- */

static uint64_t lag_bytes(const struct hg_sub *sub)
{
    return sub->behind ? sub->st->log.cum - hg_log_at(&sub->st->log, sub->cur)->cum : 0;
}

void hg_stream_stalled(struct hg_streams *ss, struct hg_conn *c, uint64_t queued)
{
    struct hg_sub_list *list = ss->ops->subs_of(ss->ctx, c);
    uint64_t bytes = queued, frames = 0;
    struct hg_sub *next;

    for (struct hg_sub *sub = list->first; sub; sub = sub->next) {
        bytes += lag_bytes(sub);
        frames += sub->behind ? sub->st->log.head - sub->cur : 0;
    }
    for (struct hg_sub *sub = list->first; sub; sub = next) {
        next = sub->next;
        if (!sub->behind)
            continue;
        if (bytes > (uint64_t)ss->conf->out_soft ||
            (sub->whole_session && frames > (uint64_t)ss->conf->out_frames)) {
            bool all = sub->whole_session;

            fail(ss, sub, -HG_E_OVERFLOW, HG_SLICE_NONE);
            if (all)
                return;
        }
    }
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
