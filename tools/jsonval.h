/*
 * JSON values compared as PostgreSQL's jsonb has it, for the conditions of queries. Pure.
 *
 * 1. Numbers compare by value: 1, 1.0 and 1e0 are one; 64-bit integers compare exactly.
 * 2. Objects compare by their members, in any order; of equal keys the last one counts.
 */
#ifndef HG_TOOLS_JSONVAL_H
#define HG_TOOLS_JSONVAL_H

#include "proto/json.h"

/* like_wire: true is 1 and false is 0, as columns of SQLite hold them. */
bool hg_jsonval_equal(struct hg_json_val a, struct hg_json_val b, bool like_wire);
/* a @> b: each member of b is in a and contains b's; each element of b is in an element of a;
 * an array contains a scalar that is one of its elements. */
bool hg_jsonval_contains(struct hg_json_val a, struct hg_json_val b);
/* Is the key a member of the object, or a text among the elements of the array? */
bool hg_jsonval_has(struct hg_json_val v, struct hg_slice key);
bool hg_jsonval_has_element(struct hg_json_val array, struct hg_json_val v, bool like_wire);
/* <0, 0, >0; *known false for what has no common order. Numbers, and texts by their bytes. */
int hg_jsonval_order(struct hg_json_val a, struct hg_json_val b, bool *known);

#endif
