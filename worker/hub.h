/*
 * Rooms: named sets of connections, and the fan-out to them. Paths, client rooms and "all" are
 * rooms with a kind of their own; so tenants cannot meet in one. Owns the rooms; a room lives while
 * it has members. Knows no envelope and no bus.
 *
 *   hub.catch_up delivers what was sent before now: it is called when interest in the room stands
 *   and before somebody becomes its member, so that nobody hears what is older than his joining
 *   room = hg_hub_join(&hub, c, HG_ROUTE_ROOM, tenant, name, max);
 *   n = hg_hub_send(&hub, room, HG_WS_OP_TEXT, body, ids, nids);    framed once for all members
 *   hg_hub_leave(&hub, c, room);  hg_hub_leave_all(&hub, c);
 */
#ifndef HG_WORKER_HUB_H
#define HG_WORKER_HUB_H

#include <stdint.h>
#include "common/base/map.h"
#include "common/base/mono.h"
#include "proto/route.h"
#include "worker/conn.h"
#include "worker/interest.h"

struct hg_room {
    struct hg_map_node node;
    struct hg_arena arena;
    struct hg_conn **members;
    uint32_t n, cap;
    uint64_t hash; /* hg_hash_fixed of the key */
    char key[];    /* as proto/route.h builds it */
};

struct hg_hub {
    struct hg_conns *conns;
    struct hg_interests *interests;
    struct hg_map rooms;
    void (*catch_up)(void *ctx); /* NULL: nobody else sends here. May close connections. */
    void *ctx;
};

void hg_hub_fini(struct hg_hub *hub);
/* NULL when the session is in max rooms already, or ended while it was caught up with. Joining
 * twice is joining once. */
struct hg_room *hg_hub_join(struct hg_hub *hub, struct hg_conn *c, enum hg_route_kind kind,
                            struct hg_slice tenant, struct hg_slice name, unsigned max);
bool hg_hub_leave(struct hg_hub *hub, struct hg_conn *c,
                  struct hg_room *room); /* false: was not in it */
void hg_hub_leave_all(struct hg_hub *hub, struct hg_conn *c);
struct hg_room *hg_hub_find(struct hg_hub *hub, enum hg_route_kind kind, struct hg_slice tenant,
                            struct hg_slice name);
struct hg_room *hg_hub_find_key(struct hg_hub *hub, struct hg_slice key);
/* To every member whose id is not among exclude (nexclude ids of 16 bytes). Returns how many got
 * it. */
unsigned hg_hub_send(struct hg_hub *hub, struct hg_room *room, unsigned opcode,
                     struct hg_slice body, const unsigned char (*exclude)[16], unsigned nexclude);
/* To every member of whom may() says so. */
unsigned hg_hub_send_if(struct hg_hub *hub, struct hg_room *room, unsigned opcode,
                        struct hg_slice body, bool (*may)(const struct hg_conn *));

/* To that one. Returns 1. */
unsigned hg_hub_send_one(struct hg_hub *hub, struct hg_conn *c, unsigned opcode,
                         struct hg_slice body);

#endif
