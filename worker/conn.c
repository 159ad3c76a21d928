#include "worker/conn_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"

enum {
    PAGE = 256, /* connections of one slab page */
    RBUF = 65536,
    READS_PER_TURN = 4,                   /* then the others get their turn */
    CLOSE_TICKS = 5000 / HG_CONN_TICK_MS, /* how long a peer may take to answer our close */
    LINGER_TICKS = 2000 / HG_CONN_TICK_MS,
};

/* ---- states ---- */

static const char *const state_names[] = {
#define HG_CONN_STATE(name, what) #name,
#include "worker/conn_state.def"
#undef HG_CONN_STATE
};

const char *hg_conn_state_name(enum hg_conn_state s)
{
    return s < HG_CONN_STATES ? state_names[s] : "?";
}

/* Which state may follow which; the graph is drawn in conn_state.def. */
static const uint8_t allowed[HG_CONN_STATES] = {
    [HG_CONN_FREE] = 1 << HG_CONN_HTTP,
    [HG_CONN_HTTP] =
        1 << HG_CONN_OPEN | 1 << HG_CONN_LINGER | 1 << HG_CONN_CLOSING | 1 << HG_CONN_DEAD,
    [HG_CONN_OPEN] = 1 << HG_CONN_CLOSING | 1 << HG_CONN_DEAD,
    [HG_CONN_CLOSING] = 1 << HG_CONN_LINGER | 1 << HG_CONN_DEAD,
    [HG_CONN_LINGER] = 1 << HG_CONN_DEAD,
    [HG_CONN_DEAD] = 1 << HG_CONN_FREE,
};

void hg_conn_set_state(struct hg_conns *cs, struct hg_conn *c, enum hg_conn_state to)
{
    HG_BUG_ON(!(allowed[c->state] >> to & 1));
    if (c->state == HG_CONN_OPEN) {
        cs->open--;
        HG_DEC(cs->m, connections);
    }
    if (to == HG_CONN_OPEN) {
        cs->open++;
        HG_INC(cs->m, connections);
    }
    c->state = (uint8_t)to;
}

struct hg_conn *hg_conn_at(const struct hg_conns *cs, uint32_t index)
{
    return &cs->pages[index / PAGE][index % PAGE];
}

void hg_conn_push_id(uint32_t **ids, uint32_t *n, uint32_t *cap, uint32_t id)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        *ids = hg_realloc(*ids, *cap * sizeof **ids);
    }
    (*ids)[(*n)++] = id;
}

/* ---- closing ---- */

static void gone(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->state == HG_CONN_OPEN)
        cs->ev.on_gone(cs->ev.ctx, c);
}

void hg_conn_drop(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->state == HG_CONN_DEAD)
        return;
    gone(cs, c);
    hg_out_unblock(cs, c);
    hg_conn_set_state(cs, c, HG_CONN_DEAD);
    hg_conn_push_id(&cs->dead, &cs->ndead, &cs->dead_cap, c->index);
}

static void start_closing(struct hg_conns *cs, struct hg_conn *c, uint32_t ticks)
{
    gone(cs, c);
    if (c->state == HG_CONN_DEAD) /* on_gone may have dropped it */
        return;
    hg_conn_set_state(cs, c, HG_CONN_CLOSING); /* rx keeps its place: the peer's close frame may
                                          come behind half a message */
    c->tick_limit = cs->tick + ticks;
    hg_conn_rewheel(cs, c);
}

