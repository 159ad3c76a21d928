/* What each operator is in SQL. Those of arrays, JSON, ranges and patterns call the functions of
 * sqlfunc.c. */
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/json.h"
#include "tools/regex.h"
#include "tools/sqlquery_priv.h"

enum { MAX_JSON = 16384 }; /* each row's value is compared with all of it */

/* Emits the condition of one filter on one column. arg comes from the operator's row. */
typedef int (*op_fn)(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                     const char *arg);

struct op_row {
    const char *name;
    op_fn emit;
    const char *arg;
};

static void put_col(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col)
{
    hg_sq_put(c, f->case_insensitive ? "lower(" : "");
    hg_sq_put(c, col);
    hg_sq_put(c, f->case_insensitive ? ")" : "");
}

static void put_val(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const struct hg_sq_scalar *v)
{
    hg_sq_put(c, f->case_insensitive ? "lower(" : "");
    hg_sq_param(c->out, *v);
    hg_sq_put(c, f->case_insensitive ? ")" : "");
}

/* Comparisons: a collation leaves a column of numbers one, where lower() would compare texts. */
static void put_compared(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col)
{
    hg_sq_put(c, col);
    hg_sq_put(c, f->case_insensitive ? " COLLATE NOCASE" : "");
}

/* SQLite takes a text that is no number for greater than every number. */
static int comparable(struct hg_sq_ctx *c, const struct hg_sq_filter *f)
{
    int col = hg_table_column(c->t, f->field);

    for (size_t i = 0; i < f->value.n; i++)
        if (!hg_sq_fits(&c->t->cols[col], &f->value.items[i]))
            return hg_sq_refuse(c, "the value is a text, the column one of numbers", f->field);
    return 0;
}

static int one_value(struct hg_sq_ctx *c, const struct hg_sq_filter *f)
{
    if (f->value.list)
        return hg_sq_refuse(c, "this operator takes one value, not a list", f->field);
    return f->value.n == 1 ? 0 : hg_sq_refuse(c, "a value is missing", f->field);
}

static int op_null(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                   const char *arg)
{
    (void)f;
    hg_sq_put(c, col);
    hg_sq_put(c, arg);
    return 0;
}

static int op_compare(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                      const char *arg)
{
    int rc = one_value(c, f);
    if (rc < 0)
        return rc;
    if (f->value.items[0].type == HG_SQ_NULL)
        return hg_sq_refuse(c, "null has no order; use isNull or isNotNull", f->field);
    rc = comparable(c, f);
    put_compared(c, f, col);
    hg_sq_put(c, arg);
    hg_sq_param(c->out, f->value.items[0]);
    return rc;
}

static int op_equal(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                    const char *arg)
{
    if (!f->value.list && f->value.n == 1 && f->value.items[0].type == HG_SQ_NULL)
        return op_null(c, f, col, arg[0] == '=' ? " IS NULL" : " IS NOT NULL");
    return op_compare(c, f, col, arg);
}

static int text_value(struct hg_sq_ctx *c, const struct hg_sq_filter *f)
{
    int rc = one_value(c, f);
    if (rc < 0)
        return rc;
    return f->value.items[0].type == HG_SQ_TEXT
               ? 0
               : hg_sq_refuse(c, "this operator takes a text", f->field);
}

/* instr and substr instead of LIKE: the text has no wildcards, and case counts. */
static int op_contains(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                       const char *arg)
{
    int rc = text_value(c, f);
    if (rc < 0)
        return rc;
    hg_sq_put(c, "instr(");
    put_col(c, f, col);
    hg_sq_put(c, ",");
    put_val(c, f, &f->value.items[0]);
    hg_sq_put(c, arg);
    return 0;
}

static int op_affix(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                    const char *arg)
{
    int rc = text_value(c, f);
    if (rc < 0)
        return rc;
    if (f->value.items[0].text.n ==
        0) /* substr(x, -0) is no suffix; every text has the empty one */
        return op_null(c, f, col, " IS NOT NULL");
    hg_sq_put(c, "substr(");
    put_col(c, f, col);
    hg_sq_put(c, arg);
    hg_sq_param(c->out, f->value.items[0]);
    hg_sq_put(c, "))=");
    put_val(c, f, &f->value.items[0]);
    return 0;
}

