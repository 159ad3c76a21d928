/* Server frames: each is one valid JSON text, with the keys and the order of the spec; odd content
 * is escaped. */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/op.h"
#include "proto/rowevent.h"

#define S(lit) HG_SLICE_LIT(lit)
#define NONE HG_SLICE_NONE

static void expect(struct hg_buf *b, const char *want)
{
    assert_string_equal(hg_test_text(b), want);
    assert_true(hg_json_is_valid(hg_buf_slice(b)));
    hg_buf_reset(b);
}

static void replies(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_op_put_pong(&b);
    expect(&b, "{\"op\":\"pong\"}");
    hg_op_put_ack(&b, S("h\"1"), 0, NONE);
    expect(&b, "{\"op\":\"ack\",\"hashId\":\"h\\\"1\"}");
    hg_op_put_ack(&b, S("h"), 7, S("0:1:2:3"));
    expect(&b, "{\"op\":\"ack\",\"hashId\":\"h\",\"sub\":7,\"from\":\"0:1:2:3\"}");
    hg_op_put_joined(&b, S("r"));
    expect(&b, "{\"op\":\"joined\",\"room\":\"r\"}");
    hg_op_put_left(&b, S("r\n"));
    expect(&b, "{\"op\":\"left\",\"room\":\"r\\n\"}");
    hg_buf_fini(&b);
}

static void errors(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_op_put_error(&b, -HG_E_BAD_OP, NONE, NONE);
    expect(&b, "{\"op\":\"error\",\"code\":\"bad_op\",\"message\":\"unknown message\"}");
    hg_op_put_error(&b, -HG_E_BAD_JSON, NONE, NONE);
    expect(&b, "{\"op\":\"error\",\"code\":\"bad_json\",\"message\":\"invalid JSON\"}");
    hg_op_put_error(&b, HG_E_OVERFLOW, S("h"), NONE);
    expect(&b, "{\"op\":\"error\",\"code\":\"overflow\",\"message\":\"reset-to-snapshot\","
               "\"hashId\":\"h\"}");
    hg_op_put_error(&b, -HG_E_BAD_OP, S("h"), S("table: expected a string"));
    expect(&b, "{\"op\":\"error\",\"code\":\"bad_op\",\"message\":\"unknown "
               "message\",\"hashId\":\"h\",\"detail\":\"table: expected a string\"}");
    hg_op_put_error_text(&b, "snapshot_failed", S("no such \"table\""), S("h"), NONE);
    expect(&b, "{\"op\":\"error\",\"code\":\"snapshot_failed\",\"message\":\"no such "
               "\\\"table\\\"\",\"hashId\":\"h\"}");
    hg_buf_fini(&b);
}

static void snapshots(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_op_snapshot s = {.hash_id = S("h"), .lsn = hg_lsn(UINT64_MAX)};
    hg_op_put_snapshot_head(&b, &s);
    hg_op_put_snapshot_tail(&b);
    expect(&b, "{\"op\":\"snapshot\",\"hashId\":\"h\",\"version\":0,\"cursor\":{\"lsn\":"
               "\"18446744073709551615\"},\"rows\":[]}");
    s = (struct hg_op_snapshot){.hash_id = S("h"),
                                .lsn = hg_lsn(5),
                                .cursor = S("\"id\":7"),
                                .from = S("e:0:1:5"),
                                .reason = S("reset")};
    hg_op_put_snapshot_head(&b, &s);
    hg_buf_adds(&b, "{\"a\":1},{\"a\":2}");
    hg_op_put_snapshot_tail(&b);
    expect(&b, "{\"op\":\"snapshot\",\"hashId\":\"h\",\"version\":0,\"cursor\":{\"id\":7,\"lsn\":"
               "\"5\"},\"from\":\"e:0:1:5\",\"reason\":\"reset\","
               "\"rows\":[{\"a\":1},{\"a\":2}]}");
    hg_op_put_diffb64(&b, S("h"), hg_slice_of("\0\1\2\xff", 4));
    expect(&b, "{\"op\":\"diffB64\",\"hashId\":\"h\",\"b64\":\"AAEC/w==\"}");
    hg_op_put_diffb64(&b, S("h"), NONE);
    expect(&b, "{\"op\":\"diffB64\",\"hashId\":\"h\",\"b64\":\"\"}");
    hg_buf_fini(&b);
}

static void rpc_results(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_op_put_rpc_ok_head(&b, S("GET_SINGLE"), S("c1"));
    hg_buf_adds(&b, "{\"id\":1}");
    hg_op_put_rpc_ok_tail(&b);
    expect(&b, "{\"op\":\"rpcResult\",\"method\":\"GET_SINGLE\",\"correlationId\":\"c1\",\"ok\":"
               "true,\"data\":{\"id\":1}}");
    hg_op_put_rpc_error(&b, S("X"), NONE, S("rpc timeout"));
    expect(&b, "{\"op\":\"rpcResult\",\"method\":\"X\",\"ok\":false,\"error\":\"rpc timeout\"}");
    hg_buf_fini(&b);
}

