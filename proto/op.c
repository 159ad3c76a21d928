#include "proto/op.h"

#include <stdio.h>
#include "common/base/err.h"
#include "common/base/num.h"
#include "proto/base64.h"
#include "proto/typed.h"

/* ---- the rows ---- */

enum type { T_NONE, T_NAME, T_TEXT, T_B64, T_COUNT, T_FLAG, T_CHOICE, T_RAW, T_IDS };
enum need { NEED_OPT, NEED_REQ, NEED_V3 };

struct field {
    enum type type;
    enum need need;
    size_t at; /* in struct hg_op */
    const char *json, *arg, *expected, *doc;
};

#define HG_OP_BEGIN(op, reply, doc) static const struct field fields_##op[] = {
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)                               \
    {T_##type, NEED_##need, offsetof(struct hg_op, op.field), json, arg, expected, doc},
#define HG_OP_END(op)                                                                              \
    {                                                                                              \
        .type = T_NONE                                                                             \
    }                                                                                              \
    }                                                                                              \
    ;
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END

static const struct row {
    const char *name, *reply, *doc;
    const struct field *fields;
} rows[HG_OP_COUNT] = {
#define HG_OP_BEGIN(op, reply, doc) [HG_OP_##op] = {#op, reply, doc, fields_##op},
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)
#define HG_OP_END(op)
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END
};

const char *hg_op_name(enum hg_op_kind kind)
{
    return kind > HG_OP_NONE && kind < HG_OP_COUNT ? rows[kind].name : "";
}

/* ---- decoding ---- */

static bool read_name(struct hg_json_val v, struct hg_slice *out)
{
    *out = hg_json_text(v);
    return out->n > 0;
}

static bool read_text(struct hg_json_val v, struct hg_slice *out)
{
    *out = hg_json_text(v);
    return out->p != NULL;
}

static bool read_b64(struct hg_json_val v, struct hg_slice *out)
{
    return read_text(v, out) && hg_b64_is_clean(*out);
}

static bool read_count(struct hg_json_val v, struct hg_op_count *out)
{
    const char *why;
    struct hg_slice text = hg_json_text(v);
    out->given = text.p ? hg_num_u64(text, &out->v, &why) == 0 : hg_json_u64(v, &out->v);
    return out->given;
}

static bool read_flag(struct hg_json_val v, bool *out)
{
    *out = hg_json_is_true(v);
    return hg_json_type(v) == HG_JSON_BOOL;
}

/* Which of the words in "a|b|c" is it, from 1? */
static bool read_choice(struct hg_json_val v, const char *words, unsigned *out)
{
    struct hg_slice text = hg_json_text(v);
    unsigned at = 1;
    for (const char *p = words; text.p; at++) {
        const char *end = strchrnul(p, '|');
        if (hg_slice_eq(text, hg_slice_of(p, (size_t)(end - p)))) {
            *out = at;
            return true;
        }
        if (!*end)
            break;
        p = end + 1;
    }
    return false;
}

static bool read_ids(struct hg_json_val v, struct hg_op_ids *out)
{
    out->list = v;
    out->n = 1;
    if (hg_json_type(v) != HG_JSON_ARRAY)
        return hg_json_text(v).n > 0;
    out->n = 0;
    for (struct hg_json_val id = hg_json_first(v); id.node; id = hg_json_next(id), out->n++)
        if (hg_json_text(id).n == 0 || out->n == HG_OP_MAX_IDS)
            return false;
    return true;
}

static bool read_field(struct hg_json_val v, const struct field *f, void *to)
{
    switch (f->type) {
    case T_NAME:
        return read_name(v, to);
    case T_TEXT:
        return read_text(v, to);
    case T_B64:
        return read_b64(v, to);
    case T_COUNT:
        return read_count(v, to);
    case T_FLAG:
        return read_flag(v, to);
    case T_CHOICE:
        return read_choice(v, f->arg, to);
    case T_IDS:
        return read_ids(v, to);
    case T_RAW:
        *(struct hg_slice *)to = hg_json_raw(v);
        return true;
    case T_NONE:
        break;
    }
    return false;
}

