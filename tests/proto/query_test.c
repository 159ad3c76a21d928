/*
 * query.h: what is understood, what is refused and where the message points, and that both
 * encodings hold the same query. What the encoder writes is read by the official C++ reader here
 * and by the official JavaScript one in tests/e2e/query_flatbuffers.test.mjs.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/query.h"
#include "proto/query_tree.h"

static struct hg_query *read_ok(const char *json, bool strict)
{
    char why[HG_QUERY_WHY_MAX];
    struct hg_query *q;
    if (hg_query_from_json(hg_slice_str(json), strict, &q, why) != 0)
        fail_msg("%s\n%s", json, why);
    return q;
}

/* JSON -> FlatBuffers -> query -> FlatBuffers gives the same bytes again. */
static void assert_round_trip(const struct hg_query *q, bool strict)
{
    char why[HG_QUERY_WHY_MAX];
    struct hg_query *back;
    struct hg_buf one = {0}, two = {0};
    hg_query_put_control(&one, q);
    if (hg_query_from_fb(hg_buf_slice(&one), strict, &back, why) != 0)
        fail_msg("own bytes refused: %s", why);
    hg_query_put_control(&two, back);
    assert_true(hg_slice_eq(hg_buf_slice(&one), hg_buf_slice(&two)));
    if (q->has_limit && q->offset == 0 && q->strict_after)
        assert_true(hg_query_fingerprint(q) == hg_query_fingerprint(back));
    hg_query_free(back);
    hg_buf_fini(&one);
    hg_buf_fini(&two);
}

#define BASIC(op, value)                                                                           \
    "{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"   \
    "type\":\"" op "\",\"value\":" value "}]}}"

static const char *const accepted[] = {
    "{}",
    "{\"hash\":\"h\",\"schema_version\":1,\"limit\":50,\"strict_after\":true,\"wrapper\":null,"
    "\"order\":[],\"cursor\":[],\"what\":null}",
    "{\"limit\":0}",
    "{\"limit\":4294967295,\"offset\":7}",
    "{\"wrapper\":{\"filters\":[]}}",
    BASIC("equals", "{\"StringValue\":{\"value\":\"x\"}}"),
    BASIC("notEquals", "{\"BoolValue\":{\"value\":false}}"),
    BASIC("lessThan", "{\"Int64Value\":{\"value\":\"9223372036854775807\"}}"),
    BASIC("lessThanOrEquals", "{\"Int64Value\":{\"value\":-9223372036854775808}}"),
    BASIC("greaterThan", "{\"NumberValue\":{\"value\":-1.5e-3}}"),
    BASIC("greaterThanOrEquals",
          "{\"TimestampValue\":{\"epoch\":\"1700000000000000\",\"unit\":\"NANOS\"}}"),
    BASIC("equals", "{\"TimestampValue\":{\"epoch\":5}}"),
    BASIC("isNull", "{\"NullValue\":{}}"),
    BASIC("isNotNull", "null"),
    BASIC("startsWith", "{\"StringValue\":{\"value\":\"\"}}"),
    BASIC("notContains", "{\"StringValue\":{\"value\":\"%_\"},\"ignored\":1}"),
    BASIC("between", "{\"Int64List\":{\"values\":[1,\"2\"]}}"),
    BASIC("notBetween", "{\"RangeValue\":{\"low\":{\"NumberValue\":{\"value\":1}},\"high\":{"
                        "\"NumberValue\":{\"value\":2}},\"include_low\":true}}"),
    BASIC("between", "{\"RangeValue\":{\"low\":{\"StringValue\":{\"value\":\"a\"}},\"high\":{"
                     "\"StringValue\":{\"value\":\"b\"}}}}"),
    BASIC("in", "{\"StringList\":{\"values\":[]}}"),
    BASIC("inList", "{\"BoolList\":{\"values\":[true,false]}}"),
    BASIC("notIn", "{\"Float64List\":{\"values\":[1,2.5]}}"),
    BASIC("notInList", "{\"Int64List\":{\"values\":[9007199254740993]}}"),
    "{\"wrapper\":{\"filter_wrapper_type\":\"or\",\"filters\":[{\"field_name\":\"a\",\"value\":{"
    "\"Int64Value\":{\"value\":1}},\"modifier\":{\"case_insensitive\":true,"
    "\"nulls_order\":\"last\"}},{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":"
    "\"b\",\"filter_type\":\"isNull\",\"filter_wrapper_type\":null}]}]}}",
    "{\"order\":[{\"field\":\"a\"},{\"field\":\"b\",\"sort\":\"ASC_NULLS_LAST\",\"is_pk\":true}],"
    "\"cursor\":[{\"field\":\"a\",\"value\":{\"Int64Value\":{\"value\":\"7\"}}},"
    "{\"field\":\"b\",\"value\":{\"NullValue\":{}}}]}",
};

