#include "worker/queries.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/sys/log.h"
#include "proto/base64.h"
#include "proto/json.h"
#include "proto/query.h"
#include "proto/route.h"
#include "worker/dialect.h"
#include "worker/dispatch.h"
#include "worker/ingest.h"
#include "worker/seeds.h"

/* ---- what streams ask for ---- */

static bool ready(void *ctx, bool calls)
{
    struct hg_worker *w = ctx;

    return hg_host_positions_known(w->host) && (!calls || hg_kafka_replies_ready(w->kafka));
}

static void interest(void *ctx, uint64_t hash, bool hold)
{
    struct hg_worker *w = ctx;

    /* A stream lingers itself, with its history; its bit need not linger after it. */
    if (hold)
        hg_interest_hold(&w->interests, hash);
    else
        hg_interest_drop(&w->interests, hash, hg_loop_now(w->loop));
}

static struct hg_lsn walk(void *ctx)
{
    return hg_ingest_walk(ctx);
}

static struct hg_lsn watermark(void *ctx)
{
    return hg_ingest_watermark(ctx);
}

/* ---- what is asked of the hot cache beside a snapshot call ---- */

struct beside {
    struct hg_cache_read *range, *after; /* not answered yet */
    struct hg_buf pks;                   /* JSON array; empty is none */
    struct hg_cached *cached;
};

static void on_range(void *ctx, struct hg_slice pks)
{
    struct beside *b = ctx;

    b->range = NULL;
    hg_buf_add_slice(&b->pks, pks);
}

static void on_after(void *ctx, struct hg_cached *cached)
{
    struct beside *b = ctx;

    b->after = NULL;
    b->cached = cached;
}

static void forget(void *ctx, struct hg_flight *fl)
{
    struct beside *b = fl->beside;

    (void)ctx;
    if (!b)
        return;
    hg_cache_cancel(b->range);
    hg_cache_cancel(b->after);
    hg_cached_free(b->cached);
    hg_buf_fini(&b->pks);
    free(b), fl->beside = NULL;
}

static void ask_cache(struct hg_worker *w, struct hg_flight *fl)
{
    struct hg_slice key = hg_stream_key(fl->st);
    struct beside *b;

    forget(w, fl);
    if (!hg_cache_is_up(w->cache))
        return;
    fl->beside = b = hg_calloc(1, sizeof *b);
    b->range = hg_cache_range(w->cache, key, on_range, b);
    if (fl->behind.v)
        b->after = hg_cache_after(w->cache, key, fl->behind, on_after, b);
}

static struct hg_span range(void *ctx, const struct hg_flight *fl)
{
    struct hg_worker *w = ctx;
    const struct beside *b = fl->beside;
    struct hg_buf text = {0};
    struct hg_span s = {0};
    struct hg_slice part;

    if (!b || b->pks.n == 0)
        return s;
    hg_op_put_range_index(&text, hg_stream_hash_id(fl->st), hg_buf_slice(&b->pks));
    part = hg_buf_slice(&text);
    if (part.n <= (size_t)w->conf->max_snapshot)
        s = hg_frame_build(&w->frames, &fl->st->arena, HG_WS_OP_TEXT, &part, 1);
    hg_buf_fini(&text);
    return s;
}

/* When this host has read all that the writers had when they were asked, and the rings are walked
 * after that, nothing that comes from now on is in the list. */
static const struct hg_cachelist *bridge(void *ctx, const struct hg_flight *fl, struct hg_lsn s)
{
    struct hg_worker *w = ctx;
    const struct beside *b = fl->beside;

    if (!b || !b->cached || hg_lsn_lt(s, b->cached->after) ||
        !hg_cached_is_behind(b->cached, w->host))
        return NULL;
    hg_ingest_walk(w);
    return &b->cached->list;
}

/* ---- snapshot calls ---- */

/* A call is on the account of the one who is waiting for it, or was: who leaves before the answer
 * may not ask without end. It may be gone by then, or even be another. */
