/* Connections over real loopback sockets in a real loop: order, caps, closing, ends, deadlines,
 * fairness. The protocol above is a toy: a line "open" upgrades, "size N" is answered with N bytes,
 * "end" with a last answer; a text message "echo N" with N bytes. */
#include "tests/support/hgtest.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include "common/base/err.h"
#include "worker/conn.h"

enum { CLIENTS = 4, MASK = 0x80, TICK_MS = 250, DEADLINE_S = 20 };

struct client {
    int fd;
    struct hg_conn *c;
    struct hg_buf got;
    bool ended, reset;
};

struct world {
    struct hg_loop *loop;
    struct hg_frames frames;
    struct hg_conf conf;
    struct hg_metrics *m;
    struct hg_conns cs;
    struct hg_arena arena, streams;
    struct client k[CLIENTS];
    int listener;
    unsigned messages, gone, writable, stalled;
    size_t message_bytes;
    void (*on_message)(struct world *t, struct hg_conn *c, struct hg_slice data);
};

static void send_frame(struct world *t, struct hg_arena *a, struct hg_conn *c, char fill, size_t n)
{
    char *bytes = hg_malloc(n + 1);
    struct hg_slice part = hg_slice_of(bytes, n);
    struct hg_span s;

    memset(bytes, fill, n);
    s = hg_frame_build(&t->frames, a, HG_WS_OP_TEXT, &part, 1);
    hg_conn_send(&t->cs, c, s);
    hg_span_unref(&t->frames, &s);
    free(bytes);
}

static void send_bytes(struct world *t, struct hg_conn *c, char fill, size_t n)
{
    char *bytes = hg_malloc(n + 1);

    memset(bytes, fill, n);
    hg_conn_send_raw(&t->cs, c, hg_slice_of(bytes, n));
    free(bytes);
}

/* One line of request; false when there is none. */
static bool on_line(struct world *t, struct hg_conn *c)
{
    char *nl = c->in->n ? memchr(c->in->p, '\n', c->in->n) : NULL;
    size_t n = nl ? (size_t)(nl - c->in->p) + 1 : 0;

    if (!nl)
        return false;
    if (strncmp(c->in->p, "open", 4) == 0) {
        send_bytes(t, c, 'U', 20);
        if (c->state != HG_CONN_HTTP)
            return false;
        hg_conn_upgraded(&t->cs, c);
        hg_conn_feed_rest(&t->cs, c, hg_slice_of(c->in->p + n, c->in->n - n));
        return false;
    }
    if (strncmp(c->in->p, "end", 3) == 0) {
        send_bytes(t, c, 'e', 20);
        hg_conn_finish(&t->cs, c);
        return false;
    }
    send_bytes(t, c, 'h', (size_t)atol(c->in->p + 5));
    if (c->state != HG_CONN_HTTP)
        return false;
    hg_conn_answered(&t->cs, c);
    hg_buf_drop(c->in, n);
    return true;
}

static void on_http(void *ctx, struct hg_conn *c)
{
    while (on_line(ctx, c))
        ;
}

static void on_message(void *ctx, struct hg_conn *c, bool binary, struct hg_slice data)
{
    struct world *t = ctx;

    (void)binary;
    t->messages++;
    t->message_bytes += data.n;
    if (t->on_message)
        t->on_message(t, c, data);
}
static void on_gone(void *ctx, struct hg_conn *c)
{
    (void)c;
    ((struct world *)ctx)->gone++;
}
static void on_writable(void *ctx, struct hg_conn *c)
{
    (void)c;
    ((struct world *)ctx)->writable++;
}
static void on_stalled(void *ctx, struct hg_conn *c, int64_t stalled_us, uint64_t queued)
{
    (void)c;
    (void)stalled_us;
    (void)queued;
    ((struct world *)ctx)->stalled++;
}

