/* See sock.h. */
#include "common/sys/sock.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/num.h"

/* ---- text ---- */

static int parse_ip(struct hg_slice ip, struct hg_addr *out)
{
    char text[INET6_ADDRSTRLEN];

    *out = (struct hg_addr){.len = 0};
    if (ip.n >= 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']')
        ip = hg_slice_of(ip.p + 1, ip.n - 2);
    if (ip.n == 0 || ip.n >= sizeof text || memchr(ip.p, '\0', ip.n))
        return -HG_E_CONF_VALUE;
    memcpy(text, ip.p, ip.n);
    text[ip.n] = '\0';
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->len = sizeof out->v4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->len = sizeof out->v6;
        return 0;
    }
    return -HG_E_CONF_VALUE;
}

int hg_addr_parse(struct hg_slice ip, uint16_t port, struct hg_addr *out)
{
    int rc = parse_ip(hg_slice_trim(ip, HG_BLANKS), out);

    if (rc < 0)
        return rc;
    if (out->sa.sa_family == AF_INET)
        out->v4.sin_port = htons(port);
    else
        out->v6.sin6_port = htons(port);
    return 0;
}

/* The last colon parts them; a host with colons of its own stands in brackets. */
int hg_host_port_split(struct hg_slice text, struct hg_slice *host, uint16_t *port)
{
    const char *colon, *why;
    uint64_t v;

    text = hg_slice_trim(text, HG_BLANKS);
    colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
    if (!colon || colon == text.p)
        return -HG_E_CONF_VALUE;
    *host = hg_slice_of(text.p, (size_t)(colon - text.p));
    if (memchr(host->p, ':', host->n) && !(host->p[0] == '[' && host->p[host->n - 1] == ']'))
        return -HG_E_CONF_VALUE;
    if (hg_num_u64(hg_slice_of(colon + 1, text.n - host->n - 1), &v, &why) < 0 || v > 65535)
        return -HG_E_CONF_VALUE;
    *port = (uint16_t)v;
    return 0;
}

int hg_addr_parse_port(struct hg_slice text, struct hg_addr *out, const char **why)
{
    struct hg_slice host;
    uint16_t port;

    if (hg_host_port_split(text, &host, &port) < 0) {
        *why = "not address:port";
        return -HG_E_CONF_VALUE;
    }
    *why = "not a numeric address";
    return hg_addr_parse(host, port, out);
}

/* An IPv4 peer of a dual-stack socket comes as ::ffff:a.b.c.d; everybody above wants to see the
 * IPv4 address. */
static struct hg_addr unmapped(const struct hg_addr *a)
{
    struct hg_addr v4 = {.len = sizeof v4.v4};

    if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        return *a;
    v4.v4.sin_family = AF_INET;
    v4.v4.sin_port = a->v6.sin6_port;
    memcpy(&v4.v4.sin_addr, a->v6.sin6_addr.s6_addr + 12, 4);
    return v4;
}

void hg_addr_ip_text(const struct hg_addr *addr, char out[HG_ADDR_TEXT])
{
    struct hg_addr a = unmapped(addr);
    const void *bytes = a.sa.sa_family == AF_INET ? (const void *)&a.v4.sin_addr : &a.v6.sin6_addr;

    if (!inet_ntop(a.sa.sa_family, bytes, out, HG_ADDR_TEXT))
        snprintf(out, HG_ADDR_TEXT, "-"); /* a Unix socket's peer */
}

void hg_addr_text(const struct hg_addr *a, char out[HG_ADDR_TEXT])
{
    char ip[HG_ADDR_TEXT];
    bool v6;

    hg_addr_ip_text(a, ip);
    v6 = strchr(ip, ':') != NULL;
    snprintf(out, HG_ADDR_TEXT, "%s%.46s%s:%u", v6 ? "[" : "", ip, v6 ? "]" : "", hg_addr_port(a));
}

