/*
 * Which Kafka records kill workers. Remembers the records inside which workers died; a record that
 * did it twice, whoever handled it, is to be skipped. Pure: no shared memory, no log.
 *
 *   if (hg_poison_died_in(&p, part, offset)) -> skip that record from now on
 */
#ifndef HG_MASTER_POISON_H
#define HG_MASTER_POISON_H

#include <stdbool.h>
#include <stdint.h>
#include "common/sys/host.h"

enum { HG_POISON_DEATHS = 2 };

struct hg_poison {
    struct {
        uint32_t part;
        int64_t offset;
        uint32_t deaths; /* 0: free row */
    } seen[HG_POISON_MAX];
    uint32_t next; /* row that is overwritten next: the oldest */
};

/* True once the record has killed HG_POISON_DEATHS workers; it is forgotten then. */
bool hg_poison_died_in(struct hg_poison *p, uint32_t part, int64_t offset);
/* Puts a record into the host's list of those to skip: into a free row, else into one whose record
 * lies behind, else round. */
void hg_poison_skip(struct hg_host *h, uint32_t part, int64_t offset);

#endif
