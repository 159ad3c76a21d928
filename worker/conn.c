#include "worker/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"
#include "proto/http1.h"

enum {
    PAGE = 256, /* connections of one slab page */
    RBUF = 65536,
    READS_PER_TURN = 4, /* then the others get their turn */
    TURN_IOVS = 256,    /* architecture: a connection is flushed early at 256 iovecs or 256 KB */
    TURN_BYTES = 256 * 1024,
    QUEUE_SPARES = 256,
    QUEUE_START = 8,
    TICK_MS = 250,
    CLOSE_TICKS = 5000 / TICK_MS, /* how long a peer may take to answer our close */
    LINGER_TICKS = 2000 / TICK_MS,
    ENTRY_CHARGE = 1024, /* beside its bytes: an entry may keep a whole chunk alive */
};

/* What waits to be written: spans in order, the first of them partly written. */
struct hg_outq {
    struct hg_outq *next_spare;
    uint32_t cap, head, n; /* ring of spans */
    uint32_t head_done;    /* bytes of the first span already written */
    uint64_t bytes;        /* unwritten */
    uint64_t http;         /* of them, at the front, an HTTP answer: no frames */
    uint64_t big; /* of them in large frames that were asked for (snapshots, diffs): not under
                     out_hard */
    uint64_t turn_bytes;     /* added since the last write */
    int64_t progress_us;     /* when the kernel last took something */
    unsigned char pong[125]; /* newest unanswered ping while blocked */
    uint8_t pong_n;
    struct hg_span span[];
};

static void flush_conn(struct hg_conns *cs, struct hg_conn *c);
static void on_ready(void *ctx, uint32_t index, uint32_t gen, unsigned events);
static void on_tick(void *arg, struct hg_mono now);
static void on_flush(void *arg);
static void on_reap(void *arg);
static void on_read_more(void *arg);

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

static void set_state(struct hg_conns *cs, struct hg_conn *c, enum hg_conn_state to)
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

static void push_id(uint32_t **ids, uint32_t *n, uint32_t *cap, uint32_t id)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        *ids = hg_realloc(*ids, *cap * sizeof **ids);
    }
    (*ids)[(*n)++] = id;
}

/* ---- wheel: one list per quarter second, looked at lazily ---- */

static void wheel_remove(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->wheel_prev)
        hg_conn_at(cs, c->wheel_prev - 1)->wheel_next = c->wheel_next;
    else
        cs->wheel[c->wheel_slot] = c->wheel_next;
    if (c->wheel_next)
        hg_conn_at(cs, c->wheel_next - 1)->wheel_prev = c->wheel_prev;
    c->wheel_next = c->wheel_prev = 0;
}

static void wheel_insert(struct hg_conns *cs, struct hg_conn *c, uint32_t due)
{
    uint32_t ahead = due - cs->tick;

    if ((int32_t)ahead < 1)
        ahead = 1;
    if (ahead > HG_COUNTOF(cs->wheel) - 1)
        ahead = HG_COUNTOF(cs->wheel) - 1; /* looked at again then */
    c->wheel_slot = (uint16_t)((cs->tick + ahead) % HG_COUNTOF(cs->wheel));
    c->wheel_prev = 0;
    c->wheel_next = cs->wheel[c->wheel_slot];
    if (c->wheel_next)
        hg_conn_at(cs, c->wheel_next - 1)->wheel_prev = c->index + 1;
    cs->wheel[c->wheel_slot] = c->index + 1;
}

static uint32_t ticks_of(int64_t us)
{
    return us <= 0 ? 0 : (uint32_t)((us + TICK_MS * HG_MS - 1) / (TICK_MS * HG_MS));
}

/* When this connection wants to be looked at. */
static uint32_t due_of(const struct hg_conns *cs, const struct hg_conn *c)
{
    uint32_t due = cs->tick + HG_COUNTOF(cs->wheel);

    if (c->state != HG_CONN_OPEN)
        return c->tick_limit;
    if (cs->conf->ping_interval > 0)
        due = c->tick_ping;
    if (cs->conf->idle_timeout > 0) {
        uint32_t idle = c->tick_in + ticks_of(cs->conf->idle_timeout);

        due = (int32_t)(idle - due) < 0 ? idle : due;
    }
    if (c->tick_end && (int32_t)(c->tick_end - due) < 0)
        due = c->tick_end;
    return due;
}

