/* Open addressing; a removal moves what follows back into its gap, so that there are no
 * tombstones. */
#include "worker/ids.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/macros.h"

enum { FIRST_CAP = 64 };

static uint32_t home_of(const struct hg_ids *ids, const unsigned char id[16])
{
    uint32_t hash;

    memcpy(&hash, id, sizeof hash);
    return hash & (ids->cap - 1);
}

static struct hg_conn *at(const struct hg_ids *ids, uint32_t place)
{
    return hg_conn_at(ids->conns, ids->table[place] - 1);
}

/* Where that id is, or the empty place where it would be. */
static uint32_t place_of(const struct hg_ids *ids, const unsigned char id[16])
{
    uint32_t i = home_of(ids, id);

    while (ids->table[i] && memcmp(at(ids, i)->s.id, id, 16) != 0)
        i = (i + 1) & (ids->cap - 1);
    return i;
}

static void grow(struct hg_ids *ids)
{
    uint32_t *old = ids->table, n = ids->cap;

    ids->cap = n ? n * 2 : FIRST_CAP;
    ids->table = hg_calloc(ids->cap, sizeof *ids->table);
    for (uint32_t i = 0; i < n; i++)
        if (old[i])
            ids->table[place_of(ids, hg_conn_at(ids->conns, old[i] - 1)->s.id)] = old[i];
    free(old);
}

void hg_ids_add(struct hg_ids *ids, const struct hg_conn *c)
{
    uint32_t i;

    if (ids->n + 1 > ids->cap / 4 * 3)
        grow(ids);
    i = place_of(ids, c->s.id);
    ids->n += !ids->table[i];
    ids->table[i] = c->index + 1;
}

void hg_ids_drop(struct hg_ids *ids, const struct hg_conn *c)
{
    uint32_t gap, mask = ids->cap - 1;

    if (ids->n == 0)
        return;
    gap = place_of(ids, c->s.id);
    if (ids->table[gap] != c->index + 1)
        return;
    for (uint32_t i = (gap + 1) & mask; ids->table[i]; i = (i + 1) & mask) {
        uint32_t home = home_of(ids, at(ids, i)->s.id);

        if (((i - home) & mask) < ((i - gap) & mask)) /* it would come to stand before its home */
            continue;
        ids->table[gap] = ids->table[i];
        gap = i;
    }
    ids->table[gap] = 0;
    ids->n--;
}

struct hg_conn *hg_ids_find(const struct hg_ids *ids, const unsigned char id[16])
{
    uint32_t i = ids->n ? place_of(ids, id) : 0;

    return ids->n && ids->table[i] ? at(ids, i) : NULL;
}

void hg_ids_fini(struct hg_ids *ids)
{
    free(ids->table), ids->table = NULL;
    ids->cap = ids->n = 0;
}
