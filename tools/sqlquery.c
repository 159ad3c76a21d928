#include "tools/sqlquery_priv.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/num.h"

int hg_sq_refuse(struct hg_sq_ctx *c, const char *what, struct hg_slice field)
{
    hg_buf_addf(c->why, "%.*s: %s", (int)HG_MIN(field.n, 128u), field.p ? field.p : "", what);
    return -HG_E_BAD_QUERY;
}

bool hg_sq_fits(const struct hg_column *col, const struct hg_sq_scalar *v)
{
    const char *unused;
    double d;

    return v->type != HG_SQ_TEXT || !hg_table_is_number(col) ||
           hg_num_double(v->text, &d, &unused) == 0;
}

void hg_sq_put(struct hg_sq_ctx *c, const char *s)
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
    hg_arena_fini(&sql->mem);
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

/* ---- filter tree ---- */

static int put_filter(struct hg_sq_ctx *c, const struct hg_sq_filter *f, unsigned depth);

/* SQLite limits the depth of an expression to 1,000 and parses a and b and c as a chain; halves
 * keep it flat. */
static int put_kids(struct hg_sq_ctx *c, const struct hg_sq_filter *f, size_t lo, size_t n,
                    unsigned depth)
{
    if (n == 1)
        return put_filter(c, &f->kids[lo], depth);
    hg_sq_put(c, "(");
    int rc = put_kids(c, f, lo, n / 2, depth);
    if (rc < 0)
        return rc;
    hg_sq_put(c, f->all ? " AND " : " OR ");
    rc = put_kids(c, f, lo + n / 2, n - n / 2, depth);
    hg_sq_put(c, ")");
    return rc;
}

static int put_wrapper(struct hg_sq_ctx *c, const struct hg_sq_filter *f, unsigned depth)
{
    if (depth >= HG_SQ_MAX_DEPTH)
        return hg_sq_refuse(c, "wrappers nested too deep", HG_SLICE_LIT("wrapper"));
    if (f->nkids > 0)
        return put_kids(c, f, 0, f->nkids, depth + 1);
    if (!f->all)
        return hg_sq_refuse(c, "an or without alternatives", HG_SLICE_LIT("wrapper"));
    hg_sq_put(c, "1");
    return 0;
}

static int put_basic(struct hg_sq_ctx *c, const struct hg_sq_filter *f)
{
    int col = hg_table_column(c->t, f->field);
    if (col < 0)
        return hg_sq_refuse(c, "no such column", f->field);
    if (f->distinct)
        return hg_sq_refuse(c, "modifier distinct is not supported by this worker", f->field);
    struct hg_buf name = {0};
    hg_sql_ident(&name, c->t->cols[col].name);
    hg_buf_addc(&name, 0);
    hg_sq_put(c, "(");
    int rc = hg_sq_put_op(c, f, name.p);
    hg_sq_put(c, ")");
    hg_buf_fini(&name);
    return rc;
}

static int put_filter(struct hg_sq_ctx *c, const struct hg_sq_filter *f, unsigned depth)
{
    if (++c->nodes > HG_SQ_MAX_NODES || c->out->nparams > HG_SQ_MAX_PARAMS)
        return hg_sq_refuse(c, "too many conditions", HG_SLICE_LIT("wrapper"));
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
    struct hg_sq_ctx c = {.t = t, .why = why};
    keys->n = 0;
    for (size_t i = 0; i < q->norder; i++) {
        const struct hg_sq_order *o = &q->order[i];
        int col = hg_table_column(t, o->field);
        if (col < 0)
            return hg_sq_refuse(&c, "no such column to order by", o->field);
        if (o->sort >= SORT_COUNT)
            return hg_sq_refuse(&c, "unknown sort", o->field);
        if (has_key(keys, (size_t)col))
            return hg_sq_refuse(&c, "ordered by twice", o->field);
        if (keys->n == HG_SQ_MAX_KEYS - 1)
            return hg_sq_refuse(&c, "too many columns to order by", o->field);
        bool desc = o->sort >= SORT_DESC_DEFAULT;
        unsigned nulls = o->sort % 3; /* 0 default, 1 first, 2 last */
        keys->at[keys->n++] = (struct hg_sq_key){
            .col = (size_t)col, .desc = desc, .nulls_first = nulls ? nulls == 1 : desc};
    }
    if (!has_key(keys, t->pk))
        keys->at[keys->n++] = (struct hg_sq_key){.col = t->pk};
    return 0;
}

