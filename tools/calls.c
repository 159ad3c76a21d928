#include "tools/calls_priv.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>
#include "common/base/err.h"
#include "proto/utf8.h"
#include "tools/store.h"

typedef int (*call_fn)(struct hg_call *c);

int hg_call_bad(struct hg_call *c, const char *text)
{
    hg_buf_adds(&c->why, text);
    return -HG_E_BAD_QUERY;
}

/* A broken constraint or a value of the wrong type is the caller's, everything else ours. */
int hg_call_failed(struct hg_call *c)
{
    int code = sqlite3_errcode(c->db) & 0xff;
    hg_buf_addf(&c->why, "%s", sqlite3_errmsg(c->db));
    if (code == SQLITE_INTERRUPT) {
        hg_buf_reset(&c->why);
        return hg_call_bad(c, "the call takes too long");
    }
    bool caller = code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH || code == SQLITE_TOOBIG;
    return caller ? -HG_E_BAD_QUERY : -HG_E_SYS;
}

struct hg_slice hg_call_keep(struct hg_arena *a, const void *p, size_t n)
{
    char *copy = hg_arena_alloc(a, n + 1);
    if (n)
        memcpy(copy, p, n);
    return hg_slice_of(copy, n);
}

/* Another program may have put anything into a text; one such row shall not make the gateway refuse
 * the whole answer. What belongs to no character becomes U+FFFD. */
static struct hg_slice keep_row(struct hg_arena *a, const char *p, size_t n)
{
    struct hg_buf b = {0};
    struct hg_slice row;

    if (hg_utf8_valid(p, n))
        return hg_call_keep(a, p, n);
    for (size_t i = 0, len; i < n; i += len) {
        for (len = 1; len < 4 && i + len < n && !hg_utf8_valid(p + i, len); len++)
            ;
        if (hg_utf8_valid(p + i, len))
            hg_buf_add(&b, p + i, len);
        else
            hg_buf_adds(&b, "\xef\xbf\xbd"), len = 1;
    }
    row = hg_call_keep(a, b.p, b.n);
    hg_buf_fini(&b);
    return row;
}

int hg_call_prepare(struct hg_call *c, const struct hg_sq_sql *sql, sqlite3_stmt **st)
{
    if (sqlite3_prepare_v2(c->db, sql->text.p, (int)sql->text.n, st, NULL) != SQLITE_OK)
        return hg_call_failed(c);
    if (hg_sq_bind(*st, sql) == SQLITE_OK)
        return 0;
    sqlite3_finalize(*st);
    return hg_call_failed(c);
}

/* ---- GET_DATA ---- */

struct rows {
    struct hg_slice *at;
    size_t n, cap, bytes;
    bool with_cursor;
    struct hg_sq_cursor *cursor; /* order columns of the last row, in last */
    size_t ncursor;
    struct hg_arena last;
};

static int add_row(struct hg_call *c, struct rows *r, sqlite3_stmt *st)
{
    size_t n = (size_t)sqlite3_column_bytes(st, 0);
    const void *p = sqlite3_column_text(st, 0);
    r->bytes += n + 8;
    if (r->bytes > c->lim->max_reply)
        return hg_call_bad(c, "the answer is too large; ask for fewer rows");
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->at = hg_realloc(r->at, r->cap * sizeof(*r->at));
    }
    r->at[r->n++] = keep_row(c->a, p, n);
    return 0;
}

/* false: it would come back as something else, and the next page begin somewhere else. */
static bool column_value(struct hg_arena *a, sqlite3_stmt *st, int i, struct hg_sq_scalar *out)
{
    struct hg_sq_scalar v = {0};
    switch (sqlite3_column_type(st, i)) {
    case SQLITE_INTEGER:
        v.type = HG_SQ_INT;
        v.i = sqlite3_column_int64(st, i);
        break;
    case SQLITE_FLOAT:
        v.type = HG_SQ_REAL;
        v.d = sqlite3_column_double(st, i);
        break;
    case SQLITE_TEXT:
        v.type = HG_SQ_TEXT;
        v.text = hg_call_keep(a, sqlite3_column_text(st, i), (size_t)sqlite3_column_bytes(st, i));
        break;
    case SQLITE_BLOB:
        return false;
    default:
        break;
    }
    *out = v;
    return v.type == HG_SQ_TEXT   ? hg_utf8_valid(v.text.p, v.text.n)
           : v.type == HG_SQ_REAL ? isfinite(v.d)
                                  : true;
}

