/*
 * What stands in the hot cache (spec 10), as text: the entries of a key's list, its snapshot, and
 * the word beside each partition that says how far it is written. Pure.
 *
 *   hg_cachediff_put(&buf, lsn, value);            {"lsn":"90","b64":"..."}, as existing readers
 *                                                  expect it, byte for byte
 *   hg_cachediff_read(text, &lsn, &bytes)          false: not an entry; others' spacing and further
 *                                                  members are fine
 *   hg_cachelist_add(&list, lsn, value)            in the order of the Redis list; false: in doubt
 *   hg_cachelist_fini(&list);
 *
 * A list may hold repeats (a producer that sent again, a second writer of another make). At one LSN
 * only the entry just before can be the same one again, for x=1, x=2, x=1 of one transaction must
 * end at 1; below the last LSN an entry that is there already with equal bytes is a repeat, and any
 * other one is a doubt about the order.
 */
#ifndef HG_PROTO_CACHEDIFF_H
#define HG_PROTO_CACHEDIFF_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"

void hg_cachediff_put(struct hg_buf *out, uint64_t lsn, struct hg_slice value);
bool hg_cachediff_read(struct hg_slice text, uint64_t *lsn, struct hg_buf *bytes); /* appends */

/* A snapshot, {"rows":[...],"cursor":{...,"lsn":"90"},"ts":...}: begin, the rows, comma-separated,
 * then the end. cursor: further fields as JSON members, or none; ts: wall clock in ms. */
void hg_cachesnap_begin(struct hg_buf *out);
void hg_cachesnap_end(struct hg_buf *out, struct hg_slice cursor, uint64_t lsn, int64_t ts);

struct hg_cachelist {
    struct hg_cachelist_entry {
        uint64_t lsn;
        size_t at, n; /* in bytes */
    } * entries;
    size_t count, cap;
    struct hg_buf bytes;
};
bool hg_cachelist_add(struct hg_cachelist *l, uint64_t lsn, struct hg_slice value);
static inline struct hg_slice hg_cachelist_value(const struct hg_cachelist *l, size_t i)
{
    return hg_slice_of(l->bytes.p ? l->bytes.p + l->entries[i].at : "", l->entries[i].n);
}
void hg_cachelist_fini(struct hg_cachelist *l); /* zeroed again */

/* How far a partition is written: every record below offset next with an LSN above since is in its
 * list. */
struct hg_cachepos {
    uint64_t next, since;
    uint64_t token; /* of the lease it was written under; only grows */
};
#define HG_CACHEPOS_NOTHING UINT64_MAX /* since: nothing is known to be whole */
enum { HG_CACHEPOS_TEXT = 64 };
unsigned hg_cachepos_put(char out[HG_CACHEPOS_TEXT], const struct hg_cachepos *p); /* length */
bool hg_cachepos_read(struct hg_slice text, struct hg_cachepos *out);

#endif
