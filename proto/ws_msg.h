/*
 * RFC 6455 frames to messages, for the server's side of one connection. Never reads a socket, logs
 * or looks at a clock. Owns the bytes of a message that came in more than one piece, and nothing
 * while there is none.
 *
 *   struct hg_ws_rx rx; hg_ws_rx_init(&rx);
 *   while (n > 0) {
 *       used = hg_ws_rx_feed(&rx, max_message, in, n, &ev);       in is unmasked in place
 *       used < 0: close with hg_err_close_code(used); no further feed
 *       ev.kind != HG_WS_NONE: act on it, then go on; ev.data is gone at the next feed
 *       in += used, n -= used;
 *   }
 *   hg_ws_rx_trim(&rx);                 at the end of a read: an idle connection then owns nothing
 *   hg_ws_rx_fini(&rx);
 *
 * 1. feed takes everything given to it, up to the end of one event: no caller keeps rests; a cut
 *    header lives in rx.
 * 2. A whole unfragmented message inside in is handed out without copying.
 * 3. Memory per fragment is zero: 10,000 fragments of one byte cost 10,000 bytes. It grows with
 *    what came, not with what was announced, and never above max_message and one control frame.
 * 4. Text is checked while it arrives; a bad byte fails at the frame that brings it, not at the end
 *    of the message. A message too long fails at the header that makes it so.
 * 5. How the bytes are cut between two feeds never changes what comes out.
 */
#ifndef HG_PROTO_WS_MSG_H
#define HG_PROTO_WS_MSG_H

#include <stdint.h>
#include <sys/types.h>
#include "common/base/macros.h"
#include "common/base/slice.h"

enum hg_ws_kind { HG_WS_NONE, HG_WS_TEXT, HG_WS_BINARY, HG_WS_PING, HG_WS_PONG, HG_WS_CLOSE };

struct hg_ws_event {
    enum hg_ws_kind kind;
    struct hg_slice data; /* message, control payload, or close reason */
    int close_code;       /* HG_WS_CLOSE: the peer's code, 1005 when it gave none */
};

struct hg_ws_rx {  /* at most 72 bytes; private to ws_msg.c */
    uint64_t left; /* payload bytes of this frame still to come */
    char *part;    /* the message so far; behind it, a control frame that came in pieces */
    uint32_t part_n, part_cap; /* message bytes in part */
    uint32_t utf8;             /* of the text so far */
    unsigned char head[14]; /* the header as far as it has come; its last four bytes are the mask */
    unsigned char head_n, mask_at; /* mask_at: which mask byte is next */
    unsigned char msg_opcode;      /* of the message under way; 0: none */
    unsigned char control_n;       /* bytes of a control payload behind part_n */
    bool in_payload;               /* the header is complete */
    uint32_t idle;                 /* frames that bring nothing, since they were last asked for */
};

void hg_ws_rx_init(struct hg_ws_rx *rx);
void hg_ws_rx_fini(struct hg_ws_rx *rx);
/* > 0 bytes used, at most n; 0 only for n == 0; < 0: -HG_E_FRAME_*, CLOSE_PAYLOAD, TEXT_NOT_UTF8,
 * MSG_TOO_BIG, NOMEM. */
ssize_t hg_ws_rx_feed(struct hg_ws_rx *rx, size_t max_message, char *in, size_t n,
                      struct hg_ws_event *ev) HG_MUST_CHECK;
/* Frees the message handed out last, if rx holds it; an unfinished one stays. The next feed does
 * the same: this is for the time until then. */
void hg_ws_rx_trim(struct hg_ws_rx *rx);
/* Control frames and empty fragments since the last call: they cost work and bring nothing, so who
 * sends many is a flood. */
static inline uint32_t hg_ws_rx_take_idle(struct hg_ws_rx *rx)
{
    uint32_t n = rx->idle;

    rx->idle = 0;
    return n;
}
static inline size_t hg_ws_rx_held(const struct hg_ws_rx *rx) /* bytes of an unfinished message */
{
    return rx->part_n;
}

/* Head of a server frame (unmasked, FIN) into out; returns its length, 2 to 10. opcode: 1 text, 2
 * binary, 8 close, 9 ping, 10 pong. */
#define HG_WS_HEAD_MAX 10
unsigned hg_ws_head(unsigned char out[HG_WS_HEAD_MAX], unsigned opcode, uint64_t len);
enum { HG_WS_NO_CODE = 1005 }; /* what an event says of a close without a code; never on the wire */
/* A whole close frame; returns its length, at most 127. Code 0, or the 1005 of an event: empty
 * body, so that a peer's close is answered with its own code. The reason is cut to 123 bytes,
 * between two characters. */
unsigned hg_ws_close_frame(unsigned char out[127], int code, struct hg_slice reason);

#endif
