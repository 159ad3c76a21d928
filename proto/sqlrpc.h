/*
 * Calls to the SQL worker: requests built, replies verified and read (FlatBuffers of
 * sql_protocol.fbs). Pure; C++ stays inside sqlrpc.cc.
 *
 *   hg_sqlrpc_put_update_single(&out, &call, HG_SLICE_LIT("id"), id, updates_json);
 *
 *   struct hg_sqlrpc_reply r;
 *   if (hg_sqlrpc_reply_decode(bytes, &r) == 0) ...   r borrows from bytes, which the caller need
 *                                                     not align
 *   hg_sqlrpc_reply_fini(&r);                         after every decode
 *
 * 1. Nothing is read before the official verifier has passed over the whole buffer (depth and table
 *    count capped).
 * 2. Rows are text of the worker's; hg_sqlrpc_rows_check says whether every one is JSON (B-28)
 *    before any is forwarded.
 * 3. One string may stand behind a million rows, aggregates or cursor entries: hg_sqlrpc_rows_check
 *    adds up what they come to before it looks at any.
 */
#ifndef HG_PROTO_SQLRPC_H
#define HG_PROTO_SQLRPC_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/macros.h"

#ifdef __cplusplus
extern "C" {
#endif

enum hg_sqlrpc_method { /* numbers of the wire */
                        HG_SQLRPC_GET_DATA,
                        HG_SQLRPC_GET_SINGLE,
                        HG_SQLRPC_ADD_SINGLE,
                        HG_SQLRPC_UPDATE_SINGLE,
                        HG_SQLRPC_DELETE_ROW,
                        HG_SQLRPC_CREATE_TABLE,
                        HG_SQLRPC_TABLE_EXISTS,
                        HG_SQLRPC_RUN_AGGREGATION,
                        HG_SQLRPC_METHODS
};
const char *hg_sqlrpc_method_name(enum hg_sqlrpc_method m);
int hg_sqlrpc_method_find(struct hg_slice name); /* number, or -HG_E_RPC_METHOD */

struct hg_sqlrpc_call { /* what every request has */
    struct hg_slice correlation_id;
    struct hg_slice reply_topic;
    struct hg_slice company;
    struct hg_slice table;
};

/* Each appends one RequestEnvelope. GET_DATA and RUN_AGGREGATION are in query.h, CREATE_TABLE in
 * tabledef.h. */
void hg_sqlrpc_put_get_single(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              struct hg_slice pk_column, struct hg_slice id);
void hg_sqlrpc_put_add_single(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              struct hg_slice pk_column, struct hg_slice row_json);
void hg_sqlrpc_put_update_single(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                                 struct hg_slice pk_column, struct hg_slice id,
                                 struct hg_slice updates_json);
void hg_sqlrpc_put_delete_row(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              struct hg_slice pk_column, struct hg_slice id);
void hg_sqlrpc_put_table_exists(struct hg_buf *out, const struct hg_sqlrpc_call *call);

enum hg_sqlrpc_kind { /* numbers of the wire */
                      HG_SQLRPC_NO_DATA,
                      HG_SQLRPC_ROWS,
                      HG_SQLRPC_ROW,
                      HG_SQLRPC_BOOL,
                      HG_SQLRPC_AGG,
                      HG_SQLRPC_ROWS_CURSOR
};

enum { HG_SQLRPC_BAD_REQUEST = 1 }; /* ErrorCode: the same call will always be refused */

struct hg_sqlrpc_reply {
    struct hg_slice correlation_id; /* none when absent */
    bool ok;
    unsigned error_code;           /* 0 none, HG_SQLRPC_BAD_REQUEST, 2 internal */
    struct hg_slice error_message; /* none when absent */
    enum hg_sqlrpc_kind kind;
    bool value;     /* of kind BOOL */
    uint32_t nrows; /* of kinds ROWS, ROWS_CURSOR; ROW: 0 or 1 */
    /* private to sqlrpc.cc */
    const void *root;
    char *copy; /* aligned copy, when the bytes were not aligned */
    size_t size;
};

/* What a reply may come to when it is written out; one larger than that by itself: its size. */
enum { HG_SQLRPC_MAX_DATA = 64 << 20 };

int hg_sqlrpc_reply_decode(struct hg_slice bytes,
                           struct hg_sqlrpc_reply *r) HG_MUST_CHECK; /* 0 or -HG_E_FB_INVALID */
void hg_sqlrpc_reply_fini(struct hg_sqlrpc_reply *r);
struct hg_slice hg_sqlrpc_row(const struct hg_sqlrpc_reply *r, uint32_t i); /* i < nrows */
/* 0, -HG_E_RPC_REPLY: a row is not JSON, or -HG_E_TOO_BIG; *bytes = sum of the rows' lengths. */
int hg_sqlrpc_rows_check(const struct hg_sqlrpc_reply *r, size_t *bytes) HG_MUST_CHECK;
void hg_sqlrpc_put_rows(struct hg_buf *out, const struct hg_sqlrpc_reply *r); /* comma-separated */
/* Cursor entries as JSON members without braces, in order, without a column named "lsn"; nothing
 * when there are none. */
void hg_sqlrpc_put_cursor(struct hg_buf *out, const struct hg_sqlrpc_reply *r);
/* `data` of rpcResult (spec 3.4, 11); integers exact. Call after hg_sqlrpc_rows_check. */
void hg_sqlrpc_put_data(struct hg_buf *out, const struct hg_sqlrpc_reply *r);

#ifdef __cplusplus
}
#endif

#endif
