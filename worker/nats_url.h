/*
 * Where a NATS is: nats://[user:password@ | token@]host[:port][,host2[:port]...], user, password
 * and token percent-encoded where they must be; they are those of every host. Pure. Never prints a
 * password: errors are a constant and the place in the text.
 *
 *   rc = hg_nats_url_parse(text, &url, &why, &at);      0, or -HG_E_CONF_VALUE: why at byte at
 */
#ifndef HG_WORKER_NATS_URL_H
#define HG_WORKER_NATS_URL_H

#include <stddef.h>
#include "common/base/macros.h"
#include "common/base/slice.h"

enum { HG_NATS_PORT = 4222, HG_NATS_HOSTS_MAX = 16 };

struct hg_nats_url {
    char host[HG_NATS_HOSTS_MAX][280]; /* nats://host:port, without the user */
    unsigned hosts;
    char user[128];     /* "": none; without a password it is a token */
    char password[512]; /* "": none */
};

int hg_nats_url_parse(struct hg_slice text, struct hg_nats_url *out, const char **why,
                      size_t *at) HG_MUST_CHECK;

#endif
