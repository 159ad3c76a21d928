/*
 * The bytes of client connections: reading, gathered writing, caps, deadlines, closing. Knows HTTP
 * and WebSocket only as functions it hands bytes to; knows no op, room or stream. Owns its
 * connections, their queues and fds.
 *
 *   hg_conns_init(&cs, &events);
 *   accepted fd -> hg_conn_accept(cs, fd, peer)
 *   hg_conn_send(cs, c, span)             queued; the turn's end writes all that gathered at once
 *   hg_conn_close(cs, c, -HG_E_x)         close frame with the row's code; the session goes at once
 *   hg_conn_drop(cs, c)                   no more bytes
 *
 * 1. Nothing is freed inside a callback: a closed connection stays readable as a struct until the
 *    turn ends.
 * 2. One queue per connection, strictly in order. Nothing overtakes but a pong while the kernel
 *    takes nothing: then the newest ping is answered once, when it does.
 * 3. Caps count what is left after the kernel said EAGAIN, so they never hit a client that reads
 *    (architecture, promise 7).
 * 4. An idle connection holds no buffer: reads go to one shared buffer, queues are made when
 *    needed.
 */
#ifndef HG_WORKER_CONN_H
#define HG_WORKER_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/sys/conf.h"
#include "common/sys/loop.h"
#include "common/sys/metric.h"
#include "common/sys/sock.h"
#include "proto/ws_msg.h"
#include "worker/frame.h"
#include "worker/session.h"

enum hg_conn_state {
#define HG_CONN_STATE(name, what) HG_CONN_##name,
#include "worker/conn_state.def"
#undef HG_CONN_STATE
    HG_CONN_STATES
};

struct hg_outq;

struct hg_conn {
    int fd;
    uint32_t index, gen;
    uint8_t state;
    bool blocked : 1;    /* the kernel said EAGAIN and has not said writable since */
    bool dirty : 1;      /* on the flush list of this turn */
    bool again : 1;      /* has unread input left over from its read budget */
    bool echo : 1;       /* raw echo resource */
    bool shut_after : 1; /* our side ends when the queue is empty */
    bool got_eof : 1;
    bool peer_end : 1; /* the peer has sent its last byte: read on until it is met */
    bool pong_due : 1;
    bool keep_alive : 1; /* a request was answered, the next may come */
    bool slow : 1;       /* counted in slow_clients, on the blocked list */
    bool peer_v6 : 1;
    bool awaiting : 1;               /* HTTP: the answer to its request comes in a later turn */
    uint32_t tick_in;                /* tick of the last input */
    uint32_t tick_ping;              /* tick of the next ping */
    uint32_t tick_limit;             /* deadline of HTTP, CLOSING, LINGER */
    uint32_t tick_end;               /* OPEN ends then, see hg_conn_end_in; 0: no end is set */
    uint32_t wheel_next, wheel_prev; /* index + 1; private to conn.c */
    uint16_t wheel_slot;
    uint16_t idle_frames; /* that brought nothing, in this tick */
    uint32_t slow_at;     /* place in the blocked list */
    uint32_t
        peer4; /* IPv4 peer in network order; IPv6 peers are read from the socket when asked for */
    struct hg_outq *out; /* NULL while nothing waits */
    struct hg_buf *in;   /* request bytes; NULL once upgraded */
    struct hg_ws_rx rx;
    struct hg_session s; /* valid from OPEN on */
};

struct hg_conns;

struct hg_conn_events {
    /* Request bytes (state HTTP): all of c->in. Answers, upgrades, or leaves them until more
     * come. */
    void (*on_http)(void *ctx, struct hg_conn *c);
    /* A whole text or binary message; data is gone afterwards. */
    void (*on_message)(void *ctx, struct hg_conn *c, bool binary, struct hg_slice data);
    /* The session ends here (state left OPEN). Called once. */
    void (*on_gone)(void *ctx, struct hg_conn *c);
    /* The queue ran empty after the kernel had been full: what lagged may be pulled. */
    void (*on_writable)(void *ctx, struct hg_conn *c);
    /* The kernel has taken nothing for stalled_us, at least out_grace; queued is what waits here.
     * Asked every 250 ms. */
    void (*on_stalled)(void *ctx, struct hg_conn *c, int64_t stalled_us, uint64_t queued);
    void *ctx;
};

