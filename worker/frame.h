/*
 * Ready-made frames that many sockets share. A frame is built once in a chunk and handed about as a
 * span (chunk, offset, length); queues and histories hold references to chunks, never copies. Never
 * does I/O.
 *
 * Frames that follow each other in one arena lie next to each other, so a queue that gets them in
 * order keeps ONE entry and the kernel gets one iovec for all of them. Each room and each stream
 * has an arena of its own: what a history or a slow client keeps alive is then never a stranger's
 * chunk. Chunks start small and double up to HG_CHUNK_MAX.
 *
 *   struct hg_arena a = {0};
 *   struct hg_span s = hg_frame_build(fr, &a, HG_WS_OP_TEXT, parts, nparts);  holds a reference
 *   hg_conn_send(cs, c, s);                                                   takes its own
 *   hg_span_unref(fr, &s);
 *   hg_arena_fini(fr, &a);
 */
#ifndef HG_WORKER_FRAME_H
#define HG_WORKER_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/slice.h"

enum {
    HG_CHUNK_MIN = 512,
    HG_CHUNK_MAX = 65536, /* a busy room's turn is then one iovec; a quiet one never gets there */
    HG_FRAME_BIG = 8192,  /* larger frames have a chunk of their own */
};
enum {
    HG_WS_OP_TEXT = 1,
    HG_WS_OP_BINARY = 2,
    HG_WS_OP_CLOSE = 8,
    HG_WS_OP_PING = 9,
    HG_WS_OP_PONG = 10
};

struct hg_chunk {
    uint32_t refs; /* spans, queue entries and the arena that still fills it */
    uint32_t used;
    uint32_t cap;
    uint32_t gated; /* 1: one frame above HG_FRAME_BIG of a gated arena */
    unsigned char data[];
};

struct hg_span {
    struct hg_chunk *c; /* NULL: no frame */
    uint32_t off, len;
};

struct hg_arena { /* zeroed is empty */
    struct hg_chunk *cur;
    uint32_t next_cap;
    bool gated; /* who sends its frames asks first whether the client can take them: large ones are
                   not under out_hard */
};

struct hg_frames {       /* of one worker; zeroed is ready */
    uint64_t live_bytes; /* capacity of all chunks alive */
};

/* A server frame (unmasked, FIN) whose payload is the concatenation of parts. */
struct hg_span hg_frame_build(struct hg_frames *fr, struct hg_arena *a, unsigned opcode,
                              const struct hg_slice *parts, unsigned nparts);
/* Bytes as they are (HTTP responses, echo of control frames). */
struct hg_span hg_frame_raw(struct hg_frames *fr, struct hg_arena *a, struct hg_slice bytes);
/* Payload of a built frame. */
struct hg_slice hg_frame_payload(struct hg_span s);
/* Bytes from the start of the frame that holds offset at, to its end; bytes holds whole frames, one
 * after the other. */
uint32_t hg_frame_end(const unsigned char *bytes, uint32_t len, uint32_t at);

void hg_chunk_unref(struct hg_frames *fr, struct hg_chunk *c);
static inline void hg_span_unref(struct hg_frames *fr, struct hg_span *s)
{
    if (s->c)
        hg_chunk_unref(fr, s->c);
    s->c = NULL;
}
void hg_arena_fini(struct hg_frames *fr, struct hg_arena *a); /* spans live on */

#endif
