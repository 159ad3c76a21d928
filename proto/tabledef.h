/*
 * A table's definition, from JSON to the CREATE_TABLE call of the SQL worker. Pure.
 *
 *   char why[HG_QUERY_WHY_MAX];
 *   if (hg_tabledef_put_create(&out, &call, definition, why) < 0) ...   "$.columns[2].data_type:
 * expected ..."
 *
 *   {"name":"t","comment":"...","table_options":{"k":"v"},
 *    "columns":[{"name":"id","data_type":"bigInt","is_nullable":false,"constraints":["primaryKey"],"custom_options":{}}]}
 *
 * 1. Keys in either spelling (data_type, dataType); the first of the two that is given counts.
 *    Words are those of tabledef.def.
 * 2. name, columns, and of each column name and data_type are needed; the rest has the wire's
 *    defaults, so an absent is_nullable means "not nullable". An unknown type or constraint is
 *    refused, never left out.
 * 3. On a fault nothing is appended to out.
 */
#ifndef HG_PROTO_TABLEDEF_H
#define HG_PROTO_TABLEDEF_H

#include "proto/json.h"
#include "proto/query.h"

enum { HG_TABLEDEF_MAX_COLUMNS = 1600, HG_TABLEDEF_MAX_OPTIONS = 64 };

/* 0 or -HG_E_BAD_QUERY. The call's table is not used: the definition has the name. */
int hg_tabledef_put_create(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                           struct hg_json_val definition, char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;

#endif
