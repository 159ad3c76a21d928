/*
 * A RequestEnvelope as its receiver reads it: verified, then as plain structs. For companion
 * programs and tests; the gateway only writes requests (sqlrpc.h, query.h). Pure.
 *
 *   struct hg_request r;
 *   char why[HG_QUERY_WHY_MAX];
 *   if (hg_request_decode(bytes, &r, why) == 0)
 *       ...
 *   hg_request_fini(&r);
 *
 * A request owns all it says.
 */
#ifndef HG_PROTO_REQUEST_H
#define HG_PROTO_REQUEST_H

#include "proto/query.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { HG_REQUEST_MAX = 16 << 20 };

struct hg_request {
    struct hg_sqlrpc_call call;
    enum hg_sqlrpc_method method;
    struct hg_slice pk_column, id; /* none where the method has none */
    struct hg_slice json;          /* of ADD_SINGLE the row, of UPDATE_SINGLE the updates */
    struct hg_slice made;          /* of CREATE_TABLE: the table's name */
    size_t columns;                /* and how many it has */
    struct hg_query_agg agg;       /* of RUN_AGGREGATION */
    struct hg_query *query;        /* of GET_DATA and RUN_AGGREGATION; else one that asks for all */
};

/* 0 or -HG_E_BAD_QUERY. */
int hg_request_decode(struct hg_slice bytes, struct hg_request *r,
                      char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;
void hg_request_fini(struct hg_request *r);

#ifdef __cplusplus
}
#endif

#endif
