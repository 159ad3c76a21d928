/* Replies of a SQL worker: refused, or read to the last row, cursor and aggregate; the frames made
 * of them are JSON. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/json.h"
#include "proto/sqlrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_sqlrpc_reply r;
    size_t bytes;
    struct hg_buf out = {0};
    char *own = malloc(n + 1);
    memcpy(own + 1, data, n); /* as Kafka hands it out: at any address */
    int rc = hg_sqlrpc_reply_decode(hg_slice_of(own + 1, n), &r);
    HG_BUG_ON(rc != 0 && rc != -HG_E_FB_INVALID);
    if (rc == 0 && hg_sqlrpc_rows_check(&r, &bytes) == 0 && bytes < 1 << 20) {
        hg_sqlrpc_put_data(&out, &r);
        HG_BUG_ON(!hg_json_is_valid(hg_buf_slice(&out)));
        hg_buf_reset(&out);
        hg_buf_addc(&out, '{');
        hg_sqlrpc_put_cursor(&out, &r);
        hg_buf_addc(&out, '}');
        HG_BUG_ON(!hg_json_is_valid(hg_buf_slice(&out)));
    }
    hg_buf_fini(&out);
    hg_sqlrpc_reply_fini(&r);
    free(own);
    return 0;
}