static int refuse(struct hg_op *op, const char *field, const char *expected)
{
    snprintf(op->detail, sizeof(op->detail), "%s: expected %s", field, expected);
    return -HG_E_BAD_OP;
}

static int read_fields(struct hg_op *op, struct hg_json_val msg, const struct field *f)
{
    for (; f->type != T_NONE; f++) {
        struct hg_json_val v = hg_json_get(msg, f->json);
        if (v.node ? read_field(v, f, (char *)op + f->at) : f->need != NEED_REQ)
            continue;
        refuse(op, f->json, f->expected);
        if (f->need != NEED_V3)
            return -HG_E_BAD_OP;
        *(struct hg_slice *)((char *)op + f->at) = HG_SLICE_NONE;
        op->only_v3 = true;
    }
    return 0;
}

static int check_message(struct hg_op *op, struct hg_slice text, struct hg_slice b64)
{
    if (!text.p && !b64.p)
        return refuse(op, "text", "this or b64");
    return text.p && b64.p ? refuse(op, "b64", "no b64 together with text") : 0;
}

/* Rules between fields. */
static int check_op(struct hg_op *op)
{
    if (op->kind == HG_OP_subscribe && !op->subscribe.query_fb.p && !op->subscribe.query_json.p)
        return refuse(op, "queryFbB64", "this or queryJson");
    if (op->kind == HG_OP_publish && op->publish.room.p && op->publish.path.p)
        return refuse(op, "path", "no path together with a room");
    if (op->kind == HG_OP_publish)
        return check_message(op, op->publish.text, op->publish.b64);
    return op->kind == HG_OP_sendTo ? check_message(op, op->sendTo.text, op->sendTo.b64) : 0;
}

static const char *op_list(void)
{
#define HG_OP_BEGIN(op, reply, doc) ", " #op
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)
#define HG_OP_END(op)
    static const char list[] = ""
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END
        ;
    return list + strlen(", ");
}

static int find_op(struct hg_op *op, struct hg_json_val msg)
{
    struct hg_slice name;
    if (!hg_json_str(msg, "op", &name))
        return refuse(op, "op", "a string");
    for (int k = HG_OP_NONE + 1; k < HG_OP_COUNT; k++) {
        if (hg_slice_is(name, rows[k].name)) {
            op->kind = (enum hg_op_kind)k;
            return 0;
        }
    }
    snprintf(op->detail, sizeof(op->detail), "op: expected one of %s", op_list());
    return -HG_E_BAD_OP;
}

static int refuse_text(struct hg_op *op, int rc)
{
    const char *most = hg_json_of_rows_most(rc);

    return most ? refuse(op, "message", most) : rc;
}

int hg_op_decode(struct hg_slice text, struct hg_op *op)
{
    static const char usual_ping[] =
        "{\"op\":\"ping\"}"; /* what every client sends; the parse is saved */
    memset(op, 0, sizeof(*op));
    if (hg_slice_is(text, usual_ping)) {
        op->kind = HG_OP_ping;
        return 0;
    }
    int rc = hg_json_parse(text, &hg_json_of_rows, &op->doc);
    if (rc < 0)
        return refuse_text(op, rc);
    struct hg_json_val msg = hg_json_root(&op->doc);
    if (hg_json_type(msg) != HG_JSON_OBJECT) /* null ended the sources' process: B-2 */
        return refuse(op, "message", "an object");
    op->type = hg_json_text(hg_json_get(msg, "type"));
    if (op->type.p) {
        op->data = hg_json_raw(hg_json_get(msg, "data"));
        op->channel = hg_json_text(hg_json_get(msg, "channel"));
    }
    op->hash_id = hg_json_text(hg_json_get(msg, "hashId"));
    rc = find_op(op, msg);
    if (rc == 0)
        rc = read_fields(op, msg, rows[op->kind].fields);
    if (rc == 0 && op->only_v3)
        return -HG_E_BAD_OP;
    op->only_v3 = false;
    return rc < 0 ? rc : check_op(op);
}

