/* What comes over the backplane: an envelope for somebody in particular, or an error. A good one
 * survives a round trip. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/envelope.h"

static void check(const struct hg_envelope *e)
{
    struct hg_buf out = {0};
    struct hg_envelope back;
    bool named = e->kind == HG_ENVELOPE_ROOM || e->kind == HG_ENVELOPE_CHANNEL ||
                 e->kind == HG_ENVELOPE_CONN || e->kind == HG_ENVELOPE_COUNT;
    HG_BUG_ON(named != (e->room.p != NULL) || (e->kind == HG_ENVELOPE_PATH) != (e->path.p != NULL));
    hg_envelope_put(&out, e);
    HG_BUG_ON(hg_envelope_decode(hg_buf_slice(&out), &back) != 0);
    HG_BUG_ON(back.kind != e->kind || back.binary != e->binary ||
              !hg_slice_eq(back.payload, e->payload));
    HG_BUG_ON(!hg_slice_eq(back.room, e->room) || !hg_slice_eq(back.tenant, e->tenant) ||
              !hg_slice_eq(back.src, e->src));
    for (size_t i = 0; i < e->nexcludes && i < 64; i++)
        HG_BUG_ON(!hg_envelope_is_excluded(&back, e->excludes[i]));
    hg_envelope_fini(&back);
    hg_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_envelope e;
    int rc = hg_envelope_decode(hg_slice_of(data, n), &e);
    HG_BUG_ON(rc != 0 && rc != -HG_E_ENVELOPE);
    if (rc == 0)
        check(&e);
    hg_envelope_fini(&e);
    return 0;
}
