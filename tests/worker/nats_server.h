/* A real nats-server of the test's own, on a free port of 127.0.0.1; dies with the test. */
#ifndef HG_TESTS_NATS_SERVER_H
#define HG_TESTS_NATS_SERVER_H

#include "tests/worker/redis_server.h" /* loopback, free ports, TURN_UNTIL */

struct nats_server {
    pid_t pid;
    int port;
    const char *password; /* of the user "u"; NULL: none */
    const char *config;   /* text of a configuration file, or NULL */
    char file[32];
};

/* A server says INFO to whoever connects. */
static inline bool nats_answers(const struct nats_server *s)
{
    struct sockaddr_in a = loopback(s->port);
    char buf[4];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && read(fd, buf, 4) == 4;
    close(fd);
    return ok;
}

static inline void nats_exec(const struct nats_server *s)
{
    char port[16], *argv[16] = {"nats-server", "-a", "127.0.0.1", "-p", port};
    int n = 5, null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 1);
    dup2(null, 2);
    snprintf(port, sizeof port, "%d", s->port);
    if (s->password) {
        argv[n++] = "--user", argv[n++] = "u";
        argv[n++] = "--pass", argv[n++] = (char *)(uintptr_t)s->password;
    }
    if (s->config) {
        argv[n++] = "-c", argv[n++] = (char *)(uintptr_t)s->file;
    }
    execvp(argv[0], argv);
    _exit(127);
}

static inline void nats_write_config(struct nats_server *s)
{
    strcpy(s->file, "/tmp/hg_nats_XXXXXX");
    int fd = mkstemp(s->file);
    HG_BUG_ON(fd < 0 || write(fd, s->config, strlen(s->config)) != (ssize_t)strlen(s->config));
    close(fd);
}

/* Starts it, on its former port if it had one, and waits until it answers. */
static inline void nats_start(struct nats_server *s)
{
    struct hg_mono end = hg_mono_add(hg_mono_read(), 20 * HG_S);
    if (!s->port)
        s->port = free_port();
    if (s->config && !s->file[0])
        nats_write_config(s);
    s->pid = fork();
    if (s->pid == 0)
        nats_exec(s);
    while (!nats_answers(s)) {
        int status;
        HG_BUG_ON(waitpid(s->pid, &status, WNOHANG) == s->pid); /* is nats-server installed? */
        HG_BUG_ON(hg_mono_reached(hg_mono_read(), end));
        usleep(5000);
    }
}

/* Returns when it stands still: what is sent from now on is not answered. */
static inline void nats_pause(const struct nats_server *s)
{
    int status;
    kill(s->pid, SIGSTOP);
    HG_BUG_ON(waitpid(s->pid, &status, WUNTRACED) != s->pid || !WIFSTOPPED(status));
}

static inline void nats_stop(struct nats_server *s)
{
    if (s->file[0])
        unlink(s->file);
    s->file[0] = 0;
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

#endif