struct hg_conns {
    struct hg_loop *loop;
    struct hg_frames *frames;
    const struct hg_conf *conf;
    struct hg_metrics *m;
    struct hg_conn_events ev;
    uint32_t count; /* places in use */
    uint32_t open;  /* of them WebSockets */
    uint32_t tick;  /* quarter seconds since start */
    /* private to conn.c */
    uint8_t kind;
    struct hg_conn **pages;
    uint32_t npages, free_head, high;
    uint32_t *dirty, ndirty, dirty_cap;
    uint32_t *again, nagain, again_cap;
    uint32_t *dead, ndead, dead_cap;
    struct hg_conn **slow;
    uint32_t nslow, slow_cap;
    uint32_t wheel[256];
    struct hg_timer ticker;
    struct hg_defer read_more;
    struct hg_outq *spare;
    unsigned nspare;
    struct hg_arena arena; /* replies, pings, closes */
    char *rbuf;
};

void hg_conns_init(struct hg_conns *cs, const struct hg_conn_events *ev);
void hg_conns_fini(struct hg_conns *cs); /* drops every connection */

/* Takes the fd when it returns 0. -HG_E_CONN_LIMIT, -HG_E_SYS: the fd is still the caller's. */
int hg_conn_accept(struct hg_conns *cs, int fd, const struct hg_addr *peer) HG_MUST_CHECK;
void hg_conn_upgraded(struct hg_conns *cs,
                      struct hg_conn *c); /* HTTP -> OPEN; hg_conn_feed_rest must follow */
/* The session to come is closed (TOKEN_EXPIRED) after so long; call it before hg_conn_upgraded. */
void hg_conn_end_in(struct hg_conns *cs, struct hg_conn *c, int64_t us);
void hg_conn_feed_rest(struct hg_conns *cs, struct hg_conn *c,
                       struct hg_slice rest); /* frames behind the request; frees c->in */
void hg_conn_answered(struct hg_conns *cs,
                      struct hg_conn *c); /* HTTP: a request was answered; handshake_timeout starts
                                             anew for the next */
void hg_conn_finish(struct hg_conns *cs,
                    struct hg_conn *c); /* HTTP: send what is queued, then end */
void hg_conn_send(struct hg_conns *cs, struct hg_conn *c,
                  struct hg_span s); /* takes its own reference; nothing if not OPEN or HTTP */
void hg_conn_send_text(struct hg_conns *cs, struct hg_conn *c, struct hg_slice text);
void hg_conn_send_raw(struct hg_conns *cs, struct hg_conn *c, struct hg_slice bytes);
void hg_conn_close(struct hg_conns *cs, struct hg_conn *c, int err);
void hg_conn_drop(struct hg_conns *cs, struct hg_conn *c);
uint64_t hg_conn_queued(const struct hg_conn *c); /* bytes not yet taken by the kernel */
uint64_t hg_conn_queued_big(
    const struct hg_conn *c); /* of them not under out_hard: large frames of gated arenas */
/* CLOSING or later: nothing reaches it any more. */
static inline bool hg_conn_has_ended(const struct hg_conn *c)
{
    return c->state > HG_CONN_OPEN;
}
/* May more be put into its queue without harm? False while the kernel takes nothing. */
static inline bool hg_conn_can_take(const struct hg_conn *c)
{
    return c->state == HG_CONN_OPEN && !c->blocked;
}
/* The same of a large frame of n bytes that was asked for (a snapshot, an answer): also while the
 * kernel takes nothing, as long as what waits of such frames stays within max_snapshot. */
bool hg_conn_can_take_big(const struct hg_conns *cs, const struct hg_conn *c, uint64_t n);
/* The connection of that place and generation, if it is still there. */
struct hg_conn *hg_conn_find(struct hg_conns *cs, uint32_t index, uint32_t gen);
/* The place of that index, which must have been in use. */
struct hg_conn *hg_conn_at(const struct hg_conns *cs, uint32_t index);
/* Every connection in use; *it starts at 0; NULL at the end. */
struct hg_conn *hg_conns_next(struct hg_conns *cs, uint32_t *it);
/* The peer's address (port 0); an unknown one when it is gone. */
void hg_conn_peer(const struct hg_conn *c, struct hg_addr *out);
/* Its IP as text, for the log. */
const char *hg_conn_peer_ip(const struct hg_conn *c, char out[HG_ADDR_TEXT]);
/* Object prefix for the log: "conn 12.3". */
const char *hg_conn_name(const struct hg_conn *c, char out[32]);
const char *hg_conn_state_name(enum hg_conn_state s);

#endif