static void accepted_and_round_tripped(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(accepted); i++) {
        for (int strict = 0; strict < 2; strict++) {
            struct hg_query *q = read_ok(accepted[i], strict);
            assert_round_trip(q, strict);
            hg_query_free(q);
        }
    }
}

/* Refused in strict mode, with this message; lenient: refused too, or taken as the sources took it.
 */
static const struct refused {
    const char *json;
    const char *why;
    bool always;
} refused[] = {
    {"", "$: not JSON", true},
    {"[]", "$: expected an object", true},
    {"null", "$: expected an object", true},
    {"{\"limit\":-1}", "$.limit: expected an integer from 0 to 4294967295", false},
    {"{\"limit\":1.5}", "$.limit: expected an integer from 0 to 4294967295", false},
    {"{\"limit\":\"7\"}", "$.limit: expected an integer from 0 to 4294967295", false},
    {"{\"limit\":4294967296}", "$.limit: expected an integer from 0 to 4294967295", true},
    {"{\"schema_version\":2}", "$.schema_version: expected 1", false},
    {"{\"filters\":[]}", "$: unknown member \"filters\"", false},
    {"{\"wraper\":{}}", "$: unknown member \"wraper\"", false},
    {"{\"wrapper\":[]}", "$.wrapper: expected an object", false},
    {"{\"wrapper\":{\"filters\":{}}}", "$.wrapper.filters: expected an array", false},
    {"{\"wrapper\":{}}", "$.wrapper.filters: expected an array", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"xor\",\"filters\":[]}}",
     "$.wrapper: expected \"and\" or \"or\" in filter_wrapper_type", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"or\",\"filters\":[]}}",
     "$.wrapper.filters: expected at least one filter in an \"or\"", false},
    {"{\"wrapper\":{\"filters\":[7]}}", "$.wrapper.filters[0]: expected an object", true},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"\"}]}}",
     "$.wrapper.filters[0]: expected a field_name", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"not\":true}]}}",
     "$.wrapper.filters[0]: unknown member \"not\"", false},
    {BASIC("like", "null"), "$.wrapper.filters[0]: unknown filter_type \"like\"", true}, /* B-21 */
    {BASIC("", "null"), "$.wrapper.filters[0]: unknown filter_type \"\"", true},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":8}]}}",
     "$.wrapper.filters[0]: unknown filter_type 8", true},
    {BASIC("regex", "{\"StringValue\":{\"value\":\"x\"}}"),
     "$.wrapper.filters[0]: operator regex is not supported by this version", false},
    {BASIC("equals", "null"),
     "$.wrapper.filters[0].value: expected one value that is not null (for null: isNull, "
     "isNotNull) for equals",
     false},
    {BASIC("equals", "{\"NullValue\":{}}"),
     "$.wrapper.filters[0].value: expected one value that is not null (for null: isNull, "
     "isNotNull) for equals",
     false},
    {BASIC("equals", "{\"StringList\":{\"values\":[]}}"),
     "$.wrapper.filters[0].value: expected one value that is not null (for null: isNull, "
     "isNotNull) for equals",
     false},
    {BASIC("equals", "7"),
     "$.wrapper.filters[0].value: expected an object with one kind, as {\"StringValue\":{...}}",
     false},
    {BASIC("equals", "{}"),
     "$.wrapper.filters[0].value: expected an object with one kind, as {\"StringValue\":{...}}",
     false},
    {BASIC("equals", "{\"Decimal\":{}}"), "$.wrapper.filters[0].value: unknown kind \"Decimal\"",
     false},
    {BASIC("equals", "{\"StringValue\":\"x\"}"),
     "$.wrapper.filters[0].value: expected an object in StringValue", false},
    {BASIC("equals", "{\"StringValue\":{\"value\":7}}"),
     "$.wrapper.filters[0].value.StringValue.value: expected a string", false},
    {BASIC("equals", "{\"NumberValue\":{\"value\":\"7\"}}"),
     "$.wrapper.filters[0].value.NumberValue.value: expected a number", false},
    {BASIC("equals", "{\"NumberValue\":{\"value\":\"x\"}}"),
     "$.wrapper.filters[0].value.NumberValue.value: expected a number", true},
    {BASIC("equals", "{\"BoolValue\":{\"value\":1}}"),
     "$.wrapper.filters[0].value.BoolValue.value: expected true or false", false},
    {BASIC("equals", "{\"Int64Value\":{\"value\":\"1.5\"}}"),
     "$.wrapper.filters[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal "
     "text",
     true},
    {BASIC("equals", "{\"Int64Value\":{\"value\":1.5}}"),
     "$.wrapper.filters[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal "
     "text",
     true},
    {BASIC("equals", "{\"Int64Value\":{\"value\":9223372036854775808}}"),
     "$.wrapper.filters[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal "
     "text",
     true},
    {BASIC("equals", "{\"TimestampValue\":{\"epoch\":1,\"unit\":\"DAYS\"}}"),
     "$.wrapper.filters[0].value.TimestampValue: expected SECONDS, MILLIS, MICROS or NANOS", false},
    {BASIC("inList", "{\"Int64List\":{\"values\":[1,2,\"x\"]}}"),
     "$.wrapper.filters[0].value.Int64List.values[2]: expected an integer of 64 bits, or its "
     "decimal text",
     true},
    {BASIC("inList", "{\"StringList\":{\"values\":\"x\"}}"),
     "$.wrapper.filters[0].value.StringList.values: expected an array", false},
    {BASIC("inList", "{\"StringValue\":{\"value\":\"x\"}}"),
     "$.wrapper.filters[0].value: expected a list for inList", false},
    {BASIC("contains", "{\"Int64Value\":{\"value\":1}}"),
     "$.wrapper.filters[0].value: expected a StringValue for contains", false},
    {BASIC("between", "{\"Int64List\":{\"values\":[1,2,3]}}"),
     "$.wrapper.filters[0].value: expected a list of two, or a RangeValue for between", false},
    {BASIC("between", "{\"BoolList\":{\"values\":[true,false]}}"),
     "$.wrapper.filters[0].value: expected a list of two, or a RangeValue for between", false},
    {BASIC("equals", "{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},\"high\":{"
                     "\"Int64Value\":{\"value\":2}}}}"),
     "$.wrapper.filters[0].value: a RangeValue is for between and notBetween", false},
    {BASIC("between", "{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},\"high\":{"
                      "\"NumberValue\":{\"value\":2}}}}"),
     "$.wrapper.filters[0].value.RangeValue: expected two ends of one kind: StringValue, "
     "NumberValue or Int64Value",
     true}, /* B-22 */
    {BASIC("between", "{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}}}}"),
     "$.wrapper.filters[0].value.RangeValue: expected two ends of one kind: StringValue, "
     "NumberValue or Int64Value",
     true},
    {BASIC("between", "{\"RangeValue\":{\"low\":{\"RangeValue\":{}},\"high\":null}}"),
     "$.wrapper.filters[0].value.RangeValue: a range inside a range", true},
    {BASIC("between", "{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},\"high\":{"
                      "\"Int64Value\":{\"value\":2}},\"include_high\":false}}"),
     "$.wrapper.filters[0].value.RangeValue: an end that is not included cannot be expressed; use "
     "and with lessThan, greaterThan",
     true},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\",\"modifier\":{"
     "\"distinct\":true}}]}}",
     "$.wrapper.filters[0]: modifier distinct is not supported by this version", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\",\"modifier\":{"
     "\"nulls_order\":\"middle\"}}]}}",
     "$.wrapper.filters[0]: expected first, last or default in nulls_order", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\",\"modifier\":7}]}"
     "}",
     "$.wrapper.filters[0]: expected an object in modifier", false},
    {"{\"order\":{}}", "$.order: expected an array", false},
    {"{\"order\":[{\"sort\":\"ASC_DEFAULT\"}]}", "$.order[0]: expected an object with a field",
     false},
    {"{\"order\":[{\"field\":\"a\"},{\"field\":\"b\",\"sort\":\"UP\"}]}",
     "$.order[1]: expected one of ASC_DEFAULT ... DESC_NULLS_LAST in sort", false},
    {"{\"cursor\":[{\"value\":null}]}", "$.cursor[0]: expected an object with a field", false},
    {"{\"cursor\":[{\"field\":\"a\",\"value\":{\"Int64List\":{\"values\":[]}}}]}",
     "$.cursor[0]: expected one value", false},
    {"{\"cursor\":[{\"field\":\"a\",\"value\":{\"Int64Value\":{\"value\":\"x\"}}}]}",
     "$.cursor[0].Int64Value.value: expected an integer of 64 bits, or its decimal text", true},
};

