/* Between sqlquery.c (tree, order, cursor, statements) and sqlops.c (one condition on one
 * column). */
#ifndef HG_TOOLS_SQLQUERY_PRIV_H
#define HG_TOOLS_SQLQUERY_PRIV_H

#include "tools/sqlquery.h"

struct hg_sq_ctx {
    const struct hg_table *t;
    struct hg_sq_sql *out;
    struct hg_buf *why;
    size_t nodes;
};

int hg_sq_refuse(struct hg_sq_ctx *c, const char *what,
                 struct hg_slice field); /* -HG_E_BAD_QUERY */
/* Not for a text that is no number, compared with a column of numbers. */
bool hg_sq_fits(const struct hg_column *col, const struct hg_sq_scalar *v);
void hg_sq_put(struct hg_sq_ctx *c, const char *s);
/* Emits the condition of one filter on the column whose quoted name is col. */
int hg_sq_put_op(struct hg_sq_ctx *c, const struct hg_sq_filter *f, const char *col) HG_MUST_CHECK;

#endif
