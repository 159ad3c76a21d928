/*
 * The master as a process, with a worker that only does what the master can see: a heartbeat,
 * READY, answers to DRAIN, STOP_NOW and CONF_LIVE, shares let go of when asked. Each test runs a
 * master of its own in a child, on ports it picks itself, and waits for conditions, never for a
 * time. Not tested here: what real workers do (tests/worker, tests/e2e); --dev.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/sys/ipc.h"
#include "common/sys/log.h"
#include "common/sys/loop.h"
#include "common/sys/sock.h"
#include "master/control.h"
#include "master/master.h"

enum { PATIENCE_S = 60 };

/* What tests and fake workers tell each other. */
static struct {
    _Atomic uint32_t nseats;
    _Atomic uint64_t beats; /* of the worker of slot 0 */
    _Atomic int skipped;    /* the record below is on the list of poison */
    _Atomic int pid[HG_MAX_SLOTS];
    _Atomic int drains, stops, lives, levels, reopens;
    _Atomic int64_t idle_timeout; /* as the last CONF_LIVE said */
    _Atomic int drain_left_ms;    /* deadline of the last DRAIN */
    /* orders */
    _Atomic int deaf;         /* DRAIN and STOP_NOW do nothing */
    _Atomic int die_at_start; /* workers of this slot + 1 exit before READY */
    _Atomic int die_in_part;  /* part + 1: its holder dies in the record below */
    _Atomic int64_t die_in_offset;
    _Atomic int deaths; /* by that order */
    _Atomic int no_kafka;
} * page;

static char dir[64];
static char log_path[128], conf_path[128], sock_path[128], err_path[128];

/* ---- the fake worker ---- */

static void answer_shares(const struct hg_master_worker *w)
{
    for (uint32_t i = 0; i < w->host->nslots; i++)
        if (atomic_load(&w->host->shares[i].holder) == w->seat &&
            atomic_load(&w->host->shares[i].release) == 1)
            atomic_store(&w->host->shares[i].release, 2);
    for (uint32_t i = 0; i < w->host->nseats; i++) /* walked, as far as the master can see */
        atomic_store(&w->host->seats[i].ring.readers[w->seat].cursor,
                     atomic_load(&w->host->seats[i].ring.head));
}

static void obey_orders(const struct hg_master_worker *w)
{
    int part = atomic_load(&page->die_in_part) - 1;
    int64_t offset = atomic_load(&page->die_in_offset);
    if (part < 0 || !hg_host_holds(w->host, w->seat, (uint32_t)part))
        return;
    if (hg_host_is_poison(w->host, (struct hg_pos){(uint32_t)part, offset})) {
        atomic_store(&page->skipped, 1);
        return;
    }
    atomic_store(&w->host->seats[w->seat].poison_offset, offset);
    atomic_store(&w->host->seats[w->seat].poison_part, (uint32_t)part + 1);
    atomic_fetch_add(&page->deaths, 1);
    raise(SIGKILL);
}

static bool obey_master(const struct hg_master_worker *w)
{
    static struct hg_ipc_msg msg;
    int rc;
    while ((rc = hg_ipc_recv(w->ipc_fd, HG_IPC_TO_WORKER, &msg)) > 0) {
        if (msg.type == HG_IPC_DRAIN) {
            atomic_fetch_add(&page->drains, 1);
            atomic_store(&page->drain_left_ms, (int)(msg.drain.deadline_us / HG_MS));
            atomic_fetch_and(&w->host->seats[w->seat].ready, ~(uint32_t)HG_READY_ACCEPT);
        } else if (msg.type == HG_IPC_STOP_NOW) {
            atomic_fetch_add(&page->stops, 1);
        } else if (msg.type == HG_IPC_CONF_LIVE &&
                   hg_conf_apply_live_text(w->conf, msg.tail) == 0) {
            atomic_store(&page->idle_timeout, w->conf->idle_timeout);
            atomic_fetch_add(&page->lives, 1);
        } else if (msg.type == HG_IPC_LOG_LEVEL) {
            atomic_fetch_add(&page->levels, 1);
        } else if (msg.type == HG_IPC_LOG_REOPEN) {
            atomic_fetch_add(&page->reopens, 1);
        }
        if ((msg.type == HG_IPC_DRAIN || msg.type == HG_IPC_STOP_NOW) && !atomic_load(&page->deaf))
            return false;
    }
    return rc != -HG_E_PEER_GONE;
}