static void rewheel(struct hg_conns *cs, struct hg_conn *c)
{
    wheel_remove(cs, c);
    wheel_insert(cs, c, due_of(cs, c));
}

static void send_control(struct hg_conns *cs, struct hg_conn *c, unsigned opcode,
                         struct hg_slice data)
{
    struct hg_span s = hg_frame_build(cs->frames, &cs->arena, opcode, &data, 1);

    hg_conn_send(cs, c, s);
    hg_span_unref(cs->frames, &s);
}

/* Who has begun a request is told; who said nothing (an idle keep-alive, a bare connect) is not. */
static void http_timeout(struct hg_conns *cs, struct hg_conn *c)
{
    const struct hg_err_row *row = hg_err_row(HG_E_HTTP_TIMEOUT);
    struct hg_buf out = {0};

    if (c->in->n > 0 || !c->keep_alive)
        HG_ERR_INC(cs->m, HG_E_HTTP_TIMEOUT);
    if (c->in->n == 0) {
        hg_conn_drop(cs, c);
        return;
    }
    hg_http_respond(&out, hg_http_status(HG_E_HTTP_TIMEOUT), "text/plain; charset=utf-8",
                    hg_slice_str(row->text), false, false, "");
    hg_conn_send_raw(cs, c, hg_buf_slice(&out));
    hg_buf_fini(&out);
    hg_conn_finish(cs, c);
}

static void on_due(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->state == HG_CONN_HTTP) {
        if ((int32_t)(cs->tick - c->tick_limit) >= 0)
            http_timeout(cs, c);
        return;
    }
    if (c->state != HG_CONN_OPEN) {
        if ((int32_t)(cs->tick - c->tick_limit) >= 0)
            hg_conn_drop(cs, c);
        return;
    }
    if (c->tick_end && (int32_t)(cs->tick - c->tick_end) >= 0) {
        hg_conn_close(cs, c, -HG_E_TOKEN_EXPIRED);
        return;
    }
    if (cs->conf->idle_timeout > 0 && cs->tick - c->tick_in >= ticks_of(cs->conf->idle_timeout)) {
        hg_conn_close(cs, c, -HG_E_IDLE);
        return;
    }
    if (cs->conf->ping_interval > 0 && (int32_t)(cs->tick - c->tick_ping) >= 0) {
        c->tick_ping = cs->tick + ticks_of(cs->conf->ping_interval);
        if (!c->blocked) /* a ping behind a backlog would tell nothing */
            send_control(cs, c, HG_WS_OP_PING, HG_SLICE_NONE);
    }
}

static void check_stalled(struct hg_conns *cs, struct hg_mono now)
{
    for (uint32_t i = cs->nslow; i-- > 0;) {
        struct hg_conn *c = cs->slow[i];
        int64_t stalled = c->out ? now.us - c->out->progress_us : 0;

        if (c->state != HG_CONN_OPEN)
            continue;
        if (stalled >= cs->conf->out_stall)
            hg_conn_close(cs, c, -HG_E_SLOW_CONSUMER);
        else if (stalled >= cs->conf->out_grace)
            cs->ev.on_stalled(cs->ev.ctx, c, stalled, hg_conn_queued(c));
    }
}

static void on_tick(void *arg, struct hg_mono now)
{
    struct hg_conns *cs = arg;
    uint32_t at;

    cs->tick++;
    hg_timer_start(hg_loop_timers(cs->loop), &cs->ticker, hg_mono_add(now, TICK_MS * HG_MS),
                   on_tick, cs);
    /* One by one off the front: on_due may move or end any other. Nothing is put back here, the due
     * are at least a tick ahead. */
    while ((at = cs->wheel[cs->tick % HG_COUNTOF(cs->wheel)])) {
        struct hg_conn *c = hg_conn_at(cs, at - 1);

        wheel_remove(cs, c);
        wheel_insert(cs, c, cs->tick + 1); /* somewhere valid while on_due runs */
        if (c->state != HG_CONN_DEAD)
            on_due(cs, c);
        rewheel(cs, c);
    }
    check_stalled(cs, now);
    HG_SET(cs->m, frame_bytes, cs->frames->live_bytes);
    HG_SET(cs->m, slow_clients, cs->nslow);
}

/* ---- the queue ---- */

static struct hg_outq *queue_new(struct hg_conns *cs, uint32_t cap)
{
    struct hg_outq *q;

