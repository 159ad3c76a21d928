/*
 *              on_request: whole or bad               flush: all taken, keep-alive
 *   READING ------------------------------> WRITING ------------------------------> READING
 *      | the answer comes later                ^
 *      +----------> WAITING ------------------+ hg_httpd_answer_later, deadline
 *      | EOF, deadline                         | all taken, last answer
 *      v                                       v
 *    drop <---- EOF, deadline ------------- LINGERING   (what the peer still sends is read away, so
 * that a reset does not overtake the answer)
 */
#include "master/httpd.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/err.h"

static void drop(struct hg_httpd_conn *c)
{
    close(c->fd);
    c->fd = -1;
    hg_buf_fini(&c->in);
    hg_buf_fini(&c->out);
}

static void set_state(struct hg_httpd_conn *c, enum hg_httpd_state state, int64_t within)
{
    c->state = state;
    c->since = c->d->now;
    c->deadline = hg_mono_add(c->d->now, within);
}

static void answer(struct hg_httpd_conn *c, const struct hg_httpd_answer *a, bool keep_alive,
                   bool head_only)
{
    hg_http_respond(&c->out, a->status, a->content_type, hg_buf_slice(&a->body), keep_alive,
                    head_only, a->extra);
    c->keep_alive = keep_alive;
    c->sent = 0;
    set_state(c, HG_HTTPD_WRITING, HG_HTTPD_WRITE);
}

static void answer_bad(struct hg_httpd_conn *c, int err, const char *why)
{
    struct hg_httpd_answer a = {
        .status = hg_http_status(err), .content_type = "text/plain; charset=utf-8", .extra = ""};
    hg_buf_addf(&a.body, "%s\n", why ? why : hg_err_row(err)->text);
    answer(c, &a, false, false);
    hg_buf_fini(&a.body);
}

static void on_request(struct hg_httpd_conn *c, const struct hg_http_req *req, struct hg_slice body)
{
    struct hg_httpd_answer a = {
        .status = 404, .content_type = "text/plain; charset=utf-8", .extra = "", .request = body};
    c->d->fn(c->d->ctx, req, &a);
    if (a.later) {
        c->later = a.later;
        set_state(c, HG_HTTPD_WAITING, HG_HTTPD_WAIT);
    } else {
        answer(c, &a, req->keep_alive, hg_slice_is(req->method, "HEAD"));
    }
    hg_buf_fini(&a.body);
}

void hg_httpd_answer_later(struct hg_httpd *d, uint64_t later, int status, const char *type,
                           struct hg_slice body)
{
    struct hg_httpd_answer a = {.status = status, .content_type = type, .extra = ""};

    for (int i = 0; i < HG_HTTPD_CONNS; i++) {
        struct hg_httpd_conn *c = &d->conns[i];
        if (c->fd < 0 || c->state != HG_HTTPD_WAITING || c->later != later)
            continue;
        hg_buf_add_slice(&a.body, body);
        answer(c, &a, false, false);
        hg_buf_fini(&a.body);
        return; /* written when poll says that it can be */
    }
}

/* Is the body all there? One that may not be is answered. */
static bool has_body(struct hg_httpd_conn *c, const struct hg_http_req *req, size_t head)
{
    size_t n = req->content_length > 0 ? (size_t)req->content_length : 0;
    if (req->chunked || n > c->d->body_max) {
        answer_bad(c, -HG_E_HTTP_BODY_TOO_BIG, NULL);
        return false;
    }
    return c->in.n - head >= n;
}

static void parse(struct hg_httpd_conn *c)
{
    struct hg_http_header headers[HG_HTTPD_HEADERS];
    struct hg_http_limits lim = {HG_HTTPD_HEAD, HG_HTTPD_HEADERS, headers};
    struct hg_http_req req;
    const char *why = NULL;
    ssize_t used = hg_http_parse(c->in.p, c->in.n, &lim, &req, &why);
    if (used < 0) {
        answer_bad(c, (int)used, why);
    } else if (used > 0) {
        size_t head = (size_t)used;
        if (!has_body(c, &req, head))
            return;
        size_t n = req.content_length > 0 ? (size_t)req.content_length : 0;
        on_request(c, &req, hg_slice_of(c->in.p + head, n));
        hg_buf_drop(&c->in, head + n);
    } else if (c->in.n >= HG_HTTPD_HEAD) {
        answer_bad(c, -HG_E_HTTP_HEAD_TOO_BIG, NULL);
    }
}

static void flush(struct hg_httpd_conn *c)
{
    while (c->sent < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                drop(c);
            return;
        }
        c->sent += (size_t)n;
    }
    hg_buf_fini(&c->out);
    if (c->keep_alive) {
        set_state(c, HG_HTTPD_READING, HG_HTTPD_READ);
        return;
    }
    shutdown(c->fd, SHUT_WR);
    set_state(c, HG_HTTPD_LINGERING, HG_HTTPD_LINGER);
}

