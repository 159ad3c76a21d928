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

/* Base of a 0x, 0o or 0b number, else 10; takes the prefix or the plus off. As in BigInt a sign
 * goes with decimal only. */
static unsigned take_base(struct hg_slice *s)
{
    char c = s->n > 2 && s->p[0] == '0' ? s->p[1] | 0x20 : 0;
    unsigned base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
    size_t skip = base != 10 ? 2 : s->n > 1 && s->p[0] == '+' ? 1 : 0;

    s->p += skip;
    s->n -= skip;
    return base;
}

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

/* 0, or 1: no text of a number, or -HG_E_LSN_HEADER: one that is too large. */
static int read_bigint(struct hg_slice s, uint64_t *v)
{
    unsigned base;

    s = hg_slice_trim(s, HG_SPACES);
    base = take_base(&s);
    if (s.n == 0)
        return 1;
    for (size_t i = 0; i < s.n; i++)
        if (digit_of(s.p[i]) >= base)
            return 1;
    *v = 0;
    for (size_t i = 0; i < s.n; i++)
        if (__builtin_mul_overflow(*v, base, v) || __builtin_add_overflow(*v, digit_of(s.p[i]), v))
            return -HG_E_LSN_HEADER;
    return 0;
}

int hg_lsn_head_decode(struct hg_slice value, struct hg_lsn *out)
{
    uint64_t v = 0;
    int rc = read_bigint(value, &v);

    if (rc == 1 && value.n == 8) {
        for (size_t i = 0; i < 8; i++)
            v = v << 8 | (unsigned char)value.p[i];
        rc = 0;
    }
    if (rc != 0)
        return -HG_E_LSN_HEADER;
    *out = hg_lsn(v);
    return 0;
}
