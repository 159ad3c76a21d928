/* What waits to be written: bounded queues of spans, one gathered write for many, and who is
 * slow. */
#include "worker/conn_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "common/base/err.h"
#include "common/base/macros.h"

enum {
    TURN_IOVS = 256, /* architecture: a connection is flushed early at 256 iovecs or 256 KB */
    TURN_BYTES = 256 * 1024,
    QUEUE_SPARES = 256,
    QUEUE_START = 8,
    ENTRY_CHARGE = 1024, /* beside its bytes: an entry may keep a whole chunk alive */
};

/* What waits to be written: spans in order, the first of them partly written. */
struct hg_outq {
    struct hg_outq *next_spare;
    uint32_t cap, head, n; /* ring of spans; cap is a power of two */
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

static void flush(struct hg_conns *cs, struct hg_conn *c);

/* ---- the queue ---- */

static struct hg_span *span_at(struct hg_outq *q, uint32_t i)
{
    return &q->span[(q->head + i) & (q->cap - 1)];
}

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
        hg_chunk_unref(cs->frames, span_at(q, i)->c);
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
        q->span[i] = *span_at(old, i);
    q->cap = old->cap * 2;
    q->head = 0;
    old->n = 0;
    queue_free(cs, old);
    c->out = q;
}

void hg_out_dirty(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    hg_conn_push_id(&cs->dirty, &cs->ndirty, &cs->dirty_cap, c->index);
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
        struct hg_span *last = span_at(q, q->n - 1);

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
    *span_at(q, q->n++) = s;
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

int64_t hg_out_stalled(const struct hg_conn *c, struct hg_mono now)
{
    return c->out ? now.us - c->out->progress_us : 0;
}

void hg_out_http_until_here(struct hg_conn *c)
{
    if (c->out)
        c->out->http = c->out->bytes;
}

uint64_t hg_conn_queued_big(const struct hg_conn *c)
{
    return c->out ? c->out->big : 0;
}

bool hg_conn_can_take_big(const struct hg_conns *cs, const struct hg_conn *c, uint64_t n)
{
    uint64_t queued = hg_conn_queued_big(c), max = (uint64_t)cs->conf->max_snapshot;

    return hg_conn_can_take(c) || (queued <= max && n <= max - queued);
}

void hg_conn_send(struct hg_conns *cs, struct hg_conn *c, struct hg_span s)
{
    if (hg_conn_has_ended(c) || c->shut_after)
        return;
    HG_INC(cs->m, messages_out);
    queue_span(cs, c, s);
    hg_out_dirty(cs, c);
    if (c->blocked) {
        if (above_hard(cs, c->out))
            hg_conn_close(cs, c, -HG_E_SLOW_CONSUMER);
        return;
    }
    if (c->out->turn_bytes >= TURN_BYTES || c->out->n >= TURN_IOVS)
        flush(cs, c);
}

void hg_out_control(struct hg_conns *cs, struct hg_conn *c, unsigned opcode, struct hg_slice data)
{
    struct hg_span s = hg_frame_build(cs->frames, &cs->arena, opcode, &data, 1);

    hg_conn_send(cs, c, s);
    hg_span_unref(cs->frames, &s);
}

void hg_conn_send_text(struct hg_conns *cs, struct hg_conn *c, struct hg_slice text)
{
    hg_out_control(cs, c, HG_WS_OP_TEXT, text);
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

void hg_out_unblock(struct hg_conns *cs, struct hg_conn *c)
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
        q->head = (q->head + 1) & (q->cap - 1);
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
        struct hg_span *s = span_at(q, i);
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

    if (c->out && c->out->pong_n == 0 && !c->pong_due)
        hg_out_free(cs, c);
    hg_out_unblock(cs, c);
    if (c->state == HG_CONN_OPEN) {
        if (was_slow)
            cs->ev.on_writable(cs->ev.ctx, c);
        return;
    }
    hg_conn_drained(cs, c);
}

void hg_out_pong_later(struct hg_conn *c, struct hg_slice data)
{
    c->pong_due = true;
    c->out->pong_n = (uint8_t)data.n;
    if (data.n)
        memcpy(c->out->pong, data.p, data.n);
}

static void answer_late_ping(struct hg_conns *cs, struct hg_conn *c)
{
    unsigned char data[125];
    uint8_t n = c->out->pong_n;

    memcpy(data, c->out->pong, n);
    c->out->pong_n = 0;
    c->pong_due = false;
    c->blocked = false;
    hg_out_control(cs, c, HG_WS_OP_PONG, hg_slice_of(data, n));
}

static void flush(struct hg_conns *cs, struct hg_conn *c)
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

void hg_out_flush_all(void *arg)
{
    struct hg_conns *cs = arg;

    /* on_writable may make more dirty while we go; they are appended and met. */
    for (uint32_t i = 0; i < cs->ndirty; i++) {
        struct hg_conn *c = hg_conn_at(cs, cs->dirty[i]);

        c->dirty = false;
        flush(cs, c);
    }
    cs->ndirty = 0;
}

/* ---- cutting short ---- */

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
void hg_out_cut(struct hg_conns *cs, struct hg_conn *c)
{
    struct hg_outq *q = c->out;
    uint64_t keep = q ? queue_due(q) : 0, bytes = keep;
    uint32_t n = 0;

    if (!q)
        return;
    q->big = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        struct hg_span *s = span_at(q, i);
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

void hg_out_close_frame(struct hg_conns *cs, struct hg_conn *c, int code, struct hg_slice reason)
{
    unsigned char frame[127];
    unsigned n = hg_ws_close_frame(frame, code, reason);
    struct hg_span s = hg_frame_raw(cs->frames, &cs->arena, hg_slice_of(frame, n));

    if (code >= 1000 && code < 1016)
        HG_ADD(cs->m, closes[code - 1000], 1);
    queue_span(cs, c, s);
    hg_span_unref(cs->frames, &s);
    hg_out_dirty(cs, c);
}

/* ---- the end ---- */

void hg_out_free(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->out)
        queue_free(cs, c->out);
    c->out = NULL;
}

void hg_outs_fini(struct hg_conns *cs)
{
    while (cs->spare) {
        struct hg_outq *q = cs->spare;

        cs->spare = q->next_spare;
        free(q);
    }
    free(cs->dirty);
    free(cs->slow);
}