static uint64_t asked_by(const struct hg_flight *fl)
{
    const struct hg_stream *st = fl->st;

    for (uint32_t i = 0; i < st->nsubs; i++)
        if (st->subs[i]->fl == fl) {
            struct hg_conn *c = st->subs[i]->c;

            c->s.nasked++;
            return (uint64_t)c->index << 32 | c->gen;
        }
    return UINT64_MAX;
}

static void answered(struct hg_worker *w, uint64_t asker)
{
    struct hg_conn *c = hg_conn_find(&w->conns, (uint32_t)(asker >> 32), (uint32_t)asker);

    if (c && c->s.nasked > 0)
        c->s.nasked--;
}

/* No data at all, or a row that is not there, are no rows (001:1448). */
static bool is_rows(const struct hg_sqlrpc_reply *r)
{
    return r->kind == HG_SQLRPC_ROWS || r->kind == HG_SQLRPC_ROWS_CURSOR ||
           r->kind == HG_SQLRPC_NO_DATA || (r->kind == HG_SQLRPC_ROW && r->nrows == 0);
}

static void on_rows(void *ctx, void *arg, uint64_t asker, const struct hg_rpc_result *r)
{
    struct hg_worker *w = ctx;
    struct hg_landing l = {.err = r->err, .text = r->text, .s = r->snapshot_lsn, .reply = r->reply};

    answered(w, asker);
    if (r->err < 0) {
        l.could_not = r->reply && !r->reply->ok && r->reply->error_code != HG_SQLRPC_BAD_REQUEST;
    } else if (!is_rows(r->reply)) {
        l.err = -HG_E_RPC_REPLY;
        l.text = HG_SLICE_LIT("the reply holds no rows");
    }
    hg_stream_landed(&w->streams, arg, &l);
}

static void fly(void *ctx, struct hg_flight *fl)
{
    struct hg_worker *w = ctx;
    struct hg_rpc_call *call = hg_rpc_new(&w->rpcs, on_rows, w, fl, asked_by(fl));
    struct hg_buf request = {0};

    call->spec.company = hg_stream_tenant(fl->st);
    call->spec.table = hg_stream_table(fl->st);
    ask_cache(w, fl);
    /* A query without a limit has none: cut short, its snapshot would be wrong. max_snapshot is the
     * cap. */
    hg_query_put_get_data(&request, &call->spec, fl->query,
                          fl->query ? 0 : (uint32_t)w->conf->snapshot_limit);
    hg_rpc_send(&w->rpcs, call, hg_buf_slice(&request));
    hg_buf_fini(&request);
}

/* The cursor's fields and the rows of a reply; nothing of none. */
static void put_reply(struct hg_buf *text, struct hg_op_snapshot *head, const void *reply)
{
    struct hg_buf cursor = {0};

    if (reply)
        hg_sqlrpc_put_cursor(&cursor, reply);
    head->cursor = hg_buf_slice(&cursor);
    hg_op_put_snapshot_head(text, head);
    if (reply)
        hg_sqlrpc_put_rows(text, reply);
    hg_op_put_snapshot_tail(text);
    hg_buf_fini(&cursor);
}

static struct hg_span snapshot(void *ctx, const struct hg_flight *fl, const void *reply,
                               struct hg_lsn fence, const char *reason)
{
    struct hg_worker *w = ctx;
    struct hg_buf text = {0};
    struct hg_op_snapshot head = {
        .hash_id = hg_stream_hash_id(fl->st), .lsn = fence, .reason = hg_slice_str(reason)};
    struct hg_span s = {0};
    struct hg_slice part;

    put_reply(&text, &head, reply);
    part = hg_buf_slice(&text);
    if (part.n <= (size_t)w->conf->max_snapshot)
        s = hg_frame_build(&w->frames, &fl->st->arena, HG_WS_OP_TEXT, &part, 1);
    hg_buf_fini(&text);
    return s;
}

static void cache_snapshot(struct hg_worker *w, const struct hg_flight *fl, const void *reply,
                           struct hg_lsn fence)
{
    struct hg_buf text = {0}, cursor = {0};

