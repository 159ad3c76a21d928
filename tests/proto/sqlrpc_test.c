/*
 * sqlrpc.h: replies built here slot by slot and read back; requests checked by their slots. That
 * the official JavaScript reader understands the requests is tested in
 * tests/e2e/query_flatbuffers.test.mjs.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/fb_build.h"
#include "proto/json.h"
#include "proto/query_tree.h"
#include "proto/sqlrpc.h"
#include "proto/tabledef.h"

#define S(lit) HG_SLICE_LIT(lit)

/* ---- building replies ---- */

static uint32_t put_texts(struct hg_fb *fb, const char *const *texts, size_t n)
{
    uint32_t refs[16];
    for (size_t i = 0; i < n; i++)
        refs[i] = hg_fb_string(fb, hg_slice_str(texts[i]));
    return hg_fb_refs(fb, refs, n);
}

static uint32_t put_table(struct hg_fb *fb, unsigned slot, uint32_t ref)
{
    struct hg_fb_table t = {0};
    hg_fb_set_ref(&t, slot, ref);
    return hg_fb_end(fb, &t);
}

static void finish_reply(struct hg_fb *fb, unsigned kind, uint32_t data, struct hg_buf *out)
{
    struct hg_fb_table t = {0};
    hg_fb_set_ref(&t, 0, hg_fb_string(fb, S("corr-1")));
    if (kind)
        hg_fb_set(&t, 4, 1, kind);
    hg_fb_set_ref(&t, 5, data);
    hg_fb_finish(fb, hg_fb_end(fb, &t), out);
}

static void rows_reply(struct hg_buf *out, const char *const *rows, size_t n)
{
    struct hg_fb fb = {0};
    finish_reply(&fb, HG_SQLRPC_ROWS, put_table(&fb, 0, put_texts(&fb, rows, n)), out);
}

static uint32_t put_pair(struct hg_fb *fb, const char *key, const char *value)
{
    struct hg_fb_table t = {0};
    hg_fb_set_ref(&t, 0, hg_fb_string(fb, hg_slice_str(key)));
    hg_fb_set_ref(&t, 1, hg_fb_string(fb, hg_slice_str(value)));
    return hg_fb_end(fb, &t);
}

static uint32_t put_cursor(struct hg_fb *fb, const char *field, enum hg_value_kind kind,
                           unsigned size, uint64_t bits, uint32_t ref)
{
    struct hg_fb_table v = {0}, t = {0};
    if (size)
        hg_fb_set(&v, 0, size, bits);
    hg_fb_set_ref(&v, 0, ref);
    uint32_t value = hg_fb_end(fb, &v);
    hg_fb_set_ref(&t, 0, hg_fb_string(fb, hg_slice_str(field)));
    hg_fb_set(&t, 1, 1, kind);
    hg_fb_set_ref(&t, 2, value);
    return hg_fb_end(fb, &t);
}

/* At every alignment a Kafka record may have. */
static void decode_ok(struct hg_buf *b, size_t shift, char **mem, struct hg_sqlrpc_reply *r)
{
    *mem = malloc(b->n + shift);
    memcpy(*mem + shift, b->p, b->n);
    assert_int_equal(hg_sqlrpc_reply_decode(hg_slice_of(*mem + shift, b->n), r), 0);
}

static void expect_data(struct hg_buf *b, const char *want)
{
    for (size_t shift = 0; shift < 8; shift++) {
        char *mem;
        struct hg_sqlrpc_reply r;
        struct hg_buf out = {0};
        decode_ok(b, shift, &mem, &r);
        hg_sqlrpc_put_data(&out, &r);
        assert_string_equal(hg_test_text(&out), want);
        assert_true(hg_json_is_valid(hg_buf_slice(&out)));
        hg_sqlrpc_reply_fini(&r);
        hg_buf_fini(&out);
        free(mem);
    }
    hg_buf_reset(b);
}

/* ---- replies ---- */

