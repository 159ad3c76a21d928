/*
 * What is written is what is read: values that SQLite would round, cut off or keep as no text are
 * refused, JSON columns keep the JSON they were given, and no row, whoever wrote it, spoils the
 * answer. Snapshot and change source see the same in a JSON column. Nor does one call hold up all
 * others.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/json.h"
#include "tests/tools/support.h"
#include "tools/calls.h"
#include "tools/match.h"
#include "tools/store.h"

static sqlite3 *db;
static int64_t max_ms;

static int setup(void **state)
{
    struct hg_buf why = {0};
    (void)state;
    assert_int_equal(hg_store_open(":memory:", &db, &why), 0);
    assert_int_equal(
        hg_store_exec(
            db,
            "CREATE TABLE v (id INTEGER PRIMARY KEY, company_id TEXT, t TEXT, n INTEGER, j JSON)",
            &why),
        0);
    assert_int_equal(hg_store_prepare(db, &why), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return sqlite3_close(db) == SQLITE_OK ? 0 : -1;
}

/* The answer as text: its rows one after the other, or "refused: why". */
static const char *run(unsigned method, const char *table, const char *json)
{
    static char out[8192];
    const struct hg_call_limits lim = {.max_reply = 100000, .max_ms = max_ms};
    struct hg_fbw_request rq = {
        .method = method,
        .query = {.company = HG_SLICE_LIT("demo"), .table = hg_slice_str(table)},
        .pk = HG_SLICE_LIT("1"),
        .json = hg_slice_str(json)};
    struct hg_arena a = {0};
    struct hg_call_answer ans = {0};

    hg_call_run(db, &lim, &rq, &a, &ans);
    out[0] = 0;
    if (ans.reply.error)
        snprintf(out, sizeof out, "refused: %.*s", HG_SLICE_ARG(ans.reply.message));
    if (ans.reply.error && ans.reply.error != HG_FBW_BAD_REQUEST)
        fail_msg("%s of %s is the caller's fault", out, json);
    for (size_t i = 0; i < ans.reply.nrows; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%.*s",
                 HG_SLICE_ARG(ans.reply.rows[i]));
    hg_arena_fini(&a);
    return out;
}

static void exec(const char *sql)
{
    struct hg_buf why = {0};
    if (hg_store_exec(db, sql, &why) < 0)
        fail_msg("%.*s", HG_SLICE_ARG(hg_buf_slice(&why)));
}

static void what_cannot_be_kept_as_written_is_refused(void **state)
{
    static const char *const rows[][2] = {
        {"{\"n\":9223372036854775808}", "refused: n: a whole number beyond 64 bits"},
        {"{\"n\":-9223372036854775809}", "refused: n: a whole number beyond 64 bits"},
        {"{\"j\":18446744073709551615}", "refused: j: a whole number beyond 64 bits"},
        {"{\"n\":1e400}", "refused: n: a number that a double can't hold"},
        {"{\"j\":-1e400}", "refused: j: a number that a double can't hold"},
        {"{\"t\":\"a\\ud800\"}", "refused: t: a surrogate without its partner"},
        {"{\"t\":\"\\udc00b\"}", "refused: t: a surrogate without its partner"},
        {"{\"t\":\"a\\u0000b\"}", "refused: t: a text with \\u0000 can't be kept"},
        {"\"{\\\"t\\\":\\\"\\\\ud800\\\"}\"", "refused: t: a surrogate without its partner"},
        {"{\"t\":\"\x80\"}", "refused: the row is not a JSON object with at least one column"},
        {"\"\\\"{}\\\"\"", "refused: the row is not a JSON object with at least one column"},
    };
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        if (strcmp(run(HG_FBW_ADD_SINGLE, "v", rows[i][0]), rows[i][1]))
            fail_msg("%s: %s", rows[i][0], run(HG_FBW_ADD_SINGLE, "v", rows[i][0]));
        assert_string_equal(run(HG_FBW_UPDATE_SINGLE, "v", rows[i][0]), rows[i][1]);
    }
    assert_string_equal(run(HG_FBW_GET_DATA, "v", ""), "");
}

/* Deeper than the gateway reads a row: as JSON in a text, which a JSON column embeds. */
static void nesting_beyond_a_row_is_refused(void **state)
{
    char json[700] = "{\"j\":\"";
    (void)state;
    memset(json + 6, '[', 256);
    memset(json + 262, ']', 256);
    strcpy(json + 518, "\"}");
    assert_string_equal(run(HG_FBW_ADD_SINGLE, "v", json),
                        "refused: j: nested too deep, or too large");
    memcpy(json, "{\"t\":\"", 6); /* no JSON column */
    assert_non_null(strstr(run(HG_FBW_ADD_SINGLE, "v", json), "\"t\":\"[[["));
    exec("DELETE FROM v");
}

