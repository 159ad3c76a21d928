/*
 * How many connections the siblings reached: the word between a worker that published and those
 * that deliver for it. An ask is one atomic word of the asking seat, so that any process may die at
 * any instruction and an answer that comes too late falls on nobody: it names the turn of the word
 * it belongs to.
 *
 *   ask = hg_tally_open(h, seat, slot);    by the asker, who knows which of its slots are free
 *   hg_tally_add(h, seat, ask, n);         by a sibling, once per record that carried the ask
 *   t = hg_tally_read(h, seat, ask);       how many answered, whom they reached
 *
 * Never waits, wakes or allocates.
 */
#ifndef HG_COMMON_SYS_TALLY_H
#define HG_COMMON_SYS_TALLY_H

#include "common/sys/host.h"

struct hg_tally {
    uint32_t answers, reached;
};

/* Starts a slot (below HG_TALLIES) of the own seat anew; never 0, which stands for "not asked". */
uint64_t hg_tally_open(struct hg_host *h, uint32_t seat, uint32_t slot);
void hg_tally_add(struct hg_host *h, uint32_t seat, uint64_t ask, uint32_t reached);
struct hg_tally hg_tally_read(const struct hg_host *h, uint32_t seat, uint64_t ask);
static inline uint32_t hg_tally_slot(uint64_t ask)
{
    return (uint32_t)(ask % HG_TALLIES);
}

#endif
