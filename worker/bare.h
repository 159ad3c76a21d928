/*
 * Streams by bare hashId, for topics whose record key is the hashId alone (profiles v1 and v2): the
 * second index beside the routing key (spec C-7). One hashId may name streams of several tables.
 * Owns nothing: an entry lies in its stream's care.
 *
 *   hg_bare_add(&map, &b)                     b.node.key and b.st are set; both outlive the stay
 *   for (b = hg_bare_first(&map, hash_id); b; b = b->next) ... b->st
 *   hg_bare_del(&map, &b)
 */
#ifndef HG_WORKER_BARE_H
#define HG_WORKER_BARE_H

#include "common/base/map.h"

struct hg_stream;

struct hg_bare {
    struct hg_map_node node; /* in the map, if it is the first of its hashId */
    struct hg_bare *next;    /* of the same hashId */
    struct hg_stream *st;
    uint64_t hash; /* of its room: what siblings are asked for */
};

void hg_bare_add(struct hg_map *m, struct hg_bare *b);
void hg_bare_del(struct hg_map *m, struct hg_bare *b);
/* Exactly this hashId, never a part of it (B-12). */
struct hg_bare *hg_bare_first(const struct hg_map *m, struct hg_slice hash_id);

#endif
