/*
 * A hash map from byte strings to intrusive nodes. The map owns its bucket array only; nodes and
 * keys belong to the caller and must outlive their stay. Keys are hashed with SipHash under a
 * per-process random key (peers choose keys). Never logs; aborts when the bucket array can't grow.
 *
 *   struct room { struct hg_map_node node; ... char key[]; };
 *   r->node.key = hg_slice_of(r->key, n); hg_map_put(&m, &r->node);
 *   struct hg_map_node *x = hg_map_get(&m, key);  r = HG_CONTAINER_OF(x, struct room, node);
 *
 * 1. put of a key that is there already is a bug (HG_BUG_ON); look first.
 * 2. During iteration only the current node may be removed.
 */
#ifndef HG_COMMON_BASE_MAP_H
#define HG_COMMON_BASE_MAP_H

#include <stdint.h>
#include "common/base/slice.h"

struct hg_map_node {
    struct hg_map_node *next; /* private to map.c */
    uint64_t hash;            /* set by put */
    struct hg_slice key;      /* set by the caller before put */
};

struct hg_map {
    struct hg_map_node **buckets; /* private to map.c; zeroed struct is an empty map */
    size_t nbuckets;
    size_t count;
};

void hg_map_fini(struct hg_map *m); /* frees the bucket array, not the nodes */
struct hg_map_node *hg_map_get(const struct hg_map *m, struct hg_slice key);
void hg_map_put(struct hg_map *m, struct hg_map_node *node);
void hg_map_del(struct hg_map *m, struct hg_map_node *node);
/* it starts as {0}; returns NULL at the end. */
struct hg_map_iter {
    size_t bucket;
    struct hg_map_node *next;
};
struct hg_map_node *hg_map_next(const struct hg_map *m, struct hg_map_iter *it);

/* The hash the map uses. hg_hash_fixed has a fixed key: equal in all processes of all hosts
 * (interest tables). */
uint64_t hg_hash(struct hg_slice s);
uint64_t hg_hash_fixed(struct hg_slice s);
void hg_hash_seed(const unsigned char key[16]); /* once at start, before any map is used */

#endif
