/* One worker of a slot, from fork to reap: what slots.c asks for is done here. */
#include "master/state.h"
#include <bsd/stdlib.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/sys/log.h"
#include "common/sys/loop.h"
#include "master/spawn.h"

struct child {
    struct hg_master *m;
    struct hg_master_worker w;
    int master_end;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void hg_workers_init(struct hg_master *m)
{
    for (uint32_t i = 0; i < HG_MAX_SLOTS; i++) {
        m->workers[i] = (struct hg_worker_slot){.seat = HG_NO_SEAT, .listen_fd = -1, .ipc_fd = -1};
        hg_slot_init(&m->workers[i].slot, m->now);
    }
}

static const char *name_of(uint32_t slot, char out[24])
{
    snprintf(out, 24, "worker %u", slot);
    return out;
}

/* ---- fork ---- */

void hg_master_drop(struct hg_master *m, uint32_t keep_slot)
{
    for (uint32_t i = 0; i < HG_MAX_SLOTS; i++) {
        close_fd(&m->workers[i].ipc_fd);
        if (i != keep_slot)
            close_fd(&m->workers[i].listen_fd);
    }
    hg_httpd_fini(&m->admin);
    hg_httpd_fini(&m->control);
    hg_notify_close(&m->notify);
    hg_dev_drop(&m->dev);
    hg_polls_fini(&m->polls);
    close_fd(&m->sig_fd);
    if (m->pidfile)
        pidfile_close(m->pidfile);
    m->pidfile = NULL;
}

void hg_master_drop_all(void *master)
{
    hg_master_drop(master, UINT32_MAX);
}

static void drop_for_worker(void *arg)
{
    struct child *c = arg;
    close_fd(&c->master_end);
    hg_master_drop(c->m, c->w.slot);
}

static int run_worker(void *arg)
{
    struct child *c = arg;
    struct hg_master *m = c->m;
    char name[16];
    snprintf(name, sizeof name, "w%u", c->w.slot);
    hg_log_set_process(name);
    atomic_store(&c->w.host->seats[c->w.seat].pid, getpid());
    int code = m->in->worker(&c->w);
    close_fd(&m->workers[c->w.slot].listen_fd);
    return code;
}

static int start_in(struct hg_master *m, uint32_t slot, uint32_t seat)
{
    struct hg_worker_slot *w = &m->workers[slot];
    char title[24];
    int pair[2];
    int rc = hg_ipc_pair(pair);
    if (rc < 0)
        return rc;
    struct child c = {m, {m->host, m->conf, seat, slot, w->listen_fd, pair[1]}, pair[0]};
    struct hg_spawn sp = {.title = name_of(slot, title),
                          .drop = drop_for_worker,
                          .run = run_worker,
                          .arg = &c,
                          .is_worker = true};
    pid_t pid = hg_spawn(&sp);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return (int)pid;
    }
    atomic_store(&m->host->seats[seat].pid, pid);
    w->pid = pid;
    w->seat = seat;
    w->ipc_fd = pair[0];
    w->hang = (struct hg_hang){0};
    w->hung = w->accepting = false;
    return 0;
}

static void start(struct hg_master *m, uint32_t slot)
{
    char name[24];
    uint32_t seat = hg_seats_take(m, slot);
    int rc = seat == HG_NO_SEAT ? -HG_E_FULL : start_in(m, slot, seat);
    if (rc < 0 && seat != HG_NO_SEAT)
        hg_seats_give_back(m, seat);
    hg_worker_event(m, slot, rc < 0 ? HG_SLOT_EV_SPAWN_FAILED : HG_SLOT_EV_SPAWNED, m->now);
    if (rc < 0)
        hg_log(HG_LOG_ERROR, name_of(slot, name), "worker.start_failed", "why=\"%s\"",
               seat == HG_NO_SEAT ? "no seat is free yet" : strerror(errno));
    else
        hg_log(HG_LOG_INFO, name_of(slot, name), "worker.start", "pid=%d seat=%u",
               m->workers[slot].pid, seat);
}

/* ---- events and actions ---- */