static void rows(void **state)
{
    (void)state;
    static const char *const two[] = {"{\"id\":9007199254740993}", "{\"id\":2}"};
    struct hg_buf b = {0};
    struct hg_sqlrpc_reply r;
    char *mem;
    size_t bytes;
    rows_reply(&b, two, 2);
    decode_ok(&b, 1, &mem, &r);
    assert_true(hg_slice_is(r.correlation_id, "corr-1"));
    assert_true(r.ok);
    assert_null(r.error_message.p);
    assert_int_equal(r.kind, HG_SQLRPC_ROWS);
    assert_int_equal(r.nrows, 2);
    assert_true(hg_slice_is(hg_sqlrpc_row(&r, 1), two[1]));
    assert_int_equal(hg_sqlrpc_rows_check(&r, &bytes), 0);
    assert_int_equal(bytes, strlen(two[0]) + strlen(two[1]));
    hg_sqlrpc_reply_fini(&r);
    free(mem);
    expect_data(&b, "[{\"id\":9007199254740993},{\"id\":2}]");
    rows_reply(&b, two, 0);
    expect_data(&b, "[]");
    hg_buf_fini(&b);
}

/* One long text behind many rows, aggregates or cursor entries: refused before it is written
 * out. */
static void one_text_many_times(void **state)
{
    (void)state;
    enum { LONG = 1 << 20, TIMES = 100 };
    char *text = malloc(LONG + 1);
    memset(text, '1', LONG);
    text[LONG] = '\0';
    for (int kind = 0; kind < 4; kind++) {
        struct hg_fb fb = {0};
        struct hg_fb_table t = {0};
        struct hg_buf b = {0};
        struct hg_sqlrpc_reply r;
        size_t bytes;
        uint32_t refs[TIMES], shared = hg_fb_string(&fb, hg_slice_of(text, LONG)), none, list;
        for (size_t i = 0; i < TIMES; i++)
            refs[i] = shared;
        list = hg_fb_refs(&fb, refs, TIMES);
        none = hg_fb_refs(&fb, NULL, 0);
        if (kind == 0) {
            finish_reply(&fb, HG_SQLRPC_ROWS, put_table(&fb, 0, list), &b);
        } else if (kind == 1) { /* sum_values */
            uint32_t pair = put_table(&fb, 1, shared);
            for (size_t i = 0; i < TIMES; i++)
                refs[i] = pair;
            uint32_t agg = put_table(&fb, 1, hg_fb_refs(&fb, refs, TIMES));
            finish_reply(&fb, HG_SQLRPC_AGG, put_table(&fb, 0, agg), &b);
        } else { /* the cursor's field, or its value */
            refs[0] = kind == 2 ? put_cursor(&fb, "f", HG_VALUE_STRINGS, 0, 0, list)
                                : put_cursor(&fb, text, HG_VALUE_NULL, 0, 0, 0);
            for (size_t i = 1; i < TIMES; i++)
                refs[i] = refs[0];
            hg_fb_set_ref(&t, 0, none);
            hg_fb_set_ref(&t, 1, hg_fb_refs(&fb, refs, TIMES));
            finish_reply(&fb, HG_SQLRPC_ROWS_CURSOR, hg_fb_end(&fb, &t), &b);
        }
        assert_int_equal(hg_sqlrpc_reply_decode(hg_buf_slice(&b), &r), 0);
        assert_int_equal(hg_sqlrpc_rows_check(&r, &bytes), -HG_E_TOO_BIG);
        hg_sqlrpc_reply_fini(&r);
        hg_buf_fini(&b);
    }
    free(text);
}

/* B-28: one row that is no JSON fails the whole reply, at once. */
static void rows_that_are_no_json(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"id\":1}", "{\"id\":", ""};
    for (size_t n = 1; n <= 3; n++) {
        struct hg_buf b = {0};
        struct hg_sqlrpc_reply r;
        size_t bytes;
        rows_reply(&b, n < 3 ? bad : bad + 2, n < 3 ? n : 1);
        assert_int_equal(hg_sqlrpc_reply_decode(hg_buf_slice(&b), &r), 0);
        assert_int_equal(hg_sqlrpc_rows_check(&r, &bytes), n == 1 ? 0 : -HG_E_RPC_REPLY);
        hg_sqlrpc_reply_fini(&r);
        hg_buf_fini(&b);
    }
}