    if (cap == QUEUE_START && cs->spare) {
        q = cs->spare;
        cs->spare = q->next_spare;
        cs->nspare--;
    } else {
        q = hg_malloc(sizeof *q + cap * sizeof q->span[0]);
    }
    memset(q, 0, sizeof *q);
    q->cap = cap;
    q->progress_us = hg_loop_now(cs->loop).us;
    return q;
}

static void queue_free(struct hg_conns *cs, struct hg_outq *q)
{
    for (uint32_t i = 0; i < q->n; i++)
        hg_chunk_unref(cs->frames, q->span[(q->head + i) % q->cap].c);
    if (q->cap == QUEUE_START && cs->nspare < QUEUE_SPARES) {
        q->next_spare = cs->spare;
        cs->spare = q;
        cs->nspare++;
        return;
    }
    free(q);
}

static void queue_grow(struct hg_conns *cs, struct hg_conn *c)
{
    struct hg_outq *old = c->out;
    struct hg_outq *q = hg_malloc(sizeof *q + (size_t)old->cap * 2 * sizeof q->span[0]);

    memcpy(q, old, sizeof *q);
    for (uint32_t i = 0; i < old->n; i++)
        q->span[i] = old->span[(old->head + i) % old->cap];
    q->cap = old->cap * 2;
    q->head = 0;
    old->n = 0;
    queue_free(cs, old);
    c->out = q;
}

static void mark_dirty(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    push_id(&cs->dirty, &cs->ndirty, &cs->dirty_cap, c->index);
}

/* Snapshots are bounded by max_snapshot, diffs by being sent only to who can take them. */
static bool is_big(const struct hg_span *s)
{
    return s->c->gated;
}

static void queue_span(struct hg_conns *cs, struct hg_conn *c, struct hg_span s)
{
    struct hg_outq *q = c->out;
    bool joins;

    if (!q)
        q = c->out = queue_new(cs, QUEUE_START);
    joins =
        q->n > 0 && q->bytes > q->http; /* no frame in one span with the end of an HTTP answer */
    q->bytes += s.len;
    q->turn_bytes += s.len;
    if (joins) {
        struct hg_span *last = &q->span[(q->head + q->n - 1) % q->cap];

        if (last->c == s.c && last->off + last->len == s.off) {
            last->len += s.len;
            return;
        }
    }
    if (q->n == q->cap) {
        queue_grow(cs, c);
        q = c->out;
    }
    s.c->refs++;
    if (is_big(&s))
        q->big += s.len;
    q->span[(q->head + q->n++) % q->cap] = s;
}

/* What the hard cap counts once the kernel takes no more: not the large frame under way, which a
 * client that reads may be getting. */
static bool above_hard(const struct hg_conns *cs, const struct hg_outq *q)
{
    uint64_t charge = q->bytes - q->big + (uint64_t)q->n * ENTRY_CHARGE;
    const struct hg_span *first = &q->span[q->head];

    if (q->n > 0 && !is_big(first) && first->len > HG_FRAME_BIG)
        charge -= first->len - q->head_done;
    return cs->conf->out_hard > 0 && charge > (uint64_t)cs->conf->out_hard;
}

uint64_t hg_conn_queued(const struct hg_conn *c)
{
    return c->out ? c->out->bytes : 0;
}

uint64_t hg_conn_queued_big(const struct hg_conn *c)
{
    return c->out ? c->out->big : 0;
}

void hg_conn_send(struct hg_conns *cs, struct hg_conn *c, struct hg_span s)
{
    if (c->state > HG_CONN_OPEN || c->shut_after)
        return;
    HG_INC(cs->m, messages_out);
    queue_span(cs, c, s);
    mark_dirty(cs, c);
    if (c->blocked) {
        if (above_hard(cs, c->out))
            hg_conn_close(cs, c, -HG_E_SLOW_CONSUMER);
        return;
    }
    if (c->out->turn_bytes >= TURN_BYTES || c->out->n >= TURN_IOVS)
        flush_conn(cs, c);
}

void hg_conn_send_text(struct hg_conns *cs, struct hg_conn *c, struct hg_slice text)
{
    send_control(cs, c, HG_WS_OP_TEXT, text);
}

void hg_conn_send_raw(struct hg_conns *cs, struct hg_conn *c, struct hg_slice bytes)
{
    struct hg_span s = hg_frame_raw(cs->frames, &cs->arena, bytes);

    hg_conn_send(cs, c, s);
    hg_span_unref(cs->frames, &s);
}

