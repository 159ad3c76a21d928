/*
 * op.h. The tests of wrong and missing fields are expansions of op.def: a new row is tested without
 * a line here.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/op.h"

enum type { T_NAME, T_TEXT, T_B64, T_COUNT, T_FLAG, T_CHOICE, T_RAW, T_IDS };
enum { NEED_OPT, NEED_REQ, NEED_V3 };

static const struct row {
    const char *op, *json, *arg, *expected;
    enum type type;
    int need;
} rows[] = {
#define HG_OP_BEGIN(op, reply, doc)
#define HG_OP_FIELD(op, type, need, field, json, arg, expected, doc)                               \
    {#op, json, arg, expected, T_##type, NEED_##need},
#define HG_OP_END(op)
#include "proto/op.def"
#undef HG_OP_BEGIN
#undef HG_OP_FIELD
#undef HG_OP_END
};

/* Values with a bit per type that takes them. */
#define TAKES(t) (1u << T_##t)
static const struct value {
    const char *json;
    unsigned taken;
} values[] = {
    {"null", TAKES(RAW)},
    {"true", TAKES(RAW) | TAKES(FLAG)},
    {"false", TAKES(RAW) | TAKES(FLAG)},
    {"0", TAKES(RAW) | TAKES(COUNT)},
    {"18446744073709551615", TAKES(RAW) | TAKES(COUNT)},
    {"18446744073709551616", TAKES(RAW)},
    {"-1", TAKES(RAW)},
    {"1.5", TAKES(RAW)},
    {"\"\"", TAKES(RAW) | TAKES(TEXT) | TAKES(B64)},
    {"\"abc\"", TAKES(RAW) | TAKES(TEXT) | TAKES(B64) | TAKES(NAME) | TAKES(IDS)},
    {"\"-_w=\"", TAKES(RAW) | TAKES(TEXT) | TAKES(B64) | TAKES(NAME) | TAKES(IDS)},
    {"\"abcde\"", TAKES(RAW) | TAKES(TEXT) | TAKES(NAME) | TAKES(IDS)},
    {"\"12\"", TAKES(RAW) | TAKES(TEXT) | TAKES(B64) | TAKES(NAME) | TAKES(IDS) | TAKES(COUNT)},
    {"\" 12\"", TAKES(RAW) | TAKES(TEXT) | TAKES(NAME) | TAKES(IDS)},
    {"[]", TAKES(RAW) | TAKES(IDS)},
    {"[\"a\",\"b\"]", TAKES(RAW) | TAKES(IDS)},
    {"[\"a\",1]", TAKES(RAW)},
    {"[\"\"]", TAKES(RAW)},
    {"{}", TAKES(RAW)},
    {"{\"a\":[1]}", TAKES(RAW)},
};

static const char *sample(const struct row *r)
{
    static const char *const samples[] = {
        [T_NAME] = "\"name\"", [T_TEXT] = "\"\"",     [T_B64] = "\"YQ==\"", [T_COUNT] = "7",
        [T_FLAG] = "true",     [T_RAW] = "{\"x\":1}", [T_IDS] = "\"id\""};
    static char word[64];
    if (r->type != T_CHOICE)
        return samples[r->type];
    snprintf(word, sizeof(word), "\"%.*s\"", (int)strcspn(r->arg, "|"), r->arg);
    return word;
}

static void add_member(struct hg_buf *b, const char *key, const char *json)
{
    hg_buf_addf(b, ",\"%s\":%s", key, json);
}

/* A message of r's op that is right in everything but, maybe, field r, which has this value (NULL:
 * is left out). */
static void message(struct hg_buf *b, const struct row *r, const char *value)
{
    hg_buf_reset(b);
    hg_buf_addf(b, "{\"op\":\"%s\"", r->op);
    if (value)
        add_member(b, r->json, value);
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        if (!strcmp(rows[i].op, r->op) && &rows[i] != r && rows[i].need == NEED_REQ)
            add_member(b, rows[i].json, sample(&rows[i]));
    if (!strcmp(r->op, "subscribe") && strcmp(r->json, "queryJson") &&
        strcmp(r->json, "queryFbB64"))
        add_member(b, "queryJson", "\"{}\"");
    if ((!strcmp(r->op, "publish") || !strcmp(r->op, "sendTo")) && strcmp(r->json, "text") &&
        strcmp(r->json, "b64"))
        add_member(b, "text", "\"hello\"");
    hg_buf_addc(b, '}');
}