static void refused_with_the_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(refused); i++) {
        char why[HG_QUERY_WHY_MAX];
        struct hg_query *q;
        int rc = hg_query_from_json(hg_slice_str(refused[i].json), true, &q, why);
        if (rc != -HG_E_BAD_QUERY || q || strcmp(why, refused[i].why) != 0)
            fail_msg("%s\n  %d %s\n  want %s", refused[i].json, rc, why, refused[i].why);
        rc = hg_query_from_json(hg_slice_str(refused[i].json), false, &q, why);
        if ((rc < 0) != refused[i].always)
            fail_msg("lenient: %s\n  %d %s", refused[i].json, rc, why);
        if (rc == 0)
            assert_round_trip(q, false);
        hg_query_free(q);
    }
}

/* Every operator by both names; kept ones take their value, the others are refused, never turned
 * into something else. */
static void every_operator(void **state)
{
    (void)state;
    static const struct {
        const char *name, *second;
        const char *value, *fate;
    } ops[] = {
#define HG_QUERY_OP(number, name, second, value, fate) {#name, second, #value, #fate},
#include "proto/query.def"
#undef HG_QUERY_OP
    };
    assert_int_equal(HG_COUNTOF(ops), HG_QUERY_OPS);
    for (unsigned i = 0; i < HG_QUERY_OPS; i++) {
        const char *value = !strcmp(ops[i].value, "SCALAR") || !strcmp(ops[i].value, "TEXT")
                                ? "{\"StringValue\":{\"value\":\"a\"}}"
                            : !strcmp(ops[i].value, "LIST") || !strcmp(ops[i].value, "PAIR")
                                ? "{\"StringList\":{\"values\":[\"a\",\"b\"]}}"
                                : "null";
        for (int second = 0; second < 2; second++) {
            char json[512], why[HG_QUERY_WHY_MAX];
            struct hg_query *q;
            const char *name = second ? ops[i].second : ops[i].name;
            if (!*name)
                continue;
            snprintf(json, sizeof(json), BASIC("%s", "%s"), name, value);
            bool kept = !strcmp(ops[i].fate, "KEPT");
            assert_int_equal(hg_query_from_json(hg_slice_str(json), true, &q, why),
                             kept ? 0 : -HG_E_BAD_QUERY);
            hg_query_free(q);
            q = read_ok(json, false);
            assert_int_equal(q->wrapper->kids[0].op, i);
            assert_round_trip(q, false);
            hg_query_free(q);
        }
    }
}

