/* json.h: strictness of the scanner, exactness of the tree, and that scanner and cJSON agree on
 * what stands where. */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/json.h"
#include "proto/utf8.h"

static struct hg_slice
copy(const char *p, size_t n) /* on the heap, to the byte: a read past the end is seen by ASan */
{
    char *heap = malloc(n ? n : 1);
    memcpy(heap, p, n);
    return hg_slice_of(heap, n);
}

struct text {
    const char *p;
    size_t n;
};
#define T(s)                                                                                       \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static const struct text good[] = {T("{}"),
                                   T("[]"),
                                   T("0"),
                                   T("-0"),
                                   T("-12.5e+3"),
                                   T("1E9"),
                                   T("\"\""),
                                   T("true"),
                                   T("false"),
                                   T("null"),
                                   T(" \t\r\n[ 1 , 2 ] \n"),
                                   T("{\"a\":{\"b\":[{},[]]}}"),
                                   T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""),
                                   T("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""),
                                   T("\"\\ud83d\\ude00\""),
                                   T("\"\\ud83d\""),
                                   T("\"\\ude00x\""),
                                   T("\"\\ud83d\\ud83d\\ude00\""),
                                   T("\"\\u0000\""),
                                   T("18446744073709551615"),
                                   T("\"\x7f\""),
                                   T("{\"a\":1,\"a\":2}"),
                                   T("[\"12345678901234567890\\n\"]")};

static const struct text bad[] = {T(""),
                                  T(" "),
                                  T("{"),
                                  T("}"),
                                  T("["),
                                  T("]"),
                                  T("[1,]"),
                                  T("[,1]"),
                                  T("{,}"),
                                  T("{\"a\"}"),
                                  T("{\"a\":}"),
                                  T("{a:1}"),
                                  T("{\"a\":1,}"),
                                  T("{'a':1}"),
                                  T("[1 2]"),
                                  T("01"),
                                  T("1."),
                                  T(".5"),
                                  T("+1"),
                                  T("-"),
                                  T("1e"),
                                  T("1e+"),
                                  T("0x10"),
                                  T("NaN"),
                                  T("Infinity"),
                                  T("tru"),
                                  T("True"),
                                  T("nul"),
                                  T("\"abc"),
                                  T("\"\\x\""),
                                  T("\"\\u12\""),
                                  T("\"\\u12g4\""),
                                  T("\"\\"),
                                  T("\"a\nb\""),
                                  T("\"\x01\""),
                                  T("\"\0\""),
                                  T("{}{}"),
                                  T("{} x"),
                                  T("1 2"),
                                  T("\xef\xbb\xbf{}"),
                                  T("[1}"),
                                  T("{\"a\":1]"),
                                  T("\"\x80\""),
                                  T("\"\xc3\""),
                                  T("\"\xc0\xaf\""),
                                  T("\"\xed\xa0\x80\""),
                                  T("\"\xf4\x90\x80\x80\""),
                                  T("\"\xf8\x88\x80\x80\x80\""),
                                  T("{}\0"),
                                  T("\0"),
                                  T("\v1"),
                                  T("// x\n1"),
                                  T("[1]/**/"),
                                  T("\"\\\0\"")};

static void texts_are_judged_alike(void **state)
{
    (void)state;
    struct hg_json doc;
    for (size_t i = 0; i < HG_COUNTOF(good) + HG_COUNTOF(bad); i++) {
        bool is_good = i < HG_COUNTOF(good);
        const struct text *t = is_good ? &good[i] : &bad[i - HG_COUNTOF(good)];
        struct hg_slice s = copy(t->p, t->n);
        if (hg_json_is_valid(s) != is_good)
            fail_msg("is_valid: %.*s", HG_SLICE_ARG(s));
        if (hg_json_parse(s, NULL, &doc) != (is_good ? 0 : -HG_E_BAD_JSON))
            fail_msg("parse: %.*s", HG_SLICE_ARG(s));
        hg_json_fini(&doc);
        free((void *)s.p);
    }
}

/* No proper prefix of these is a JSON text, and none may be read past its end. */
static void cut_texts_are_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1,{\"b\":\"x\\u00e9\\ud83d\\ude00\xe2\x82\xac\"},true,null,-1.5e3],\"c\":\"\\n\"}";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        struct hg_slice s = copy(text, n);
        assert_false(hg_json_is_valid(s));
        free((void *)s.p);
    }
    assert_true(hg_json_is_valid(HG_SLICE_LIT(text)));
}

