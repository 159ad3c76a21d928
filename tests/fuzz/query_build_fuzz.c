/* A query made of the input's bytes, whatever they are: what is built of it verifies, and reads
 * back as the same. */
#include "common/base/macros.h"
#include "tests/support/query_gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct query_gen g = {.p = data, .n = n, .plain = n > 0 && data[n - 1] & 1};
    struct hg_query *q = query_make(&g);
    HG_BUG_ON(query_survives(q, g.plain) != NULL);
    hg_query_free(q);
    return 0;
}
