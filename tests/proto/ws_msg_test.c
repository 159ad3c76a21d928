/*
 * The MUSTs of RFC 6455 that concern a server's receiver, one row each, named by section. A row is
 * a few frames (masked here) and then raw bytes; what comes out is written down as a transcript:
 *   T:text; B:bytes; P:ping; O:pong; C<code>:reason; E:<name of the error>
 * Every row is fed whole, byte by byte, and at every split, and must give the same transcript.
 */
#include "tests/support/hgtest.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "proto/utf8.h"
#include "proto/ws_msg.h"

#define LIMIT 300

/* -- building and feeding --------------------------------------------------------------------- */

static void add_frame(struct hg_buf *b, unsigned b0, const void *data, size_t n)
{
    static unsigned turn;
    unsigned char head[HG_WS_HEAD_MAX], mask[4];
    unsigned len = hg_ws_head(head, b0 & 15, n);
    head[0] = (unsigned char)b0;
    head[1] |= 0x80;
    for (int i = 0; i < 4; i++)
        mask[i] = (unsigned char)(turn += 0x5B);
    hg_buf_add(b, head, len);
    hg_buf_add(b, mask, 4);
    for (size_t i = 0; i < n; i++)
        hg_buf_addc(b, (char)(((const unsigned char *)data)[i] ^ mask[i & 3]));
}

static void note(struct hg_buf *out, const struct hg_ws_event *ev)
{
    static const char letter[] = "-TBPOC";
    hg_buf_addc(out, letter[ev->kind]);
    if (ev->kind == HG_WS_CLOSE)
        hg_buf_addf(out, "%d", ev->close_code);
    hg_buf_addc(out, ':');
    hg_buf_add_slice(out, ev->data);
    hg_buf_addc(out, ';');
}

/* Feeds one piece from a block of its own size, so that a sanitizer sees any step beside it. */
static int feed_piece(struct hg_ws_rx *rx, size_t max, const char *p, size_t n, struct hg_buf *out)
{
    char *own = malloc(n ? n : 1), *at = own;
    memcpy(own, p, n);
    int err = 0;
    while (n > 0 && err == 0) {
        struct hg_ws_event ev;
        ssize_t used = hg_ws_rx_feed(rx, max, at, n, &ev);
        if (used < 0) {
            hg_buf_addf(out, "E:%s", hg_err_row((int)used)->name);
            err = (int)used;
            break;
        }
        assert_in_range(used, 1, n);
        if (ev.kind == HG_WS_NONE)
            assert_int_equal(used, n);
        else
            note(out, &ev);
        at += used;
        n -= (size_t)used;
    }
    if (random() & 1)
        hg_ws_rx_trim(rx);
    free(own);
    return err;
}

struct feed {
    struct hg_ws_rx rx;
    struct hg_buf out;
    int err;
};

static void feed_some(struct feed *f, size_t max, const char *p, size_t n)
{
    if (f->err == 0)
        f->err = feed_piece(&f->rx, max, p, n, &f->out);
}

static void expect(struct feed *f, const char *name, size_t at, struct hg_slice want)
{
    if (!hg_slice_eq(hg_buf_slice(&f->out), want))
        fail_msg("%s, cut at %zu: got \"%.*s\", want \"%.*s\"", name, at,
                 HG_SLICE_ARG(hg_buf_slice(&f->out)), HG_SLICE_ARG(want));
    hg_ws_rx_fini(&f->rx);
    hg_buf_fini(&f->out);
}

static void every_split(const char *name, size_t max, struct hg_slice in, struct hg_slice want)
{
    struct feed f = {0};
    for (size_t i = 0; i < in.n; i++)
        feed_some(&f, max, in.p + i, 1);
    expect(&f, name, 1, want);
    for (size_t cut = 0; cut <= in.n; cut++) {
        f = (struct feed){0};
        feed_some(&f, max, in.p, cut);
        feed_some(&f, max, in.p + cut, in.n - cut);
        expect(&f, name, cut, want);
    }
}

