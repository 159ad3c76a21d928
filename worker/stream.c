#include "worker/stream_priv.h"

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/host.h"
#include "common/sys/log.h"
#include "proto/op.h"

enum {
    PULL_BYTES = 256 * 1024, /* one subscription's share of a turn */
    RESET_CALM_MS = 10000,   /* a stream without a reset for this long has a clean slate */
};

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
        hg_sub_set_behind(sub, false);
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
    hg_sub_array_add(&ss->pulling, &ss->npulling, &ss->pulling_cap, sub);
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

void hg_sub_pull(struct hg_streams *ss, struct hg_sub *sub)
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
        hg_sub_pull(ss, sub);
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
        hg_sub_pull(ss, sub);
        if (sub->state == HG_SUB_CLOSED && ss->ops->subs_of(ss->ctx, c)->first == NULL)
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
            hg_sub_fail(ss, st->subs[i], -HG_E_OVERFLOW, HG_SLICE_NONE);
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

void hg_stream_trim(struct hg_streams *ss, struct hg_stream *st)
{
    bool needed = st->nlagging > 0 || hg_stream_is_flying(st);
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

        hg_stream_touch(ss, st);
        while (st->log.base != st->log.head)
            drop_front(ss, st);
        hg_log_clear(&st->rows, ss->frames);
        hg_stream_account(ss, st, before);
        overflow_fallen(ss, st);
    }
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
                hg_sub_fail(ss, sub, -HG_E_OVERFLOW, HG_SLICE_NONE);
                continue;
            }
            hg_sub_set_live(sub, false);
            sub->was_reset = true;
            sub->resume = hg_lsn(0);
        }
        if (sub->state == HG_SUB_FLYING)
            hg_flight_fly_after(ss, sub->fl, delay_ms);
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
    hg_stream_account(ss, st, before);
    st->floor = hg_lsn_max(st->floor, ss->ops->watermark(ss->ctx));
    st->given = hg_lsn(0);
    for (struct hg_flight *fl = st->flights; fl; fl = fl->next)
        fl->voided = true;
    reset_subs(ss, st, hg_flight_pace(st->resets));
    st->resets++;
    st->reset_at = now;
}

void hg_stream_reset_key(struct hg_streams *ss, struct hg_slice key, const char *why)
{
    struct hg_stream *both[] = {hg_stream_find(ss, key), hg_stream_find_bare(ss, key)};

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
            hg_sub_set_behind(sub, true);
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
    hg_stream_touch(ss, st);
    if (at == st->log.head - 1)
        deliver(ss, st);
    else /* whoever stands behind this place skipped what is there because of its fence, so it skips
            this too */
        for (uint32_t i = 0; i < st->nsubs; i++)
            if (st->subs[i]->state == HG_SUB_LIVE && st->subs[i]->cur > at)
                st->subs[i]->cur++;
    hg_stream_trim(ss, st);
    hg_stream_account(ss, st, before);
    keep_budget(ss);
}

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
    diff(ss, hg_stream_find(ss, key), rec);
    diff(ss, hg_stream_find_bare(ss, key), rec);
}

void hg_stream_bare_diff(struct hg_streams *ss, struct hg_slice hash_id,
                         const struct hg_stream_rec *rec)
{
    /* Streams come and go by timers and ops only, never inside a delivery. */
    for (struct hg_bare *b = hg_bare_first(&ss->by_hash, hash_id); b; b = b->next)
        diff(ss, b->st, rec);
}

/* ---- row events ---- */

bool hg_stream_rows_needed(const struct hg_stream *st)
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
    if (!hg_stream_rows_needed(st))
        hg_log_clear(&st->rows, ss->frames);
    hg_stream_account(ss, st, before);
    keep_budget(ss);
}

void hg_stream_row(struct hg_streams *ss, struct hg_slice key, struct hg_slice text)
{
    row(ss, hg_stream_find(ss, key), text);
    row(ss, hg_stream_find_bare(ss, key), text);
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

            hg_sub_fail(ss, sub, -HG_E_OVERFLOW, HG_SLICE_NONE);
            if (all)
                return;
        }
    }
}