static void parse_ok(const char *text, struct hg_json *doc)
{
    if (hg_json_parse(hg_slice_str(text), NULL, doc) != 0)
        fail_msg("does not parse: %s", text);
}

static void assert_slice(struct hg_slice got, const char *want, size_t n)
{
    if (!got.p || got.n != n || memcmp(got.p, want, n) != 0)
        fail_msg("got \"%.*s\", want \"%.*s\"", HG_SLICE_ARG(got), (int)n, want);
}
#define ASSERT_SLICE(got, lit) assert_slice(got, lit, sizeof(lit) - 1)

static void strings_keep_length_and_lose_half_surrogates(void **state)
{
    (void)state;
    struct hg_json doc;
    parse_ok("[\"a\\u0000b\",\"\\ud83d\\ude00\",\"x\\ud83dy\",\"\\ude00\",\"\\u00e9\\u20ac\","
             "\"\\ud800\\u0041\",\"\"]",
             &doc);
    struct hg_json_val v = hg_json_first(hg_json_root(&doc));
    assert_slice(hg_json_text(v), "a\0b", 3);
    ASSERT_SLICE(hg_json_text(v = hg_json_next(v)), "\xf0\x9f\x98\x80");
    ASSERT_SLICE(hg_json_text(v = hg_json_next(v)), "x\xef\xbf\xbdy");
    ASSERT_SLICE(hg_json_raw(v), "\"x\\ud83dy\"");
    ASSERT_SLICE(hg_json_text(v = hg_json_next(v)), "\xef\xbf\xbd");
    ASSERT_SLICE(hg_json_text(v = hg_json_next(v)), "\xc3\xa9\xe2\x82\xac");
    ASSERT_SLICE(hg_json_text(v = hg_json_next(v)), "\xef\xbf\xbd"
                                                    "A");
    ASSERT_SLICE(hg_json_text(v = hg_json_next(v)), "");
    assert_int_equal(hg_json_type(hg_json_next(v)), HG_JSON_ABSENT);
    hg_json_fini(&doc);
    assert_int_equal(hg_json_parse(HG_SLICE_LIT("{\"op\\u0000x\":1}"), NULL, &doc), -HG_E_BAD_JSON);
    hg_json_fini(&doc);
}

static void raw_text_of_every_value(void **state)
{
    (void)state;
    struct hg_json doc;
    parse_ok(" { \"a\" : [ 1, {\"b\":2 } ] , \"c\" : \"\\u0041\",\"d\":null, "
             "\"e\":9223372036854775807 } ",
             &doc);
    struct hg_json_val root = hg_json_root(&doc);
    ASSERT_SLICE(hg_json_raw(root), "{ \"a\" : [ 1, {\"b\":2 } ] , \"c\" : \"\\u0041\",\"d\":null, "
                                    "\"e\":9223372036854775807 }");
    ASSERT_SLICE(hg_json_raw(hg_json_get(root, "a")), "[ 1, {\"b\":2 } ]");
    ASSERT_SLICE(hg_json_raw(hg_json_next(hg_json_first(hg_json_get(root, "a")))), "{\"b\":2 }");
    ASSERT_SLICE(hg_json_raw(hg_json_get(root, "c")), "\"\\u0041\"");
    ASSERT_SLICE(hg_json_text(hg_json_get(root, "c")), "A");
    ASSERT_SLICE(hg_json_raw(hg_json_get(root, "d")), "null");
    ASSERT_SLICE(hg_json_raw(hg_json_get(root, "e")), "9223372036854775807");
    assert_int_equal(hg_json_count(root), 4);
    assert_null(hg_json_raw(hg_json_get(root, "A")).p); /* names have case */
    assert_null(hg_json_get(hg_json_get(root, "c"), "x").node);
    hg_json_fini(&doc);
}

static void the_last_of_equal_keys_counts(void **state)
{
    (void)state;
    struct hg_json doc;
    struct hg_slice s;
    parse_ok("{\"k\":\"1\",\"k\":\"2\",\"x\":0,\"k\":\"3\"}", &doc);
    assert_true(hg_json_str(hg_json_root(&doc), "k", &s));
    ASSERT_SLICE(s, "3");
    hg_json_fini(&doc);
}

