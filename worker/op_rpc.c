/* Handler of the rpc op: a client's call passed on to the SQL worker, walled to its tenant. */
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/num.h"
#include "proto/json.h"
#include "proto/query.h"
#include "proto/route.h"
#include "proto/tabledef.h"
#include "worker/calls.h"
#include "worker/dispatch.h"

/* ---- requests by method; each returns NULL or what is wrong ---- */

struct args {
    const struct hg_sqlrpc_call *call;
    struct hg_json_val payload;
    bool strict;
    char why[HG_QUERY_WHY_MAX + 16]; /* a fault that had to be written */
};

typedef const char *(*put_fn)(struct args *a, struct hg_buf *out);

static struct hg_json_val get(const struct args *a, const char *key)
{
    return hg_json_get(a->payload, key);
}

static bool is_given(struct hg_json_val v)
{
    return v.node && hg_json_type(v) != HG_JSON_NULL;
}

static struct hg_json_val either(const struct args *a, const char *one, const char *other)
{
    struct hg_json_val v = get(a, one);

    return is_given(v) ? v : get(a, other);
}

struct row_id {
    struct hg_slice column, value;
    char column_room[HG_NUM_JS_TEXT], value_room[HG_NUM_JS_TEXT];
};

/* JavaScript's String() of a scalar; integers as written, to the last digit. */
static struct hg_slice scalar_text(struct hg_json_val v, char room[HG_NUM_JS_TEXT])
{
    switch (hg_json_type(v)) {
    case HG_JSON_STRING:
        return hg_json_text(v);
    case HG_JSON_NUMBER:
        return hg_json_number_text(v, room);
    case HG_JSON_BOOL:
        return hg_json_raw(v);
    case HG_JSON_ABSENT:
    case HG_JSON_NULL:
        return HG_SLICE_LIT("");
    case HG_JSON_ARRAY:
    case HG_JSON_OBJECT:
        break;
    }
    return HG_SLICE_NONE;
}

static const char *read_id(const struct args *a, struct row_id *id)
{
    struct hg_json_val column = get(a, "primaryKeyColumn");

    if (!hg_json_is_truthy(column))
        column = get(a, "primary_key_column");
    id->column =
        hg_json_is_truthy(column) ? scalar_text(column, id->column_room) : HG_SLICE_LIT("id");
    id->value = scalar_text(either(a, "primaryId", "primary_id"), id->value_room);
    if (!id->column.p)
        return "payload.primaryKeyColumn: expected a string";
    return id->value.p ? NULL : "payload.primaryId: expected a string or a number";
}

/* An object's JSON text; a string that holds one is passed through, not encoded twice (B-27). */
static struct hg_slice object_text(struct hg_json_val v)
{
    struct hg_slice s = hg_json_text(v);

    if (!is_given(v))
        return HG_SLICE_LIT("{}");
    if (hg_json_type(v) == HG_JSON_OBJECT)
        return hg_json_raw(v);
    return hg_json_is_object(s) ? s : HG_SLICE_NONE;
}

/* ---- GET_DATA and RUN_AGGREGATION: queries ---- */

enum { DEFAULT_LIMIT = 500 };

/* What the reader says is told with its code, as a refused subscribe does. */
static const char *bad_query(struct args *a, const char why[HG_QUERY_WHY_MAX])
{
    snprintf(a->why, sizeof a->why, "%s: %s", hg_err_row(HG_E_BAD_QUERY)->wire, why);
    return a->why;
}

static const char *read_query(struct args *a, struct hg_slice json, struct hg_query **q)
{
    char why[HG_QUERY_WHY_MAX];

    return hg_query_from_json(json, a->strict, q, why) < 0 ? bad_query(a, why) : NULL;
}

static const char *put_get_data(struct args *a, struct hg_slice json, struct hg_buf *out)
{
    struct hg_query *q = NULL;
    const char *why = read_query(a, json, &q);

    if (!why)
        hg_query_put_get_data(out, a->call, q, DEFAULT_LIMIT);
    hg_query_free(q);
    return why;
}

static void add_member(struct hg_buf *text, const char *key, struct hg_slice raw)
{
    hg_buf_addf(text, "%s\"%s\":", text->n > 1 ? "," : "", key);
    hg_buf_add_slice(text, raw);
}

/* The sources take numbers as text, too. */
static struct hg_slice count_text(struct hg_json_val v)
{
    const char *unused;
    uint64_t n;
    struct hg_slice s = hg_json_text(v);

    return s.p && hg_num_u64(s, &n, &unused) == 0 ? s : hg_json_raw(v);
}

/* The loose fields as one query; what is falsy is not there, as in the sources. Offset and
 * strict_after count (B-26). */
