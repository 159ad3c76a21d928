#include "proto/sqlrpc.h"

#include <math.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/fb_build.h"
#include "proto/json.h"
#include "proto/query_tree.h"
#include "proto/sqlrpc_put.h"

/* ---- requests ---- */

static const char *const methods[HG_SQLRPC_METHODS] = {
    "GET_DATA",   "GET_SINGLE",   "ADD_SINGLE",   "UPDATE_SINGLE",
    "DELETE_ROW", "CREATE_TABLE", "TABLE_EXISTS", "RUN_AGGREGATION"};

const char *hg_sqlrpc_method_name(enum hg_sqlrpc_method m)
{
    return (unsigned)m < HG_SQLRPC_METHODS ? methods[m] : "";
}

int hg_sqlrpc_method_find(struct hg_slice name)
{
    for (int m = 0; m < HG_SQLRPC_METHODS; m++)
        if (hg_slice_is(name, methods[m]))
            return m;
    return -HG_E_RPC_METHOD;
}

/* RequestEnvelope: slots 0 correlation id, 1 reply topic, 2 method, 3 and 4 the payload union,
 * numbered as the methods from 1. */
void hg_sqlrpc_finish(struct hg_fb *fb, const struct hg_sqlrpc_call *call, enum hg_sqlrpc_method m,
                      uint32_t payload, struct hg_buf *out)
{
    struct hg_fb_table t = {0};
    uint32_t topic = hg_fb_string(fb, call->reply_topic);
    hg_fb_set_ref(&t, 0, hg_fb_string(fb, call->correlation_id));
    hg_fb_set_ref(&t, 1, topic);
    if (m != HG_SQLRPC_GET_DATA)
        hg_fb_set(&t, 2, 1, m);
    hg_fb_set(&t, 3, 1, m + 1u);
    hg_fb_set_ref(&t, 4, payload);
    hg_fb_finish(fb, hg_fb_end(fb, &t), out);
}

/* Every simple request is a table of strings: company, table, then what is given here. */
static void put_strings(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                        enum hg_sqlrpc_method m, const struct hg_slice *more, unsigned n)
{
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0};
    hg_fb_set_ref(&t, 0, hg_fb_string(&fb, call->company));
    hg_fb_set_ref(&t, 1, hg_fb_string(&fb, call->table));
    for (unsigned i = 0; i < n; i++)
        hg_fb_set_ref(&t, 2 + i, hg_fb_string(&fb, more[i]));
    hg_sqlrpc_finish(&fb, call, m, hg_fb_end(&fb, &t), out);
}

void hg_sqlrpc_put_get_single(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              struct hg_slice pk_column, struct hg_slice id)
{
    put_strings(out, call, HG_SQLRPC_GET_SINGLE, (struct hg_slice[]){pk_column, id}, 2);
}

void hg_sqlrpc_put_add_single(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              struct hg_slice pk_column, struct hg_slice row_json)
{
    put_strings(out, call, HG_SQLRPC_ADD_SINGLE, (struct hg_slice[]){pk_column, row_json}, 2);
}

void hg_sqlrpc_put_update_single(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                                 struct hg_slice pk_column, struct hg_slice id,
                                 struct hg_slice updates_json)
{
    put_strings(out, call, HG_SQLRPC_UPDATE_SINGLE,
                (struct hg_slice[]){pk_column, id, updates_json}, 3);
}

void hg_sqlrpc_put_delete_row(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              struct hg_slice pk_column, struct hg_slice id)
{
    put_strings(out, call, HG_SQLRPC_DELETE_ROW, (struct hg_slice[]){pk_column, id}, 2);
}

void hg_sqlrpc_put_table_exists(struct hg_buf *out, const struct hg_sqlrpc_call *call)
{
    put_strings(out, call, HG_SQLRPC_TABLE_EXISTS, NULL, 0);
}

/* ---- replies ---- */

/* Kafka hands out bytes at any address; the reader wants the alignment the builder promised. */
int hg_sqlrpc_reply_decode(struct hg_slice bytes, struct hg_sqlrpc_reply *r)
{
    memset(r, 0, sizeof(*r));
    const char *p = bytes.p;
    r->size = bytes.n;
    if (bytes.n < 8 || bytes.n > INT32_MAX)
        return -HG_E_FB_INVALID;
    if ((uintptr_t)p % 8 != 0) {
        r->copy = hg_malloc(bytes.n);
        p = memcpy(r->copy, p, bytes.n);
    }
    return hg_fb_read_reply(p, bytes.n, r) ? 0 : -HG_E_FB_INVALID;
}

void hg_sqlrpc_reply_fini(struct hg_sqlrpc_reply *r)
{
    free(r->copy);
    memset(r, 0, sizeof(*r));
}

static size_t rows_size(const struct hg_sqlrpc_reply *r)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < r->nrows; i++)
        sum += hg_sqlrpc_row(r, i).n;
    return sum;
}

int hg_sqlrpc_rows_check(const struct hg_sqlrpc_reply *r, size_t *bytes)
{
    size_t max = HG_MAX((size_t)HG_SQLRPC_MAX_DATA, r->size);
    *bytes = rows_size(r);
    if (*bytes > max || !hg_sqlrpc_rest_fits(r, max - *bytes))
        return -HG_E_TOO_BIG;
    for (uint32_t i = 0; i < r->nrows; i++)
        if (!hg_json_is_valid(hg_sqlrpc_row(r, i)))
            return -HG_E_RPC_REPLY;
    return 0;
}