void hg_conn_close(struct hg_conns *cs, struct hg_conn *c, int err)
{
    const struct hg_err_row *row = hg_err_row(err);

    if (c->state == HG_CONN_HTTP) {
        hg_conn_finish(cs, c);
        return;
    }
    if (c->state != HG_CONN_OPEN)
        return;
    HG_ERR_INC(cs->m, err);
    if (hg_log_level() >= HG_LOG_DEBUG || row->fault != HG_FAULT_US) {
        char name[32];

        hg_log_limited(row->fault == HG_FAULT_US ? HG_LOG_DEBUG : HG_LOG_INFO,
                       hg_conn_name(c, name), "conn.close", "code=%d err=%s why=\"%s\" queued=%llu",
                       row->close_code, row->name, row->text,
                       (unsigned long long)hg_conn_queued(c));
    }
    start_closing(cs, c, CLOSE_TICKS);
    if (c->state != HG_CONN_CLOSING)
        return;
    if (c->blocked) /* otherwise the answers before, and a 101 of this very turn, are still due */
        hg_out_cut(cs, c);
    hg_out_close_frame(cs, c, row->close_code ? row->close_code : hg_err_row(HG_E_BUG)->close_code,
                       hg_slice_str(row->wire));
    /* A peer that broke the protocol is not waited for; others may answer our close first. */
    c->shut_after = row->fault != HG_FAULT_US;
}

void hg_conn_answered(struct hg_conns *cs, struct hg_conn *c)
{
    c->keep_alive = true;
    c->tick_limit =
        cs->tick + hg_conn_ticks(cs->conf->handshake_timeout); /* seen when the old one comes */
}

void hg_conn_finish(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->state != HG_CONN_HTTP)
        return;
    c->shut_after = true;
    hg_conn_set_state(cs, c, HG_CONN_CLOSING);
    c->tick_limit = cs->tick + HG_MAX(LINGER_TICKS, hg_conn_ticks(cs->conf->handshake_timeout));
    hg_conn_rewheel(cs, c);
    hg_out_dirty(cs, c);
}

void hg_conn_drained(struct hg_conns *cs, struct hg_conn *c)
{
    if (!c->shut_after || c->state == HG_CONN_LINGER || c->state == HG_CONN_DEAD)
        return;
    hg_conn_set_state(cs, c, HG_CONN_LINGER);
    shutdown(c->fd, SHUT_WR);
    c->tick_limit = cs->tick + LINGER_TICKS;
    hg_conn_rewheel(cs, c);
    if (c->got_eof)
        hg_conn_drop(cs, c);
}

static void peer_closed(struct hg_conns *cs, struct hg_conn *c, const struct hg_ws_event *ev)
{
    start_closing(cs, c, CLOSE_TICKS);
    if (c->state != HG_CONN_CLOSING)
        return;
    hg_out_close_frame(cs, c, ev->close_code == HG_WS_NO_CODE ? 0 : ev->close_code, HG_SLICE_NONE);
    c->shut_after = true;
}

/* ---- reading ---- */

static void on_ping(struct hg_conns *cs, struct hg_conn *c, struct hg_slice data)
{
    if (!c->blocked) {
        hg_out_control(cs, c, HG_WS_OP_PONG, data);
        return;
    }
    hg_out_pong_later(c, data);
}

static void feed_closing(struct hg_conns *cs, struct hg_conn *c, char *in, size_t n);

/* control_rate a second, looked at by the tick: a quarter of it each. */
static bool is_flood(const struct hg_conns *cs, struct hg_conn *c)
{
    uint32_t n = c->idle_frames + hg_ws_rx_take_idle(&c->rx);

    c->idle_frames = (uint16_t)HG_MIN(n, UINT16_MAX);
    return cs->conf->control_rate > 0 &&
           n > HG_MAX(cs->conf->control_rate * HG_CONN_TICK_MS / 1000, 1);
}