static void lenient_defaults_are_the_sources(void **state)
{
    (void)state;
    struct hg_query *q =
        read_ok("{\"hash\":7,\"limit\":\"9\",\"x\":1,\"wrapper\":{\"filter_wrapper_type\":\"zzz\","
                "\"filters\":[{},{\"value\":{\"Foo\":{}}},"
                "{\"value\":{\"StringValue\":{\"value\":12.50}}},{\"value\":{\"Int64Value\":{}}},{"
                "\"value\":{\"BoolValue\":{\"value\":\"x\"}}}]},"
                "\"order\":[{\"field\":\"a\",\"sort\":\"up\"},{\"sort\":\"x\"},7],\"cursor\":{}}",
                false);
    const struct hg_filter *f = q->wrapper->kids;
    assert_true(hg_slice_is(q->hash, "7"));
    assert_true(q->has_limit && q->limit == 9);
    assert_true(q->wrapper->all);
    assert_int_equal(q->wrapper->nkids, 5);
    assert_int_equal(f[0].op, 0);
    assert_int_equal(f[0].value.kind, HG_VALUE_NULL);
    assert_int_equal(f[1].value.kind, HG_VALUE_NULL);
    assert_true(hg_slice_is(f[2].value.one.text, "12.50"));
    assert_true(f[3].value.kind == HG_VALUE_INT64 && f[3].value.one.integer == 0);
    assert_true(f[4].value.one.flag);
    assert_int_equal(q->norder, 1);
    assert_int_equal(q->order[0].sort, HG_SORT_DEFAULT);
    assert_int_equal(q->ncursor, 0);
    hg_query_free(q);
}

