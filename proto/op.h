/*
 * The op protocol: client messages decoded by the rows of op.def, server frames written. Never does
 * I/O or logs.
 *
 *   struct hg_op op;
 *   int rc = hg_op_decode(text, &op);      text must outlive op: its slices borrow from text and
 * from op's document if (op.type.p) ...                     typed channel, also when rc is
 * -HG_E_BAD_OP (spec 2: a known type comes first) rc == 0: switch (op.kind) ...
 * op.subscribe.hash_id rc == -HG_E_BAD_OP: hg_op_put_error(out, rc, hash id or none,
 * hg_slice_str(op.detail)) hg_op_fini(&op);                       after every decode
 *
 * 1. Unknown fields are ignored; a known field of a wrong type is -HG_E_BAD_OP with op.detail
 *    "<field>: expected ...".
 * 2. An absent slice has p == NULL. A field given as null counts as given with a wrong type.
 * 3. Writers append one whole JSON text, fields in the order of the spec.
 */
#ifndef HG_PROTO_OP_H
#define HG_PROTO_OP_H

#include "common/base/lsn.h"
#include "proto/json.h"

enum hg_op_kind {
    HG_OP_NONE,
#define HG_OP_BEGIN(op, reply, doc) HG_OP_##op,
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)
#define HG_OP_END(op)
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END
    HG_OP_COUNT
};

struct hg_op_count {
    uint64_t v;
    bool given;
};

enum { HG_OP_MAX_IDS = 256 }; /* of an IDS field */
struct hg_op_ids {            /* read with hg_op_id */
    size_t n;
    struct hg_json_val list;
};

/* CHOICE fields: position in the row's words, from 1; 0 = absent. */
enum { HG_OP_RESUME_DELTA = 1 };
enum { HG_OP_FRAME_RAW = 1, HG_OP_FRAME_TAGGED = 2 };

#define HG_OP_C_NAME struct hg_slice
#define HG_OP_C_TEXT struct hg_slice
#define HG_OP_C_B64 struct hg_slice
#define HG_OP_C_RAW struct hg_slice
#define HG_OP_C_COUNT struct hg_op_count
#define HG_OP_C_FLAG bool
#define HG_OP_C_CHOICE unsigned
#define HG_OP_C_IDS struct hg_op_ids

#define HG_OP_BEGIN(op, reply, doc) struct hg_op_##op {
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc) HG_OP_C_##type field;
#define HG_OP_END(op)                                                                              \
    }                                                                                              \
    ;
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END

#define HG_OP_DETAIL_MAX 160

struct hg_op {
    enum hg_op_kind kind;
    struct hg_slice hash_id; /* of subscribe and unsubscribe, also when another field is wrong; for
                                the error frame */
    struct hg_slice type;    /* string member "type", p == NULL without */
    struct hg_slice data;    /* raw member "data", for typed messages */
    struct hg_slice channel; /* string member "channel", likewise */
    union {
#define HG_OP_BEGIN(op, reply, doc) struct hg_op_##op op;
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)
#define HG_OP_END(op)
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END
    };
    char detail[HG_OP_DETAIL_MAX]; /* "" or what was wrong */
    bool only_v3;                  /* only what v1 and v2 do not know is wrong; it is left out */
    struct hg_json doc;            /* the whole message, for dialects */
};

/* 0, -HG_E_BAD_JSON, or -HG_E_BAD_OP (also for null, arrays, numbers, too deep, too many
 * values). */
int hg_op_decode(struct hg_slice text, struct hg_op *op) HG_MUST_CHECK;
void hg_op_fini(struct hg_op *op);
struct hg_slice hg_op_id(const struct hg_op_ids *ids,
                         size_t i); /* i below ids->n; the list is walked: keep i rising */
const char *hg_op_name(enum hg_op_kind kind); /* "subscribe" */
/* docs/OPS.md */
void hg_op_docs(struct hg_buf *out);
/* The rows of op.def and the types of typed.def for programs:
 * {"ops":[{"op","fields":[{"name","type","words","expected","required"}]}], "typed":[...]} */
