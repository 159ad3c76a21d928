#include "proto/lsn_head.h"

#include <stdbool.h>
#include <stdint.h>
#include "common/base/err.h"

const char *const hg_lsn_head_names[] = {"lsn", "LSN", "__lsn", NULL};

static bool is_decimal(struct hg_slice s)
{
    if (s.n == 0 || s.n > 20)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

int hg_lsn_text_decode(struct hg_slice value, struct hg_lsn *out)
{
    uint64_t v = 0;
    if (!is_decimal(value))
        return -HG_E_LSN_HEADER;
    for (size_t i = 0; i < value.n; i++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(value.p[i] - '0'), &v))
            return -HG_E_LSN_HEADER;
    *out = hg_lsn(v);
    return 0;
}

/* Eight digits are text: as bytes they would be a position above 3.4 * 10^18, which no log reaches
 * (C-8). */
int hg_lsn_head_decode(struct hg_slice value, struct hg_lsn *out)
{
    if (is_decimal(value))
        return hg_lsn_text_decode(value, out);
    if (value.n != 8)
        return -HG_E_LSN_HEADER;
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)value.p[i];
    *out = hg_lsn(v);
    return 0;
}
