/* The entries of the hot cache as existing readers and writers have them, and what a list of them
 * proves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/macros.h"
#include "proto/cachediff.h"

static void test_written_as_the_sources_write(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_cachediff_put(&b, UINT64_MAX, HG_SLICE_LIT("diff\n"));
    assert_true(
        hg_slice_is(hg_buf_slice(&b), "{\"lsn\":\"18446744073709551615\",\"b64\":\"ZGlmZgo=\"}"));
    hg_buf_reset(&b);
    hg_cachediff_put(&b, 0, HG_SLICE_LIT(""));
    assert_true(hg_slice_is(hg_buf_slice(&b), "{\"lsn\":\"0\",\"b64\":\"\"}"));
    hg_buf_fini(&b);
}

/* JSON.stringify({ rows, cursor: { ...cursor, lsn }, ts }) */
static void test_a_snapshot_as_the_sources_write(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_cachesnap_begin(&b);
    hg_buf_adds(&b, "{\"id\":1},{\"id\":2}");
    hg_cachesnap_end(&b, HG_SLICE_LIT("\"id\":2"), UINT64_MAX, 1767225600000);
    assert_true(hg_slice_is(hg_buf_slice(&b),
                            "{\"rows\":[{\"id\":1},{\"id\":2}],\"cursor\":{\"id\":2,\"lsn\":"
                            "\"18446744073709551615\"},\"ts\":1767225600000}"));
    hg_buf_reset(&b);
    hg_cachesnap_begin(&b);
    hg_cachesnap_end(&b, HG_SLICE_NONE, 0, 0);
    assert_true(hg_slice_is(hg_buf_slice(&b), "{\"rows\":[],\"cursor\":{\"lsn\":\"0\"},\"ts\":0}"));
    hg_buf_fini(&b);
}

static void test_read_back(void **state)
{
    static const struct {
        const char *text;
        uint64_t lsn;
        const char *bytes; /* NULL: no entry */
    } rows[] = {
        {"{\"lsn\":\"7\",\"b64\":\"aGk=\"}", 7, "hi"},
        {"{\"lsn\":\"7\",\"b64\":\"aGk\"}", 7, "hi"},
        {"{ \"b64\" : \"aGk=\" , \"lsn\" : \"7\", \"more\": [1] }", 7, "hi"},
        {"{\"lsn\":\"0\",\"b64\":\"\"}", 0, ""},
        {"{\"lsn\":\"18446744073709551615\",\"b64\":\"\"}", UINT64_MAX, ""},
        {"{\"lsn\":\"18446744073709551616\",\"b64\":\"\"}", 0, NULL},
        {"{\"lsn\":7,\"b64\":\"aGk=\"}", 0, NULL},
        {"{\"lsn\":\"-7\",\"b64\":\"aGk=\"}", 0, NULL},
        {"{\"lsn\":\"\",\"b64\":\"aGk=\"}", 0, NULL},
        {"{\"lsn\":\"7\",\"b64\":\"a#Gk=\"}", 0, NULL},
        {"{\"lsn\":\"7\"}", 0, NULL},
        {"{\"b64\":\"aGk=\"}", 0, NULL},
        {"{\"lsn\":\"7\",\"b64\":null}", 0, NULL},
        {"null", 0, NULL},
        {"", 0, NULL},
        {"{\"lsn\":\"7\",\"b64\":\"aGk=\"", 0, NULL},
        {"[\"7\",\"aGk=\"]", 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_buf b = {0};
        uint64_t lsn = 99;
        assert_int_equal(hg_cachediff_read(hg_slice_str(rows[i].text), &lsn, &b),
                         rows[i].bytes != NULL);
        if (rows[i].bytes) {
            assert_true(lsn == rows[i].lsn);
            assert_true(hg_slice_is(hg_buf_slice(&b), rows[i].bytes));
        } else {
            assert_int_equal(b.n, 0);
        }
        hg_buf_fini(&b);
    }
}

static void test_every_byte_comes_back(void **state)
{
    (void)state;
    char all[300];
    for (size_t n = 0; n <= sizeof all; n++) {
        struct hg_buf text = {0}, back = {0};
        uint64_t lsn;
        for (size_t i = 0; i < n; i++)
            all[i] = (char)(i * 7 + n);
        hg_cachediff_put(&text, n, hg_slice_of(all, n));
        assert_true(hg_cachediff_read(hg_buf_slice(&text), &lsn, &back));
        assert_int_equal(lsn, n);
        assert_true(hg_slice_eq(hg_buf_slice(&back), hg_slice_of(all, n)));
        hg_buf_fini(&text);
        hg_buf_fini(&back);
    }
}

/* "5a 5b 5a" -> what is kept; a trailing "?" in expected: doubt. */
static void check_list(const char *in, const char *expected)
{
    struct hg_cachelist l = {0};
    struct hg_buf out = {0};
    bool ok = true;
    for (const char *p = in; *p && ok; p += p[2] ? 3 : 2)
        ok = hg_cachelist_add(&l, (uint64_t)(p[0] - '0'), hg_slice_of(p + 1, 1));
    for (size_t i = 0; i < l.count; i++)
        hg_buf_addf(&out, "%s%d%.*s", i ? " " : "", (int)l.entries[i].lsn,
                    HG_SLICE_ARG(hg_cachelist_value(&l, i)));
    if (!ok)
        hg_buf_adds(&out, "?");
    assert_true(hg_slice_is(hg_buf_slice(&out), expected));
    hg_buf_fini(&out);
    hg_cachelist_fini(&l);
    assert_null(l.entries);
}

/* B-14: two gateways of the former make wrote each diff twice; readers drop the repeats. */
static void test_b_14_repeats_of_a_list(void **state)
{
    (void)state;
    check_list("", "");
    check_list("1a 2b 3c", "1a 2b 3c");
    check_list("1a 1a 2b 2b", "1a 2b");
    check_list("5x 5y 5x", "5x 5y 5x"); /* one transaction must end where it ended */
    check_list("1a 2b 3c 1a 2b 3c 4d", "1a 2b 3c 4d");
    check_list("1a 3c 2b", "1a 3c?");
    check_list("1a 3c 1b", "1a 3c?");
    check_list("2a 3c 1a", "2a 3c?");
}

static void test_positions(void **state)
{
    static const char *const bad[] = {
        "",       "1",      "1 2",    "1 2 3 4", "1 2 x",
        "-1 2 3", " 1 2 3", "1  2 3", "1 2 ",    "9223372036854775808 0 0"};
    (void)state;
    struct hg_cachepos p = {INT64_MAX, HG_CACHEPOS_NOTHING, UINT64_MAX}, q;
    char text[HG_CACHEPOS_TEXT];
    unsigned n = hg_cachepos_put(text, &p);
    assert_true(n < sizeof text);
    assert_true(hg_cachepos_read(hg_slice_of(text, n), &q));
    assert_true(p.next == q.next && p.since == q.since && p.token == q.token);
    for (size_t i = 0; i < HG_COUNTOF(bad); i++)
        assert_false(hg_cachepos_read(hg_slice_str(bad[i]), &q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_as_the_sources_write),
        cmocka_unit_test(test_a_snapshot_as_the_sources_write),
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_every_byte_comes_back),
        cmocka_unit_test(test_b_14_repeats_of_a_list),
        cmocka_unit_test(test_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