static void one_row_or_none(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_fb fb = {0};
    finish_reply(&fb, HG_SQLRPC_ROW, put_table(&fb, 0, hg_fb_string(&fb, S("{\"a\":1}"))), &b);
    expect_data(&b, "{\"a\":1}");
    finish_reply(&fb, HG_SQLRPC_ROW, put_table(&fb, 0, hg_fb_string(&fb, S(""))), &b);
    expect_data(&b, "null");
    finish_reply(&fb, HG_SQLRPC_ROW, put_table(&fb, 0, 0), &b);
    expect_data(&b, "null");
    finish_reply(&fb, HG_SQLRPC_NO_DATA, 0, &b);
    expect_data(&b, "null");
    hg_buf_fini(&b);
}

static void booleans(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0};
    finish_reply(&fb, HG_SQLRPC_BOOL, hg_fb_end(&fb, &t), &b);
    expect_data(&b, "false");
    hg_fb_set(&t, 0, 1, 1);
    finish_reply(&fb, HG_SQLRPC_BOOL, hg_fb_end(&fb, &t), &b);
    expect_data(&b, "true");
    hg_buf_fini(&b);
}

static void failures(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0};
    struct hg_sqlrpc_reply r;
    hg_fb_set_ref(&t, 0, hg_fb_string(&fb, S("c")));
    hg_fb_set(&t, 1, 1, 0);
    hg_fb_set(&t, 2, 1, 2);
    hg_fb_set_ref(&t, 3, hg_fb_string(&fb, S("no such table")));
    hg_fb_finish(&fb, hg_fb_end(&fb, &t), &b);
    assert_int_equal(hg_sqlrpc_reply_decode(hg_buf_slice(&b), &r), 0);
    assert_false(r.ok);
    assert_int_equal(r.error_code, 2);
    assert_true(hg_slice_is(r.error_message, "no such table"));
    assert_int_equal(r.kind, HG_SQLRPC_NO_DATA);
    hg_sqlrpc_reply_fini(&r);
    hg_buf_fini(&b);
}

static void cursors(void **state)
{
    (void)state;
    static const char *const one[] = {"{}"};
    struct hg_buf b = {0}, members = {0};
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0};
    struct hg_sqlrpc_reply r;
    uint64_t list[] = {1, (uint64_t)-1};
    uint32_t refs[] = {
        put_cursor(&fb, "id", HG_VALUE_INT64, 8, (uint64_t)INT64_MIN, 0),
        put_cursor(&fb, "lsn", HG_VALUE_INT64, 8, 7, 0),
        put_cursor(&fb, "n\"", HG_VALUE_NUMBER, 8, hg_fb_double(0.1), 0),
        put_cursor(&fb, "at", HG_VALUE_TIMESTAMP, 8, 1700000000000001, 0),
        put_cursor(&fb, "b", HG_VALUE_BOOL, 1, 1, 0),
        put_cursor(&fb, "s", HG_VALUE_STRING, 0, 0, hg_fb_string(&fb, S("x\ny"))),
        put_cursor(&fb, "z", HG_VALUE_NULL, 0, 0, 0),
        put_cursor(&fb, "l", HG_VALUE_INT64S, 0, 0, hg_fb_scalars(&fb, list, 2, 8)),
        put_cursor(&fb, "inf", HG_VALUE_NUMBER, 8, hg_fb_double(__builtin_inf()), 0),
        put_cursor(&fb, "", HG_VALUE_INT64, 8, 7, 0),
    };
    hg_fb_set_ref(&t, 0, put_texts(&fb, one, 1));
    hg_fb_set_ref(&t, 1, hg_fb_refs(&fb, refs, HG_COUNTOF(refs)));
    finish_reply(&fb, HG_SQLRPC_ROWS_CURSOR, hg_fb_end(&fb, &t), &b);
    assert_int_equal(hg_sqlrpc_reply_decode(hg_buf_slice(&b), &r), 0);
    hg_sqlrpc_put_cursor(&members, &r);
    assert_string_equal(hg_test_text(&members), "\"id\":-9223372036854775808,\"n\\\"\":0.1,\"at\":"
                                                "1700000000000001,\"b\":true,\"s\":\"x\\ny\","
                                                "\"z\":null,\"l\":[1,-1],\"inf\":null");
    hg_sqlrpc_reply_fini(&r);
    expect_data(&b, "{\"rows\":[{}],\"cursor\":{\"id\":-9223372036854775808,\"lsn\":7,\"n\\\"\":0."
                    "1,\"at\":1700000000000001,\"b\":true,"
                    "\"s\":\"x\\ny\",\"z\":null,\"l\":[1,-1],\"inf\":null}}");
    hg_buf_fini(&members);
    hg_buf_fini(&b);
}

