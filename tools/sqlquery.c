#include "tools/sqlquery.h"
#include <stdlib.h>
#include "common/base/err.h"

struct ctx {
    const struct hg_table *t;
    struct hg_sq_sql *out;
    struct hg_buf *why;
    size_t nodes;
};

static int refuse(struct ctx *c, const char *what, struct hg_slice field)
{
    hg_buf_addf(c->why, "%.*s: %s", (int)HG_MIN(field.n, 128u), field.p ? field.p : "", what);
    return -HG_E_BAD_QUERY;
}

static void put(struct ctx *c, const char *s)
{
    hg_buf_adds(&c->out->text, s);
}

void hg_sq_param(struct hg_sq_sql *out, struct hg_sq_scalar v)
{
    if (out->nparams == out->cap) {
        out->cap = out->cap ? out->cap * 2 : 16;
        out->params = hg_realloc(out->params, out->cap * sizeof(*out->params));
    }
    out->params[out->nparams++] = v;
    hg_buf_addc(&out->text, '?');
}

void hg_sq_sql_fini(struct hg_sq_sql *sql)
{
    hg_buf_fini(&sql->text);
    free(sql->params);
    *sql = (struct hg_sq_sql){0};
}

static int bind_real(sqlite3_stmt *st, int i, double d)
{
    /* 5.0 means 5 to whoever wrote the query, also against a TEXT column, where SQLite would
     * compare with '5.0'. */
    if (d >= -9007199254740992.0 && d <= 9007199254740992.0 && (double)(int64_t)d == d)
        return sqlite3_bind_int64(st, i, (int64_t)d);
    return sqlite3_bind_double(st, i, d);
}

static int bind_one(sqlite3_stmt *st, int i, const struct hg_sq_scalar *v)
{
    switch (v->type) {
    case HG_SQ_INT:
        return sqlite3_bind_int64(st, i, v->i);
    case HG_SQ_REAL:
        return bind_real(st, i, v->d);
    case HG_SQ_TEXT:
        return sqlite3_bind_text64(st, i, v->text.p ? v->text.p : "", v->text.n, SQLITE_TRANSIENT,
                                   SQLITE_UTF8);
    case HG_SQ_NULL:
        break;
    }
    return sqlite3_bind_null(st, i);
}

