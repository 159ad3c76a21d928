/*
 * The receiving side of RFC 6455, section 5.
 *
 *      take_head --- header complete, legal ---> take_payload --- left == 0 ---> take_head
 *          |  (bytes wait in head[])                  |  (control: behind part; data: in part)
 *          +--------- out of input: return -----------+--------- end of a message: event
 *
 * A frame of a message that is whole in the input is handed out where it lies. Anything else is
 * appended to part, which is freed when the message has been dealt with.
 */
#include "proto/ws_msg.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "proto/utf8.h"

_Static_assert(sizeof(struct hg_ws_rx) <= 72, "one per connection");

enum { OP_CONT = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { FIN = 0x80, RSV = 0x70, OPCODE = 0x0F, MASKED = 0x80, LEN7 = 0x7F };
enum { CONTROL_MAX = 125, PART_FIRST = 256 };

void hg_ws_rx_init(struct hg_ws_rx *rx)
{
    memset(rx, 0, sizeof *rx);
}

void hg_ws_rx_fini(struct hg_ws_rx *rx)
{
    free(rx->part);
    hg_ws_rx_init(rx);
}

static unsigned opcode(const struct hg_ws_rx *rx)
{
    return rx->head[0] & OPCODE;
}

static bool is_fin(const struct hg_ws_rx *rx)
{
    return rx->head[0] & FIN;
}

static bool is_control(unsigned op)
{
    return op & 8;
}

void hg_ws_rx_trim(struct hg_ws_rx *rx)
{
    if (!rx->part || rx->msg_opcode || rx->control_n)
        return;
    free(rx->part), rx->part = NULL;
    rx->part_cap = 0;
}

/* -- header ----------------------------------------------------------------------------------- */

static int check_opcode(const struct hg_ws_rx *rx)
{
    unsigned op = opcode(rx);
    if (op > OP_PONG || (op > OP_BINARY && op < OP_CLOSE))
        return -HG_E_FRAME_OPCODE;
    if (is_control(op))
        return is_fin(rx) ? 0 : -HG_E_FRAME_CONTROL;
    /* RFC 6455 5.4: a continuation only inside a message, a start only outside. */
    return (op == OP_CONT) == (rx->msg_opcode != 0) ? 0 : -HG_E_FRAME_CONTINUATION;
}

static int check_first_two(const struct hg_ws_rx *rx)
{
    if (rx->head[0] & RSV)
        return -HG_E_FRAME_RSV;
    int err = check_opcode(rx);
    if (err < 0)
        return err;
    if (!(rx->head[1] & MASKED))
        return -HG_E_FRAME_UNMASKED;
    if (is_control(opcode(rx)) && (rx->head[1] & LEN7) > CONTROL_MAX)
        return -HG_E_FRAME_CONTROL;
    return 0;
}

static unsigned extra_length_bytes(const struct hg_ws_rx *rx)
{
    unsigned len7 = rx->head[1] & LEN7;
    return len7 < 126 ? 0 : len7 == 126 ? 2 : 8;
}

static uint64_t announced(const struct hg_ws_rx *rx, unsigned extra)
{
    uint64_t len = 0;
    for (unsigned i = 0; i < extra; i++)
        len = len << 8 | rx->head[2 + i];
    return extra ? len : (rx->head[1] & LEN7);
}

static int check_length(struct hg_ws_rx *rx, size_t max_message, unsigned extra)
{
    uint64_t len = announced(rx, extra);
    if ((extra == 2 && len < 126) || (extra == 8 && (len < 65536 || len >> 63)))
        return -HG_E_FRAME_LENGTH;
    if (!is_control(opcode(rx)) && (rx->part_n > max_message || len > max_message - rx->part_n))
        return -HG_E_MSG_TOO_BIG;
    rx->left = len;
    return 0;
}

/* True when want bytes of the header are there. */
static bool fill_head(struct hg_ws_rx *rx, size_t want, const char *in, size_t n, size_t *used)
{
    if (rx->head_n < want) {
        size_t take = HG_MIN(want - rx->head_n, n - *used);
        memcpy(rx->head + rx->head_n, in + *used, take);
        rx->head_n += (unsigned char)take;
        *used += take;
    }
    return rx->head_n >= want;
}

static void begin_payload(struct hg_ws_rx *rx)
{
    rx->in_payload = true;
    rx->mask_at = 0;
    rx->idle += is_control(opcode(rx)) || (rx->left == 0 && !is_fin(rx));
    if (opcode(rx) == OP_TEXT || opcode(rx) == OP_BINARY) {
        rx->msg_opcode = (unsigned char)opcode(rx);
        rx->utf8 = HG_UTF8_START;
    }
}

/* Each part is judged as soon as it is there, so that nobody waits for the rest of a bad header. */
static int take_head(struct hg_ws_rx *rx, size_t max_message, const char *in, size_t n,
                     size_t *used)
{
    int err;
    if (!fill_head(rx, 2, in, n, used))
        return 0;
    if ((err = check_first_two(rx)) < 0)
        return err;
    unsigned extra = extra_length_bytes(rx);
    if (!fill_head(rx, 2 + extra, in, n, used))
        return 0;
    if ((err = check_length(rx, max_message, extra)) < 0)
        return err;
    if (fill_head(rx, 2 + extra + 4, in, n, used))
        begin_payload(rx);
    return 0;
}

/* -- payload ---------------------------------------------------------------------------------- */

/* Turns the mask so that its next byte comes first, then goes by words: XOR has no alignment. */
static void unmask(struct hg_ws_rx *rx, char *p, size_t n)
{
    unsigned char turned[8];
    const unsigned char *mask = rx->head + rx->head_n - 4;
    for (unsigned i = 0; i < 8; i++)
        turned[i] = mask[(rx->mask_at + i) & 3];
    uint64_t word, key;
    memcpy(&key, turned, sizeof key);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        memcpy(&word, p + i, sizeof word);
        word ^= key;
        memcpy(p + i, &word, sizeof word);
    }
    for (; i < n; i++)
        p[i] = (char)(p[i] ^ turned[i & 7]);
    rx->mask_at = (rx->mask_at + n) & 3;
}