/* Every row overwrites the one before: which is the last shows only at the end. */
static void note_cursor(struct hg_call *c, const struct hg_sq_keys *keys, sqlite3_stmt *st,
                        struct rows *r)
{
    hg_arena_fini(&r->last);
    r->cursor = hg_arena_alloc(&r->last, keys->n * sizeof(*r->cursor));
    r->ncursor = 0;
    for (size_t i = 0; i < keys->n; i++) {
        const char *name = c->t.cols[keys->at[i].col].name;
        struct hg_sq_scalar *v = hg_arena_alloc(&r->last, sizeof(*v));
        if (!column_value(&r->last, st, (int)i + 1, v))
            continue; /* who goes on from here is told that this column is missing */
        r->cursor[r->ncursor].field = hg_call_keep(&r->last, name, strlen(name));
        r->cursor[r->ncursor++].value = (struct hg_sq_value){.items = v, .n = 1};
    }
}

static int read_rows(struct hg_call *c, sqlite3_stmt *st, struct rows *r)
{
    struct hg_sq_keys keys;
    int rc = hg_sq_order_keys(&c->t, &c->rq->query, &keys, &c->why), step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        rc = add_row(c, r, st);
        if (r->with_cursor)
            note_cursor(c, &keys, st, r);
    }
    if (rc == 0 && step != SQLITE_DONE)
        return hg_call_failed(c);
    return rc;
}

/* Rows and position in one read transaction: that is what makes the position exact. */
static int select_rows(struct hg_call *c, sqlite3_stmt *st, struct rows *r)
{
    int rc = hg_store_exec(c->db, "BEGIN", &c->why);
    if (rc < 0)
        return rc;
    c->ans->lsn = hg_store_lsn(c->db);
    rc = c->ans->lsn < 0 ? hg_call_failed(c) : read_rows(c, st, r);
    sqlite3_reset(st);
    sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}

static void give_rows(struct hg_call *c, struct rows *r)
{
    struct hg_fbw_reply *reply = &c->ans->reply;
    c->ans->has_lsn = true;
    reply->data = r->with_cursor ? HG_FBW_ROWS_CURSOR : HG_FBW_ROWS;
    reply->rows =
        (const struct hg_slice *)(const void *)hg_call_keep(c->a, r->at, r->n * sizeof(*r->at)).p;
    reply->nrows = r->n;
    reply->cursor = r->cursor;
    reply->ncursor = r->ncursor;
    hg_arena_adopt(c->a, &r->last);
}

static int call_get_data(struct hg_call *c)
{
    const struct hg_sq_query *q = &c->rq->query;
    struct hg_sq_sql sql = {0};
    struct rows r = {.with_cursor = q->norder || q->ncursor};
    sqlite3_stmt *st = NULL;
    int rc = hg_sq_select(&c->t, q, &sql, &c->why);
    if (rc == 0)
        rc = hg_call_prepare(c, &sql, &st);
    if (rc == 0)
        rc = select_rows(c, st, &r);
    if (rc == 0)
        give_rows(c, &r);
    sqlite3_finalize(st);
    hg_sq_sql_fini(&sql);
    hg_arena_fini(&r.last);
    free(r.at);
    return rc;
}

/* ---- one row by its primary key ---- */

static int check_pk(struct hg_call *c)
{
    struct hg_slice col = c->rq->pk_column;
    if (c->rq->query.company.n == 0)
        return hg_call_bad(c, "companyId: missing");
    if (col.n && !hg_slice_is(col, c->t.cols[c->t.pk].name)) {
        hg_buf_addf(&c->why, "%.*s is not the primary key", (int)HG_MIN(col.n, 128u), col.p);
        return -HG_E_BAD_QUERY;
    }
    return 0;
}

/* WHERE company_id = ? AND <pk> = ?; the column's affinity turns "5" into 5 where it is a
 * number. */
