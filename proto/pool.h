/*
 * Many small pieces that live and go together (the tree of a query). Owns its chunks. Never gives a
 * single piece back.
 *
 *   struct hg_pool pool = {0};  p = hg_pool_get(&pool, n);  ...  hg_pool_fini(&pool);
 */
#ifndef HG_PROTO_POOL_H
#define HG_PROTO_POOL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hg_pool_chunk;
struct hg_pool {
    struct hg_pool_chunk *chunks; /* private to pool.c */
    size_t left;
};

void *hg_pool_get(struct hg_pool *pool, size_t n); /* zeroed, aligned for anything; never NULL */
void hg_pool_fini(struct hg_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
