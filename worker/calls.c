#include "worker/calls.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/op.h"
#include "worker/core.h"

/* Calls in flight of one tenant, kept while there are any. */
struct hg_tenant_calls {
    struct hg_map_node node; /* key: the tenant's name, borrowed from the atom */
    const struct hg_atom *tenant;
    uint32_t n;
};

struct hg_client_call {
    LIST_ENTRY(hg_client_call) of_conn;
    struct hg_conn *c; /* NULL when the client has gone */
    struct hg_rpc_call *rpc;
    struct hg_tenant_calls *tenant;
    struct hg_slice method, correlation_id;
    char bytes[];
};

/* ---- tenants ---- */

static struct hg_tenant_calls *tenant_find(struct hg_worker *w, const struct hg_atom *tenant)
{
    struct hg_map_node *node = hg_map_get(&w->tenant_calls, hg_atom_text(tenant));

    return node ? HG_CONTAINER_OF(node, struct hg_tenant_calls, node) : NULL;
}

static uint32_t tenant_count(struct hg_worker *w, const struct hg_atom *tenant)
{
    const struct hg_tenant_calls *t = tenant_find(w, tenant);

    return t ? t->n : 0;
}

static struct hg_tenant_calls *tenant_enter(struct hg_worker *w, const struct hg_atom *tenant)
{
    struct hg_tenant_calls *t = tenant_find(w, tenant);

    if (!t) {
        t = hg_calloc(1, sizeof *t);
        t->tenant = hg_atom_get(hg_atom_text(tenant));
        t->node.key = hg_atom_text(t->tenant);
        hg_map_put(&w->tenant_calls, &t->node);
    }
    t->n++;
    return t;
}

static void tenant_leave(struct hg_worker *w, struct hg_tenant_calls *t)
{
    if (--t->n > 0)
        return;
    hg_map_del(&w->tenant_calls, &t->node);
    hg_atom_put(t->tenant);
    free(t);
}

/* ---- answers ---- */

void hg_calls_error(struct hg_worker *w, struct hg_conn *c, struct hg_slice method,
                    struct hg_slice correlation_id, struct hg_slice text)
{
    hg_buf_reset(&w->text);
    hg_op_put_rpc_error(&w->text, method, correlation_id, text);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

/* Large answers were asked for and are not under out_hard: ten at once make nobody a slow
 * consumer. */
static void send_large(struct hg_worker *w, struct hg_conn *c, struct hg_slice text)
{
    struct hg_arena arena = {.gated = true};
    struct hg_span s = hg_frame_build(&w->frames, &arena, HG_WS_OP_TEXT, &text, 1);

    hg_conn_send(&w->conns, c, s);
    hg_span_unref(&w->frames, &s);
    hg_arena_fini(&w->frames, &arena);
}

static void send_data(struct hg_worker *w, struct hg_conn *c, const struct hg_client_call *call,
                      const struct hg_sqlrpc_reply *reply)
{
    hg_buf_reset(&w->text);
    hg_op_put_rpc_ok_head(&w->text, call->method, call->correlation_id);
    hg_sqlrpc_put_data(&w->text, reply);
    hg_op_put_rpc_ok_tail(&w->text);
    if (w->text.n <= HG_FRAME_BIG) {
        hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
    } else if (w->text.n <= (size_t)w->conf->max_snapshot &&
               hg_conn_can_take_big(&w->conns, c, w->text.n)) {
        send_large(w, c, hg_buf_slice(&w->text));
    } else {
        HG_ERR_INC(w->m, HG_E_TOO_BIG);
        hg_calls_error(w, c, call->method, call->correlation_id, HG_SLICE_LIT("too large"));
    }
}

static void part(struct hg_client_call *call)
{
    HG_BUG_ON(!call->c);
    LIST_REMOVE(call, of_conn);
    call->c->s.ncalls--;
    call->c = NULL;
}

static void on_done(void *ctx, void *arg, uint64_t arg2, const struct hg_rpc_result *r)
{
    struct hg_worker *w = ctx;
    struct hg_client_call *call = arg;
    struct hg_conn *c = call->c;

    (void)arg2;
    tenant_leave(w, call->tenant);
    if (c) {
        part(call); /* before the send: a slow consumer's connection ends in it */
        if (r->err < 0)
            hg_calls_error(w, c, call->method, call->correlation_id, r->text);
        else
            send_data(w, c, call, r->reply);
    }
    free(call);
}

/* ---- calls ---- */

const char *hg_calls_refusal(struct hg_worker *w, const struct hg_conn *c)
{
    if (c->s.ncalls >= w->conf->max_calls)
        return "too many calls in flight";
    if (tenant_count(w, c->s.tenant) >= w->conf->max_calls_tenant)
        return "too many calls in flight of this tenant";
    if (!hg_kafka_is_up(w->kafka) || !hg_kafka_replies_ready(w->kafka))
        return hg_err_row(HG_E_RPC_UNAVAILABLE)->wire;
    return NULL;
}

struct hg_rpc_call *hg_calls_new(struct hg_worker *w)
{
    return hg_rpc_new(&w->rpcs, on_done, w, NULL, 0);
}

static struct hg_client_call *call_new(struct hg_slice method, struct hg_slice correlation_id)
{
    struct hg_client_call *call = hg_calloc(1, sizeof *call + method.n + correlation_id.n + 1);

    memcpy(call->bytes, method.p, method.n);
    call->method = hg_slice_of(call->bytes, method.n);
    if (correlation_id.p) { /* an empty one is one */
        call->correlation_id = hg_slice_of(call->bytes + method.n, correlation_id.n);
        memcpy(call->bytes + method.n, correlation_id.p, correlation_id.n);
    }
    return call;
}

void hg_calls_send(struct hg_worker *w, struct hg_conn *c, struct hg_rpc_call *rpc,
                   struct hg_slice method, struct hg_slice correlation_id, struct hg_slice request)
{
    struct hg_client_call *call = call_new(method, correlation_id);

    call->c = c;
    call->rpc = rpc;
    call->tenant = tenant_enter(w, c->s.tenant);
    LIST_INSERT_HEAD(&c->s.calls, call, of_conn);
    c->s.ncalls++;
    rpc->arg = call;
    hg_rpc_send(&w->rpcs, rpc, request);
}

void hg_calls_shutdown(struct hg_worker *w, struct hg_conn *c)
{
    struct hg_client_call *call;

    while ((call = LIST_FIRST(&c->s.calls)))
        hg_rpc_end(&w->rpcs, call->rpc, -HG_E_RPC_SHUTDOWN);
}

void hg_calls_gone(struct hg_conn *c)
{
    struct hg_client_call *call;

    while ((call = LIST_FIRST(&c->s.calls)))
        part(call);
}