static void send_to(struct hg_master *m, uint32_t slot, enum hg_ipc_type type, const void *payload,
                    size_t n, struct hg_slice tail)
{
    char name[24];
    struct hg_worker_slot *w = &m->workers[slot];
    if (w->ipc_fd < 0)
        return;
    int rc = hg_ipc_send(w->ipc_fd, type, payload, n, tail);
    if (rc < 0 && rc != -HG_E_PEER_GONE) /* gone: its reaping comes */
        hg_log(HG_LOG_WARN, name_of(slot, name), "worker.unreachable", "message=%s why=\"%s\"",
               hg_ipc_name(type), hg_err_row(rc)->text);
}

static void set_seat_state(struct hg_master *m, uint32_t slot, enum hg_seat_state state)
{
    if (m->workers[slot].seat != HG_NO_SEAT)
        atomic_store(&m->host->seats[m->workers[slot].seat].state, state);
}

static void send_drain(struct hg_master *m, uint32_t slot)
{
    struct hg_ipc_drain d = {.deadline_us = m->conf->drain_timeout,
                             .has_successor = m->phase == HG_MASTER_RUNS};
    set_seat_state(m, slot, HG_SEAT_DRAINING);
    send_to(m, slot, HG_IPC_DRAIN, &d, sizeof d, HG_SLICE_NONE);
}

static void do_kill(struct hg_master *m, uint32_t slot)
{
    char name[24];
    struct hg_worker_slot *w = &m->workers[slot];
    hg_log(HG_LOG_WARN, name_of(slot, name), "worker.kill", "pid=%d state=%s", w->pid,
           hg_slot_state_name(w->slot.state));
    if (w->pid > 0)
        kill(w->pid, SIGKILL);
}

static void act_on(struct hg_master *m, uint32_t slot, enum hg_slot_act act)
{
    struct hg_ipc_empty nothing = {0};
    switch (act) {
    case HG_SLOT_ACT_SPAWN:
        start(m, slot);
        break;
    case HG_SLOT_ACT_KILL:
        do_kill(m, slot);
        break;
    case HG_SLOT_ACT_DRAIN:
        send_drain(m, slot);
        break;
    case HG_SLOT_ACT_STOP:
        set_seat_state(m, slot, HG_SEAT_DRAINING);
        send_to(m, slot, HG_IPC_STOP_NOW, &nothing, sizeof nothing, HG_SLICE_NONE);
        break;
    case HG_SLOT_ACT_NONE:
        break;
    }
}

static uint32_t ticks_of(const struct hg_master *m, const struct hg_worker_slot *w)
{
    int64_t limit = m->conf->worker_hang_timeout;
    if (w->slot.state == HG_SLOT_STARTING)
        limit = HG_MAX(limit, HG_MASTER_START);
    return (uint32_t)((limit + HG_MASTER_TICK - 1) / HG_MASTER_TICK);
}

/* One whose heartbeat has stood still for half its time gets no new connections until it moves or
 * is replaced. */
static bool takes_connections(const struct hg_master *m, const struct hg_worker_slot *w)
{
    return w->slot.state == HG_SLOT_SERVING && w->hang.still < (ticks_of(m, w) + 1) / 2;
}

/* New connections go to workers that serve; with none of these, wherever a worker will come. */
static void tell_kernel(struct hg_master *m)
{
    uint8_t live[HG_MAX_SLOTS] = {0};
    uint32_t n = m->host->nslots;
    for (uint32_t i = 0; i < n; i++)
        live[i] = takes_connections(m, &m->workers[i]);
    if (n < 2 || m->workers[0].listen_fd < 0 || (m->live_told && memcmp(live, m->live, n) == 0))
        return;
    if (hg_sock_reuseport_pick(m->workers[0].listen_fd, live, n) < 0)
        hg_log(HG_LOG_WARN, NULL, "listen.no_steering",
               "why=\"%s; connections may wait for a successor\"", strerror(errno));
    memcpy(m->live, live, n);
    m->live_told = true;
}

void hg_worker_event(struct hg_master *m, uint32_t slot, enum hg_slot_event ev,
                     struct hg_mono deadline)
{
    struct hg_slot_in in = {m->now, deadline, arc4random()};
    enum hg_slot_act act = hg_slot_step(&m->workers[slot].slot, ev, &in);
    tell_kernel(m);
    act_on(m, slot, act);
}