/* Doubles as bytes come, so that announcing a megabyte costs its sender a megabyte. */
static int reserve_part(struct hg_ws_rx *rx, size_t need, size_t most)
{
    if (need <= rx->part_cap)
        return 0;
    if (need > most)
        return -HG_E_MSG_TOO_BIG;
    size_t cap = HG_MAX(need, HG_MAX((size_t)PART_FIRST, (size_t)rx->part_cap * 2));
    cap = HG_MIN(cap, most);
    char *p = realloc(rx->part, cap);
    if (!p)
        return -HG_E_NOMEM;
    rx->part = p;
    rx->part_cap = (uint32_t)cap;
    return 0;
}

static void end_frame(struct hg_ws_rx *rx)
{
    rx->in_payload = false;
    rx->head_n = 0;
}

static bool is_sendable_close_code(unsigned code)
{
    if (code >= 1000 && code <= 1014) /* 7.4.1 and its registry: all but those never on the wire */
        return code != 1004 && code != HG_WS_NO_CODE && code != 1006;
    return code >= 3000 && code <= 4999; /* 7.4.2 */
}

static int close_event(const char *p, size_t n, struct hg_ws_event *ev)
{
    ev->kind = HG_WS_CLOSE;
    ev->close_code = HG_WS_NO_CODE;
    ev->data = hg_slice_of(p, 0);
    if (n == 0)
        return 0;
    if (n == 1)
        return -HG_E_CLOSE_PAYLOAD;
    unsigned code = (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
    if (!is_sendable_close_code(code))
        return -HG_E_CLOSE_PAYLOAD;
    ev->close_code = (int)code;
    ev->data = hg_slice_of(p + 2, n - 2);
    return hg_utf8_valid(p + 2, n - 2) ? 0 : -HG_E_TEXT_NOT_UTF8;
}

static int control_event(unsigned op, const char *p, size_t n, struct hg_ws_event *ev)
{
    if (op == OP_CLOSE)
        return close_event(p, n, ev);
    ev->kind = op == OP_PING ? HG_WS_PING : HG_WS_PONG;
    ev->data = hg_slice_of(p, n);
    return 0;
}

/* A control frame may come between the fragments of a message, so its pieces wait behind it. */
static int take_control(struct hg_ws_rx *rx, size_t max_message, const char *p, size_t n,
                        struct hg_ws_event *ev)
{
    if (rx->left > 0 || rx->control_n > 0) {
        size_t at = (size_t)rx->part_n + rx->control_n;
        int err = reserve_part(rx, at + n, max_message + CONTROL_MAX);
        if (err < 0)
            return err;
        if (n > 0)
            memcpy(rx->part + at, p, n);
        rx->control_n += (unsigned char)n;
        if (rx->left > 0)
            return 0;
        p = rx->part + rx->part_n;
        n = rx->control_n;
    }
    rx->control_n = 0;
    end_frame(rx);
    return control_event(opcode(rx), p, n, ev);
}

static int keep(struct hg_ws_rx *rx, size_t max_message, const char *p, size_t n)
{
    if (n == 0)
        return 0;
    int err = reserve_part(rx, rx->part_n + n, max_message + CONTROL_MAX);
    if (err < 0)
        return err;
    memcpy(rx->part + rx->part_n, p, n);
    rx->part_n += (uint32_t)n;
    return 0;
}

static int message_event(struct hg_ws_rx *rx, const char *p, size_t n, struct hg_ws_event *ev)
{
    if (rx->msg_opcode == OP_TEXT && rx->utf8 != HG_UTF8_START)
        return -HG_E_TEXT_NOT_UTF8; /* the last character is cut */
    ev->kind = rx->msg_opcode == OP_TEXT ? HG_WS_TEXT : HG_WS_BINARY;
    ev->data = hg_slice_of(n ? p : "", n);
    rx->msg_opcode = 0;
    rx->part_n = 0; /* part itself stays until the next feed */
    return 0;
}

static int take_data(struct hg_ws_rx *rx, size_t max_message, const char *p, size_t n,
                     struct hg_ws_event *ev)
{
    if (rx->msg_opcode == OP_TEXT) {
        rx->utf8 = hg_utf8_feed(rx->utf8, p, n);
        if (rx->utf8 == HG_UTF8_BAD)
            return -HG_E_TEXT_NOT_UTF8;
    }
    bool last = rx->left == 0 && is_fin(rx);
    if (!last || rx->part_n > 0) {
        int err = keep(rx, max_message, p, n);
        if (err < 0)
            return err;
        p = rx->part;
        n = rx->part_n;
    }
    if (rx->left == 0)
        end_frame(rx);
    return last ? message_event(rx, p, n, ev) : 0;
}

static int take_payload(struct hg_ws_rx *rx, size_t max_message, char *in, size_t n, size_t *used,
                        struct hg_ws_event *ev)
{
    char *p = in + *used;
    size_t take = (size_t)HG_MIN(rx->left, (uint64_t)(n - *used));
    unmask(rx, p, take);
    rx->left -= take;
    *used += take;
    return is_control(opcode(rx)) ? take_control(rx, max_message, p, take, ev)
                                  : take_data(rx, max_message, p, take, ev);
}

ssize_t hg_ws_rx_feed(struct hg_ws_rx *rx, size_t max_message, char *in, size_t n,
                      struct hg_ws_event *ev)
{
    size_t used = 0;
    int err = 0;
    ev->kind = HG_WS_NONE;
    hg_ws_rx_trim(rx);
    max_message = HG_MIN(max_message, (size_t)UINT32_MAX - CONTROL_MAX); /* part_n is 32 bits */
    while (used < n && ev->kind == HG_WS_NONE) {
        if (!rx->in_payload && (err = take_head(rx, max_message, in, n, &used)) < 0)
            return err;
        if (rx->in_payload && (err = take_payload(rx, max_message, in, n, &used, ev)) < 0)
            return err;
    }
    return (ssize_t)used;
}

/* -- what the server sends -------------------------------------------------------------------- */

unsigned hg_ws_head(unsigned char out[HG_WS_HEAD_MAX], unsigned op, uint64_t len)
{
    out[0] = (unsigned char)(FIN | op);
    if (len < 126) {
        out[1] = (unsigned char)len;
        return 2;
    }
    unsigned extra = len < 65536 ? 2 : 8;
    out[1] = extra == 2 ? 126 : 127;
    for (unsigned i = 0; i < extra; i++)
        out[2 + i] = (unsigned char)(len >> 8 * (extra - 1 - i));
    return 2 + extra;
}

unsigned hg_ws_close_frame(unsigned char out[127], int code, struct hg_slice reason)
{
    if (code == 0 || code == HG_WS_NO_CODE)
        return hg_ws_head(out, OP_CLOSE, 0);
    size_t n = HG_MIN(reason.n, (size_t)CONTROL_MAX - 2);
    if (n < reason.n)
        while (n > 0 && ((unsigned char)reason.p[n] & 0xC0) == 0x80)
            n--;
    unsigned at = hg_ws_head(out, OP_CLOSE, n + 2);
    out[at++] = (unsigned char)(code >> 8);
    out[at++] = (unsigned char)code;
    if (n > 0)
        memcpy(out + at, reason.p, n);
    return at + (unsigned)n;
}
