/* A record of any kind as headgate-tap prints it: whatever it holds, JSON is one object on a line
 * of its own, the other styles are printable UTF-8. The first byte chooses kind and style, the
 * second the length of an lsn header in front of the value. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/macros.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "tools/tap_print.h"

static void check(enum hg_tap_style style, struct hg_slice out)
{
    HG_BUG_ON(out.n == 0 || out.p[out.n - 1] != '\n');
    struct hg_slice line = hg_slice_of(out.p, out.n - 1);
    HG_BUG_ON(style != HG_TAP_INDENT && memchr(line.p, '\n', line.n));
    HG_BUG_ON(!hg_utf8_valid(line.p, line.n));
    for (size_t i = 0; i < line.n; i++)
        HG_BUG_ON(line.p[i] == '\x7f' || line.p[i] == '\x1b' || line.p[i] == '\r');
    HG_BUG_ON(style == HG_TAP_JSON && !hg_json_is_object(line));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    size_t header = HG_MIN((size_t)data[1] % 32, n - 2);
    char *own = malloc(n); /* from its second byte on the value has no alignment */
    memcpy(own, data, n);
    const struct hg_tap_header headers[] = {{"lsn", hg_slice_of(own + 2, header)},
                                            {"snapshot-lsn", hg_slice_of(own + 2, header)}};
    const struct hg_tap_record r = {
        .topic = "t",
        .offset = 1,
        .time_ms = (int64_t)data[1] << (data[1] % 56),
        .kind = (enum hg_tap_kind)(data[0] % HG_TAP_KINDS),
        .key = hg_slice_of(own + 2, header),
        .value = n == 2 ? HG_SLICE_NONE : hg_slice_of(own + 2 + header, n - 2 - header),
        .headers = headers,
        .nheaders = header > 0 ? HG_COUNTOF(headers) : 0,
    };
    enum hg_tap_style style = (enum hg_tap_style)(data[0] / HG_TAP_KINDS % 3);
    struct hg_buf out = {0};
    hg_tap_print(&out, &r, style, data[0] >= 128);
    check(style, hg_buf_slice(&out));
    hg_buf_fini(&out);
    free(own);
    return 0;
}