int hg_sq_bind(sqlite3_stmt *st, const struct hg_sq_sql *sql)
{
    for (size_t i = 0; i < sql->nparams; i++) {
        int rc = bind_one(st, (int)i + 1, &sql->params[i]);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

/* ---- operators ---- */

/* Emits the condition of one filter on one column. arg comes from the operator's row. */
typedef int (*op_fn)(struct ctx *c, const struct hg_sq_filter *f, const char *col, const char *arg);

struct op_row {
    const char *name;
    op_fn emit; /* NULL: SQLite can't express it */
    const char *arg;
};

static void put_col(struct ctx *c, const struct hg_sq_filter *f, const char *col)
{
    put(c, f->case_insensitive ? "lower(" : "");
    put(c, col);
    put(c, f->case_insensitive ? ")" : "");
}

static void put_val(struct ctx *c, const struct hg_sq_filter *f, const struct hg_sq_scalar *v)
{
    put(c, f->case_insensitive ? "lower(" : "");
    hg_sq_param(c->out, *v);
    put(c, f->case_insensitive ? ")" : "");
}

static int one_value(struct ctx *c, const struct hg_sq_filter *f)
{
    if (f->value.list)
        return refuse(c, "this operator takes one value, not a list", f->field);
    return f->value.n == 1 ? 0 : refuse(c, "a value is missing", f->field);
}

static int op_null(struct ctx *c, const struct hg_sq_filter *f, const char *col, const char *arg)
{
    (void)f;
    put(c, col);
    put(c, arg);
    return 0;
}

static int op_compare(struct ctx *c, const struct hg_sq_filter *f, const char *col, const char *arg)
{
    int rc = one_value(c, f);
    if (rc < 0)
        return rc;
    if (f->value.items[0].type == HG_SQ_NULL)
        return refuse(c, "null has no order; use isNull or isNotNull", f->field);
    put_col(c, f, col);
    put(c, arg);
    put_val(c, f, &f->value.items[0]);
    return 0;
}

static int op_equal(struct ctx *c, const struct hg_sq_filter *f, const char *col, const char *arg)
{
    if (!f->value.list && f->value.n == 1 && f->value.items[0].type == HG_SQ_NULL)
        return op_null(c, f, col, arg[0] == '=' ? " IS NULL" : " IS NOT NULL");
    return op_compare(c, f, col, arg);
}

static int text_value(struct ctx *c, const struct hg_sq_filter *f)
{
    int rc = one_value(c, f);
    if (rc < 0)
        return rc;
    return f->value.items[0].type == HG_SQ_TEXT ? 0
                                                : refuse(c, "this operator takes a text", f->field);
}

/* instr and substr instead of LIKE: the text has no wildcards, and case counts. */
static int op_contains(struct ctx *c, const struct hg_sq_filter *f, const char *col,
                       const char *arg)
{
    int rc = text_value(c, f);
    if (rc < 0)
        return rc;
    put(c, "instr(");
    put_col(c, f, col);
    put(c, ",");
    put_val(c, f, &f->value.items[0]);
    put(c, arg);
    return 0;
}

static int op_affix(struct ctx *c, const struct hg_sq_filter *f, const char *col, const char *arg)
{
    int rc = text_value(c, f);
    if (rc < 0)
        return rc;
    if (f->value.items[0].text.n ==
        0) /* substr(x, -0) is no suffix; every text has the empty one */
        return op_null(c, f, col, " IS NOT NULL");
    put(c, "substr(");
    put_col(c, f, col);
    put(c, arg);
    hg_sq_param(c->out, f->value.items[0]);
    put(c, "))=");
    put_val(c, f, &f->value.items[0]);
    return 0;
}

static int op_between(struct ctx *c, const struct hg_sq_filter *f, const char *col, const char *arg)
{
    if (!f->value.list || f->value.n != 2)
        return refuse(c, "this operator takes a list of two values", f->field);
    put_col(c, f, col);
    put(c, arg);
    put_val(c, f, &f->value.items[0]);
    put(c, " AND ");
    put_val(c, f, &f->value.items[1]);
    return 0;
}

static int op_list(struct ctx *c, const struct hg_sq_filter *f, const char *col, const char *arg)
{
    if (!f->value.list)
        return refuse(c, "this operator takes a list", f->field);
    if (c->out->nparams + f->value.n > HG_SQ_MAX_PARAMS)
        return refuse(c, "too many values", f->field);
    put_col(c, f, col);
    put(c, arg);
    for (size_t i = 0; i < f->value.n; i++) {
        put(c, i ? "," : "");
        put_val(c, f, &f->value.items[i]);
    }
    put(c, ")");
    return 0;
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
    [8] = {"regex", NULL, NULL},
    [9] = {"notRegex", NULL, NULL},
    [10] = {"startsWith", op_affix, ",1,length("},
    [11] = {"endsWith", op_affix, ",-length("},
    [12] = {"contains", op_contains, ")>0"},
    [13] = {"notContains", op_contains, ")=0"},
    [14] = {"arrayContains", NULL, NULL},
    [15] = {"arrayContainedBy", NULL, NULL},
    [16] = {"arrayOverlaps", NULL, NULL},
    [17] = {"arrayEquals", NULL, NULL},
    [18] = {"arrayNotEquals", NULL, NULL},
    [19] = {"arrayEmpty", NULL, NULL},
    [20] = {"arrayNotEmpty", NULL, NULL},
    [21] = {"arrayLength", NULL, NULL},
    [22] = {"jsonContains", NULL, NULL},
    [23] = {"jsonContainedBy", NULL, NULL},
    [24] = {"jsonHasKey", NULL, NULL},
    [25] = {"jsonHasAnyKey", NULL, NULL},
    [26] = {"jsonHasAllKeys", NULL, NULL},
    [27] = {"jsonGetField", NULL, NULL},
    [28] = {"jsonGetFieldAsText", NULL, NULL},
    [29] = {"between", op_between, " BETWEEN "},
    [30] = {"notBetween", op_between, " NOT BETWEEN "},
    [31] = {"rangeContains", NULL, NULL},
    [32] = {"rangeContainedBy", NULL, NULL},
    [33] = {"inList", op_list, " IN ("},
    [34] = {"notInList", op_list, " NOT IN ("},
};

/* ---- filter tree ---- */

static int put_filter(struct ctx *c, const struct hg_sq_filter *f, unsigned depth);

/* SQLite limits the depth of an expression to 1,000 and parses a and b and c as a chain; halves
 * keep it flat. */
static int put_kids(struct ctx *c, const struct hg_sq_filter *f, size_t lo, size_t n,
                    unsigned depth)
{
    if (n == 1)
        return put_filter(c, &f->kids[lo], depth);
    put(c, "(");
    int rc = put_kids(c, f, lo, n / 2, depth);
    if (rc < 0)
        return rc;
    put(c, f->all ? " AND " : " OR ");
    rc = put_kids(c, f, lo + n / 2, n - n / 2, depth);
    put(c, ")");
    return rc;
}

static int put_wrapper(struct ctx *c, const struct hg_sq_filter *f, unsigned depth)
{
    if (depth >= HG_SQ_MAX_DEPTH)
        return refuse(c, "wrappers nested too deep", HG_SLICE_LIT("wrapper"));
    if (f->nkids > 0)
        return put_kids(c, f, 0, f->nkids, depth + 1);
    if (!f->all)
        return refuse(c, "an or without alternatives", HG_SLICE_LIT("wrapper"));
    put(c, "1");
    return 0;
}

static int put_basic(struct ctx *c, const struct hg_sq_filter *f)
{
    int col = hg_table_column(c->t, f->field);
    if (col < 0)
        return refuse(c, "no such column", f->field);
    if (f->op >= HG_COUNTOF(ops))
        return refuse(c, "unknown operator", f->field);
    const struct op_row *row = &ops[f->op];
    if (!row->emit) {
        hg_buf_addf(c->why, "%s: ", row->name);
        return refuse(c, "operator not supported by this worker", f->field);
    }
    if (f->distinct)
        return refuse(c, "modifier distinct is not supported by this worker", f->field);
    struct hg_buf name = {0};
    hg_sql_ident(&name, c->t->cols[col].name);
    hg_buf_addc(&name, 0);
    put(c, "(");
    int rc = row->emit(c, f, name.p, row->arg);
    put(c, ")");
    hg_buf_fini(&name);
    return rc;
}

static int put_filter(struct ctx *c, const struct hg_sq_filter *f, unsigned depth)
{
    if (++c->nodes > HG_SQ_MAX_NODES || c->out->nparams > HG_SQ_MAX_PARAMS)
        return refuse(c, "too many conditions", HG_SLICE_LIT("wrapper"));
    return f->wrapper ? put_wrapper(c, f, depth) : put_basic(c, f);
}

/* ---- order and cursor ---- */

enum { SORT_DESC_DEFAULT = 3, SORT_COUNT = 6 };

static bool has_key(const struct hg_sq_keys *keys, size_t col)
{
    for (size_t i = 0; i < keys->n; i++)
        if (keys->at[i].col == col)
            return true;
    return false;
}

int hg_sq_order_keys(const struct hg_table *t, const struct hg_sq_query *q, struct hg_sq_keys *keys,
                     struct hg_buf *why)
{
    struct ctx c = {.t = t, .why = why};
    keys->n = 0;
    for (size_t i = 0; i < q->norder; i++) {
        const struct hg_sq_order *o = &q->order[i];
        int col = hg_table_column(t, o->field);
        if (col < 0)
            return refuse(&c, "no such column to order by", o->field);
        if (o->sort >= SORT_COUNT)
            return refuse(&c, "unknown sort", o->field);
        if (has_key(keys, (size_t)col))
            return refuse(&c, "ordered by twice", o->field);
        if (keys->n == HG_SQ_MAX_KEYS - 1)
            return refuse(&c, "too many columns to order by", o->field);
        bool desc = o->sort >= SORT_DESC_DEFAULT;
        unsigned nulls = o->sort % 3; /* 0 default, 1 first, 2 last */
        keys->at[keys->n++] = (struct hg_sq_key){
            .col = (size_t)col, .desc = desc, .nulls_first = nulls ? nulls == 1 : desc};
    }
    if (!has_key(keys, t->pk))
        keys->at[keys->n++] = (struct hg_sq_key){.col = t->pk};
    return 0;
}

static int cursor_value(struct ctx *c, const struct hg_sq_query *q, size_t col,
                        const struct hg_sq_scalar **v)
{
    for (size_t i = 0; i < q->ncursor; i++) {
        const struct hg_sq_cursor *e = &q->cursor[i];
        if (!hg_slice_is(e->field, c->t->cols[col].name))
            continue;
        if (e->value.list || e->value.n != 1)
            return refuse(c, "a cursor takes one value per column", e->field);
        *v = &e->value.items[0];
        return 0;
    }
    return refuse(c, "the cursor has no value for this column of the order",
                  hg_slice_str(c->t->cols[col].name));
}

/* "comes after v" on one column; NULLs have their place by nulls_first. */
static void put_after(struct ctx *c, const struct hg_sq_key *k, const struct hg_sq_scalar *v)
{
    const char *name = c->t->cols[k->col].name;
    if (v->type == HG_SQ_NULL) {
        if (!k->nulls_first) {
            put(c, "0");
            return;
        }
        hg_sql_ident(&c->out->text, name);
        put(c, " IS NOT NULL");
        return;
    }
    put(c, "(");
    hg_sql_ident(&c->out->text, name);
    put(c, k->desc ? "<" : ">");
    hg_sq_param(c->out, *v);
    if (!k->nulls_first) {
        put(c, " OR ");
        hg_sql_ident(&c->out->text, name);
        put(c, " IS NULL");
    }
    put(c, ")");
}

static void put_same(struct ctx *c, size_t col, const struct hg_sq_scalar *v)
{
    hg_sql_ident(&c->out->text, c->t->cols[col].name);
    put(c, " IS ");
    hg_sq_param(c->out, *v);
}

/* (a after A) or (a same and (b after B or (b same and ...))); without strict_after the innermost
 * also takes "same". */
static int put_cursor(struct ctx *c, const struct hg_sq_query *q)
{
    struct hg_sq_keys keys;
    int rc = hg_sq_order_keys(c->t, q, &keys, c->why);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < q->ncursor; i++) {
        int col = hg_table_column(c->t, q->cursor[i].field);
        if (col < 0 || !has_key(&keys, (size_t)col))
            return refuse(c, "a cursor column that the order does not have", q->cursor[i].field);
    }
    for (size_t i = 0; i < keys.n; i++) {
        const struct hg_sq_scalar *v;
        rc = cursor_value(c, q, keys.at[i].col, &v);
        if (rc < 0)
            return rc;
        put(c, "(");
        put_after(c, &keys.at[i], v);
        if (i + 1 == keys.n && q->strict_after)
            continue;
        put(c, " OR (");
        put_same(c, keys.at[i].col, v);
        put(c, i + 1 < keys.n ? " AND " : ")");
    }
    size_t open = 2 * keys.n - 1;
    for (size_t i = 0; i < open; i++)
        put(c, ")");
    return 0;
}

/* ---- statements ---- */

int hg_sq_where(const struct hg_table *t, const struct hg_sq_query *q, struct hg_sq_sql *out,
                struct hg_buf *why)
{
    struct ctx c = {.t = t, .out = out, .why = why};
    if (q->company.n == 0)
        return refuse(&c, "missing", HG_SLICE_LIT("companyId"));
    hg_sql_ident(&out->text, HG_TENANT_COLUMN);
    put(&c, "=");
    hg_sq_param(out, hg_sq_text(q->company));
    int rc = 0;
    if (q->filter) {
        put(&c, " AND (");
        rc = put_filter(&c, q->filter, 0);
        put(&c, ")");
    }
    if (rc == 0 && q->ncursor) {
        put(&c, " AND ");
        rc = put_cursor(&c, q);
    }
    return rc;
}

static void put_order(struct hg_buf *sql, const struct hg_table *t, const struct hg_sq_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++) {
        hg_buf_adds(sql, i ? ", " : " ORDER BY ");
        hg_sql_ident(sql, t->cols[keys->at[i].col].name);
        hg_buf_adds(sql, keys->at[i].desc ? " DESC" : " ASC");
        hg_buf_adds(sql, keys->at[i].nulls_first ? " NULLS FIRST" : " NULLS LAST");
    }
}