/* [what is written into the JSON column, how it reads] */
static const char *const json_values[][2] = {
    {"true", "true"},
    {"false", "false"},
    {"null", "null"},
    {"5", "5"},
    {"0.1", "0.1"},
    {"9007199254740993", "9007199254740993"},
    {"\"x\"", "\"x\""},
    {"\"\"", "\"\""},
    {"\"5\"", "\"5\""},
    {"\"true\"", "\"true\""},
    {"\"null\"", "\"null\""},
    {"\"\\\"q\\\"\"", "\"\\\"q\\\"\""},
    {"[1,\"2\"]", "[1,\"2\"]"},
    {"{\"a\":true}", "{\"a\":true}"},
    {"\"{\\\"a\\\":[]}\"", "{\"a\":[]}"}, /* encoded twice, as the sources' gateways do */
};

static int count(void *arg, struct hg_match_query *q, int64_t lsn, struct hg_slice diff)
{
    (void)q;
    (void)lsn;
    (void)diff;
    ++*(int *)arg;
    return 0;
}

/* Does the change source's twin see the value that the snapshot's filter sees? */
static int seen_by_twin(const char *json, const char *row)
{
    int n = 0;
    struct hg_match *m = hg_match_new(db, count, &n);
    const struct hg_sq_scalar v[] = {{.type = HG_SQ_TEXT, .text = hg_slice_str(json)}};
    struct hg_sq_filter kid = {.field = HG_SLICE_LIT("j"), .op = 22, .value = {false, v, 1}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &kid, .nkids = 1};
    struct hg_sq_query q = {.filter = &root};
    struct hg_match_query *live;
    struct hg_buf bytes = {0}, why = {0};
    struct hg_change c = {.lsn = 1, .table = HG_SLICE_LIT("v"), .new_row = hg_slice_str(row)};

    hgt_filter(&bytes, &q);
    assert_int_equal(hg_match_put(m, HG_SLICE_LIT("demo_v|h"), hg_buf_slice(&bytes), &live, &why),
                     1);
    assert_int_equal(hg_match_change(m, NULL, &c, &why), 0);
    hg_match_free(m);
    hg_buf_fini(&bytes);
    hg_buf_fini(&why);
    return n;
}

static void json_columns_keep_what_they_were_given(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(json_values); i++) {
        char json[128], want[160], row[160];
        snprintf(json, sizeof json, "{\"id\":1,\"j\":%s}", json_values[i][0]);
        snprintf(want, sizeof want,
                 "{\"id\":1,\"company_id\":\"demo\",\"t\":null,\"n\":null,\"j\":%s}",
                 json_values[i][1]);
        assert_string_equal(run(HG_FBW_ADD_SINGLE, "v", json), want);
        snprintf(row, sizeof row, "%s", run(HG_FBW_GET_SINGLE, "v", ""));
        assert_string_equal(row, want);
        if (strcmp(json_values[i][1], "null") && !seen_by_twin(json_values[i][1], row))
            fail_msg("the change source does not see %s", json_values[i][1]);
        exec("DELETE FROM v");
    }
}