static void feed_ws(struct hg_conns *cs, struct hg_conn *c, char *in, size_t n)
{
    while (n > 0 && c->state == HG_CONN_OPEN) {
        struct hg_ws_event ev;
        ssize_t used = hg_ws_rx_feed(&c->rx, (size_t)cs->conf->max_message, in, n, &ev);

        if (used < 0) {
            hg_conn_close(cs, c, (int)used);
            c->shut_after = true; /* nothing that follows can be read */
            return;
        }
        in += used;
        n -= (size_t)used;
        if (c->rx.idle > 0 && is_flood(cs, c)) {
            hg_conn_close(cs, c, -HG_E_FLOOD);
            return;
        }
        switch (ev.kind) {
        case HG_WS_TEXT:
        case HG_WS_BINARY:
            HG_INC(cs->m, messages_in);
            cs->ev.on_message(cs->ev.ctx, c, ev.kind == HG_WS_BINARY, ev.data);
            break;
        case HG_WS_PING:
            on_ping(cs, c, ev.data);
            break;
        case HG_WS_CLOSE:
            peer_closed(cs, c, &ev);
            break;
        case HG_WS_PONG:
        case HG_WS_NONE:
            break;
        }
    }
    if (c->state == HG_CONN_CLOSING)
        feed_closing(cs, c, in, n);
    hg_ws_rx_trim(&c->rx); /* an idle connection owns nothing of the message just handled */
}

/* In CLOSING after our own close: a close frame of the peer is what we wait for; everything else is
 * discarded. */
static void feed_closing(struct hg_conns *cs, struct hg_conn *c, char *in, size_t n)
{
    while (n > 0 && !c->shut_after && c->state == HG_CONN_CLOSING) {
        struct hg_ws_event ev;
        ssize_t used = hg_ws_rx_feed(&c->rx, (size_t)cs->conf->max_message, in, n, &ev);

        if (used < 0 || ev.kind == HG_WS_CLOSE) {
            c->shut_after = true;
            hg_out_dirty(cs, c);
            return;
        }
        in += used;
        n -= (size_t)used;
    }
}

static void feed(struct hg_conns *cs, struct hg_conn *c, char *in, size_t n)
{
    HG_ADD(cs->m, bytes_in, n);
    if (c->tick_in != cs->tick)
        c->idle_frames = 0;
    c->tick_in = cs->tick;
    switch (c->state) {
    case HG_CONN_HTTP:
        hg_buf_add(c->in, in,
                   n); /* the reader of c->in refuses above max_head, and reads are 64 KB at most */
        cs->ev.on_http(cs->ev.ctx, c);
        break;
    case HG_CONN_OPEN:
        feed_ws(cs, c, in, n);
        break;
    case HG_CONN_CLOSING:
        feed_closing(cs, c, in, n);
        break;
    default:
        break;
    }
}

static void on_eof(struct hg_conns *cs, struct hg_conn *c)
{
    bool waits = hg_conn_queued(c) > 0;

    c->got_eof = true;
    if (c->awaiting && c->state == HG_CONN_HTTP)
        return; /* half-closed behind its request: it still reads our answer */
    if (waits && c->state == HG_CONN_HTTP)
        hg_conn_finish(cs, c);
    if (waits && c->state == HG_CONN_CLOSING && c->shut_after)
        return; /* half-closed after its request: it still reads our answer, until the deadline */
    hg_conn_drop(cs, c);
}

static void read_conn(struct hg_conns *cs, struct hg_conn *c)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t n;

        if (c->state == HG_CONN_DEAD)
            return;
        n = recv(c->fd, cs->rbuf, RBUF, 0);
        if (n == 0) {
            on_eof(cs, c);
            return;
        }
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                HG_ERR_INC(cs->m, HG_E_PEER_GONE);
                hg_conn_drop(cs, c);
            }
            return;
        }
        feed(cs, c, cs->rbuf, (size_t)n);
        if (n < RBUF && !c->peer_end)
            return; /* edge-triggered: a short read means drained (epoll(7)) */
    }
    if (c->state != HG_CONN_DEAD && !c->again) {
        c->again = true;
        hg_conn_push_id(&cs->again, &cs->nagain, &cs->again_cap, c->index);
    }
}

/* Connections whose read budget ran out go on next turn, after everybody else had theirs. */
static void on_read_more(void *arg)
{
    struct hg_conns *cs = arg;
    uint32_t n = cs->nagain;

    for (uint32_t i = 0; i < n; i++) {
        struct hg_conn *c = hg_conn_at(cs, cs->again[i]);

        if (!c->again)
            continue;
        c->again = false;
        if (c->state != HG_CONN_DEAD && c->state != HG_CONN_FREE)
            read_conn(cs, c);
    }
    memmove(cs->again, cs->again + n, (cs->nagain - n) * sizeof *cs->again);
    cs->nagain -= n;
}

