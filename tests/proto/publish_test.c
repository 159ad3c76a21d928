/* The body of POST /publish (publish.h), types and frames of the typed channel (typed.h). */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/publish.h"
#include "proto/typed.h"

/* "" when it is accepted, else the detail; *p stays valid only for what borrows nothing. */
static const char *verdict(const char *text, struct hg_publish *p)
{
    struct hg_json doc;
    int rc;

    assert_int_equal(hg_json_parse(hg_slice_str(text), NULL, &doc), 0);
    rc = hg_publish_decode(hg_json_root(&doc), false, p);
    assert_true(rc == 0 ? !p->detail[0] : rc == -HG_E_BAD_OP && p->detail[0]);
    hg_json_fini(&doc);
    return p->detail;
}

static void accepted(void **state)
{
    static const struct {
        const char *text;
        enum hg_envelope_kind kind;
    } rows[] = {
        {"{\"channel\":\"files\",\"data\":{}}", HG_ENVELOPE_CHANNEL},
        {"{\"channel\":\"files\",\"data\":{\"a\":[1]},\"tenant\":\"t\",\"more\":1}",
         HG_ENVELOPE_CHANNEL},
        {"{\"room\":\"r\",\"text\":\"\"}", HG_ENVELOPE_ROOM},
        {"{\"path\":\"/p\",\"b64\":\"YQ==\"}", HG_ENVELOPE_PATH},
        {"{\"all\":true,\"text\":\"x\"}", HG_ENVELOPE_ALL},
    };
    struct hg_publish p;

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        assert_string_equal(verdict(rows[i].text, &p), "");
        assert_int_equal(p.kind, rows[i].kind);
    }
}

static void refused(void **state)
{
    static const char *const rows[][2] = {
        {"null", "body: expected an object, or an array of objects"},
        {"\"x\"", "body: expected an object, or an array of objects"},
        {"{}", "channel: expected this, or one of room, path, id, all"},
        {"{\"channel\":\"c\",\"room\":\"r\",\"data\":{}}",
         "channel: expected this, or one of room, path, id, all"},
        {"{\"channel\":5,\"data\":{}}", "channel: expected a string"},
        {"{\"channel\":\"\",\"data\":{}}", "channel: empty"},
        {"{\"channel\":\"a\\nb\",\"data\":{}}", "channel: control character"},
        {"{\"channel\":\"c\"}", "data: expected an object"},
        {"{\"channel\":\"c\",\"data\":[1]}", "data: expected an object"},
        {"{\"channel\":\"c\",\"data\":null}", "data: expected an object"},
        {"{\"room\":null,\"text\":\"x\"}", "room: expected a string"},
        {"{\"path\":{},\"text\":\"x\"}", "path: expected a string"},
        {"{\"all\":false,\"text\":\"x\"}", "all: expected true"},
        {"{\"all\":1,\"text\":\"x\"}", "all: expected true"},
        {"{\"room\":\"r\"}", "text: expected this or b64"},
        {"{\"room\":\"r\",\"text\":\"x\",\"b64\":\"eA==\"}", "text: expected this or b64"},
        {"{\"room\":\"r\",\"text\":1}", "text: expected a string"},
        {"{\"room\":\"r\",\"b64\":1}", "b64: expected base64"},
        {"{\"room\":\"r\",\"b64\":\"*\"}", "b64: expected base64"},
        {"{\"room\":\"r\",\"text\":\"x\",\"exclude\":5}",
         "exclude: expected a connection id or an array of them"},
        {"{\"room\":\"r\",\"text\":\"x\",\"exclude\":null}",
         "exclude: expected a connection id or an array of them"},
        {"{\"room\":\"r\",\"text\":\"x\",\"exclude\":[\"a\",\"\"]}",
         "exclude: expected a connection id or an array of them"},
        {"{\"room\":\"r\",\"text\":\"x\",\"exclude\":{\"a\":\"b\"}}",
         "exclude: expected a connection id or an array of them"},
        {"{\"id\":\"i\",\"text\":\"x\",\"exclude\":\"i\"}",
         "exclude: expected none together with id"},
        {"{\"tenant\":1,\"all\":true,\"text\":\"x\"}", "tenant: expected a string"},
        {"{\"tenant\":\"\",\"all\":true,\"text\":\"x\"}", "tenant: empty"},
        {"{\"tenant\":\"a|b\",\"all\":true,\"text\":\"x\"}", "tenant: '|' is not allowed"},
    };
    struct hg_publish p;

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        assert_string_equal(verdict(rows[i][0], &p), rows[i][1]);
}