static int setup(void **state)
{
    struct world *t = hg_calloc(1, sizeof *t);
    struct hg_conn_events ev = {on_http, on_message, on_gone, on_writable, on_stalled, t};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int size = 16384;

    t->loop = hg_loop_new();
    t->m = hg_calloc(1, sizeof *t->m);
    t->conf = (struct hg_conf){.handshake_timeout = 2 * HG_S,
                               .idle_timeout = 60 * HG_S,
                               .ping_interval = 60 * HG_S,
                               .max_message = 1 << 20,
                               .out_hard = 256 * 1024,
                               .out_stall = 60 * HG_S,
                               .out_grace = 60 * HG_S};
    t->streams.gated = true;
    t->cs = (struct hg_conns){.loop = t->loop, .frames = &t->frames, .conf = &t->conf, .m = t->m};
    hg_conns_init(&t->cs, &ev);
    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(t->listener >= 0);
    assert_int_equal(setsockopt(t->listener, SOL_SOCKET, SO_SNDBUF, &size, sizeof size),
                     0); /* inherited: fills soon */
    assert_int_equal(bind(t->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(t->listener, 16), 0);
    for (int i = 0; i < CLIENTS; i++)
        t->k[i].fd = -1;
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct world *t = *state;

    hg_conns_fini(&t->cs);
    for (int i = 0; i < CLIENTS; i++) {
        if (t->k[i].fd >= 0)
            close(t->k[i].fd);
        hg_buf_fini(&t->k[i].got);
    }
    close(t->listener);
    hg_arena_fini(&t->frames, &t->arena);
    hg_arena_fini(&t->frames, &t->streams);
    assert_int_equal(t->frames.live_bytes, 0);
    hg_loop_free(t->loop);
    free(t->m);
    free(t);
    return 0;
}

static struct client *client(struct world *t, int i)
{
    struct client *k = &t->k[i];
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    struct hg_addr peer = {.v4 = {.sin_family = AF_INET}, .len = sizeof peer.v4};
    int fd, size = 16384, on = 1;

    assert_int_equal(getsockname(t->listener, (struct sockaddr *)&a, &n), 0);
    k->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(k->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    assert_int_equal(connect(k->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(k->fd, F_SETFL, O_NONBLOCK), 0);
    do
        fd = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK);
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    assert_true(fd >= 0);
    assert_int_equal(hg_conn_accept(&t->cs, fd, &peer), 0);
    for (uint32_t it = 0; (k->c = hg_conns_next(&t->cs, &it)) && k->c->fd != fd;)
        ;
    assert_non_null(k->c);
    return k;
}

/* Writes all of it, with turns of the loop while the socket is full. */
static void put(struct world *t, struct client *k, const void *bytes, size_t n)
{
    const char *p = bytes;

    while (n > 0) {
        ssize_t w = send(k->fd, p, n, MSG_NOSIGNAL);

        if (w < 0 && errno == EAGAIN) {
            hg_loop_turn(t->loop, 5);
            continue;
        }
        if (w < 0)
            return; /* the other end is gone: the test sees it in what it reads */
        p += w;
        n -= (size_t)w;
    }
}

static void say(struct world *t, struct client *k, const char *line)
{
    put(t, k, line, strlen(line));
}

/* A client frame with mask 0, so that its payload can be read as it is. */
static void frame(struct world *t, struct client *k, unsigned first, const void *data, size_t n)
{
    unsigned char head[14] = {(unsigned char)first};
    size_t h = 2;

    if (n < 126) {
        head[1] = (unsigned char)(MASK | n);
    } else if (n < 65536) {
        head[1] = MASK | 126;
        head[2] = (unsigned char)(n >> 8);
        head[3] = (unsigned char)n;
        h = 4;
    } else {
        head[1] = MASK | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
        h = 10;
    }
    put(t, k, head, h + 4);
    put(t, k, data, n);
}

static void text(struct world *t, struct client *k, const char *s)
{
    frame(t, k, 0x81, s, strlen(s));
}

static void take_in(struct client *k)
{
    char b[65536];
    ssize_t n;

    while (!k->ended && (n = recv(k->fd, b, sizeof b, 0)) != -1) {
        if (n == 0)
            k->ended = true;
        hg_buf_add(&k->got, b, (size_t)n);
    }
    if (!k->ended && errno != EAGAIN)
        k->ended = k->reset = true;
}

static bool more(struct world *t, time_t until)
{
    hg_loop_turn(t->loop, 10);
    return time(NULL) < until;
}

#define UNTIL(t, cond)                                                                             \
    do {                                                                                           \
        time_t until_ = time(NULL) + DEADLINE_S;                                                   \
        while (!(cond))                                                                            \
            if (!more(t, until_))                                                                  \
                fail_msg("never came true: %s", #cond);                                            \
    } while (0)

static bool has_bytes(struct client *k, size_t n)
{
    take_in(k);
    return k->got.n >= n;
}

static bool has_ended(struct client *k)
{
    take_in(k);
    return k->ended;
}

static struct client *opened(struct world *t, int i)
{
    struct client *k = client(t, i);

    say(t, k, "open\n");
    UNTIL(t, has_bytes(k, 20));
    assert_int_equal(k->c->state, HG_CONN_OPEN);
    hg_buf_reset(&k->got);
    return k;
}

/* Fills what the kernel takes, and a bit: the connection is blocked, mid frame. */
static void block(struct world *t, struct client *k)
{
    int quiet = 0; /* turns without a writable socket: buffers on both sides are full */

    while (quiet < 5 && k->c->state == HG_CONN_OPEN) {
        if (!k->c->blocked)
            send_frame(t, &t->streams, k->c, 'f', 20000);
        hg_loop_turn(t->loop, 2);
        quiet = k->c->blocked ? quiet + 1 : 0;
    }
    for (int i = 0; i < 10; i++) /* if it takes a little more it is blocked all the same */
        send_frame(t, &t->streams, k->c, 'f', 20000);
    assert_true(k->c->blocked);
}

struct frames_seen { /* of the bytes a client got */
    unsigned n, text, ping, pong, close;
    int code;      /* of the close frame */
    bool whole;    /* they end with a whole frame */
    size_t at_end; /* bytes behind the close frame */
};

static struct frames_seen parse(const char *p, size_t n)
{
    struct frames_seen f = {.whole = true};
    size_t at = 0;

    while (at < n) {
        const unsigned char *b = (const unsigned char *)p + at;
        size_t left = n - at, head = 2, len = left > 1 ? b[1] & 127 : 0;

        head = len == 126 ? 4 : len == 127 ? 10 : 2;
        if (left < head) {
            f.whole = false;
            return f;
        }
        if (len >= 126) {
            size_t big = 0;

            for (size_t i = 2; i < head; i++)
                big = big << 8 | b[i];
            len = big;
        }
        assert_int_equal(b[0] & 0xf0, 0x80);
        if (left < head + len) {
            f.whole = false;
            return f;
        }
        switch (b[0] & 15) {
        case HG_WS_OP_TEXT:
            for (size_t i = head + 1; i < head + len; i++)
                assert_int_equal(b[i], b[head]); /* not interleaved with anything */
            f.text++;
            break;
        case HG_WS_OP_PING:
            f.ping++;
            break;
        case HG_WS_OP_PONG:
            f.pong++;
            break;
        case HG_WS_OP_CLOSE:
            f.close++;
            f.code = len >= 2 ? b[head] << 8 | b[head + 1] : 0;
            f.at_end = left - head - len;
            break;
        default:
            fail_msg("opcode %u at %zu", b[0] & 15u, at);
        }
        f.n++;
        at += head + len;
    }
    return f;
}

static struct frames_seen seen(struct client *k)
{
    return parse(k->got.p ? k->got.p : "", k->got.n);
}

/* ---- writing ---- */

static void a_turn_is_one_write(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    uint64_t before = HG_GET(t->m, writes);

    for (int i = 0; i < 100; i++)
        send_frame(t, &t->arena, k->c, (char)('a' + i % 26), 50);
    hg_loop_turn(t->loop, 0);
    assert_int_equal(HG_GET(t->m, writes) - before, 1);
    UNTIL(t, has_bytes(k, 100 * 52));
    assert_int_equal(seen(k).text, 100);
}

static void a_reader_gets_all_in_order_whatever_the_kernel_takes(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    size_t want = 0;

    t->conf.out_hard = 64 << 20;
    for (int i = 0; i < 2000; i++) {
        size_t n = (size_t)(i * 37 % 4000) + 1;

        send_frame(t, i % 3 ? &t->arena : &t->streams, k->c, (char)('a' + i % 26), n);
        want += n + (n < 126 ? 2 : 4);
    }
    UNTIL(t, has_bytes(k, want));
    assert_int_equal(seen(k).text, 2000);
    assert_true(seen(k).whole);
    assert_int_equal(k->got.n, want);
    assert_true(HG_GET(t->m, writes_blocked) > 0);
    assert_int_equal(t->writable > 0, 1);
    assert_int_equal(k->c->state, HG_CONN_OPEN);
    UNTIL(t, t->cs.nslow == 0);
    assert_null(k->c->out);
}

static void hard_cap_closes_with_1013_behind_a_whole_frame(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);

    block(t, k);
    for (int i = 0; i < 100 && k->c->state == HG_CONN_OPEN; i++)
        send_frame(t, &t->arena, k->c, 'x', 5000);
    assert_int_equal(k->c->state, HG_CONN_CLOSING);
    assert_int_equal(t->gone, 1);
    assert_true(hg_conn_queued(k->c) < 40000); /* what waited is given back at once */
    UNTIL(t, has_ended(k));
    assert_int_equal(seen(k).code, 1013);
    assert_true(seen(k).whole);
    assert_int_equal(seen(k).at_end, 0);
}

static void large_broadcasts_are_under_the_hard_cap(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    int n = 0;

    block(t, k);
    while (n < 1000 && k->c->state == HG_CONN_OPEN) {
        send_frame(t, &t->arena, k->c, 'x', 50000);
        n++;
    }
    assert_in_range(n, 4, 10); /* out_hard is 256 KiB */
}

static void gated_frames_are_not_under_the_hard_cap_but_counted(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    uint64_t before;

    block(t, k);
    before = hg_conn_queued_big(k->c);
    send_frame(t, &t->streams, k->c, 's', 1 << 20); /* a snapshot */
    assert_int_equal(k->c->state, HG_CONN_OPEN);
    assert_int_equal(hg_conn_queued_big(k->c) - before, (1 << 20) + 10);
    UNTIL(t, has_bytes(k, 1 << 20) && !k->c->out);
    assert_int_equal(hg_conn_queued_big(k->c), 0);
    assert_int_equal(k->c->state, HG_CONN_OPEN);
}

static void one_frame_above_the_hard_cap_reaches_a_reader(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);

    send_frame(t, &t->arena, k->c, 'x', 1 << 20);
    UNTIL(t, has_bytes(k, (1 << 20) + 10));
    assert_int_equal(k->c->state, HG_CONN_OPEN);
}

static void no_progress_ends_in_1013(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);

    t->conf.out_grace = 300 * HG_MS;
    t->conf.out_stall = 1200 * HG_MS;
    block(t, k);
    UNTIL(t, k->c->state == HG_CONN_CLOSING);
    assert_true(t->stalled > 0);
    UNTIL(t, has_ended(k));
    assert_int_equal(seen(k).code, 1013);
}

