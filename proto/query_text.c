/* A query as JSON: the shape it is read from (spec 12), every default written out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "proto/json.h"
#include "proto/query_tree.h"

/* ---- values ---- */

static void put_number(struct hg_buf *out, double d)
{
    char text[40];
    if (!isfinite(d)) {
        hg_buf_adds(out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    hg_buf_adds(out, text);
}

void hg_query_put_item(struct hg_buf *out, enum hg_value_kind kind, const union hg_value_item *item,
                       const char *quote)
{
    switch (kind) {
    case HG_VALUE_STRING:
    case HG_VALUE_STRINGS:
        hg_json_add_str(out, item->text);
        break;
    case HG_VALUE_NUMBER:
    case HG_VALUE_NUMBERS:
        put_number(out, item->number);
        break;
    case HG_VALUE_BOOL:
    case HG_VALUE_BOOLS:
        hg_buf_adds(out, item->flag ? "true" : "false");
        break;
    case HG_VALUE_INT64:
    case HG_VALUE_INT64S:
    case HG_VALUE_TIMESTAMP:
        hg_buf_addf(out, "%s%lld%s", quote, (long long)item->integer, quote);
        break;
    case HG_VALUE_NULL:
        hg_buf_adds(out, "null");
        break;
    }
}

static void put_value(struct hg_buf *out, const struct hg_value *v)
{
    hg_buf_addf(out, "{\"%s\":{", hg_query_kind_names[v->kind]);
    if (v->kind >= HG_VALUE_STRINGS) {
        hg_buf_adds(out, "\"values\":[");
        for (size_t i = 0; i < v->n; i++) {
            if (i > 0)
                hg_buf_addc(out, ',');
            hg_query_put_item(out, v->kind, &v->list[i], "\"");
        }
        hg_buf_addc(out, ']');
    } else if (v->kind != HG_VALUE_NULL) {
        hg_buf_adds(out, v->kind == HG_VALUE_TIMESTAMP ? "\"epoch\":" : "\"value\":");
        hg_query_put_item(out, v->kind, &v->one, "\"");
    }
    if (v->kind == HG_VALUE_TIMESTAMP)
        hg_buf_addf(out, ",\"unit\":\"%s\"", hg_query_units[v->unit]);
    hg_buf_adds(out, "}}");
}

/* ---- the tree ---- */

static void put_flag(struct hg_buf *out, const char *key, bool flag)
{
    hg_buf_addf(out, ",\"%s\":%s", key, flag ? "true" : "false");
}

static void put_basic(struct hg_buf *out, const struct hg_filter *f)
{
    hg_buf_adds(out, "{\"field_name\":");
    hg_json_add_str(out, f->field);
    hg_buf_addf(out, ",\"filter_type\":\"%s\",\"value\":", hg_query_op_name(f->op));
    put_value(out, &f->value);
    if (f->has_modifier) {
        hg_buf_addf(out, ",\"modifier\":{\"nulls_order\":\"%s\"", hg_query_nulls[f->nulls]);
        put_flag(out, "distinct", f->distinct);
        put_flag(out, "case_insensitive", f->case_insensitive);
        hg_buf_addc(out, '}');
    }
    hg_buf_addc(out, '}');
}

static void put_filter(struct hg_buf *out, const struct hg_filter *f)
{
    if (!f->is_wrapper) {
        put_basic(out, f);
        return;
    }
    hg_buf_addf(out, "{\"filter_wrapper_type\":\"%s\",\"filters\":[", f->all ? "and" : "or");
    for (size_t i = 0; i < f->nkids; i++) {
        if (i > 0)
            hg_buf_addc(out, ',');
        put_filter(out, &f->kids[i]);
    }
    hg_buf_adds(out, "]}");
}

static void put_order(struct hg_buf *out, const struct hg_query *q)
{
    hg_buf_adds(out, ",\"order\":[");
    for (size_t i = 0; i < q->norder; i++) {
        hg_buf_adds(out, i > 0 ? ",{\"field\":" : "{\"field\":");
        hg_json_add_str(out, q->order[i].field);
        hg_buf_addf(out, ",\"sort\":\"%s\"", hg_query_sorts[q->order[i].sort]);
        put_flag(out, "is_pk", q->order[i].is_pk);
        hg_buf_addc(out, '}');
    }
    hg_buf_addc(out, ']');
}

static void put_cursor(struct hg_buf *out, const struct hg_query *q)
{
    hg_buf_adds(out, ",\"cursor\":[");
    for (size_t i = 0; i < q->ncursor; i++) {
        hg_buf_adds(out, i > 0 ? ",{\"field\":" : "{\"field\":");
        hg_json_add_str(out, q->cursor[i].field);
        hg_buf_adds(out, ",\"value\":");
        put_value(out, &q->cursor[i].value);
        hg_buf_addc(out, '}');
    }
    hg_buf_addc(out, ']');
}

void hg_query_put_json(struct hg_buf *out, const struct hg_query *q)
{
    hg_buf_adds(out, "{\"hash\":");
    hg_json_add_str(out, q->hash);
    hg_buf_addf(out, ",\"schema_version\":%u", q->schema_version);
    if (q->has_limit)
        hg_buf_addf(out, ",\"limit\":%u", q->limit);
    if (q->offset != 0)
        hg_buf_addf(out, ",\"offset\":%u", q->offset);
    put_flag(out, "strict_after", q->strict_after);
    if (q->wrapper) {
        hg_buf_adds(out, ",\"wrapper\":");
        put_filter(out, q->wrapper);
    }
    put_order(out, q);
    put_cursor(out, q);
    hg_buf_addc(out, '}');
}