static void accept_one(const struct hg_master_worker *w)
{
    if (!(atomic_load(&w->host->seats[w->seat].ready) & HG_READY_ACCEPT))
        return;
    struct hg_addr peer;
    char text[32];
    int fd = hg_sock_accept(w->listen_fd, &peer);
    if (fd < 0)
        return;
    int n = snprintf(text, sizeof text, "%u\n", w->slot);
    (void)!write(fd, text, (size_t)n);
    close(fd);
}

static int fake_worker(const struct hg_master_worker *w)
{
    struct hg_seat *seat = &w->host->seats[w->seat];
    atomic_store(&page->nseats, w->host->nseats);
    if (atomic_load(&page->die_at_start) == (int)w->slot + 1)
        return 3;
    atomic_store(&page->pid[w->slot], getpid());
    for (uint32_t i = 0; i < w->host->ntopics; i++)
        hg_host_topic_seen(w->host, i, 0);
    atomic_store(&seat->ready, HG_READY_ACCEPT | HG_READY_RPC | HG_READY_POSITIONS);
    if (hg_ipc_send(w->ipc_fd, HG_IPC_READY, &(struct hg_ipc_empty){0}, sizeof(struct hg_ipc_empty),
                    HG_SLICE_NONE) < 0)
        return 4;
    for (;;) {
        struct pollfd p[3] = {{w->ipc_fd, POLLIN, 0},
                              {w->listen_fd, POLLIN, 0},
                              {w->host->wake_fd[w->seat], POLLIN, 0}};
        uint64_t wakes;
        poll(p, 3, 50);
        atomic_fetch_add(&seat->heartbeat, 1);
        if (w->slot == 0)
            atomic_fetch_add(&page->beats, 1);
        (void)!read(p[2].fd, &wakes, sizeof wakes);
        if (!atomic_load(&page->no_kafka))
            atomic_fetch_or(&seat->ready, HG_READY_KAFKA);
        answer_shares(w);
        obey_orders(w);
        accept_one(w);
        if (!obey_master(w))
            return 0;
    }
}

/* ---- the master under test ---- */

static struct {
    pid_t pid;
    uint16_t port, admin;
} master;

static const char *const basic[] = {"--workers=3",       "--listen=127.0.0.1", "--port=0",
                                    "--ring-size=256k",  "--backlog=64",       "--log-level=debug",
                                    "--drain-timeout=5s"};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *read_file(const char *path)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f)
        fclose(f);
    return text;
}