static void fingerprints_tell_queries_apart(void **state)
{
    (void)state;
    uint64_t seen[HG_COUNTOF(accepted)];
    for (size_t i = 0; i < HG_COUNTOF(accepted); i++) {
        struct hg_query *q = read_ok(accepted[i], true);
        seen[i] = hg_query_fingerprint(q);
        hg_query_free(q);
    }
    struct hg_query *a =
        read_ok("{\"hash\":\"one\",\"limit\":7,\"wrapper\":{\"filters\":[{\"field_name\":\"f\","
                "\"filter_type\":\"in\",\"value\":{\"StringList\":{\"values\":[]}}}]}}",
                true);
    struct hg_query *b = read_ok(
        "{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"value\":{\"StringList\":{"
        "\"values\":[]}},\"filter_type\":\"inList\",\"field_name\":\"f\"}]}, \"limit\":7}",
        true);
    assert_true(hg_query_fingerprint(a) ==
                hg_query_fingerprint(b)); /* the order of keys, the hash and spelling don't count */
    for (size_t i = 0; i < HG_COUNTOF(accepted); i++) {
        assert_true(seen[i] != hg_query_fingerprint(a));
        for (size_t k = i + 1; k < HG_COUNTOF(accepted); k++)
            if (seen[i] == seen[k] && !(i < 2 && k < 2) && !strstr(accepted[i], "\"limit\":50"))
                fail_msg("same fingerprint:\n%s\n%s", accepted[i], accepted[k]);
    }
    hg_query_free(a);
    hg_query_free(b);
}

/* ---- caps ---- */

