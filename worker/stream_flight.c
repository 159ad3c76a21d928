/* Snapshot calls: who waits for which, what their answers are fenced by, and when they are tried
 * again. */
#include "worker/stream_priv.h"

#include "common/base/err.h"
#include "common/base/macros.h"

enum {
    MAX_TRIES = 10,  /* calls for one snapshot, then snapshot_failed */
    MAX_REFILLS = 2, /* times the log may overflow under a call, then overflow */
    PACE_MS = 50,    /* first pause before a repeated call; doubles */
    PACE_MAX_MS = 2000,
};

/* ---- calls for snapshots ---- */

static void on_flight_timer(void *arg, struct hg_mono now);

static void on_empty_lands(void *arg, struct hg_mono now)
{
    struct hg_flight *fl = arg;
    struct hg_landing l = {0};

    (void)now;
    hg_stream_landed(fl->st->ss, fl, &l);
}

void hg_flight_fly(struct hg_streams *ss, struct hg_flight *fl)
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
        hg_flight_fly(fl->st->ss, fl);
}

void hg_flight_fly_after(struct hg_streams *ss, struct hg_flight *fl, int64_t ms)
{
    if (fl->flying || hg_timer_is_running(&fl->timer))
        return;
    hg_timer_start(hg_loop_timers(ss->loop), &fl->timer, hg_mono_add(now_of(ss), ms * HG_MS),
                   on_flight_timer, fl);
}

int64_t hg_flight_pace(uint32_t times)
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
            hg_sub_fail(ss, st->subs[i], err, text);
    fl->tries = fl->refills = 0;
    if (--fl->nsubs == 0)
        hg_flight_free(ss, fl);
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
    hg_sub_set_live(sub, true);
    hg_sub_set_behind(sub, sub->cur != st->log.head);
    HG_INC(ss->m, snapshots);
    ss->ops->send(ss->ctx, sub->c, got->snapshot);
    if (sub->state == HG_SUB_LIVE && sub->range_index && got->range.c)
        ss->ops->send(ss->ctx, sub->c, got->range);
    if (sub->state == HG_SUB_LIVE)
        hg_sub_pull(ss, sub); /* from held to live in one step: nothing can come between */
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
            hg_sub_fail(ss, sub, -HG_E_SNAPSHOT_FAILED, HG_SLICE_LIT("too large"));
        else if (!ss->ops->can_take_snapshot(ss->ctx, sub->c, got.snapshot.len))
            hg_sub_fail(ss, sub, -HG_E_OVERFLOW, HG_SLICE_NONE);
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
        hg_flight_free(ss, fl);
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
    hg_stream_account(ss, st, before);
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
        hg_flight_fly_after(ss, fl, hg_flight_pace(fl->tries));
}

/* The same query once more (B-8). */
static bool may_try_again(const struct hg_flight *fl, const struct hg_landing *l)
{
    return (l->err == -HG_E_RPC_TIMEOUT || l->could_not) && fl->tries < 2;
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
        hg_flight_free(ss, fl);
        return;
    }
    if (!anyone_waits(fl)) {
        fl->tries = fl->refills = 0;
        return;
    }
    if (l->err < 0) {
        if (may_try_again(fl, l))
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
    hg_stream_trim(ss, st);
    if (st->rows.head != st->rows.base && !hg_stream_rows_needed(st))
        hg_log_clear(&st->rows, ss->frames);
    hg_stream_account(ss, st, before);
}