    hg_cachesnap_begin(&text);
    hg_sqlrpc_put_rows(&text, reply);
    hg_sqlrpc_put_cursor(&cursor, reply);
    hg_cachesnap_end(&text, hg_buf_slice(&cursor), fence.v, hg_wall_ms());
    hg_cache_snapshot(w->cache, hg_stream_key(fl->st), hg_buf_slice(&text));
    hg_buf_fini(&cursor);
    hg_buf_fini(&text);
}

static void landed(void *ctx, const struct hg_flight *fl, const void *reply, struct hg_lsn fence)
{
    struct hg_worker *w = ctx;

    if (hg_cache_keeps_snapshots(w->cache))
        cache_snapshot(w, fl, reply, fence);
    hg_seeds_publish(w, fl, reply, fence);
}

static void ended(void *ctx, const struct hg_stream *st)
{
    struct hg_worker *w = ctx;

    if (w->control && !hg_stream_is_open(&w->streams, hg_stream_key(st))) /* no twin, bare or not */
        hg_control_ended(w->control, hg_stream_key(st));
}

static void ack(void *ctx, struct hg_sub *sub)
{
    struct hg_worker *w = ctx;

    hg_buf_reset(&w->text);
    hg_op_put_ack(&w->text, hg_stream_hash_id(sub->st),
                  sub->enc == HG_DIFF_TAGGED ? sub->st->id : 0, HG_SLICE_NONE);
    hg_conn_send_text(&w->conns, sub->c, hg_buf_slice(&w->text));
}

static void failed(void *ctx, struct hg_sub *sub, int err, struct hg_slice text)
{
    struct hg_worker *w = ctx;
    const struct hg_err_row *row = hg_err_row(err);
    struct hg_slice hash_id =
        sub->whole_session && err == -HG_E_OVERFLOW ? HG_SLICE_NONE : hg_stream_hash_id(sub->st);

    hg_buf_reset(&w->text);
    hg_op_put_error_text(&w->text, row->wire,
                         text.p ? text : hg_slice_str(hg_op_error_message(err)), hash_id,
                         HG_SLICE_NONE);
    hg_conn_send_text(&w->conns, sub->c, hg_buf_slice(&w->text));
}

static bool can_take(void *ctx, const struct hg_conn *c)
{
    (void)ctx;
    return hg_conn_can_take(c);
}

/* Snapshots are not under out_hard; this is their cap (a client whose kernel buffer takes more
 * always gets its own). */
static bool can_take_snapshot(void *ctx, const struct hg_conn *c, uint32_t bytes)
{
    const struct hg_worker *w = ctx;

    return hg_conn_can_take_big(&w->conns, c, bytes);
}

static void send_span(void *ctx, struct hg_conn *c, struct hg_span s)
{
    struct hg_worker *w = ctx;

    hg_conn_send(&w->conns, c, s);
}

static struct hg_sub_list *subs_of(void *ctx, struct hg_conn *c)
{
    (void)ctx;
    return &c->s.subs;
}

const struct hg_stream_ops hg_queries_ops = {
    .ready = ready,
    .interest = interest,
    .walk = walk,
    .watermark = watermark,
    .fly = fly,
    .snapshot = snapshot,
    .range = range,
    .bridge = bridge,
    .forget = forget,
    .landed = landed,
    .ended = ended,
    .ack = ack,
    .failed = failed,
    .can_take = can_take,
    .can_take_snapshot = can_take_snapshot,
    .send = send_span,
    .subs_of = subs_of,
};

/* ---- query control ---- */

static int produce_control(void *ctx, struct hg_slice key, struct hg_slice value,
                           struct hg_kafka_report *report)
{
    struct hg_worker *w = ctx;
    struct hg_kafka_msg m = {.topic = w->conf->query_control_topic,
                             .key = key,
                             .value = value,
                             .want_report = true,
                             .opaque = report};
    int rc = hg_kafka_produce(w->kafka, &m);