static int op_between(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                      const char *arg)
{
    if (!f->value.list || f->value.n != 2)
        return hg_sq_refuse(c, "this operator takes a list of two values", f->field);
    int rc = comparable(c, f);
    put_compared(c, f, col);
    hg_sq_put(c, arg);
    hg_sq_param(c->out, f->value.items[0]);
    hg_sq_put(c, " AND ");
    hg_sq_param(c->out, f->value.items[1]);
    return rc;
}

static int op_list(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                   const char *arg)
{
    if (!f->value.list)
        return hg_sq_refuse(c, "this operator takes a list", f->field);
    if (c->out->nparams + f->value.n > HG_SQ_MAX_PARAMS)
        return hg_sq_refuse(c, "too many values", f->field);
    if (f->value.n == 0) /* to SQLite, NULL is not among nothing */
        return op_null(c, f, col, arg[1] == 'N' ? " IS NOT NULL" : " IS NULL AND 0");
    int rc = comparable(c, f);
    put_compared(c, f, col);
    hg_sq_put(c, arg);
    for (size_t i = 0; i < f->value.n; i++) {
        hg_sq_put(c, i ? "," : "");
        hg_sq_param(c->out, f->value.items[i]);
    }
    hg_sq_put(c, ")");
    return rc;
}

/* ---- patterns ---- */

static int op_regex(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                    const char *arg)
{
    struct hg_buf why = {0};
    struct hg_regex *re;
    int rc = text_value(c, f);

    if (rc < 0)
        return rc;
    re = hg_regex_new(f->value.items[0].text, f->case_insensitive, &why);
    hg_buf_addc(&why, 0);
    rc = re ? 0 : hg_sq_refuse(c, why.p, f->field);
    hg_regex_free(re);
    hg_buf_fini(&why);
    if (rc < 0)
        return rc;
    hg_sq_put(c, "hg_regex(");
    hg_sq_put(c, col);
    hg_sq_put(c, ",");
    hg_sq_param(c->out, f->value.items[0]);
    hg_sq_put(c, f->case_insensitive ? ",1)" : ",0)");
    hg_sq_put(c, arg);
    return 0;
}

/* ---- values as JSON ---- */

static void add_scalar(struct hg_buf *b, const struct hg_sq_scalar *v)
{
    switch (v->type) {
    case HG_SQ_INT:
        hg_buf_addf(b, "%lld", (long long)v->i);
        break;
    case HG_SQ_REAL:
        hg_buf_addf(b, "%.17g", v->d);
        break;
    case HG_SQ_TEXT:
        hg_json_add_str(b, v->text);
        break;
    case HG_SQ_NULL:
        hg_buf_adds(b, "null");
        break;
    }
}

static void add_array(struct hg_buf *b, const struct hg_sq_value *v)
{
    hg_buf_addc(b, '[');
    for (size_t i = 0; i < v->n; i++) {
        hg_buf_adds(b, i ? "," : "");
        add_scalar(b, &v->items[i]);
    }
    hg_buf_addc(b, ']');
}

/* A parameter whose text lives as long as the statement's. Empties b. */
static int put_json(struct hg_sq_ctx *c, const struct hg_sq_filter *f, struct hg_buf *b)
{
    struct hg_slice text = hg_buf_slice(b);
    struct hg_sq_scalar v;

    if (text.n > MAX_JSON || !hg_json_is_valid(text)) {
        hg_buf_fini(b);
        return hg_sq_refuse(
            c, text.n > MAX_JSON ? "the value is too large" : "the value is no JSON", f->field);
    }
    v = hg_sq_text(hg_slice_of(hg_arena_alloc(&c->out->mem, text.n + 1), text.n));
    if (text.n > 0)
        memcpy((char *)(uintptr_t)v.text.p, text.p, text.n);
    hg_buf_fini(b);
    put_val(c, f, &v);
    return 0;
}

static bool is_null(const struct hg_sq_value *v)
{
    return v->n == 0 ? !v->list : !v->list && v->items[0].type == HG_SQ_NULL;
}