static void newest_ping_is_answered_once_when_blocked(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    const unsigned char *p;

    block(t, k);
    frame(t, k, 0x89, "one", 3);
    frame(t, k, 0x89, "two", 3);
    UNTIL(t, k->c->pong_due);
    frame(t, k, 0x89, "3", 1);
    text(t, k, "mark"); /* behind the pings */
    UNTIL(t, t->messages == 1);
    UNTIL(t, has_bytes(k, 1) && seen(k).pong);
    hg_loop_turn(t->loop, 0);
    take_in(k);
    assert_int_equal(seen(k).pong, 1);
    p = (const unsigned char *)k->got.p + k->got.n - 3;
    assert_int_equal(p[0], 0x8a);
    assert_int_equal(p[1], 1);
    assert_int_equal(p[2], '3');
}

/* ---- closing ---- */

static void peers_close_is_answered_and_ended(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);

    frame(t, k, 0x88, "\x03\xe8", 2);
    UNTIL(t, has_ended(k));
    assert_int_equal(seen(k).code, 1000);
    assert_false(k->reset);
    assert_int_equal(t->gone, 1);
    close(k->fd);
    k->fd = -1;
    UNTIL(t, t->cs.count == 0);
}

static void our_close_waits_for_the_peers(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);

    hg_conn_close(&t->cs, k->c, -HG_E_DRAINING);
    UNTIL(t, has_bytes(k, 4));
    assert_int_equal(seen(k).code, 1012);
    for (int i = 0; i < 20; i++)
        hg_loop_turn(t->loop, 1);
    assert_false(has_ended(k));
    frame(t, k, 0x88, "\x03\xf4", 2);
    UNTIL(t, has_ended(k));
}

