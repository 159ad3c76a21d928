/* A place belongs to a tenant while its count is not 0. It is taken by its hash first, then by one
 * word of the count and of how often the place was taken. The hash read between two reads of that
 * word belongs to the count if the place is held in both and was not taken in between; a second
 * look at the hash alone would not see a place that went away and came back. */
#include "common/sys/census.h"

static struct hg_census_place *set_of(const struct hg_host *h, uint32_t seat, uint64_t hash)
{
    const struct hg_census_place *all = h->seats[seat].census;

    return (struct hg_census_place
                *)(uintptr_t)&all[hash % (HG_CENSUS / HG_CENSUS_WAYS) * HG_CENSUS_WAYS];
}

static uint32_t count_of(uint64_t held)
{
    return (uint32_t)held;
}

static uint64_t with_count(uint64_t held, uint32_t n)
{
    return (held & ~(uint64_t)UINT32_MAX) | n;
}

static void take(struct hg_census_place *p, uint64_t hash, uint32_t n)
{
    uint64_t taken = (atomic_load(&p->held) >> 32) + 1;

    atomic_store(&p->hash, hash);
    atomic_store(&p->held, taken << 32 | n);
}

bool hg_census_set(struct hg_host *h, uint32_t seat, uint64_t hash, uint32_t n)
{
    struct hg_census_place *set = set_of(h, seat, hash), *empty = NULL;

    for (unsigned i = 0; i < HG_CENSUS_WAYS; i++) {
        uint64_t held = atomic_load(&set[i].held);

        if (count_of(held) > 0 && atomic_load(&set[i].hash) == hash) {
            atomic_store(&set[i].held, with_count(held, n));
            return true;
        }
        if (count_of(held) == 0 && !empty)
            empty = &set[i];
    }
    if (n == 0)
        return true;
    if (!empty)
        return false;
    take(empty, hash, n);
    return true;
}

static uint32_t count_in(const struct hg_census_place *set, uint64_t hash)
{
    for (unsigned i = 0; i < HG_CENSUS_WAYS; i++) {
        uint64_t before = atomic_load(&set[i].held), here = atomic_load(&set[i].hash), after;

        if (count_of(before) == 0 || here != hash)
            continue;
        after = atomic_load(&set[i].held);
        if (count_of(after) > 0 && after >> 32 == before >> 32)
            return count_of(after);
    }
    return 0;
}

uint64_t hg_census_count_others(const struct hg_host *h, uint32_t seat, uint64_t hash)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < h->nseats; i++)
        if (i != seat)
            n += count_in(set_of(h, i, hash), hash);
    return n;
}

uint64_t hg_census_count(const struct hg_host *h, uint64_t hash)
{
    return hg_census_count_others(h, UINT32_MAX, hash);
}

void hg_census_clear(struct hg_host *h, uint32_t seat)
{
    for (unsigned i = 0; i < HG_CENSUS; i++) {
        uint64_t held = atomic_load(&h->seats[seat].census[i].held);

        if (count_of(held) > 0)
            atomic_store(&h->seats[seat].census[i].held, with_count(held, 0));
    }
}
