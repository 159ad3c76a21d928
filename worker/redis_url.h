/*
 * Where a Redis is: redis://[user][:password]@host[:port][/db], user and password percent-encoded
 * where they must be. Pure. Never prints a password: errors are a constant and the place in the
 * text.
 *
 *   rc = hg_redis_url_parse(text, &url, &why, &at);      0, or -HG_E_CONF_VALUE: why at byte at
 */
#ifndef HG_WORKER_REDIS_URL_H
#define HG_WORKER_REDIS_URL_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/macros.h"
#include "common/base/slice.h"

enum { HG_REDIS_PORT = 6379, HG_REDIS_DB_MAX = 65535 };

struct hg_redis_url {
    char host[256];     /* name or address, without brackets */
    char user[128];     /* "": none */
    char password[512]; /* "": none */
    uint16_t port;
    uint32_t db;
};

int hg_redis_url_parse(struct hg_slice text, struct hg_redis_url *out, const char **why,
                       size_t *at) HG_MUST_CHECK;

#endif