static void our_close_in_the_middle_of_a_message_waits_too(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    static char half[40000];

    memset(half, 0x88, sizeof half); /* would be close frames, were the place in the stream lost */
    put(t, k, "\x82\xfe\x9c\x40\0\0\0\0", 8);
    put(t, k, half, 20000);
    UNTIL(t, k->c->tick_in == t->cs.tick && hg_ws_rx_held(&k->c->rx) > 0);
    hg_conn_close(&t->cs, k->c, -HG_E_DRAINING);
    put(t, k, half, 20000);
    UNTIL(t, has_bytes(k, 4));
    for (int i = 0; i < 20; i++)
        hg_loop_turn(t->loop, 1);
    assert_false(has_ended(k));
    assert_int_equal(k->c->state, HG_CONN_CLOSING);
    frame(t, k, 0x88, "\x03\xf4", 2);
    UNTIL(t, has_ended(k));
}

static void close_in_a_message(struct world *t, struct hg_conn *c, struct hg_slice data)
{
    (void)data;
    hg_conn_close(&t->cs, c, -HG_E_DRAINING);
}

static void close_frame_behind_the_message_that_closed_is_met(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    static const char both[] = "\x81\x81\0\0\0\0a\x88\x82\0\0\0\0\x03\xe8";

    t->on_message = close_in_a_message;
    put(t, k, both, sizeof both - 1);
    UNTIL(t, has_ended(k)); /* not after the 5 s that a silent peer is given */
    assert_int_equal(seen(k).code, 1012);
    assert_true(t->cs.tick < 5000 / TICK_MS);
}

