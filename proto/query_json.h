/* Fills a query from JSON (spec 12). Private to proto/: called by query.c. */
#ifndef HG_PROTO_QUERY_JSON_H
#define HG_PROTO_QUERY_JSON_H

#include "proto/json.h"
#include "proto/query_tree.h"

/* Strings borrow from root's document. 0 or -HG_E_BAD_QUERY. */
int hg_query_read_json(struct hg_json_val root, bool strict, struct hg_query *q,
                       char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;

#endif