static void loose_query(const struct args *a, struct hg_buf *text)
{
    static const char *const parts[] = {"wrapper", "order", "cursor"}, *const counts[] = {"limit",
                                                                                          "offset"};
    struct hg_json_val after = either(a, "strict_after", "strictAfter");

    hg_buf_addc(text, '{');
    for (unsigned i = 0; i < HG_COUNTOF(parts); i++)
        if (hg_json_is_truthy(get(a, parts[i])))
            add_member(text, parts[i], hg_json_raw(get(a, parts[i])));
    for (unsigned i = 0; i < HG_COUNTOF(counts); i++)
        if (is_given(get(a, counts[i])))
            add_member(text, counts[i], count_text(get(a, counts[i])));
    if (is_given(after))
        add_member(text, "strict_after", hg_json_raw(after));
    hg_buf_addc(text, '}');
}

static const char *get_data(struct args *a, struct hg_buf *out)
{
    struct hg_slice json = hg_json_text(get(a, "queryJson"));
    struct hg_buf text = {0};
    const char *why;

    if (json.n > 0) {
        if (!a->strict && !hg_json_is_object(json)) /* the sources' {} */
            json = HG_SLICE_LIT("{}");
        return put_get_data(a, json, out);
    }
    loose_query(a, &text);
    why = put_get_data(a, hg_buf_slice(&text), out);
    hg_buf_fini(&text);
    return why;
}

static const char *read_fields(struct hg_json_val list, struct hg_slice **fields, size_t *n)
{
    size_t count = hg_json_count(list);

    if (!is_given(list))
        return NULL;
    if (hg_json_type(list) != HG_JSON_ARRAY)
        return "";
    *fields = count ? hg_calloc(count, sizeof **fields) : NULL;
    for (struct hg_json_val v = hg_json_first(list); *n < count; v = hg_json_next(v)) {
        (*fields)[*n] = hg_json_text(v);
        if ((*fields)[(*n)++].n == 0)
            return "";
    }
    return NULL;
}

static const char *put_aggregation(struct args *a, struct hg_query_agg *agg, struct hg_buf *out)
{
    struct hg_json_val wrapper = get(a, "wrapper");
    struct hg_query *q = NULL;
    struct hg_buf text = {0};
    const char *why = NULL;

    agg->count =
        hg_json_is_truthy(get(a, "countEnabled")) || hg_json_is_truthy(get(a, "count_enabled"));
    if (hg_json_is_truthy(wrapper)) {
        hg_buf_addc(&text, '{');
        add_member(&text, "wrapper", hg_json_raw(wrapper));
        hg_buf_addc(&text, '}');
        why = read_query(a, hg_buf_slice(&text), &q);
    }
    if (!why)
        hg_query_put_aggregation(out, a->call, q, agg);
    hg_query_free(q);
    hg_buf_fini(&text);
    return why;
}

static const char *run_aggregation(struct args *a, struct hg_buf *out)
{
    static const char *const names[4][2] = {{"sumFields", "sum_fields"},
                                            {"averageFields", "average_fields"},
                                            {"minimumFields", "minimum_fields"},
                                            {"maximumFields", "maximum_fields"}};
    struct hg_slice *fields[4] = {0};
    struct hg_query_agg agg = {0};
    const char *why = NULL;

    for (unsigned i = 0; i < 4 && !why; i++) {
        why = read_fields(either(a, names[i][0], names[i][1]), &fields[i], &agg.of[i].n);
        agg.of[i].fields = fields[i];
        if (why) {
            snprintf(a->why, sizeof a->why, "payload.%s: expected an array of strings",
                     names[i][0]);
            why = a->why;
        }
    }
    if (!why)
        why = put_aggregation(a, &agg, out);
    for (unsigned i = 0; i < 4; i++)
        free(fields[i]);
    return why;
}

/* ---- rows ---- */

static const char *get_single(struct args *a, struct hg_buf *out)
{
    struct row_id id;
    const char *why = read_id(a, &id);

    if (!why)
        hg_sqlrpc_put_get_single(out, a->call, id.column, id.value);
    return why;
}

static const char *add_single(struct args *a, struct hg_buf *out)
{
    static const char *const names[] = {"row", "row_json", "data", "rowJson", "row_json_parsed"};
    struct hg_json_val v = {0};
    struct hg_slice row;
    struct row_id id;
    const char *why = read_id(a, &id);

    for (unsigned i = 0; i < HG_COUNTOF(names) && !hg_json_is_truthy(v); i++)
        v = get(a, names[i]);
    row = hg_json_is_truthy(v) ? object_text(v) : HG_SLICE_LIT("{}");
    if (!row.p)
        return "payload.row: expected an object, or its JSON text";
    if (!why)
        hg_sqlrpc_put_add_single(out, a->call, id.column, row);
    return why;
}

static const char *update_single(struct args *a, struct hg_buf *out)
{
    struct hg_slice updates = object_text(either(a, "updates", "updates_json"));
    struct row_id id;
    const char *why = read_id(a, &id);

    if (!updates.p)
        return "payload.updates: expected an object, or its JSON text";
    if (!why)
        hg_sqlrpc_put_update_single(out, a->call, id.column, id.value, updates);
    return why;
}