static void integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_u, is_i;
        uint64_t u;
        int64_t i;
    } rows[] = {{"0", true, true, 0, 0},
                {"-0", true, true, 0, 0},
                {"7", true, true, 7, 7},
                {"-7", false, true, 0, -7},
                {"9007199254740993", true, true, 9007199254740993u, 9007199254740993},
                {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
                {"9223372036854775808", true, false, 9223372036854775808u, 0},
                {"-9223372036854775808", false, true, 0, INT64_MIN},
                {"-9223372036854775809", false, false, 0, 0},
                {"18446744073709551615", true, false, UINT64_MAX, 0},
                {"18446744073709551616", false, false, 0, 0},
                {"1.0", true, true, 1, 1},
                {"1e3", true, true, 1000, 1000},
                {"-2.0", false, true, 0, -2},
                {"1.5", false, false, 0, 0},
                {"1e300", false, false, 0, 0},
                {"1e19", false, false, 0, 0},
                {"\"1\"", false, false, 0, 0},
                {"null", false, false, 0, 0},
                {"true", false, false, 0, 0}};
    for (size_t k = 0; k < HG_COUNTOF(rows); k++) {
        struct hg_json doc;
        uint64_t u = 0;
        int64_t i = 0;
        parse_ok(rows[k].text, &doc);
        if (hg_json_u64(hg_json_root(&doc), &u) != rows[k].is_u || u != rows[k].u)
            fail_msg("u64 of %s", rows[k].text);
        if (hg_json_i64(hg_json_root(&doc), &i) != rows[k].is_i || i != rows[k].i)
            fail_msg("i64 of %s", rows[k].text);
        hg_json_fini(&doc);
    }
}

static void truth_is_javascripts(void **state)
{
    (void)state;
    struct hg_json doc;
    parse_ok("[true,1,-0.5,\"0\",[],{},false,0,-0,\"\",null]", &doc);
    struct hg_json_val v = hg_json_first(hg_json_root(&doc));
    for (int k = 0; v.node; v = hg_json_next(v), k++)
        assert_int_equal(hg_json_is_truthy(v), k < 6);
    hg_json_fini(&doc);
}

static void add_n(struct hg_buf *b, const char *s, unsigned n)
{
    while (n-- > 0)
        hg_buf_adds(b, s);
}

static int parse_nested(unsigned depth, bool objects)
{
    struct hg_buf b = {0};
    struct hg_json doc;
    add_n(&b, objects ? "{\"a\":" : "[", depth);
    add_n(&b, objects ? "1" : "", 1);
    add_n(&b, objects ? "}" : "]", depth);
    int rc = hg_json_parse(hg_buf_slice(&b), NULL, &doc);
    hg_json_fini(&doc);
    assert_int_equal(hg_json_is_valid(hg_buf_slice(&b)), depth <= HG_JSON_ROW_DEPTH);
    hg_buf_fini(&b);
    return rc;
}

static void limits_hold(void **state)
{
    (void)state;
    for (int objects = 0; objects < 2; objects++) {
        assert_int_equal(parse_nested(HG_JSON_MAX_DEPTH, objects), 0);
        assert_int_equal(parse_nested(HG_JSON_MAX_DEPTH + 1, objects), -HG_E_DEPTH);
        assert_int_equal(parse_nested(HG_JSON_ROW_DEPTH, objects), -HG_E_DEPTH);
        assert_int_equal(parse_nested(100000, objects), -HG_E_DEPTH);
    }
    struct hg_buf b = {0};
    struct hg_json doc;
    hg_buf_addc(&b, '[');
    add_n(&b, "0,", HG_JSON_MAX_VALUES - 2);
    hg_buf_adds(&b, "0]");
    assert_int_equal(hg_json_parse(hg_buf_slice(&b), NULL, &doc), 0);
    assert_int_equal(hg_json_count(hg_json_root(&doc)), HG_JSON_MAX_VALUES - 1);
    hg_json_fini(&doc);
    b.p[b.n - 1] = ',';
    hg_buf_adds(&b, "0]");
    assert_int_equal(hg_json_parse(hg_buf_slice(&b), NULL, &doc), -HG_E_TOO_BIG);
    hg_json_fini(&doc);
    struct hg_json_limits small = {4, 1, 2};
    assert_int_equal(hg_json_parse(HG_SLICE_LIT("[1]"), &small, &doc), 0);
    hg_json_fini(&doc);
    assert_int_equal(hg_json_parse(HG_SLICE_LIT("[1,2]"), &small, &doc), -HG_E_TOO_BIG);
    hg_json_fini(&doc);
    hg_buf_fini(&b);
}