static struct hg_query *read_nested(unsigned depth, int *rc, char why[HG_QUERY_WHY_MAX])
{
    struct hg_buf b = {0};
    struct hg_query *q;
    hg_buf_adds(&b, "{\"wrapper\":");
    for (unsigned i = 0; i < depth; i++)
        hg_buf_adds(&b, "{\"filter_wrapper_type\":\"and\",\"filters\":[");
    for (unsigned i = 0; i < depth; i++)
        hg_buf_adds(&b, "]}");
    hg_buf_addc(&b, '}');
    *rc = hg_query_from_json(hg_buf_slice(&b), true, &q, why);
    hg_buf_fini(&b);
    return q;
}

static int read_wide(unsigned n)
{
    struct hg_buf b = {0};
    struct hg_query *q;
    char why[HG_QUERY_WHY_MAX];
    hg_buf_adds(&b, "{\"wrapper\":{\"filters\":[");
    for (unsigned i = 0; i < n; i++)
        hg_buf_addf(&b, "%s{\"field_name\":\"f\",\"filter_type\":\"isNull\"}", i ? "," : "");
    hg_buf_adds(&b, "]}}");
    int rc = hg_query_from_json(hg_buf_slice(&b), true, &q, why);
    hg_query_free(q);
    hg_buf_fini(&b);
    return rc;
}

static void caps_hold(void **state)
{
    (void)state;
    char why[HG_QUERY_WHY_MAX];
    int rc;
    struct hg_query *q = read_nested(HG_QUERY_MAX_DEPTH, &rc, why);
    assert_int_equal(rc, 0);
    assert_round_trip(q, true);
    hg_query_free(q);
    assert_null(read_nested(HG_QUERY_MAX_DEPTH + 1, &rc, why));
    assert_int_equal(rc, -HG_E_BAD_QUERY);
    assert_null(read_nested(5000, &rc, why));
    assert_string_equal(why, "$: nested too deep");
    assert_int_equal(read_wide(HG_QUERY_MAX_NODES), 0);
    assert_int_equal(read_wide(HG_QUERY_MAX_NODES + 1), -HG_E_BAD_QUERY);
    char *big = calloc(1, HG_QUERY_MAX_JSON + 1);
    assert_int_equal(hg_query_from_json(hg_slice_of(big, HG_QUERY_MAX_JSON + 1), true, &q, why),
                     -HG_E_BAD_QUERY);
    assert_string_equal(why, "$: too large");
    assert_int_equal(hg_query_from_fb(hg_slice_of(big, HG_QUERY_MAX_FB + 1), true, &q, why),
                     -HG_E_BAD_QUERY);
    assert_string_equal(why, "$: too large");
    free(big);
}

/* ---- bytes of others ---- */

static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    struct hg_query *q = read_ok(accepted[HG_COUNTOF(accepted) - 2], true), *other;
    struct hg_buf b = {0};
    char why[HG_QUERY_WHY_MAX];
    hg_query_put_control(&b, q);
    hg_query_free(q);
    for (size_t n = 0; n + 8 < b.n;
         n++) { /* no prefix verifies, but for padding: the parts stand behind */
        char *cut = malloc(n ? n : 1);
        memcpy(cut, b.p, n);
        assert_int_equal(hg_query_from_fb(hg_slice_of(cut, n), true, &other, why), -HG_E_BAD_QUERY);
        free(cut);
    }
    for (size_t i = 0; i < b.n; i++) { /* whatever one byte does: an answer, and no read outside */
        for (int bit = 0; bit < 8; bit++) {
            b.p[i] ^= (char)(1 << bit);
            if (hg_query_from_fb(hg_buf_slice(&b), false, &other, why) == 0)
                hg_query_free(other);
            b.p[i] ^= (char)(1 << bit);
        }
    }
    assert_int_equal(hg_query_from_fb(HG_SLICE_NONE, true, &other, why), -HG_E_BAD_QUERY);
    assert_string_equal(why, "$: not a StreamingSqlDataFilter");
    hg_buf_fini(&b);
}