static void put_where_pk(struct hg_call *c, struct hg_sq_sql *sql)
{
    hg_buf_adds(&sql->text, " WHERE ");
    hg_sql_ident(&sql->text, HG_TENANT_COLUMN);
    hg_buf_adds(&sql->text, "=");
    hg_sq_param(sql, hg_sq_text(c->rq->query.company));
    hg_buf_adds(&sql->text, " AND ");
    hg_sql_ident(&sql->text, c->t.cols[c->t.pk].name);
    hg_buf_adds(&sql->text, "=");
    hg_sq_param(sql, hg_sq_text(c->rq->pk));
}

/* Runs a statement that gives one row of JSON or none. */
static int run_row(struct hg_call *c, sqlite3_stmt *st)
{
    int step = sqlite3_step(st);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return hg_call_failed(c);
    c->ans->reply.data = HG_FBW_ROW;
    if (step == SQLITE_DONE)
        return 0;
    struct hg_slice *row = hg_arena_alloc(c->a, sizeof(*row));
    *row = keep_row(c->a, (const char *)sqlite3_column_text(st, 0),
                    (size_t)sqlite3_column_bytes(st, 0));
    c->ans->reply.rows = row;
    c->ans->reply.nrows = 1;
    /* An INSERT ... RETURNING is done only after the step that says so. */
    return sqlite3_step(st) == SQLITE_DONE ? 0 : hg_call_failed(c);
}

static int run_change(struct hg_call *c, sqlite3_stmt *st)
{
    if (sqlite3_step(st) != SQLITE_DONE)
        return hg_call_failed(c);
    c->ans->reply.data = HG_FBW_BOOL;
    c->ans->reply.value = sqlite3_changes(c->db) > 0;
    return 0;
}

static int call_get_single(struct hg_call *c)
{
    struct hg_sq_sql sql = {0};
    sqlite3_stmt *st = NULL;
    int rc = check_pk(c);
    hg_buf_adds(&sql.text, "SELECT ");
    hg_table_row_json(&c->t, NULL, &sql.text);
    hg_buf_adds(&sql.text, " FROM ");
    hg_sql_ident(&sql.text, c->t.name);
    put_where_pk(c, &sql);
    if (rc == 0)
        rc = hg_call_prepare(c, &sql, &st);
    if (rc == 0)
        rc = run_row(c, st);
    sqlite3_finalize(st);
    hg_sq_sql_fini(&sql);
    return rc;
}

static int call_delete_row(struct hg_call *c)
{
    struct hg_sq_sql sql = {0};
    sqlite3_stmt *st = NULL;
    int rc = check_pk(c);
    hg_buf_adds(&sql.text, "DELETE FROM ");
    hg_sql_ident(&sql.text, c->t.name);
    put_where_pk(c, &sql);
    if (rc == 0)
        rc = hg_call_prepare(c, &sql, &st);
    if (rc == 0)
        rc = run_change(c, st);
    sqlite3_finalize(st);
    hg_sq_sql_fini(&sql);
    return rc;
}

/* ---- writing ---- */

/* Our own statements bind text, the fields whatever JSON said: their places come first. */
static int bind_fields(struct hg_call *c, sqlite3_stmt *st, const struct hg_call_fields *f, int *at)
{
    for (size_t i = 0; i < c->t.ncols; i++)
        if (f->values[i] && sqlite3_bind_value(st, (*at)++, f->values[i]) != SQLITE_OK)
            return hg_call_failed(c);
    return 0;
}

