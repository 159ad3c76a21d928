/*
 * The typed channel and the channels beside the ops: which types are known, frames, docs. Never
 * does I/O or logs.
 *
 *   if (hg_typed_find(op.type) != HG_TYPED_NONE) ...     before any op, also if the message has one
 */
#ifndef HG_PROTO_TYPED_H
#define HG_PROTO_TYPED_H

#include "common/base/buf.h"
#include "proto/json.h"

enum hg_typed_kind {
    HG_TYPED_NONE,
#define HG_TYPED(type, reply, doc) HG_TYPED_##type,
#include "proto/typed.def"
#undef HG_TYPED
    HG_TYPED_KINDS
};

enum hg_typed_kind hg_typed_find(struct hg_slice type);
void hg_typed_docs(struct hg_buf *out); /* part of docs/OPS.md */
void hg_typed_json(struct hg_buf *out); /* the types, as an array */

/* {"type":"event","channel":C,"data":{...,"timestamp":MS}}; data is an object. A timestamp it has
 * already stays. */
void hg_typed_put_event(struct hg_buf *out, struct hg_slice channel, struct hg_json_val data,
                        int64_t timestamp_ms);
/* {"status":S,"channel":C} */
void hg_typed_put_channel(struct hg_buf *out, const char *status, struct hg_slice channel);

#endif