static void an_answer_precedes_the_close_for_a_bad_frame(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);

    frame(t, k, 0x89, "p", 1);
    put(t, k, "\xff\x80\0\0\0\0", 6);
    UNTIL(t, has_ended(k));
    assert_int_equal(seen(k).pong, 1);
    assert_int_equal(seen(k).code, 1002);
}

static void bad_frame_of_a_blocked_client_after_http_answers(void **state)
{
    struct world *t = *state;
    struct client *k = client(t, 0);

    t->conf.out_hard = 16 << 20;
    say(t, k, "size 3000000\nopen\n"); /* the 101 waits behind what the kernel does not take */
    UNTIL(t, k->c->state == HG_CONN_OPEN && k->c->blocked);
    put(t, k, "\xff\x80\0\0\0\0", 6);
    UNTIL(t, k->c->state != HG_CONN_OPEN);
    UNTIL(t, has_ended(k));
    assert_true(k->got.n > 3000020);
    for (size_t i = 0; i < 3000020; i++)
        assert_int_equal(k->got.p[i], i < 3000000 ? 'h' : 'U');
    assert_int_equal(parse(k->got.p + 3000020, k->got.n - 3000020).code, 1002);
}

/* ---- ends ---- */

static void answer_reaches_who_half_closed(void **state)
{
    struct world *t = *state;
    struct client *k = client(t, 0);

    say(t, k, "size 20\n");
    shutdown(k->fd, SHUT_WR);
    UNTIL(t, has_ended(k));
    assert_int_equal(k->got.n, 20);
}

