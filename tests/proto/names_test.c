/* The small codecs: base64.h, lsn_head.h, route.h. */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "common/base/map.h"
#include "proto/base64.h"
#include "proto/lsn_head.h"
#include "proto/route.h"

/* ---- base64 ---- */

static void base64_of_known_texts(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"}, /* RFC 4648 10 */
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xff\xef", "/+8="}};
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_buf b = {0}, back = {0};
        hg_b64_add(&b, hg_slice_str(rows[i][0]));
        assert_string_equal(hg_test_text(&b), rows[i][1]);
        hg_b64_decode_lenient(&back, hg_buf_slice(&b));
        assert_string_equal(hg_test_text(&back), rows[i][0]);
        assert_true(hg_b64_is_clean(hg_buf_slice(&b)));
        hg_buf_fini(&b);
        hg_buf_fini(&back);
    }
}

/* What Node 20's Buffer.from(s, "base64") gives. */
static void base64_reads_as_node_does(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
        bool clean;
    } rows[] = {{"YQ==YQ==", "61", false}, {"YWI=YWI=", "6162", false},
                {"YQ", "61", true},        {"YWJj\nZGVm", "616263646566", false},
                {"-_8", "fbff", true},     {"+/8=", "fbff", true},
                {"Y", "", false},          {"YQ=", "61", false},
                {"=YQ", "", false},        {"Y=Q=", "", false},
                {"+_8=", "fbff", false},   {" Y Q = = ", "61", false}};
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_buf b = {0}, hex = {0};
        hg_b64_decode_lenient(&b, hg_slice_str(rows[i].text));
        for (size_t k = 0; k < b.n; k++)
            hg_buf_addf(&hex, "%02x", (unsigned char)b.p[k]);
        assert_string_equal(hg_test_text(&hex), rows[i].hex);
        if (hg_b64_is_clean(hg_slice_str(rows[i].text)) != rows[i].clean)
            fail_msg("is_clean of %s", rows[i].text);
        hg_buf_fini(&b);
        hg_buf_fini(&hex);
    }
}

/* ---- LSN headers (C-8) ---- */

static void lsn_headers(void **state)
{
    (void)state;
    static const struct {
        struct hg_slice value;
        int head, text;
        uint64_t lsn;
    } rows[] = {{{"0", 1}, 0, 0, 0},
                {{"42", 2}, 0, 0, 42},
                {{"00000000000000000007", 20}, 0, 0, 7},
                {{"18446744073709551615", 20}, 0, 0, UINT64_MAX},
                {{"18446744073709551616", 20}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"99999999999999999999", 20}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"000000000000000000001", 21}, 0, -HG_E_LSN_HEADER, 1},
                {{"12345678", 8}, 0, 0, 12345678}, /* eight digits are text */
                {{"\0\0\0\0\0\0\0\x07", 8}, 0, -HG_E_LSN_HEADER, 7},
                {{"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, 0, -HG_E_LSN_HEADER, UINT64_MAX},
                {{"\x01\x02\x03\x04\x05\x06\x07\x08", 8}, 0, -HG_E_LSN_HEADER, 0x0102030405060708},
                {{"\0\0\0\0\0\0\x07", 7}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"", 0}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{NULL, 0}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"-1", 2}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                /* as BigInt(text) of v3's gateway reads them */
                {{" 1", 2}, 0, -HG_E_LSN_HEADER, 1},
                {{"\t17\r\n", 5}, 0, -HG_E_LSN_HEADER, 17},
                {{"+42", 3}, 0, -HG_E_LSN_HEADER, 42},
                {{"0x10", 4}, 0, -HG_E_LSN_HEADER, 16},
                {{"0XfF", 4}, 0, -HG_E_LSN_HEADER, 255},
                {{"0b101", 5}, 0, -HG_E_LSN_HEADER, 5},
                {{"0o17", 4}, 0, -HG_E_LSN_HEADER, 15},
                {{"0x16B37428", 10}, 0, -HG_E_LSN_HEADER, 0x16B37428},
                {{"0x16B374", 8}, 0, -HG_E_LSN_HEADER, 0x16B374}, /* eight bytes of text */
                {{" 1234567", 8}, 0, -HG_E_LSN_HEADER, 1234567},
                {{"0xffffffffffffffff", 18}, 0, -HG_E_LSN_HEADER, UINT64_MAX},
                {{"0x10000000000000000", 19}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"+0x10", 5}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"++1", 3}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"0x", 2}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"0b2", 3}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"  ", 2}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"+", 1}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"1_000", 5}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"7n", 2}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0},
                {{"1.0", 3}, -HG_E_LSN_HEADER, -HG_E_LSN_HEADER, 0}};
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_lsn a = {0}, b = {0};
        if (hg_lsn_head_decode(rows[i].value, &a) != rows[i].head || a.v != rows[i].lsn)
            fail_msg("head, row %zu", i);
        if (hg_lsn_text_decode(rows[i].value, &b) != rows[i].text ||
            (rows[i].text == 0 && b.v != rows[i].lsn))
            fail_msg("text, row %zu", i);
    }
    assert_string_equal(hg_lsn_head_names[0], "lsn");
    assert_string_equal(hg_lsn_head_names[1], "LSN");
    assert_string_equal(hg_lsn_head_names[2], "__lsn");
    assert_null(hg_lsn_head_names[3]);
}

/* ---- names and keys ---- */