static void strict_judges_bytes_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(refused); i++) {
        char why[HG_QUERY_WHY_MAX];
        struct hg_query *q, *back;
        if (!strstr(refused[i].json, "regex"))
            continue;
        q = read_ok(refused[i].json, false);
        struct hg_buf b = {0};
        hg_query_put_control(&b, q);
        assert_int_equal(hg_query_from_fb(hg_buf_slice(&b), true, &back, why), -HG_E_BAD_QUERY);
        assert_string_equal(why, refused[i].why);
        hg_query_free(q);
        hg_buf_fini(&b);
    }
}

/* ---- random queries ---- */

static uint64_t seed = 42;
static unsigned pick(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static void add_string(struct hg_buf *b)
{
    static const char *const pieces[] = {"",
                                         "a",
                                         "\\u00e9",
                                         "\\\"",
                                         "x\\ny",
                                         "\xf0\x9f\x98\x80",
                                         "\\ud83d\\ude00",
                                         "long text that needs more than a word",
                                         "%_"};
    hg_buf_addc(b, '"');
    for (unsigned n = pick(3); n-- > 0;)
        hg_buf_adds(b, pieces[pick(HG_COUNTOF(pieces))]);
    hg_buf_addc(b, '"');
}

static void add_integer(struct hg_buf *b)
{
    static const char *const some[] = {
        "0",      "-1", "7", "\"9223372036854775807\"", "-9223372036854775808", "9007199254740993",
        "\"-12\""};
    hg_buf_adds(b, some[pick(HG_COUNTOF(some))]);
}

static void add_number(struct hg_buf *b)
{
    static const char *const some[] = {"0", "-0", "1.5", "1e-300", "-2.5e10", "123456789", "0.1"};
    hg_buf_adds(b, some[pick(HG_COUNTOF(some))]);
}

static void add_flag(struct hg_buf *b)
{
    hg_buf_adds(b, pick(2) ? "true" : "false");
}

static void add_list(struct hg_buf *b, const char *kind, void (*item)(struct hg_buf *), unsigned n)
{
    hg_buf_addf(b, "{\"%s\":{\"values\":[", kind);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            hg_buf_addc(b, ',');
        item(b);
    }
    hg_buf_adds(b, "]}}");
}

static void add_one(struct hg_buf *b, const char *kind, void (*item)(struct hg_buf *))
{
    hg_buf_addf(b, "{\"%s\":{\"value\":", kind);
    item(b);
    hg_buf_adds(b, "}}");
}

static void add_scalar(struct hg_buf *b)
{
    static const char *const units[] = {"SECONDS", "MILLIS", "MICROS", "NANOS"};
    switch (pick(5)) {
    case 0:
        add_one(b, "StringValue", add_string);
        break;
    case 1:
        add_one(b, "NumberValue", add_number);
        break;
    case 2:
        add_one(b, "BoolValue", add_flag);
        break;
    case 3:
        add_one(b, "Int64Value", add_integer);
        break;
    default:
        hg_buf_adds(b, "{\"TimestampValue\":{\"epoch\":");
        add_integer(b);
        hg_buf_addf(b, ",\"unit\":\"%s\"}}", units[pick(4)]);
    }
}

static void add_any_list(struct hg_buf *b, unsigned kinds, unsigned n)
{
    static const struct {
        const char *kind;
        void (*item)(struct hg_buf *);
    } lists[] = {{"StringList", add_string},
                 {"Int64List", add_integer},
                 {"Float64List", add_number},
                 {"BoolList", add_flag}};
    unsigned k = pick(kinds);
    add_list(b, lists[k].kind, lists[k].item, n);
}

