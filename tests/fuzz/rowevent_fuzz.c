/* Row events: refused, or every frame shape made of them is JSON. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/op.h"
#include "proto/rowevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_rowevent ev;
    struct hg_buf out = {0};
    char *own = malloc(n ? n : 1);
    memcpy(own, data, n);
    int rc = hg_rowevent_decode(hg_slice_of(own, n), &ev);
    HG_BUG_ON(rc != 0 && rc != -HG_E_ROW_EVENT);
    for (int shape = HG_OP_ROW_NESTED; rc == 0 && shape <= HG_OP_ROW_BOTH; shape++) {
        hg_buf_reset(&out);
        hg_op_put_row_event(&out, (enum hg_op_row_shape)shape, &ev, UINT64_MAX);
        HG_BUG_ON(!hg_json_is_valid(hg_buf_slice(&out)));
    }
    HG_BUG_ON(rc == 0 && (ev.routing_key.n == 0 || !ev.hash_id.p));
    hg_buf_fini(&out);
    hg_rowevent_fini(&ev);
    free(own);
    return 0;
}
