/* See ipc.h. On the wire: u32 type, payload struct, tail. Both ends are one binary, so there is no
 * byte order and no version. */
#include "common/sys/ipc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "common/base/err.h"

static const struct row {
    const char *name;
    enum hg_ipc_side to;
    size_t size;
    int has_tail;
} rows[] = {
    [HG_IPC_NONE] = {"?", HG_IPC_TO_MASTER, 0, 0},
#define HG_IPC(name, to, payload, tail, doc)                                                       \
    [HG_IPC_##name] = {#name, HG_IPC_TO_##to, sizeof(payload), tail},
#include "common/sys/ipc.def"
#undef HG_IPC
};

const char *hg_ipc_name(uint32_t type)
{
    return rows[type < HG_IPC_COUNT ? type : HG_IPC_NONE].name;
}

int hg_ipc_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0
               ? 0
               : -HG_E_SYS;
}

static int failed(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return -HG_E_AGAIN;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return -HG_E_PEER_GONE;
    return errno == EMSGSIZE ? -HG_E_TOO_BIG : -HG_E_SYS;
}

int hg_ipc_send(int fd, enum hg_ipc_type type, const void *payload, size_t n, struct hg_slice tail)
{
    uint32_t wire = type;
    struct iovec iov[] = {
        {&wire, sizeof wire}, {(void *)(uintptr_t)payload, n}, {(void *)(uintptr_t)tail.p, tail.n}};
    struct msghdr mh = {.msg_iov = iov, .msg_iovlen = HG_COUNTOF(iov)};
    ssize_t sent;

    HG_BUG_ON(type <= HG_IPC_NONE || type >= HG_IPC_COUNT || n != rows[type].size);
    HG_BUG_ON(tail.n && !rows[type].has_tail);
    if (tail.n > HG_IPC_MAX - sizeof wire - n)
        return -HG_E_TOO_BIG;
    do
        sent = sendmsg(fd, &mh, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? failed() : 0;
}

static int decode(struct hg_ipc_msg *m, size_t n, enum hg_ipc_side me)
{
    const struct row *r;
    size_t left;

    if (n < sizeof m->type)
        return -HG_E_BUG;
    memcpy(&m->type, m->buf, sizeof m->type);
    if (m->type == HG_IPC_NONE || m->type >= HG_IPC_COUNT)
        return -HG_E_BUG;
    r = &rows[m->type];
    left = n - sizeof m->type;
    if (r->to != me || left < r->size || (left > r->size && !r->has_tail))
        return -HG_E_BUG;
    memcpy((char *)m + offsetof(struct hg_ipc_msg, empty), m->buf + sizeof m->type, r->size);
    m->tail = hg_slice_of(m->buf + sizeof m->type + r->size, left - r->size);
    return 1;
}

int hg_ipc_recv(int fd, enum hg_ipc_side me, struct hg_ipc_msg *m)
{
    ssize_t n;

    do
        n = recv(fd, m->buf, sizeof m->buf, MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return -HG_E_PEER_GONE; /* nobody sends empty packets */
    if (n < 0) {
        int rc = failed();

        return rc == -HG_E_AGAIN ? 0 : rc;
    }
    return (size_t)n > sizeof m->buf ? -HG_E_BUG : decode(m, (size_t)n, me);
}
