/* LSN headers: the rule of lsn_head.h, said a second way. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/lsn_head.h"

enum { MAX = 200 };

/* As BigInt(text) would: false for what it throws at, and for "" and "-5", which are no
 * position. */
static bool is_number(char *text, size_t n, uint64_t *v, bool *too_large)
{
    char *p = text, *end = text + n;
    int base = 10;

    text[n] = 0;
    if (strlen(text) != n)
        return false;
    while (p < end && isspace((unsigned char)*p))
        p++;
    while (end > p && isspace((unsigned char)end[-1]))
        *--end = 0;
    if (p[0] == '0' && p[1] && p[2] && strchr("xXoObB", p[1])) {
        base = tolower((unsigned char)p[1]) == 'x'   ? 16
               : tolower((unsigned char)p[1]) == 'o' ? 8
                                                     : 2;
        p += 2;
    } else if (p[0] == '+') {
        p++;
    }
    /* strtoull would take a sign, blanks or a further 0x. */
    if (!isxdigit((unsigned char)*p) ||
        (p[0] == '0' && tolower((unsigned char)p[1]) == (base == 16  ? 'x'
                                                         : base == 2 ? 'b'
                                                                     : 1)))
        return false;
    errno = 0;
    *v = strtoull(p, &end, base);
    *too_large = errno == ERANGE;
    return end != p && *end == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_lsn lsn = {0};
    struct hg_slice s = hg_slice_of(data, n);
    char text[MAX + 1] = "";
    uint64_t v = 0;
    bool too_large = false, number;
    int rc;

    if (n > MAX)
        return 0;
    if (n > 0)
        memcpy(text, data, n);
    number = is_number(text, n, &v, &too_large);
    rc = hg_lsn_head_decode(s, &lsn);
    HG_BUG_ON(rc != 0 && rc != -HG_E_LSN_HEADER);
    HG_BUG_ON(number && (rc == 0) == too_large);
    HG_BUG_ON(number && rc == 0 && lsn.v != v);
    HG_BUG_ON(!number && (rc == 0) != (n == 8));
    for (unsigned i = 0; !number && rc == 0 && i < 8; i++)
        HG_BUG_ON((uint8_t)(lsn.v >> (56 - 8 * i)) != data[i]);
    rc = hg_lsn_text_decode(s, &lsn);
    HG_BUG_ON(rc == 0 && (!number || lsn.v != v || n > 20));
    return 0;
}