void hg_sqlrpc_put_rows(struct hg_buf *out, const struct hg_sqlrpc_reply *r)
{
    for (uint32_t i = 0; i < r->nrows; i++) {
        if (i > 0)
            hg_buf_addc(out, ',');
        hg_buf_add_slice(out, hg_sqlrpc_row(r, i));
    }
}

/* ---- values as plain JSON (spec 11) ---- */

static void put_value(struct hg_buf *out, const struct hg_value *v)
{
    if (v->kind < HG_VALUE_STRINGS) {
        hg_query_put_item(out, v->kind, &v->one, "");
        return;
    }
    hg_buf_addc(out, '[');
    for (size_t i = 0; i < v->n; i++) {
        if (i > 0)
            hg_buf_addc(out, ',');
        hg_query_put_item(out, v->kind, &v->list[i], "");
    }
    hg_buf_addc(out, ']');
}

/* Members of the cursor; the snapshot frame leaves out a column called lsn, whose place is the
 * fence's (spec 8). */
static void put_cursor(struct hg_buf *out, const struct hg_sqlrpc_reply *r, bool with_lsn)
{
    bool first = true;
    struct hg_cursor c;
    struct hg_pool pool = {0};
    for (uint32_t i = 0; hg_sqlrpc_cursor_at(r, i, &c, &pool); i++) {
        if (c.field.n > 0 && (with_lsn || !hg_slice_is(c.field, "lsn"))) {
            if (!first)
                hg_buf_addc(out, ',');
            first = false;
            hg_json_add_str(out, c.field);
            hg_buf_addc(out, ':');
            put_value(out, &c.value);
        }
        hg_pool_fini(&pool);
    }
    hg_pool_fini(&pool);
}

void hg_sqlrpc_put_cursor(struct hg_buf *out, const struct hg_sqlrpc_reply *r)
{
    put_cursor(out, r, false);
}

/* What JavaScript's Number() takes and JSON does not: "+5", ".5", "5.". */
static bool is_js_number(struct hg_slice v, double *d)
{
    char text[64], *end;
    if (v.n >= sizeof(text))
        return false;
    for (size_t i = 0; i < v.n; i++)
        if (!(text[i] = v.p[i]) || !strchr("0123456789+-.eE", v.p[i]))
            return false;
    text[v.n] = '\0';
    *d = strtod(text, &end);
    return !*end && isfinite(*d);
}

/* A map's values are text; the client gets numbers, as written, so that no digit is lost.
 * JavaScript's Number("") is 0. */
static void put_agg_value(struct hg_buf *out, struct hg_slice text)
{
    struct hg_slice v = hg_slice_trim(text, " \t\r\n");
    char room[HG_NUM_JS_TEXT];
    double d;
    if (v.n == 0)
        hg_buf_addc(out, '0');
    else if ((v.p[0] == '-' || (v.p[0] >= '0' && v.p[0] <= '9')) && hg_json_is_valid(v))
        hg_buf_add_slice(out, v);
    else if (is_js_number(v, &d))
        hg_buf_add(out, room, hg_num_js_text(d, room));
    else
        hg_buf_adds(out, "null");
}

static bool put_agg_map(struct hg_buf *out, const struct hg_sqlrpc_reply *r, unsigned map,
                        bool more)
{
    static const char *const names[] = {"sumValues", "avgValues", "minimumValues", "maximumValues"};
    struct hg_slice key, value;
    uint32_t i = 0;
    for (; hg_sqlrpc_agg_at(r, map, i, &key, &value); i++) {
        if (i == 0)
            hg_buf_addf(out, "%s\"%s\":{", more ? "," : "", names[map]);
        else
            hg_buf_addc(out, ',');
        hg_json_add_str(out, key);
        hg_buf_addc(out, ':');
        put_agg_value(out, value);
    }
    if (i > 0)
        hg_buf_addc(out, '}');
    return more || i > 0;
}

static void put_agg(struct hg_buf *out, const struct hg_sqlrpc_reply *r)
{
    uint32_t count = hg_sqlrpc_agg_count(r);
    bool more = count != 0;
    hg_buf_addc(out, '{');
    if (more)
        hg_buf_addf(out, "\"count\":%u", count);
    for (unsigned map = 0; map < 4; map++)
        more = put_agg_map(out, r, map, more);
    hg_buf_addc(out, '}');
}

static void put_rows_array(struct hg_buf *out, const struct hg_sqlrpc_reply *r)
{
    hg_buf_addc(out, '[');
    hg_sqlrpc_put_rows(out, r);
    hg_buf_addc(out, ']');
}

void hg_sqlrpc_put_data(struct hg_buf *out, const struct hg_sqlrpc_reply *r)
{
    switch (r->kind) {
    case HG_SQLRPC_ROWS:
        put_rows_array(out, r);
        break;
    case HG_SQLRPC_ROW:
        if (r->nrows > 0)
            hg_sqlrpc_put_rows(out, r);
        else
            hg_buf_adds(out, "null");
        break;
    case HG_SQLRPC_BOOL:
        hg_buf_adds(out, r->value ? "true" : "false");
        break;
    case HG_SQLRPC_AGG:
        put_agg(out, r);
        break;
    case HG_SQLRPC_ROWS_CURSOR:
        hg_buf_adds(out, "{\"rows\":");
        put_rows_array(out, r);
        hg_buf_adds(out, ",\"cursor\":{");
        put_cursor(out, r, true);
        hg_buf_adds(out, "}}");
        break;
    case HG_SQLRPC_NO_DATA:
        hg_buf_adds(out, "null");
        break;
    }
}
