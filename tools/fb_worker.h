/*
 * The SQL worker's side of the wire: reads RequestEnvelope and StreamingSqlDataFilter, writes
 * ResponseEnvelope. The one C++ file of the tools stands behind it (official FlatBuffers headers).
 * Pure: no I/O, no clock.
 *
 * 1. A message is verified before anything is read. What does not verify gives -HG_E_FB_INVALID.
 * 2. A message that verifies but says what this schema does not know (a value kind, a list without
 *    its vector) gives -HG_E_BAD_QUERY and *why; correlation_id and reply_topic are filled then, so
 *    that an answer is possible.
 * 3. Results borrow from the arena only; the message may go.
 */
#ifndef HG_TOOLS_FB_WORKER_H
#define HG_TOOLS_FB_WORKER_H

#include "common/base/buf.h"
#include "tools/arena.h"
#include "tools/sqlquery.h"

#ifdef __cplusplus
extern "C" {
#endif

enum hg_fbw_method { /* numbers of RpcMethod */
                     HG_FBW_GET_DATA,
                     HG_FBW_GET_SINGLE,
                     HG_FBW_ADD_SINGLE,
                     HG_FBW_UPDATE_SINGLE,
                     HG_FBW_DELETE_ROW,
                     HG_FBW_CREATE_TABLE,
                     HG_FBW_TABLE_EXISTS,
                     HG_FBW_RUN_AGGREGATION,
                     HG_FBW_METHODS
};
enum hg_fbw_error { HG_FBW_BAD_REQUEST = 1, HG_FBW_INTERNAL = 2 }; /* numbers of ErrorCode */

enum { HG_FBW_MAX_COLUMNS = 256, HG_FBW_MAX_AGG_FIELDS = 64, HG_FBW_CONSTRAINTS = 12 };

struct hg_fbw_column { /* of CREATE_TABLE */
    struct hg_slice name;
    unsigned type; /* number of SQLDataType */
    bool nullable;
    bool has_options;
    uint32_t constraints; /* a bit per number of ColumnConstraint */
};

struct hg_fbw_definition {
    struct hg_slice name;
    const struct hg_fbw_column *cols;
    size_t ncols;
    bool has_options;
};

struct hg_fbw_names {
    const struct hg_slice *at;
    size_t n;
};
enum hg_fbw_agg { HG_FBW_SUM, HG_FBW_AVG, HG_FBW_MIN, HG_FBW_MAX, HG_FBW_AGGS };

struct hg_fbw_request {
    struct hg_slice correlation_id;
    struct hg_slice reply_topic;
    unsigned method;
    struct hg_sq_query query; /* company and table for every method */
    struct hg_slice pk_column;
    struct hg_slice pk;
    struct hg_slice json;                /* row_json or updates_json */
    struct hg_fbw_definition definition; /* CREATE_TABLE; query.table is its name */
    bool count;                          /* RUN_AGGREGATION; its filter is query.filter */
    struct hg_fbw_names agg[HG_FBW_AGGS];
};

int hg_fbw_read_request(struct hg_slice msg, struct hg_arena *a, struct hg_fbw_request *out,
                        const char **why) HG_MUST_CHECK;
/* Company and table are not in this message: the caller knows them from the routing key. */
int hg_fbw_read_filter(struct hg_slice msg, struct hg_arena *a, struct hg_sq_query *out,
                       const char **why) HG_MUST_CHECK;

/* One answer; exactly one kind of data, or an error when error is not 0. Appends to out. */
enum hg_fbw_data {
    HG_FBW_NOTHING,
    HG_FBW_ROWS,
    HG_FBW_ROW,
    HG_FBW_BOOL,
    HG_FBW_AGG,
    HG_FBW_ROWS_CURSOR
};
struct hg_fbw_pair {
    struct hg_slice key, value;
};
struct hg_fbw_reply {
    struct hg_slice correlation_id;
    unsigned error; /* enum hg_fbw_error */
    struct hg_slice message;
    enum hg_fbw_data data;
    const struct hg_slice *rows; /* ROWS and ROWS_CURSOR; ROW: the first, absent when nrows is 0 */
    size_t nrows;
    const struct hg_sq_cursor *cursor;
    size_t ncursor;
    bool value;     /* BOOL */
    uint32_t count; /* AGG */
    struct {
        const struct hg_fbw_pair *at;
        size_t n;
    } maps[HG_FBW_AGGS]; /* AGG */
};
void hg_fbw_encode(const struct hg_fbw_reply *r, struct hg_buf *out);

#ifdef __cplusplus
}
#endif
#endif
