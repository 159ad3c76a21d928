/* A place belongs to a tenant while its count is not 0. A place is taken in the order count 0,
 * hash, count, and read in the order hash, count, hash: nobody reads one tenant's count as
 * another's. */
#include "common/sys/census.h"

static struct hg_census_place *set_of(const struct hg_host *h, uint32_t seat, uint64_t hash)
{
    const struct hg_census_place *all = h->seats[seat].census;

    return (struct hg_census_place
                *)(uintptr_t)&all[hash % (HG_CENSUS / HG_CENSUS_WAYS) * HG_CENSUS_WAYS];
}

bool hg_census_set(struct hg_host *h, uint32_t seat, uint64_t hash, uint32_t n)
{
    struct hg_census_place *set = set_of(h, seat, hash), *empty = NULL;

    for (unsigned i = 0; i < HG_CENSUS_WAYS; i++) {
        uint32_t here = atomic_load(&set[i].n);

        if (here > 0 && atomic_load(&set[i].hash) == hash) {
            atomic_store(&set[i].n, n);
            return true;
        }
        if (here == 0 && !empty)
            empty = &set[i];
    }
    if (n == 0)
        return true;
    if (!empty)
        return false;
    atomic_store(&empty->hash, hash);
    atomic_store(&empty->n, n);
    return true;
}

static uint32_t count_in(const struct hg_census_place *set, uint64_t hash)
{
    for (unsigned i = 0; i < HG_CENSUS_WAYS; i++) {
        uint32_t n;

        if (atomic_load(&set[i].hash) != hash)
            continue;
        n = atomic_load(&set[i].n);
        if (n > 0 && atomic_load(&set[i].hash) == hash)
            return n;
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
    for (unsigned i = 0; i < HG_CENSUS; i++)
        if (atomic_load(&h->seats[seat].census[i].n) > 0)
            atomic_store(&h->seats[seat].census[i].n, 0);
}