static void aggregates(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0}, empty = {0};
    uint32_t sums[] = {put_pair(&fb, "a", "12345678901234567890.5"), put_pair(&fb, "b", ""),
                       put_pair(&fb, "c", "abc"), put_pair(&fb, "d", "-1 ")};
    uint32_t max[] = {put_pair(&fb, "a", "{}")};
    hg_fb_set(&t, 0, 4, 3);
    hg_fb_set_ref(&t, 1, hg_fb_refs(&fb, sums, 4));
    hg_fb_set_ref(&t, 2, hg_fb_refs(&fb, NULL, 0));
    hg_fb_set_ref(&t, 4, hg_fb_refs(&fb, max, 1));
    finish_reply(&fb, HG_SQLRPC_AGG, put_table(&fb, 0, hg_fb_end(&fb, &t)), &b);
    expect_data(&b, "{\"count\":3,\"sumValues\":{\"a\":12345678901234567890.5,\"b\":0,\"c\":null,"
                    "\"d\":-1},\"maximumValues\":{\"a\":null}}");
    finish_reply(&fb, HG_SQLRPC_AGG, put_table(&fb, 0, hg_fb_end(&fb, &empty)), &b);
    expect_data(&b, "{}");
    finish_reply(&fb, HG_SQLRPC_AGG, put_table(&fb, 0, 0), &b);
    expect_data(&b, "{}");
    hg_buf_fini(&b);
}

/* [a worker's text, what it is for the client: JavaScript's Number(), to the last digit] */
static void aggregates_are_numbers(void **state)
{
    static const char *const values[][2] = {
        {"+5", "5"},        {".5", "0.5"},        {"5.", "5"},           {" \t7\r\n", "7"},
        {" ", "0"},         {"-.25e1", "-2.5"},   {"-007", "-7"},        {"12.50", "12.50"},
        {"NaN", "null"},    {"Infinity", "null"}, {"-Infinity", "null"}, {"true", "null"},
        {"1,5", "null"},    {"--1", "null"},      {"-", "null"},         {"1e", "null"},
        {"+1e999", "null"}, {"0x10", "null"},     {"1 2", "null"},       {"[1]", "null"},
    };
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(values); i++) {
        struct hg_buf b = {0}, want = {0};
        struct hg_fb fb = {0};
        uint32_t pair = put_pair(&fb, "a", values[i][0]);
        uint32_t agg = put_table(&fb, 1, hg_fb_refs(&fb, &pair, 1));
        finish_reply(&fb, HG_SQLRPC_AGG, put_table(&fb, 0, agg), &b);
        hg_buf_addf(&want, "{\"sumValues\":{\"a\":%s}}", values[i][1]);
        hg_buf_addc(&want, 0);
        expect_data(&b, want.p);
        hg_buf_fini(&want);
        hg_buf_fini(&b);
    }
}

static void malformed(void **state)
{
    (void)state;
    static const char *const two[] = {"{\"id\":1}", "{\"id\":2}"};
    struct hg_buf b = {0};
    struct hg_fb fb = {0};
    struct hg_sqlrpc_reply r;
    size_t bytes;
    rows_reply(&b, two, 2);
    for (size_t n = 0; n + 8 < b.n; n++) { /* the last bytes may be padding */
        char *cut = malloc(n ? n : 1);
        memcpy(cut, b.p, n);
        assert_int_equal(hg_sqlrpc_reply_decode(hg_slice_of(cut, n), &r), -HG_E_FB_INVALID);
        hg_sqlrpc_reply_fini(&r);
        free(cut);
    }
    for (size_t i = 0; i < b.n * 8; i++) {
        b.p[i / 8] ^= (char)(1 << i % 8);
        if (hg_sqlrpc_reply_decode(hg_buf_slice(&b), &r) == 0) {
            int rc = hg_sqlrpc_rows_check(&r, &bytes);
            assert_true(rc == 0 || rc == -HG_E_RPC_REPLY);
        }
        hg_sqlrpc_reply_fini(&r);
        b.p[i / 8] ^= (char)(1 << i % 8);
    }
    hg_buf_reset(&b);
    struct hg_fb_table t = {0};
    finish_reply(&fb, 6, hg_fb_end(&fb, &t), &b); /* a member the union does not have */
    assert_int_equal(hg_sqlrpc_reply_decode(hg_buf_slice(&b), &r), -HG_E_FB_INVALID);
    hg_sqlrpc_reply_fini(&r);
    hg_buf_fini(&b);
}

