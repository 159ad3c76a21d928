#include "tools/bench/server.h"

#include <errno.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tools/cli.h"

enum { UP_WITHIN_MS = 20000, TICK_MS = 20 };

void hg_bench_find(const char *name, char *path, size_t cap)
{
    char dir[2048];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    dir[n > 0 ? n : 0] = 0;
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    snprintf(path, cap, "%s/%s", dir, name);
    if (access(path, X_OK) < 0)
        snprintf(path, cap, "%s/../%s", dir, name);
}

/* Nobody else is told of the port before headgate binds it, so the race is with chance only. */
static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        hg_cli_die("free port: %m");
    close(fd);
    return ntohs(a.sin_port);
}

static pid_t spawn(char *const *argv)
{
    pid_t pid = fork();
    if (pid < 0)
        hg_cli_die("fork: %m");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        hg_proc_unpin();
        execv(argv[0], argv);
        hg_cli_die("%s: %m", argv[0]);
    }
    return pid;
}

static void tick(pid_t *pid, const char *what, int *waited)
{
    const struct timespec ts = {0, TICK_MS * 1000000L};
    if (waitpid(*pid, NULL, WNOHANG) == *pid)
        hg_cli_die("%s ended at its start", what);
    if ((*waited += TICK_MS) > UP_WITHIN_MS || hg_cli_stopped()) {
        hg_proc_stop(pid);
        hg_cli_die("%s did not come up", what);
    }
    nanosleep(&ts, NULL);
}

/* Workers call themselves "headgate: worker N ..."; the master's other children do not count. */
static int find_workers(struct hg_bench_server *s, int workers)
{
    struct hg_procs all;
    hg_procs_children(&all, s->master);
    s->target.procs.n = 0;
    for (size_t i = 0; i < all.n; i++) {
        char path[64], title[256];
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)all.at[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, title, sizeof title - 1);
        if (fd >= 0)
            close(fd);
        title[n > 0 ? n : 0] = 0;
        if (strstr(title, ": worker "))
            s->target.procs.at[s->target.procs.n++] = all.at[i];
    }
    return (int)s->target.procs.n == workers;
}

static int accepts(const struct sockaddr_in *a)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int good = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static void start_gateway(struct hg_bench_server *s, const char *headgate, int workers)
{
    char port[32], count[32], brokers[160], path[4096];
    int waited = 0, no = free_port();
    if (*headgate)
        snprintf(path, sizeof path, "%s", headgate);
    else
        hg_bench_find("headgate", path, sizeof path);
    snprintf(port, sizeof port, "--port=%d", no);
    snprintf(count, sizeof count, "--workers=%d", workers);
    snprintf(brokers, sizeof brokers, "--kafka-brokers=%s", s->brokers);
    char *argv[] = {path,
                    port,
                    count,
                    brokers,
                    (char *)"--listen=127.0.0.1",
                    (char *)"--admin-listen=",
                    (char *)"--log-level=error",
                    (char *)"--kafka-fetch-wait=10ms",
                    NULL};
    s->target.addr = (struct sockaddr_in){.sin_family = AF_INET,
                                          .sin_port = htons((uint16_t)no),
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    s->master = spawn(argv);
    while (!find_workers(s, workers) || !accepts(&s->target.addr))
        tick(&s->master, "headgate", &waited);
}

static void start_kafka(struct hg_bench_server *s)
{
    char why[256], path[4096];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "3", why, sizeof why);
    s->mock_owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    s->mock = s->mock_owner ? rd_kafka_mock_cluster_new(s->mock_owner, 1) : NULL;
    if (!s->mock)
        hg_cli_die("mock cluster: %s", why);
    snprintf(s->brokers, sizeof s->brokers, "%s", rd_kafka_mock_cluster_bootstraps(s->mock));
    snprintf(s->db, sizeof s->db, "/tmp/headgate-bench-%d.db", (int)getpid());
    hg_bench_find("headgate-sqlworker", path, sizeof path);
    char *argv[] = {path,  (char *)"--brokers", s->brokers,       (char *)"--db",
                    s->db, (char *)"--seed",    (char *)"--solo", NULL};
    s->sqlworker = spawn(argv);
}

void hg_bench_server_start(struct hg_bench_server *s, const char *headgate, int workers,
                           int with_kafka)
{
    *s = (struct hg_bench_server){.target = {.name = "headgate", .feed = HG_FEED_ROOM}};
    snprintf(s->brokers, sizeof s->brokers,
             "127.0.0.1:1"); /* nobody is there: rooms need no Kafka */
    if (with_kafka) {
        start_kafka(s);
        s->target.feed = HG_FEED_KAFKA;
        s->target.brokers = s->brokers;
        s->target.table = "tasks";
    }
    start_gateway(s, headgate, workers);
}

void hg_bench_server_stop(struct hg_bench_server *s)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    hg_proc_stop(&s->master);
    hg_proc_stop(&s->sqlworker);
    if (!s->mock)
        return;
    rd_kafka_mock_cluster_destroy(s->mock);
    rd_kafka_destroy(s->mock_owner);
    for (int i = 0; i < 3; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s%s", s->db, suffixes[i]);
        unlink(path);
    }
}