static void event_frames(void **state)
{
    static const char *const rows[][2] = {
        {"{}", "{\"type\":\"event\",\"channel\":\"a\\\"b\",\"data\":{\"timestamp\":12}}"},
        {"{ \"x\": \"}\" }",
         "{\"type\":\"event\",\"channel\":\"a\\\"b\",\"data\":{ \"x\": \"}\" ,\"timestamp\":12}}"},
        {"{\"timestamp\":\"own\"}",
         "{\"type\":\"event\",\"channel\":\"a\\\"b\",\"data\":{\"timestamp\":\"own\"}}"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_buf out = {0};
        struct hg_json doc;

        assert_int_equal(hg_json_parse(hg_slice_str(rows[i][0]), NULL, &doc), 0);
        hg_typed_put_event(&out, HG_SLICE_LIT("a\"b"), hg_json_root(&doc), 12);
        assert_string_equal(hg_test_text(&out), rows[i][1]);
        assert_true(hg_json_is_valid(hg_buf_slice(&out)));
        hg_json_fini(&doc);
        hg_buf_fini(&out);
    }
}

static void types(void **state)
{
    (void)state;
    assert_int_equal(hg_typed_find(HG_SLICE_LIT("ping")), HG_TYPED_ping);
    assert_int_equal(hg_typed_find(HG_SLICE_LIT("get_status")), HG_TYPED_get_status);
    assert_int_equal(hg_typed_find(HG_SLICE_LIT("Ping")), HG_TYPED_NONE);
    assert_int_equal(hg_typed_find(HG_SLICE_LIT("")), HG_TYPED_NONE);
    assert_int_equal(hg_typed_find(HG_SLICE_NONE), HG_TYPED_NONE);
    assert_int_equal(hg_typed_find(HG_SLICE_LIT("subscribe")), HG_TYPED_NONE);
}

static void bodies(void **state)
{
    static const char *const rows[][2] = {
        {"", "body: expected JSON"},
        {"{\"room\":\"r\",\"text\":\"x\"} x", "body: expected JSON"},
        {"5", "body: expected an object, or an array of objects"},
        {"[1]", "[0].body: expected an object, or an array of objects"},
        {"[{\"room\":\"r\",\"text\":\"x\"},{\"room\":\"r\"}]", "[1].text: expected this or b64"},
        {"[]", ""},
        {"[{\"id\":\"x\",\"text\":\"\"}]", ""},
    };
    struct hg_publish_list l;
    struct hg_buf many = {0};

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        int rc = hg_publish_read(hg_slice_str(rows[i][0]), false, &l);

        assert_string_equal(l.detail, rows[i][1]);
        assert_int_equal(rc, rows[i][1][0] ? -HG_E_BAD_OP : 0);
        hg_publish_list_fini(&l);
    }
    for (int i = 0; i <= HG_PUBLISH_BATCH; i++)
        hg_buf_addf(&many, "%s{\"all\":true,\"text\":\"%d\"}", i ? "," : "[", i);
    hg_buf_addc(&many, ']');
    assert_int_equal(hg_publish_read(hg_buf_slice(&many), false, &l), -HG_E_BAD_OP);
    assert_string_equal(l.detail, "body: expected at most 1000 messages");
    hg_publish_list_fini(&l);
    hg_buf_fini(&many);
}

