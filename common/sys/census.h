/*
 * How many clients of a tenant this host has: a table per seat in shared memory, written by its
 * worker alone, read by all, so that every worker knows the exact number of its host at once.
 * Tenants are told apart by hg_hash_fixed of their name.
 *
 *   hg_census_set(h, seat, hash, n);              own seat: so many now. false: no place for more
 *   n = hg_census_count(h, hash);                 of all seats
 *   n = hg_census_count_others(h, seat, hash);    of all but the own one, which knows its own
 *   hg_census_clear(h, seat);                     by the master once the worker is reaped
 *
 * A seat has HG_CENSUS places in sets of HG_CENSUS_WAYS; a tenant that finds its set full is not
 * counted on that worker. Never allocates or waits.
 */
#ifndef HG_COMMON_SYS_CENSUS_H
#define HG_COMMON_SYS_CENSUS_H

#include "common/sys/host.h"

bool hg_census_set(struct hg_host *h, uint32_t seat, uint64_t hash, uint32_t n);
uint64_t hg_census_count(const struct hg_host *h, uint64_t hash);
uint64_t hg_census_count_others(const struct hg_host *h, uint32_t seat, uint64_t hash);
void hg_census_clear(struct hg_host *h, uint32_t seat);

#endif