    if (rc < 0)
        hg_log_limited(HG_LOG_WARN, NULL, "control.not_sent", "hash=\"%.*s\" err=%s",
                       HG_SLICE_ARG(hg_route_hash_of(key)), hg_err_row(rc)->name);
    return rc;
}

static bool kafka_is_up(void *ctx)
{
    return hg_kafka_is_up(((struct hg_worker *)ctx)->kafka);
}

void hg_queries_init(struct hg_worker *w)
{
    struct hg_control_spec spec = {.loop = w->loop,
                                   .conf = w->conf,
                                   .m = w->m,
                                   .host = w->host,
                                   .seat = w->boot->seat,
                                   .produce = produce_control,
                                   .is_up = kafka_is_up,
                                   .ctx = w};

    if (*w->conf->query_control_topic)
        w->control = hg_control_new(&spec);
}

/* ---- subscribe, unsubscribe ---- */

/* The sources: text that is no JSON object asks for everything, without a limit; a query that is
 * JSON but cannot be written asks for the first rows. Neither is told to the change source. */
static struct hg_query *query_instead(const struct hg_dialect *d, const struct hg_op_subscribe *o)
{
    struct hg_query *q = NULL;
    char unused[HG_QUERY_WHY_MAX];

    if (d->v3 && o->query_json.p && !hg_json_is_object(o->query_json))
        HG_BUG_ON(hg_query_from_json(HG_SLICE_LIT("{}"), false, &q, unused) < 0);
    return q;
}

/* The parsed query, and its bytes for the control topic. A lenient profile goes on without a query
 * that it cannot read. */
static int read_query(struct hg_worker *w, struct hg_conn *c, const struct hg_op_subscribe *o,
                      struct hg_query **q, struct hg_buf *control, char why[HG_QUERY_WHY_MAX])
{
    bool strict = hg_dispatch_strict(w, c);
    struct hg_buf fb = {0};
    int rc = 0;

    *q = NULL;
    if (hg_dialect(c->s.dialect)->empty && !strict) /* nobody is asked */
        return 0;
    if (o->query_json.p && hg_dialect(c->s.dialect)->v3) {
        rc = hg_query_from_json(o->query_json, strict, q, why);
        if (rc == 0)
            hg_query_put_control(control, *q);
    } else if (o->query_fb.p) {
        hg_b64_decode_lenient(&fb, o->query_fb);
        rc = hg_query_from_fb(hg_buf_slice(&fb), strict, q, why);
        if (rc == 0 || !strict)
            hg_buf_add_slice(control, hg_buf_slice(&fb)); /* as is */
        hg_buf_fini(&fb);
    }
    if (rc < 0 && !strict) {
        char name[32];

        hg_log_limited(HG_LOG_WARN, hg_conn_name(c, name), "query.ignored", "why=\"%s\"", why);
        *q = query_instead(hg_dialect(c->s.dialect), o);
        rc = 0;
    }
    return rc;
}

static bool names_ok(struct hg_worker *w, struct hg_conn *c, struct hg_slice table,
                     struct hg_slice hash_id)
{
    const char *why;
    struct hg_buf detail = {0};
    int rc = hg_route_check_table(table, &why);
    const char *field = "table";

    if (rc == 0) {
        field = "hashId";
        rc = hg_route_check_hash(hash_id, &why);
    }
    if (rc == 0)
        return true;
    hg_buf_addf(&detail, "%s: %s", field, why);
    hg_dispatch_error(w, c, rc, hash_id, hg_buf_slice(&detail));
    hg_buf_fini(&detail);
    return false;
}

/* Where no topic has bare keys all dialects share their streams. */
static bool hears_bare(const struct hg_worker *w, const struct hg_conn *c)
{
    if (!w->host->has_bare)
        return false;
    return hg_dialect_hears_bare(c->s.dialect, w->conf, hg_atom_text(c->s.tenant));
}

/* v1 and v2 knew a subscription by its hashId alone: the same of another table took its place, and
 * the table of an unsubscribe did not count. */