/* ---- blocked connections ---- */

static void slow_add(struct hg_conns *cs, struct hg_conn *c)
{
    c->blocked = true;
    if (c->slow)
        return;
    c->slow = true;
    if (cs->nslow == cs->slow_cap) {
        cs->slow_cap = cs->slow_cap ? cs->slow_cap * 2 : 64;
        cs->slow = hg_realloc(cs->slow, cs->slow_cap * sizeof(struct hg_conn *));
    }
    c->slow_at = cs->nslow;
    cs->slow[cs->nslow++] = c;
}

static void slow_remove(struct hg_conns *cs, struct hg_conn *c)
{
    struct hg_conn *moved;

    c->blocked = false;
    if (!c->slow)
        return;
    c->slow = false;
    moved = cs->slow[--cs->nslow];
    cs->slow[c->slow_at] = moved;
    moved->slow_at = c->slow_at;
}

/* ---- writing ---- */

static void queue_written(struct hg_conns *cs, struct hg_outq *q, size_t n)
{
    q->bytes -= n;
    q->http -= HG_MIN(q->http, n);
    while (n > 0) {
        struct hg_span *s = &q->span[q->head];
        uint32_t left = s->len - q->head_done;

        if (is_big(s))
            q->big -= HG_MIN(left, n);
        if (n < left) {
            q->head_done += (uint32_t)n;
            return;
        }
        n -= left;
        hg_chunk_unref(cs->frames, s->c);
        q->head = (q->head + 1) % q->cap;
        q->n--;
        q->head_done = 0;
    }
}

/* One gathered write; false when the kernel takes no more or the peer is gone. */
static bool write_some(struct hg_conns *cs, struct hg_conn *c)
{
    struct hg_outq *q = c->out;
    struct iovec iov[TURN_IOVS];
    struct msghdr mh = {.msg_iov = iov};
    size_t want = 0;
    ssize_t n;

    for (uint32_t i = 0; i < q->n && i < TURN_IOVS; i++) {
        struct hg_span *s = &q->span[(q->head + i) % q->cap];
        uint32_t done = i == 0 ? q->head_done : 0;

        iov[i] = (struct iovec){s->c->data + s->off + done, s->len - done};
        want += s->len - done;
        mh.msg_iovlen = i + 1;
    }
    n = mh.msg_iovlen == 1 ? send(c->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
                           : sendmsg(c->fd, &mh, MSG_NOSIGNAL);
    HG_INC(cs->m, writes);
    if (n < 0) {
        if (errno == EINTR)
            return true;
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
            HG_ERR_INC(cs->m, HG_E_PEER_GONE);
            hg_conn_drop(cs, c);
            return false;
        }
        n = 0;
    }
    HG_ADD(cs->m, bytes_out, n);
    if (n > 0)
        q->progress_us = hg_loop_now(cs->loop).us;
    queue_written(cs, q, (size_t)n);
    if ((size_t)n == want)
        return true;
    HG_INC(cs->m, writes_blocked);
    slow_add(cs, c);
    return false;
}

static void queue_empty(struct hg_conns *cs, struct hg_conn *c)
{
    bool was_slow = c->slow;

    if (c->out && c->out->pong_n == 0 && !c->pong_due) {
        queue_free(cs, c->out);
        c->out = NULL;
    }
    slow_remove(cs, c);
    if (c->state == HG_CONN_OPEN) {
        if (was_slow)
            cs->ev.on_writable(cs->ev.ctx, c);
        return;
    }
    if (c->shut_after && c->state != HG_CONN_LINGER && c->state != HG_CONN_DEAD) {
        set_state(cs, c, HG_CONN_LINGER);
        shutdown(c->fd, SHUT_WR);
        c->tick_limit = cs->tick + LINGER_TICKS;
        rewheel(cs, c);
        if (c->got_eof)
            hg_conn_drop(cs, c);
    }
}

static void answer_late_ping(struct hg_conns *cs, struct hg_conn *c)
{
    unsigned char data[125];
    uint8_t n = c->out->pong_n;

    memcpy(data, c->out->pong, n);
    c->out->pong_n = 0;
    c->pong_due = false;
    c->blocked = false;
    send_control(cs, c, HG_WS_OP_PONG, hg_slice_of(data, n));
}

