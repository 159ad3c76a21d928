/*
 * Memory that goes all at once: what one request needs. Zeroed blocks from a chain; a zeroed struct
 * is empty. hg_arena_fini frees everything that was handed out. Aborts when memory is gone.
 */
#ifndef HG_TOOLS_ARENA_H
#define HG_TOOLS_ARENA_H

#include <stddef.h>

struct hg_arena {
    void *blocks; /* private to arena.c */
};

void *hg_arena_alloc(struct hg_arena *a, size_t n);
void hg_arena_adopt(struct hg_arena *a,
                    struct hg_arena *from); /* takes all of from's blocks; from is empty then */
void hg_arena_fini(struct hg_arena *a);

#endif