/* Answers what has come in, until the peer has to move. */
static void serve(struct hg_httpd_conn *c)
{
    while (c->fd >= 0) {
        if (c->state == HG_HTTPD_READING && c->in.n > 0)
            parse(c);
        if (c->state != HG_HTTPD_WRITING)
            return;
        flush(c);
        if (c->state == HG_HTTPD_WRITING)
            return;
    }
}

static void on_readable(struct hg_httpd_conn *c)
{
    char chunk[HG_HTTPD_HEAD];
    size_t most = HG_HTTPD_HEAD + c->d->body_max;
    size_t room =
        c->state == HG_HTTPD_READING ? HG_MIN(most - c->in.n, sizeof chunk) : sizeof chunk;
    ssize_t n = recv(c->fd, chunk, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    if (c->state != HG_HTTPD_READING)
        return;
    hg_buf_add(&c->in, chunk, (size_t)n);
    serve(c);
}

static void on_conn(void *arg, int fd, short revents)
{
    struct hg_httpd_conn *c = arg;
    if (c->fd != fd) /* closed in this round to make room for another */
        return;
    if (c->state == HG_HTTPD_WRITING) {
        flush(c);
        serve(c);
    } else if (revents & (POLLIN | POLLHUP | POLLERR)) {
        on_readable(c);
    }
}

static struct hg_httpd_conn *free_row(struct hg_httpd *d)
{
    struct hg_httpd_conn *oldest = &d->conns[0];
    for (int i = 0; i < HG_HTTPD_CONNS; i++) {
        if (d->conns[i].fd < 0)
            return &d->conns[i];
        if (d->conns[i].since.us < oldest->since.us)
            oldest = &d->conns[i];
    }
    drop(oldest);
    return oldest;
}

static bool peer_may(const struct hg_httpd *d, int fd)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (!d->check_peer)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return false;
    return who.uid == 0 || who.uid == d->only_uid || who.uid == geteuid();
}

static void on_accept(void *arg, int listen_fd, short revents)
{
    struct hg_httpd *d = arg;
    (void)revents;
    for (int i = 0; i < HG_HTTPD_CONNS; i++) { /* no more in one round than fit */
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                d->resume = hg_mono_add(d->now, HG_HTTPD_PAUSE);
            return;
        }
        if (!peer_may(d, fd)) {
            close(fd);
            continue;
        }
        struct hg_httpd_conn *c = free_row(d);
        *c = (struct hg_httpd_conn){.fd = fd, .d = d};
        set_state(c, HG_HTTPD_READING, HG_HTTPD_READ);
    }
}

void hg_httpd_init(struct hg_httpd *d, int listen_fd, hg_httpd_fn fn, void *ctx)
{
    *d = (struct hg_httpd){.fd = listen_fd, .fn = fn, .ctx = ctx};
    for (int i = 0; i < HG_HTTPD_CONNS; i++)
        d->conns[i].fd = -1;
}

void hg_httpd_prepare(struct hg_httpd *d, struct hg_polls *ps, struct hg_mono now)
{
    d->now = now;
    if (d->fd >= 0 && hg_mono_reached(now, d->resume))
        hg_polls_add(ps, d->fd, POLLIN, on_accept, d);
    for (int i = 0; i < HG_HTTPD_CONNS; i++) {
        struct hg_httpd_conn *c = &d->conns[i];
        if (c->fd >= 0)
            hg_polls_add(ps, c->fd,
                         c->state == HG_HTTPD_WRITING   ? POLLOUT
                         : c->state == HG_HTTPD_WAITING ? 0 /* its end shows all the same */
                                                        : POLLIN,
                         on_conn, c);
    }
}

void hg_httpd_expire(struct hg_httpd *d, struct hg_mono now)
{
    d->now = now;
    for (int i = 0; i < HG_HTTPD_CONNS; i++) {
        struct hg_httpd_conn *c = &d->conns[i];
        if (c->fd < 0 || !hg_mono_reached(now, c->deadline))
            continue;
        if (c->state == HG_HTTPD_WAITING) {
            hg_httpd_answer_later(
                d, c->later, 504, "text/plain; charset=utf-8",
                HG_SLICE_LIT("no answer from the worker; it may have been done\n"));
            flush(c);
        } else if (c->state == HG_HTTPD_READING && c->in.n > 0) {
            answer_bad(c, -HG_E_HTTP_TIMEOUT, NULL);
            serve(c);
        } else {
            drop(c);
        }
    }
}

bool hg_httpd_next(const struct hg_httpd *d, struct hg_mono *when)
{
    bool any = d->fd >= 0 && !hg_mono_reached(d->now, d->resume);
    *when = d->resume;
    for (int i = 0; i < HG_HTTPD_CONNS; i++) {
        if (d->conns[i].fd < 0 || (any && d->conns[i].deadline.us >= when->us))
            continue;
        *when = d->conns[i].deadline;
        any = true;
    }
    return any;
}

void hg_httpd_fini(struct hg_httpd *d)
{
    for (int i = 0; i < HG_HTTPD_CONNS; i++)
        if (d->conns[i].fd >= 0)
            drop(&d->conns[i]);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}
