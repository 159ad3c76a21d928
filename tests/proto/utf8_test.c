/* UTF-8 by RFC 3629: every code point, every kind of error, any way of cutting the text. */
#include "tests/support/hgtest.h"
#include "common/base/macros.h"
#include "proto/utf8.h"

/* The grammar of RFC 3629 section 4 written out plainly, as the thing to compare with. */
static size_t one_char(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xC2 && p[0] <= 0xDF   ? 2
                 : p[0] >= 0xE0 && p[0] <= 0xEF ? 3
                 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4
                                                : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    unsigned second = p[1];
    if ((p[0] == 0xE0 && second < 0xA0) || (p[0] == 0xED && second > 0x9F) ||
        (p[0] == 0xF0 && second < 0x90) || (p[0] == 0xF4 && second > 0x8F))
        return 0;
    return len;
}

static bool plainly_valid(const unsigned char *p, size_t n)
{
    for (size_t at = 0, len; at < n; at += len)
        if ((len = one_char(p + at, n - at)) == 0)
            return false;
    return true;
}

static size_t encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80)
        return out[0] = (unsigned char)c, 1;
    if (c < 0x800)
        return out[0] = (unsigned char)(0xC0 | c >> 6), out[1] = (unsigned char)(0x80 | (c & 63)),
               2;
    if (c < 0x10000)
        return out[0] = (unsigned char)(0xE0 | c >> 12),
               out[1] = (unsigned char)(0x80 | (c >> 6 & 63)),
               out[2] = (unsigned char)(0x80 | (c & 63)), 3;
    return out[0] = (unsigned char)(0xF0 | c >> 18),
           out[1] = (unsigned char)(0x80 | (c >> 12 & 63)),
           out[2] = (unsigned char)(0x80 | (c >> 6 & 63)),
           out[3] = (unsigned char)(0x80 | (c & 63)), 4;
}

static void every_code_point_is_judged_right(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110400; c++) {
        unsigned char text[4];
        size_t n = encode(c, text);
        bool want = c < 0x110000 && !(c >= 0xD800 && c <= 0xDFFF);
        assert_int_equal(hg_utf8_valid(text, n), want);
    }
}

static void two_and_three_byte_texts_agree_with_the_grammar(void **state)
{
    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v += v < 1u << 16 ? 1 : 37) {
        unsigned char text[3] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8),
                                 (unsigned char)v};
        assert_int_equal(hg_utf8_valid(text, 3), plainly_valid(text, 3));
    }
}

struct row {
    const char *name, *text;
    bool valid;
};
static const struct row rows[] = {
    {"empty", "", true},
    {"ascii over a word", "hello, hello, hello, hello, hello", true},
    {"ascii, then a character over the word", "0123456\xC3\xA9 89abcdef0123456\xE2\x82\xAC", true},
    {"greek", "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5", true},
    {"last code point", "\xF4\x8F\xBF\xBF", true},
    {"above the last", "\xF4\x90\x80\x80", false},
    {"lead F5", "\xF5\x80\x80\x80", false},
    {"lead FF", "a\xFF", false},
    {"first surrogate", "\xED\xA0\x80", false},
    {"last surrogate", "\xED\xBF\xBF", false},
    {"just below surrogates", "\xED\x9F\xBF", true},
    {"just above surrogates", "\xEE\x80\x80", true},
    {"overlong slash, two bytes", "\xC0\xAF", false},
    {"overlong slash, three bytes", "\xE0\x80\xAF", false},
    {"overlong slash, four bytes", "\xF0\x80\x80\xAF", false},
    {"lone continuation", "\x80", false},
    {"two characters, second cut", "\xC3\xA9\xC3", false},
    {"cut after three of four", "\xF0\x9F\x98", false},
    {"lead where a tail is due", "\xE2\x82\xC3\xA9", false},
    {"ascii where a tail is due",
     "\xE2\x82"
     "A",
     false},
};

static void rows_hold_at_every_split(void **state)
{
    (void)state;
    for (size_t r = 0; r < HG_COUNTOF(rows); r++) {
        const char *p = rows[r].text;
        size_t n = strlen(p);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                uint32_t st = hg_utf8_feed(HG_UTF8_START, p, a);
                st = hg_utf8_feed(st, p + a, b - a);
                st = hg_utf8_feed(st, p + b, n - b);
                if ((st == HG_UTF8_START) != rows[r].valid)
                    fail_msg("%s, split at %zu and %zu", rows[r].name, a, b);
            }
    }
}

static void a_bad_byte_is_told_at_once_and_stays(void **state)
{
    (void)state;
    uint32_t st = hg_utf8_feed(HG_UTF8_START, "\xED", 1);
    assert_true(st != HG_UTF8_BAD && st != HG_UTF8_START);
    st = hg_utf8_feed(st, "\xA0", 1);
    assert_true(st == HG_UTF8_BAD);
    assert_true(hg_utf8_feed(st, "fine", 4) == HG_UTF8_BAD);
    assert_true(hg_utf8_feed(st, NULL, 0) == HG_UTF8_BAD);
}

static void random_texts_agree_in_any_chunks(void **state)
{
    (void)state;
    srandom(6455);
    for (int round = 0; round < 20000; round++) {
        unsigned char text[120];
        size_t n = 0;
        while (n < sizeof text - 4) {
            long dice = random() % 20;
            if (dice < 10)
                text[n++] = (unsigned char)('a' + dice);
            else if (dice < 19)
                n += encode((uint32_t)random() % 0x110000, text + n);
            else if (random() % 8 == 0)
                text[n++] = (unsigned char)random();
        }
        uint32_t st = HG_UTF8_START;
        for (size_t at = 0; at < n;) {
            size_t take = (size_t)random() % 40;
            take = HG_MIN(take, n - at);
            unsigned char *piece = malloc(take + 1);
            memcpy(piece, text + at, take);
            st = hg_utf8_feed(st, piece, take);
            free(piece);
            at += take;
        }
        assert_int_equal(st == HG_UTF8_START, plainly_valid(text, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_judged_right),
        cmocka_unit_test(two_and_three_byte_texts_agree_with_the_grammar),
        cmocka_unit_test(rows_hold_at_every_split),
        cmocka_unit_test(a_bad_byte_is_told_at_once_and_stays),
        cmocka_unit_test(random_texts_agree_in_any_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