uint16_t hg_addr_port(const struct hg_addr *a)
{
    return ntohs(a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

bool hg_addr_is_loopback(const struct hg_addr *addr)
{
    struct hg_addr a = unmapped(addr);

    if (a.sa.sa_family == AF_INET)
        return ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
    return a.sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
}

/* ---- networks ---- */

struct net {
    struct hg_addr base;
    unsigned bits;
};

static unsigned addr_bits(const struct hg_addr *a)
{
    return a->sa.sa_family == AF_INET ? 32 : 128;
}

static const unsigned char *addr_bytes(const struct hg_addr *a)
{
    return a->sa.sa_family == AF_INET ? (const unsigned char *)&a->v4.sin_addr
                                      : a->v6.sin6_addr.s6_addr;
}

static int parse_net(struct hg_slice item, struct net *out)
{
    const char *slash = memchr(item.p, '/', item.n), *why;
    struct hg_slice ip = slash ? hg_slice_of(item.p, (size_t)(slash - item.p)) : item;
    uint64_t bits;

    if (parse_ip(ip, &out->base) < 0)
        return -HG_E_CONF_VALUE;
    bits = addr_bits(&out->base);
    if (slash && (hg_num_u64(hg_slice_of(slash + 1, item.n - ip.n - 1), &bits, &why) < 0 ||
                  bits > addr_bits(&out->base)))
        return -HG_E_CONF_VALUE;
    out->bits = (unsigned)bits;
    return 0;
}

static bool net_has(const struct net *net, const struct hg_addr *a)
{
    const unsigned char *x = addr_bytes(&net->base), *y = addr_bytes(a);
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (net->base.sa.sa_family != a->sa.sa_family || memcmp(x, y, whole) != 0)
        return false;
    return rest == 0 || (x[whole] ^ y[whole]) >> (8 - rest) == 0;
}

/* Next item of a comma list, trimmed, empties skipped. */
static bool next_item(struct hg_slice *rest, struct hg_slice *item)
{
    while (rest->n) {
        const char *comma = memchr(rest->p, ',', rest->n);
        size_t n = comma ? (size_t)(comma - rest->p) : rest->n, skip = n + (comma != NULL);

        *item = hg_slice_trim(hg_slice_of(rest->p, n), HG_BLANKS);
        *rest = hg_slice_of(rest->p + skip, rest->n - skip);
        if (item->n)
            return true;
    }
    return false;
}

bool hg_cidr_list_has(struct hg_slice list, const struct hg_addr *addr)
{
    struct hg_addr a = unmapped(addr);
    struct hg_slice item;
    struct net net;

    if (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6)
        return false;
    while (next_item(&list, &item))
        if (parse_net(item, &net) == 0 && net_has(&net, &a))
            return true;
    return false;
}

int hg_cidr_list_check(struct hg_slice list, struct hg_slice *bad)
{
    struct net net;

    while (next_item(&list, bad))
        if (parse_net(*bad, &net) < 0)
            return -HG_E_CONF_VALUE;
    return 0;
}

/* ---- listening ---- */

static int set(int fd, int level, int name, int on)
{
    return setsockopt(fd, level, name, &on, sizeof on);
}

/* Closes fd, keeps errno for the caller's message. */
static int give_up(int fd)
{
    int e = errno;

    close(fd);
    errno = e;
    return e == EADDRINUSE ? -HG_E_EXISTS : -HG_E_SYS;
}

int hg_sock_listen(const struct hg_addr *a, int backlog, bool reuseport)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -HG_E_SYS;
    /* REUSEADDR: a restart may bind although connections of the last run are in TIME_WAIT. */
    if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        (reuseport && set(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) || bind(fd, &a->sa, a->len) < 0 ||
        listen(fd, backlog) < 0)
        return give_up(fd);
    return fd;
}

int hg_sock_probe(const struct hg_addr *a)
{
    int fd;

    if (hg_addr_port(a) == 0)
        return 0;
    fd = hg_sock_listen(a, 1, false);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int hg_sock_local(int fd, struct hg_addr *out)
{
    *out = (struct hg_addr){.len = sizeof out->v6};
    return getsockname(fd, &out->sa, &out->len) == 0 ? 0 : -HG_E_SYS;
}

int hg_sock_accept(int fd, struct hg_addr *peer)
{
    for (;;) {
        int c;

        *peer = (struct hg_addr){.len = sizeof peer->v6};
        c = accept4(fd, &peer->sa, &peer->len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (c >= 0) {
            (void)set(c, IPPROTO_TCP, TCP_NODELAY,
                      1); /* fails on a Unix socket, where there is no delay */
            return c;
        }
        switch (errno) {
        case EAGAIN:
            return -HG_E_AGAIN;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            return -HG_E_FULL;
        /* accept(2): errors of the network of the new connection, which is gone */
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENOPROTOOPT:
        case ETIMEDOUT:
        case EPERM:
            continue;
        default:
            return -HG_E_SYS;
        }
    }
}

/* ---- choice within a SO_REUSEPORT group ---- */

/*
 * Classic BPF, run by the kernel for each new connection; its result is the index of a socket in
 * the group: A = random; A %= k;  if (A == 0) return live[0];  if (A == 1) return live[1]; ...
 */
int hg_sock_reuseport_pick(int fd, const uint8_t *live, unsigned n)
{
    enum { MAX = 256 };
    struct sock_filter code[2 + 2 * MAX];
    struct sock_fprog prog = {.filter = code};
    unsigned chosen[MAX], k = 0;

    HG_BUG_ON(n == 0 || n > MAX);
    for (unsigned i = 0; i < n; i++)
        if (live[i])
            chosen[k++] = i;
    for (unsigned i = 0; k == 0 && i < n; i++)
        chosen[i] = i;
    k = k ? k : n;
    code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                           (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
    code[1] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, k);
    for (unsigned i = 0; i < k; i++) {
        code[2 + 2 * i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, 1);
        code[3 + 2 * i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, chosen[i]);
    }
    /* The last has no successor to jump to: what is left returns it. */
    code[2 + 2 * (k - 1)] = code[3 + 2 * (k - 1)];
    prog.len = (unsigned short)(2 + 2 * k - 1);
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof prog) < 0)
        return -HG_E_SYS;
    return 0;
}

/* ---- Unix sockets ---- */

static int unix_addr(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    return strlcpy(out->sun_path, path, sizeof out->sun_path) < sizeof out->sun_path
               ? 0
               : -HG_E_TOO_BIG;
}

int hg_sock_unix_connect(const char *path)
{
    struct sockaddr_un a;
    int fd, rc = unix_addr(path, &a);

    if (rc < 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -HG_E_SYS;
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        return give_up(fd);
    return fd;
}

/* Removes a socket file that nobody listens on. */
static int clear_path(const char *path)
{
    struct stat st;
    int fd;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -HG_E_SYS;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return -HG_E_SYS; /* somebody's file: not ours to remove */
    }
    fd = hg_sock_unix_connect(path);
    if (fd >= 0) {
        close(fd);
        return -HG_E_EXISTS;
    }
    if (errno != ECONNREFUSED)
        return -HG_E_SYS;
    return unlink(path) == 0 || errno == ENOENT ? 0 : -HG_E_SYS;
}

int hg_sock_unix_listen(const char *path, unsigned mode)
{
    struct sockaddr_un a;
    mode_t mask;
    int fd, rc = unix_addr(path, &a);

    if (rc == 0)
        rc = clear_path(path);
    if (rc < 0)
        return rc;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -HG_E_SYS;
    mask = umask(0777 & ~mode); /* from its first moment the file has no more rights than asked */
    rc = bind(fd, (struct sockaddr *)&a, sizeof a);
    umask(mask);
    if (rc < 0 || listen(fd, 64) < 0)
        return give_up(fd);
    return fd;
}
