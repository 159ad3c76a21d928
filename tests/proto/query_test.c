/*
 * query.h: what is understood, what is refused and where the message points, and that both
 * encodings hold the same query. What the encoder writes is read by the official C++ reader here
 * and by the official JavaScript one in tests/e2e/query_flatbuffers.test.mjs.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/fb_build.h"
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
    "{\"schema_version\":65535,\"hash\":\"\",\"strict_after\":true}",
    BASIC("equals", "{\"NullValue\":{}}"),
    BASIC("notEquals", "{\"NullValue\":null}"),
    BASIC("regex", "{\"StringValue\":{\"value\":\"^a\"}}"),
    BASIC("arrayEmpty", "null"),
    BASIC("arrayLength", "{\"Int64Value\":{\"value\":3}}"),
    BASIC("jsonHasAllKeys", "{\"StringList\":{\"values\":[\"a\",\"b\"]}}"),
    BASIC("rangeContains", "{\"TimestampValue\":{\"epoch\":3}}"),
    BASIC("rangeContainedBy", "{\"RangeValue\":{\"low\":{\"BoolValue\":{\"value\":false}},"
                              "\"high\":{\"BoolValue\":{\"value\":true}}}}"),
    BASIC("greaterThan", "{\"NumberValue\":{\"value\":3.0000000000000000000000000000000000000000000"
                         "000000000000000000000000000000000000000001}}"),
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

/* Refused in strict mode, with this message; lenient: refused too, or taken as the sources took
 * it. */
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
    {"{\"limit\":1e999}", "$.limit: expected an integer from 0 to 4294967295", false},
    {"{\"offset\":true}", "$.offset: expected an integer from 0 to 4294967295", false},
    {"{\"schema_version\":65536}", "$.schema_version: expected an integer from 0 to 65535", true},
    {"{\"schema_version\":\"1\"}", "$.schema_version: expected an integer from 0 to 65535", false},
    {"{\"hash\":7}", "$.hash: expected a string", false},
    {"{\"strict_after\":\"no\"}", "$.strict_after: expected true or false", false},
    {"{\"filters\":[]}", "$: unknown member \"filters\"", false},
    {"{\"wraper\":{}}", "$: unknown member \"wraper\"; nearest: wrapper", false},
    {"{\"wrapper\":[]}", "$.wrapper: expected an object", false},
    {"{\"wrapper\":{\"filters\":{}}}", "$.wrapper.filters: expected an array", false},
    {"{\"wrapper\":{}}", "$.wrapper.filters: expected an array", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"xor\",\"filters\":[]}}",
     "$.wrapper.filter_wrapper_type: unknown \"xor\"; nearest: or", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":1,\"filters\":[]}}",
     "$.wrapper.filter_wrapper_type: expected a string", false},
    {"{\"wrapper\":{\"filters\":[{\"filter_wrapper_type\":\"\",\"filters\":[]}]}}",
     "$.wrapper.filters[0].filter_wrapper_type: unknown \"\"", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"or\",\"filters\":[]}}",
     "$.wrapper.filters: expected at least one filter in an \"or\"", false},
    {"{\"wrapper\":{\"filters\":[7]}}", "$.wrapper.filters[0]: expected an object", true},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"\"}]}}",
     "$.wrapper.filters[0].field_name: expected a name", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":7}]}}",
     "$.wrapper.filters[0].field_name: expected a string", false},
    {"{\"wrapper\":{\"filters\":[{}]}}", "$.wrapper.filters[0].field_name: expected a string",
     false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"not\":true}]}}",
     "$.wrapper.filters[0]: unknown member \"not\"", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"like\",\"value\":null}]}}",
     "$.wrapper.filters[0].filter_type: unknown \"like\"", true}, /* B-21 */
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"eqals\",\"value\":null}]}}",
     "$.wrapper.filters[0].filter_type: unknown \"eqals\"; nearest: equals", true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"33\",\"value\":null}]}}",
     "$.wrapper.filters[0].filter_type: unknown \"33\"", true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"\",\"value\":null}]}}",
     "$.wrapper.filters[0].filter_type: unknown \"\"", true},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":8}]}}",
     "$.wrapper.filters[0].filter_type: expected a string", true},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\"},{\"filter_"
     "wrapper_type\":\"or\",\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\"},{"
     "\"field_name\":\"f\",\"filter_type\":\"isNull\"},{\"field_name\":\"f\",\"filter_type\":"
     "\"notequals\"}]}]}}",
     "$.wrapper.filters[1].filters[2].filter_type: unknown \"notequals\"; nearest: notEquals",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"regex\",\"value\":{\"Int64Value\":{\"value\":1}}}]}}",
     "$.wrapper.filters[0].value: expected a StringValue for regex", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":null}]}}",
     "$.wrapper.filters[0].value: expected a value for equals", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"inList\",\"value\":null}]}}",
     "$.wrapper.filters[0].value: expected a value for inList", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"lessThan\",\"value\":{\"NullValue\":{}}}]}}",
     "$.wrapper.filters[0].value: expected one value that is not null for lessThan", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"StringList\":{\"values\":[]}}}]}}",
     "$.wrapper.filters[0].value: expected one value for equals", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":7}]}}",
     "$.wrapper.filters[0].value: expected an object with one kind, as {\"StringValue\":{...}}",
     false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":[]}]}}",
     "$.wrapper.filters[0].value: expected an object with one kind, as {\"StringValue\":{...}}",
     false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{}}]}}",
     "$.wrapper.filters[0].value: expected an object with one kind, as {\"StringValue\":{...}}",
     false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"Decimal\":{}}}]}}",
     "$.wrapper.filters[0].value: unknown \"Decimal\"", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"Int64value\":{}}}]}}",
     "$.wrapper.filters[0].value: unknown \"Int64value\"; nearest: Int64Value", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"StringValue\":\"x\"}}]}}",
     "$.wrapper.filters[0].value.StringValue: expected an object", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"NullValue\":7}}]}}",
     "$.wrapper.filters[0].value.NullValue: expected an object", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"NullValue\":{\"value\":1}}}]}}",
     "$.wrapper.filters[0].value.NullValue: unknown member \"value\"", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"StringValue\":{\"value\":7}}}]}}",
     "$.wrapper.filters[0].value.StringValue.value: expected a string", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"StringValue\":{}}}]}}",
     "$.wrapper.filters[0].value.StringValue.value: expected a string", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"StringValue\":{\"value\":\"a\\ud800\"}}}]}}",
     "$.wrapper.filters[0].value.StringValue.value: a surrogate without its partner", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"inList\",\"value\":{\"StringList\":{\"values\":[\"\\ud83d\\ude00\","
     "\"\\ude00\\ud83d\"]}}}]}}",
     "$.wrapper.filters[0].value.StringList.values[1]: a surrogate without its partner", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"\\udfff\",\"filter_type\":\"isNull\"}]}}",
     "$.wrapper.filters[0].field_name: a surrogate without its partner", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"NumberValue\":{\"value\":\"7\"}}}]}}",
     "$.wrapper.filters[0].value.NumberValue.value: expected a number that a double can hold",
     false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"NumberValue\":{\"value\":\"x\"}}}]}}",
     "$.wrapper.filters[0].value.NumberValue.value: expected a number that a double can hold",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"NumberValue\":{\"value\":1e999}}}]}}",
     "$.wrapper.filters[0].value.NumberValue.value: expected a number that a double can hold",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"BoolValue\":{\"value\":1}}}]}}",
     "$.wrapper.filters[0].value.BoolValue.value: expected true or false", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"Int64Value\":{\"value\":\"1.5\"}}}]}}",
     "$.wrapper.filters[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal "
     "text",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"Int64Value\":{\"value\":1.5}}}]}}",
     "$.wrapper.filters[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal "
     "text",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"Int64Value\":{\"value\":9223372036854775808}}}]}}",
     "$.wrapper.filters[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal "
     "text",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"Int64Value\":{\"value\":"
     "100000000000000000000000000000000000000000000000000000000000000000000000000000000}}}]}}",
     "$.wrapper.filters[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal "
     "text",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"TimestampValue\":{\"epoch\":1,\"unit\":\"DAYS\"}}}]}}",
     "$.wrapper.filters[0].value.TimestampValue.unit: unknown \"DAYS\"", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"TimestampValue\":{\"epoch\":1,\"unit\":\"millis\"}}}]}}",
     "$.wrapper.filters[0].value.TimestampValue.unit: unknown \"millis\"", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"TimestampValue\":{\"epoch\":1,\"unit\":2}}}]}}",
     "$.wrapper.filters[0].value.TimestampValue.unit: expected a string", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"TimestampValue\":{\"epoch\":1,\"units\":\"SECONDS\"}}}]}}",
     "$.wrapper.filters[0].value.TimestampValue: unknown member \"units\"; nearest: unit", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"inList\",\"value\":{\"Int64List\":{\"values\":[1,2,\"x\"]}}}]}}",
     "$.wrapper.filters[0].value.Int64List.values[2]: expected an integer of 64 bits, or its "
     "decimal text",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"inList\",\"value\":{\"StringList\":{\"values\":\"x\"}}}]}}",
     "$.wrapper.filters[0].value.StringList.values: expected an array", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"inList\",\"value\":{\"StringValue\":{\"value\":\"x\"}}}]}}",
     "$.wrapper.filters[0].value: expected a list for inList", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"contains\",\"value\":{\"Int64Value\":{\"value\":1}}}]}}",
     "$.wrapper.filters[0].value: expected a StringValue for contains", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"Int64List\":{\"values\":[1,2,3]}}}]}}",
     "$.wrapper.filters[0].value: expected a list of two, or a RangeValue for between", false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"rangeContains\",\"value\":{\"Int64List\":{\"values\":[1]}}}]}}",
     "$.wrapper.filters[0].value: expected one value, a list of two, or a RangeValue for "
     "rangeContains",
     false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"equals\",\"value\":{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},\"high\":"
     "{\"Int64Value\":{\"value\":2}}}}}]}}",
     "$.wrapper.filters[0].value: a RangeValue is for between, notBetween, rangeContains and "
     "rangeContainedBy",
     false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"arrayContains\",\"value\":{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},"
     "\"high\":{\"Int64Value\":{\"value\":2}}}}}]}}",
     "$.wrapper.filters[0].value: a RangeValue is for between, notBetween, rangeContains and "
     "rangeContainedBy",
     false},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},"
     "\"high\":{\"NumberValue\":{\"value\":2}}}}}]}}",
     "$.wrapper.filters[0].value.RangeValue: expected two ends of one kind: StringValue, "
     "NumberValue, BoolValue or Int64Value; for others use and with greaterThanOrEquals, "
     "lessThanOrEquals",
     true}, /* B-22 */
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"RangeValue\":{\"low\":{\"TimestampValue\":{\"epoch\":1}},"
     "\"high\":{\"TimestampValue\":{\"epoch\":2}}}}}]}}",
     "$.wrapper.filters[0].value.RangeValue: expected two ends of one kind: StringValue, "
     "NumberValue, BoolValue or Int64Value; for others use and with greaterThanOrEquals, "
     "lessThanOrEquals",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}}}}}]}}",
     "$.wrapper.filters[0].value.RangeValue: expected two ends of one kind: StringValue, "
     "NumberValue, BoolValue or Int64Value; for others use and with greaterThanOrEquals, "
     "lessThanOrEquals",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"RangeValue\":{\"low\":{\"RangeValue\":{}},\"high\":null}}}]}"
     "}",
     "$.wrapper.filters[0].value.RangeValue.low: a range inside a range", true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},"
     "\"high\":{\"Int64Value\":{\"value\":\"x\"}}}}}]}}",
     "$.wrapper.filters[0].value.RangeValue.high.Int64Value.value: expected an integer of 64 bits, "
     "or its decimal text",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},"
     "\"high\":{\"Int64Value\":{\"value\":2}},\"include_high\":false}}}]}}",
     "$.wrapper.filters[0].value.RangeValue.include_high: an end that is not included cannot be "
     "expressed; use and with lessThan, greaterThan",
     true},
    {"{\"wrapper\":{\"filter_wrapper_type\":\"and\",\"filters\":[{\"field_name\":\"f\",\"filter_"
     "type\":\"between\",\"value\":{\"RangeValue\":{\"low\":{\"Int64Value\":{\"value\":1}},"
     "\"high\":{\"Int64Value\":{\"value\":2}},\"include_low\":1}}}]}}",
     "$.wrapper.filters[0].value.RangeValue.include_low: expected true or false", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\",\"modifier\":{"
     "\"distinct\":1}}]}}",
     "$.wrapper.filters[0].modifier.distinct: expected true or false", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\",\"modifier\":{"
     "\"nulls_order\":\"middle\"}}]}}",
     "$.wrapper.filters[0].modifier.nulls_order: unknown \"middle\"", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\",\"modifier\":7}]}"
     "}",
     "$.wrapper.filters[0].modifier: expected an object", false},
    {"{\"wrapper\":{\"filters\":[{\"field_name\":\"f\",\"filter_type\":\"isNull\",\"modifier\":{"
     "\"nulls\":\"last\"}}]}}",
     "$.wrapper.filters[0].modifier: unknown member \"nulls\"", false},
    {"{\"order\":{}}", "$.order: expected an array", false},
    {"{\"order\":[7]}", "$.order[0]: expected an object", false},
    {"{\"order\":[{\"sort\":\"ASC_DEFAULT\"}]}", "$.order[0].field: expected a string", false},
    {"{\"order\":[{\"field\":\"\"}]}", "$.order[0].field: expected a name", false},
    {"{\"order\":[{\"field\":\"a\"},{\"field\":\"b\",\"sort\":\"ASC_DEFALT\"}]}",
     "$.order[1].sort: unknown \"ASC_DEFALT\"; nearest: ASC_DEFAULT", false},
    {"{\"order\":[{\"field\":\"a\",\"is_pk\":\"yes\"}]}",
     "$.order[0].is_pk: expected true or false", false},
    {"{\"cursor\":[{\"value\":null}]}", "$.cursor[0].field: expected a string", false},
    {"{\"cursor\":[{\"field\":\"a\",\"value\":{\"Int64List\":{\"values\":[]}}}]}",
     "$.cursor[0].value: expected one value", false},
    {"{\"cursor\":[{\"field\":\"a\",\"value\":{\"Int64Value\":{\"value\":\"x\"}}}]}",
     "$.cursor[0].value.Int64Value.value: expected an integer of 64 bits, or its decimal text",
     true},
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

