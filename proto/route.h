/*
 * Names: tenants, tables, rooms; routing keys on Kafka; keys of the hub's rooms. Pure.
 *
 *   routing key   <tenant>_<table>|<hashId>
 *   hub key       <kind> NUL <tenant> NUL <name>      neither kind nor tenant can hold a NUL
 */
#ifndef HG_PROTO_ROUTE_H
#define HG_PROTO_ROUTE_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/macros.h"

enum {
    HG_ROUTE_TENANT_MAX = 128,
    HG_ROUTE_TABLE_MAX = 128,
    HG_ROUTE_HASH_MAX = 512,
    HG_ROUTE_ROOM_MAX = 256
};

/* Each: 0 or the error, *why a constant ("empty", "too long", "'|' is not allowed", ...); why may
 * be NULL. */
int hg_route_check_tenant(struct hg_slice s, bool underscore,
                          const char **why) HG_MUST_CHECK; /* -HG_E_BAD_TENANT; B-13 */
int hg_route_check_table(struct hg_slice s, const char **why) HG_MUST_CHECK; /* -HG_E_BAD_NAME */
int hg_route_check_hash(struct hg_slice s, const char **why) HG_MUST_CHECK;  /* -HG_E_BAD_NAME */
int hg_route_check_room(struct hg_slice s,
                        const char **why) HG_MUST_CHECK; /* -HG_E_BAD_NAME; paths too */

/* A path as paths are compared: without its query. */
struct hg_slice hg_route_path(struct hg_slice path);

void hg_route_put_key(struct hg_buf *out, struct hg_slice tenant, struct hg_slice table,
                      struct hg_slice hash_id);
/* What follows the first '|' of a routing key, or none. */
struct hg_slice hg_route_hash_of(struct hg_slice key);

/* Kinds of hub rooms. STREAM names are routing keys, BARE names hashIds of topics without tenant;
 * both take no tenant. */
enum hg_route_kind {
    HG_ROUTE_ALL = 'a',
    HG_ROUTE_PATH = 'p',
    HG_ROUTE_ROOM = 'r',
    HG_ROUTE_CHANNEL = 'c',
    HG_ROUTE_PRESENCE = 'u',
    HG_ROUTE_STREAM = 's',
    HG_ROUTE_BARE = 'b',
    HG_ROUTE_WORKERS = 'w' /* no room: what every worker wants to see; no tenant, no name */
};
void hg_route_put_hub(struct hg_buf *out, enum hg_route_kind kind, struct hg_slice tenant,
                      struct hg_slice name);
/* The same key's fixed hash (equal on all hosts), without building the key on the heap. */
uint64_t hg_route_hub_hash(enum hg_route_kind kind, struct hg_slice tenant, struct hg_slice name);

#endif
