/* Client messages: an op with its required fields, or an error with a reason; never a crash, never
 * half an op. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/op.h"

static void check_op(const struct hg_op *op)
{
    HG_BUG_ON(op->kind <= HG_OP_NONE || op->kind >= HG_OP_COUNT || op->detail[0]);
    if (op->kind == HG_OP_subscribe) {
        HG_BUG_ON(op->subscribe.table.n == 0 || op->subscribe.hash_id.n == 0);
        HG_BUG_ON(!op->subscribe.query_fb.p && !op->subscribe.query_json.p);
    }
    if (op->kind == HG_OP_publish) {
        HG_BUG_ON(!op->publish.text.p == !op->publish.b64.p);
        for (size_t i = 0; i < op->publish.exclude.n && i < 64; i++)
            HG_BUG_ON(hg_op_id(&op->publish.exclude, i).n == 0);
    }
    if (op->kind == HG_OP_rpc && op->rpc.payload.p)
        HG_BUG_ON(!hg_json_is_valid(op->rpc.payload));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_op op;
    struct hg_buf out = {0};
    char *own = malloc(n ? n : 1);
    memcpy(own, data, n);
    int rc = hg_op_decode(hg_slice_of(own, n), &op);
    HG_BUG_ON(rc != 0 && rc != -HG_E_BAD_OP && rc != -HG_E_BAD_JSON);
    HG_BUG_ON(rc == -HG_E_BAD_OP && !op.detail[0]);
    if (rc == 0)
        check_op(&op);
    else
        hg_op_put_error(&out, rc, op.hash_id,
                        op.detail[0] ? hg_slice_str(op.detail) : HG_SLICE_NONE);
    HG_BUG_ON(rc != 0 && !hg_json_is_valid(hg_buf_slice(&out)));
    hg_buf_fini(&out);
    hg_op_fini(&op);
    free(own);
    return 0;
}
