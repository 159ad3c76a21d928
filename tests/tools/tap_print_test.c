/* tap_print.h: a record of each kind as text. What it makes of a real gateway's records is tested
 * in tests/e2e/tap_and_produce.test.mjs. */
#include "tests/support/hgtest.h"
#include "proto/fb_build.h"
#include "proto/json.h"
#include "proto/query.h"
#include "tools/tap_print.h"

static const char *print(struct hg_buf *out, enum hg_tap_kind kind, enum hg_tap_style style,
                         struct hg_slice value, struct hg_slice lsn)
{
    const struct hg_tap_header h = {"lsn", lsn};
    const struct hg_tap_record r = {.topic = "t",
                                    .partition = 1,
                                    .offset = 2,
                                    .time_ms = -1,
                                    .kind = kind,
                                    .key = HG_SLICE_LIT("k"),
                                    .value = value,
                                    .headers = &h,
                                    .nheaders = lsn.p != NULL};
    hg_buf_reset(out);
    hg_tap_print(out, &r, style, true);
    return hg_test_text(out);
}

static void kinds_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *topic;
        enum hg_tap_kind kind;
    } t[] = {{"sql.rpc.responses.ws.host.1.x", HG_TAP_REPLY},
             {"replies", HG_TAP_REPLY},
             {"sql.rpc.requests", HG_TAP_REQUEST},
             {"server.query.control", HG_TAP_CONTROL},
             {"server.page.seed", HG_TAP_SEED},
             {"server.page.diffs", HG_TAP_DIFF},
             {"server.cdc.filtered", HG_TAP_DIFF},
             {"server.row.events", HG_TAP_ROW},
             {"rows-7", HG_TAP_ROW},
             {"envelopes", HG_TAP_ENVELOPE},
             {"my_broadcasts", HG_TAP_ENVELOPE},
             {"tomorrow.narrow", HG_TAP_DIFF}, /* no word begins so */
             {"", HG_TAP_DIFF}};
    for (size_t i = 0; i < HG_COUNTOF(t); i++)
        assert_int_equal(hg_tap_kind_of(t[i].topic), t[i].kind);
}

static void lsn_in_both_encodings(void **state)
{
    (void)state;
    static const struct {
        struct hg_slice header;
        const char *want;
    } t[] = {{HG_SLICE_LIT("12"), "\"lsn\":\"12\",\"lsnAs\":\"text\""},
             {HG_SLICE_LIT("12345678"), "\"lsn\":\"12345678\",\"lsnAs\":\"text\""},
             {HG_SLICE_LIT("abcdefgh"), "\"lsn\":\"7017280452245743464\",\"lsnAs\":\"binary\""},
             {HG_SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff"),
              "\"lsn\":\"18446744073709551615\",\"lsnAs\":\"binary\""},
             {HG_SLICE_LIT("no"), "\"lsnB64\":\"bm8=\",\"lsnError\":"}};
    struct hg_buf out = {0};
    for (size_t i = 0; i < HG_COUNTOF(t); i++)
        assert_non_null(strstr(
            print(&out, HG_TAP_DIFF, HG_TAP_JSON, HG_SLICE_LIT("x"), t[i].header), t[i].want));
    hg_buf_fini(&out);
}

static void one_line_whatever_it_holds(void **state)
{
    (void)state;
    struct hg_buf out = {0};
    assert_string_equal(
        print(&out, HG_TAP_DIFF, HG_TAP_LINE, HG_SLICE_LIT("{\"a\":\r\n[1]}"), HG_SLICE_NONE),
        "topic=t partition=1 offset=2 key=k kind=diff bytes=11 value={\"a\":  [1]}\n");
    assert_string_equal(
        print(&out, HG_TAP_DIFF, HG_TAP_LINE, HG_SLICE_LIT("\x1b[1m\xc2\x9b\x7f\n"), HG_SLICE_NONE),
        "topic=t partition=1 offset=2 key=k kind=diff bytes=8 "
        "value=\"\\u001b[1m\\u009b\\u007f\\n\"\n");
    assert_string_equal(
        print(&out, HG_TAP_DIFF, HG_TAP_JSON, HG_SLICE_LIT("\xff\n"), HG_SLICE_NONE),
        "{\"topic\":\"t\",\"partition\":1,\"offset\":2,\"key\":\"k\",\"kind\":\"diff\",\"bytes\":2,"
        "\"valueB64\":\"/wo=\"}\n");
    assert_string_equal(print(&out, HG_TAP_CONTROL, HG_TAP_INDENT, HG_SLICE_NONE, HG_SLICE_NONE),
                        "topic t\n  partition      1\n  offset         2\n  key            k\n"
                        "  kind           control\n  bytes          0\n  tombstone      true\n");
    hg_buf_fini(&out);
}

/* One long string, or one long list, that a request names a thousand times. */
static void what_repeats_itself_is_an_error(void **state)
{
    (void)state;
    enum { LONG = 1 << 20, TIMES = 1000 };
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0}, e = {0};
    struct hg_buf b = {0}, out = {0};
    uint32_t refs[TIMES];
    char *text = malloc(LONG);
    memset(text, 'x', LONG);
    refs[0] = hg_fb_string(&fb, hg_slice_of(text, LONG));
    for (size_t i = 1; i < TIMES; i++)
        refs[i] = refs[0];
    hg_fb_set_ref(&t, 3, hg_fb_refs(&fb, refs, TIMES)); /* sum_fields */
    uint32_t payload = hg_fb_end(&fb, &t);
    hg_fb_set(&e, 2, 1, HG_SQLRPC_RUN_AGGREGATION);
    hg_fb_set(&e, 3, 1, HG_SQLRPC_RUN_AGGREGATION + 1);
    hg_fb_set_ref(&e, 4, payload);
    hg_fb_finish(&fb, hg_fb_end(&fb, &e), &b);
    assert_non_null(strstr(
        print(&out, HG_TAP_REQUEST, HG_TAP_LINE, hg_buf_slice(&b), HG_SLICE_NONE), "too large"));
    assert_true(out.n < 1000);
    free(text);
    hg_buf_fini(&b);
    hg_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_by_name),
        cmocka_unit_test(lsn_in_both_encodings),
        cmocka_unit_test(one_line_whatever_it_holds),
        cmocka_unit_test(what_repeats_itself_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
