/*
 * The master's own tables, shared by the files that work on them: master.c (the loop, signals,
 * start and end), workers.c (one worker: fork, messages, heartbeat, reap), seats.c (shared memory:
 * seats, shares, poison), control.c (commands), dev.c. Private to the folder master/. Everything
 * here is touched by one thread.
 */
#ifndef HG_MASTER_STATE_H
#define HG_MASTER_STATE_H

#include <bsd/libutil.h>
#include "common/sys/ipc.h"
#include "common/sys/notify.h"
#include "common/sys/sock.h"
#include "master/admin.h"
#include "master/dev.h"
#include "master/master.h"
#include "master/poison.h"
#include "master/polls.h"
#include "master/shares.h"
#include "master/slots.h"

#define HG_MASTER_TICK (100 * HG_MS)  /* the master's own tick: hangs are counted in it */
#define HG_MASTER_WATCH (2 * HG_MS)   /* between looks at readers while a share moves */
#define HG_MASTER_START (10 * HG_S)   /* a worker may take this long before its first turn */
#define HG_MASTER_MARGIN (2 * HG_S)   /* after drain_timeout, until a draining worker is killed */
#define HG_MASTER_STOP_NOW (5 * HG_S) /* until a worker that was told to end at once is killed */

enum hg_master_phase { HG_MASTER_RUNS, HG_MASTER_DRAINS, HG_MASTER_ENDS };

struct hg_worker_slot {
    struct hg_slot slot;
    struct hg_hang hang;
    pid_t pid;       /* 0: none */
    uint32_t seat;   /* HG_NO_SEAT: none */
    int listen_fd;   /* kept open whatever happens to workers; -1 once the host ends */
    int ipc_fd;      /* the master's end; -1: none */
    bool hung;       /* killed because it hung, for the log */
    bool accepting;  /* this worker said READY */
    bool has_served; /* one of this slot ever did: for READY=1 */
};

struct hg_master {
    const struct hg_master_in *in;
    struct hg_conf *conf;
    struct hg_host *host;
    struct hg_worker_slot workers[HG_MAX_SLOTS];
    struct hg_shares shares;
    struct hg_shares_facts facts;
    struct { /* of the seat, valid while DEAD; of the share, valid while RELEASED */
        struct hg_mono dead_at[HG_MAX_SEATS];
        uint64_t head[HG_MAX_SLOTS];
    } noted;
    uint32_t last_seat; /* seats are used in turn, so that a dead one's ring is left alone as long
                           as can be */
    struct hg_poison poison;
    uint8_t live[HG_MAX_SLOTS]; /* as last told to the kernel */
    bool live_told;

    enum hg_master_phase phase;
    struct hg_mono now, started, next_tick, next_watchdog;
    bool hang_killed; /* in this tick: one at most */
    bool told_ready;

    struct hg_polls polls;
    struct hg_httpd admin, control;
    struct hg_admin answers;
    struct hg_notify notify;
    struct hg_dev dev;
    struct pidfh *pidfile;
    int sig_fd;
    struct hg_addr clients_addr, admin_addr;
    char clients[HG_ADDR_TEXT], admin_text[HG_ADDR_TEXT];
    char host_id[HG_NAME_MAX];
    char control_path[108];
    uint64_t publishes;   /* numbers of those that wait for their answer */
    uint32_t next_worker; /* for hg_workers_send_one */
    uid_t control_uid;    /* who may talk to the control socket beside root */

    /* for status */
    struct hg_slot st_slots[HG_MAX_SLOTS];
    uint32_t st_seats[HG_MAX_SLOTS];
    struct hg_status_aux st_aux[HG_DEV_AUX];
};

/* ---- workers.c ---- */
void hg_workers_init(struct hg_master *m);
void hg_workers_tick(struct hg_master *m);       /* due starts and kills; each round */
void hg_workers_heartbeats(struct hg_master *m); /* once per HG_MASTER_TICK */
void hg_workers_refuse(
    struct hg_master *m); /* while ending: closes the listeners that no worker watches any more */
void hg_workers_prepare(struct hg_master *m); /* their descriptors into the poll set */
bool hg_workers_next(const struct hg_master *m, struct hg_mono *when);
bool hg_workers_reaped(struct hg_master *m, pid_t pid, int status); /* false: not one of them */
void hg_workers_event(struct hg_master *m, enum hg_slot_event ev,
                      struct hg_mono deadline); /* to all */
void hg_worker_event(struct hg_master *m, uint32_t slot, enum hg_slot_event ev,
                     struct hg_mono deadline);
void hg_workers_send(struct hg_master *m, enum hg_ipc_type type, const void *payload, size_t n,
                     struct hg_slice tail);
/* To one that serves, another one each time. False: there is none that takes it. */
bool hg_workers_send_one(struct hg_master *m, enum hg_ipc_type type, const void *payload, size_t n,
                         struct hg_slice tail);
bool hg_workers_all_stopped(const struct hg_master *m);
bool hg_workers_any(const struct hg_master *m);
bool hg_workers_all_served(const struct hg_master *m);
/* Closes every descriptor of the master, in a child or at its end; a worker keeps its slot's
 * listening socket. */
void hg_master_drop(struct hg_master *m, uint32_t keep_slot);
void hg_master_drop_all(void *master);

/* ---- seats.c ---- */
uint32_t hg_seats_take(struct hg_master *m,
                       uint32_t slot); /* a FREE seat made STARTING, or HG_NO_SEAT */
void hg_seats_give_back(struct hg_master *m, uint32_t seat); /* the fork failed: FREE again */
void hg_seats_died(struct hg_master *m, uint32_t seat, bool blame_record);
void hg_seats_move_shares(struct hg_master *m); /* carries out what shares.c decides */
bool hg_seats_pending(struct hg_master *m);
void hg_seats_metrics(struct hg_master *m, struct hg_buf *out);

/* ---- control.c ---- */
int hg_control_command(void *master, struct hg_slice verb, struct hg_slice arg,
                       struct hg_buf *reply);
int hg_control_publish(void *master, struct hg_slice body, uint64_t *later, struct hg_buf *reply);

/* ---- start.c ---- */
int hg_master_set_up(struct hg_master *m)
    HG_MUST_CHECK; /* what failed was said; whatever was made is left for the end */
int hg_master_load_conf(struct hg_master *m, struct hg_conf **out,
                        struct hg_buf *report) HG_MUST_CHECK;
void hg_master_log_report(const struct hg_buf *report, const char *tag); /* a log line per line */

/* ---- master.c ---- */
int hg_master_open_signals(struct hg_master *m) HG_MUST_CHECK;
int hg_master_reload(
    struct hg_master *m,
    struct hg_buf *report); /* report: a line each; -HG_E_CONF_*: nothing changed */
void hg_master_stop(struct hg_master *m, bool now);
void hg_master_set_log_level(struct hg_master *m, int level);
void hg_master_status(void *master, struct hg_status *st);

#endif
