/* A real redis-server of the test's own, on a free port of 127.0.0.1; dies with the test. */
#ifndef HG_TESTS_REDIS_SERVER_H
#define HG_TESTS_REDIS_SERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/sys/loop.h"

struct redis_server {
    pid_t pid;
    int port;
    const char *password; /* NULL: none */
};

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* A listener on a free port, which answers nothing by itself. */
static inline int listen_free(int *port)
{
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HG_BUG_ON(fd < 0 || bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 64) < 0);
    HG_BUG_ON(getsockname(fd, (struct sockaddr *)&a, &n) < 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static inline int free_port(void)
{
    int port;
    close(listen_free(&port));
    return port;
}

static inline bool answers(const struct redis_server *s)
{
    struct sockaddr_in a = loopback(s->port);
    char buf[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && write(fd, "PING\r\n", 6) == 6 &&
              read(fd, buf, sizeof buf) > 0;
    close(fd);
    return ok;
}

static inline void server_exec(const struct redis_server *s)
{
    char port[16];
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 1);
    dup2(null, 2);
    snprintf(port, sizeof port, "%d", s->port);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
           "--appendonly", "no", "--dir", "/", "--client-output-buffer-limit", "pubsub 32mb 8mb 60",
           "--requirepass", s->password ? s->password : "", (char *)NULL);
    _exit(127);
}

/* Starts it, on its former port if it had one, and waits until it answers. */
static inline void server_start(struct redis_server *s)
{
    struct hg_mono end = hg_mono_add(hg_mono_read(), 20 * HG_S);
    if (!s->port)
        s->port = free_port();
    s->pid = fork();
    if (s->pid == 0)
        server_exec(s);
    while (!answers(s)) {
        int status;
        HG_BUG_ON(waitpid(s->pid, &status, WNOHANG) == s->pid); /* is redis-server installed? */
        HG_BUG_ON(hg_mono_reached(hg_mono_read(), end));
        usleep(5000);
    }
}

static inline void server_stop(struct redis_server *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

/* Turns the loop until cond holds; fails after ten seconds. */
#define TURN_UNTIL(loop, cond)                                                                     \
    do {                                                                                           \
        struct hg_mono turn_end = hg_mono_add(hg_mono_read(), 10 * HG_S);                          \
        while (!(cond)) {                                                                          \
            if (hg_mono_reached(hg_mono_read(), turn_end))                                         \
                fail_msg("waited in vain for %s", #cond);                                          \
            hg_loop_turn(loop, 20);                                                                \
        }                                                                                          \
    } while (0)

#endif