/* -- the table -------------------------------------------------------------------------------- */

struct frame {
    unsigned b0;
    const char *data;
    size_t n;
};
struct row {
    const char *name;
    struct frame frames[5];
    const char *raw;
    size_t raw_n;
    const char *want;
};
#define F(b0, lit)                                                                                 \
    {                                                                                              \
        b0, lit, sizeof(lit) - 1                                                                   \
    }
#define RAW(lit) .raw = (lit), .raw_n = sizeof(lit) - 1
#define FILL_100                                                                                   \
    "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901" \
    "23456789"
#define FILL_125 FILL_100 "0123456789012345678901234"

static const struct row rows[] = {
    /* 5.1 */
    {"5.1-masked", {F(0x81, "Hello")}, .want = "T:Hello;"},
    {"5.1-unmasked-text", RAW("\x81\x05Hello"), .want = "E:FRAME_UNMASKED"},
    {"5.1-unmasked-ping", RAW("\x89\x00"), .want = "E:FRAME_UNMASKED"},
    {"5.1-unmasked-close-after-message",
     {F(0x82, "x")},
     RAW("\x88\x02\x03\xE8"),
     .want = "B:x;E:FRAME_UNMASKED"},
    {"5.3-zero-mask", RAW("\x81\x82\0\0\0\0ok"), .want = "T:ok;"},
    {"5.7-masked-hello", RAW("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), .want = "T:Hello;"},
    /* 5.2 */
    {"5.2-rsv1", {F(0xC1, "x")}, .want = "E:FRAME_RSV"},
    {"5.2-rsv2", {F(0xA1, "x")}, .want = "E:FRAME_RSV"},
    {"5.2-rsv3", {F(0x91, "x")}, .want = "E:FRAME_RSV"},
    {"5.2-rsv-on-control", {F(0xC9, "")}, .want = "E:FRAME_RSV"},
    {"5.2-rsv-on-continuation", {F(0x01, "a"), F(0xC0, "b")}, .want = "E:FRAME_RSV"},
    {"5.2-opcode-3", {F(0x83, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-4", {F(0x84, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-5", {F(0x85, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-6", {F(0x86, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-7", {F(0x87, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-11", {F(0x8B, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-12", {F(0x8C, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-13", {F(0x8D, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-14", {F(0x8E, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-opcode-15-inside-message", {F(0x01, "a"), F(0x8F, "")}, .want = "E:FRAME_OPCODE"},
    {"5.2-length-125", {F(0x82, FILL_125)}, .want = "B:" FILL_125 ";"},
    {"5.2-length-126-in-two-bytes", {F(0x82, FILL_125 "6")}, .want = "B:" FILL_125 "6;"},
    {"5.2-length-125-in-two-bytes", RAW("\x82\xFE\0\x7D\1\2\3\4"), .want = "E:FRAME_LENGTH"},
    {"5.2-length-0-in-two-bytes", RAW("\x81\xFE\0\0\1\2\3\4"), .want = "E:FRAME_LENGTH"},
    {"5.2-length-126-in-eight-bytes", RAW("\x82\xFF\0\0\0\0\0\0\0\x7E\1\2\3\4"),
     .want = "E:FRAME_LENGTH"},
    {"5.2-length-65535-in-eight-bytes", RAW("\x82\xFF\0\0\0\0\0\0\xFF\xFF\1\2\3\4"),
     .want = "E:FRAME_LENGTH"},
    {"5.2-length-top-bit", RAW("\x82\xFF\x80\0\0\0\0\0\0\1\1\2\3\4"), .want = "E:FRAME_LENGTH"},
    {"5.2-length-all-ones", RAW("\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1\2\3\4"),
     .want = "E:FRAME_LENGTH"},
    {"10.4-length-65536-above-limit", RAW("\x82\xFF\0\0\0\0\0\1\0\0"), .want = "E:MSG_TOO_BIG"},
    {"10.4-length-2^63-1-above-limit", RAW("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
     .want = "E:MSG_TOO_BIG"},
    {"10.4-one-above-limit", RAW("\x82\xFE\x01\x2D"), .want = "E:MSG_TOO_BIG"},
    {"10.4-sum-of-fragments-above-limit",
     {F(0x02, FILL_100), F(0x00, FILL_100), F(0x00, FILL_100), F(0x80, "x")},
     .want = "E:MSG_TOO_BIG"},
    {"10.4-sum-of-fragments-at-limit",
     {F(0x02, FILL_100), F(0x00, FILL_100), F(0x80, FILL_100)},
     .want = "B:" FILL_100 FILL_100 FILL_100 ";"},
    /* 5.4 */
    {"5.4-empty-text", {F(0x81, "")}, .want = "T:;"},
    {"5.4-empty-binary", {F(0x82, "")}, .want = "B:;"},
    {"5.4-two-fragments", {F(0x01, "Hel"), F(0x80, "lo")}, .want = "T:Hello;"},
    {"5.4-empty-fragments",
     {F(0x02, ""), F(0x00, ""), F(0x00, "a"), F(0x00, ""), F(0x80, "")},
     .want = "B:a;"},
    {"5.4-all-fragments-empty", {F(0x01, ""), F(0x00, ""), F(0x80, "")}, .want = "T:;"},
    {"5.4-only-last-fragment-full", {F(0x02, ""), F(0x80, "abc")}, .want = "B:abc;"},
    {"5.4-ping-between-fragments",
     {F(0x01, "Hel"), F(0x89, "are you"), F(0x80, "lo")},
     .want = "P:are you;T:Hello;"},
    {"5.4-pong-and-empty-ping-between",
     {F(0x02, "a"), F(0x8A, "x"), F(0x89, ""), F(0x80, "b")},
     .want = "O:x;P:;B:ab;"},
    {"5.4-close-between-fragments",
     {F(0x01, "Hel"), F(0x88, "\x03\xE8"
                              "bye")},
     .want = "C1000:bye;"},
    {"5.4-continuation-first", {F(0x80, "x")}, .want = "E:FRAME_CONTINUATION"},
    {"5.4-unfinished-continuation-first", {F(0x00, "x")}, .want = "E:FRAME_CONTINUATION"},
    {"5.4-continuation-after-message",
     {F(0x81, "a"), F(0x80, "b")},
     .want = "T:a;E:FRAME_CONTINUATION"},
    {"5.4-text-inside-message", {F(0x01, "a"), F(0x81, "b")}, .want = "E:FRAME_CONTINUATION"},
    {"5.4-binary-inside-text", {F(0x01, "a"), F(0x02, "b")}, .want = "E:FRAME_CONTINUATION"},
    {"5.4-message-after-fragments",
     {F(0x01, "a"), F(0x80, "b"), F(0x02, "c"), F(0x80, "d"), F(0x81, "e")},
     .want = "T:ab;B:cd;T:e;"},
    /* 5.5 */
    {"5.5-ping-125", {F(0x89, FILL_125)}, .want = "P:" FILL_125 ";"},
    {"5.5-ping-125-between",
     {F(0x02, "a"), F(0x89, FILL_125), F(0x80, "b")},
     .want = "P:" FILL_125 ";B:ab;"},
    {"5.5-ping-126", {F(0x89, FILL_125 "6")}, .want = "E:FRAME_CONTROL"},
    {"5.5-close-126", {F(0x88, FILL_125 "6")}, .want = "E:FRAME_CONTROL"},
    {"5.5-pong-eight-byte-length", RAW("\x8A\xFF\0\0\0\0\0\0\0\1\1\2\3\4x"),
     .want = "E:FRAME_CONTROL"},
    {"5.5-ping-fragmented", {F(0x09, "a"), F(0x80, "b")}, .want = "E:FRAME_CONTROL"},
    {"5.5-close-fragmented", {F(0x08, "\x03\xE8")}, .want = "E:FRAME_CONTROL"},
    {"5.5-pong-fragmented-inside-message", {F(0x01, "a"), F(0x0A, "")}, .want = "E:FRAME_CONTROL"},
    {"5.5.2-ping-binary-payload", {F(0x89, "\xFF\x00\xFE")}, .want = NULL},
    {"5.5.3-unasked-pong", {F(0x8A, "hi"), F(0x81, "x")}, .want = "O:hi;T:x;"},
    /* 5.5.1, 7.4 */
    {"5.5.1-close-empty", {F(0x88, "")}, .want = "C1005:;"},
    {"5.5.1-close-1000", {F(0x88, "\x03\xE8")}, .want = "C1000:;"},
    {"5.5.1-close-with-reason",
     {F(0x88, "\x03\xE9"
              "gone")},
     .want = "C1001:gone;"},
    {"5.5.1-close-longest-reason",
     {F(0x88, "\x0F\xA0" FILL_100 "01234567890123456789012")},
     .want = "C4000:" FILL_100 "01234567890123456789012;"},
    {"5.5.1-close-one-byte", {F(0x88, "\x03")}, .want = "E:CLOSE_PAYLOAD"},
    {"5.5.1-reason-not-utf8", {F(0x88, "\x03\xE8\xC0\xAF")}, .want = "E:TEXT_NOT_UTF8"},
    {"5.5.1-reason-cut-character",
     {F(0x88, "\x03\xE8"
              "a\xE2\x82")},
     .want = "E:TEXT_NOT_UTF8"},
    {"7.4-code-0", {F(0x88, "\0\0")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4-code-999", {F(0x88, "\x03\xE7")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4.1-code-1004", {F(0x88, "\x03\xEC")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4.1-code-1005", {F(0x88, "\x03\xED")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4.1-code-1006", {F(0x88, "\x03\xEE")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4.1-code-1015", {F(0x88, "\x03\xF7")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4.2-code-1016", {F(0x88, "\x03\xF8")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4.2-code-2999", {F(0x88, "\x0B\xB7")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4.2-code-3000", {F(0x88, "\x0B\xB8")}, .want = "C3000:;"},
    {"7.4.2-code-4999", {F(0x88, "\x13\x87")}, .want = "C4999:;"},
    {"7.4-code-5000", {F(0x88, "\x13\x88")}, .want = "E:CLOSE_PAYLOAD"},
    {"7.4-code-65535", {F(0x88, "\xFF\xFF")}, .want = "E:CLOSE_PAYLOAD"},
    /* 8.1 */
    {"8.1-text",
     {F(0x81, "\xCE\xBA\xE1\xBD\xB9\xCF\x83")},
     .want = "T:\xCE\xBA\xE1\xBD\xB9\xCF\x83;"},
    {"8.1-character-over-fragments",
     {F(0x01, "\xF0\x9F"), F(0x00, "\x98"), F(0x80, "\x80!")},
     .want = "T:\xF0\x9F\x98\x80!;"},
    {"8.1-character-over-fragments-and-ping",
     {F(0x01, "\xE2\x82"), F(0x89, "\xFF"), F(0x80, "\xAC")},
     .want = "P:\xFF;T:\xE2\x82\xAC;"},
    {"8.1-bad-byte", {F(0x81, "ab\xFF")}, .want = "E:TEXT_NOT_UTF8"},
    {"8.1-bad-byte-fails-in-its-fragment", {F(0x01, "\xED\xA0")}, .want = "E:TEXT_NOT_UTF8"},
    {"8.1-bad-byte-before-the-frame-ends", RAW("\x81\xFE\1\0\0\0\0\0ab\xC0"),
     .want = "E:TEXT_NOT_UTF8"},
    {"8.1-overlong", {F(0x81, "\xC0\xAF")}, .want = "E:TEXT_NOT_UTF8"},
    {"8.1-surrogate-over-fragments",
     {F(0x01, "\xED"), F(0x80, "\xA0\x80")},
     .want = "E:TEXT_NOT_UTF8"},
    {"8.1-ends-in-a-character", {F(0x81, "caf\xC3")}, .want = "E:TEXT_NOT_UTF8"},
    {"8.1-fragments-end-in-a-character",
     {F(0x01, "\xE2\x82"), F(0x80, "")},
     .want = "E:TEXT_NOT_UTF8"},
    {"8.1-binary-is-not-checked", {F(0x82, "\xFF\xC0")}, .want = "B:\xFF\xC0;"},
    {"8.1-next-text-starts-anew",
     {F(0x02, "\xE2"), F(0x80, "\x82"), F(0x81, "ok")},
     .want = "B:\xE2\x82;T:ok;"},
    /* nothing comes of an unfinished frame */
    {"cut-header", RAW("\x81"), .want = ""},
    {"cut-mask", RAW("\x81\x85\1\2\3"), .want = ""},
    {"cut-payload", RAW("\x82\x85\1\2\3\4xx"), .want = ""},
};

static void every_row_at_every_split(void **state)
{
    (void)state;
    for (size_t r = 0; r < HG_COUNTOF(rows); r++) {
        struct hg_buf in = {0};
        for (const struct frame *f = rows[r].frames; f < rows[r].frames + 5 && f->data; f++)
            add_frame(&in, f->b0, f->data, f->n);
        hg_buf_add(&in, rows[r].raw, rows[r].raw_n);
        struct hg_slice want = rows[r].want ? hg_slice_str(rows[r].want)
                                            : HG_SLICE_LIT("P:\xFF\x00\xFE;"); /* has a NUL */
        every_split(rows[r].name, LIMIT, hg_buf_slice(&in), want);
        hg_buf_fini(&in);
    }
}

static void every_close_code(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 65536; code++) {
        bool want = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                    (code >= 3000 && code <= 4999);
        unsigned char body[2] = {(unsigned char)(code >> 8), (unsigned char)code};
        struct hg_buf in = {0};
        add_frame(&in, 0x88, body, 2);
        struct feed f = {0};
        feed_some(&f, LIMIT, in.p, in.n);
        assert_int_equal(f.err, want ? 0 : -HG_E_CLOSE_PAYLOAD);
        hg_ws_rx_fini(&f.rx);
        hg_buf_fini(&f.out);
        hg_buf_fini(&in);
    }
}

/* -- memory ----------------------------------------------------------------------------------- */

static void a_fragment_costs_nothing(void **state)
{
    (void)state;
    struct feed f = {0};
    struct hg_buf in = {0};
    add_frame(&in, 0x02, "", 0);
    for (int i = 0; i < 10000; i++)
        add_frame(&in, 0x00, "", 0);
    feed_some(&f, 20000, in.p, in.n);
    assert_null(f.rx.part);
    hg_buf_reset(&in);
    for (int i = 0; i < 10000; i++)
        add_frame(&in, 0x00, "x", 1);
    feed_some(&f, 20000, in.p, in.n);
    assert_int_equal(f.err, 0);
    assert_int_equal(hg_ws_rx_held(&f.rx), 10000);
    assert_in_range(f.rx.part_cap, 10000, 20000 + 125);
    hg_ws_rx_fini(&f.rx);
    hg_buf_fini(&f.out);
    hg_buf_fini(&in);
}

static void announcing_a_megabyte_allocates_nothing(void **state)
{
    (void)state;
    struct hg_ws_rx rx;
    struct hg_ws_event ev;
    char in[] = "\x82\xFF\0\0\0\0\0\x10\0\0\1\2\3\4abcd";
    hg_ws_rx_init(&rx);
    assert_int_equal(hg_ws_rx_feed(&rx, 1 << 20, in, 14, &ev), 14);
    assert_null(rx.part);
    assert_int_equal(hg_ws_rx_feed(&rx, 1 << 20, in + 14, 4, &ev), 4);
    assert_in_range(rx.part_cap, 4, 1024);
    assert_int_equal(hg_ws_rx_held(&rx), 4);
    hg_ws_rx_fini(&rx);
    assert_null(rx.part);
}

static void memory_never_exceeds_the_limit(void **state)
{
    (void)state;
    struct feed f = {0};
    struct hg_buf in = {0};
    char kilo[1000] = {0};
    add_frame(&in, 0x02, kilo, 1000);
    for (int i = 0; i < 9; i++)
        add_frame(&in, 0x00, kilo, 1000);
    add_frame(&in, 0x89, FILL_125, 125);
    for (size_t i = 0; i < in.n; i++) {
        feed_some(&f, 10000, in.p + i, 1);
        assert_true(f.rx.part_cap <= 10000 + 125);
    }
    assert_int_equal(f.err, 0);
    assert_int_equal(hg_ws_rx_held(&f.rx), 10000);
    hg_ws_rx_fini(&f.rx);
    hg_buf_fini(&f.out);
    hg_buf_fini(&in);
}

static void a_limit_beyond_32_bits_is_no_overflow(void **state)
{
    (void)state;
    struct feed f = {0};
    struct hg_buf in = {0};
    add_frame(&in, 0x02, "a", 1);
    add_frame(&in, 0x80, "b", 1);
    for (size_t i = 0; i < in.n; i++)
        feed_some(&f, SIZE_MAX, in.p + i, 1);
    expect(&f, "SIZE_MAX", 1, HG_SLICE_LIT("B:ab;"));
    hg_buf_fini(&in);
    char huge[] = "\x82\xFF\0\0\0\1\0\0\0\0\1\2\3\4";
    f = (struct feed){0};
    feed_some(&f, SIZE_MAX, huge, sizeof huge - 1);
    expect(&f, "4 GiB", 0, HG_SLICE_LIT("E:MSG_TOO_BIG"));
}

static void a_whole_message_is_not_copied(void **state)
{
    (void)state;
    struct hg_ws_rx rx;
    struct hg_ws_event ev;
    struct hg_buf in = {0};
    hg_ws_rx_init(&rx);
    add_frame(&in, 0x81, "in place", 8);
    assert_int_equal(hg_ws_rx_feed(&rx, LIMIT, in.p, in.n, &ev), in.n);
    assert_int_equal(ev.kind, HG_WS_TEXT);
    assert_ptr_equal(ev.data.p, in.p + 6);
    assert_null(rx.part);
    hg_ws_rx_fini(&rx);
    hg_buf_fini(&in);
}

static void trim_frees_what_was_handed_out_and_nothing_else(void **state)
{
    (void)state;
    struct hg_ws_rx rx;
    struct hg_ws_event ev;
    struct hg_buf in = {0};
    hg_ws_rx_init(&rx);
    add_frame(&in, 0x01, "Hel", 3);
    size_t first = in.n;
    add_frame(&in, 0x80, "lo", 2);
    assert_int_equal(hg_ws_rx_feed(&rx, LIMIT, in.p, first, &ev), first);
    hg_ws_rx_trim(&rx);
    assert_int_equal(hg_ws_rx_held(&rx), 3);
    assert_int_equal(hg_ws_rx_feed(&rx, LIMIT, in.p + first, in.n - first, &ev), in.n - first);
    assert_true(hg_slice_is(ev.data, "Hello"));
    assert_non_null(rx.part);
    assert_int_equal(hg_ws_rx_held(&rx), 0);
    hg_ws_rx_trim(&rx);
    assert_null(rx.part);
    hg_ws_rx_fini(&rx);
    hg_buf_fini(&in);
}

/* -- masks, alignment, random conversations --------------------------------------------------- */

static void unmasking_is_right_at_any_alignment_and_offset(void **state)
{
    (void)state;
    for (size_t align = 0; align < 16; align++)
        for (size_t n = 0; n < 70; n++)
            for (size_t cut = 0; cut <= HG_MIN(n, (size_t)12); cut++) {
                struct hg_buf in = {0};
                char plain[70];
                for (size_t i = 0; i < n; i++)
                    plain[i] = (char)(i * 7 + align);
                for (size_t i = 0; i < align; i++)
                    hg_buf_addc(&in, '-');
                add_frame(&in, 0x82, plain, n);
                size_t head = in.n - n - align;
                struct hg_ws_rx rx;
                struct hg_ws_event ev;
                hg_ws_rx_init(&rx);
                ssize_t used = hg_ws_rx_feed(&rx, LIMIT, in.p + align, head + cut, &ev);
                assert_int_equal(used, head + cut);
                if (cut < n)
                    used = hg_ws_rx_feed(&rx, LIMIT, in.p + align + head + cut, n - cut, &ev);
                assert_true(used >= 0);
                assert_int_equal(ev.kind, HG_WS_BINARY);
                assert_true(hg_slice_eq(ev.data, hg_slice_of(plain, n)));
                hg_ws_rx_fini(&rx);
                hg_buf_fini(&in);
            }
}

static size_t random_payload(unsigned char out[2000], bool text, size_t most)
{
    size_t n = (size_t)random() % (random() % 8 ? 40 : most + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = text ? (unsigned char)('a' + random() % 26) : (unsigned char)random();
    if (text && n >= 4)
        memcpy(out + (size_t)random() % (n - 3), "\xF0\x9F\x98\x80", 4);
    return n;
}

static void random_control(struct hg_buf *in, struct hg_buf *want)
{
    unsigned char body[2000];
    unsigned op = random() & 1 ? 9 : 10;
    size_t n = HG_MIN(random_payload(body, false, 125), (size_t)125);
    add_frame(in, 0x80 | op, body, n);
    note(want, &(struct hg_ws_event){.kind = op == 9 ? HG_WS_PING : HG_WS_PONG,
                                     .data = hg_slice_of(body, n)});
}

static void random_message(struct hg_buf *in, struct hg_buf *want)
{
    unsigned char body[2000];
    bool text = random() & 1;
    size_t n = random_payload(body, text, sizeof body - 1), at = 0;
    unsigned op = text ? 1 : 2;
    while (random() % 3) {
        size_t take = (size_t)random() % (n - at + 1);
        add_frame(in, op, body + at, take);
        at += take;
        op = 0;
        if (random() % 4 == 0)
            random_control(in, want);
    }
    add_frame(in, 0x80 | op, body + at, n - at);
    note(want, &(struct hg_ws_event){.kind = text ? HG_WS_TEXT : HG_WS_BINARY,
                                     .data = hg_slice_of(body, n)});
}

static void random_conversations_survive_any_chunking(void **state)
{
    (void)state;
    srandom(13);
    for (int round = 0; round < 1500; round++) {
        struct hg_buf in = {0}, want = {0};
        for (int i = 0; i < 8; i++)
            random() % 4 ? random_message(&in, &want) : random_control(&in, &want);
        size_t most = (size_t[]){1, 3, 17, 300, 5000}[round % 5];
        struct feed f = {0};
        for (size_t at = 0, take; at < in.n; at += take) {
            take = 1 + (size_t)random() % most;
            take = HG_MIN(take, in.n - at);
            feed_some(&f, 2000, in.p + at, take);
        }
        expect(&f, "random", most, hg_buf_slice(&want));
        hg_buf_fini(&in);
        hg_buf_fini(&want);
    }
}

static void random_bytes_give_the_same_in_any_chunks(void **state)
{
    (void)state;
    srandom(14);
    for (int round = 0; round < 20000; round++) {
        struct hg_buf in = {0};
        for (int i = 0; i < 3; i++) {
            unsigned char body[2000];
            add_frame(&in, (unsigned)random() & 0x8F, body, random_payload(body, true, 200));
        }
        for (int flips = (int)(random() % 3); flips > 0; flips--)
            in.p[(size_t)random() % in.n] ^= (char)(1 << random() % 8);
        struct feed whole = {0}, cut = {0};
        feed_some(&whole, LIMIT, in.p, in.n);
        for (size_t at = 0, take; at < in.n; at += take) {
            take = 1 + (size_t)random() % 9;
            take = HG_MIN(take, in.n - at);
            feed_some(&cut, LIMIT, in.p + at, take);
        }
        expect(&cut, "random bytes", 0, hg_buf_slice(&whole.out));
        hg_ws_rx_fini(&whole.rx);
        hg_buf_fini(&whole.out);
        hg_buf_fini(&in);
    }
}

/* -- the sending side ------------------------------------------------------------------------- */

static void heads_have_the_shortest_length(void **state)
{
    (void)state;
    static const struct {
        uint64_t len;
        unsigned n;
        const char *bytes;
    } want[] = {
        {0, 2, "\x82\x00"},
        {125, 2, "\x82\x7D"},
        {126, 4, "\x82\x7E\x00\x7E"},
        {65535, 4, "\x82\x7E\xFF\xFF"},
        {65536, 10, "\x82\x7F\0\0\0\0\0\1\0\0"},
        {UINT64_C(0x0102030405060708), 10, "\x82\x7F\1\2\3\4\5\6\7\x8"},
    };
    for (size_t i = 0; i < HG_COUNTOF(want); i++) {
        unsigned char out[HG_WS_HEAD_MAX];
        assert_int_equal(hg_ws_head(out, 2, want[i].len), want[i].n);
        assert_memory_equal(out, want[i].bytes, want[i].n);
    }
}

static void close_frames_are_short_and_their_reason_is_text(void **state)
{
    (void)state;
    unsigned char out[127];
    assert_int_equal(hg_ws_close_frame(out, 0, HG_SLICE_LIT("unused")), 2);
    assert_memory_equal(out, "\x88\x00", 2);
    assert_int_equal(hg_ws_close_frame(out, 1005, HG_SLICE_LIT("never on the wire")), 2);
    assert_int_equal(hg_ws_close_frame(out, 1001, HG_SLICE_LIT("idle timeout")), 16);
    assert_memory_equal(out, "\x88\x0E\x03\xE9idle timeout", 16);
    assert_int_equal(hg_ws_close_frame(out, 1012, HG_SLICE_NONE), 4);
    assert_int_equal(hg_ws_close_frame(out, 1000, HG_SLICE_LIT(FILL_125)), 127);
    assert_int_equal(out[1], 125);
    char reason[130];
    for (size_t lead = 0; lead < 4; lead++) { /* characters of three bytes over the edge */
        memset(reason, 'a', sizeof reason);
        for (size_t i = lead; i + 3 <= sizeof reason; i += 3)
            memcpy(reason + i, "\xE2\x82\xAC", 3);
        unsigned n = hg_ws_close_frame(out, 1000, hg_slice_of(reason, sizeof reason - 4));
        assert_in_range(n, 125, 127);
        assert_int_equal(out[1] + 2, n);
        assert_true(hg_utf8_valid(out + 4, n - 4));
    }
}

static void rx_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct hg_ws_rx) <= 72);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_at_every_split),
        cmocka_unit_test(every_close_code),
        cmocka_unit_test(a_fragment_costs_nothing),
        cmocka_unit_test(announcing_a_megabyte_allocates_nothing),
        cmocka_unit_test(memory_never_exceeds_the_limit),
        cmocka_unit_test(a_limit_beyond_32_bits_is_no_overflow),
        cmocka_unit_test(a_whole_message_is_not_copied),
        cmocka_unit_test(trim_frees_what_was_handed_out_and_nothing_else),
        cmocka_unit_test(unmasking_is_right_at_any_alignment_and_offset),
        cmocka_unit_test(random_conversations_survive_any_chunking),
        cmocka_unit_test(random_bytes_give_the_same_in_any_chunks),
        cmocka_unit_test(heads_have_the_shortest_length),
        cmocka_unit_test(close_frames_are_short_and_their_reason_is_text),
        cmocka_unit_test(rx_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