/* ---- arrays ---- */

/* One value stands for the list of it. */
static int op_array(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                    const char *arg)
{
    struct hg_buf b = {0};
    int rc;

    if (is_null(&f->value))
        return hg_sq_refuse(c, "a value is missing", f->field);
    hg_sq_put(c, "hg_array_");
    hg_sq_put(c, arg[0] == '!' ? arg + 1 : arg);
    hg_sq_put(c, "(");
    put_col(c, f, col);
    hg_sq_put(c, ",");
    add_array(&b, &f->value);
    rc = put_json(c, f, &b);
    hg_sq_put(c, arg[0] == '!' ? ")=0" : ")");
    return rc;
}

static int op_length(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                     const char *arg)
{
    int rc = arg ? 0 : one_value(c, f);

    if (rc < 0)
        return rc;
    if (!arg && f->value.items[0].type != HG_SQ_INT && f->value.items[0].type != HG_SQ_REAL)
        return hg_sq_refuse(c, "this operator takes a number", f->field);
    hg_sq_put(c, "hg_array_length(");
    hg_sq_put(c, col);
    hg_sq_put(c, arg ? arg : ")=");
    if (!arg)
        hg_sq_param(c->out, f->value.items[0]);
    return 0;
}

/* ---- JSON ---- */

/* A text is JSON itself; other values are what they are. */
static int json_value(struct hg_sq_ctx *c, const struct hg_sq_filter *f, struct hg_buf *b)
{
    if (is_null(&f->value))
        return hg_sq_refuse(c, "a value is missing", f->field);
    if (f->value.list)
        add_array(b, &f->value);
    else if (f->value.items[0].type == HG_SQ_TEXT)
        hg_buf_add_slice(b, f->value.items[0].text);
    else
        add_scalar(b, &f->value.items[0]);
    return 0;
}

/* arg: which side the column is on, "column" or "value". */
static int op_contained(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                        const char *arg)
{
    struct hg_buf b = {0};
    int rc = json_value(c, f, &b);

    if (rc < 0)
        return rc;
    hg_sq_put(c, "hg_json_contains(");
    if (arg[0] == 'c') {
        put_col(c, f, col);
        hg_sq_put(c, ",");
    }
    rc = put_json(c, f, &b);
    if (arg[0] != 'c') {
        hg_sq_put(c, ",");
        put_col(c, f, col);
    }
    hg_sq_put(c, ")");
    return rc;
}

static bool are_texts(const struct hg_sq_value *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->items[i].type != HG_SQ_TEXT)
            return false;
    return true;
}

static int op_has(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                  const char *arg)
{
    bool one = arg[0] == '1';
    struct hg_buf b = {0};
    int rc;

    if (is_null(&f->value) || !are_texts(&f->value) || (one && f->value.list))
        return hg_sq_refuse(
            c, one ? "this operator takes a text" : "this operator takes a list of texts",
            f->field);
    hg_sq_put(c, "hg_json_has(");
    put_col(c, f, col);
    hg_sq_put(c, ",");
    add_array(&b, &f->value);
    rc = put_json(c, f, &b);
    hg_sq_put(c, arg + 1);
    return rc;
}

/* A key: is the member there? A key and a value: is the member that? The value of jsonGetField is
 * JSON, that of jsonGetFieldAsText a text. */
static int op_get(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                  const char *arg)
{
    const struct hg_sq_value *v = &f->value;
    bool as_text = arg[0] == 't', compare = v->list && v->n == 2;
    struct hg_buf b = {0};
    int rc = 0;

    if (is_null(v) || !are_texts(v) || (v->list && v->n != 1 && v->n != 2))
        return hg_sq_refuse(c, "this operator takes a key, or a key and a value", f->field);
    hg_sq_put(c, compare && !as_text ? "hg_json_equals(" : "");
    hg_sq_put(c, as_text ? "hg_json_get_text(" : "hg_json_get(");
    put_col(c, f, col);
    hg_sq_put(c, ",");
    put_val(c, f, &v->items[0]);
    hg_sq_put(c, !compare ? ") IS NOT NULL" : as_text ? ")=" : "),");
    if (compare && as_text) {
        put_val(c, f, &v->items[1]);
    } else if (compare) {
        hg_buf_add_slice(&b, v->items[1].text);
        rc = put_json(c, f, &b);
        hg_sq_put(c, ")");
    }
    return rc;
}