/* Every operator by both names, with a value it takes, in both modes: none is turned into something
 * else. C-10 */
static void every_operator(void **state)
{
    (void)state;
    static const struct {
        const char *name, *second, *value;
    } ops[] = {
#define HG_QUERY_OP(number, name, second, value) {#name, second, #value},
#include "proto/query.def"
#undef HG_QUERY_OP
    };
    assert_int_equal(HG_COUNTOF(ops), HG_QUERY_OPS);
    for (unsigned i = 0; i < HG_QUERY_OPS; i++) {
        bool list = !strcmp(ops[i].value, "LIST") || !strcmp(ops[i].value, "PAIR");
        const char *value = list ? "{\"StringList\":{\"values\":[\"a\",\"b\"]}}"
                                 : "{\"StringValue\":{\"value\":\"a\"}}";
        for (int how = 0; how < 4; how++) {
            char json[512];
            const char *name = how & 1 ? ops[i].second : ops[i].name;
            if (!*name)
                continue;
            snprintf(json, sizeof(json), BASIC("%s", "%s"), name, value);
            struct hg_query *q = read_ok(json, how & 2);
            assert_int_equal(q->wrapper->kids[0].op, i);
            assert_round_trip(q, how & 2);
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
    assert_true(hg_slice_is(f[2].value.one.text, "12.5"));
    assert_true(f[3].value.kind == HG_VALUE_INT64 && f[3].value.one.integer == 0);
    assert_true(f[4].value.one.flag);
    assert_int_equal(q->norder, 1);
    assert_int_equal(q->order[0].sort, HG_SORT_DEFAULT);
    assert_int_equal(q->ncursor, 0);
    hg_query_free(q);
}

/* Of equal keys the last one counts, and an element that is null is the text String() makes of
 * it. */
static void odd_values_are_what_javascript_sees(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct hg_query *q =
            read_ok(BASIC("equals",
                          "{\"StringValue\":{\"value\":\"a\"},\"StringValue\":{\"value\":\"b\"}}"),
                    strict);
        assert_true(hg_slice_is(q->wrapper->kids[0].value.one.text, "b"));
        hg_query_free(q);
    }
    struct hg_query *q =
        read_ok(BASIC("in", "{\"StringList\":{\"values\":[null,true,1e2,\"\"]}}"), false);
    const struct hg_value *v = &q->wrapper->kids[0].value;
    static const char *const want[] = {"null", "true", "100", ""};
    assert_int_equal(v->n, HG_COUNTOF(want));
    for (size_t i = 0; i < v->n; i++)
        assert_true(hg_slice_is(v->list[i].text, want[i]));
    hg_query_free(q);
}

/* Without a limit, or with 0, whatever hash and schema_version say. */
static bool asks_for_all(const char *json)
{
    return !strcmp(json, "{}") || !strcmp(json, "{\"limit\":0}") ||
           strstr(json, "{\"schema_version\"") == json;
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
            if (seen[i] == seen[k] && !(asks_for_all(accepted[i]) && asks_for_all(accepted[k])))
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

/* A wrapper of n filters that are all the same table, whose list of texts has m elements; of a
 * cursor the same. */
static void put_shared(struct hg_buf *out, unsigned n, unsigned m, bool cursor)
{
    struct hg_fb fb = {0};
    struct hg_fb_table list = {0}, one = {0}, wrapper = {0}, root = {0};
    uint32_t *refs = calloc(n + m, sizeof(*refs));
    uint64_t *types = calloc(n, sizeof(*types));
    uint32_t text = hg_fb_string(&fb, HG_SLICE_LIT("f"));
    for (unsigned i = 0; i < m; i++)
        refs[i] = text;
    hg_fb_set_ref(&list, 0, hg_fb_refs(&fb, refs, m));
    uint32_t value = hg_fb_end(&fb, &list);
    hg_fb_set_ref(&one, 0, text);
    hg_fb_set(&one, 1, 1, HG_VALUE_STRINGS);
    hg_fb_set_ref(&one, 2, value);
    if (!cursor)
        hg_fb_set(&one, 3, 1, 33); /* inList */
    uint32_t shared = hg_fb_end(&fb, &one);
    for (unsigned i = 0; i < n; i++) {
        refs[i] = shared;
        types[i] = 2;
    }
    if (!cursor) {
        hg_fb_set(&wrapper, 0, 1, 1);
        hg_fb_set_ref(&wrapper, 1, hg_fb_scalars(&fb, types, n, 1));
        hg_fb_set_ref(&wrapper, 2, hg_fb_refs(&fb, refs, n));
    }
    uint32_t at = cursor ? hg_fb_refs(&fb, refs, n) : hg_fb_end(&fb, &wrapper);
    hg_fb_set_ref(&root, cursor ? 4 : 1, at);
    hg_fb_finish(&fb, hg_fb_end(&fb, &root), out);
    free(refs);
    free(types);
}

/* To verify it would cost n times m; that is seen before. */
static void one_list_behind_many_filters(void **state)
{
    (void)state;
    for (int cursor = 0; cursor < 2; cursor++) {
        struct hg_buf b = {0};
        struct hg_query *q;
        char why[HG_QUERY_WHY_MAX];
        put_shared(&b, 2000, 8000, cursor);
        assert_true(b.n <= HG_QUERY_MAX_FB);
        assert_int_equal(hg_query_from_fb(hg_buf_slice(&b), false, &q, why), -HG_E_BAD_QUERY);
        assert_string_equal(why, "$: one list is used many times");
        hg_buf_reset(&b);
        put_shared(&b, 1, 8000, cursor);
        assert_int_equal(hg_query_from_fb(hg_buf_slice(&b), false, &q, why), 0);
        assert_int_equal(cursor ? q->cursor[0].value.n : q->wrapper->kids[0].value.n, 8000);
        hg_query_free(q);
        hg_buf_fini(&b);
    }
}

/* What only bytes can hold wrong, or what a lenient reader let through: strict refuses it with the
 * path, too. */
static void strict_judges_bytes_too(void **state)
{
    (void)state;
    static const struct {
        const char *json, *why;
    } rows[] = {
        {BASIC("regex", "{\"Int64Value\":{\"value\":1}}"),
         "$.wrapper.filters[0].value: expected a StringValue for regex"},
        {BASIC("lessThan", "null"),
         "$.wrapper.filters[0].value: expected one value that is not null for lessThan"},
        {"{\"wrapper\":{\"filters\":[{}]}}", "$.wrapper.filters[0].field_name: expected a name"},
        {BASIC("equals", "{\"StringValue\":{\"value\":\"qqqq\"}}"),
         "$.wrapper.filters[0].value: not UTF-8"},
        {"{\"wrapper\":{\"filters\":[{\"field_name\":\"qqqq\",\"filter_type\":\"isNull\"}]}}",
         "$.wrapper.filters[0].field_name: not UTF-8"},
        {BASIC("in", "{\"StringList\":{\"values\":[\"a\",\"qqqq\"]}}"),
         "$.wrapper.filters[0].value: not UTF-8"},
        {"{\"order\":[{\"field\":\"qqqq\"}]}", "$.order[0].field: not UTF-8"},
        {"{\"cursor\":[{\"field\":\"qqqq\"}]}", "$.cursor[0].field: not UTF-8"},
        {"{\"hash\":\"qqqq\"}", "$.hash: not UTF-8"},
    };
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        char why[HG_QUERY_WHY_MAX];
        struct hg_query *q = read_ok(rows[i].json, false), *back;
        struct hg_buf b = {0};
        hg_query_put_control(&b, q);
        for (size_t at = 0; at + 4 <= b.n; at++)
            if (memcmp(b.p + at, "qqqq", 4) == 0)
                memcpy(b.p + at, "q\xed\xa0\x80", 4); /* a surrogate, written as if it were one */
        assert_int_equal(hg_query_from_fb(hg_buf_slice(&b), true, &back, why), -HG_E_BAD_QUERY);
        assert_string_equal(why, rows[i].why);
        assert_int_equal(hg_query_from_fb(hg_buf_slice(&b), false, &back, why), 0);
        hg_query_free(back);
        hg_query_free(q);
        hg_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_and_round_tripped),
        cmocka_unit_test(refused_with_the_path),
        cmocka_unit_test(every_operator),
        cmocka_unit_test(lenient_defaults_are_the_sources),
        cmocka_unit_test(odd_values_are_what_javascript_sees),
        cmocka_unit_test(fingerprints_tell_queries_apart),
        cmocka_unit_test(caps_hold),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(one_list_behind_many_filters),
        cmocka_unit_test(strict_judges_bytes_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
