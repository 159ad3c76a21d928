/*
 * "headgate ctl": talks to a running master through its control socket (HTTP over a Unix socket,
 * served by admin.c). Blocking, one request and its answer.
 *
 *   headgate ctl publish ... (ctl_publish.h), and
 *   headgate ctl status [--json] | reload | stop [now] | drain WORKER | log-level LEVEL     and the
 * options that name the socket
 */
#ifndef HG_MASTER_CONTROL_H
#define HG_MASTER_CONTROL_H

#include "common/sys/conf.h"
#include "common/sys/ipc.h"

enum { HG_CONTROL_BODY = HG_IPC_MAX - 256 }; /* of POST /publish: one message to a worker */

/* Publishes a body of proto/publish.h. */
int hg_ctl_publish(const struct hg_conf *conf, struct hg_slice body, bool json);
/* words: what follows "ctl", NULL-terminated; conf says which socket. Returns the exit code. */
int hg_ctl_main(const struct hg_conf *conf, char *const *words, bool json);
void hg_control_path(const struct hg_conf *conf, unsigned port, char *out, size_t n);

#endif