static void envelopes(void **state)
{
    static const char text[] =
        "[{\"channel\":\"c\",\"data\":{\"a\":1}},{\"room\":\"r\",\"text\":\"t\"},"
        "{\"path\":\"/p\",\"b64\":\"YWI=\",\"tenant\":\"x\"},{\"id\":\"i\",\"text\":\"\"}]";
    static const struct {
        enum hg_envelope_kind kind;
        const char *room, *path, *tenant, *payload;
        bool binary;
    } want[] = {
        {HG_ENVELOPE_CHANNEL, "c", NULL, NULL,
         "{\"type\":\"event\",\"channel\":\"c\",\"data\":{\"a\":1,\"timestamp\":7}}", false},
        {HG_ENVELOPE_ROOM, "r", NULL, NULL, "t", false},
        {HG_ENVELOPE_PATH, NULL, "/p", "x", "ab", true},
        {HG_ENVELOPE_CONN, "i", NULL, NULL, "", false},
    };
    struct hg_publish_list l;
    struct hg_publish_scratch sc = {0};

    (void)state;
    assert_int_equal(hg_publish_read(hg_slice_str(text), false, &l), 0);
    assert_int_equal(l.n, HG_COUNTOF(want));
    for (size_t i = 0; i < l.n; i++) {
        struct hg_envelope e;

        hg_publish_put(&l.items[i], 7, &sc, &e);
        assert_int_equal(e.kind, want[i].kind);
        assert_int_equal(e.binary, want[i].binary);
        assert_true(want[i].room ? hg_slice_is(e.room, want[i].room) : !e.room.p);
        assert_true(want[i].path ? hg_slice_is(e.path, want[i].path) : !e.path.p);
        assert_true(want[i].tenant ? hg_slice_is(e.tenant, want[i].tenant) : !e.tenant.p);
        assert_true(hg_slice_is(e.payload, want[i].payload));
    }
    hg_publish_list_fini(&l);
    hg_buf_fini(&sc.body);
}

static void excludes(void **state)
{
    static const char text[] =
        "[{\"room\":\"r\",\"text\":\"\",\"exclude\":\"a\"},"
        "{\"channel\":\"c\",\"data\":{},\"exclude\":[\"a\",\"b\"]},"
        "{\"all\":true,\"text\":\"\",\"exclude\":[]},{\"all\":true,\"text\":\"\"}]";
    static const size_t want[] = {1, 2, 0, 0};
    struct hg_publish_list l;
    struct hg_publish_scratch sc = {0};

    (void)state;
    assert_int_equal(hg_publish_read(hg_slice_str(text), false, &l), 0);
    assert_int_equal(l.n, HG_COUNTOF(want));
    for (size_t i = 0; i < l.n; i++) {
        struct hg_envelope e;

        hg_publish_put(&l.items[i], 7, &sc, &e);
        assert_int_equal(e.nexcludes, want[i]);
        for (size_t k = 0; k < want[i]; k++)
            assert_true(hg_slice_is(e.excludes[k], k == 0 ? "a" : "b"));
    }
    hg_publish_list_fini(&l);
    hg_buf_fini(&sc.body);
}

static void too_many_excludes(void **state)
{
    (void)state;
    for (int n = HG_PUBLISH_EXCLUDES; n <= HG_PUBLISH_EXCLUDES + 1; n++) {
        struct hg_buf text = {0};
        struct hg_publish p;

        hg_buf_adds(&text, "{\"all\":true,\"text\":\"\",\"exclude\":[");
        for (int i = 0; i < n; i++)
            hg_buf_addf(&text, "%s\"%d\"", i ? "," : "", i);
        hg_buf_adds(&text, "]}");
        assert_string_equal(verdict(hg_test_text(&text), &p),
                            n > HG_PUBLISH_EXCLUDES ? "exclude: expected at most 256 connection ids"
                                                    : "");
        hg_buf_fini(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),  cmocka_unit_test(refused),          cmocka_unit_test(bodies),
        cmocka_unit_test(envelopes), cmocka_unit_test(event_frames),     cmocka_unit_test(types),
        cmocka_unit_test(excludes),  cmocka_unit_test(too_many_excludes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
