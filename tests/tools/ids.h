/*
 * Which rows a query gives, as text. Needs tests/support/hgtest.h and tests/tools/support.h.
 *
 *   hgt_add_id(out, cap, 3)     "1" becomes "1,3"
 *   hgt_ids(db, &table, &q)     "1,3,7" in the order of the rows; "refused: why" when the query does
 *                               not compile, "failed code: why" when a row made it fail. Lives until
 *                               the next call.
 */
#ifndef HG_TESTS_TOOLS_IDS_H
#define HG_TESTS_TOOLS_IDS_H

#include "common/base/err.h"
#include "tests/support/hgtest.h"
#include "tests/tools/support.h"

static inline void hgt_add_id(char *out, size_t cap, long id)
{
    snprintf(out + strlen(out), cap - strlen(out), "%s%ld", out[0] ? "," : "", id);
}

/* Rows are JSON objects whose first member is the id; -1 for one that is not. */
static inline void hgt_step_ids(sqlite3 *db, sqlite3_stmt *st, char *out, size_t cap)
{
    while (sqlite3_step(st) == SQLITE_ROW) {
        long id = -1;

        sscanf((const char *)sqlite3_column_text(st, 0), "{\"id\":%ld", &id);
        hgt_add_id(out, cap, id);
    }
    if (sqlite3_errcode(db) != SQLITE_DONE)
        snprintf(out, cap, "failed %d: %s", sqlite3_errcode(db), sqlite3_errmsg(db));
    sqlite3_finalize(st);
}

static inline const char *hgt_ids(sqlite3 *db, const struct hg_table *t,
                                  const struct hg_sq_query *q)
{
    static char out[512];
    struct hg_sq_sql sql = {0};
    struct hg_buf why = {0};
    sqlite3_stmt *st;
    int rc = hg_sq_select(t, q, &sql, &why);

    out[0] = 0;
    if (rc < 0) {
        assert_int_equal(rc, -HG_E_BAD_QUERY);
        snprintf(out, sizeof out, "refused: %.*s", HG_SLICE_ARG(hg_buf_slice(&why)));
    } else {
        if (sqlite3_prepare_v2(db, sql.text.p, (int)sql.text.n, &st, NULL) != SQLITE_OK)
            fail_msg("%s in %.*s", sqlite3_errmsg(db), (int)sql.text.n, sql.text.p);
        assert_int_equal(hg_sq_bind(st, &sql), SQLITE_OK);
        hgt_step_ids(db, st, out, sizeof out);
    }
    hg_sq_sql_fini(&sql);
    hg_buf_fini(&why);
    return out;
}

#endif