static void large_answer_reaches_who_half_closed(void **state)
{
    struct world *t = *state;
    struct client *k = client(t, 0);

    t->conf.out_hard = 16 << 20;
    say(t, k, "size 3000000\nend\n");
    shutdown(k->fd, SHUT_WR);
    UNTIL(t, k->c->blocked);
    UNTIL(t, has_ended(k));
    assert_int_equal(k->got.n, 3000020);
    assert_false(k->reset);
}

static void end_beside_the_last_bytes_is_seen(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);

    text(t, k, "last words");
    close(k->fd);
    k->fd = -1;
    UNTIL(t, t->cs.count == 0);
    assert_int_equal(t->messages, 1);
    assert_int_equal(t->gone, 1);
}

/* ---- HTTP ---- */

static void pipelined_answers_are_under_the_hard_cap(void **state)
{
    struct world *t = *state;
    struct client *k = client(t, 0);
    struct hg_buf b = {0};

    for (int i = 0; i < 2000; i++)
        hg_buf_adds(&b, "size 100000\n");
    put(t, k, b.p, HG_MIN(b.n, 20000));
    UNTIL(t, k->c->state != HG_CONN_HTTP);
    assert_true(t->frames.live_bytes < 2 << 20);
    hg_buf_fini(&b);
}

static void an_answered_request_gives_new_time(void **state)
{
    struct world *t = *state;
    struct client *k = client(t, 0);
    uint32_t begun = t->cs.tick;

    for (unsigned i = 1; i <= 4;
         i++) { /* every 1.25 s, above the 2 s of handshake_timeout in all */
        UNTIL(t, t->cs.tick - begun >= i * 5);
        say(t, k, "size 10\n");
        UNTIL(t, has_bytes(k, i * 10));
        assert_false(k->ended);
    }
    UNTIL(t, has_ended(k));
    assert_false(k->reset);
    assert_in_range(t->cs.tick - begun, 20 + 8 - 1, 20 + 8 + 4);
    assert_int_equal(k->got.n, 40);
}

static void half_a_request_has_its_deadline(void **state)
{
    struct world *t = *state;
    struct client *k = client(t, 0);
    uint32_t begun = t->cs.tick;

    for (unsigned i = 1; !has_ended(k); i++) {
        UNTIL(t, t->cs.tick - begun >= i || has_ended(k));
        if (!k->ended)
            say(t, k, "x");
    }
    assert_in_range(t->cs.tick - begun, 7, 12);
    assert_memory_equal(k->got.p, "HTTP/1.1 408", 12);
}

static void upgrade_of_a_client_that_is_full_is_no_upgrade(void **state)
{
    struct world *t = *state;
    struct client *k = client(t, 0);

    say(t, k, "size 200000\nsize 200000\nsize 200000\nsize 200000\nopen\n");
    UNTIL(t, k->c->state != HG_CONN_HTTP);
    assert_int_not_equal(k->c->state, HG_CONN_OPEN);
}

/* ---- time ---- */

static void silent_clients_are_pinged_then_closed(void **state)
{
    struct world *t = *state;
    struct client *k;

    t->conf.ping_interval = 500 * HG_MS;
    t->conf.idle_timeout = 1500 * HG_MS;
    k = opened(t, 0);
    UNTIL(t, has_ended(k));
    assert_int_equal(seen(k).ping, 2);
    assert_int_equal(seen(k).code, 1001);
}

static void who_answers_pings_stays(void **state)
{
    struct world *t = *state;
    struct client *k;
    uint32_t begun;

    t->conf.ping_interval = 500 * HG_MS;
    t->conf.idle_timeout = 1250 * HG_MS;
    k = opened(t, 0);
    begun = t->cs.tick;
    while (t->cs.tick - begun < 16) {
        unsigned pings = seen(k).ping;

        UNTIL(t, (has_bytes(k, 0), seen(k).ping > pings));
        frame(t, k, 0x8a, "", 0);
    }
    assert_int_equal(k->c->state, HG_CONN_OPEN);
}

