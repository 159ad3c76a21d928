/*
 * Frames of a hostile client. The first two bytes choose the limit and how the rest is cut; the
 * rest is fed once whole and once in pieces, and both must tell the same story.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "proto/utf8.h"
#include "proto/ws_msg.h"

static void note(struct hg_buf *out, const struct hg_ws_event *ev)
{
    HG_BUG_ON(ev->kind == HG_WS_TEXT && !hg_utf8_valid(ev->data.p, ev->data.n));
    HG_BUG_ON(ev->kind == HG_WS_CLOSE && !hg_utf8_valid(ev->data.p, ev->data.n));
    HG_BUG_ON(ev->kind >= HG_WS_PING && ev->data.n > 125);
    hg_buf_addf(out, "%d %d %zu:", ev->kind, ev->kind == HG_WS_CLOSE ? ev->close_code : 0,
                ev->data.n);
    hg_buf_add_slice(out, ev->data);
}

static int feed_piece(struct hg_ws_rx *rx, size_t max, char *p, size_t n, struct hg_buf *out)
{
    while (n > 0) {
        struct hg_ws_event ev;
        ssize_t used = hg_ws_rx_feed(rx, max, p, n, &ev);
        if (used < 0) {
            hg_buf_addf(out, "error %d", (int)used);
            return (int)used;
        }
        HG_BUG_ON(used == 0 || (size_t)used > n);
        HG_BUG_ON(ev.kind == HG_WS_NONE && (size_t)used != n);
        HG_BUG_ON(rx->part_n > max || rx->part_cap > max + 125);
        if (ev.kind != HG_WS_NONE)
            note(out, &ev);
        p += used;
        n -= (size_t)used;
    }
    return 0;
}

static void feed_all(const uint8_t *data, size_t n, size_t max, size_t piece, struct hg_buf *out)
{
    struct hg_ws_rx rx;
    hg_ws_rx_init(&rx);
    for (size_t at = 0, take; at < n; at += take) {
        take = HG_MIN(piece, n - at);
        char *own = malloc(take);
        memcpy(own, data + at, take);
        int err = feed_piece(&rx, max, own, take, out);
        free(own);
        if (err < 0)
            break;
        if (piece & 1)
            hg_ws_rx_trim(&rx);
    }
    hg_ws_rx_fini(&rx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct hg_buf whole = {0}, cut = {0};
    size_t max = (size_t)1 << (data[0] % 18), piece = 1 + data[1] % 40;
    feed_all(data + 2, n - 2, max, n, &whole);
    feed_all(data + 2, n - 2, max, piece, &cut);
    HG_BUG_ON(!hg_slice_eq(hg_buf_slice(&whole), hg_buf_slice(&cut)));
    hg_buf_fini(&whole);
    hg_buf_fini(&cut);
    return 0;
}
