/*
 * The name probably meant by a misspelt one. Pure; for messages only.
 *
 *   struct hg_nearest near = hg_nearest(given);
 *   for (each name there is) hg_nearest_try(&near, name);
 *   near.name        the first of the least distance; NULL: none is near enough to be meant
 */
#ifndef HG_COMMON_BASE_NEAREST_H
#define HG_COMMON_BASE_NEAREST_H

#include "common/base/slice.h"

/* Letters to add, drop, change or swap with their neighbour; 100 when one text is longer than
 * 63. */
unsigned hg_distance(struct hg_slice a, struct hg_slice b);

struct hg_nearest {
    struct hg_slice given;
    unsigned limit; /* what a name must stay below */
    const char *name;
};

struct hg_nearest hg_nearest(struct hg_slice given);
void hg_nearest_try(struct hg_nearest *near, const char *name);

#endif