/* What add_str writes is valid, and reads back as what went in, as far as that was UTF-8. */
static void strings_survive_writing(void **state)
{
    (void)state;
    static const char all[] =
        "\x01\x02\b\t\n\f\r\x1f \"\\/'\x7f\xc3\xa9\xf0\x9f\x98\x80 and more text to run along";
    struct hg_buf b = {0};
    struct hg_json doc;
    for (size_t n = 0; n < sizeof(all); n++) {
        hg_buf_reset(&b);
        hg_json_add_str(&b, hg_slice_of(all, n));
        assert_true(hg_json_is_valid(hg_buf_slice(&b)));
        assert_int_equal(hg_json_parse(hg_buf_slice(&b), NULL, &doc), 0);
        struct hg_slice back = hg_json_text(hg_json_root(&doc));
        if (hg_utf8_valid(all, n))
            assert_slice(back, all, n);
        hg_json_fini(&doc);
    }
    hg_buf_reset(&b);
    hg_json_add_str(&b, HG_SLICE_LIT("a\xff\xc3(\xed\xa0\x80\0z"));
    ASSERT_SLICE(hg_buf_slice(&b),
                 "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\u0000z\"");
    hg_buf_reset(&b);
    hg_json_add_str(&b, HG_SLICE_NONE);
    ASSERT_SLICE(hg_buf_slice(&b), "\"\"");
    hg_buf_fini(&b);
}

/* cJSON takes no number of more than 63 characters; JSON has no such limit. */
static void long_numbers_are_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *head, *tail;
        bool finite;
        double d;
    } rows[] = {{"", "1", true, 1},      {"0.", "1", true, 0},      {"-1.5", "", true, -1.5},
                {"1", "", true, 1e200},  {"-1", "e-200", true, -1}, {"1", "e300", false, 0},
                {"-1", "e300", false, 0}};
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_buf b = {0};
        struct hg_json doc;
        double d = -7;
        hg_buf_adds(&b, "[1,");
        hg_buf_adds(&b, rows[i].head);
        for (int k = 0; k < 200 && (rows[i].head[0] || k == 0); k++)
            hg_buf_adds(&b, rows[i].head[0] ? "0" : "");
        hg_buf_adds(&b, rows[i].tail);
        hg_buf_adds(&b, ",\"\\ud800\",\"x\"]");
        assert_int_equal(hg_json_parse(hg_buf_slice(&b), NULL, &doc), 0);
        struct hg_json_val v = hg_json_next(hg_json_first(hg_json_root(&doc)));
        assert_int_equal(hg_json_type(v), HG_JSON_NUMBER);
        assert_true(hg_json_double(v, &d) == rows[i].finite);
        if (rows[i].finite && rows[i].d != 0)
            assert_true(d == rows[i].d);
        assert_false(hg_json_is_mended(v));
        v = hg_json_next(v);
        assert_true(hg_json_is_mended(v));
        assert_slice(hg_json_text(v), "\xef\xbf\xbd", 3);
        assert_false(hg_json_is_mended(hg_json_next(v)));
        hg_json_fini(&doc);
        hg_buf_fini(&b);
    }
}

static void a_zeroed_document_is_empty(void **state)
{
    (void)state;
    struct hg_json doc = {0};
    assert_int_equal(hg_json_type(hg_json_root(&doc)), HG_JSON_ABSENT);
    assert_null(hg_json_text(hg_json_get(hg_json_root(&doc), "a")).p);
    hg_json_fini(&doc);
    hg_json_fini(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_judged_alike),
        cmocka_unit_test(cut_texts_are_refused),
        cmocka_unit_test(strings_keep_length_and_lose_half_surrogates),
        cmocka_unit_test(raw_text_of_every_value),
        cmocka_unit_test(the_last_of_equal_keys_counts),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(truth_is_javascripts),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(strings_survive_writing),
        cmocka_unit_test(long_numbers_are_numbers),
        cmocka_unit_test(a_zeroed_document_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
