/*
 * Live queries and the changes that touch them: which query's rows does this change add, modify or
 * remove? Knows SQLite and filters, nothing of Kafka. A filter is evaluated by SQLite itself: both
 * sides of the change go into a temporary table with the columns, types and collations of the real
 * one, and the query's own condition (the compiler of the SQL worker) selects among them. So
 * snapshot and diffs can't disagree about what matches.
 *
 *   struct hg_match *m = hg_match_new(db, on_diff, arg);
 *   hg_match_put(m, key, filter, &q)       key "<tenant>_<table>|<hashId>"; the tenant ends at the
 *                                          first "_"
 *   hg_match_change(m, NULL, &change)      on_diff for every live query it touches; NULL means all
 *   hg_match_free(m)
 *
 * Order, limit and offset of a query are not followed: a change source for trying out knows rows,
 * not windows. The cursor is part of the condition.
 */
#ifndef HG_TOOLS_MATCH_H
#define HG_TOOLS_MATCH_H

#include <sqlite3.h>
#include "common/base/buf.h"

struct hg_match;

struct hg_match_query {
    struct hg_slice key;
    int64_t last_lsn; /* of the last diff given for it */
    void *user;       /* the caller's */
};

struct hg_change {
    int64_t lsn;
    struct hg_slice table;
    struct hg_slice old_row, new_row; /* JSON; HG_SLICE_NONE when there is none */
};

/* diff is the JSON of one diff, borrowed for the call. 0, or negative to stop. */
typedef int (*hg_match_fn)(void *arg, struct hg_match_query *q, int64_t lsn, struct hg_slice diff);

struct hg_match *hg_match_new(sqlite3 *db, hg_match_fn fn, void *arg);
void hg_match_free(struct hg_match *m);
/* A new or changed query, or the known one again. 1 when it was not live before, 0 when it was, or
   -HG_E_x with why: then the key has no live query (one that was there is dropped). */
int hg_match_put(struct hg_match *m, struct hg_slice key, struct hg_slice filter,
                 struct hg_match_query **q, struct hg_buf *why) HG_MUST_CHECK;
void hg_match_drop(struct hg_match *m, struct hg_slice key);
size_t hg_match_count(const struct hg_match *m);
/* 0, the callback's error, or -HG_E_SYS with why. */
int hg_match_change(struct hg_match *m, struct hg_match_query *only, const struct hg_change *c,
                    struct hg_buf *why) HG_MUST_CHECK;
/* The schema changed: compile everything anew. Queries whose table is gone stay, without effect. */
void hg_match_schema_changed(struct hg_match *m);

#endif