static _Noreturn void be_master(char **argv, int argc)
{
    static char *no_env[] = {NULL};
    struct hg_master_in in = {
        .conf_in = {.file = conf_path, .env = no_env, .argc = argc, .argv = argv},
        .worker = fake_worker};
    int err = open(err_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dup2(err, 2);
    close(err);
    exit(hg_master_run(&in));
}

/* flags: NULL-terminated, after the basic ones. */
static pid_t fork_master(const char *const *flags)
{
    char *argv[32], log[160], admin[] = "--admin-listen=127.0.0.1:0", sock[160];
    int argc = 0;
    for (size_t i = 0; i < HG_COUNTOF(basic); i++)
        argv[argc++] = (char *)basic[i];
    snprintf(log, sizeof log, "--log-file=%s", log_path);
    snprintf(sock, sizeof sock, "--control-socket=%s", sock_path);
    argv[argc++] = log;
    argv[argc++] = admin;
    argv[argc++] = sock;
    for (size_t i = 0; flags && flags[i]; i++)
        argv[argc++] = (char *)flags[i];
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        be_master(argv, argc);
    return pid;
}

static bool give_up(time_t since)
{
    return time(NULL) - since > PATIENCE_S;
}

/* Evaluates cond until it holds. */
#define WAIT_FOR(cond)                                                                             \
    do {                                                                                           \
        time_t since = time(NULL);                                                                 \
        while (!(cond)) {                                                                          \
            if (give_up(since))                                                                    \
                fail_msg("waited for %s; log:\n%s\n%s", #cond, read_file(log_path),                \
                         read_file(err_path));                                                     \
            poll(NULL, 0, 5);                                                                      \
        }                                                                                          \
    } while (0)

static bool logged(const char *text)
{
    return strstr(read_file(log_path), text) != NULL;
}

static uint16_t port_after(const char *tag)
{
    const char *line = strstr(read_file(log_path), "master.ready");
    const char *at = line ? strstr(line, tag) : NULL;
    char addr[64];
    snprintf(addr, sizeof addr, "%.*s", at ? (int)strcspn(at, " \n") : 0, at ? at : "");
    const char *colon = strrchr(addr, ':');
    return colon ? (uint16_t)atoi(colon + 1) : 0;
}

static void start_master(const char *const *flags)
{
    memset(page, 0, sizeof *page);
    unlink(log_path);
    master.pid = fork_master(flags);
    WAIT_FOR(logged("master.ready") || waitpid(master.pid, NULL, WNOHANG) != 0);
    assert_true(logged("master.ready"));
    master.port = port_after("clients=");
    master.admin = port_after("admin=");
}

/* Its exit code; 1000 + the signal that ended it. */
static int end_of(pid_t pid)
{
    int status = 0;
    WAIT_FOR(waitpid(pid, &status, WNOHANG) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int stop_master(int signo)
{
    kill(master.pid, signo);
    int code = end_of(master.pid);
    master.pid = 0;
    return code;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

/* Which slot answered a new connection; -1: refused or reset. */
static int who_answers(void)
{
    char text[16] = "";
    int fd = connect_to(master.port);
    if (fd < 0)
        return -1;
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    close(fd);
    return n > 0 ? atoi(text) : -1;
}

static bool is_refused(void)
{
    int fd = connect_to(master.port);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == ECONNREFUSED;
}

/* The answer's whole text. */
static const char *ask(const char *path)
{
    static char text[1 << 18];
    size_t n = 0;
    ssize_t got;
    int fd = connect_to(master.admin);
    assert_true(fd >= 0);
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                       path);
    assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
    while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(fd);
    return text;
}

static bool is_ready(void)
{
    return strncmp(ask("/readyz"), "HTTP/1.1 200", 12) == 0;
}

/* The slot of the worker that holds this share, as /status has it; -1: nobody, or it is on the
 * move. */
static int holder_slot(int share)
{
    char key[64];
    snprintf(key, sizeof key, "{\"share\":%d,\"phase\":\"held\",\"seat\":", share);
    const char *at = strstr(ask("/status"), key);
    at = at ? strstr(at, "\"worker\":") : NULL;
    return at ? atoi(at + 9) : -1;
}

static bool all_at_home(void)
{
    return holder_slot(0) == 0 && holder_slot(1) == 1 && holder_slot(2) == 2;
}

static bool is_gone(int pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

/* ---- tests ---- */

static void test_starts_serves_and_drains_on_term(void **state)
{
    (void)state;
    char pidflag[160], pidpath[128], text[32];
    snprintf(pidpath, sizeof pidpath, "%s/pid", dir);
    snprintf(pidflag, sizeof pidflag, "--pidfile=%s", pidpath);
    start_master((const char *[]){pidflag, NULL});
    WAIT_FOR(is_ready());
    assert_int_equal(strncmp(ask("/livez"), "HTTP/1.1 200", 12), 0);
    snprintf(text, sizeof text, "%d", master.pid);
    assert_string_equal(read_file(pidpath), text);
    bool seen[3] = {false};
    WAIT_FOR((seen[who_answers()] = true) && seen[0] && seen[1] && seen[2]);
    assert_true(all_at_home());
    int pids[3] = {page->pid[0], page->pid[1], page->pid[2]};
    assert_int_equal(stop_master(SIGTERM), 0);
    assert_int_equal(page->drains, 3);
    assert_int_equal(page->stops, 0);
    assert_int_equal(page->drain_left_ms, 5000);
    for (int i = 0; i < 3; i++)
        assert_true(is_gone(pids[i]));
    assert_int_not_equal(access(pidpath, F_OK), 0);
    assert_int_not_equal(access(sock_path, F_OK), 0);
    assert_int_equal(who_answers(), -1);
}

static void test_int_ends_at_once(void **state)
{
    (void)state;
    start_master(NULL);
    assert_int_equal(stop_master(SIGINT), 0);
    assert_int_equal(page->drains, 0);
    assert_int_equal(page->stops, 3);
}

static void test_workers_that_do_not_listen_are_killed_in_the_end(void **state)
{
    (void)state;
    start_master((const char *[]){"--drain-timeout=100ms", NULL});
    atomic_store(&page->deaf, 1);
    int pids[3] = {page->pid[0], page->pid[1], page->pid[2]};
    assert_int_equal(stop_master(SIGTERM), 0);
    assert_int_equal(page->drains, 3);
    for (int i = 0; i < 3; i++)
        assert_true(is_gone(pids[i]));
    assert_true(logged("worker.kill"));
}

static void test_a_second_and_third_signal_hasten(void **state)
{
    (void)state;
    start_master((const char *[]){"--drain-timeout=1h", NULL});
    atomic_store(&page->deaf, 1);
    kill(master.pid, SIGTERM);
    WAIT_FOR(page->drains == 3);
    WAIT_FOR(is_refused()); /* nobody waits for workers that will not accept again */
    kill(master.pid, SIGTERM);
    WAIT_FOR(page->stops >= 3);
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_a_killed_worker_comes_back_and_its_share_goes_out_and_home(void **state)
{
    (void)state;
    start_master(NULL);
    WAIT_FOR(all_at_home());
    atomic_store(&page->no_kafka,
                 1); /* successors do not get Kafka: the share stays with the sibling */
    int victim = page->pid[1];
    kill(victim, SIGKILL);
    WAIT_FOR(page->pid[1] != victim && (holder_slot(1) == 0 || holder_slot(1) == 2));
    assert_true(strstr(ask("/metrics"), "headgate_worker_restarts_total{worker=\"1\"} 1\n") !=
                NULL);
    WAIT_FOR(strstr(ask("/status"), "\"state\":\"serving\",\"uptime\"") != NULL);
    atomic_store(&page->no_kafka, 0);
    WAIT_FOR(all_at_home());
    bool served = false;
    WAIT_FOR((served |= who_answers() == 1));
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_no_connection_is_refused_while_workers_die(void **state)
{
    (void)state;
    start_master(NULL);
    for (int round = 0; round < 12; round++) {
        int slot = round % 3, victim = page->pid[slot];
        kill(victim, SIGKILL);
        WAIT_FOR(is_gone(victim)); /* what it had accepted dies with it: count from here */
        for (int i = 0; i < 30; i++)
            assert_int_not_equal(who_answers(), -1);
        WAIT_FOR(page->pid[slot] != victim);
    }
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_the_only_worker_dies_and_its_queue_waits_for_the_successor(void **state)
{
    (void)state;
    start_master((const char *[]){"--workers=1", NULL});
    int victim = page->pid[0];
    kill(victim, SIGSTOP); /* so that it cannot accept what comes now */
    int fd = connect_to(master.port);
    assert_true(fd >= 0);
    kill(victim, SIGKILL);
    char text[16] = "";
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "0\n");
    close(fd);
    WAIT_FOR(holder_slot(0) == 0);
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_a_hung_worker_is_killed_and_replaced(void **state)
{
    (void)state;
    start_master((const char *[]){"--worker-hang-timeout=500ms", NULL});
    int victim = page->pid[2];
    kill(victim, SIGSTOP);
    WAIT_FOR(page->pid[2] != victim);
    assert_true(is_gone(victim));
    assert_true(logged("worker.hang"));
    WAIT_FOR(all_at_home());
    assert_int_equal(stop_master(SIGTERM), 0);
}

/* Do so many new connections in a row get an answer soon? */
static bool are_answered(int n)
{
    while (n-- > 0) {
        char text[16];
        struct timeval soon = {0, 200000};
        int fd = connect_to(master.port);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
        ssize_t got = recv(fd, text, sizeof text, 0);
        close(fd);
        if (got <= 0)
            return false;
    }
    return true;
}

static void test_a_worker_that_seems_to_hang_gets_no_new_connections(void **state)
{
    (void)state;
    start_master((const char *[]){"--worker-hang-timeout=6s", NULL});
    int victim = page->pid[2];
    kill(victim, SIGSTOP);
    WAIT_FOR(are_answered(30));
    assert_int_equal(page->pid[2], victim); /* long before it was replaced */
    kill(victim, SIGCONT);
    bool served = false;
    WAIT_FOR((served |= who_answers() == 2));
    assert_int_equal(page->pid[2], victim);
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_a_paused_master_kills_nobody(void **state)
{
    (void)state;
    start_master((const char *[]){"--worker-hang-timeout=500ms", NULL});
    int pids[3] = {page->pid[0], page->pid[1], page->pid[2]};
    kill(master.pid, SIGSTOP);
    for (int i = 0; i < 3; i++)
        kill(pids[i], SIGSTOP);
    struct timespec far = {2, 0}; /* the pause itself, not a wait for something */
    nanosleep(&far, NULL);
    kill(master.pid, SIGCONT);
    for (int i = 0; i < 3; i++)
        kill(pids[i], SIGCONT);
    uint64_t beats = page->beats;
    WAIT_FOR(page->beats > beats + 20);
    for (int i = 0; i < 3; i++)
        assert_int_equal(page->pid[i], pids[i]);
    assert_false(logged("worker.hang"));
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_a_worker_that_cannot_start_backs_off_and_its_share_is_served(void **state)
{
    (void)state;
    start_master(NULL);
    atomic_store(&page->die_at_start, 2);
    kill(page->pid[1], SIGKILL);
    WAIT_FOR(strstr(ask("/status"), "\"slot\":1,\"seat\":-1,\"pid\":0,\"state\":\"waiting\"") !=
             NULL);
    WAIT_FOR(holder_slot(1) == 0 || holder_slot(1) == 2);
    assert_false(is_ready());
    assert_non_null(strstr(ask("/readyz"), "worker 1: "));
    static unsigned long others[] = {0, 2};
    for (int i = 0; i < 20; i++) /* none is sent where nobody accepts */
        assert_in_set((unsigned long)who_answers(), others, 2);
    atomic_store(&page->die_at_start, 0);
    WAIT_FOR(all_at_home());
    WAIT_FOR(is_ready());
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_a_record_that_kills_twice_is_skipped(void **state)
{
    (void)state;
    start_master(NULL);
    WAIT_FOR(all_at_home());
    atomic_store(&page->die_in_offset, 4711);
    atomic_store(&page->die_in_part, 1 + 1);
    WAIT_FOR(page->skipped);
    WAIT_FOR(logged("record.poison"));
    WAIT_FOR(all_at_home());
    assert_int_equal(page->deaths, 2);
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_a_death_outside_a_record_blames_none(void **state)
{
    (void)state;
    start_master(NULL);
    for (int i = 0; i < 3; i++) {
        int victim = page->pid[0];
        kill(victim, SIGKILL);
        WAIT_FOR(page->pid[0] != victim);
    }
    assert_false(logged("died_in_record"));
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_hup_applies_what_is_live_and_names_the_rest(void **state)
{
    (void)state;
    write_file(conf_path, "idle_timeout = 61s\n");
    start_master(NULL);
    write_file(conf_path, "idle_timeout = 33s\nhost_id = other\n");
    kill(master.pid, SIGHUP);
    WAIT_FOR(page->lives == 3);
    assert_int_equal(page->idle_timeout, 33 * HG_S);
    WAIT_FOR(logged("host_id"));

    write_file(conf_path, "idle_timeout = 44s\nidle_timeot = 1s\n");
    kill(master.pid, SIGHUP);
    WAIT_FOR(logged("reload.refused"));
    assert_int_equal(page->lives, 3);

    write_file(conf_path, "idle_timeout = 22s\n");
    kill(master.pid, SIGHUP);
    WAIT_FOR(page->lives == 6);
    assert_int_equal(page->idle_timeout, 22 * HG_S);
    int victim = page->pid[0]; /* a worker forked later has it too */
    atomic_store(&page->lives, 0);
    kill(victim, SIGKILL);
    WAIT_FOR(page->pid[0] != victim);
    assert_int_equal(page->lives, 0);
    assert_int_equal(stop_master(SIGTERM), 0);
    write_file(conf_path, "");
}

static void test_usr1_opens_the_log_again(void **state)
{
    (void)state;
    char old[160];
    start_master(NULL);
    snprintf(old, sizeof old, "%s.1", log_path);
    assert_int_equal(rename(log_path, old), 0);
    kill(master.pid, SIGUSR1);
    WAIT_FOR(page->reopens == 3);
    kill(page->pid[0], SIGKILL);
    WAIT_FOR(logged("worker.died"));
    assert_int_equal(stop_master(SIGTERM), 0);
}

/* What systemd would have been told so far. */
static const char *told(int fd)
{
    static char text[4096];
    static size_t n;
    ssize_t got;
    while (n < sizeof text - 1 &&
           (got = recv(fd, text + n, sizeof text - 2 - n, MSG_DONTWAIT)) > 0) {
        n += (size_t)got;
        text[n++] = '\n';
    }
    text[n] = '\0';
    return text;
}

static void test_systemd_is_told(void **state)
{
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s/notify", dir);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    setenv("NOTIFY_SOCKET", a.sun_path, 1);
    setenv("WATCHDOG_USEC", "400000", 1);
    start_master(NULL);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    WAIT_FOR(strstr(told(fd), "READY=1"));
    WAIT_FOR(strstr(told(fd), "WATCHDOG=1"));
    assert_null(strstr(told(fd), "STOPPING=1"));
    kill(master.pid, SIGHUP);
    WAIT_FOR(strstr(told(fd), "RELOADING=1"));
    assert_int_equal(stop_master(SIGTERM), 0);
    assert_non_null(strstr(told(fd), "STOPPING=1"));
    close(fd);
}

static void test_one_pidfile_is_for_one_master(void **state)
{
    (void)state;
    char pidflag[160], sock[160];
    snprintf(pidflag, sizeof pidflag, "--pidfile=%s/pid", dir);
    snprintf(sock, sizeof sock, "--control-socket=%s.2", sock_path);
    start_master((const char *[]){pidflag, NULL});
    assert_int_equal(end_of(fork_master((const char *[]){pidflag, sock, NULL})), 1);
    snprintf(sock, sizeof sock, "pid %d", master.pid);
    assert_non_null(strstr(read_file(err_path), sock));
    /* A successor of a worker holds no lock on it: after a kill -9 of the master it can be had
     * again. */
    kill(master.pid, SIGKILL);
    end_of(master.pid);
    start_master((const char *[]){pidflag, NULL});
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_two_on_one_port(void **state)
{
    (void)state;
    char port[32], sock[160];
    start_master(NULL);
    snprintf(port, sizeof port, "--port=%u", master.port);
    snprintf(sock, sizeof sock, "--control-socket=%s.2", sock_path);
    pid_t second = fork_master((const char *[]){port, sock, NULL});
    assert_int_equal(end_of(second), 1);
    assert_non_null(strstr(read_file(err_path), "in use"));
    snprintf(port, sizeof port, "127.0.0.1:%u", master.port);
    assert_non_null(strstr(read_file(err_path), port));
    /* Another port, but the same control socket. */
    second = fork_master(NULL);
    assert_int_equal(end_of(second), 1);
    assert_non_null(strstr(read_file(err_path), "control socket"));
    assert_int_not_equal(who_answers(), -1);
    assert_int_equal(stop_master(SIGTERM), 0);
}

static void test_bad_configuration_is_exit_code_2(void **state)
{
    (void)state;
    assert_int_equal(end_of(fork_master((const char *[]){"--listen=nowhere", NULL})), 2);
    assert_non_null(strstr(read_file(err_path), "nowhere"));
    assert_int_equal(end_of(fork_master((const char *[]){"--kafka-topics=a:b", NULL})), 2);
    assert_int_equal(end_of(fork_master((const char *[]){"--no-such-thing=1", NULL})), 2);
}

static void test_workers_die_with_a_killed_master(void **state)
{
    (void)state;
    start_master(NULL);
    int pids[3] = {page->pid[0], page->pid[1], page->pid[2]};
    kill(master.pid, SIGKILL);
    assert_int_equal(end_of(master.pid), 1000 + SIGKILL);
    /* They are orphans now: whoever inherits them reaps them, so a zombie counts as gone. */
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/status", pids[i]);
        WAIT_FOR(is_gone(pids[i]) || strstr(read_file(path), "State:\tZ"));
    }
    unlink(sock_path);
}

/* Has this process such a descriptor? */
static bool is_mine(const char *link)
{
    char path[64], to[300];
    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, to, sizeof to - 1);
        to[n < 0 ? 0 : n] = '\0';
        if (n > 0 && strcmp(to, link) == 0)
            return true;
    }
    return false;
}

static void test_a_worker_holds_nothing_of_the_masters(void **state)
{
    (void)state;
    char path[300], to[300];
    int sockets = 0, events = 0, files = 0;
    start_master(NULL);
    int first = page->pid[0];
    int lingering = connect_to(master.admin); /* the successor must not inherit this either */
    kill(first, SIGKILL);
    WAIT_FOR(page->pid[0] != first);
    snprintf(path, sizeof path, "/proc/%d/fd", page->pid[0]);
    DIR *d = opendir(path);
    struct dirent *e;
    assert_non_null(d);
    while ((e = readdir(d))) {
        if (atoi(e->d_name) < 3)
            continue;
        snprintf(path, sizeof path, "/proc/%d/fd/%s", page->pid[0], e->d_name);
        ssize_t n = readlink(path, to, sizeof to - 1);
        if (n < 0)
            continue;
        to[n] = '\0';
        if (strncmp(to, "socket:", 7) == 0)
            sockets++;
        else if (strstr(to, "[eventfd]"))
            events++;
        else if (strcmp(to, log_path) == 0)
            files++;
        else if (!is_mine(to)) /* what the test itself was started with is not the master's */
            fail_msg("a worker holds %s", to);
    }
    closedir(d);
    close(lingering);
    assert_int_equal(sockets, 2); /* its listening socket, its end of the pair */
    assert_int_equal(events, page->nseats);
    assert_int_equal(files, 1);
    assert_int_equal(stop_master(SIGTERM), 0);
}

/* ---- headgate ctl ---- */

/* Exit code; what it printed is in *out (valid until the next read_file). */
static int ctl(const char **out, bool json, char *a, char *b)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *words[] = {a, b, NULL, NULL};
        struct hg_conf *conf = hg_conf_defaults();
        free(conf->control_socket);
        conf->control_socket = hg_strdup(sock_path);
        int fd = open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        int code = hg_ctl_main(conf, words, json);
        fflush(NULL);
        _exit(code);
    }
    int code = end_of(pid);
    *out = read_file(err_path);
    return code;
}

static char v_status[] = "status", v_drain[] = "drain", v_stop[] = "stop", v_reload[] = "reload",
            v_level[] = "log-level", a_one[] = "1", a_nine[] = "9", a_debug[] = "debug",
            a_loud[] = "loud", a_bad[] = "x y", v_nothing[] = "nothing";

static void test_ctl(void **state)
{
    (void)state;
    const char *out;
    char pid[16];
    start_master(NULL);
    WAIT_FOR(is_ready());
    assert_int_equal(ctl(&out, false, v_status, NULL), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(pid, sizeof pid, "%d", page->pid[i]);
        assert_non_null(strstr(out, pid));
    }
    assert_non_null(strstr(out, "ready: yes"));
    assert_int_equal(ctl(&out, true, v_status, NULL), 0);
    assert_non_null(strstr(out, "\"workers\":["));
    assert_int_equal(ctl(&out, false, v_level, a_debug), 0);
    WAIT_FOR(page->levels == 3);
    assert_int_equal(ctl(&out, false, v_level, a_loud), 1);
    assert_int_equal(ctl(&out, false, v_level, a_bad), 2);
    assert_int_equal(ctl(&out, false, v_nothing, NULL), 2);
    assert_int_equal(ctl(&out, false, v_reload, NULL), 0);
    WAIT_FOR(page->lives == 3);
    assert_int_equal(ctl(&out, false, v_drain, a_nine), 1);
    int before = page->pid[1];
    assert_int_equal(ctl(&out, false, v_drain, a_one), 0);
    WAIT_FOR(page->pid[1] != before);
    WAIT_FOR(all_at_home());
    assert_int_equal(ctl(&out, false, v_stop, NULL), 0);
    assert_int_equal(end_of(master.pid), 0);
    assert_int_equal(page->drains, 4);
    assert_int_equal(ctl(&out, false, v_status, NULL), 1);
    assert_non_null(strstr(out, "no headgate answers"));
}

static int group_setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.32s/headgate-master-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir) || chdir(dir) < 0)
        return -1;
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    snprintf(conf_path, sizeof conf_path, "%s/conf", dir);
    snprintf(sock_path, sizeof sock_path, "%s/ctl", dir);
    snprintf(err_path, sizeof err_path, "%s/err", dir);
    write_file(conf_path, "");
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static int group_teardown(void **state)
{
    (void)state;
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)))
        (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    (void)rmdir(dir);
    return 0;
}

/* A failed test leaves its master behind. */
static int end_master(void **state)
{
    (void)state;
    if (master.pid > 0 && kill(master.pid, SIGKILL) == 0)
        waitpid(master.pid, NULL, 0);
    master.pid = 0;
    return 0;
}

#define T(f) cmocka_unit_test_teardown(f, end_master)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_starts_serves_and_drains_on_term),
        T(test_int_ends_at_once),
        T(test_workers_that_do_not_listen_are_killed_in_the_end),
        T(test_a_second_and_third_signal_hasten),
        T(test_a_killed_worker_comes_back_and_its_share_goes_out_and_home),
        T(test_no_connection_is_refused_while_workers_die),
        T(test_the_only_worker_dies_and_its_queue_waits_for_the_successor),
        T(test_a_hung_worker_is_killed_and_replaced),
        T(test_a_worker_that_seems_to_hang_gets_no_new_connections),
        T(test_a_paused_master_kills_nobody),
        T(test_a_worker_that_cannot_start_backs_off_and_its_share_is_served),
        T(test_a_record_that_kills_twice_is_skipped),
        T(test_a_death_outside_a_record_blames_none),
        T(test_hup_applies_what_is_live_and_names_the_rest),
        T(test_usr1_opens_the_log_again),
        T(test_systemd_is_told),
        T(test_one_pidfile_is_for_one_master),
        T(test_two_on_one_port),
        T(test_bad_configuration_is_exit_code_2),
        T(test_workers_die_with_a_killed_master),
        T(test_a_worker_holds_nothing_of_the_masters),
        T(test_ctl),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