static void expect(struct hg_buf *b, int rc, const char *detail)
{
    struct hg_op op;
    int got = hg_op_decode(hg_buf_slice(b), &op);
    if (got != rc || strcmp(op.detail, detail) != 0)
        fail_msg("%s: %d \"%s\", want %d \"%s\"", hg_test_text(b), got, op.detail, rc, detail);
    hg_op_fini(&op);
}

static void every_field_with_every_value(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    char detail[HG_OP_DETAIL_MAX];
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        message(&b, &rows[i], sample(&rows[i]));
        expect(&b, 0, "");
        snprintf(detail, sizeof(detail), "%s: expected %s", rows[i].json, rows[i].expected);
        for (size_t k = 0; k < HG_COUNTOF(values); k++) {
            message(&b, &rows[i], values[k].json);
            bool taken = values[k].taken & 1u << rows[i].type;
            expect(&b, taken ? 0 : -HG_E_BAD_OP, taken ? "" : detail);
        }
    }
    hg_buf_fini(&b);
}

static void every_field_missing(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    char detail[HG_OP_DETAIL_MAX];
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        bool either = !strcmp(rows[i].json, "queryJson") || !strcmp(rows[i].json, "queryFbB64") ||
                      !strcmp(rows[i].json, "text") || !strcmp(rows[i].json, "b64");
        if (either) /* one of two: a_rule_between_fields */
            continue;
        message(&b, &rows[i], NULL);
        snprintf(detail, sizeof(detail), "%s: expected %s", rows[i].json, rows[i].expected);
        expect(&b, rows[i].need == NEED_REQ ? -HG_E_BAD_OP : 0,
               rows[i].need == NEED_REQ ? detail : "");
    }
    hg_buf_fini(&b);
}

static void rules_between_fields(void **state)
{
    (void)state;
    static const struct {
        const char *text, *detail;
    } cases[] = {
        {"{\"op\":\"subscribe\",\"table\":\"t\",\"hashId\":\"h\"}",
         "queryFbB64: expected this or queryJson"},
        {"{\"op\":\"subscribe\",\"table\":\"t\",\"hashId\":\"h\",\"queryJson\":\"{}\","
         "\"queryFbB64\":\"AA\"}",
         ""},
        {"{\"op\":\"publish\"}", "text: expected this or b64"},
        {"{\"op\":\"publish\",\"text\":\"\",\"b64\":\"\"}",
         "b64: expected no b64 together with text"},
        {"{\"op\":\"publish\",\"text\":\"\",\"room\":\"r\",\"path\":\"/\"}",
         "path: expected no path together with a room"},
        {"{\"op\":\"publish\",\"b64\":\"\"}", ""},
        {"{\"op\":\"sendTo\",\"id\":\"i\"}", "text: expected this or b64"},
        {"{\"op\":\"sendTo\",\"id\":\"i\",\"text\":\"\",\"b64\":\"\"}",
         "b64: expected no b64 together with text"},
        {"{\"op\":\"sendTo\",\"id\":\"i\",\"b64\":\"\"}", ""},
    };
    struct hg_buf b = {0};
    for (size_t i = 0; i < HG_COUNTOF(cases); i++) {
        hg_buf_reset(&b);
        hg_buf_adds(&b, cases[i].text);
        expect(&b, *cases[i].detail ? -HG_E_BAD_OP : 0, cases[i].detail);
    }
    hg_buf_fini(&b);
}

