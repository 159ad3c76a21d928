/*
 * The loop. A round: what is due (ticks, starts, kills) -> shares move -> wait for signals,
 * messages, requests, or the next deadline. Whatever a round learns is acted on in the next.
 *
 *   RUNS --TERM--> DRAINS --TERM--> ENDS        INT, QUIT: straight to ENDS; a further signal there
 * kills
 */
#include "master/master.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/sys/log.h"
#include "common/sys/loop.h"
#include "common/sys/sig.h"
#include "master/state.h"

/* ---- reload ---- */

static void apply(struct hg_master *m, struct hg_conf *conf, struct hg_buf *report)
{
    struct hg_buf text = {0}, kept = {0};
    int n = hg_conf_apply_live(m->conf, conf, &kept);
    hg_master_log_report(&kept, "reload.kept");
    hg_buf_add(report, kept.p, kept.n);
    hg_log_set_level((enum hg_log_level)m->conf->log_level);
    hg_conf_live_text(m->conf, &text);
    struct hg_ipc_empty nothing = {0};
    hg_workers_send(m, HG_IPC_CONF_LIVE, &nothing, sizeof nothing, hg_buf_slice(&text));
    hg_log(HG_LOG_INFO, NULL, "reload.done", "applied=%d", n);
    hg_buf_addf(report, "%d option%s applied\n", n, n == 1 ? "" : "s");
    hg_buf_fini(&text);
    hg_buf_fini(&kept);
}

int hg_master_reload(struct hg_master *m, struct hg_buf *report)
{
    struct hg_conf *conf = NULL;
    struct hg_buf said = {0};
    hg_notify_send(&m->notify, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)m->now.us);
    int rc = hg_master_load_conf(m, &conf, &said);
    hg_master_log_report(&said, "reload.conf");
    hg_buf_add(report, said.p, said.n);
    hg_buf_fini(&said);
    if (rc < 0) {
        hg_log(HG_LOG_ERROR, NULL, "reload.refused", "why=\"nothing was changed\"");
        hg_buf_adds(report, "nothing was changed\n");
    } else {
        apply(m, conf, report);
        hg_conf_free(conf);
    }
    hg_notify_send(&m->notify, "READY=1");
    return rc;
}

void hg_master_set_log_level(struct hg_master *m, int level)
{
    struct hg_ipc_level msg = {.level = (uint32_t)level};
    m->conf->log_level = level; /* for workers forked later */
    hg_log_set_level((enum hg_log_level)level);
    hg_workers_send(m, HG_IPC_LOG_LEVEL, &msg, sizeof msg, HG_SLICE_NONE);
}

/* ---- stop ---- */

static void drain_all(struct hg_master *m)
{
    m->phase = HG_MASTER_DRAINS;
    hg_log(HG_LOG_INFO, NULL, "master.drain", "within=%.1fs",
           (double)m->conf->drain_timeout / HG_S);
    hg_workers_event(m, HG_SLOT_EV_STOP,
                     hg_mono_add(m->now, m->conf->drain_timeout + HG_MASTER_MARGIN));
}

static void end_all(struct hg_master *m)
{
    bool again = m->phase == HG_MASTER_ENDS;
    m->phase = HG_MASTER_ENDS;
    hg_log(HG_LOG_INFO, NULL, "master.stop", "how=%s", again ? "kill" : "now");
    hg_workers_event(m, HG_SLOT_EV_STOP_NOW,
                     again ? m->now : hg_mono_add(m->now, HG_MASTER_STOP_NOW));
}

void hg_master_stop(struct hg_master *m, bool now)
{
    if (m->phase == HG_MASTER_RUNS)
        hg_notify_send(&m->notify, "STOPPING=1");
    atomic_store(&m->host->draining, 1);
    if (now || m->phase != HG_MASTER_RUNS)
        end_all(m);
    else
        drain_all(m);
    hg_host_wake_all(m->host);
}

/* ---- signals ---- */

static void on_term(void *arg, int signo)
{
    hg_log(HG_LOG_INFO, NULL, "signal", "name=%s", signo == SIGTERM ? "TERM" : "INT");
    hg_master_stop(arg, signo != SIGTERM);
}

static void on_hup(void *arg, int signo)
{
    struct hg_master *m = arg;
    struct hg_buf report = {0};
    (void)signo;
    hg_log(HG_LOG_INFO, NULL, "signal", "name=HUP");
    if (m->phase == HG_MASTER_RUNS)
        hg_master_reload(m, &report); /* what it did stands in the log */
    hg_buf_fini(&report);
}

static void on_usr1(void *arg, int signo)
{
    struct hg_master *m = arg;
    struct hg_ipc_empty nothing = {0};
    (void)signo;
    if (hg_log_reopen() < 0)
        hg_log(HG_LOG_ERROR, NULL, "log.reopen", "why=\"%s\"", strerror(errno));
    hg_workers_send(m, HG_IPC_LOG_REOPEN, &nothing, sizeof nothing, HG_SLICE_NONE);
}