int hg_sq_select(const struct hg_table *t, const struct hg_sq_query *q, struct hg_sq_sql *out,
                 struct hg_buf *why)
{
    struct hg_sq_keys keys;
    int rc = hg_sq_order_keys(t, q, &keys, why);
    if (rc < 0)
        return rc;
    hg_buf_adds(&out->text, "SELECT ");
    hg_table_row_json(t, NULL, &out->text);
    for (size_t i = 0; i < keys.n; i++) {
        hg_buf_addc(&out->text, ',');
        hg_sql_ident(&out->text, t->cols[keys.at[i].col].name);
    }
    hg_buf_adds(&out->text, " FROM ");
    hg_sql_ident(&out->text, t->name);
    hg_buf_adds(&out->text, " WHERE ");
    rc = hg_sq_where(t, q, out, why);
    if (rc < 0)
        return rc;
    put_order(&out->text, t, &keys);
    hg_buf_adds(&out->text, " LIMIT ");
    hg_sq_param(out,
                (struct hg_sq_scalar){.type = HG_SQ_INT, .i = q->limit ? (int64_t)q->limit : -1});
    hg_buf_adds(&out->text, " OFFSET ");
    hg_sq_param(out, (struct hg_sq_scalar){.type = HG_SQ_INT, .i = q->offset});
    return 0;
}