static void add_basic(struct hg_buf *b)
{
    static const char *const scalar[] = {"equals",           "notEquals",   "lessThan",
                                         "lessThanOrEquals", "greaterThan", "greaterThanOrEquals"};
    static const char *const text[] = {"startsWith", "endsWith", "contains", "notContains"};
    hg_buf_adds(b, "{\"field_name\":\"f\",\"filter_type\":");
    switch (pick(5)) {
    case 0:
        hg_buf_addf(b, "\"%s\",\"value\":", scalar[pick(6)]);
        add_scalar(b);
        break;
    case 1:
        hg_buf_addf(b, "\"%s\",\"value\":", text[pick(4)]);
        add_one(b, "StringValue", add_string);
        break;
    case 2:
        hg_buf_addf(b, "\"%s\"", pick(2) ? "isNull" : "isNotNull");
        break;
    case 3:
        hg_buf_addf(b, "\"%s\",\"value\":", pick(2) ? "between" : "notBetween");
        add_any_list(b, 3, 2);
        break;
    default:
        hg_buf_addf(b, "\"%s\",\"value\":", pick(2) ? "inList" : "notIn");
        add_any_list(b, 4, pick(5));
    }
    if (pick(4) == 0)
        hg_buf_adds(b, ",\"modifier\":{\"case_insensitive\":true,\"nulls_order\":\"first\"}");
    hg_buf_addc(b, '}');
}

static void add_wrapper(struct hg_buf *b, unsigned depth)
{
    hg_buf_addf(b, "{\"filter_wrapper_type\":\"%s\",\"filters\":[", pick(2) ? "and" : "or");
    for (unsigned i = 0, n = 1 + pick(4); i < n; i++) {
        if (i > 0)
            hg_buf_addc(b, ',');
        if (depth < 6 && pick(3) == 0)
            add_wrapper(b, depth + 1);
        else
            add_basic(b);
    }
    hg_buf_adds(b, "]}");
}

static void add_order_and_cursor(struct hg_buf *b)
{
    static const char *const sorts[] = {"ASC_DEFAULT",  "ASC_NULLS_FIRST",  "ASC_NULLS_LAST",
                                        "DESC_DEFAULT", "DESC_NULLS_FIRST", "DESC_NULLS_LAST"};
    unsigned n = pick(4);
    hg_buf_adds(b, ",\"order\":[");
    for (unsigned i = 0; i < n; i++)
        hg_buf_addf(b, "%s{\"field\":\"o%u\",\"sort\":\"%s\",\"is_pk\":%s}", i ? "," : "", i,
                    sorts[pick(6)], pick(2) ? "true" : "false");
    hg_buf_adds(b, "],\"cursor\":[");
    for (unsigned i = 0; i < n; i++) {
        hg_buf_addf(b, "%s{\"field\":\"o%u\",\"value\":", i ? "," : "", i);
        add_scalar(b);
        hg_buf_addc(b, '}');
    }
    hg_buf_addc(b, ']');
}

static void random_queries_round_trip(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    for (int i = 0; i < 3000; i++) {
        hg_buf_reset(&b);
        hg_buf_addf(&b, "{\"hash\":\"h%d\",\"limit\":%u", i, pick(200));
        if (pick(5) > 0) {
            hg_buf_adds(&b, ",\"wrapper\":");
            add_wrapper(&b, 1);
        }
        add_order_and_cursor(&b);
        hg_buf_addc(&b, '}');
        struct hg_query *q = read_ok(hg_test_text(&b), true);
        assert_round_trip(q, true);
        hg_query_free(q);
    }
    hg_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_and_round_tripped),
        cmocka_unit_test(refused_with_the_path),
        cmocka_unit_test(every_operator),
        cmocka_unit_test(lenient_defaults_are_the_sources),
        cmocka_unit_test(fingerprints_tell_queries_apart),
        cmocka_unit_test(caps_hold),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(strict_judges_bytes_too),
        cmocka_unit_test(random_queries_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
