/* A client's query as JSON, both modes: refused with a path, or built into bytes that verify and
 * hold the same query. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/query.h"
#include "tests/support/query_gen.h"

static void check(const struct hg_query *q, bool strict)
{
    const struct hg_sqlrpc_call call = {0};
    char why[HG_QUERY_WHY_MAX];
    struct hg_query *back;
    struct hg_buf one = {0}, two = {0}, request = {0};
    hg_query_put_control(&one, q);
    hg_query_put_get_data(&request, &call, q, 500);
    HG_BUG_ON(!fb_verify_query(one.p, one.n) || !fb_verify_request(request.p, request.n));
    if (one.n <= HG_QUERY_MAX_FB) { /* shared parts are written apart: the copy may be larger */
        HG_BUG_ON(hg_query_from_fb(hg_buf_slice(&one), strict, &back, why) != 0);
        hg_query_put_control(&two, back);
        HG_BUG_ON(!hg_slice_eq(hg_buf_slice(&one), hg_buf_slice(&two)));
        hg_query_free(back);
    }
    hg_buf_fini(&one);
    hg_buf_fini(&two);
    hg_buf_fini(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int rc[2];
    for (int strict = 0; strict < 2; strict++) {
        char why[HG_QUERY_WHY_MAX];
        struct hg_query *q;
        char *own = malloc(n ? n : 1);
        memcpy(own, data, n);
        rc[strict] = hg_query_from_json(hg_slice_of(own, n), strict, &q, why);
        free(own); /* a query owns everything in it */
        HG_BUG_ON(rc[strict] != 0 && (rc[strict] != -HG_E_BAD_QUERY || q || why[0] != '$'));
        if (q)
            check(q, strict);
        hg_query_free(q);
    }
    HG_BUG_ON(rc[1] == 0 && rc[0] != 0); /* strict takes nothing that lenient refuses */
    return 0;
}
