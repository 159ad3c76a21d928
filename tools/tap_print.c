#include "tools/tap_print.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/base64.h"
#include "proto/json.h"
#include "proto/lsn_head.h"
#include "proto/publish.h"
#include "proto/request.h"
#include "proto/rowevent.h"
#include "proto/utf8.h"

const char *const hg_tap_kind_names[HG_TAP_KINDS + 1] = {"reply", "request", "control",  "seed",
                                                         "diff",  "row",     "envelope", NULL};

/* Does a word of the name ("sql.rpc.replies" has three) begin so? */
static bool has_word(const char *name, const char *begin)
{
    for (const char *p = name; (p = strstr(p, begin)); p++)
        if (p == name || !isalnum((unsigned char)p[-1]))
            return true;
    return false;
}

enum hg_tap_kind hg_tap_kind_of(const char *topic)
{
    static const struct {
        const char *part;
        enum hg_tap_kind kind;
    } parts[] = {{"response", HG_TAP_REPLY},     {"repl", HG_TAP_REPLY},
                 {"request", HG_TAP_REQUEST},    {"control", HG_TAP_CONTROL},
                 {"seed", HG_TAP_SEED},          {"envelope", HG_TAP_ENVELOPE},
                 {"broadcast", HG_TAP_ENVELOPE}, {"row", HG_TAP_ROW}};
    for (size_t i = 0; i < HG_COUNTOF(parts); i++)
        if (has_word(topic, parts[i].part))
            return parts[i].kind;
    return HG_TAP_DIFF;
}

/* ---- fields ---- */

enum { CUT_AT = 200 };

struct out {
    struct hg_buf *b;
    enum hg_tap_style style;
    bool full;
    bool begun;
};

static void name_of(struct out *o, const char *name)
{
    switch (o->style) {
    case HG_TAP_JSON:
        hg_buf_adds(o->b, o->begun ? "," : "{");
        hg_json_add_str(o->b, hg_slice_str(name));
        hg_buf_addc(o->b, ':');
        break;
    case HG_TAP_INDENT:
        hg_buf_addf(o->b, o->begun ? "  %-14s " : "%s ", name);
        break;
    case HG_TAP_LINE:
        hg_buf_addf(o->b, "%s%s=", o->begun ? " " : "", name);
        break;
    }
    o->begun = true;
}

static void end_field(struct out *o)
{
    if (o->style == HG_TAP_INDENT)
        hg_buf_addc(o->b, '\n');
}

/* Cut between characters; the rest is counted. */
static void add_cut(struct out *o, struct hg_slice s)
{
    size_t n = s.n;
    if (!o->full && o->style != HG_TAP_JSON && n > CUT_AT)
        for (n = CUT_AT; n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80; n--) {
        }
    hg_buf_add(o->b, s.p, n);
    if (n < s.n)
        hg_buf_addf(o->b, "...(%zu more)", s.n - n);
}

static bool is_word(struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isgraph((unsigned char)s.p[i]) || s.p[i] == '"')
            return false;
    return s.n > 0;
}

static void put_text(struct out *o, const char *name, struct hg_slice s)
{
    struct hg_buf quoted = {0};
    if (!s.p)
        return;
    name_of(o, name);
    if (o->style != HG_TAP_JSON && is_word(s)) {
        add_cut(o, s);
    } else {
        hg_json_add_str(&quoted, s);
        add_cut(o, hg_buf_slice(&quoted));
        hg_buf_fini(&quoted);
    }
    end_field(o);
}

static void put_str(struct out *o, const char *name, const char *s)
{
    put_text(o, name, hg_slice_str(s));
}

static void put_number(struct out *o, const char *name, long long v)
{
    name_of(o, name);
    hg_buf_addf(o->b, "%lld", v);
    end_field(o);
}

static void put_bool(struct out *o, const char *name, bool v)
{
    name_of(o, name);
    hg_buf_adds(o->b, v ? "true" : "false");
    end_field(o);
}

