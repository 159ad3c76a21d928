/*
 * struct hg_lsn: a position in the change log of the database, wrapped so that it can't be mixed up
 * with a count or a Kafka offset. 0 means "none". Order is unsigned.
 */
#ifndef HG_COMMON_BASE_LSN_H
#define HG_COMMON_BASE_LSN_H

#include <stdbool.h>
#include <stdint.h>

struct hg_lsn {
    uint64_t v;
};

static inline struct hg_lsn hg_lsn(uint64_t v)
{
    return (struct hg_lsn){v};
}
static inline bool hg_lsn_lt(struct hg_lsn a, struct hg_lsn b)
{
    return a.v < b.v;
}
static inline bool hg_lsn_le(struct hg_lsn a, struct hg_lsn b)
{
    return a.v <= b.v;
}
static inline struct hg_lsn hg_lsn_max(struct hg_lsn a, struct hg_lsn b)
{
    return a.v >= b.v ? a : b;
}

/* Where a record stands in Kafka. part is the host-wide partition number of common/sys/parts.h. */
struct hg_pos {
    uint32_t part;
    int64_t offset;
};

#endif
