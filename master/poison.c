#include "master/poison.h"

bool hg_poison_died_in(struct hg_poison *p, uint32_t part, int64_t offset)
{
    for (uint32_t i = 0; i < HG_POISON_MAX; i++) {
        if (p->seen[i].deaths == 0 || p->seen[i].part != part || p->seen[i].offset != offset)
            continue;
        if (++p->seen[i].deaths < HG_POISON_DEATHS)
            return false;
        p->seen[i].deaths = 0;
        return true;
    }
    p->seen[p->next].part = part;
    p->seen[p->next].offset = offset;
    p->seen[p->next].deaths = 1;
    p->next = (p->next + 1) % HG_POISON_MAX;
    return false;
}

/* Can this row of the list be used anew? */
static bool row_is_spent(struct hg_host *h, uint32_t row)
{
    uint32_t part = atomic_load(&h->poison_skip[row].part);
    return part == 0 ||
           atomic_load(&h->parts[part - 1].next) > atomic_load(&h->poison_skip[row].offset);
}

static uint32_t pick_row(struct hg_host *h, int64_t offset)
{
    for (uint32_t i = 0; i < HG_POISON_MAX; i++)
        if (row_is_spent(h, i))
            return i;
    return (uint32_t)(offset %
                      HG_POISON_MAX); /* all in use: one of them, and its record may kill again */
}

void hg_poison_skip(struct hg_host *h, uint32_t part, int64_t offset)
{
    uint32_t row = pick_row(h, offset);
    /* Readers look at part first: no moment shows one record's part with another's offset. */
    atomic_store(&h->poison_skip[row].part, 0);
    atomic_store(&h->poison_skip[row].offset, offset);
    atomic_store(&h->poison_skip[row].part, part + 1);
}