/* Text as a string even where it reads like JSON; bytes as base64. */
static void put_key(struct out *o, struct hg_slice s)
{
    struct hg_buf text = {0};
    if (!s.p || hg_utf8_valid(s.p, s.n)) {
        put_text(o, "key", s);
        return;
    }
    hg_b64_add(&text, s);
    put_text(o, "keyB64", hg_buf_slice(&text));
    hg_buf_fini(&text);
}

/* Line breaks of valid JSON stand between its tokens, where a blank is as good. */
static void put_json(struct out *o, const char *name, struct hg_slice s)
{
    size_t from;
    name_of(o, name);
    from = o->b->n;
    add_cut(o, s);
    for (size_t i = from; i < o->b->n; i++)
        if (o->b->p[i] == '\n' || o->b->p[i] == '\r')
            o->b->p[i] = ' ';
    end_field(o);
}

/* JSON as it is, on one line; other text quoted; bytes as base64. */
static void put_value(struct out *o, const char *name, struct hg_slice s)
{
    struct hg_buf text = {0};
    char other[40];
    if (!s.p)
        return;
    if (s.n > 0 && hg_json_is_valid(s)) {
        put_json(o, name, s);
    } else if (hg_utf8_valid(s.p, s.n)) {
        put_text(o, name, s);
    } else {
        hg_b64_add(&text, s);
        snprintf(other, sizeof other, "%sB64", name);
        put_text(o, other, hg_buf_slice(&text));
        hg_buf_fini(&text);
    }
}

static void put_error(struct out *o, const char *what)
{
    put_str(o, "error", what);
}

/* ---- what every record has ---- */

static void put_time(struct out *o, int64_t ms)
{
    char text[40];
    struct tm tm;
    time_t s = (time_t)(ms / 1000);
    if (ms < 0 || !gmtime_r(&s, &tm))
        return;
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(ms % 1000));
    put_str(o, "time", text);
}

static const struct hg_tap_header *find_header(const struct hg_tap_record *r, const char *name)
{
    for (size_t i = 0; i < r->nheaders; i++)
        if (!strcmp(r->headers[i].name, name))
            return &r->headers[i];
    return NULL;
}

/* Of a readable one. Eight bytes are text if they still are one behind a blank. */
static bool is_lsn_text(struct hg_slice value)
{
    char padded[9] = " ";
    struct hg_lsn unused;
    if (value.n != 8)
        return true;
    memcpy(padded + 1, value.p, 8);
    return hg_lsn_head_decode(hg_slice_of(padded, sizeof padded), &unused) == 0;
}

/* As text in JSON, so that no digit is lost to who reads doubles. */
static void put_lsn(struct out *o, const char *name, struct hg_slice value, bool text_only)
{
    struct hg_lsn lsn;
    struct hg_buf b = {0};
    char as[48];
    if ((text_only ? hg_lsn_text_decode(value, &lsn) : hg_lsn_head_decode(value, &lsn)) < 0) {
        hg_b64_add(&b, value);
        snprintf(as, sizeof as, "%sB64", name);
        put_text(o, as, hg_buf_slice(&b));
        hg_buf_fini(&b);
        snprintf(as, sizeof as, "%sError", name);
        put_str(o, as, "neither decimal text nor 8 bytes");
        return;
    }
    snprintf(as, sizeof as, "%llu", (unsigned long long)lsn.v);
    put_str(o, name, as);
    if (!text_only)
        put_str(o, "lsnAs", is_lsn_text(value) ? "text" : "binary");
}

static void put_headers(struct out *o, const struct hg_tap_record *r)
{
    const struct hg_tap_header *h;
    for (unsigned i = 0; hg_lsn_head_names[i]; i++) {
        h = find_header(r, hg_lsn_head_names[i]);
        if (h) {
            put_lsn(o, "lsn", h->value, false);
            break;
        }
    }
    h = find_header(r, HG_LSN_HEAD_SNAPSHOT);
    if (h)
        put_lsn(o, "snapshotLsn", h->value, true);
}

/* ---- kinds ---- */

