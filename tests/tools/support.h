/*
 * What the tests of the tools share: a database in a file of its own, queries as literals, and the
 * other side of the wire (wire.cc): building requests and filters, reading replies.
 */
#ifndef HG_TESTS_TOOLS_SUPPORT_H
#define HG_TESTS_TOOLS_SUPPORT_H

#include <sqlite3.h>
#include "common/base/buf.h"
#include "tools/fb_worker.h"
#include "tools/sqlquery.h"

#ifdef __cplusplus
extern "C" {
#endif

/* RequestEnvelope. q has company and table for every method; GET_DATA takes all of it. */
void hgt_request(struct hg_buf *out, const char *corr, const char *reply_topic, unsigned method,
                 const struct hg_sq_query *q, const char *pk_column, const char *pk,
                 const char *json);
/* CREATE_TABLE and RUN_AGGREGATION (its filter is q's). */
void hgt_create_table(struct hg_buf *out, const char *company, const struct hg_fbw_definition *d);
void hgt_aggregation(struct hg_buf *out, const struct hg_sq_query *q, bool count,
                     const struct hg_fbw_names agg[HG_FBW_AGGS]);
/* StreamingSqlDataFilter. */
void hgt_filter(struct hg_buf *out, const struct hg_sq_query *q);

struct hgt_reply {
    bool good; /* verified */
    char corr[64];
    bool ok;
    unsigned error;
    char message[256];
    unsigned kind; /* number of RpcResponse: 1 rows, 2 row, 3 bool, 4 agg, 5 rows and cursor */
    bool value;
    size_t nrows;
    char rows[64][512];
    size_t ncursor;
    char cursor[8][64]; /* field=value */
    char agg[256];      /* "count=2 sum.a=3 ..." */
};
void hgt_reply_read(struct hg_slice bytes, struct hgt_reply *r);

#ifdef __cplusplus
}
#endif

/* ---- values and queries as literals ---- */

#define T(s)                                                                                       \
    {                                                                                              \
        .type = HG_SQ_TEXT, .text = { s, sizeof(s) - 1 }                                           \
    }
#define I(v)                                                                                       \
    {                                                                                              \
        .type = HG_SQ_INT, .i = (v)                                                                \
    }
#define R(v)                                                                                       \
    {                                                                                              \
        .type = HG_SQ_REAL, .d = (v)                                                               \
    }
#define NUL                                                                                        \
    {                                                                                              \
        .type = HG_SQ_NULL                                                                         \
    }
#define ONE(...)                                                                                   \
    {                                                                                              \
        false, (const struct hg_sq_scalar[]){__VA_ARGS__}, 1                                       \
    }
#define LIST(...)                                                                                  \
    {                                                                                              \
        true, (const struct hg_sq_scalar[]){__VA_ARGS__},                                          \
            sizeof((struct hg_sq_scalar[]){__VA_ARGS__}) / sizeof(struct hg_sq_scalar)             \
    }
#define EMPTY                                                                                      \
    {                                                                                              \
        true, NULL, 0                                                                              \
    }
#define NONE                                                                                       \
    {                                                                                              \
        false, NULL, 0                                                                             \
    }

#endif