void hg_op_json(struct hg_buf *out);

/* ---- server frames ---- */

void hg_op_put_pong(struct hg_buf *out);
/* sub: the stream's id for tagged frames, 0 = not asked for; from: resume cursor or none */
void hg_op_put_ack(struct hg_buf *out, struct hg_slice hash_id, uint32_t sub, struct hg_slice from);
/* Message on the wire for an error: the sources' words ("unknown message", "invalid JSON",
 * "reset-to-snapshot"), else the row's text. */
const char *hg_op_error_message(int err);
/* code and message from err; hash_id and detail may be none. */
void hg_op_put_error(struct hg_buf *out, int err, struct hg_slice hash_id, struct hg_slice detail);
/* The same with a message of the caller's ("snapshot_failed" carries the worker's own text). */
void hg_op_put_error_text(struct hg_buf *out, const char *code, struct hg_slice message,
                          struct hg_slice hash_id, struct hg_slice detail);

struct hg_op_snapshot {
    struct hg_slice hash_id;
    struct hg_lsn lsn; /* the fence */
    struct hg_slice
        cursor; /* further cursor fields as JSON members ("\"a\":1,\"b\":2"), no "lsn"; or none */
    struct hg_slice from;   /* resume cursor, or none */
    struct hg_slice reason; /* "reset", "unavailable", or none */
};
/* Up to and with "rows":[ ; then the rows, comma-separated; then the tail. */
void hg_op_put_snapshot_head(struct hg_buf *out, const struct hg_op_snapshot *s);
void hg_op_put_snapshot_tail(struct hg_buf *out);

/* A page seed (spec 13.1), which goes to Kafka: the snapshot's rows and cursor for whoever builds
 * pages. Up to and with "rows":[ ; then rows and the snapshot's tail. */
struct hg_op_seed {
    struct hg_slice company, table, hash_id;
    struct hg_slice cursor; /* as in hg_op_snapshot */
    struct hg_lsn lsn;
};
void hg_op_put_seed_head(struct hg_buf *out, const struct hg_op_seed *s);

/* pks: a JSON array of strings. */
void hg_op_put_range_index(struct hg_buf *out, struct hg_slice hash_id, struct hg_slice pks);
void hg_op_put_diffb64(struct hg_buf *out, struct hg_slice hash_id, struct hg_slice payload);

enum hg_op_row_shape { HG_OP_ROW_NESTED, HG_OP_ROW_FLAT, HG_OP_ROW_BOTH }; /* spec C-5 */
struct hg_rowevent;
void hg_op_put_row_event(struct hg_buf *out, enum hg_op_row_shape shape,
                         const struct hg_rowevent *ev, uint64_t version);

/* correlation_id none: left out. The first writes up to `"data":`; the caller adds one JSON value
 * and hg_op_put_rpc_ok_tail. */
void hg_op_put_rpc_ok_head(struct hg_buf *out, struct hg_slice method,
                           struct hg_slice correlation_id);
void hg_op_put_rpc_ok_tail(struct hg_buf *out);
void hg_op_put_rpc_error(struct hg_buf *out, struct hg_slice method, struct hg_slice correlation_id,
                         struct hg_slice text);

void hg_op_put_joined(struct hg_buf *out, struct hg_slice room);
void hg_op_put_left(struct hg_buf *out, struct hg_slice room);

/* {"type":T,"data":D,"timestamp":MS}; data_json is JSON text, none leaves the key out. */
void hg_op_put_typed(struct hg_buf *out, const char *type, struct hg_slice data_json,
                     int64_t timestamp_ms);

/* Head of a tagged binary frame (spec 8 [P] 9). */
#define HG_OP_TAG_SIZE 24
void hg_op_tag(unsigned char out[HG_OP_TAG_SIZE], uint32_t sub, struct hg_lsn lsn, uint64_t offset);

#endif