/* ---- ranges ---- */

static int op_range(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col,
                    const char *arg)
{
    struct hg_buf b = {0};
    int rc;

    if (is_null(&f->value) || (f->value.list && f->value.n != 2))
        return hg_sq_refuse(c, "this operator takes a list of two values, or one", f->field);
    hg_sq_put(c, "hg_range_contains(");
    if (arg[0] == 'c') {
        put_col(c, f, col);
        hg_sq_put(c, ",");
    }
    if (f->value.list)
        add_array(&b, &f->value);
    else
        add_scalar(&b, &f->value.items[0]);
    rc = put_json(c, f, &b);
    if (arg[0] != 'c') {
        hg_sq_put(c, ",");
        put_col(c, f, col);
    }
    hg_sq_put(c, ")");
    return rc;
}

/* The index is the wire's number (BasicSqlDataFilterType). */
static const struct op_row ops[] = {
    [0] = {"equals", op_equal, "="},
    [1] = {"notEquals", op_equal, "<>"},
    [2] = {"lessThan", op_compare, "<"},
    [3] = {"lessThanOrEquals", op_compare, "<="},
    [4] = {"greaterThan", op_compare, ">"},
    [5] = {"greaterThanOrEquals", op_compare, ">="},
    [6] = {"isNull", op_null, " IS NULL"},
    [7] = {"isNotNull", op_null, " IS NOT NULL"},
    [8] = {"regex", op_regex, "=1"},
    [9] = {"notRegex", op_regex, "=0"},
    [10] = {"startsWith", op_affix, ",1,length("},
    [11] = {"endsWith", op_affix, ",-length("},
    [12] = {"contains", op_contains, ")>0"},
    [13] = {"notContains", op_contains, ")=0"},
    [14] = {"arrayContains", op_array, "contains"},
    [15] = {"arrayContainedBy", op_array, "within"},
    [16] = {"arrayOverlaps", op_array, "overlaps"},
    [17] = {"arrayEquals", op_array, "equals"},
    [18] = {"arrayNotEquals", op_array, "!equals"},
    [19] = {"arrayEmpty", op_length, ")=0"},
    [20] = {"arrayNotEmpty", op_length, ")>0"},
    [21] = {"arrayLength", op_length, NULL},
    [22] = {"jsonContains", op_contained, "column"},
    [23] = {"jsonContainedBy", op_contained, "value"},
    [24] = {"jsonHasKey", op_has, "1,1)"},
    [25] = {"jsonHasAnyKey", op_has, "n,0)"},
    [26] = {"jsonHasAllKeys", op_has, "n,1)"},
    [27] = {"jsonGetField", op_get, "json"},
    [28] = {"jsonGetFieldAsText", op_get, "text"},
    [29] = {"between", op_between, " BETWEEN "},
    [30] = {"notBetween", op_between, " NOT BETWEEN "},
    [31] = {"rangeContains", op_range, "column"},
    [32] = {"rangeContainedBy", op_range, "value"},
    [33] = {"inList", op_list, " IN ("},
    [34] = {"notInList", op_list, " NOT IN ("},
};

/* "regex: title: this operator takes a text" */
static void name_operator(struct hg_sq_ctx *c, const char *name)
{
    struct hg_buf said = *c->why;

    *c->why = (struct hg_buf){0};
    hg_buf_addf(c->why, "%s: ", name);
    hg_buf_add_slice(c->why, hg_buf_slice(&said));
    hg_buf_fini(&said);
}

int hg_sq_put_op(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col)
{
    if (f->op >= HG_COUNTOF(ops))
        return hg_sq_refuse(c, "unknown operator", f->field);
    int rc = ops[f->op].emit(c, f, col, ops[f->op].arg);
    if (rc < 0)
        name_operator(c, ops[f->op].name);
    return rc;
}