static void what_is_no_op(void **state)
{
    (void)state;
    static const char op_list[] =
        "op: expected one of ping, subscribe, unsubscribe, rpc, join, leave, publish, sendTo";
    static const struct {
        const char *text;
        int rc;
        const char *detail;
    } cases[] = {
        {"null", -HG_E_BAD_OP, "message: expected an object"}, /* B-2 */
        {"[]", -HG_E_BAD_OP, "message: expected an object"},
        {"7", -HG_E_BAD_OP, "message: expected an object"},
        {"\"ping\"", -HG_E_BAD_OP, "message: expected an object"},
        {"true", -HG_E_BAD_OP, "message: expected an object"},
        {"{}", -HG_E_BAD_OP, "op: expected a string"},
        {"{\"op\":7}", -HG_E_BAD_OP, "op: expected a string"},
        {"{\"op\":\"Ping\"}", -HG_E_BAD_OP, op_list},
        {"{\"op\":\"\"}", -HG_E_BAD_OP, op_list},
        {"{\"op\":\"ping\\u0000\"}", -HG_E_BAD_OP, op_list},
        {"{\"type\":\"subscribe\",\"channel\":\"c\"}", -HG_E_BAD_OP, "op: expected a string"},
        {"", -HG_E_BAD_JSON, ""},
        {"{", -HG_E_BAD_JSON, ""},
        {"{\"op\":\"ping\"} x", -HG_E_BAD_JSON, ""},
        {"{\"op\":\"ping\"}", 0, ""},
        {" {\"op\" : \"ping\", \"t\":1}", 0, ""},
        {"{\"op\":\"pong\",\"op\":\"ping\"}", 0, ""},
    };
    struct hg_buf b = {0};
    for (size_t i = 0; i < HG_COUNTOF(cases); i++) {
        hg_buf_reset(&b);
        hg_buf_adds(&b, cases[i].text);
        expect(&b, cases[i].rc, cases[i].detail);
    }
    hg_buf_fini(&b);
}

static void decode_ok(const char *text, struct hg_op *op)
{
    int rc = hg_op_decode(hg_slice_str(text), op);
    if (rc != 0)
        fail_msg("%s: %d %s", text, rc, op->detail);
}

static void assert_is(struct hg_slice s, const char *want)
{
    if (!s.p || !hg_slice_is(s, want))
        fail_msg("got \"%.*s\", want \"%s\"", HG_SLICE_ARG(s), want);
}

static void fields_arrive(void **state)
{
    (void)state;
    struct hg_op op;
    decode_ok("{\"op\":\"subscribe\",\"table\":\"items\",\"hashId\":\"h\\u00e9\",\"queryFbB64\":"
              "\"AAA\",\"queryJson\":\"{\\\"limit\\\":1}\","
              "\"resumeFromVersion\":18446744073709551615,\"resume\":\"delta\",\"from\":\"1:0:5:"
              "9\",\"frame\":\"tagged\"}",
              &op);
    assert_int_equal(op.kind, HG_OP_subscribe);
    assert_is(op.subscribe.table, "items");
    assert_is(op.subscribe.hash_id, "h\xc3\xa9");
    assert_is(op.hash_id, "h\xc3\xa9");
    assert_is(op.subscribe.query_fb, "AAA");
    assert_is(op.subscribe.query_json, "{\"limit\":1}");
    assert_true(op.subscribe.resume_from.given && op.subscribe.resume_from.v == UINT64_MAX);
    assert_int_equal(op.subscribe.resume, HG_OP_RESUME_DELTA);
    assert_is(op.subscribe.from, "1:0:5:9");
    assert_int_equal(op.subscribe.frame, HG_OP_FRAME_TAGGED);
    hg_op_fini(&op);
    decode_ok("{\"op\":\"subscribe\",\"table\":\"t\",\"hashId\":\"h\",\"queryJson\":\"{}\","
              "\"resumeFromVersion\":\"9007199254740993\",\"frame\":\"raw\"}",
              &op);
    assert_true(op.subscribe.resume_from.v == 9007199254740993u);
    assert_int_equal(op.subscribe.frame, HG_OP_FRAME_RAW);
    assert_null(op.subscribe.query_fb.p);
    assert_int_equal(op.subscribe.resume, 0);
    hg_op_fini(&op);
    decode_ok("{\"op\":\"rpc\",\"method\":\"UPDATE_SINGLE\",\"payload\":{\"id\": "
              "9223372036854775807},\"correlationId\":\"\"}",
              &op);
    assert_is(op.rpc.payload, "{\"id\": 9223372036854775807}");
    assert_is(op.rpc.correlation_id, "");
    assert_null(op.rpc.company.p);
    hg_op_fini(&op);
    decode_ok("{\"op\":\"publish\",\"room\":\"r\",\"b64\":\"AQI=\",\"excludeSelf\":true,"
              "\"exclude\":[\"a\",\"b\"]}",
              &op);
    assert_true(op.publish.exclude_self);
    assert_int_equal(op.publish.exclude.n, 2);
    assert_is(hg_op_id(&op.publish.exclude, 0), "a");
    assert_is(hg_op_id(&op.publish.exclude, 1), "b");
    assert_null(op.publish.text.p);
    hg_op_fini(&op);
    decode_ok("{\"op\":\"publish\",\"text\":\"a\\u0000b\",\"exclude\":\"x\"}", &op);
    assert_false(op.publish.exclude_self);
    assert_int_equal(op.publish.text.n, 3);
    assert_int_equal(op.publish.exclude.n, 1);
    assert_is(hg_op_id(&op.publish.exclude, 0), "x");
    hg_op_fini(&op);
}

