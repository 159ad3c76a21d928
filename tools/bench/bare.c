#include "tools/bench/bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/macros.h"
#include "tools/cli.h"

enum { ROUND = 256 * 1024, FEED_READ = 256 * 1024, EVENTS = 512 };

struct peer {
    int fd;
    bool greeted, feeds, in_room;
    struct hg_buf in;   /* request head, or records of the feed that are not whole */
    struct hg_buf rest; /* what the socket did not take */
};

struct room {
    struct peer **members;
    size_t n, cap;
    struct hg_buf frames; /* of this round, one after the other */
};

struct bare {
    int ep, listener;
    struct room **rooms;
    size_t nrooms;
    struct room **touched; /* rooms with frames in this round */
    size_t ntouched, touched_cap;
};

static void watch(struct bare *b, struct peer *p, uint32_t events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = p};
    if (epoll_ctl(b->ep, op, p->fd, &e) < 0)
        hg_cli_die("bare server: epoll_ctl: %m");
}

static struct room *room_get(struct bare *b, uint32_t no)
{
    if (no >= 1u << 20)
        hg_cli_die("bare server: room %u", no);
    if (no >= b->nrooms) {
        b->rooms = hg_realloc(b->rooms, ((size_t)no + 1) * sizeof(*b->rooms));
        for (size_t i = b->nrooms; i <= no; i++)
            b->rooms[i] = NULL;
        b->nrooms = (size_t)no + 1;
    }
    if (!b->rooms[no])
        b->rooms[no] = hg_calloc(1, sizeof(struct room));
    return b->rooms[no];
}

static void join(struct bare *b, struct peer *p, uint32_t no)
{
    struct room *r = room_get(b, no);
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 4;
        r->members = hg_realloc(r->members, r->cap * sizeof(*r->members));
    }
    r->members[r->n++] = p;
    p->in_room = true;
}

static void accept_all(struct bare *b)
{
    int one = 1, fd;
    while ((fd = accept4(b->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = hg_calloc(1, sizeof(*p));
        p->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(b, p, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static void drop(struct bare *b, struct peer *p)
{
    if (p->in_room) {
        /* A member that is gone would leave a hole in its room: only whole runs end, and then all
         * of them. */
        epoll_ctl(b->ep, EPOLL_CTL_DEL, p->fd, NULL);
        close(p->fd);
        p->fd = -1;
        return;
    }
    close(p->fd);
    hg_buf_fini(&p->in);
    hg_buf_fini(&p->rest);
    free(p);
}

static void greet(struct bare *b, struct peer *p)
{
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    unsigned no;
    hg_buf_addc(&p->in, 0);
    p->greeted = true;
    p->feeds = strncmp(p->in.p, "GET /bare?feed", 14) == 0;
    if (!p->feeds && sscanf(p->in.p, "GET /bare?room=%u", &no) == 1)
        join(b, p, no);
    hg_buf_fini(&p->in);
    if (send(p->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0)
        hg_cli_die("bare server: send: %m");
}

static void send_room(struct bare *b, struct room *r)
{
    if (r->frames.n == 0) /* sent already: its round was too large for one go */
        return;
    for (size_t i = 0; i < r->n; i++) {
        struct peer *p = r->members[i];
        if (p->fd < 0)
            continue;
        ssize_t sent = p->rest.n ? 0 : send(p->fd, r->frames.p, r->frames.n, MSG_NOSIGNAL);
        size_t took = sent < 0 ? 0 : (size_t)sent;
        if (took == r->frames.n)
            continue;
        if (p->rest.n == 0)
            watch(b, p, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
        hg_buf_add(&p->rest, r->frames.p + took, r->frames.n - took);
    }
    hg_buf_reset(&r->frames);
}

static void send_rest(struct bare *b, struct peer *p)
{
    ssize_t sent = send(p->fd, p->rest.p, p->rest.n, MSG_NOSIGNAL);
    if (sent > 0)
        hg_buf_drop(&p->rest, (size_t)sent);
    if (p->rest.n == 0)
        watch(b, p, EPOLLIN, EPOLL_CTL_MOD);
}

static void touch(struct bare *b, struct room *r)
{
    if (b->ntouched == b->touched_cap) {
        b->touched_cap = b->touched_cap ? b->touched_cap * 2 : 64;
        b->touched = hg_realloc(b->touched, b->touched_cap * sizeof(*b->touched));
    }
    b->touched[b->ntouched++] = r;
}

static void flush_rooms(struct bare *b)
{
    for (size_t i = 0; i < b->ntouched; i++)
        send_room(b, b->touched[i]);
    b->ntouched = 0;
}

/* Puts the whole records of the feed into their rooms. Returns bytes used. */
static size_t gather(struct bare *b, struct peer *p)
{
    size_t at = 0;
    struct hg_bare_record rec;
    while (p->in.n - at >= sizeof rec) {
        memcpy(&rec, p->in.p + at, sizeof rec);
        if (p->in.n - at - sizeof rec < rec.len)
            break;
        struct room *r = room_get(b, rec.room);
        if (r->frames.n > ROUND)
            send_room(b, r);
        if (r->frames.n == 0)
            touch(b, r);
        hg_buf_add(&r->frames, p->in.p + at + sizeof rec, rec.len);
        at += sizeof rec + rec.len;
    }
    return at;
}

static void feed(struct bare *b, struct peer *p)
{
    hg_buf_reserve(&p->in, FEED_READ);
    ssize_t n = recv(p->fd, p->in.p + p->in.n, FEED_READ, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        drop(b, p);
        return;
    }
    p->in.n += n > 0 ? (size_t)n : 0;
    size_t used = gather(b, p);
    flush_rooms(b);
    hg_buf_drop(&p->in, used);
}

static void read_peer(struct bare *b, struct peer *p)
{
    char junk[4096];
    ssize_t n = recv(p->fd, junk, sizeof junk, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        drop(b, p);
        return;
    }
    if (n < 0 || p->greeted)
        return;
    hg_buf_add(&p->in, junk, (size_t)n);
    if (p->in.n >= 4 && !memcmp(p->in.p + p->in.n - 4, "\r\n\r\n", 4))
        greet(b, p);
}

static _Noreturn void serve(struct bare *b)
{
    struct epoll_event ev[EVENTS];
    for (;;) {
        int n = epoll_wait(b->ep, ev, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = ev[i].data.ptr;
            if (!p)
                accept_all(b);
            else if (p->feeds)
                feed(b, p);
            else if ((ev[i].events & EPOLLOUT) && p->rest.n)
                send_rest(b, p);
            else
                read_peer(b, p);
        }
    }
}

static int listen_loopback(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        hg_cli_die("bare server: %m");
    *port = ntohs(a.sin_port);
    return fd;
}

pid_t hg_bare_start(int *port)
{
    struct bare b = {.listener = listen_loopback(port)};
    pid_t pid = fork();
    if (pid < 0)
        hg_cli_die("fork: %m");
    if (pid > 0) {
        close(b.listener);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    struct epoll_event e = {.events = EPOLLIN};
    b.ep = epoll_create1(EPOLL_CLOEXEC);
    if (b.ep < 0 || epoll_ctl(b.ep, EPOLL_CTL_ADD, b.listener, &e) < 0)
        hg_cli_die("bare server: %m");
    serve(&b);
}
