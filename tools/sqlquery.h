/*
 * A query of the wire (FlatBuffers filter, order, cursor, limit) as plain structs, and its
 * compilation to one SQLite statement with bound parameters. Pure: reads a struct hg_table, writes
 * SQL text; the database is touched by hg_sq_bind only.
 *
 *   struct hg_sq_query q = ...;       filled by fb_worker.cc; slices are borrowed from its message
 *   struct hg_sq_sql sql = {0};
 *   if (hg_sq_select(&table, &q, &sql, &why) < 0)    why: a sentence for who sent the query
 *   sqlite3_prepare_v2(db, sql.text.p, (int)sql.text.n, ...);
 *   hg_sq_bind(stmt, &sql);
 *   hg_sq_sql_fini(&sql);
 *
 * 1. Every statement says "company_id" = ? before anything else: a filter is only ever and-ed to
 *    that.
 * 2. Values travel as parameters, identifiers only after they were found among the table's columns.
 * 3. What SQLite can't express, or what makes no sense, is -HG_E_BAD_QUERY with a reason. Never a
 *    wider query.
 * 4. Semantics are SQL's: a comparison with a NULL column is not true, neither is its opposite.
 *    case_insensitive folds ASCII letters only. ASC puts nulls last and DESC first unless told, as
 *    PostgreSQL does.
 * 5. The statement's parameters borrow the query's slices: bind before the message goes.
 */
#ifndef HG_TOOLS_SQLQUERY_H
#define HG_TOOLS_SQLQUERY_H

#include <sqlite3.h>
#include "common/base/buf.h"
#include "tools/arena.h"
#include "tools/table.h"

enum { HG_SQ_MAX_DEPTH = 32, HG_SQ_MAX_NODES = 4096, HG_SQ_MAX_PARAMS = 10000 };

enum hg_sq_type { HG_SQ_NULL, HG_SQ_INT, HG_SQ_REAL, HG_SQ_TEXT };

struct hg_sq_scalar {
    enum hg_sq_type type;
    int64_t i; /* INT; booleans are 0 and 1, timestamps microseconds */
    double d;
    struct hg_slice text;
};

struct hg_sq_value {
    bool list; /* items are a list; otherwise n is 1, or 0 when the message had no value */
    const struct hg_sq_scalar *items;
    size_t n;
};

struct hg_sq_filter {
    bool wrapper;
    /* wrapper */
    bool all; /* and; otherwise or */
    struct hg_sq_filter *kids;
    size_t nkids;
    /* basic */
    struct hg_slice field;
    unsigned op; /* number of BasicSqlDataFilterType */
    struct hg_sq_value value;
    bool case_insensitive;
    bool distinct;
};

struct hg_sq_order {
    struct hg_slice field;
    unsigned sort; /* number of OrderSort */
};

struct hg_sq_cursor {
    struct hg_slice field;
    struct hg_sq_value value;
};

struct hg_sq_query {
    struct hg_slice company;
    struct hg_slice table;
    const struct hg_sq_filter *filter; /* NULL: all rows of the company */
    const struct hg_sq_order *order;
    size_t norder;
    const struct hg_sq_cursor *cursor;
    size_t ncursor;
    uint32_t limit; /* 0: none */
    uint32_t offset;
    bool strict_after; /* rows after the cursor; otherwise the cursor's own row too */
};

struct hg_sq_sql {
    struct hg_buf text;
    struct hg_sq_scalar *params;
    size_t nparams;
    size_t cap;
    struct hg_arena mem; /* of parameters that were made here */
};

/* One column of the order a select really uses: what was asked for, then the primary key as the
 * tie-break. */
struct hg_sq_key {
    size_t col;
    bool desc;
    bool nulls_first;
};
enum { HG_SQ_MAX_KEYS = 16 };
struct hg_sq_keys {
    struct hg_sq_key at[HG_SQ_MAX_KEYS];
    size_t n;
};
int hg_sq_order_keys(const struct hg_table *t, const struct hg_sq_query *q, struct hg_sq_keys *keys,
                     struct hg_buf *why) HG_MUST_CHECK;

/* SELECT <row as JSON>, <order columns> FROM t WHERE ... ORDER BY ... LIMIT ... */
int hg_sq_select(const struct hg_table *t, const struct hg_sq_query *q, struct hg_sq_sql *out,
                 struct hg_buf *why) HG_MUST_CHECK;
/* Only the condition: company, filter and cursor. Appends to out->text. */
int hg_sq_where(const struct hg_table *t, const struct hg_sq_query *q, struct hg_sq_sql *out,
                struct hg_buf *why) HG_MUST_CHECK;

void hg_sq_param(struct hg_sq_sql *out, struct hg_sq_scalar v); /* appends "?" and its value */
int hg_sq_bind(sqlite3_stmt *st,
               const struct hg_sq_sql *sql) HG_MUST_CHECK; /* SQLite's result code */
void hg_sq_sql_fini(struct hg_sq_sql *sql);

static inline struct hg_sq_scalar hg_sq_text(struct hg_slice s)
{
    return (struct hg_sq_scalar){.type = HG_SQ_TEXT, .text = s};
}

#endif
