/*
 * Runs one call of the wire against the database. Knows SQLite and the request, nothing of Kafka.
 *
 *   struct hg_call_answer ans = {0};
 *   hg_call_run(db, &limits, &request, &arena, &ans);
 *   hg_fbw_encode(&ans.reply, &bytes);            ans.has_lsn: send ans.lsn as header snapshot-lsn
 *
 * 1. It always gives an answer; what went wrong is in ans.reply.error and message, which live in
 *    the arena.
 * 2. GET_DATA reads its rows and the position they stand for in one read transaction.
 * 3. Whatever the request says, only rows of its company are read or written, and company_id can't
 *    be changed.
 */
#ifndef HG_TOOLS_CALLS_H
#define HG_TOOLS_CALLS_H

#include <sqlite3.h>
#include "tools/fb_worker.h"

struct hg_call_limits {
    size_t max_reply; /* bytes of rows in one answer */
    int64_t now_us;   /* wall clock, for a column updated_at */
    int64_t max_ms;   /* a call that takes longer is given up; 0: none is */
};

struct hg_call_answer {
    struct hg_fbw_reply reply;
    bool has_lsn;
    int64_t lsn;
};

void hg_call_run(sqlite3 *db, const struct hg_call_limits *lim, const struct hg_fbw_request *rq,
                 struct hg_arena *a, struct hg_call_answer *ans);
/* An answer that only says what is wrong with the request. text is copied. */
void hg_call_refuse(struct hg_arena *a, const struct hg_fbw_request *rq, unsigned error,
                    struct hg_slice text, struct hg_call_answer *ans);

#endif
