/*
 * RUN_AGGREGATION: count, sums, averages, least and greatest over the rows that the filter lets
 * through. One SELECT. Integers stay exact; a sum beyond 64 bits is refused rather than rounded. A
 * column without any value is left out.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "tools/calls_priv.h"

static const char *const functions[HG_FBW_AGGS] = {"sum", "avg", "min", "max"};

/* The wire carries numbers only. */
static bool sums(const struct hg_column *col)
{
    return hg_table_is_number(col) && col->kind != HG_COLUMN_BOOL;
}

static int put_columns(struct hg_call *c, enum hg_fbw_agg m, struct hg_buf *sql)
{
    const struct hg_fbw_names *names = &c->rq->agg[m];
    for (size_t i = 0; i < names->n; i++) {
        int col = hg_table_column(&c->t, names->at[i]);
        const char *text = col < 0                  ? "no such column"
                           : !sums(&c->t.cols[col]) ? "not a column of numbers"
                                                    : NULL;
        if (text) {
            hg_buf_addf(&c->why, "%s of %.*s: %s", functions[m], (int)HG_MIN(names->at[i].n, 128u),
                        names->at[i].p ? names->at[i].p : "", text);
            return -HG_E_BAD_QUERY;
        }
        hg_buf_addf(sql, ", %s(", functions[m]);
        hg_sql_ident(sql, c->t.cols[col].name);
        hg_buf_addc(sql, ')');
    }
    return 0;
}

static int put_select(struct hg_call *c, struct hg_sq_sql *sql)
{
    size_t n = c->rq->count;
    hg_buf_adds(&sql->text, "SELECT count(*)");
    for (int m = 0; m < HG_FBW_AGGS; m++) {
        int rc = put_columns(c, (enum hg_fbw_agg)m, &sql->text);
        if (rc < 0)
            return rc;
        n += c->rq->agg[m].n;
    }
    if (n == 0)
        return hg_call_bad(c, "nothing to aggregate: no count and no columns");
    hg_buf_adds(&sql->text, " FROM ");
    hg_sql_ident(&sql->text, c->t.name);
    hg_buf_adds(&sql->text, " WHERE ");
    return hg_sq_where(&c->t, &c->rq->query, sql, &c->why);
}

/* The shortest text that reads back as the same double. */
static struct hg_slice real_text(struct hg_arena *a, double d)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    return hg_call_keep(a, text, strlen(text));
}

/* false: nothing to say about this column. Text in a column of numbers goes as it is; the gateway
 * makes null of it. */
static bool value_text(struct hg_arena *a, sqlite3_stmt *st, int at, struct hg_slice *out)
{
    int type = sqlite3_column_type(st, at);
    if (type == SQLITE_NULL || (type == SQLITE_FLOAT && !isfinite(sqlite3_column_double(st, at))))
        return false;
    if (type == SQLITE_FLOAT)
        *out = real_text(a, sqlite3_column_double(st, at));
    else
        *out = hg_call_keep(a, sqlite3_column_text(st, at), (size_t)sqlite3_column_bytes(st, at));
    return true;
}

static void give(struct hg_call *c, sqlite3_stmt *st)
{
    struct hg_fbw_reply *reply = &c->ans->reply;
    int at = 1;
    reply->data = HG_FBW_AGG;
    reply->count = c->rq->count ? (uint32_t)sqlite3_column_int64(st, 0) : 0;
    for (int m = 0; m < HG_FBW_AGGS; m++) {
        const struct hg_fbw_names *names = &c->rq->agg[m];
        struct hg_fbw_pair *pairs = hg_arena_alloc(c->a, (names->n + 1) * sizeof(*pairs));
        reply->maps[m].at = pairs;
        for (size_t i = 0; i < names->n; i++, at++) {
            struct hg_fbw_pair *p = &pairs[reply->maps[m].n];
            p->key = names->at[i];
            reply->maps[m].n += value_text(c->a, st, at, &p->value);
        }
    }
}

static int failed(struct hg_call *c)
{
    if (strstr(sqlite3_errmsg(c->db), "integer overflow"))
        return hg_call_bad(c, "a sum of integers is beyond 64 bits");
    return hg_call_failed(c);
}

int hg_call_run_aggregation(struct hg_call *c)
{
    struct hg_sq_sql sql = {0};
    sqlite3_stmt *st = NULL;
    int rc = put_select(c, &sql);
    if (rc == 0)
        rc = hg_call_prepare(c, &sql, &st);
    if (rc == 0 && sqlite3_step(st) != SQLITE_ROW)
        rc = failed(c);
    if (rc == 0 && sqlite3_column_int64(st, 0) > UINT32_MAX)
        rc = hg_call_bad(c, "more rows than the wire's count can say");
    if (rc == 0)
        give(c, st);
    sqlite3_finalize(st);
    hg_sq_sql_fini(&sql);
    return rc;
}
