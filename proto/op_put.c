/* Server frames of the op protocol: the second half of op.h. */
#include "proto/op.h"

#include <inttypes.h>
#include "common/base/err.h"
#include "common/base/num.h"
#include "proto/base64.h"
#include "proto/rowevent.h"

/* ,"key":"value" unless value is none */
static void add_member(struct hg_buf *out, const char *key, struct hg_slice value)
{
    if (!value.p)
        return;
    hg_buf_addf(out, ",\"%s\":", key);
    hg_json_add_str(out, value);
}

static void add_raw_member(struct hg_buf *out, const char *key, struct hg_slice json)
{
    if (!json.p)
        return;
    hg_buf_addf(out, ",\"%s\":", key);
    hg_buf_add_slice(out, json);
}

static void add_u64(struct hg_buf *out, uint64_t v)
{
    char digits[21];
    unsigned n = hg_num_u64_text(v, digits);
    hg_buf_add(out, digits, n);
}

static void begin(struct hg_buf *out, const char *op)
{
    hg_buf_addf(out, "{\"op\":\"%s\"", op);
}

void hg_op_put_pong(struct hg_buf *out)
{
    hg_buf_adds(out, "{\"op\":\"pong\"}");
}

void hg_op_put_ack(struct hg_buf *out, struct hg_slice hash_id, uint32_t sub, struct hg_slice from)
{
    begin(out, "ack");
    add_member(out, "hashId", hash_id);
    if (sub)
        hg_buf_addf(out, ",\"sub\":%" PRIu32, sub);
    add_member(out, "from", from);
    hg_buf_addc(out, '}');
}

const char *hg_op_error_message(int err)
{
    switch (err < 0 ? -err : err) {
    case HG_E_BAD_JSON:
        return "invalid JSON";
    case HG_E_BAD_OP:
        return "unknown message";
    case HG_E_OVERFLOW:
        return "reset-to-snapshot";
    default:
        return hg_err_row(err)->text;
    }
}

void hg_op_put_error_text(struct hg_buf *out, const char *code, struct hg_slice message,
                          struct hg_slice hash_id, struct hg_slice detail)
{
    begin(out, "error");
    add_member(out, "code", hg_slice_str(code));
    add_member(out, "message", message.p ? message : HG_SLICE_LIT(""));
    add_member(out, "hashId", hash_id);
    add_member(out, "detail", detail);
    hg_buf_addc(out, '}');
}

void hg_op_put_error(struct hg_buf *out, int err, struct hg_slice hash_id, struct hg_slice detail)
{
    hg_op_put_error_text(out, hg_err_row(err)->wire, hg_slice_str(hg_op_error_message(err)),
                         hash_id, detail);
}

/* "cursor":{...}: the fence comes last, a column of the worker's cannot overwrite it. */
static void add_cursor(struct hg_buf *out, struct hg_slice fields, struct hg_lsn lsn)
{
    hg_buf_adds(out, ",\"cursor\":{");
    if (fields.n > 0) {
        hg_buf_add_slice(out, fields);
        hg_buf_addc(out, ',');
    }
    hg_buf_adds(out, "\"lsn\":\"");
    add_u64(out, lsn.v);
    hg_buf_adds(out, "\"}");
}

/* version is always 0 (spec 3.2). */
void hg_op_put_snapshot_head(struct hg_buf *out, const struct hg_op_snapshot *s)
{
    begin(out, "snapshot");
    add_member(out, "hashId", s->hash_id);
    hg_buf_adds(out, ",\"version\":0");
    add_cursor(out, s->cursor, s->lsn);
    add_member(out, "from", s->from);
    add_member(out, "reason", s->reason);
    hg_buf_adds(out, ",\"rows\":[");
}

void hg_op_put_snapshot_tail(struct hg_buf *out)
{
    hg_buf_adds(out, "]}");
}

void hg_op_put_seed_head(struct hg_buf *out, const struct hg_op_seed *s)
{
    hg_buf_adds(out, "{\"companyId\":");
    hg_json_add_str(out, s->company);
    add_member(out, "table", s->table);
    add_member(out, "hashId", s->hash_id);
    add_cursor(out, s->cursor, s->lsn);
    hg_buf_adds(out, ",\"rows\":[");
}

