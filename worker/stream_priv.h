/*
 * What the files of worker/stream.h share, and nobody else includes:
 *   stream.c         records: the order table, handing over, caps, row events, resets
 *   stream_sub.c     subscriptions, and the life of streams
 *   stream_flight.c  snapshot calls, and the bridges below their answers
 * Each function may close subscriptions where that is said; whoever walks a list of them then looks
 * again.
 */
#ifndef HG_WORKER_STREAM_PRIV_H
#define HG_WORKER_STREAM_PRIV_H

#include "worker/stream.h"

enum { HG_SUB_CLOSED = 0xff }; /* a state, until its memory goes at the end of the turn */

static inline struct hg_mono now_of(const struct hg_streams *ss)
{
    return hg_loop_now(ss->loop);
}

static inline struct hg_stream *attached(struct hg_stream *st)
{
    return st && st->attached ? st : NULL;
}

static inline uint64_t bytes_of(const struct hg_stream *st)
{
    return st->log.bytes + st->rows.bytes;
}

static inline bool is_ready(const struct hg_streams *ss, const struct hg_flight *fl)
{
    return ss->ops->ready(ss->ctx, !fl->empty);
}

/* ---- stream_sub.c ---- */

struct hg_stream *hg_stream_find(const struct hg_streams *ss, struct hg_slice key);
/* Bare streams stand under their routing key and a byte that no name may hold. */
struct hg_stream *hg_stream_find_bare(const struct hg_streams *ss, struct hg_slice key);

/* A call for it is under way, or will be. */
bool hg_stream_is_flying(const struct hg_stream *st);

/* Its logs changed; before: what bytes_of() was. */
void hg_stream_account(struct hg_streams *ss, struct hg_stream *st, uint64_t before);

/* It was fed: of all streams it forgets last. */
void hg_stream_touch(struct hg_streams *ss, struct hg_stream *st);

void hg_sub_set_behind(struct hg_sub *sub, bool behind);
void hg_sub_set_live(struct hg_sub *sub, bool live);

/* Grows the array as needed; the caller owns it. */
void hg_sub_array_add(struct hg_sub ***list, uint32_t *n, uint32_t *cap, struct hg_sub *sub);

/* Closes it (all of its session on overflow, if it is a whole session) and tells the client. err:
 * -HG_E_OVERFLOW or -HG_E_SNAPSHOT_FAILED; text: the reason of the latter. */
void hg_sub_fail(struct hg_streams *ss, struct hg_sub *sub, int err, struct hg_slice text);

/* fl must not be flying. */
void hg_flight_free(struct hg_streams *ss, struct hg_flight *fl);

/* ---- stream.c ---- */

/* Hands on what is due, as far as the client takes it and a turn allows; may close
 * subscriptions. */
void hg_sub_pull(struct hg_streams *ss, struct hg_sub *sub);

/* Down to the caps; may close subscriptions. */
void hg_stream_trim(struct hg_streams *ss, struct hg_stream *st);

/* Somebody waits for row events that are kept. */
bool hg_stream_rows_needed(const struct hg_stream *st);

/* ---- stream_flight.c ---- */

/* Calls at once, or as soon as positions and the SQL worker's topics are known; may close
 * subscriptions. */
void hg_flight_fly(struct hg_streams *ss, struct hg_flight *fl);
void hg_flight_fly_after(struct hg_streams *ss, struct hg_flight *fl, int64_t ms);

/* Milliseconds to wait before the same is tried for the times-th time. */
int64_t hg_flight_pace(uint32_t times);

#endif
