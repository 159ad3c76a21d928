/* Entries of the hot cache, which anybody may have written: what is read is written again and read
 * the same; positions likewise. */
#include <stdint.h>
#include "common/base/macros.h"
#include "proto/cachediff.h"

static void entry(struct hg_slice text)
{
    struct hg_buf bytes = {0}, again = {0}, back = {0};
    struct hg_cachelist list = {0};
    uint64_t lsn, lsn2;

    if (hg_cachediff_read(text, &lsn, &bytes)) {
        hg_cachediff_put(&again, lsn, hg_buf_slice(&bytes));
        HG_BUG_ON(!hg_cachediff_read(hg_buf_slice(&again), &lsn2, &back));
        HG_BUG_ON(lsn != lsn2 || !hg_slice_eq(hg_buf_slice(&bytes), hg_buf_slice(&back)));
        HG_BUG_ON(!hg_cachelist_add(&list, lsn, hg_buf_slice(&bytes)));
        HG_BUG_ON(!hg_cachelist_add(&list, lsn, hg_buf_slice(&bytes)) || list.count != 1);
    } else {
        HG_BUG_ON(bytes.n > 0);
    }
    hg_cachelist_fini(&list);
    hg_buf_fini(&bytes);
    hg_buf_fini(&again);
    hg_buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_cachepos p, q;
    char text[HG_CACHEPOS_TEXT];

    entry(hg_slice_of(data, n));
    if (hg_cachepos_read(hg_slice_of(data, n), &p)) {
        HG_BUG_ON(!hg_cachepos_read(hg_slice_of(text, hg_cachepos_put(text, &p)), &q));
        HG_BUG_ON(p.next != q.next || p.since != q.since || p.token != q.token);
    }
    return 0;
}
