/*
 * The master process: listening sockets and shared memory made before fork, the workers forked,
 * watched, replaced and ended; shares of the partitions moved; the admin port and the control
 * socket served. It knows a worker only as a function. One poll(2) loop; no epoll, no thread, no
 * Kafka or Redis handle in this process.
 *
 *   in = {.argv..., .worker = fn}; code = hg_master_run(&in);     returns the exit code, after
 * every child it started is gone
 *
 * Signals: TERM drains all workers and ends (a second one, or INT or QUIT, ends at once); HUP reads
 * the configuration again; USR1 opens the log again. It kills by process id, and only what it
 * forked.
 */
#ifndef HG_MASTER_MASTER_H
#define HG_MASTER_MASTER_H

#include "common/sys/conf.h"
#include "common/sys/host.h"

/* What a worker is given; main.c hands it on to the worker's own entry. */
struct hg_master_worker {
    struct hg_host *host;
    struct hg_conf *conf;
    uint32_t seat, slot;
    int listen_fd, ipc_fd;
};

struct hg_master_in {
    struct hg_conf_in conf_in; /* read again on HUP */
    int (*worker)(
        const struct hg_master_worker *w); /* runs in the child; its result is the exit code */
    int (*devbroker)(
        int ready_fd); /* --dev: the embedded broker, in a child of its own; may be NULL */
    /* What only the worker can tell of a configuration (keys); false with lines in report; may be
     * NULL. */
    bool (*check)(const struct hg_conf *conf, struct hg_buf *report);
};

/* Exit codes: 0 ended as asked, 1 could not start or go on, 2 bad configuration. */
int hg_master_run(const struct hg_master_in *in);

/* What the options alone cannot tell: addresses and topics make sense. Says what does not on
 * standard error; -HG_E_CONF_VALUE. */
int hg_master_check(const struct hg_conf *conf) HG_MUST_CHECK;
void hg_master_metrics_docs(
    struct hg_buf *out); /* rows of docs/METRICS.md for the master's own metrics */

#endif
