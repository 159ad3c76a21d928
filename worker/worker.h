/*
 * One worker process: its loop and the parts that hang on it. The master knows a worker only as
 * this function. Everything with threads or epoll (loop, Kafka, Redis) is made in here, after fork.
 */
#ifndef HG_WORKER_WORKER_H
#define HG_WORKER_WORKER_H

#include <stdint.h>
#include "common/sys/conf.h"
#include "common/sys/host.h"

struct hg_worker_boot {
    struct hg_host *host;
    struct hg_conf *conf; /* this process's copy; LIVE options change in place on CONF_LIVE */
    uint32_t seat, slot;
    int listen_fd; /* of the slot; shared with the master, never closed here while others serve */
    int ipc_fd;    /* to the master */
    const char *conf_text; /* private to ipc: NULL */
};

/* Serves until the master says stop or its end of the socketpair is gone; returns the exit code. */
int hg_worker_main(const struct hg_worker_boot *boot);

/* May workers be started with this, or be told it? What only they can tell: keys. false: report
 * says why, in lines as hg_conf_load has them. */
bool hg_worker_check_conf(const struct hg_conf *conf, struct hg_buf *report) HG_MUST_CHECK;

#endif
