/*
 * Connection ids to connections of this worker, for messages to one of them (sendTo). Owns a table
 * of four bytes a place, at most three quarters full; the ids themselves stand in the sessions.
 *
 *   hg_ids_add(&ids, c);  c = hg_ids_find(&ids, id);  hg_ids_drop(&ids, c);
 *
 * Ids are random (session.h), so their first bytes are the hash.
 */
#ifndef HG_WORKER_IDS_H
#define HG_WORKER_IDS_H

#include <stdint.h>
#include "worker/conn.h"

struct hg_ids {
    struct hg_conns *conns;
    /* private to ids.c */
    uint32_t *table; /* connection index + 1; 0: empty */
    uint32_t cap, n;
};

void hg_ids_add(struct hg_ids *ids, const struct hg_conn *c);
void hg_ids_drop(struct hg_ids *ids, const struct hg_conn *c); /* nothing if it is not there */
struct hg_conn *hg_ids_find(const struct hg_ids *ids, const unsigned char id[16]);
void hg_ids_fini(struct hg_ids *ids);

#endif
