/*
 * What the files of worker/conn.h share, and nobody else includes:
 *   conn.c       states, closing, reading, the slab
 *   conn_out.c   the queue of what waits to be written; nobody else looks into struct hg_outq
 *   conn_time.c  pings, deadlines, who is stalled: one wheel
 */
#ifndef HG_WORKER_CONN_PRIV_H
#define HG_WORKER_CONN_PRIV_H

#include "worker/conn.h"

enum { HG_CONN_TICK_MS = 250 };

/* ---- conn.c ---- */

/* The one door between states. */
void hg_conn_set_state(struct hg_conns *cs, struct hg_conn *c, enum hg_conn_state to);

/* All that was due to one that is being closed is out. */
void hg_conn_drained(struct hg_conns *cs, struct hg_conn *c);

/* Grows the array as needed; the caller owns it. */
void hg_conn_push_id(uint32_t **ids, uint32_t *n, uint32_t *cap, uint32_t id);

/* ---- conn_out.c ---- */

/* A frame with this payload, to c alone. */
void hg_out_control(struct hg_conns *cs, struct hg_conn *c, unsigned opcode, struct hg_slice data);

/* Looked at when the turn ends, even if nothing waits. */
void hg_out_dirty(struct hg_conns *cs, struct hg_conn *c);

/* Blocked, there is a queue: the newest ping is answered when it goes on. data: 125 bytes at
 * most. */
void hg_out_pong_later(struct hg_conn *c, struct hg_slice data);

/* What waits now is an HTTP answer; frames follow it. */
void hg_out_http_until_here(struct hg_conn *c);

/* What need not go out before a close frame is forgotten. */
void hg_out_cut(struct hg_conns *cs, struct hg_conn *c);

/* code 0: without one. */
void hg_out_close_frame(struct hg_conns *cs, struct hg_conn *c, int code, struct hg_slice reason);

/* No longer among the slow ones. */
void hg_out_unblock(struct hg_conns *cs, struct hg_conn *c);

/* Microseconds since the kernel last took something; 0 while nothing waits. */
int64_t hg_out_stalled(const struct hg_conn *c, struct hg_mono now);

void hg_out_flush_all(void *conns); /* of the loop, at the end of the turn */
void hg_out_free(struct hg_conns *cs, struct hg_conn *c);
void hg_outs_fini(struct hg_conns *cs);

/* ---- conn_time.c ---- */

void hg_conns_tick(struct hg_conns *cs); /* starts the wheel */

/* Ticks that are no shorter than so many microseconds. */
uint32_t hg_conn_ticks(int64_t us);

/* Onto the wheel, off it, and to where its deadlines put it now. */
void hg_conn_wheel(struct hg_conns *cs, struct hg_conn *c);
void hg_conn_unwheel(struct hg_conns *cs, struct hg_conn *c);
void hg_conn_rewheel(struct hg_conns *cs, struct hg_conn *c);

#endif
