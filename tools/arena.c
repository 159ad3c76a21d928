#include "tools/arena.h"

#include <stdlib.h>
#include "common/base/macros.h"

struct block {
    struct block *next;
    max_align_t mem[];
};

void *hg_arena_alloc(struct hg_arena *a, size_t n)
{
    struct block *b = hg_calloc(1, sizeof(*b) + n);
    b->next = a->blocks;
    a->blocks = b;
    return b->mem;
}

void hg_arena_adopt(struct hg_arena *a, struct hg_arena *from)
{
    struct block **end = (struct block **)&a->blocks;
    while (*end)
        end = &(*end)->next;
    *end = from->blocks;
    from->blocks = NULL;
}

void hg_arena_fini(struct hg_arena *a)
{
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    a->blocks = NULL;
}
