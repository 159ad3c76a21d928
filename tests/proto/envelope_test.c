/* envelope.h: what tina4 writes is read, what is written has tina4's keys in tina4's order, nothing
 * reaches too many. */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/envelope.h"

#define ID(s) HG_SLICE_LIT(s)

static void assert_is(struct hg_slice s, const char *want)
{
    if (!hg_slice_is(s, want))
        fail_msg("got \"%.*s\", want \"%s\"", HG_SLICE_ARG(s), want);
}

/* The order of keys and the nulls are what tina4 writes; the extra keys come last (spec 6). */
static void written_as_tina4_writes(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_slice ids[] = {ID("c1"), ID("c2")};
    struct hg_envelope e = {
        .src = ID("0123456789abcdef"), .kind = HG_ENVELOPE_ALL, .payload = ID("hi \"x\"")};
    hg_envelope_put(&b, &e);
    assert_string_equal(hg_test_text(&b), "{\"src\":\"0123456789abcdef\",\"kind\":\"all\","
                                          "\"exclude\":null,\"room\":null,\"path\":null,"
                                          "\"text\":\"hi \\\"x\\\"\"}");
    hg_buf_reset(&b);
    e = (struct hg_envelope){.src = ID("s"),
                             .kind = HG_ENVELOPE_ROOM,
                             .room = ID("r"),
                             .tenant = ID("demo"),
                             .excludes = ids,
                             .nexcludes = 1,
                             .binary = true,
                             .payload = hg_slice_of("\0\xff", 2)};
    hg_envelope_put(&b, &e);
    assert_string_equal(
        hg_test_text(&b),
        "{\"src\":\"s\",\"kind\":\"room\",\"exclude\":\"c1\",\"room\":\"r\",\"path\":null,"
        "\"b64\":\"AP8=\",\"tenant\":\"demo\"}");
    hg_buf_reset(&b);
    e = (struct hg_envelope){.src = ID("s"),
                             .kind = HG_ENVELOPE_PATH,
                             .path = ID("/a"),
                             .excludes = ids,
                             .nexcludes = 2,
                             .payload = ID("")};
    hg_envelope_put(&b, &e);
    assert_string_equal(
        hg_test_text(&b),
        "{\"src\":\"s\",\"kind\":\"path\",\"exclude\":\"c1\",\"room\":null,\"path\":\"/a\","
        "\"text\":\"\",\"excludes\":[\"c1\",\"c2\"]}");
    hg_buf_fini(&b);
}

/* Python's json.dumps puts blanks after separators and escapes everything above ASCII. */
static void python_is_read(void **state)
{
    (void)state;
    struct hg_envelope e;
    assert_int_equal(hg_envelope_decode(ID("{\"src\": \"0123456789abcdef\", \"kind\": \"room\", "
                                           "\"exclude\": \"id1\", \"room\": \"caf\\u00e9\", "
                                           "\"path\": null, \"text\": \"\\ud83d\\ude00 ok\"}"),
                                        &e),
                     0);
    assert_is(e.src, "0123456789abcdef");
    assert_int_equal(e.kind, HG_ENVELOPE_ROOM);
    assert_is(e.room, "caf\xc3\xa9");
    assert_null(e.path.p);
    assert_null(e.tenant.p);
    assert_false(e.binary);
    assert_is(e.payload, "\xf0\x9f\x98\x80 ok");
    assert_true(hg_envelope_is_excluded(&e, ID("id1")));
    assert_false(hg_envelope_is_excluded(&e, ID("id")));
    hg_envelope_fini(&e);
}