static void on_ready(void *ctx, uint32_t index, uint32_t gen, unsigned events)
{
    struct hg_conns *cs = ctx;
    struct hg_conn *c = hg_conn_at(cs, index);

    if ((c->gen & 0xffffff) != gen || c->state == HG_CONN_FREE || c->state == HG_CONN_DEAD)
        return;
    if (events & HG_END) /* came in one edge with data: a short read is not the end of it */
        c->peer_end = true;
    if (events & (HG_IN | HG_HUP)) {
        if (!c->again)
            read_conn(cs, c);
    }
    if ((events & HG_OUT) && c->state != HG_CONN_DEAD && c->blocked) {
        c->blocked = false;
        hg_out_dirty(cs, c);
    }
}

/* ---- life ---- */

static struct hg_conn *place(struct hg_conns *cs)
{
    struct hg_conn *c;

    if (cs->free_head) {
        c = hg_conn_at(cs, cs->free_head - 1);
        cs->free_head = c->wheel_next;
        return c;
    }
    if (cs->high == cs->npages * PAGE) {
        cs->pages = hg_realloc(cs->pages, (cs->npages + 1) * sizeof(struct hg_conn *));
        cs->pages[cs->npages++] = hg_calloc(PAGE, sizeof(struct hg_conn));
    }
    c = hg_conn_at(cs, cs->high);
    c->index = cs->high++;
    return c;
}

static void free_place(struct hg_conns *cs, struct hg_conn *c)
{
    uint32_t index = c->index, gen = c->gen + 1;

    memset(c, 0, sizeof *c);
    c->index = index;
    c->gen = gen;
    c->fd = -1;
    c->wheel_next = cs->free_head;
    cs->free_head = index + 1;
    cs->count--;
}

static void release_conn(struct hg_conns *cs, struct hg_conn *c)
{
    hg_conn_unwheel(cs, c);
    close(c->fd);
    hg_out_free(cs, c);
    if (c->in) {
        hg_buf_fini(c->in);
        free(c->in);
        c->in = NULL;
    }
    hg_ws_rx_fini(&c->rx);
    hg_conn_set_state(cs, c, HG_CONN_FREE);
    free_place(cs, c);
}

static void on_reap(void *arg)
{
    struct hg_conns *cs = arg;

    for (uint32_t i = 0; i < cs->ndead; i++)
        release_conn(cs, hg_conn_at(cs, cs->dead[i]));
    cs->ndead = 0;
    if (cs->nagain > 0)
        hg_loop_defer(cs->loop, &cs->read_more, on_read_more, cs);
}

int hg_conn_accept(struct hg_conns *cs, int fd, const struct hg_addr *peer)
{
    struct hg_conn *c;

    if (cs->conf->max_connections > 0 && cs->count >= (uint64_t)cs->conf->max_connections) {
        HG_ERR_INC(cs->m, HG_E_CONN_LIMIT);
        return -HG_E_CONN_LIMIT;
    }
    c = place(cs);
    if (hg_loop_add(cs->loop, cs->kind, fd, c->index, c->gen & 0xffffff, HG_IN | HG_OUT | HG_ET) <
        0) {
        cs->count++;
        free_place(cs, c);
        return -HG_E_SYS;
    }
    cs->count++;
    c->fd = fd;
    if (peer->sa.sa_family == AF_INET)
        c->peer4 = peer->v4.sin_addr.s_addr;
    else
        c->peer_v6 = true;
    hg_conn_set_state(cs, c, HG_CONN_HTTP);
    c->in = hg_calloc(1, sizeof *c->in);
    hg_ws_rx_init(&c->rx);
    c->tick_in = cs->tick;
    c->tick_limit = cs->tick + hg_conn_ticks(cs->conf->handshake_timeout);
    hg_conn_wheel(cs, c);
    return 0;
}

