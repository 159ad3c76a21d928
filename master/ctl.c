/* The client side of the control socket. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/sys/sock.h"
#include "master/control.h"
#include "master/ctl_publish.h"

enum { ANSWER_MAX = 4 << 20, ANSWER_MS = 10000 };

static const struct verb {
    const char *name, *method, *path, *arg; /* arg: name of its query field, NULL for none */
} verbs[] = {
    {"status", "GET", "/status", NULL},
    {"reload", "POST", "/reload", NULL},
    {"stop", "POST", "/stop", "how"},
    {"drain", "POST", "/drain", "worker"},
    {"log-level", "POST", "/log-level", "level"},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; name && i < HG_COUNTOF(verbs); i++)
        if (strcmp(name, verbs[i].name) == 0)
            return &verbs[i];
    return NULL;
}

static bool is_plain(const char *s)
{
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static int send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -HG_E_SYS;
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

static int receive_all(int fd, struct hg_buf *in)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char chunk[4096];
        if (poll(&p, 1, ANSWER_MS) <= 0 || in->n > ANSWER_MAX)
            return -HG_E_SYS;
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -HG_E_SYS : 0;
        hg_buf_add(in, chunk, (size_t)n);
    }
}

/* Prints the body, a publish's in words; 0 when the status is 200. */
static int show(const struct hg_buf *in, bool publish)
{
    static const char proto[] = "HTTP/1.1 ";
    const char *body = in->n ? memmem(in->p, in->n, "\r\n\r\n", 4) : NULL;
    if (!body || in->n < sizeof proto + 2 || memcmp(in->p, proto, sizeof proto - 1) != 0) {
        fprintf(stderr, "headgate ctl: the answer makes no sense\n");
        return 1;
    }
    bool good = memcmp(in->p + sizeof proto - 1, "200", 3) == 0;
    body += 4;
    struct hg_slice text = hg_slice_of(body, (size_t)(in->p + in->n - body));
    struct hg_buf words = {0};
    if (publish && good && hg_ctl_publish_show(text, &words))
        text = hg_buf_slice(&words);
    fwrite(text.p, 1, text.n, good ? stdout : stderr);
    if (text.n && text.p[text.n - 1] != '\n')
        fputc('\n', good ? stdout : stderr);
    hg_buf_fini(&words);
    return good ? 0 : 1;
}

static int talk(int fd, const struct hg_buf *request, bool publish)
{
    struct hg_buf in = {0};
    int code = 1;
    if (send_all(fd, request->p, request->n) < 0 || receive_all(fd, &in) < 0)
        fprintf(stderr, "headgate ctl: no answer from the master\n");
    else
        code = show(&in, publish);
    hg_buf_fini(&in);
    return code;
}

static int connect_to_master(const struct hg_conf *conf)
{
    char path[256];
    hg_control_path(conf, (unsigned)conf->port, path, sizeof path);
    int fd = hg_sock_unix_connect(path);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED))
        fprintf(stderr,
                "headgate ctl: no headgate answers on %s (is it running? --config, --port or "
                "--control-socket say which one is meant)\n",
                path);
    else if (fd < 0)
        fprintf(stderr, "headgate ctl: %s: %s\n", path,
                fd == -HG_E_TOO_BIG ? "path too long for a socket" : strerror(errno));
    return fd;
}

int hg_ctl_main(const struct hg_conf *conf, char *const *words, bool json)
{
    const struct verb *v = find_verb(words[0]);
    const char *arg = v && words[1] ? words[1] : NULL;
    if (!v || (arg && (!v->arg || words[2] || !is_plain(arg)))) {
        fprintf(stderr,
                "usage: headgate ctl status [--json] | reload | stop [now] | drain WORKER | "
                "log-level error|warn|info|debug | publish ...\n");
        return 2;
    }
    int fd = connect_to_master(conf);
    if (fd < 0)
        return 1;
    struct hg_buf request = {0};
    hg_buf_addf(&request, "%s %s", v->method, v->path);
    if (arg)
        hg_buf_addf(&request, "?%s=%s", v->arg, arg);
    else if (strcmp(v->name, "status") == 0 && !json)
        hg_buf_adds(&request, "?table");
    hg_buf_adds(&request, " HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n");
    int code = talk(fd, &request, false);
    hg_buf_fini(&request);
    close(fd);
    return code;
}

int hg_ctl_publish(const struct hg_conf *conf, struct hg_slice body, bool json)
{
    struct hg_buf request = {0};
    int fd, code;

    if (body.n > HG_CONTROL_BODY) {
        fprintf(
            stderr,
            "headgate ctl publish: too large for the control socket (%zu bytes of JSON, at most "
            "%d); use POST /publish\n",
            body.n, HG_CONTROL_BODY);
        return 1;
    }
    fd = connect_to_master(conf);
    if (fd < 0)
        return 1;
    hg_buf_addf(&request,
                "POST /publish HTTP/1.1\r\nHost: control\r\nConnection: close\r\n"
                "Content-Length: %zu\r\n\r\n",
                body.n);
    hg_buf_add_slice(&request, body);
    code = talk(fd, &request, !json);
    hg_buf_fini(&request);
    close(fd);
    return code;
}