static void on_chld(void *arg, int signo)
{
    struct hg_master *m = arg;
    int status;
    pid_t pid;
    (void)signo;
    /* Also those it never started: as process 1 of a container it inherits orphans. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (!hg_workers_reaped(m, pid, status))
            (void)hg_dev_reaped(&m->dev, pid, status, m->now);
}

static const struct hg_sig signals[] = {
    {SIGTERM, on_term}, {SIGINT, on_term},  {SIGQUIT, on_term},
    {SIGHUP, on_hup},   {SIGUSR1, on_usr1}, {SIGCHLD, on_chld},
};

static void on_signal(void *arg, int fd, short revents)
{
    struct hg_master *m = arg;
    (void)revents;
    m->now = hg_mono_read();
    hg_sig_dispatch(fd, signals, HG_COUNTOF(signals), m);
}

int hg_master_open_signals(struct hg_master *m)
{
    m->sig_fd = hg_sig_open(signals, HG_COUNTOF(signals));
    return m->sig_fd < 0 ? -HG_E_SYS : 0;
}

/* ---- what others are told ---- */

void hg_master_status(void *master, struct hg_status *st)
{
    struct hg_master *m = master;
    for (uint32_t i = 0; i < m->host->nslots; i++) {
        m->st_slots[i] = m->workers[i].slot;
        m->st_seats[i] = m->workers[i].seat;
    }
    for (uint32_t i = 0; i < m->dev.n; i++)
        m->st_aux[i] = (struct hg_status_aux){m->dev.children[i].name, m->dev.children[i].pid,
                                              m->dev.children[i].slot.restarts};
    *st = (struct hg_status){.host = m->host,
                             .conf = m->conf,
                             .slots = m->st_slots,
                             .slot_seat = m->st_seats,
                             .shares = &m->shares,
                             .aux = m->st_aux,
                             .naux = m->dev.n,
                             .now = m->now,
                             .started = m->started,
                             .host_id = m->host_id,
                             .clients = m->clients,
                             .admin = m->admin_text};
}

static void print_metrics(void *master, struct hg_buf *out)
{
    hg_seats_metrics(master, out);
}

/* Where a browser on this machine finds it. */
static const char *browser_host(const struct hg_master *m, char out[HG_ADDR_TEXT])
{
    const char *any[] = {"0.0.0.0", "::", "127.0.0.1"};
    hg_addr_ip_text(&m->clients_addr, out);
    for (size_t i = 0; i < HG_COUNTOF(any); i++)
        if (strcmp(out, any[i]) == 0)
            return "localhost";
    return out;
}

static void greet(const struct hg_master *m)
{
    char ip[HG_ADDR_TEXT];
    const char *host = browser_host(m, ip);
    unsigned port = hg_addr_port(&m->clients_addr);
    printf("\n  headgate --dev runs: %u workers\n\n", m->host->nslots);
    printf("    open this      http://%s:%u/console/\n", host, port);
    printf("    clients        ws://%s:%u/\n", host, port);
    if (m->admin_text[0])
        printf("    admin          http://%s/metrics  /readyz  /status\n", m->admin_text);
    if (m->dev.embedded)
        printf("    Kafka          %s, embedded: for trying out only, it keeps nothing\n",
               m->dev.brokers);
    else
        printf("    Kafka          %s\n", m->conf->kafka_brokers);
    for (uint32_t i = 0; i < m->dev.n; i++)
        if (m->dev.children[i].path[0])
            printf("    %-14s pid %d, on %s (removed at the end)\n", m->dev.children[i].name + 9,
                   (int)m->dev.children[i].pid, m->dev.db);
    printf("\n  Ctrl-C stops all of it.\n\n");
    fflush(stdout);
}

/* Once: all workers serve, or some do and the rest had long enough. */
static void tell_ready(struct hg_master *m)
{
    bool late = hg_mono_reached(m->now, hg_mono_add(m->started, HG_MASTER_START));
    if (m->told_ready || m->phase != HG_MASTER_RUNS)
        return;
    if (!hg_workers_all_served(m) && !(late && hg_workers_any(m)))
        return;
    m->told_ready = true;
    hg_notify_send(&m->notify, "READY=1\nSTATUS=%u workers, clients on %s", m->host->nslots,
                   m->clients);
    hg_log(HG_LOG_INFO, NULL, "master.ready", "workers=%u clients=%s admin=%s", m->host->nslots,
           m->clients, m->admin_text);
    if (m->conf->dev)
        greet(m);
}

/* ---- rounds ---- */

/* The embedded broker came back elsewhere: whoever talked to the old one starts anew. */
static void follow_broker(struct hg_master *m)
{
    struct hg_conf *conf = NULL;
    struct hg_buf report = {0};
    m->dev.moved = false;
    if (m->phase != HG_MASTER_RUNS)
        return;
    if (hg_master_load_conf(m, &conf, &report) == 0) {
        hg_conf_free(m->conf);
        m->conf = conf;
    }
    hg_buf_fini(&report);
    hg_dev_restart_tools(&m->dev, m->now);
    hg_workers_event(m, HG_SLOT_EV_DRAIN, hg_mono_add(m->now, HG_MASTER_MARGIN));
}

static void tick(struct hg_master *m)
{
    if (!hg_mono_reached(m->now, m->next_tick))
        return;
    m->next_tick = hg_mono_add(m->now, HG_MASTER_TICK);
    hg_workers_heartbeats(m);
    if (m->phase != HG_MASTER_RUNS)
        hg_workers_refuse(m);
    hg_log_tick();
    if (m->notify.watchdog_us && hg_mono_reached(m->now, m->next_watchdog)) {
        hg_notify_send(&m->notify, "WATCHDOG=1");
        m->next_watchdog = hg_mono_add(m->now, m->notify.watchdog_us / 2);
    }
}

static bool work(struct hg_master *m)
{
    m->now = hg_mono_read();
    tick(m);
    if (m->dev.moved)
        follow_broker(m);
    hg_seats_move_shares(m);
    hg_workers_tick(m);
    hg_dev_tick(&m->dev, m->now);
    tell_ready(m);
    if (!hg_workers_all_stopped(m))
        return true;
    hg_dev_stop(&m->dev, m->now); /* last, so that workers can still flush to the broker */
    return !hg_dev_all_stopped(&m->dev);
}

static int64_t time_left(struct hg_master *m)
{
    struct hg_mono next = m->next_tick, t;
    if (hg_workers_next(m, &t) && t.us < next.us)
        next = t;
    if (hg_dev_next(&m->dev, &t) && t.us < next.us)
        next = t;
    if (hg_httpd_next(&m->admin, &t) && t.us < next.us)
        next = t;
    if (hg_httpd_next(&m->control, &t) && t.us < next.us)
        next = t;
    int64_t left = HG_MAX(0, hg_mono_sub(next, hg_mono_read()));
    return hg_seats_pending(m) ? HG_MIN(left, HG_MASTER_WATCH) : left;
}

static int wait_for_something(struct hg_master *m)
{
    hg_polls_reset(&m->polls);
    hg_polls_add(&m->polls, m->sig_fd, POLLIN, on_signal, m);
    hg_workers_prepare(m);
    hg_dev_prepare(&m->dev, &m->polls);
    hg_httpd_expire(&m->admin, m->now);
    hg_httpd_expire(&m->control, m->now);
    hg_httpd_prepare(&m->admin, &m->polls, m->now);
    hg_httpd_prepare(&m->control, &m->polls, m->now);
    return hg_polls_wait(&m->polls, time_left(m));
}

static int run(struct hg_master *m)
{
    m->now = m->started = hg_mono_read(); /* an embedded broker may have taken a while */
    hg_shares_init(&m->shares, m->host->nslots, m->host->nseats, m->now);
    while (work(m)) {
        if (wait_for_something(m) < 0) {
            hg_log(HG_LOG_ERROR, NULL, "master.poll", "why=\"%s\"", strerror(errno));
            return 1;
        }
    }
    return 0;
}

/* ---- life ---- */

static struct hg_master *new_master(const struct hg_master_in *in)
{
    struct hg_master *m = hg_calloc(1, sizeof *m);
    m->in = in;
    m->now = m->started = hg_mono_read();
    m->sig_fd = -1;
    m->notify.fd = -1;
    m->answers = (struct hg_admin){hg_master_status, print_metrics, hg_control_command,
                                   hg_control_publish, m};
    hg_httpd_init(&m->admin, -1, hg_admin_answer, &m->answers);
    hg_httpd_init(&m->control, -1, hg_control_answer, &m->answers);
    hg_workers_init(m);
    hg_dev_init(&m->dev, in->devbroker, hg_master_drop_all, m);
    return m;
}

static void free_master(struct hg_master *m)
{
    if (m->control_path[0])
        (void)unlink(m->control_path);
    if (m->pidfile)
        pidfile_remove(m->pidfile);
    m->pidfile = NULL;
    hg_master_drop_all(m);
    hg_dev_fini(&m->dev);
    if (m->host)
        hg_host_free(m->host);
    if (m->conf)
        hg_conf_free(m->conf);
    free(m);
}

int hg_master_run(const struct hg_master_in *in)
{
    struct hg_master *m = new_master(in);
    int code, rc = hg_master_set_up(m);
    if (rc == 0) {
        hg_notify_open(&m->notify);
        hg_log(HG_LOG_INFO, NULL, "master.start",
               "version=%s pid=%d host=%s instance=%s workers=%u clients=%s admin=%s", HG_VERSION,
               (int)getpid(), m->host_id, m->host->instance_id, m->host->nslots, m->clients,
               m->admin_text);
        code = run(m);
        hg_log(HG_LOG_INFO, NULL, "master.end", "code=%d", code);
    } else {
        if (m->sig_fd >= 0) { /* children may run */
            hg_master_stop(m, true);
            (void)run(m);
        }
        code = rc <= -HG_E_CONF_UNKNOWN && rc >= -HG_E_CONF_FILE ? 2 : 1;
    }
    free_master(m);
    return code;
}