void hg_conn_end_in(struct hg_conns *cs, struct hg_conn *c, int64_t us)
{
    const int64_t most = (int64_t)HG_CONN_TICK_MS * HG_MS
                         << 30; /* eight years: ticks are compared modulo */

    c->tick_end = cs->tick + 1 + hg_conn_ticks(HG_MIN(us, most)); /* this tick began before now */
    c->tick_end += c->tick_end == 0;
}

void hg_conn_upgraded(struct hg_conns *cs, struct hg_conn *c)
{
    hg_conn_set_state(cs, c, HG_CONN_OPEN);
    c->tick_in = cs->tick;
    c->tick_ping = cs->tick + hg_conn_ticks(cs->conf->ping_interval);
    hg_out_http_until_here(c);
    hg_conn_rewheel(cs, c);
}

void hg_conn_feed_rest(struct hg_conns *cs, struct hg_conn *c, struct hg_slice rest)
{
    struct hg_buf *in = c->in; /* rest points into it */

    c->in = NULL;
    if (rest.n)
        feed_ws(cs, c, (char *)(uintptr_t)rest.p, rest.n);
    hg_buf_fini(in);
    free(in);
}

void hg_conns_init(struct hg_conns *cs, const struct hg_conn_events *ev)
{
    cs->ev = *ev;
    cs->rbuf = hg_malloc(RBUF);
    cs->kind = hg_loop_kind(cs->loop, on_ready, cs);
    hg_loop_on_flush(cs->loop, hg_out_flush_all, cs);
    hg_loop_on_reap(cs->loop, on_reap, cs);
    hg_conns_tick(cs);
}

void hg_conns_fini(struct hg_conns *cs)
{
    struct hg_conn *c;

    for (uint32_t it = 0; (c = hg_conns_next(cs, &it));)
        hg_conn_drop(cs, c);
    cs->nagain = 0;
    on_reap(cs);
    hg_timer_stop(hg_loop_timers(cs->loop), &cs->ticker);
    hg_outs_fini(cs);
    hg_arena_fini(cs->frames, &cs->arena);
    for (uint32_t i = 0; i < cs->npages; i++)
        free(cs->pages[i]);
    free(cs->pages);
    free(cs->again);
    free(cs->dead);
    free(cs->rbuf);
}

struct hg_conn *hg_conn_find(struct hg_conns *cs, uint32_t index, uint32_t gen)
{
    struct hg_conn *c = index < cs->high ? hg_conn_at(cs, index) : NULL;

    return c && c->gen == gen && c->state != HG_CONN_FREE ? c : NULL;
}

struct hg_conn *hg_conns_next(struct hg_conns *cs, uint32_t *it)
{
    while (*it < cs->high) {
        struct hg_conn *c = hg_conn_at(cs, (*it)++);

        if (c->state != HG_CONN_FREE)
            return c;
    }
    return NULL;
}

void hg_conn_peer(const struct hg_conn *c, struct hg_addr *out)
{
    *out = (struct hg_addr){.v4 = {.sin_family = AF_INET, .sin_addr = {c->peer4}},
                            .len = sizeof out->v4};
    if (!c->peer_v6)
        return;
    out->len = sizeof out->v6;
    if (getpeername(c->fd, &out->sa, &out->len) < 0)
        *out = (struct hg_addr){.v6 = {.sin6_family = AF_INET6}, .len = sizeof out->v6};
}

const char *hg_conn_peer_ip(const struct hg_conn *c, char out[HG_ADDR_TEXT])
{
    struct hg_addr peer;

    hg_conn_peer(c, &peer);
    hg_addr_ip_text(&peer, out);
    return out;
}

const char *hg_conn_name(const struct hg_conn *c, char out[32])
{
    snprintf(out, 32, "conn %u.%u", c->index, c->gen);
    return out;
}