/* ---- requests: read by hand, slot by slot ---- */

static uint32_t u32_at(const struct hg_buf *b, size_t at)
{
    uint32_t v;
    assert_true(at + 4 <= b->n);
    memcpy(&v, b->p + at, 4);
    return v;
}

static size_t field_at(const struct hg_buf *b, size_t table, unsigned slot) /* 0: absent */
{
    size_t vtable = table - u32_at(b, table);
    uint16_t size, off;
    memcpy(&size, b->p + vtable, 2);
    if (4 + 2 * slot >= size)
        return 0;
    memcpy(&off, b->p + vtable + 4 + 2 * slot, 2);
    return off ? table + off : 0;
}

static size_t follow(const struct hg_buf *b, size_t at)
{
    assert_true(at != 0);
    return at + u32_at(b, at);
}

static void assert_text(const struct hg_buf *b, size_t table, unsigned slot, const char *want)
{
    size_t at = follow(b, field_at(b, table, slot));
    assert_true(hg_slice_is(hg_slice_of(b->p + at + 4, u32_at(b, at)), want));
    assert_int_equal(b->p[at + 4 + u32_at(b, at)], 0);
}

static void expect_request(struct hg_buf *b, unsigned method, const char *const *texts)
{
    size_t env = u32_at(b, 0);
    assert_int_equal(b->n % 4, 0);
    assert_text(b, env, 0, "c-1");
    assert_text(b, env, 1, "replies");
    assert_int_equal(b->p[field_at(b, env, 2)], method);
    assert_int_equal(b->p[field_at(b, env, 3)], method + 1);
    size_t payload = follow(b, field_at(b, env, 4));
    for (unsigned i = 0; texts[i]; i++)
        assert_text(b, payload, i, texts[i]);
    hg_buf_reset(b);
}

static void requests(void **state)
{
    (void)state;
    static const struct hg_sqlrpc_call call = {S("c-1"), S("replies"), S("demo"), S("items")};
    struct hg_buf b = {0};
    hg_sqlrpc_put_get_single(&b, &call, S("id"), S("7"));
    expect_request(&b, HG_SQLRPC_GET_SINGLE,
                   (const char *const[]){"demo", "items", "id", "7", NULL});
    hg_sqlrpc_put_add_single(&b, &call, S("id"), S("{\"a\":1}"));
    expect_request(&b, HG_SQLRPC_ADD_SINGLE,
                   (const char *const[]){"demo", "items", "id", "{\"a\":1}", NULL});
    hg_sqlrpc_put_update_single(&b, &call, S("id"), S("7"), S("{\"a\":9007199254740993}"));
    expect_request(
        &b, HG_SQLRPC_UPDATE_SINGLE,
        (const char *const[]){"demo", "items", "id", "7", "{\"a\":9007199254740993}", NULL});
    hg_sqlrpc_put_delete_row(&b, &call, S("id"), S(""));
    expect_request(&b, HG_SQLRPC_DELETE_ROW,
                   (const char *const[]){"demo", "items", "id", "", NULL});
    hg_sqlrpc_put_table_exists(&b, &call);
    expect_request(&b, HG_SQLRPC_TABLE_EXISTS, (const char *const[]){"demo", "items", NULL});
    hg_buf_fini(&b);
}

/* GET_DATA without a query: limit as given; offset 0 and strict_after true stay off the wire (spec
 * 11). */
