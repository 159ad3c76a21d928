/* LSN headers: the rule of lsn_head.h, said a second way. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/lsn_head.h"

static bool digits_only(const uint8_t *data, size_t n)
{
    size_t digits = 0;
    while (digits < n && data[digits] >= '0' && data[digits] <= '9')
        digits++;
    return n > 0 && digits == n;
}

/* The same number, written with as many digits? */
static bool says(const uint8_t *data, size_t n, uint64_t v)
{
    char text[32];
    snprintf(text, sizeof(text), "%0*" PRIu64, (int)n, v);
    return strlen(text) == n && memcmp(text, data, n) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_lsn lsn = {0};
    struct hg_slice s = hg_slice_of(data, n);
    bool decimal = n <= 20 && digits_only(data, n);
    int rc = hg_lsn_head_decode(s, &lsn);
    HG_BUG_ON(rc != 0 && rc != -HG_E_LSN_HEADER);
    HG_BUG_ON(decimal && rc == 0 && !says(data, n, lsn.v));
    HG_BUG_ON(decimal && n < 20 && rc != 0);
    HG_BUG_ON(!decimal && (rc == 0) != (n == 8));
    for (unsigned i = 0; !decimal && rc == 0 && i < 8; i++)
        HG_BUG_ON((uint8_t)(lsn.v >> (56 - 8 * i)) != data[i]);
    HG_BUG_ON((hg_lsn_text_decode(s, &lsn) == 0) != (decimal && rc == 0));
    return 0;
}