static void put_reply(struct out *o, const struct hg_tap_record *r)
{
    static const char *const errors[] = {"NONE", "BAD_REQUEST", "INTERNAL"};
    static const char *const types[] = {"none",    "RowsJson", "RowJson",
                                        "BoolRes", "AggRes",   "RowsWithCursor"};
    struct hg_sqlrpc_reply reply;
    struct hg_buf data = {0};
    size_t bytes;
    int rc;
    if (hg_sqlrpc_reply_decode(r->value, &reply) < 0) {
        put_error(o, "not a ResponseEnvelope");
        hg_sqlrpc_reply_fini(&reply);
        return;
    }
    put_text(o, "corr", reply.correlation_id);
    put_bool(o, "ok", reply.ok);
    if (reply.error_code < HG_COUNTOF(errors))
        put_str(o, "errorCode", errors[reply.error_code]);
    else
        put_number(o, "errorCode", reply.error_code);
    put_text(o, "errorMessage", reply.error_message);
    put_str(o, "dataType", types[reply.kind]);
    if (reply.kind == HG_SQLRPC_ROWS || reply.kind == HG_SQLRPC_ROWS_CURSOR)
        put_number(o, "rows", reply.nrows);
    if ((rc = hg_sqlrpc_rows_check(&reply, &bytes)) < 0) {
        put_error(o, rc == -HG_E_TOO_BIG ? "too large" : "a row is not JSON");
    } else if (o->full || (reply.kind != HG_SQLRPC_ROWS && reply.kind != HG_SQLRPC_ROWS_CURSOR)) {
        hg_sqlrpc_put_data(&data, &reply);
        put_value(o, "data", hg_buf_slice(&data));
    }
    hg_buf_fini(&data);
    hg_sqlrpc_reply_fini(&reply);
}

static void put_query(struct out *o, const struct hg_query *q)
{
    struct hg_buf json = {0};
    hg_query_put_json(&json, q);
    put_value(o, "query", hg_buf_slice(&json));
    hg_buf_fini(&json);
}

static void put_aggregation(struct out *o, const struct hg_query_agg *agg)
{
    static const char *const names[] = {"sumFields", "averageFields", "minimumFields",
                                        "maximumFields"};
    put_bool(o, "countEnabled", agg->count);
    for (unsigned i = 0; i < HG_COUNTOF(names); i++) {
        struct hg_buf list = {0};
        for (size_t k = 0; k < agg->of[i].n; k++) {
            hg_buf_addc(&list, k > 0 ? ',' : '[');
            hg_json_add_str(&list, agg->of[i].fields[k]);
        }
        if (agg->of[i].n > 0) {
            hg_buf_addc(&list, ']');
            put_value(o, names[i], hg_buf_slice(&list));
        }
        hg_buf_fini(&list);
    }
}

static void put_request(struct out *o, const struct hg_tap_record *r)
{
    struct hg_request q;
    char why[HG_QUERY_WHY_MAX];
    if (hg_request_decode(r->value, &q, why) < 0) {
        put_error(o, why);
        hg_request_fini(&q);
        return;
    }
    put_text(o, "corr", q.call.correlation_id);
    put_str(o, "method", hg_sqlrpc_method_name(q.method));
    put_text(o, "replyTopic", q.call.reply_topic);
    put_text(o, "companyId", q.call.company);
    put_text(o, "table", q.method == HG_SQLRPC_CREATE_TABLE ? q.made : q.call.table);
    put_text(o, "primaryKeyColumn", q.pk_column);
    put_text(o, "primaryId", q.id);
    put_value(o, q.method == HG_SQLRPC_UPDATE_SINGLE ? "updates" : "row", q.json);
    if (q.method == HG_SQLRPC_CREATE_TABLE)
        put_number(o, "columns", (long long)q.columns);
    if (q.method == HG_SQLRPC_RUN_AGGREGATION)
        put_aggregation(o, &q.agg);
    if (q.method == HG_SQLRPC_GET_DATA || q.method == HG_SQLRPC_RUN_AGGREGATION)
        put_query(o, q.query);
    hg_request_fini(&q);
}

static void put_control(struct out *o, const struct hg_tap_record *r)
{
    struct hg_query *q;
    char why[HG_QUERY_WHY_MAX];
    if (hg_query_from_control(r->value, &q, why) < 0) {
        put_error(o, why);
        return;
    }
    put_query(o, q);
    hg_query_free(q);
}