static void typed_frames(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_op_put_typed(&b, "welcome", S("{\"connectionId\":\"x\"}"), 1700000000123);
    expect(&b,
           "{\"type\":\"welcome\",\"data\":{\"connectionId\":\"x\"},\"timestamp\":1700000000123}");
    hg_op_put_typed(&b, "pong", NONE, 0);
    expect(&b, "{\"type\":\"pong\",\"timestamp\":0}");
    hg_buf_fini(&b);
}

static void tags(void **state)
{
    (void)state;
    unsigned char tag[HG_OP_TAG_SIZE];
    static const unsigned char want[HG_OP_TAG_SIZE] = {1, 0, 0, 0, 1,    2,    3, 4, 0, 0, 0, 0,
                                                       0, 0, 0, 9, 0x10, 0x20, 0, 0, 0, 0, 0, 5};
    hg_op_tag(tag, 0x01020304, hg_lsn(9), 0x1020000000000005);
    assert_memory_equal(tag, want, sizeof(want));
}

/* ---- row events ---- */

static const char env[] =
    " {\"routingKey\":\"demo_items|h1\", "
    "\"hashId\":\"other\",\"lsn\":\"42\",\"kind\":\"added\",\"pk\":\"7\",\"from\":null,"
    "\"row\":{\"n\":9007199254740993}} ";

static void row_events(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_rowevent ev;
    assert_int_equal(hg_rowevent_decode(S(env), &ev), 0);
    assert_true(hg_slice_is(ev.routing_key, "demo_items|h1"));
    assert_true(hg_slice_is(ev.raw,
                            "{\"routingKey\":\"demo_items|h1\", "
                            "\"hashId\":\"other\",\"lsn\":\"42\",\"kind\":\"added\",\"pk\":\"7\","
                            "\"from\":null,\"row\":{\"n\":9007199254740993}}"));
    assert_null(ev.pos.p);
    hg_op_put_row_event(&b, HG_OP_ROW_NESTED, &ev, UINT64_MAX);
    expect(&b, "{\"op\":\"rowEvent\",\"hashId\":\"h1\",\"event\":{\"routingKey\":\"demo_items|h1\","
               " \"hashId\":\"other\",\"lsn\":\"42\","
               "\"kind\":\"added\",\"pk\":\"7\",\"from\":null,\"row\":{\"n\":9007199254740993}},"
               "\"version\":18446744073709551615}");
    hg_op_put_row_event(&b, HG_OP_ROW_FLAT, &ev, 1);
    expect(&b, "{\"op\":\"rowEvent\",\"hashId\":\"h1\",\"lsn\":\"42\",\"kind\":\"added\",\"pk\":"
               "\"7\",\"from\":null,\"row\":{\"n\":9007199254740993}}");
    hg_op_put_row_event(&b, HG_OP_ROW_BOTH, &ev, 1);
    hg_test_has(&b, "\"version\":1,\"lsn\":\"42\"");
    assert_true(hg_json_is_valid(hg_buf_slice(&b)));
    hg_rowevent_fini(&ev);
    hg_buf_fini(&b);
}

static void row_events_without_a_bar(void **state)
{
    (void)state;
    struct hg_rowevent ev;
    assert_int_equal(hg_rowevent_decode(S("{\"routingKey\":\"bare\",\"hashId\":\"h\"}"), &ev), 0);
    assert_true(hg_slice_is(ev.hash_id, "h"));
    hg_rowevent_fini(&ev);
    assert_int_equal(hg_rowevent_decode(S("{\"routingKey\":\"bare\",\"hashId\":7}"), &ev), 0);
    assert_true(ev.hash_id.p && ev.hash_id.n == 0);
    hg_rowevent_fini(&ev);
}

static void bad_row_events(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "null",
                                       "[]",
                                       "{}",
                                       "{\"routingKey\":7}",
                                       "{\"routingKey\":\"\"}",
                                       "{\"routingKey\":\"a|b\"",
                                       "x",
                                       "{\"routingKey\":\"a|\xff\"}"};
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_rowevent ev;
        assert_int_equal(hg_rowevent_decode(hg_slice_str(rows[i]), &ev), -HG_E_ROW_EVENT);
        hg_rowevent_fini(&ev);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies),        cmocka_unit_test(errors),
        cmocka_unit_test(snapshots),      cmocka_unit_test(rpc_results),
        cmocka_unit_test(typed_frames),   cmocka_unit_test(tags),
        cmocka_unit_test(row_events),     cmocka_unit_test(row_events_without_a_bar),
        cmocka_unit_test(bad_row_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