static const char *delete_row(struct args *a, struct hg_buf *out)
{
    struct row_id id;
    const char *why = read_id(a, &id);

    if (!why)
        hg_sqlrpc_put_delete_row(out, a->call, id.column, id.value);
    return why;
}

/* ---- tables ---- */

static const char *put_create(struct args *a, struct hg_json_val definition, struct hg_buf *out)
{
    char why[HG_QUERY_WHY_MAX];

    if (hg_tabledef_put_create(out, a->call, definition, why) == 0)
        return NULL;
    snprintf(a->why, sizeof a->why, "definition: %s", why);
    return a->why;
}

static const char *create_table(struct args *a, struct hg_buf *out)
{
    struct hg_json_val v = either(a, "definition", "definition_json");
    struct hg_json doc = {0};
    const char *why;

    if (!hg_json_text(v).p)
        return put_create(a, v, out);
    if (hg_json_parse(hg_json_text(v), NULL, &doc) < 0)
        why = "payload.definition_json: not JSON, or nested too deep";
    else
        why = put_create(a, hg_json_root(&doc), out);
    hg_json_fini(&doc);
    return why;
}

static const char *table_exists(struct args *a, struct hg_buf *out)
{
    hg_sqlrpc_put_table_exists(out, a->call);
    return NULL;
}

static const put_fn methods[HG_SQLRPC_METHODS] = {
    [HG_SQLRPC_GET_DATA] = get_data,         [HG_SQLRPC_GET_SINGLE] = get_single,
    [HG_SQLRPC_ADD_SINGLE] = add_single,     [HG_SQLRPC_UPDATE_SINGLE] = update_single,
    [HG_SQLRPC_DELETE_ROW] = delete_row,     [HG_SQLRPC_CREATE_TABLE] = create_table,
    [HG_SQLRPC_TABLE_EXISTS] = table_exists, [HG_SQLRPC_RUN_AGGREGATION] = run_aggregation,
};

static const char *build(struct args *a, struct hg_slice method, struct hg_buf *out)
{
    int m = hg_sqlrpc_method_find(method);

    if (m < 0)
        return "Unknown RPC method: ";
    /* A lenient profile lets the worker say what a call without a table means, as the sources
     * do. */
    if (a->call->table.n == 0 && m != HG_SQLRPC_CREATE_TABLE && a->strict)
        return "table: expected a string of at least 1 character";
    return methods[m](a, out);
}

static struct hg_slice table_of(const struct hg_op_rpc *o, struct hg_json_val payload)
{
    struct hg_slice s;

    if (o->table.n)
        return o->table;
    s = hg_json_text(hg_json_get(payload, "tableName"));
    return s.n ? s : hg_json_text(hg_json_get(payload, "table"));
}

/* B-30: tables of another tenant are read and written only by who is allowed to, and a tenant is
 * named as it could be at a handshake. NULL, or why not. */
static const char *wall(const struct hg_worker *w, const struct hg_conn *c, struct hg_slice company)
{
    if (company.n == 0 || hg_slice_eq(company, hg_atom_text(c->s.tenant)))
        return NULL;
    if (!(c->s.perms & HG_PERM_ANY_COMPANY))
        return "forbidden: companyId is not the tenant of this connection";
    if (hg_route_check_tenant(company, w->conf->tenant_underscore == HG_ALLOW, NULL) < 0)
        return "forbidden: companyId cannot be a tenant's name";
    return NULL;
}

static void call(struct hg_worker *w, struct hg_conn *c, const struct hg_op_rpc *o,
                 struct hg_json_val payload)
{
    struct hg_buf request = {0}, text = {0};
    struct hg_rpc_call *rc = hg_calls_new(w);
    struct args a = {.call = &rc->spec, .payload = payload, .strict = hg_dispatch_strict(w, c)};
    const char *why;

    rc->spec.company = o->company.n ? o->company : hg_atom_text(c->s.tenant);
    rc->spec.table = table_of(o, payload);
    why = build(&a, o->method, &request);
    if (why) {
        hg_buf_adds(&text, why);
        if (why[strlen(why) - 1] == ' ')
            hg_buf_add_slice(&text, o->method);
        hg_calls_error(w, c, o->method, o->correlation_id, hg_buf_slice(&text));
        hg_rpc_drop(rc);
    } else {
        hg_calls_send(w, c, rc, o->method, o->correlation_id, hg_buf_slice(&request));
    }
    hg_buf_fini(&text);
    hg_buf_fini(&request);
}

void hg_op_do_rpc(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op)
{
    const struct hg_op_rpc *o = &op->rpc;
    const char *why = wall(w, c, o->company);

    if (!why)
        why = hg_calls_refusal(w, c);
    if (why)
        hg_calls_error(w, c, o->method, o->correlation_id, hg_slice_str(why));
    else
        call(w, c, o, hg_json_get(hg_json_root(&op->doc), "payload"));
}
