#include "tools/bench/clients.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/macros.h"
#include "tools/bench/proc.h"
#include "tools/cli.h"

enum { READ = 256 * 1024, EVENTS = 1024, AT_ONCE = 256, PORTS_PER_ADDRESS = 20000 };

enum state { CONNECTING, SHAKING, OPEN };

struct client {
    int fd;
    enum state state;
    bool writable_wanted;
    struct hg_buf in; /* a frame or head that is not whole */
    struct hg_buf out;
};

struct hg_crowd {
    int ep;
    struct sockaddr_in to;
    hg_crowd_fn fn;
    void *arg;
    struct client *at;
    uint32_t n, opened, started;
    uint64_t bytes;
    char *read;
};

struct hg_crowd *hg_crowd_new(const struct sockaddr_in *to, hg_crowd_fn fn, void *arg)
{
    struct hg_crowd *c = hg_calloc(1, sizeof(*c));
    *c = (struct hg_crowd){.to = *to, .fn = fn, .arg = arg, .ep = epoll_create1(EPOLL_CLOEXEC)};
    if (c->ep < 0)
        hg_cli_die("epoll: %m");
    c->read = hg_malloc(READ);
    return c;
}

void hg_crowd_free(struct hg_crowd *c)
{
    const struct linger reset = {1, 0}; /* no TIME_WAIT: the next run needs the ports */
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->at[i].fd >= 0) {
            setsockopt(c->at[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(c->at[i].fd);
        }
        hg_buf_fini(&c->at[i].in);
        hg_buf_fini(&c->at[i].out);
    }
    close(c->ep);
    free(c->at);
    free(c->read);
    free(c);
}

uint64_t hg_crowd_bytes(const struct hg_crowd *c)
{
    return c->bytes;
}

size_t hg_crowd_unsent(const struct hg_crowd *c, uint32_t i)
{
    return c->at[i].out.n;
}

static _Noreturn void lost(uint32_t i, const char *why)
{
    hg_cli_die("client %u: %s", i, why);
}

static void watch(struct hg_crowd *c, uint32_t i, int op)
{
    struct client *k = &c->at[i];
    struct epoll_event e = {.events = EPOLLIN | (k->writable_wanted ? EPOLLOUT : 0), .data.u32 = i};
    if (epoll_ctl(c->ep, op, k->fd, &e) < 0)
        hg_cli_die("epoll_ctl: %m");
}

static void want_write(struct hg_crowd *c, uint32_t i, bool want)
{
    if (c->at[i].writable_wanted == want)
        return;
    c->at[i].writable_wanted = want;
    watch(c, i, EPOLL_CTL_MOD);
}