static void get_data_without_a_query(void **state)
{
    (void)state;
    static const struct hg_sqlrpc_call call = {S("c-1"), S("replies"), S("demo"), S("items")};
    struct hg_buf b = {0};
    hg_query_put_get_data(&b, &call, NULL, 500);
    size_t env = u32_at(&b, 0), payload = follow(&b, field_at(&b, env, 4));
    assert_int_equal(field_at(&b, env, 2), 0); /* method 0 is the default */
    assert_int_equal(b.p[field_at(&b, env, 3)], 1);
    assert_text(&b, payload, 0, "demo");
    assert_text(&b, payload, 1, "items");
    assert_int_equal(u32_at(&b, field_at(&b, payload, 3)), 500);
    for (unsigned slot = 2; slot < 8; slot++)
        assert_true(slot == 3 || field_at(&b, payload, slot) == 0);
    hg_buf_fini(&b);
}

/* ---- RUN_AGGREGATION, CREATE_TABLE: that the words and lists are right is read in
 * tests/e2e/rpc_methods.test.mjs ---- */

static size_t list_at(const struct hg_buf *b, size_t table, unsigned slot, uint32_t *n)
{
    size_t at = follow(b, field_at(b, table, slot));
    *n = u32_at(b, at);
    return at + 4;
}

static void aggregations(void **state)
{
    (void)state;
    static const struct hg_sqlrpc_call call = {S("c-1"), S("replies"), S("demo"), S("items")};
    static const struct hg_slice fields[] = {S("a"), S("b")};
    const struct hg_query_agg none = {0}, some = {.count = true, .of[3] = {fields, 2}};
    struct hg_buf b = {0};
    struct hg_query *q;
    char why[HG_QUERY_WHY_MAX];
    uint32_t n;
    hg_query_put_aggregation(&b, &call, NULL, &none);
    size_t payload = follow(&b, field_at(&b, u32_at(&b, 0), 4));
    for (unsigned slot = 2; slot < 8; slot++)
        assert_int_equal(field_at(&b, payload, slot), 0);
    expect_request(&b, HG_SQLRPC_RUN_AGGREGATION, (const char *const[]){"demo", "items", NULL});
    assert_int_equal(
        hg_query_from_json(S("{\"wrapper\":{\"filters\":[]},\"limit\":3}"), true, &q, why), 0);
    hg_query_put_aggregation(&b, &call, q, &some);
    payload = follow(&b, field_at(&b, u32_at(&b, 0), 4));
    assert_int_equal(b.p[field_at(&b, payload, 2)], 1);
    for (unsigned slot = 3; slot < 6; slot++)
        assert_int_equal(field_at(&b, payload, slot), 0);
    size_t list = list_at(&b, payload, 6, &n);
    assert_int_equal(n, 2);
    assert_int_equal(b.p[follow(&b, list + 4) + 4], 'b');
    assert_int_equal(b.p[field_at(&b, follow(&b, field_at(&b, payload, 7)), 0)],
                     1); /* "and" is written */
    hg_query_free(q);
    hg_buf_fini(&b);
}

static int put_create(struct hg_buf *b, const char *json, char why[HG_QUERY_WHY_MAX])
{
    static const struct hg_sqlrpc_call call = {S("c-1"), S("replies"), S("demo"), S("ignored")};
    struct hg_json doc;
    assert_int_equal(hg_json_parse(hg_slice_str(json), NULL, &doc), 0);
    int rc = hg_tabledef_put_create(b, &call, hg_json_root(&doc), why);
    hg_json_fini(&doc);
    return rc;
}

static void definitions(void **state)
{
    (void)state;
    struct hg_buf b = {0};
    char why[HG_QUERY_WHY_MAX];
    uint32_t n;
    assert_int_equal(
        put_create(&b,
                   "{\"name\":\"t\",\"columns\":[{\"name\":\"id\",\"data_type\":\"text\"},"
                   "{\"name\":\"x\",\"dataType\":\"custom\",\"isNullable\":1,\"constraints\":"
                   "[\"nullsNotDistinct\",\"default_\"]}]}",
                   why),
        0);
    size_t def = follow(&b, field_at(&b, follow(&b, field_at(&b, u32_at(&b, 0), 4)), 1));
    assert_text(&b, def, 0, "t");
    assert_int_equal(field_at(&b, def, 2) + field_at(&b, def, 3), 0);
    size_t list = list_at(&b, def, 1, &n), first = follow(&b, list), second = follow(&b, list + 4);
    assert_int_equal(n, 2);
    for (unsigned slot = 1; slot < 5; slot++)
        assert_int_equal(field_at(&b, first, slot),
                         0); /* text and "not nullable" are the defaults */
    assert_int_equal(b.p[field_at(&b, second, 1)], 32);
    assert_int_equal(b.p[field_at(&b, second, 2)], 1);
    size_t constraints = list_at(&b, second, 3, &n);
    assert_int_equal(n, 2);
    assert_int_equal(b.p[constraints], 11);
    assert_int_equal(b.p[constraints + 1], 4);
    expect_request(&b, HG_SQLRPC_CREATE_TABLE, (const char *const[]){"demo", NULL});
    hg_buf_fini(&b);
}