/* One row of another program must not make the gateway refuse all. */
static void a_row_that_is_no_text_is_mended(void **state)
{
    (void)state;
    exec(
        "INSERT INTO v(id, company_id, t) VALUES"
        " (1, 'demo', CAST(x'61eda080' AS TEXT)), (2, 'demo', CAST(x'c3a9ff62f09f9880c3' AS TEXT)),"
        " (3, 'demo', 'fine')");
    const char *rows = run(HG_FBW_GET_DATA, "v", "");
    assert_non_null(strstr(rows, "\"t\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
    assert_non_null(strstr(rows, "\"t\":\"\xc3\xa9\xef\xbf\xbd"
                                 "b\xf0\x9f\x98\x80\xef\xbf\xbd\""));
    assert_non_null(strstr(rows, "\"t\":\"fine\""));
    assert_true(hg_json_is_valid(hg_slice_str(run(HG_FBW_GET_SINGLE, "v", ""))));
    exec("DELETE FROM v");
}

/* A routing key has one spelling, so a table has: under another its snapshot would get no diffs. */
static void a_table_has_one_spelling(void **state)
{
    static const char *const names[] = {"V", "v ", "main.v", "pragma_table_info", "json_each"};
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(names); i++) {
        assert_non_null(strstr(run(HG_FBW_GET_DATA, names[i], ""), "no such table"));
        assert_non_null(strstr(run(HG_FBW_ADD_SINGLE, names[i], "{\"n\":1}"), "no such table"));
    }
    assert_string_equal(run(HG_FBW_GET_DATA, "v", ""), "");
}

/* What a cursor can't carry is not in it: as null it would lead to another page. */
static void a_cursor_says_only_what_it_can(void **state)
{
    static const char *const values[] = {
        "x'00ff'", "CAST(x'61ff' AS TEXT)", "1e999", "-1e999", "'fine'", "NULL", "2.5", "7"};
    const struct hg_call_limits lim = {.max_reply = 100000};
    const struct hg_sq_order by = {HG_SLICE_LIT("t"), 0};
    char sql[120];
    (void)state;
    exec("DELETE FROM v; CREATE TABLE any (id INTEGER PRIMARY KEY, company_id TEXT, t)");
    for (size_t i = 0; i < HG_COUNTOF(values); i++) {
        struct hg_fbw_request rq = {.query = {.company = HG_SLICE_LIT("demo"),
                                              .table = HG_SLICE_LIT("any"),
                                              .order = &by,
                                              .norder = 1}};
        struct hg_arena a = {0};
        struct hg_call_answer ans = {0};
        snprintf(sql, sizeof sql, "INSERT INTO any VALUES (1, 'demo', %s)", values[i]);
        exec(sql);
        hg_call_run(db, &lim, &rq, &a, &ans);
        assert_int_equal(ans.reply.nrows, 1);
        assert_int_equal(ans.reply.ncursor, i < 4 ? 1 : 2);
        assert_true(hg_slice_is(ans.reply.cursor[ans.reply.ncursor - 1].field, "id"));
        hg_arena_fini(&a);
        exec("DELETE FROM any");
    }
}

/* '07' is 7 in a column of numbers, and 'DEMO' is 'demo' under NOCASE. */
static void a_tenant_column_that_mixes_tenants_up_is_not_served(void **state)
{
    static const char *const columns[] = {
        "INTEGER", "NUMERIC", "BOOLEAN", "UUID", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM"};
    static const char *const good[] = {"", "TEXT", "VARCHAR(20)", "BLOB"};
    char sql[200];
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(columns) + HG_COUNTOF(good); i++) {
        bool bad = i < HG_COUNTOF(columns);
        snprintf(sql, sizeof sql, "CREATE TABLE w (id INTEGER PRIMARY KEY, company_id %s)",
                 bad ? columns[i] : good[i - HG_COUNTOF(columns)]);
        exec(sql);
        exec("INSERT INTO w VALUES (1, 'demo')");
        assert_string_equal(
            run(HG_FBW_GET_DATA, "w", ""),
            bad ? "refused: table w: column company_id is not a text that counts case"
                : "{\"id\":1,\"company_id\":\"demo\"}");
        exec("DROP TABLE w");
    }
}

/* Workers of one group are started together, on one file. */
static void two_may_seed_one_file(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[64], name[80];
    sqlite3 *one, *two;
    struct hg_buf why = {0};
    (void)state;
    snprintf(path, sizeof path, "/tmp/hg-seed-%d.db", (int)getpid());
    assert_int_equal(hg_store_open(path, &one, &why), 0);
    assert_int_equal(hg_store_open(path, &two, &why), 0);
    assert_int_equal(hg_store_exec(two, "SELECT 1 FROM sqlite_schema", &why), 0); /* knows it now */
    assert_int_equal(hg_store_seed(one, &why), 0);
    if (hg_store_seed(two, &why) < 0)
        fail_msg("%.*s", HG_SLICE_ARG(hg_buf_slice(&why)));
    assert_int_equal(hg_store_prepare(two, &why), 0);
    assert_int_equal(hg_store_prepare(one, &why), 0);
    assert_int_equal(sqlite3_close(one) | sqlite3_close(two), SQLITE_OK);
    for (size_t i = 0; i < HG_COUNTOF(suffixes); i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

/* One call does not keep all others waiting: a database without an end is left. */
static void a_call_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    exec("CREATE TABLE slow (id INTEGER PRIMARY KEY, company_id TEXT);"
         "CREATE TRIGGER slow_ins BEFORE INSERT ON slow BEGIN SELECT count(*) FROM v a, v b, v c, "
         "v d,"
         " v e, v f, v g, v h; END;"
         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
         " INSERT INTO v(company_id, n) SELECT 'demo', i FROM n");
    max_ms = 20;
    assert_string_equal(run(HG_FBW_ADD_SINGLE, "slow", "{\"id\":1}"),
                        "refused: the call takes too long");
    max_ms = 0;
    exec("DROP TRIGGER slow_ins; DELETE FROM v");
    assert_string_equal(run(HG_FBW_GET_DATA, "slow", ""), "");
    assert_string_equal(run(HG_FBW_ADD_SINGLE, "slow", "{\"id\":1}"),
                        "{\"id\":1,\"company_id\":\"demo\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_kept_as_written_is_refused),
        cmocka_unit_test(nesting_beyond_a_row_is_refused),
        cmocka_unit_test(json_columns_keep_what_they_were_given),
        cmocka_unit_test(a_row_that_is_no_text_is_mended),
        cmocka_unit_test(a_table_has_one_spelling),
        cmocka_unit_test(a_cursor_says_only_what_it_can),
        cmocka_unit_test(a_tenant_column_that_mixes_tenants_up_is_not_served),
        cmocka_unit_test(two_may_seed_one_file),
        cmocka_unit_test(a_call_that_takes_too_long_is_given_up),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