static void flush_conn(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->blocked || c->state == HG_CONN_DEAD || c->state == HG_CONN_LINGER)
        return;
    if (c->out)
        c->out->turn_bytes = 0;
    while (c->out && c->out->n > 0)
        if (!write_some(cs, c)) {
            /* What is left after EAGAIN is what the cap is about. */
            if (c->state == HG_CONN_OPEN && above_hard(cs, c->out))
                hg_conn_close(cs, c, -HG_E_SLOW_CONSUMER);
            return;
        }
    if (c->out && c->pong_due && c->state == HG_CONN_OPEN) {
        answer_late_ping(cs, c);
        return; /* dirty again: written at the end of the turn */
    }
    queue_empty(cs, c);
}

static void on_flush(void *arg)
{
    struct hg_conns *cs = arg;

    /* on_writable may make more dirty while we go; they are appended and met. */
    for (uint32_t i = 0; i < cs->ndirty; i++) {
        struct hg_conn *c = hg_conn_at(cs, cs->dirty[i]);

        c->dirty = false;
        flush_conn(cs, c);
    }
    cs->ndirty = 0;
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
    slow_remove(cs, c);
    set_state(cs, c, HG_CONN_DEAD);
    push_id(&cs->dead, &cs->ndead, &cs->dead_cap, c->index);
}

/* Bytes at the front that must go out before a close frame may: an HTTP answer, or the rest of a
 * frame that is half out. */
static uint64_t queue_due(const struct hg_outq *q)
{
    const struct hg_span *s = &q->span[q->head];

    if (q->http > 0 || q->n == 0)
        return q->http;
    return hg_frame_end(s->c->data + s->off, s->len, q->head_done) - q->head_done;
}

/* Empties the queue down to that: a close frame inside a frame would be garbage. */
static void queue_cut(struct hg_conns *cs, struct hg_conn *c)
{
    struct hg_outq *q = c->out;
    uint64_t keep = q ? queue_due(q) : 0, bytes = keep;
    uint32_t n = 0;

    if (!q)
        return;
    q->big = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        struct hg_span *s = &q->span[(q->head + i) % q->cap];
        uint32_t done = i == 0 ? q->head_done : 0;

        if (keep == 0) {
            hg_chunk_unref(cs->frames, s->c);
            continue;
        }
        s->len = done + (uint32_t)HG_MIN(keep, s->len - done);
        keep -= s->len - done;
        q->big += is_big(s) ? s->len - done : 0;
        n++;
    }
    q->n = n;
    q->bytes = bytes;
    q->head_done = n ? q->head_done : 0;
}

static void queue_close_frame(struct hg_conns *cs, struct hg_conn *c, int code,
                              struct hg_slice reason)
{
    unsigned char frame[127];
    unsigned n = hg_ws_close_frame(frame, code, reason);
    struct hg_span s = hg_frame_raw(cs->frames, &cs->arena, hg_slice_of(frame, n));

    if (code >= 1000 && code < 1016)
        HG_ADD(cs->m, closes[code - 1000], 1);
    queue_span(cs, c, s);
    hg_span_unref(cs->frames, &s);
    mark_dirty(cs, c);
}

static void start_closing(struct hg_conns *cs, struct hg_conn *c, uint32_t ticks)
{
    gone(cs, c);
    if (c->state == HG_CONN_DEAD) /* on_gone may have dropped it */
        return;
    set_state(cs, c, HG_CONN_CLOSING); /* rx keeps its place: the peer's close frame may come behind
                                          half a message */
    c->tick_limit = cs->tick + ticks;
    rewheel(cs, c);
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
        queue_cut(cs, c);
    queue_close_frame(cs, c, row->close_code ? row->close_code : hg_err_row(HG_E_BUG)->close_code,
                      hg_slice_str(row->wire));
    /* A peer that broke the protocol is not waited for; others may answer our close first. */
    c->shut_after = row->fault != HG_FAULT_US;
}

void hg_conn_answered(struct hg_conns *cs, struct hg_conn *c)
{
    c->keep_alive = true;
    c->tick_limit =
        cs->tick + ticks_of(cs->conf->handshake_timeout); /* seen when the old one comes */
}

void hg_conn_finish(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->state != HG_CONN_HTTP)
        return;
    c->shut_after = true;
    set_state(cs, c, HG_CONN_CLOSING);
    c->tick_limit = cs->tick + HG_MAX(LINGER_TICKS, ticks_of(cs->conf->handshake_timeout));
    rewheel(cs, c);
    mark_dirty(cs, c);
}

