/*
 * SQL functions that the operators of queries need and SQLite lacks. Registered on each connection
 * by hg_store_open; statements made by sqlops.c call them. All are pure; with a NULL column, and
 * with one that holds nothing of the kind, the answer is NULL, so neither the operator nor its
 * opposite is true.
 *
 *   hg_regex(column, pattern, i)         1, 0; an error for a text on which the pattern runs away
 *   hg_array_contains(a, b), hg_array_within(a, b), hg_array_overlaps(a, b), hg_array_equals(a, b)
 *   hg_array_length(a)                   arrays are JSON texts
 *   hg_json_contains(a, b)               as PostgreSQL's a @> b
 *   hg_json_has(column, keys, all)       keys: JSON array of texts
 *   hg_json_get(column, key)             member as JSON text
 *   hg_json_get_text(column, key)        a text without its quotes; NULL for null
 *   hg_json_equals(a, b)
 *   hg_range_contains(a, b)              '[1,10)' as PostgreSQL writes ranges, [1,10] as JSON, or
 *                                        one value
 *
 * A column that holds text which is no JSON counts as that text: rows travel as JSON, so the change
 * source can't tell the two apart.
 */
#ifndef HG_TOOLS_SQLFUNC_H
#define HG_TOOLS_SQLFUNC_H

#include <sqlite3.h>
#include "common/base/macros.h"

int hg_sqlfunc_register(sqlite3 *db) HG_MUST_CHECK; /* SQLite's result code */

#endif