static void put_seed(struct out *o, const struct hg_tap_record *r)
{
    static const char *const names[] = {"companyId", "table", "hashId"};
    struct hg_json doc;
    struct hg_slice text;
    const struct hg_json_limits limits = {64 << 20, HG_JSON_ROW_DEPTH, 1 << 24};
    int rc = hg_json_parse(r->value, &limits, &doc);
    struct hg_json_val root = hg_json_root(&doc), rows = hg_json_get(root, "rows");
    if (rc < 0 || hg_json_type(rows) != HG_JSON_ARRAY)
        put_error(o, "not a page seed");
    for (unsigned i = 0; i < HG_COUNTOF(names); i++)
        if (rc == 0 && hg_json_str(root, names[i], &text))
            put_text(o, names[i], text);
    if (rc == 0 && hg_json_type(rows) == HG_JSON_ARRAY) {
        put_value(o, "cursor", hg_json_raw(hg_json_get(root, "cursor")));
        put_number(o, "rows", (long long)hg_json_count(rows));
        if (o->full)
            put_value(o, "data", hg_json_raw(rows));
    }
    hg_json_fini(&doc);
}

static void put_diff(struct out *o, const struct hg_tap_record *r)
{
    put_value(o, "value", r->value);
}

static void put_row(struct out *o, const struct hg_tap_record *r)
{
    struct hg_rowevent ev;
    if (hg_rowevent_decode(r->value, &ev) < 0) {
        put_error(o, "not a row event");
    } else {
        put_text(o, "routingKey", ev.routing_key);
        put_text(o, "hashId", ev.hash_id);
    }
    hg_rowevent_fini(&ev);
    put_value(o, "event", r->value);
}

static void put_envelope(struct out *o, const struct hg_tap_record *r)
{
    struct hg_publish_list l;
    if (hg_publish_read(r->value, true, &l) < 0)
        put_error(o, l.detail);
    else
        put_number(o, "messages", (long long)l.n);
    hg_publish_list_fini(&l);
    put_value(o, "value", r->value);
}

/* ---- all ---- */

/* What a terminal might obey and JSON leaves as it is: DEL, and C1 controls (two bytes in UTF-8).
 * All of it stands in strings. */
static void escape_controls(struct hg_buf *out, struct hg_slice s)
{
    size_t done = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i], next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
        bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
        if (c != 0x7f && !c1)
            continue;
        hg_buf_add(out, s.p + done, i - done);
        hg_buf_addf(out, "\\u%04x", c1 ? next : c);
        i += c1;
        done = i + 1;
    }
    hg_buf_add(out, s.p + done, s.n - done);
}

static void (*const putters[HG_TAP_KINDS])(struct out *, const struct hg_tap_record *) = {
    [HG_TAP_REPLY] = put_reply,       [HG_TAP_REQUEST] = put_request,
    [HG_TAP_CONTROL] = put_control,   [HG_TAP_SEED] = put_seed,
    [HG_TAP_DIFF] = put_diff,         [HG_TAP_ROW] = put_row,
    [HG_TAP_ENVELOPE] = put_envelope,
};

void hg_tap_print(struct hg_buf *b, const struct hg_tap_record *r, enum hg_tap_style style,
                  bool full)
{
    struct hg_buf raw = {0};
    struct out o = {.b = &raw, .style = style, .full = full};
    put_str(&o, "topic", r->topic);
    put_number(&o, "partition", r->partition);
    put_number(&o, "offset", r->offset);
    put_key(&o, r->key);
    put_time(&o, r->time_ms);
    put_str(&o, "kind", hg_tap_kind_names[r->kind]);
    put_headers(&o, r);
    put_number(&o, "bytes", (long long)r->value.n);
    if (r->value.p)
        putters[r->kind](&o, r);
    else
        put_bool(&o, "tombstone", true);
    escape_controls(b, hg_buf_slice(&raw));
    hg_buf_adds(b, style == HG_TAP_JSON ? "}\n" : style == HG_TAP_LINE ? "\n" : "");
    hg_buf_fini(&raw);
}