static int bind_text(struct hg_call *c, sqlite3_stmt *st, int at, struct hg_slice s)
{
    return sqlite3_bind_text64(st, at, s.p ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK
               ? 0
               : hg_call_failed(c);
}

static int check_updates(struct hg_call *c, const struct hg_call_fields *f)
{
    if (f->values[c->t.company])
        return hg_call_bad(c, HG_TENANT_COLUMN " can't be changed");
    return f->values[c->t.pk] ? hg_call_bad(c, "the primary key can't be changed") : 0;
}

/* A TIMESTAMP column updated_at follows the change unless the caller sets it. */
static int touched_column(struct hg_call *c, const struct hg_call_fields *f)
{
    int col = hg_table_column(&c->t, HG_SLICE_LIT("updated_at"));
    return col >= 0 && !f->values[col] && !strcmp(c->t.cols[col].decl, "TIMESTAMP") ? col : -1;
}

static void put_assignments(struct hg_call *c, const struct hg_call_fields *f, int touched,
                            struct hg_buf *sql)
{
    const char *sep = " SET ";
    for (size_t i = 0; i < c->t.ncols; i++) {
        if (!f->values[i])
            continue;
        hg_buf_adds(sql, sep);
        hg_sql_ident(sql, c->t.cols[i].name);
        hg_buf_adds(sql, "=?");
        sep = ",";
    }
    if (touched >= 0)
        hg_buf_addf(sql, ",updated_at=%lld", (long long)c->lim->now_us);
}

static int run_update(struct hg_call *c, const struct hg_call_fields *f)
{
    struct hg_buf sql = {0};
    sqlite3_stmt *st = NULL;
    int at = 1, rc;
    hg_buf_adds(&sql, "UPDATE ");
    hg_sql_ident(&sql, c->t.name);
    put_assignments(c, f, touched_column(c, f), &sql);
    hg_buf_adds(&sql, " WHERE " HG_TENANT_COLUMN "=? AND ");
    hg_sql_ident(&sql, c->t.cols[c->t.pk].name);
    hg_buf_adds(&sql, "=?");
    rc = sqlite3_prepare_v2(c->db, sql.p, (int)sql.n, &st, NULL) == SQLITE_OK ? 0
                                                                              : hg_call_failed(c);
    if (rc == 0)
        rc = bind_fields(c, st, f, &at);
    if (rc == 0)
        rc = bind_text(c, st, at++, c->rq->query.company);
    if (rc == 0)
        rc = bind_text(c, st, at, c->rq->pk);
    if (rc == 0)
        rc = run_change(c, st);
    sqlite3_finalize(st);
    hg_buf_fini(&sql);
    return rc;
}

static int call_update_single(struct hg_call *c)
{
    struct hg_call_fields f = {0};
    int rc = check_pk(c);
    if (rc == 0)
        rc = hg_call_read_fields(c, &f);
    if (rc == 0)
        rc = check_updates(c, &f);
    if (rc == 0)
        rc = run_update(c, &f);
    hg_call_fields_fini(c, &f);
    return rc;
}

/* The company of the call goes into every new row; one that says another is refused. */
static int set_company(struct hg_call *c, struct hg_call_fields *f)
{
    struct hg_slice company = c->rq->query.company;
    sqlite3_value **v = &f->values[c->t.company];
    if (*v) {
        struct hg_slice said = hg_slice_of(sqlite3_value_text(*v), (size_t)sqlite3_value_bytes(*v));
        return hg_slice_eq(said, company) ? 0
                                          : hg_call_bad(c, HG_TENANT_COLUMN " of another company");
    }
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(c->db, "SELECT ?1", -1, &st, NULL) != SQLITE_OK)
        return hg_call_failed(c);
    int rc = bind_text(c, st, 1, company);
    if (rc == 0 && sqlite3_step(st) == SQLITE_ROW)
        *v = sqlite3_value_dup(sqlite3_column_value(st, 0));
    sqlite3_finalize(st);
    return *v ? 0 : hg_call_failed(c);
}

static int run_insert(struct hg_call *c, const struct hg_call_fields *f)
{
    struct hg_buf sql = {0}, marks = {0};
    sqlite3_stmt *st = NULL;
    int at = 1, rc;
    hg_buf_adds(&sql, "INSERT INTO ");
    hg_sql_ident(&sql, c->t.name);
    for (size_t i = 0; i < c->t.ncols; i++) {
        if (!f->values[i])
            continue;
        hg_buf_adds(&sql, marks.n ? "," : "(");
        hg_sql_ident(&sql, c->t.cols[i].name);
        hg_buf_adds(&marks, marks.n ? ",?" : "?");
    }
    hg_buf_adds(&sql, ") VALUES (");
    hg_buf_add_slice(&sql, hg_buf_slice(&marks));
    hg_buf_adds(&sql, ") RETURNING ");
    hg_table_row_json(&c->t, NULL, &sql);
    rc = sqlite3_prepare_v2(c->db, sql.p, (int)sql.n, &st, NULL) == SQLITE_OK ? 0
                                                                              : hg_call_failed(c);
    if (rc == 0)
        rc = bind_fields(c, st, f, &at);
    if (rc == 0)
        rc = run_row(c, st);
    sqlite3_finalize(st);
    hg_buf_fini(&sql);
    hg_buf_fini(&marks);
    return rc;
}