static void close_all_of(struct hg_worker *w, struct hg_conn *c, struct hg_slice hash_id)
{
    struct hg_sub *next;

    for (struct hg_sub *sub = c->s.subs.first; sub; sub = next) {
        next = sub->next;
        if (hg_slice_eq(hg_stream_hash_id(sub->st), hash_id))
            hg_sub_close(&w->streams, sub);
    }
}

/* NULL, or why not one more. */
static const char *limit_reached(struct hg_worker *w, const struct hg_conn *c,
                                 const struct hg_sub_spec *spec)
{
    if (c->s.subs.n >= (uint64_t)w->conf->max_subscriptions &&
        !hg_sub_find(&w->streams, &c->s.subs, spec->key, spec->bare))
        return "max_subscriptions reached";
    if (c->s.nasked >= 2 * (uint64_t)w->conf->max_subscriptions) /* those it left, as many again */
        return "too many snapshots under way (max_subscriptions)";
    return hg_streams_are_full(&w->streams) ? "too many queries were left just now" : NULL;
}

static void open_sub(struct hg_worker *w, struct hg_conn *c, const struct hg_op_subscribe *o,
                     struct hg_query *q, struct hg_slice control)
{
    const struct hg_dialect *d = hg_dialect(c->s.dialect);
    struct hg_buf key = {0};
    const char *why;
    struct hg_sub_spec spec = {
        .c = c,
        .hash_id = o->hash_id,
        .tenant = hg_atom_text(c->s.tenant),
        .table = o->table,
        .query = q,
        .fingerprint = q ? hg_query_fingerprint(q) : 0,
        .resume = hg_lsn(o->resume_from.given ? o->resume_from.v : 0),
        .enc = o->frame == HG_OP_FRAME_TAGGED ? HG_DIFF_TAGGED : HG_DIFF_RAW,
        .whole_session = d->whole_session,
        .late_b64 = d->late_b64,
        .range_index = d->v3,
        .no_delta = o->resume == HG_OP_RESUME_DELTA,
        .before_v3 = !d->v3,
        .bare = hears_bare(w, c),
        .empty = d->empty,
    };

    if (!d->v3)
        close_all_of(w, c, o->hash_id);
    hg_route_put_key(&key, spec.tenant, o->table, o->hash_id);
    spec.key = hg_buf_slice(&key);
    why = limit_reached(w, c, &spec);
    if (why) {
        hg_query_free(q);
        hg_dispatch_error(w, c, -HG_E_LIMIT_SUBS, o->hash_id, hg_slice_str(why));
    } else {
        if (w->control && d->v3 && control.n > 0) /* before the snapshot is asked for */
            hg_control_told(w->control, spec.key,
                            hg_route_hub_hash(HG_ROUTE_STREAM, HG_SLICE_NONE, spec.key), control);
        hg_sub_open(&w->streams, &spec);
    }
    hg_buf_fini(&key);
}

void hg_op_do_subscribe(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op)
{
    const struct hg_op_subscribe *o = &op->subscribe;
    char why[HG_QUERY_WHY_MAX];
    struct hg_buf control = {0};
    struct hg_query *q;

    if (!names_ok(w, c, o->table, o->hash_id))
        return;
    if (read_query(w, c, o, &q, &control, why) < 0)
        hg_dispatch_error(w, c, -HG_E_BAD_QUERY, o->hash_id, hg_slice_str(why));
    else
        open_sub(w, c, o, q, hg_buf_slice(&control));
    hg_buf_fini(&control);
}

void hg_op_do_unsubscribe(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op)
{
    struct hg_buf key = {0};
    struct hg_sub *sub;

    if (!hg_dialect(c->s.dialect)->v3) {
        close_all_of(w, c, op->unsubscribe.hash_id);
        return;
    }
    hg_route_put_key(&key, hg_atom_text(c->s.tenant), op->unsubscribe.table,
                     op->unsubscribe.hash_id);
    sub = hg_sub_find(&w->streams, &c->s.subs, hg_buf_slice(&key), hears_bare(w, c));
    if (sub)
        hg_sub_close(&w->streams, sub);
    hg_buf_fini(&key);
}