static void ids_are_counted(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_op op;
    hg_buf_adds(&b, "{\"op\":\"publish\",\"text\":\"\",\"exclude\":[\"0\"");
    for (int i = 1; i < HG_OP_MAX_IDS; i++)
        hg_buf_addf(&b, ",\"%d\"", i);
    size_t n = b.n;
    hg_buf_adds(&b, "]}");
    assert_int_equal(hg_op_decode(hg_buf_slice(&b), &op), 0);
    assert_is(hg_op_id(&op.publish.exclude, HG_OP_MAX_IDS - 1), "255");
    hg_op_fini(&op);
    b.n = n;
    hg_buf_adds(&b, ",\"more\"]}");
    assert_int_equal(hg_op_decode(hg_buf_slice(&b), &op), -HG_E_BAD_OP);
    hg_op_fini(&op);
    hg_buf_fini(&b);
}

/* A dialect sees the typed fields, and an error its hashId, whether or not the op itself is
 * right. */
static void dialects_see_the_message(void **state)
{
    (void)state;
    struct hg_op op;
    assert_int_equal(
        hg_op_decode(HG_SLICE_LIT("{\"type\":\"echo\",\"data\":{\"a\":[1]},\"channel\":\"c\"}"),
                     &op),
        -HG_E_BAD_OP);
    assert_is(op.type, "echo");
    assert_is(op.data, "{\"a\":[1]}");
    assert_is(op.channel, "c");
    hg_op_fini(&op);
    assert_int_equal(
        hg_op_decode(HG_SLICE_LIT("{\"type\":7,\"op\":\"unsubscribe\",\"hashId\":\"h\"}"), &op),
        -HG_E_BAD_OP);
    assert_null(op.type.p);
    assert_is(op.hash_id, "h");
    hg_op_fini(&op);
}

static void docs_name_every_row(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    hg_op_docs(&b);
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        char want[128];
        snprintf(want, sizeof(want), "\n## %s\n", rows[i].op);
        hg_test_has(&b, want);
        snprintf(want, sizeof(want), "\n| `%s` |", rows[i].json);
        hg_test_has(&b, want);
    }
    hg_test_has(&b, "\n## ping\n");
    hg_buf_fini(&b);
    assert_string_equal(hg_op_name(HG_OP_publish), "publish");
    assert_string_equal(hg_op_name(HG_OP_NONE), "");
}

static void what_older_clients_do_not_know_is_left_out(void **state)
{
    static const struct {
        const char *query_json;
        bool only_v3;
    } queries[] = {{"5", true}, {"\"\"", true}, {"null", true}, {"{}", true}, {"\"{}\"", false}};

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(queries); i++) {
        for (int broken = 0; broken < 2; broken++) {
            char text[256];
            struct hg_op op;
            snprintf(text, sizeof text,
                     "{\"op\":\"subscribe\",\"table\":\"t\",\"hashId\":\"h\",\"queryJson\":%s,"
                     "\"queryFbB64\":\"eA\",\"resumeFromVersion\":%s}",
                     queries[i].query_json, broken ? "null" : "1");
            int rc = hg_op_decode(hg_slice_str(text), &op);
            assert_int_equal(rc, queries[i].only_v3 || broken ? -HG_E_BAD_OP : 0);
            assert_int_equal(op.only_v3, queries[i].only_v3 && !broken);
            assert_int_equal(op.detail[0] != '\0', rc < 0);
            if (op.only_v3)
                assert_null(op.subscribe.query_json.p);
            hg_op_fini(&op);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_older_clients_do_not_know_is_left_out),
        cmocka_unit_test(every_field_with_every_value),
        cmocka_unit_test(every_field_missing),
        cmocka_unit_test(rules_between_fields),
        cmocka_unit_test(what_is_no_op),
        cmocka_unit_test(fields_arrive),
        cmocka_unit_test(ids_are_counted),
        cmocka_unit_test(dialects_see_the_message),
        cmocka_unit_test(docs_name_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
