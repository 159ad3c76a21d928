#include "proto/pool.h"

#include <stdalign.h>
#include <stdlib.h>
#include "common/base/macros.h"

struct hg_pool_chunk {
    struct hg_pool_chunk *next;
    size_t size;
    alignas(max_align_t) char bytes[];
};

enum { CHUNK = 4000 }; /* a usual query fits in one */

void *hg_pool_get(struct hg_pool *pool, size_t n)
{
    n = (n + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (n > pool->left) {
        size_t size = HG_MAX(n, (size_t)CHUNK);
        struct hg_pool_chunk *c = hg_calloc(1, sizeof(*c) + size);
        c->next = pool->chunks;
        c->size = size;
        pool->chunks = c;
        pool->left = size;
    }
    void *p = pool->chunks ? pool->chunks->bytes + pool->chunks->size - pool->left : NULL;
    pool->left -= n;
    return p;
}

void hg_pool_fini(struct hg_pool *pool)
{
    while (pool->chunks) {
        struct hg_pool_chunk *c = pool->chunks;
        pool->chunks = c->next;
        free(c);
    }
    pool->left = 0;
}
