/*
 * What the master tells about the host: readiness with its reasons, and the status as JSON or as a
 * table. Reads shared memory and the master's tables; changes nothing, does no I/O.
 */
#ifndef HG_MASTER_STATUS_H
#define HG_MASTER_STATUS_H

#include <stdbool.h>
#include "common/base/buf.h"
#include "common/sys/conf.h"
#include "common/sys/host.h"
#include "master/shares.h"
#include "master/slots.h"

/* A child process beside the workers (--dev). */
struct hg_status_aux {
    const char *name;
    int pid; /* 0: not running */
    uint32_t restarts;
};

struct hg_status {
    struct hg_host *host;
    const struct hg_conf *conf;
    const struct hg_slot *slots; /* host->nslots */
    const uint32_t *slot_seat;   /* seat of each slot's worker, HG_NO_SEAT */
    const struct hg_shares *shares;
    const struct hg_status_aux *aux;
    uint32_t naux;
    struct hg_mono now, started;
    const char *host_id;
    const char *clients, *admin; /* addresses listened on; "" for none */
};

/* True when ready; else a line per reason in out. */
bool hg_status_ready(const struct hg_status *st, struct hg_buf *out);
void hg_status_ready_json(const struct hg_status *st, struct hg_buf *out);
void hg_status_json(const struct hg_status *st, struct hg_buf *out);
void hg_status_table(const struct hg_status *st, struct hg_buf *out);

#endif
