/*
 * Who is at the other end of a WebSocket: identity, permissions, dialect, and what it takes part
 * in. Lives inside its connection. Strings are atoms, shared by all sessions of the worker.
 */
#ifndef HG_WORKER_SESSION_H
#define HG_WORKER_SESSION_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/slice.h"
#include "common/sys/perm.h"

struct hg_room;
struct hg_sub;

struct hg_sub_list { /* subscriptions of a session; kept by stream.c */
    struct hg_sub *first;
    uint32_t n;
};

struct hg_member { /* one room of a session */
    struct hg_room *room;
    uint32_t at; /* place in the room's member list */
};

LIST_HEAD(hg_client_calls, hg_client_call);

struct hg_session {
    unsigned char id[16]; /* UUID v4: the connectionId */
    const struct hg_atom *tenant, *user, *path;
    struct hg_sub_list subs;
    struct hg_member *rooms;
    struct hg_client_calls calls; /* in flight; kept by calls.c */
    uint16_t nrooms, rooms_cap;
    uint16_t ncalls; /* in calls */
    uint32_t nasked; /* snapshot calls under way that were made for it */
    uint8_t perms;   /* enum hg_perm */
    uint8_t dialect; /* enum hg_dialect_id */
    bool presence;   /* its coming and going is told to others who want that, and theirs to it */
    int64_t rate;    /* of typed broadcasts, see rate.h */
};

void hg_session_id_new(unsigned char id[16]); /* random, version 4 */
/* Text form of the id, NUL-terminated. */
void hg_session_id_text(const unsigned char id[16], char out[37]);
/* Reads it back; false if it is no UUID. */
bool hg_session_id_parse(struct hg_slice text, unsigned char id[16]);

/* Interned strings: equal text, equal pointer. */
struct hg_atom;
const struct hg_atom *hg_atom_get(struct hg_slice text); /* counts one reference */
void hg_atom_put(const struct hg_atom *a);               /* NULL is fine */
struct hg_slice hg_atom_text(const struct hg_atom *a);   /* {NULL,0} for NULL */

#endif
