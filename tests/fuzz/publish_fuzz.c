/* What back ends publish: everything right, or a place and a reason. Every message of a right body
 * makes an envelope that others can read. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/publish.h"

static void check(const struct hg_publish *p)
{
    struct hg_publish_scratch sc = {0};
    struct hg_buf text = {0};
    struct hg_envelope e, back;

    hg_publish_put(p, 1, &sc, &e);
    hg_envelope_put(&text, &e);
    HG_BUG_ON(hg_envelope_decode(hg_buf_slice(&text), &back) != 0);
    HG_BUG_ON(back.kind != p->kind || back.binary != e.binary);
    HG_BUG_ON(!hg_slice_eq(back.payload, e.payload) || !hg_slice_eq(back.tenant, e.tenant));
    HG_BUG_ON(!hg_slice_eq(p->kind == HG_ENVELOPE_PATH ? back.path : back.room, p->target));
    HG_BUG_ON(back.nexcludes > e.nexcludes || (e.nexcludes > 0 && back.nexcludes == 0));
    hg_envelope_fini(&back);
    hg_buf_fini(&sc.body);
    hg_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_publish_list l;
    int rc = hg_publish_read(hg_slice_of(data, n), n % 2, &l);

    HG_BUG_ON(rc != 0 && (rc != -HG_E_BAD_OP || !l.detail[0]));
    HG_BUG_ON(l.n > HG_PUBLISH_BATCH || (rc == 0 && l.detail[0]));
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        check(&l.items[i]);
    hg_publish_list_fini(&l);
    return 0;
}
