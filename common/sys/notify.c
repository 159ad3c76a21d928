/* See notify.h; sd_notify(3) and sd_watchdog_enabled(3) describe the protocol. */
#include "common/sys/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/num.h"

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n < 2 || n >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@'))
        return -1;
    memcpy(a.sun_path, path, n);
    if (path[0] == '@')
        a.sun_path[0] = '\0'; /* the abstract namespace */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&a,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool number(const char *name, uint64_t *out)
{
    const char *text = getenv(name), *why;

    return text && hg_num_u64(hg_slice_str(text), out, &why) == 0;
}

/* WATCHDOG_PID names the process that is meant, so that children do not feed their parent's dog. */
static int64_t watchdog_interval(void)
{
    uint64_t us, pid;

    if (!number("WATCHDOG_USEC", &us) || us == 0 || us > INT64_MAX)
        return 0;
    if (getenv("WATCHDOG_PID") && (!number("WATCHDOG_PID", &pid) || pid != (uint64_t)getpid()))
        return 0;
    return (int64_t)us;
}

void hg_notify_open(struct hg_notify *n)
{
    n->fd = connect_to(getenv("NOTIFY_SOCKET"));
    n->watchdog_us = n->fd < 0 ? 0 : watchdog_interval();
}

void hg_notify_close(struct hg_notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
    n->watchdog_us = 0;
}

bool hg_notify_send(struct hg_notify *n, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    int len;

    if (n->fd < 0)
        return false;
    va_start(ap, fmt);
    len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= sizeof text)
        return false;
    return send(n->fd, text, (size_t)len, MSG_NOSIGNAL) == len;
}
