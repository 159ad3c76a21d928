#include "worker/dispatch.h"

#include "common/base/err.h"
#include "worker/channels.h"
#include "worker/dialect.h"
#include "worker/typed.h"

static const hg_op_handler handlers[HG_OP_COUNT] = {
#define HG_OP_BEGIN(op, reply, doc) [HG_OP_##op] = hg_op_do_##op,
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)
#define HG_OP_END(op)
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END
};

void hg_dispatch_error(struct hg_worker *w, struct hg_conn *c, int err, struct hg_slice hash_id,
                       struct hg_slice detail)
{
    HG_ERR_INC(w->m, err);
    hg_buf_reset(&w->text);
    hg_op_put_error(&w->text, err, hash_id, detail);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

bool hg_dispatch_strict(const struct hg_worker *w, const struct hg_conn *c)
{
    if (w->conf->query_mode == HG_QUERY_AUTO)
        return !hg_dialect(c->s.dialect)->lenient;
    return w->conf->query_mode == HG_QUERY_STRICT;
}

/* The two shapes of the sources (spec 2, C-3). */
static void bad_json(struct hg_worker *w, struct hg_conn *c)
{
    if (!hg_dialect(c->s.dialect)->typed_errors) {
        hg_dispatch_error(w, c, -HG_E_BAD_JSON, HG_SLICE_NONE, HG_SLICE_NONE);
        return;
    }
    HG_ERR_INC(w->m, HG_E_BAD_JSON);
    hg_buf_reset(&w->text);
    hg_op_put_typed(&w->text, "error", HG_SLICE_LIT("{\"message\":\"Invalid JSON message\"}"),
                    hg_wall_ms());
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

static void echo(struct hg_worker *w, struct hg_conn *c, bool binary, struct hg_slice data)
{
    struct hg_span s = hg_frame_build(&w->frames, &w->conns.arena,
                                      binary ? HG_WS_OP_BINARY : HG_WS_OP_TEXT, &data, 1);

    hg_conn_send(&w->conns, c, s);
    hg_span_unref(&w->frames, &s);
}

/* Typed and channel messages: a known type counts even beside an op, a channel message only without
 * one (spec 2). */
static bool before_ops(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op)
{
    return op->type.p && (hg_typed_message(w, c, op) || hg_channels_message(w, c, op));
}

/* v1 and v2 knew no calls, and only queries in base64: what they did not know was an unknown
 * message (spec 2, 3.2). */
static const char *unknown_to_dialect(const struct hg_conn *c, const struct hg_op *op)
{
    if (hg_dialect(c->s.dialect)->v3)
        return NULL;
    if (op->kind == HG_OP_rpc)
        return "op: rpc is unknown in this profile";
    if (op->kind == HG_OP_subscribe && !op->subscribe.query_fb.p)
        return "queryFbB64: expected a string of at least 1 character";
    return NULL;
}

static void op_or_error(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op, int rc)
{
    const char *why = rc == 0 ? unknown_to_dialect(c, op) : NULL;

    if (why)
        hg_dispatch_error(w, c, -HG_E_BAD_OP, op->hash_id, hg_slice_str(why));
    else if (rc == 0)
        handlers[op->kind](w, c, op);
    else
        hg_dispatch_error(w, c, -HG_E_BAD_OP, op->hash_id,
                          hg_slice_str(op->detail[0] ? op->detail : NULL));
}

void hg_dispatch_message(struct hg_worker *w, struct hg_conn *c, bool binary, struct hg_slice data)
{
    struct hg_op op;
    int rc;

    if (c->echo) {
        echo(w, c, binary, data);
        return;
    }
    if (binary) /* spec 2: ignored silently */
        return;
    rc = hg_op_decode(data, &op);
    if (op.only_v3 && !hg_dialect(c->s.dialect)->v3)
        rc = 0;
    if (rc == -HG_E_BAD_JSON)
        bad_json(w, c);
    else if (!before_ops(w, c, &op))
        op_or_error(w, c, &op, rc);
    hg_op_fini(&op);
}
