/*
 * A query as plain structs: what its readers (query_json.c, fb_read.cc) fill, query_check.c judges
 * and query.c writes. Private to proto/. Everything hangs in the query's pool; strings borrow from
 * its document or copy of the bytes.
 */
#ifndef HG_PROTO_QUERY_TREE_H
#define HG_PROTO_QUERY_TREE_H

#include <stdint.h>
#include "common/base/slice.h"
#include "proto/pool.h"
#include "proto/query.h"

#ifdef __cplusplus
extern "C" {
#endif

enum hg_value_kind { /* numbers of FilterValue on the wire */
                     HG_VALUE_STRING = 1,
                     HG_VALUE_NUMBER,
                     HG_VALUE_BOOL,
                     HG_VALUE_NULL,
                     HG_VALUE_INT64,
                     HG_VALUE_TIMESTAMP,
                     HG_VALUE_STRINGS,
                     HG_VALUE_INT64S,
                     HG_VALUE_NUMBERS,
                     HG_VALUE_BOOLS
};

union hg_value_item {
    struct hg_slice text;
    double number;
    bool flag;
    int64_t integer; /* also the epoch of a timestamp */
};

struct hg_value {
    enum hg_value_kind kind;
    unsigned unit; /* of a timestamp: TimeUnit */
    bool is_range; /* a list that was a RangeValue */
    union hg_value_item one;
    union hg_value_item *list;
    size_t n; /* of list */
};

enum {
    HG_UNIT_MICROS = 2,
    HG_UNITS = 4,
    HG_SORT_DEFAULT = 3,
    HG_SORTS = 6,
    HG_NULLS_DEFAULT = 2,
    HG_NULLS = 3
};

struct hg_filter {
    bool is_wrapper;
    bool all; /* wrapper: and; else or */
    struct hg_filter *kids;
    size_t nkids;
    struct hg_slice field;
    unsigned op;
    struct hg_value value;
    bool has_modifier, distinct, case_insensitive;
    unsigned nulls;
};

struct hg_order {
    struct hg_slice field;
    unsigned sort;
    bool is_pk;
};

struct hg_cursor {
    struct hg_slice field;
    struct hg_value value;
};

struct hg_query {
    struct hg_slice hash;
    unsigned schema_version;
    bool has_limit;
    uint32_t limit, offset;
    bool strict_after;
    struct hg_filter *wrapper; /* NULL: none */
    struct hg_order *order;
    size_t norder;
    struct hg_cursor *cursor;
    size_t ncursor;
    struct hg_pool pool;
    void *source; /* what strings borrow from; freed by source_free */
    void (*source_free)(void *source);
};

/* Words of the JSON by their number on the wire. */
enum { HG_VALUE_KINDS = HG_VALUE_BOOLS + 1 };
extern const char
    *const hg_query_kind_names[HG_VALUE_KINDS + 1]; /* 0: none; the last: RangeValue */
extern const char *const hg_query_units[HG_UNITS];
extern const char *const hg_query_sorts[HG_SORTS];
extern const char *const hg_query_nulls[HG_NULLS + 1]; /* the last is another name of "default" */

/* Where in a query we are, for messages: "$.wrapper.filters[2].value". Cut, never overrun; what is
 * nested as deep as it may be fits. */
struct hg_query_path {
    char text[HG_QUERY_WHY_MAX - 256];
    size_t n;
};
size_t hg_query_enter(struct hg_query_path *path,
                      const char *key); /* ".key"; returns what leave wants */
size_t hg_query_enter_at(struct hg_query_path *path, size_t index); /* "[index]" */
void hg_query_leave(struct hg_query_path *path, size_t mark);
int hg_query_fault(const struct hg_query_path *path, char why[HG_QUERY_WHY_MAX], const char *fmt,
                   ...) HG_PRINTF(3, 4);

/* number, or -1 */
int hg_query_op_find(struct hg_slice name);
const char *hg_query_op_name(unsigned op);
const char *hg_query_op_nearest(struct hg_slice name); /* NULL: none is near */
bool hg_query_op_needs_value(unsigned op);             /* absent, it would not be what was meant */
bool hg_query_op_takes_range(unsigned op);
enum { HG_QUERY_OPS = 35 };

/* One value as JSON. Numbers are the shortest text that reads back as the same, null for what JSON
 * cannot say; quote ("\"" or "") stands around int64 and timestamps, for readers that have doubles
 * only. */
void hg_query_put_item(struct hg_buf *out, enum hg_value_kind kind, const union hg_value_item *item,
                       const char *quote);

/* Strict mode's judgement of a whole tree. */
int hg_query_check(const struct hg_query *q, char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;

/* ---- fb_read.cc; bytes must be aligned to 8 and stay as long as what was read from them ---- */

/* Verifies, then fills q. 0 or -HG_E_BAD_QUERY. */
int hg_query_read_fb(const void *bytes, size_t n, struct hg_query *q,
                     char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;
/* Verifies, then fills r, whose query is new. */
struct hg_request;
int hg_query_read_request(const void *bytes, size_t n, struct hg_request *r,
                          char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;
/* Verifies, then fills a zeroed r. */
bool hg_fb_read_reply(const void *bytes, size_t n, struct hg_sqlrpc_reply *r);
/* Do a reply's aggregates and cursor come to at most max bytes? */
bool hg_sqlrpc_rest_fits(const struct hg_sqlrpc_reply *r, size_t max);
/* Cursor entries and aggregates of a reply; values live in pool. False at the end. */
bool hg_sqlrpc_cursor_at(const struct hg_sqlrpc_reply *r, uint32_t i, struct hg_cursor *c,
                         struct hg_pool *pool);
uint32_t hg_sqlrpc_agg_count(const struct hg_sqlrpc_reply *r);
/* map: 0 sum, 1 average, 2 minimum, 3 maximum */
bool hg_sqlrpc_agg_at(const struct hg_sqlrpc_reply *r, unsigned map, uint32_t i,
                      struct hg_slice *key, struct hg_slice *value);

#ifdef __cplusplus
}
#endif

#endif