static int call_add_single(struct hg_call *c)
{
    struct hg_call_fields f = {0};
    int rc = check_pk(c);
    if (rc == 0)
        rc = hg_call_read_fields(c, &f);
    if (rc == 0)
        rc = set_company(c, &f);
    if (rc == 0)
        rc = run_insert(c, &f);
    hg_call_fields_fini(c, &f);
    return rc;
}

/* ---- dispatch ---- */

static int table_exists(struct hg_call *c)
{
    int rc = hg_table_load(c->db, c->rq->query.table, &c->t, &c->why);
    if (rc == -HG_E_SYS)
        return rc;
    c->ans->reply.data = HG_FBW_BOOL;
    c->ans->reply.value = rc == 0;
    if (rc == 0)
        hg_table_fini(&c->t);
    return 0;
}

static const struct {
    call_fn run;
    bool without_table; /* it looks for the table itself */
} methods[HG_FBW_METHODS] = {
    [HG_FBW_GET_DATA] = {call_get_data, false},
    [HG_FBW_GET_SINGLE] = {call_get_single, false},
    [HG_FBW_ADD_SINGLE] = {call_add_single, false},
    [HG_FBW_UPDATE_SINGLE] = {call_update_single, false},
    [HG_FBW_DELETE_ROW] = {call_delete_row, false},
    [HG_FBW_CREATE_TABLE] = {hg_call_create_table, true},
    [HG_FBW_TABLE_EXISTS] = {table_exists, true},
    [HG_FBW_RUN_AGGREGATION] = {hg_call_run_aggregation, false},
};

static int run(struct hg_call *c)
{
    if (c->rq->method >= HG_FBW_METHODS)
        return hg_call_bad(c, "unknown method");
    if (methods[c->rq->method].without_table)
        return methods[c->rq->method].run(c);
    int rc = hg_table_load(c->db, c->rq->query.table, &c->t, &c->why);
    if (rc < 0)
        return rc;
    rc = methods[c->rq->method].run(c);
    hg_table_fini(&c->t);
    return rc;
}

void hg_call_refuse(struct hg_arena *a, const struct hg_fbw_request *rq, unsigned error,
                    struct hg_slice text, struct hg_call_answer *ans)
{
    *ans = (struct hg_call_answer){.reply = {.correlation_id = rq->correlation_id,
                                             .error = error,
                                             .message = hg_call_keep(a, text.p, text.n)}};
}

static int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Asked every PROGRESS_STEPS instructions of SQLite's; true gives the statement up. */
enum { PROGRESS_STEPS = 100 };
static int is_over(void *deadline_ms)
{
    return clock_ms() > *(const int64_t *)deadline_ms;
}

void hg_call_run(sqlite3 *db, const struct hg_call_limits *lim, const struct hg_fbw_request *rq,
                 struct hg_arena *a, struct hg_call_answer *ans)
{
    struct hg_call c = {.db = db, .lim = lim, .rq = rq, .a = a, .ans = ans};
    int64_t deadline_ms = clock_ms() + lim->max_ms;
    *ans = (struct hg_call_answer){.reply.correlation_id = rq->correlation_id};
    if (lim->max_ms > 0)
        sqlite3_progress_handler(db, PROGRESS_STEPS, is_over, &deadline_ms);
    int rc = run(&c);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    if (rc < 0)
        hg_call_refuse(a, rq,
                       rc == -HG_E_SYS || rc == -HG_E_NOMEM ? HG_FBW_INTERNAL : HG_FBW_BAD_REQUEST,
                       hg_buf_slice(&c.why), ans);
    hg_buf_fini(&c.why);
}