/* ---- reading ---- */

static void a_flood_does_not_starve_the_others(void **state)
{
    struct world *t = *state;
    struct client *a = opened(t, 0), *b = opened(t, 1);
    static char big[16000];
    int size = 4 << 20;

    assert_int_equal(setsockopt(a->c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(setsockopt(a->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    for (int i = 0; i < 100;
         i++) { /* 1.6 MB wait in its socket, or as much as fits; no turn meanwhile */
        unsigned char head[8] = {0x82, MASK | 126, sizeof big >> 8, sizeof big & 255};

        if (send(a->fd, head, 8, MSG_MORE) != 8 ||
            send(a->fd, big, sizeof big, 0) != (ssize_t)sizeof big)
            break;
    }
    text(t, b, "hi");
    assert_int_equal(poll(&(struct pollfd){.fd = b->c->fd, .events = POLLIN}, 1, DEADLINE_S * 1000),
                     1);
    UNTIL(t, t->message_bytes % sizeof big == 2);
    assert_true(t->messages < 2 * (4 * 65536 / sizeof big) + 4); /* two turns' budgets at most */
}

static void a_handled_message_leaves_no_memory(void **state)
{
    struct world *t = *state;
    struct client *k = opened(t, 0);
    static char part[50000];

    frame(t, k, 0x02, part, sizeof part);
    frame(t, k, 0x80, part, sizeof part);
    UNTIL(t, t->messages == 1);
    assert_int_equal(t->message_bytes, 2 * sizeof part);
    assert_null(k->c->rx.part);
}

static void drop_the_other(struct world *t, struct hg_conn *c, struct hg_slice data)
{
    (void)c;
    (void)data;
    for (int i = 0; i < CLIENTS; i++)
        if (t->k[i].c && t->k[i].c != c)
            hg_conn_drop(&t->cs, t->k[i].c);
    hg_conn_drop(&t->cs, c);
}

static void dropping_everybody_inside_a_message(void **state)
{
    struct world *t = *state;
    struct client *a = opened(t, 0), *b = opened(t, 1);

    t->on_message = drop_the_other;
    text(t, b, "x");
    text(t, a, "x");
    UNTIL(t, t->cs.count == 0);
    assert_int_equal(t->gone, 2);
    assert_int_equal(t->messages, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_turn_is_one_write),
        T(a_reader_gets_all_in_order_whatever_the_kernel_takes),
        T(hard_cap_closes_with_1013_behind_a_whole_frame),
        T(large_broadcasts_are_under_the_hard_cap),
        T(gated_frames_are_not_under_the_hard_cap_but_counted),
        T(one_frame_above_the_hard_cap_reaches_a_reader),
        T(no_progress_ends_in_1013),
        T(newest_ping_is_answered_once_when_blocked),
        T(peers_close_is_answered_and_ended),
        T(our_close_waits_for_the_peers),
        T(our_close_in_the_middle_of_a_message_waits_too),
        T(close_frame_behind_the_message_that_closed_is_met),
        T(an_answer_precedes_the_close_for_a_bad_frame),
        T(bad_frame_of_a_blocked_client_after_http_answers),
        T(answer_reaches_who_half_closed),
        T(large_answer_reaches_who_half_closed),
        T(end_beside_the_last_bytes_is_seen),
        T(pipelined_answers_are_under_the_hard_cap),
        T(an_answered_request_gives_new_time),
        T(half_a_request_has_its_deadline),
        T(upgrade_of_a_client_that_is_full_is_no_upgrade),
        T(silent_clients_are_pinged_then_closed),
        T(who_answers_pings_stays),
        T(a_flood_does_not_starve_the_others),
        T(a_handled_message_leaves_no_memory),
        T(dropping_everybody_inside_a_message),
    };
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
