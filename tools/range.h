/*
 * Ranges as columns and queries hold them, and whether one lies in another. Pure. SQLite has no
 * range type; what counts as one:
 *
 *   '[1,10)' '(,5]' 'empty'    text as PostgreSQL writes ranges; an end left out is open
 *   [1,10]                     a JSON array of two, both ends included; null is open
 *   7, 'x'                     anything else: the range of one value
 *
 * Ends are numbers or texts (dates as ISO texts); a number and a text have no order unless the text
 * is a number.
 */
#ifndef HG_TOOLS_RANGE_H
#define HG_TOOLS_RANGE_H

#include "proto/json.h"

/* 1, 0, or -1 where that can't be said. */
int hg_range_contains(struct hg_json_val outer, struct hg_json_val inner);

#endif