static void fill(char *p, size_t n)
{
    memset(p, 'a', n);
}

static void names_are_checked(void **state)
{
    (void)state;
    char big[1024];
    const char *why = NULL;
    fill(big, sizeof(big));
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("demo"), false, &why), 0);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT(""), false, &why), -HG_E_BAD_TENANT);
    assert_string_equal(why, "empty");
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("a_b"), false, &why), -HG_E_BAD_TENANT);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("a_b"), true, NULL), 0);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("a|b"), true, &why), -HG_E_BAD_TENANT);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("a\0b"), true, &why), -HG_E_BAD_TENANT);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("a\nb"), true, &why), -HG_E_BAD_TENANT);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("a\x7f"), true, &why), -HG_E_BAD_TENANT);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("Zo\xc3\xab"), false, &why), 0);
    assert_int_equal(hg_route_check_tenant(HG_SLICE_LIT("Zo\xeb"), false, &why), -HG_E_BAD_TENANT);
    assert_string_equal(why, "not UTF-8");
    assert_int_equal(hg_route_check_tenant(hg_slice_of(big, HG_ROUTE_TENANT_MAX), false, &why), 0);
    assert_int_equal(hg_route_check_tenant(hg_slice_of(big, HG_ROUTE_TENANT_MAX + 1), false, &why),
                     -HG_E_BAD_TENANT);
    assert_int_equal(hg_route_check_table(HG_SLICE_LIT("my_table"), &why), 0);
    assert_int_equal(hg_route_check_table(HG_SLICE_LIT("a|b"), &why), -HG_E_BAD_NAME);
    assert_int_equal(hg_route_check_hash(HG_SLICE_LIT("a|b"), &why), 0);
    assert_int_equal(hg_route_check_hash(hg_slice_of(big, HG_ROUTE_HASH_MAX + 1), &why),
                     -HG_E_BAD_NAME);
    assert_int_equal(hg_route_check_room(HG_SLICE_LIT("lobby|_ \xc3\xa9"), &why), 0);
    assert_int_equal(hg_route_check_room(HG_SLICE_LIT("\0"), &why), -HG_E_BAD_NAME);
    assert_int_equal(hg_route_check_room(hg_slice_of(big, HG_ROUTE_ROOM_MAX + 1), &why),
                     -HG_E_BAD_NAME);
}

static void paths_are_compared_without_query(void **state)
{
    (void)state;
    assert_true(hg_slice_is(hg_route_path(HG_SLICE_LIT("/chat")), "/chat"));
    assert_true(hg_slice_is(hg_route_path(HG_SLICE_LIT("/chat?a=1?b")), "/chat"));
    assert_int_equal(hg_route_path(HG_SLICE_LIT("?a")).n, 0);
    assert_null(hg_route_path(HG_SLICE_NONE).p);
}

static void routing_keys(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_route_put_key(&b, HG_SLICE_LIT("demo"), HG_SLICE_LIT("my_items"), HG_SLICE_LIT("h|1"));
    assert_string_equal(hg_test_text(&b), "demo_my_items|h|1");
    assert_true(hg_slice_is(hg_route_hash_of(hg_buf_slice(&b)), "h|1"));
    assert_null(hg_route_hash_of(HG_SLICE_LIT("bare")).p);
    assert_null(hg_route_hash_of(HG_SLICE_NONE).p);
    assert_true(hg_slice_is(hg_route_hash_of(HG_SLICE_LIT("x|")), ""));
    hg_buf_fini(&b);
}

static void hub_keys_keep_tenants_apart(void **state)
{
    (void)state;
    struct hg_slice a = HG_SLICE_LIT("a"), ab = HG_SLICE_LIT("ab"), b = HG_SLICE_LIT("b"),
                    none = HG_SLICE_NONE;
    struct hg_buf key = {0};
    hg_route_put_hub(&key, HG_ROUTE_ROOM, a, b);
    assert_int_equal(key.n, 5);
    assert_memory_equal(key.p, "r\0a\0b", 5);
    assert_true(hg_route_hub_hash(HG_ROUTE_ROOM, a, b) != hg_route_hub_hash(HG_ROUTE_PATH, a, b));
    assert_true(hg_route_hub_hash(HG_ROUTE_ROOM, ab, none) !=
                hg_route_hub_hash(HG_ROUTE_ROOM, a, b));
    assert_true(hg_route_hub_hash(HG_ROUTE_STREAM, none, ab) !=
                hg_route_hub_hash(HG_ROUTE_BARE, none, ab));
    assert_true(hg_route_hub_hash(HG_ROUTE_ROOM, a, b) == hg_hash_fixed(hg_buf_slice(&key)));
    hg_buf_reset(&key);
    char big[2000];
    fill(big, sizeof(big));
    hg_route_put_hub(&key, HG_ROUTE_STREAM, none, hg_slice_of(big, sizeof(big)));
    assert_true(hg_route_hub_hash(HG_ROUTE_STREAM, none, hg_slice_of(big, sizeof(big))) ==
                hg_hash_fixed(hg_buf_slice(&key)));
    hg_buf_fini(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_of_known_texts),
        cmocka_unit_test(base64_reads_as_node_does),
        cmocka_unit_test(lsn_headers),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(paths_are_compared_without_query),
        cmocka_unit_test(routing_keys),
        cmocka_unit_test(hub_keys_keep_tenants_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