void hg_op_put_range_index(struct hg_buf *out, struct hg_slice hash_id, struct hg_slice pks)
{
    begin(out, "rangeIndex");
    add_member(out, "hashId", hash_id);
    hg_buf_adds(out, ",\"pks\":");
    hg_buf_add_slice(out, pks);
    hg_buf_addc(out, '}');
}

void hg_op_put_diffb64(struct hg_buf *out, struct hg_slice hash_id, struct hg_slice payload)
{
    begin(out, "diffB64");
    add_member(out, "hashId", hash_id);
    hg_buf_adds(out, ",\"b64\":\"");
    hg_b64_add(out, payload);
    hg_buf_adds(out, "\"}");
}

static void add_flat_fields(struct hg_buf *out, const struct hg_rowevent *ev)
{
    add_raw_member(out, "lsn", ev->lsn);
    add_raw_member(out, "kind", ev->kind);
    add_raw_member(out, "pk", ev->pk);
    add_raw_member(out, "pos", ev->pos);
    add_raw_member(out, "from", ev->from);
    add_raw_member(out, "needFetch", ev->need_fetch);
    add_raw_member(out, "row", ev->row);
}

void hg_op_put_row_event(struct hg_buf *out, enum hg_op_row_shape shape,
                         const struct hg_rowevent *ev, uint64_t version)
{
    begin(out, "rowEvent");
    add_member(out, "hashId", ev->hash_id);
    if (shape != HG_OP_ROW_FLAT) {
        add_raw_member(out, "event", ev->raw);
        hg_buf_adds(out, ",\"version\":");
        add_u64(out, version);
    }
    if (shape != HG_OP_ROW_NESTED)
        add_flat_fields(out, ev);
    hg_buf_addc(out, '}');
}

static void begin_rpc(struct hg_buf *out, struct hg_slice method, struct hg_slice correlation_id)
{
    begin(out, "rpcResult");
    add_member(out, "method", method);
    add_member(out, "correlationId", correlation_id);
}

void hg_op_put_rpc_ok_head(struct hg_buf *out, struct hg_slice method,
                           struct hg_slice correlation_id)
{
    begin_rpc(out, method, correlation_id);
    hg_buf_adds(out, ",\"ok\":true,\"data\":");
}

void hg_op_put_rpc_ok_tail(struct hg_buf *out)
{
    hg_buf_addc(out, '}');
}

void hg_op_put_rpc_error(struct hg_buf *out, struct hg_slice method, struct hg_slice correlation_id,
                         struct hg_slice text)
{
    begin_rpc(out, method, correlation_id);
    hg_buf_adds(out, ",\"ok\":false");
    add_member(out, "error", text.p ? text : HG_SLICE_LIT(""));
    hg_buf_addc(out, '}');
}

static void put_room(struct hg_buf *out, const char *op, struct hg_slice room)
{
    begin(out, op);
    add_member(out, "room", room);
    hg_buf_addc(out, '}');
}

void hg_op_put_joined(struct hg_buf *out, struct hg_slice room)
{
    put_room(out, "joined", room);
}

void hg_op_put_left(struct hg_buf *out, struct hg_slice room)
{
    put_room(out, "left", room);
}

void hg_op_put_typed(struct hg_buf *out, const char *type, struct hg_slice data_json,
                     int64_t timestamp_ms)
{
    hg_buf_adds(out, "{\"type\":");
    hg_json_add_str(out, hg_slice_str(type));
    add_raw_member(out, "data", data_json);
    hg_buf_addf(out, ",\"timestamp\":%" PRId64 "}", timestamp_ms);
}

static void put_be(unsigned char *out, uint64_t v, unsigned bytes)
{
    while (bytes-- > 0) {
        out[bytes] = (unsigned char)v;
        v >>= 8;
    }
}

void hg_op_tag(unsigned char out[HG_OP_TAG_SIZE], uint32_t sub, struct hg_lsn lsn, uint64_t offset)
{
    memset(out, 0, 4);
    out[0] = 1; /* version; kind 0 is a diff, flags are 0 */
    put_be(out + 4, sub, 4);
    put_be(out + 8, lsn.v, 8);
    put_be(out + 16, offset, 8);
}