static void flush_out(struct hg_crowd *c, uint32_t i)
{
    struct client *k = &c->at[i];
    while (k->out.n) {
        ssize_t n = send(k->fd, k->out.p, k->out.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            lost(i, strerror(errno));
        hg_buf_drop(&k->out, (size_t)n);
    }
    want_write(c, i, k->out.n > 0);
}

void hg_crowd_flush(struct hg_crowd *c, uint32_t i)
{
    if (!c->at[i].writable_wanted)
        flush_out(c, i);
}

void hg_crowd_queue_raw(struct hg_crowd *c, uint32_t i, struct hg_slice bytes)
{
    hg_buf_add_slice(&c->at[i].out, bytes);
}

static void frame_head(struct hg_buf *b, int opcode, size_t n)
{
    unsigned char h[14] = {(unsigned char)(0x80 | opcode), 0x80};
    size_t len = 2;
    if (n < 126) {
        h[1] |= (unsigned char)n;
    } else if (n < 65536) {
        h[1] |= 126;
        h[2] = (unsigned char)(n >> 8);
        h[3] = (unsigned char)n;
        len = 4;
    } else {
        h[1] |= 127;
        for (int i = 0; i < 8; i++)
            h[2 + i] = (unsigned char)(n >> (56 - 8 * i));
        len = 10;
    }
    hg_buf_add(b, h, len + 4); /* and a mask of zeros */
}

static void queue_frame(struct hg_crowd *c, uint32_t i, int opcode, struct hg_slice payload)
{
    frame_head(&c->at[i].out, opcode, payload.n);
    hg_crowd_queue_raw(c, i, payload);
}

void hg_crowd_queue_text(struct hg_crowd *c, uint32_t i, struct hg_slice text)
{
    queue_frame(c, i, 1, text);
}

/* ---- receiving ---- */

/* One server frame at p: returns its length in all, 0 when it is not whole. */
static size_t frame_length(const unsigned char *p, size_t n, size_t *head)
{
    if (n < 2)
        return 0;
    uint64_t len = p[1] & 0x7f;
    *head = len == 126 ? 4 : len == 127 ? 10 : 2;
    if (n < *head)
        return 0;
    if (len == 126)
        len = (uint64_t)p[2] << 8 | p[3];
    if (len == 127) {
        len = 0;
        for (int i = 0; i < 8; i++)
            len = len << 8 | p[2 + i];
    }
    return len <= n - *head ? *head + len : 0;
}

static void on_frame(struct hg_crowd *c, uint32_t i, int opcode, struct hg_slice payload)
{
    if (opcode == 9) {
        queue_frame(c, i, 10, payload);
        hg_crowd_flush(c, i);
    } else if (opcode == 8) {
        lost(i, "the server closed the connection");
    } else if (opcode != 10) {
        c->fn(c->arg, i, opcode, payload);
    }
}

static size_t take_frames(struct hg_crowd *c, uint32_t i, const char *p, size_t n)
{
    size_t at = 0, len, head;
    while ((len = frame_length((const unsigned char *)p + at, n - at, &head)) > 0) {
        on_frame(c, i, p[at] & 0x0f, hg_slice_of(p + at + head, len - head));
        at += len;
    }
    return at;
}

static size_t take_head(struct hg_crowd *c, uint32_t i, const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (n < 12 || memcmp(p, "HTTP/1.1 101", 12) != 0)
        hg_cli_die("client %u: no upgrade: %.*s", i, (int)HG_MIN(n, 200u), p);
    c->at[i].state = OPEN;
    c->opened++;
    return (size_t)(end - p) + 4;
}

static size_t take(struct hg_crowd *c, uint32_t i, const char *p, size_t n)
{
    size_t used = 0;
    if (c->at[i].state != OPEN)
        used = take_head(c, i, p, n);
    if (c->at[i].state == OPEN)
        used += take_frames(c, i, p + used, n - used);
    return used;
}

static void readable(struct hg_crowd *c, uint32_t i)
{
    struct client *k = &c->at[i];
    ssize_t n = recv(k->fd, c->read, READ, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        lost(i, n == 0 ? "end of file" : strerror(errno));
    c->bytes += (uint64_t)n;
    const char *p = c->read;
    size_t len = (size_t)n;
    if (k->in.n) {
        hg_buf_add(&k->in, p, len);
        p = k->in.p;
        len = k->in.n;
    }
    size_t used = take(c, i, p, len);
    if (k->in.n)
        hg_buf_drop(&k->in, used);
    else
        hg_buf_add(&k->in, p + used, len - used);
    if (k->in.n == 0)
        hg_buf_fini(&k->in);
}

void hg_crowd_poll(struct hg_crowd *c, int timeout_ms)
{
    struct epoll_event ev[EVENTS];
    int n = epoll_wait(c->ep, ev, EVENTS, timeout_ms);
    for (int e = 0; e < n; e++) {
        uint32_t i = ev[e].data.u32;
        struct client *k = &c->at[i];
        if (k->state == CONNECTING && (ev[e].events & EPOLLOUT))
            k->state = SHAKING;
        if (ev[e].events & EPOLLOUT)
            flush_out(c, i);
        if (ev[e].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            readable(c, i);
    }
}

/* ---- opening ---- */

/* More connections than one address has ports leave from 127.0.0.2, .3, ... */
static void bind_source(struct hg_crowd *c, int fd, uint32_t i)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / PORTS_PER_ADDRESS)};
    int one = 1;
    (void)c;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (i >= PORTS_PER_ADDRESS && bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
        hg_cli_die("bind: %m");
}

static void start_one(struct hg_crowd *c, uint32_t i, hg_crowd_path_fn path)
{
    struct client *k = &c->at[i];
    char where[256] = "/";
    int one = 1;
    k->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (k->fd < 0)
        hg_cli_die("socket %u: %m (raise the limit of open files)", i);
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bind_source(c, k->fd, i);
    if (connect(k->fd, (struct sockaddr *)&c->to, sizeof c->to) < 0 && errno != EINPROGRESS)
        hg_cli_die("connect: %m");
    if (path)
        path(c->arg, i, where, sizeof where);
    hg_buf_addf(
        &k->out,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        where);
    k->writable_wanted = true;
    watch(c, i, EPOLL_CTL_ADD);
}

void hg_crowd_open(struct hg_crowd *c, uint32_t n, hg_crowd_path_fn path, uint64_t deadline_ns)
{
    c->at = hg_calloc(n, sizeof(*c->at));
    c->n = n;
    for (uint32_t i = 0; i < n; i++)
        c->at[i].fd = -1;
    while (c->opened < n) {
        for (; c->started < n && c->started - c->opened < AT_ONCE; c->started++)
            start_one(c, c->started, path);
        hg_crowd_poll(c, 100);
        if (hg_now_ns() > deadline_ns)
            hg_cli_die("only %u of %u connections were opened in time", c->opened, n);
        if (hg_cli_stopped())
            hg_cli_die("interrupted");
    }
}
