/* Handler of the rpc op: a client's call passed on to the SQL worker, walled to its tenant. */
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/json.h"
#include "worker/dispatch.h"

struct pending { /* whose call it is; the client may be gone when the answer comes */
    uint32_t index, gen;
    struct hg_slice method, correlation_id;
    char bytes[];
};

static void reply_error(struct hg_worker *w, struct hg_conn *c, struct hg_slice method,
                        struct hg_slice correlation_id, struct hg_slice text)
{
    hg_buf_reset(&w->text);
    hg_op_put_rpc_error(&w->text, method, correlation_id, text);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

static void on_done(void *ctx, void *arg, uint64_t arg2, const struct hg_rpc_result *r)
{
    struct hg_worker *w = ctx;
    struct pending *p = arg;
    struct hg_conn *c = hg_conn_find(&w->conns, p->index, p->gen);

    (void)arg2;
    if (c && c->state == HG_CONN_OPEN) {
        c->s.ncalls--;
        if (r->err < 0) {
            reply_error(w, c, p->method, p->correlation_id, r->text);
        } else {
            hg_buf_reset(&w->text);
            hg_op_put_rpc_ok_head(&w->text, p->method, p->correlation_id);
            hg_sqlrpc_put_data(&w->text, r->reply);
            hg_op_put_rpc_ok_tail(&w->text);
            hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
        }
    }
    free(p);
}

static struct pending *pending_new(const struct hg_conn *c, const struct hg_op_rpc *o)
{
    struct pending *p = hg_malloc(sizeof *p + o->method.n + o->correlation_id.n);

    *p = (struct pending){.index = c->index, .gen = c->gen};
    memcpy(p->bytes, o->method.p, o->method.n);
    p->method = hg_slice_of(p->bytes, o->method.n);
    if (o->correlation_id.p) {
        memcpy(p->bytes + o->method.n, o->correlation_id.p, o->correlation_id.n);
        p->correlation_id = hg_slice_of(p->bytes + o->method.n, o->correlation_id.n);
    }
    return p;
}

/* ---- requests by method; each returns NULL or what is wrong ---- */

struct args {
    const struct hg_sqlrpc_call *call;
    struct hg_json_val payload;
};

static struct hg_json_val either(struct hg_json_val v, const char *a, const char *b)
{
    struct hg_json_val x = hg_json_get(v, a);

    return hg_json_type(x) == HG_JSON_ABSENT || hg_json_type(x) == HG_JSON_NULL ? hg_json_get(v, b)
                                                                                : x;
}

/* A string's content or a number's text, as the sources stringify ids. */
static struct hg_slice id_text(struct hg_json_val v)
{
    struct hg_slice s = hg_json_text(v);

    if (s.p)
        return s;
    return hg_json_type(v) == HG_JSON_NUMBER ? hg_json_raw(v) : HG_SLICE_LIT("");
}

static struct hg_slice pk_column(const struct args *a)
{
    struct hg_slice s = hg_json_text(either(a->payload, "primaryKeyColumn", "primary_key_column"));

    return s.n ? s : HG_SLICE_LIT("id");
}

/* An object's JSON text; a string holding one is passed through, not encoded twice (B-27). */
static struct hg_slice object_text(struct hg_json_val v)
{
    struct hg_slice s = hg_json_text(v);

    if (hg_json_type(v) == HG_JSON_ABSENT)
        return HG_SLICE_LIT("{}");
    if (hg_json_type(v) == HG_JSON_OBJECT)
        return hg_json_raw(v);
    return s.p && hg_json_is_valid(s) ? s : HG_SLICE_NONE;
}

static const char *update_single(const struct args *a, struct hg_buf *out)
{
    struct hg_slice id = id_text(either(a->payload, "primaryId", "primary_id"));
    struct hg_slice updates = object_text(either(a->payload, "updates", "updates_json"));

    if (id.n == 0)
        return "payload.primaryId: expected a string or a number";
    if (!updates.p)
        return "payload.updates: expected an object, or its JSON text";
    hg_sqlrpc_put_update_single(out, a->call, pk_column(a), id, updates);
    return NULL;
}

static const struct {
    enum hg_sqlrpc_method method;
    const char *(*put)(const struct args *a, struct hg_buf *out);
} methods[] = {
    {HG_SQLRPC_UPDATE_SINGLE, update_single},
};

static const char *build(const struct args *a, struct hg_slice method, struct hg_buf *out)
{
    int m = hg_sqlrpc_method_find(method);

    if (m < 0)
        return "Unknown RPC method: ";
    if (a->call->table.n == 0)
        return "table: expected a string of at least 1 character";
    for (unsigned i = 0; i < HG_COUNTOF(methods); i++)
        if ((int)methods[i].method == m)
            return methods[i].put(a, out);
    return "RPC method not supported by this version: ";
}

static struct hg_slice table_of(const struct hg_op_rpc *o, struct hg_json_val payload)
{
    struct hg_slice s;

    if (o->table.n)
        return o->table;
    s = hg_json_text(hg_json_get(payload, "tableName"));
    return s.n ? s : hg_json_text(hg_json_get(payload, "table"));
}

/* Why this call may not be made now, or NULL. */
static const char *refusal(struct hg_worker *w, const struct hg_conn *c, const struct hg_op_rpc *o)
{
    if (o->company.n && !hg_slice_eq(o->company, hg_atom_text(c->s.tenant))) /* B-30 */
        return "forbidden: companyId is not the tenant of this connection";
    if (c->s.ncalls >= w->conf->max_calls)
        return "too many calls in flight";
    if (!hg_kafka_replies_ready(w->kafka))
        return hg_err_row(HG_E_RPC_UNAVAILABLE)->wire;
    return NULL;
}

static void call(struct hg_worker *w, struct hg_conn *c, const struct hg_op_rpc *o,
                 struct hg_json_val payload)
{
    struct hg_buf request = {0}, text = {0};
    struct hg_rpc_call *rc = hg_rpc_new(&w->rpcs, on_done, w, NULL, 0);
    struct args a = {&rc->spec, payload};
    const char *why;

    rc->spec.company = hg_atom_text(c->s.tenant);
    rc->spec.table = table_of(o, payload);
    why = build(&a, o->method, &request);
    if (why) {
        hg_buf_adds(&text, why);
        if (why[strlen(why) - 1] == ' ')
            hg_buf_add_slice(&text, o->method);
        reply_error(w, c, o->method, o->correlation_id, hg_buf_slice(&text));
        hg_rpc_drop(rc);
    } else {
        rc->arg = pending_new(c, o);
        c->s.ncalls++;
        hg_rpc_send(&w->rpcs, rc, hg_buf_slice(&request));
    }
    hg_buf_fini(&text);
    hg_buf_fini(&request);
}

void hg_op_do_rpc(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op)
{
    const struct hg_op_rpc *o = &op->rpc;
    const char *why = refusal(w, c, o);
    struct hg_json payload = {0};

    if (why) {
        reply_error(w, c, o->method, o->correlation_id, hg_slice_str(why));
        return;
    }
    if (o->payload.p && hg_json_parse(o->payload, NULL, &payload) < 0)
        reply_error(w, c, o->method, o->correlation_id,
                    HG_SLICE_LIT("payload: nested too deep or too large"));
    else
        call(w, c, o, hg_json_root(&payload));
    hg_json_fini(&payload);
}