void hg_op_fini(struct hg_op *op)
{
    hg_json_fini(&op->doc);
}

struct hg_slice hg_op_id(const struct hg_op_ids *ids, size_t i)
{
    if (hg_json_type(ids->list) == HG_JSON_STRING)
        return hg_json_text(ids->list);
    struct hg_json_val id = hg_json_first(ids->list);
    while (i-- > 0)
        id = hg_json_next(id);
    return hg_json_text(id);
}

/* ---- docs/OPS.md ---- */

static const char *type_words(enum type type)
{
    static const char *const words[] = {[T_NONE] = "",
                                        [T_NAME] = "string, not empty",
                                        [T_TEXT] = "string",
                                        [T_B64] = "base64",
                                        [T_COUNT] = "integer or decimal string",
                                        [T_FLAG] = "boolean",
                                        [T_CHOICE] = "word",
                                        [T_RAW] = "any",
                                        [T_IDS] = "string or array of strings"};
    return words[type];
}

static void doc_fields(struct hg_buf *out, const struct field *f)
{
    hg_buf_adds(out, "\n| field | type | required | meaning |\n| --- | --- | --- | --- |\n");
    for (; f->type != T_NONE; f++)
        hg_buf_addf(out, "| `%s` | %s | %s | %s |\n", f->json, type_words(f->type),
                    f->need == NEED_REQ ? "yes" : "no", f->doc);
}

void hg_op_docs(struct hg_buf *out)
{
    hg_buf_adds(out, "# Operations\n\nWhat a client may send, as text frames of JSON: "
                     "`{\"op\":\"<name>\", ...}`. Unknown "
                     "fields are ignored. A message that\nfits no row is answered by "
                     "`{\"op\":\"error\",\"code\":\"bad_op\","
                     "\"message\":\"unknown message\",\"detail\":\"<field>: expected ...\"}`\nand "
                     "the connection stays. "
                     "Printed from proto/op.def.\n");
    for (int k = HG_OP_NONE + 1; k < HG_OP_COUNT; k++) {
        hg_buf_addf(out, "\n## %s\n\n%s\n\nReply: `%s`\n", rows[k].name, rows[k].doc,
                    rows[k].reply);
        if (rows[k].fields->type != T_NONE)
            doc_fields(out, rows[k].fields);
    }
    hg_typed_docs(out);
}

/* ---- --print=ops-json ---- */

static const char *const type_names[] = {
    [T_NONE] = "NONE",     [T_NAME] = "NAME",   [T_TEXT] = "TEXT",
    [T_B64] = "B64",       [T_COUNT] = "COUNT", [T_FLAG] = "FLAG",
    [T_CHOICE] = "CHOICE", [T_RAW] = "RAW",     [T_IDS] = "IDS"};

static void json_member(struct hg_buf *out, const char *key, const char *text)
{
    hg_buf_addf(out, "\"%s\":", key);
    hg_json_add_str(out, hg_slice_str(text));
    hg_buf_addc(out, ',');
}

static void json_fields(struct hg_buf *out, const struct field *first)
{
    for (const struct field *f = first; f->type != T_NONE; f++) {
        hg_buf_adds(out, f == first ? "{" : ",{");
        json_member(out, "name", f->json);
        json_member(out, "type", type_names[f->type]);
        json_member(out, "words", f->arg);
        json_member(out, "expected", f->expected);
        hg_buf_addf(out, "\"required\":%s}", f->need == NEED_REQ ? "true" : "false");
    }
}

void hg_op_json(struct hg_buf *out)
{
    hg_buf_adds(out, "{\"ops\":[");
    for (int k = HG_OP_NONE + 1; k < HG_OP_COUNT; k++) {
        hg_buf_adds(out, k == HG_OP_NONE + 1 ? "\n{" : ",\n{");
        json_member(out, "op", rows[k].name);
        hg_buf_adds(out, "\"fields\":[");
        json_fields(out, rows[k].fields);
        hg_buf_adds(out, "]}");
    }
    hg_buf_adds(out, "],\n\"typed\":");
    hg_typed_json(out);
    hg_buf_adds(out, "}\n");
}
