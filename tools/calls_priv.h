/* What the handlers of calls share: the call being run, and how it fails. Private to
 * tools/calls*.c. */
#ifndef HG_TOOLS_CALLS_PRIV_H
#define HG_TOOLS_CALLS_PRIV_H

#include "tools/calls.h"
#include "tools/table.h"

struct hg_call { /* what a handler works with; why is filled on failure */
    sqlite3 *db;
    const struct hg_call_limits *lim;
    const struct hg_fbw_request *rq;
    struct hg_arena *a;
    struct hg_call_answer *ans;
    struct hg_table t; /* not for CREATE_TABLE and TABLE_EXISTS */
    struct hg_buf why;
};

int hg_call_bad(struct hg_call *c, const char *text); /* adds to why; -HG_E_BAD_QUERY */
int hg_call_failed(struct hg_call *c);                /* what SQLite says, and whose fault it is */
struct hg_slice hg_call_keep(struct hg_arena *a, const void *p, size_t n); /* a copy, NUL behind */
int hg_call_prepare(struct hg_call *c, const struct hg_sq_sql *sql, sqlite3_stmt **st);

struct hg_call_fields {
    sqlite3_value **values; /* one per column of the table, NULL where the object says nothing */
    size_t n;               /* how many it says something about */
};
int hg_call_read_fields(struct hg_call *c, struct hg_call_fields *f);  /* calls_fields.c */
void hg_call_fields_fini(struct hg_call *c, struct hg_call_fields *f); /* also after a failure */

int hg_call_create_table(struct hg_call *c);    /* calls_table.c */
int hg_call_run_aggregation(struct hg_call *c); /* calls_agg.c */

#endif