static void faults_of_definitions(void **state)
{
    (void)state;
#define COLUMN(more)                                                                               \
    "{\"name\":\"t\",\"columns\":[{\"name\":\"a\",\"data_type\":\"text\"" more "}]}"
    static const char *const cases[][2] = {
        {"null", "$: expected an object"},
        {"[]", "$: expected an object"},
        {"{}", "$.name: expected a string of at least 1 character"},
        {"{\"name\":7}", "$.name: expected a string of at least 1 character"},
        {"{\"name\":\"t\"}", "$.columns: expected an array of at least one column"},
        {"{\"name\":\"t\",\"columns\":[]}", "$.columns: expected an array of at least one column"},
        {"{\"name\":\"t\",\"columns\":[7]}", "$.columns[0]: expected an object"},
        {"{\"name\":\"t\",\"columns\":[{\"name\":\"a\",\"data_type\":\"json\"},{}]}",
         "$.columns[1].name: expected a string of at least 1 character"},
        {"{\"name\":\"t\",\"columns\":[{\"name\":\"a\",\"data_type\":0}]}",
         "$.columns[0].data_type: expected the name of a type, as text or bigInt"},
        {COLUMN(",\"constraints\":\"unique\""), "$.columns[0].constraints: expected an array"},
        {COLUMN(",\"constraints\":[\"unique\",\"uniq\"]"),
         "$.columns[0].constraints[1]: unknown constraint \"uniq\""},
        {COLUMN(",\"constraints\":[0]"), "$.columns[0].constraints[0]: unknown constraint 0"},
        {COLUMN(",\"custom_options\":[]"), "$.columns[0].custom_options: expected an object"},
        {"{\"name\":\"t\",\"comment\":7,\"columns\":[{\"name\":\"a\",\"data_type\":\"text\"}]}",
         "$.comment: expected a string"},
    };
    struct hg_buf b = {0};
    char why[HG_QUERY_WHY_MAX];
    for (size_t i = 0; i < HG_COUNTOF(cases); i++) {
        assert_int_equal(put_create(&b, cases[i][0], why), -HG_E_BAD_QUERY);
        assert_string_equal(why, cases[i][1]);
        assert_int_equal(b.n, 0);
    }
    hg_buf_fini(&b);
}

static void methods_by_name(void **state)
{
    (void)state;
    for (int m = 0; m < HG_SQLRPC_METHODS; m++)
        assert_int_equal(
            hg_sqlrpc_method_find(hg_slice_str(hg_sqlrpc_method_name((enum hg_sqlrpc_method)m))),
            m);
    assert_int_equal(hg_sqlrpc_method_find(S("get_data")), -HG_E_RPC_METHOD);
    assert_int_equal(hg_sqlrpc_method_find(S("")), -HG_E_RPC_METHOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),
        cmocka_unit_test(rows_that_are_no_json),
        cmocka_unit_test(one_text_many_times),
        cmocka_unit_test(one_row_or_none),
        cmocka_unit_test(booleans),
        cmocka_unit_test(failures),
        cmocka_unit_test(cursors),
        cmocka_unit_test(aggregates),
        cmocka_unit_test(aggregates_are_numbers),
        cmocka_unit_test(malformed),
        cmocka_unit_test(requests),
        cmocka_unit_test(get_data_without_a_query),
        cmocka_unit_test(aggregations),
        cmocka_unit_test(definitions),
        cmocka_unit_test(faults_of_definitions),
        cmocka_unit_test(methods_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