static int cursor_value(struct hg_sq_ctx *c, const struct hg_sq_query *q, size_t col,
                        const struct hg_sq_scalar **v)
{
    for (size_t i = 0; i < q->ncursor; i++) {
        const struct hg_sq_cursor *e = &q->cursor[i];
        if (!hg_slice_is(e->field, c->t->cols[col].name))
            continue;
        if (e->value.list || e->value.n != 1)
            return hg_sq_refuse(c, "a cursor takes one value per column", e->field);
        if (!hg_sq_fits(&c->t->cols[col], &e->value.items[0]))
            return hg_sq_refuse(c, "the value is a text, the column one of numbers", e->field);
        *v = &e->value.items[0];
        return 0;
    }
    return hg_sq_refuse(c, "the cursor has no value for this column of the order",
                        hg_slice_str(c->t->cols[col].name));
}

/* "comes after v" on one column; NULLs have their place by nulls_first. */
static void put_after(struct hg_sq_ctx *c, const struct hg_sq_key *k, const struct hg_sq_scalar *v)
{
    const char *name = c->t->cols[k->col].name;
    if (v->type == HG_SQ_NULL) {
        if (!k->nulls_first) {
            hg_sq_put(c, "0");
            return;
        }
        hg_sql_ident(&c->out->text, name);
        hg_sq_put(c, " IS NOT NULL");
        return;
    }
    hg_sq_put(c, "(");
    hg_sql_ident(&c->out->text, name);
    hg_sq_put(c, k->desc ? "<" : ">");
    hg_sq_param(c->out, *v);
    if (!k->nulls_first) {
        hg_sq_put(c, " OR ");
        hg_sql_ident(&c->out->text, name);
        hg_sq_put(c, " IS NULL");
    }
    hg_sq_put(c, ")");
}

static void put_same(struct hg_sq_ctx *c, size_t col, const struct hg_sq_scalar *v)
{
    hg_sql_ident(&c->out->text, c->t->cols[col].name);
    hg_sq_put(c, " IS ");
    hg_sq_param(c->out, *v);
}

/* (a after A) or (a same and (b after B or (b same and ...))); without strict_after the innermost
 * also takes "same". */
static int put_cursor(struct hg_sq_ctx *c, const struct hg_sq_query *q)
{
    struct hg_sq_keys keys;
    int rc = hg_sq_order_keys(c->t, q, &keys, c->why);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < q->ncursor; i++) {
        int col = hg_table_column(c->t, q->cursor[i].field);
        if (col < 0 || !has_key(&keys, (size_t)col))
            return hg_sq_refuse(c, "a cursor column that the order does not have",
                                q->cursor[i].field);
    }
    for (size_t i = 0; i < keys.n; i++) {
        const struct hg_sq_scalar *v;
        rc = cursor_value(c, q, keys.at[i].col, &v);
        if (rc < 0)
            return rc;
        hg_sq_put(c, "(");
        put_after(c, &keys.at[i], v);
        if (i + 1 == keys.n && q->strict_after)
            continue;
        hg_sq_put(c, " OR (");
        put_same(c, keys.at[i].col, v);
        hg_sq_put(c, i + 1 < keys.n ? " AND " : ")");
    }
    size_t open = 2 * keys.n - 1;
    for (size_t i = 0; i < open; i++)
        hg_sq_put(c, ")");
    return 0;
}

/* ---- statements ---- */

int hg_sq_where(const struct hg_table *t, const struct hg_sq_query *q, struct hg_sq_sql *out,
                struct hg_buf *why)
{
    struct hg_sq_ctx c = {.t = t, .out = out, .why = why};
    if (q->company.n == 0)
        return hg_sq_refuse(&c, "missing", HG_SLICE_LIT("companyId"));
    hg_sql_ident(&out->text, HG_TENANT_COLUMN);
    hg_sq_put(&c, "=");
    hg_sq_param(out, hg_sq_text(q->company));
    int rc = 0;
    if (q->filter) {
        hg_sq_put(&c, " AND (");
        rc = put_filter(&c, q->filter, 0);
        hg_sq_put(&c, ")");
    }
    if (rc == 0 && q->ncursor) {
        hg_sq_put(&c, " AND ");
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