void hg_workers_event(struct hg_master *m, enum hg_slot_event ev, struct hg_mono deadline)
{
    for (uint32_t i = 0; i < m->host->nslots; i++)
        hg_worker_event(m, i, ev, deadline);
}

void hg_workers_send(struct hg_master *m, enum hg_ipc_type type, const void *payload, size_t n,
                     struct hg_slice tail)
{
    for (uint32_t i = 0; i < m->host->nslots; i++)
        send_to(m, i, type, payload, n, tail);
}

bool hg_workers_send_one(struct hg_master *m, enum hg_ipc_type type, const void *payload, size_t n,
                         struct hg_slice tail)
{
    for (uint32_t i = 0; i < m->host->nslots; i++) {
        struct hg_worker_slot *w = &m->workers[m->next_worker++ % m->host->nslots];
        if (takes_connections(m, w) && w->ipc_fd >= 0 &&
            hg_ipc_send(w->ipc_fd, type, payload, n, tail) == 0)
            return true;
    }
    return false;
}

void hg_workers_tick(struct hg_master *m)
{
    for (uint32_t i = 0; i < m->host->nslots; i++) {
        struct hg_mono when;
        if (hg_slot_next(&m->workers[i].slot, &when) && hg_mono_reached(m->now, when))
            hg_worker_event(m, i, HG_SLOT_EV_TICK, m->now);
    }
}

bool hg_workers_next(const struct hg_master *m, struct hg_mono *when)
{
    bool any = false;
    for (uint32_t i = 0; i < m->host->nslots; i++) {
        struct hg_mono t;
        if (!hg_slot_next(&m->workers[i].slot, &t) || (any && t.us >= when->us))
            continue;
        *when = t;
        any = true;
    }
    return any;
}

/* ---- heartbeat ---- */

static void on_hang(struct hg_master *m, uint32_t slot)
{
    char name[24];
    struct hg_worker_slot *w = &m->workers[slot];
    struct hg_seat *seat = &m->host->seats[w->seat];
    uint32_t doing = atomic_load(&seat->doing);
    hg_log(HG_LOG_ERROR, name_of(slot, name), "worker.hang",
           "pid=%d seat=%u doing=\"%s\" for=%.1fs why=\"its loop made no turn; it is killed\"",
           w->pid, w->seat, hg_doing_name(doing), (double)ticks_of(m, w) * HG_MASTER_TICK / HG_S);
    w->hung = true;
    m->hang_killed = true;
    hg_worker_event(m, slot, HG_SLOT_EV_HANG, m->now);
}

void hg_workers_heartbeats(struct hg_master *m)
{
    m->hang_killed = false;
    for (uint32_t i = 0; i < m->host->nslots; i++) {
        struct hg_worker_slot *w = &m->workers[i];
        if (w->seat == HG_NO_SEAT || w->slot.state == HG_SLOT_KILLED)
            continue;
        uint64_t beat = atomic_load(&m->host->seats[w->seat].heartbeat);
        if (!hg_hang_tick(&w->hang, beat, ticks_of(m, w)))
            continue;
        if (!m->hang_killed)
            on_hang(m, i);
        else
            w->hang.still = ticks_of(m, w); /* its turn is the next tick */
    }
    tell_kernel(m);
}

/* ---- messages ---- */

static void on_ready(struct hg_master *m, uint32_t slot)
{
    char name[24];
    struct hg_worker_slot *w = &m->workers[slot];
    if (w->slot.state != HG_SLOT_STARTING)
        return;
    set_seat_state(m, slot, HG_SEAT_SERVING);
    w->accepting = w->has_served = true;
    hg_worker_event(m, slot, HG_SLOT_EV_READY, m->now);
    hg_log(HG_LOG_INFO, name_of(slot, name), "worker.serves", "pid=%d seat=%u", w->pid, w->seat);
}

