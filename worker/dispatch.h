/*
 * Client messages to operations: decodes, checks who may, calls the parts, answers. One handler per
 * row of op.def (op_<name>), so that an op without a handler does not link. Owns nothing.
 */
#ifndef HG_WORKER_DISPATCH_H
#define HG_WORKER_DISPATCH_H

#include "proto/op.h"
#include "worker/core.h"

void hg_dispatch_message(struct hg_worker *w, struct hg_conn *c, bool binary, struct hg_slice data);
/* Sends an error frame. */
void hg_dispatch_error(struct hg_worker *w, struct hg_conn *c, int err, struct hg_slice hash_id,
                       struct hg_slice detail);

/* Are queries of this connection judged strictly: query_mode, and with auto its profile. */
bool hg_dispatch_strict(const struct hg_worker *w, const struct hg_conn *c);

typedef void (*hg_op_handler)(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op);
#define HG_OP_BEGIN(op, reply, doc)                                                                \
    void hg_op_do_##op(struct hg_worker *w, struct hg_conn *c, const struct hg_op *o);
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)
#define HG_OP_END(op)
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END

#endif