static void peer_closed(struct hg_conns *cs, struct hg_conn *c, const struct hg_ws_event *ev)
{
    start_closing(cs, c, CLOSE_TICKS);
    if (c->state != HG_CONN_CLOSING)
        return;
    queue_close_frame(cs, c, ev->close_code == HG_WS_NO_CODE ? 0 : ev->close_code, HG_SLICE_NONE);
    c->shut_after = true;
}

/* ---- reading ---- */

static void on_ping(struct hg_conns *cs, struct hg_conn *c, struct hg_slice data)
{
    if (!c->blocked) {
        send_control(cs, c, HG_WS_OP_PONG, data);
        return;
    }
    c->pong_due = true; /* blocked: there is a queue */
    c->out->pong_n = (uint8_t)data.n;
    if (data.n)
        memcpy(c->out->pong, data.p, data.n);
}

static void feed_closing(struct hg_conns *cs, struct hg_conn *c, char *in, size_t n);

/* control_rate a second, looked at by the tick: a quarter of it each. */
static bool is_flood(const struct hg_conns *cs, struct hg_conn *c)
{
    uint32_t n = c->idle_frames + hg_ws_rx_take_idle(&c->rx);

    c->idle_frames = (uint16_t)HG_MIN(n, UINT16_MAX);
    return cs->conf->control_rate > 0 && n > HG_MAX(cs->conf->control_rate * TICK_MS / 1000, 1);
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
            mark_dirty(cs, c);
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
    bool waits = c->out && c->out->n > 0;

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
        push_id(&cs->again, &cs->nagain, &cs->again_cap, c->index);
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
        mark_dirty(cs, c);
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
    wheel_remove(cs, c);
    close(c->fd);
    if (c->out) {
        queue_free(cs, c->out);
        c->out = NULL;
    }
    if (c->in) {
        hg_buf_fini(c->in);
        free(c->in);
        c->in = NULL;
    }
    hg_ws_rx_fini(&c->rx);
    set_state(cs, c, HG_CONN_FREE);
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
    set_state(cs, c, HG_CONN_HTTP);
    c->in = hg_calloc(1, sizeof *c->in);
    hg_ws_rx_init(&c->rx);
    c->tick_in = cs->tick;
    c->tick_limit = cs->tick + ticks_of(cs->conf->handshake_timeout);
    wheel_insert(cs, c, c->tick_limit);
    return 0;
}

void hg_conn_end_in(struct hg_conns *cs, struct hg_conn *c, int64_t us)
{
    const int64_t most = (int64_t)TICK_MS * HG_MS
                         << 30; /* eight years: ticks are compared modulo */

    c->tick_end = cs->tick + 1 + ticks_of(HG_MIN(us, most)); /* this tick began before now */
    c->tick_end += c->tick_end == 0;
}

void hg_conn_upgraded(struct hg_conns *cs, struct hg_conn *c)
{
    set_state(cs, c, HG_CONN_OPEN);
    c->tick_in = cs->tick;
    c->tick_ping = cs->tick + ticks_of(cs->conf->ping_interval);
    if (c->out)
        c->out->http = c->out->bytes;
    rewheel(cs, c);
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
    hg_loop_on_flush(cs->loop, on_flush, cs);
    hg_loop_on_reap(cs->loop, on_reap, cs);
    hg_timer_start(hg_loop_timers(cs->loop), &cs->ticker,
                   hg_mono_add(hg_loop_now(cs->loop), TICK_MS * HG_MS), on_tick, cs);
}

void hg_conns_fini(struct hg_conns *cs)
{
    struct hg_conn *c;

    for (uint32_t it = 0; (c = hg_conns_next(cs, &it));)
        hg_conn_drop(cs, c);
    cs->nagain = 0;
    on_reap(cs);
    hg_timer_stop(hg_loop_timers(cs->loop), &cs->ticker);
    while (cs->spare) {
        struct hg_outq *q = cs->spare;

        cs->spare = q->next_spare;
        free(q);
    }
    hg_arena_fini(cs->frames, &cs->arena);
    for (uint32_t i = 0; i < cs->npages; i++)
        free(cs->pages[i]);
    free(cs->pages);
    free(cs->dirty);
    free(cs->again);
    free(cs->dead);
    free(cs->slow);
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

const char *hg_conn_name(const struct hg_conn *c, char out[32])
{
    snprintf(out, 32, "conn %u.%u", c->index, c->gen);
    return out;
}