static void on_ipc(void *arg, int fd, short revents)
{
    static struct hg_ipc_msg msg; /* 64 KB: not on the stack */
    struct hg_master *m = arg;
    uint32_t slot = 0;
    int rc;
    (void)revents;
    while (slot < m->host->nslots && m->workers[slot].ipc_fd != fd)
        slot++;
    if (slot == m->host->nslots)
        return;
    while ((rc = hg_ipc_recv(fd, HG_IPC_TO_MASTER, &msg)) > 0)
        if (msg.type == HG_IPC_READY)
            on_ready(m, slot);
        else if (msg.type == HG_IPC_PUBLISHED)
            hg_httpd_answer_later(&m->control, msg.publish.id, (int)msg.publish.status,
                                  "application/json", msg.tail);
    if (rc == -HG_E_PEER_GONE || rc == -HG_E_SYS)
        close_fd(&m->workers[slot].ipc_fd); /* its reaping comes; without this poll would spin */
}

void hg_workers_prepare(struct hg_master *m)
{
    for (uint32_t i = 0; i < m->host->nslots; i++)
        if (m->workers[i].ipc_fd >= 0)
            hg_polls_add(&m->polls, m->workers[i].ipc_fd, POLLIN, on_ipc, m);
}

/* ---- the end of the listeners ---- */

/* Could its worker still accept? Shutting the socket under it would look like a failure to it. */
static bool is_watched(const struct hg_master *m, const struct hg_worker_slot *w)
{
    if (w->pid == 0)
        return false;
    return !w->accepting || (atomic_load(&m->host->seats[w->seat].ready) & HG_READY_ACCEPT);
}

void hg_workers_refuse(struct hg_master *m)
{
    for (uint32_t i = 0; i < m->host->nslots; i++) {
        struct hg_worker_slot *w = &m->workers[i];
        if (w->listen_fd < 0 || is_watched(m, w))
            continue;
        /* The worker holds the socket too: only shutdown makes the kernel refuse what would else
         * wait for nobody. */
        shutdown(w->listen_fd, SHUT_RDWR);
        close_fd(&w->listen_fd);
    }
}

/* ---- reap ---- */

static void log_end(struct hg_master *m, uint32_t slot, int status)
{
    char name[24];
    const struct hg_worker_slot *w = &m->workers[slot];
    bool asked = w->slot.state == HG_SLOT_STOPPING || w->slot.state == HG_SLOT_DRAINING;
    double up = (double)hg_mono_sub(m->now, w->slot.started) / HG_S;
    if (WIFSIGNALED(status))
        hg_log(asked ? HG_LOG_WARN : HG_LOG_ERROR, name_of(slot, name), "worker.died",
               "pid=%d seat=%u signal=%d up=%.1fs why=\"%s\"", w->pid, w->seat, WTERMSIG(status),
               up, w->hung ? "it hung" : strsignal(WTERMSIG(status)));
    else
        hg_log(asked && WEXITSTATUS(status) == 0 ? HG_LOG_INFO : HG_LOG_ERROR, name_of(slot, name),
               "worker.ended", "pid=%d seat=%u code=%d up=%.1fs", w->pid, w->seat,
               WEXITSTATUS(status), up);
}

bool hg_workers_reaped(struct hg_master *m, pid_t pid, int status)
{
    uint32_t slot = 0;
    while (slot < m->host->nslots && m->workers[slot].pid != pid)
        slot++;
    if (slot == m->host->nslots)
        return false;
    struct hg_worker_slot *w = &m->workers[slot];
    log_end(m, slot, status);
    close_fd(&w->ipc_fd);
    w->pid = 0;
    uint32_t seat = w->seat;
    w->seat = HG_NO_SEAT;
    hg_seats_died(m, seat, !(WIFEXITED(status) && WEXITSTATUS(status) == 0));
    hg_worker_event(m, slot, HG_SLOT_EV_REAPED, m->now);
    return true;
}

/* ---- all of them ---- */

bool hg_workers_all_stopped(const struct hg_master *m)
{
    for (uint32_t i = 0; i < m->host->nslots; i++)
        if (m->workers[i].slot.state != HG_SLOT_STOPPED)
            return false;
    return true;
}

bool hg_workers_all_served(const struct hg_master *m)
{
    for (uint32_t i = 0; i < m->host->nslots; i++)
        if (!m->workers[i].has_served)
            return false;
    return true;
}

bool hg_workers_any(const struct hg_master *m)
{
    for (uint32_t i = 0; i < m->host->nslots; i++)
        if (m->workers[i].slot.state == HG_SLOT_SERVING)
            return true;
    return false;
}