static void odd_but_legal(void **state)
{
    (void)state;
    struct hg_envelope e;
    /* text wins over b64, names that the kind has no use for are dropped, ids are one list without
     * repeats */
    assert_int_equal(
        hg_envelope_decode(ID("{\"kind\":\"all\",\"room\":\"r\",\"path\":\"/"
                              "p\",\"b64\":\"AA==\",\"text\":\"\",\"exclude\":\"a\","
                              "\"excludes\":[\"a\",\"b\",7,null],\"tenant\":\"t\",\"more\":{}}"),
                           &e),
        0);
    assert_is(e.src, "");
    assert_null(e.room.p);
    assert_null(e.path.p);
    assert_false(e.binary);
    assert_true(e.payload.n == 0);
    assert_int_equal(e.nexcludes, 2);
    assert_is(e.excludes[0], "a");
    assert_is(e.excludes[1], "b");
    assert_is(e.tenant, "t");
    hg_envelope_fini(&e);
    assert_int_equal(
        hg_envelope_decode(
            ID("{\"kind\":\"all\",\"text\":null,\"b64\":\"_-8\",\"exclude\":5,\"excludes\":\"x\"}"),
            &e),
        0);
    assert_true(e.binary);
    assert_is(e.payload, "\xff\xef");
    assert_int_equal(e.nexcludes, 0);
    hg_envelope_fini(&e);
    assert_int_equal(hg_envelope_decode(ID("{\"kind\":\"all\",\"b64\":\"\",\"tenant\":null}"), &e),
                     0);
    assert_null(e.tenant.p);
    assert_true(e.binary && e.payload.n == 0);
    hg_envelope_fini(&e);
}

static void refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "null",
        "7",
        "[]",
        "\"x\"",
        "{",
        "{}",
        "{\"kind\":\"all\"}",
        "{\"kind\":\"all\",\"text\":1}",
        "{\"text\":\"x\"}",
        "{\"kind\":\"ALL\",\"text\":\"x\"}",
        "{\"kind\":\"user\",\"text\":\"x\"}",
        "{\"kind\":7,\"text\":\"x\"}", /* B-33 */
        "{\"kind\":\"room\",\"text\":\"x\"}",
        "{\"kind\":\"channel\",\"text\":\"x\"}",
        "{\"kind\":\"count\",\"room\":5,\"text\":\"x\"}",
        "{\"kind\":\"room\",\"room\":null,\"path\":\"p\",\"text\":\"x\"}",
        "{\"kind\":\"path\",\"room\":\"r\",\"text\":\"x\"}",
        "{\"kind\":\"all\",\"text\":\"x\",\"tenant\":5}",
        "{\"kind\":\"all\",\"text\":\"x\",\"tenant\":[\"t\"]}",
        "{\"kind\":\"all\",\"text\":\"\xff\"}"};
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_envelope e;
        if (hg_envelope_decode(hg_slice_str(rows[i]), &e) != -HG_E_ENVELOPE)
            fail_msg("accepted: %s", rows[i]);
        hg_envelope_fini(&e);
    }
}

static void round_trip(const struct hg_envelope *in)
{
    struct hg_buf b = {0};
    struct hg_envelope out;
    hg_envelope_put(&b, in);
    assert_int_equal(hg_envelope_decode(hg_buf_slice(&b), &out), 0);
    memset(b.p, 0, b.n); /* a decoded envelope owns what it shows */
    assert_true(hg_slice_eq(out.src, in->src) && out.kind == in->kind && out.binary == in->binary);
    assert_true(hg_slice_eq(out.room, in->room) && hg_slice_eq(out.path, in->path) &&
                hg_slice_eq(out.tenant, in->tenant));
    assert_true(hg_slice_eq(out.payload, in->payload));
    assert_int_equal(out.nexcludes, in->nexcludes);
    for (size_t i = 0; i < in->nexcludes; i++)
        assert_true(hg_slice_eq(out.excludes[i], in->excludes[i]));
    hg_envelope_fini(&out);
    hg_buf_fini(&b);
}

static void round_trips(void **state)
{
    (void)state;
    char bytes[256];
    struct hg_slice ids[] = {ID("one"), ID("two"), ID("three")};
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t n = 0; n < 4; n++) {
        struct hg_envelope e = {.src = ID("s"),
                                .kind = HG_ENVELOPE_ROOM,
                                .room = ID("r \n \xc3\xa9"),
                                .excludes = ids,
                                .nexcludes = n,
                                .binary = true,
                                .payload = hg_slice_of(bytes, 256 - n)};
        round_trip(&e);
        e.binary = false;
        e.payload = hg_slice_of(bytes, 128);
        e.tenant = ID("t");
        round_trip(&e);
        e.kind = HG_ENVELOPE_PATH, e.path = e.room, e.room = HG_SLICE_NONE;
        round_trip(&e);
        e.kind = HG_ENVELOPE_ALL, e.path = HG_SLICE_NONE, e.payload = ID("");
        round_trip(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_as_tina4_writes),
        cmocka_unit_test(python_is_read),
        cmocka_unit_test(odd_but_legal),
        cmocka_unit_test(refused),
        cmocka_unit_test(round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
