/*
 * Calls against a database: what each method does, that rows and position belong together, that
 * values arrive exactly, that nothing crosses the tenant wall, and that the messages survive the
 * wire (built and read by the official library).
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "tests/tools/support.h"
#include "tools/calls.h"
#include "tools/store.h"

static sqlite3 *db;
static char path[64];

static int setup(void **state)
{
    struct hg_buf why = {0};
    (void)state;
    snprintf(path, sizeof path, "/tmp/hg-calls-%d.db", (int)getpid());
    assert_int_equal(hg_store_open(path, &db, &why), 0);
    assert_int_equal(hg_store_seed(db, &why), 0);
    assert_int_equal(hg_store_seed(db, &why), 0); /* a second time changes nothing */
    assert_int_equal(
        hg_store_exec(
            db,
            "CREATE TABLE n (k TEXT PRIMARY KEY, company_id TEXT, i INTEGER, j JSON, x REAL);"
            "INSERT INTO tasks(id, company_id, title) VALUES (900, 'other', 'theirs')",
            &why),
        0);
    assert_int_equal(hg_store_prepare(db, &why), 0);
    assert_int_equal(hg_store_prepare(db, &why), 0);
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    (void)state;
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    for (size_t i = 0; i < HG_COUNTOF(suffixes); i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
    return 0;
}

/* What the worker does with a message. Returns the position, or -1 when the answer names none. */
static int64_t answer(struct hg_buf *in, bool on_n, struct hgt_reply *r)
{
    const struct hg_call_limits lim = {.max_reply = 100000, .now_us = 1234567890123456};
    struct hg_arena a = {0};
    struct hg_fbw_request rq;
    struct hg_call_answer ans;
    struct hg_buf out = {0};
    const char *why = NULL;
    int rc = hg_fbw_read_request(hg_buf_slice(in), &a, &rq, &why);
    assert_true(hg_slice_is(rq.correlation_id, "corr-1") && hg_slice_is(rq.reply_topic, "replies"));
    if (on_n)
        rq.pk_column = HG_SLICE_LIT("k");
    if (rc < 0)
        hg_call_refuse(&a, &rq, HG_FBW_BAD_REQUEST, hg_slice_str(why), &ans);
    else
        hg_call_run(db, &lim, &rq, &a, &ans);
    hg_fbw_encode(&ans.reply, &out);
    hgt_reply_read(hg_buf_slice(&out), r);
    assert_true(r->good);
    assert_string_equal(r->corr, "corr-1");
    assert_true(r->ok == (r->error == 0));
    hg_buf_fini(in);
    hg_buf_fini(&out);
    hg_arena_fini(&a);
    return ans.has_lsn ? ans.lsn : -1;
}

static int64_t call(unsigned method, const struct hg_sq_query *q, const char *pk, const char *json,
                    struct hgt_reply *r)
{
    struct hg_buf in = {0};
    hgt_request(&in, "corr-1", "replies", method, q, "id", pk, json);
    return answer(&in, hg_slice_is(q->table, "n"), r);
}

static struct hg_sq_query on(const char *company, const char *table)
{
    return (struct hg_sq_query){
        .company = hg_slice_str(company), .table = hg_slice_str(table), .strict_after = true};
}

static void want_refused(const struct hgt_reply *r, unsigned error, const char *message)
{
    assert_false(r->ok);
    assert_int_equal(r->error, error);
    if (!strstr(r->message, message))
        fail_msg("\"%s\" is not in \"%s\"", message, r->message);
}

static int64_t changes(void)
{
    return hg_store_lsn(db);
}

/* ---- GET_DATA ---- */

static void get_data_goes_through_the_wire(void **state)
{
    const struct hg_sq_scalar no[] = {{.type = HG_SQ_INT}},
                              words[] = {{.type = HG_SQ_TEXT, .text = {"GATE", 4}}};
    const struct hg_sq_scalar range[] = {{.type = HG_SQ_REAL, .d = 1},
                                         {.type = HG_SQ_REAL, .d = 2}};
    struct hg_sq_filter kids[] = {
        {.field = HG_SLICE_LIT("done"), .value = {false, no, 1}},
        {.field = HG_SLICE_LIT("title"),
         .op = 12,
         .case_insensitive = true,
         .value = {false, words, 1}},
        {.field = HG_SLICE_LIT("priority"), .op = 29, .value = {true, range, 2}}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = kids, .nkids = 3};
    struct hg_sq_query q = on("demo", "tasks");
    struct hgt_reply r;
    (void)state;
    q.filter = &root;
    assert_int_equal(call(0, &q, "", "", &r), changes());
    assert_int_equal(r.kind, 1);
    assert_int_equal(r.nrows, 1); /* "Replace the seal of gate 2" */
    assert_non_null(strstr(r.rows[0], "\"id\":6,\"company_id\":\"demo\",\"title\":\"Replace the "
                                      "seal of gate 2\",\"done\":false,\"priority\":1"));
    root.all = false;
    call(0, &q, "", "", &r);
    assert_true(r.nrows > 10);
}

static void pages_follow_each_other(void **state)
{
    struct hg_sq_order order[] = {{HG_SLICE_LIT("priority"), 0}, {HG_SLICE_LIT("id"), 0}};
    struct hg_sq_scalar at[2];
    struct hg_sq_cursor cursor[] = {{HG_SLICE_LIT("priority"), {false, &at[0], 1}},
                                    {HG_SLICE_LIT("id"), {false, &at[1], 1}}};
    struct hg_sq_query q = on("demo", "tasks");
    struct hgt_reply r;
    size_t seen = 0;
    char last[64] = "";
    (void)state;
    q.order = order;
    q.norder = 2;
    q.limit = 7;
    for (int page = 0; page < 4; page++) {
        long long priority, id;
        call(0, &q, "", "", &r);
        assert_int_equal(r.kind, 5);
        seen += r.nrows;
        if (r.nrows == 0)
            break;
        assert_int_equal(r.ncursor, 2);
        assert_int_equal(sscanf(r.cursor[0], "priority=%lld", &priority), 1);
        assert_int_equal(sscanf(r.cursor[1], "id=%lld", &id), 1);
        assert_string_not_equal(r.cursor[1], last);
        snprintf(last, sizeof last, "%s", r.cursor[1]);
        at[0] = (struct hg_sq_scalar){.type = HG_SQ_INT, .i = priority};
        at[1] = (struct hg_sq_scalar){.type = HG_SQ_INT, .i = id};
        q.cursor = cursor;
        q.ncursor = 2;
    }
    assert_int_equal(seen, 20);
}

static void what_cannot_be_answered_is_refused(void **state)
{
    struct hg_sq_filter regex = {
        .field = HG_SLICE_LIT("title"),
        .op = 8,
        .value = {false, (const struct hg_sq_scalar[]){{.type = HG_SQ_TEXT, .text = {"(", 1}}}, 1}};
    struct hg_sq_filter runaway = {
        .field = HG_SLICE_LIT("title"),
        .op = 8,
        .value = {false,
                  (const struct hg_sq_scalar[]){{.type = HG_SQ_TEXT, .text = {"^(a+)+$", 7}}}, 1}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &regex, .nkids = 1};
    struct hg_sq_query q = on("demo", "nope");
    struct hgt_reply r;
    (void)state;
    assert_int_equal(call(0, &q, "", "", &r), -1);
    want_refused(&r, 1, "no such table");
    q = on("demo", "hg_changes");
    call(0, &q, "", "", &r);
    want_refused(&r, 1, "no such table");
    q = on("demo", "tasks");
    q.filter = &root;
    call(0, &q, "", "", &r);
    want_refused(&r, 1, "regex: title: the pattern is wrong at 1: missing closing parenthesis");
    /* A row on which a pattern runs away is the asker's fault, too. */
    root.kids = &runaway;
    call(HG_FBW_UPDATE_SINGLE, &q, "1", "{\"title\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}",
         &r);
    assert_true(r.ok);
    call(0, &q, "", "", &r);
    want_refused(&r, 1, "regex: the pattern takes too long on a text of this column");
    q = on("", "tasks");
    for (unsigned method = 0; method < 5; method++) {
        call(method, &q, "1", "{\"title\":\"x\"}", &r);
        want_refused(&r, 1, "companyId: missing");
    }
    struct hg_buf in = {0};
    hgt_aggregation(&in, &q, true, (const struct hg_fbw_names[HG_FBW_AGGS]){{0}});
    answer(&in, false, &r);
    want_refused(&r, 1, "companyId: missing");
}

static void a_large_answer_is_refused(void **state)
{
    struct hg_sq_query q = on("big", "n");
    struct hgt_reply r;
    struct hg_buf json = {0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        hg_buf_reset(&json);
        hg_buf_addf(&json, "{\"k\":\"%d\",\"j\":\"", i);
        for (int n = 0; n < 50000; n++)
            hg_buf_addc(&json, 'y');
        hg_buf_add(&json, "\"}", 3);
        call(2, &q, "", json.p, &r);
        assert_true(r.ok);
    }
    assert_int_equal(call(0, &q, "", "", &r), -1);
    want_refused(&r, 1, "too large");
    q.limit = 1;
    call(0, &q, "", "", &r);
    assert_true(r.ok && r.nrows == 1);
    hg_buf_fini(&json);
}

/* ---- writing ---- */

struct write_case {
    const char *pk, *json, *refused; /* NULL: done */
};

static const struct write_case updates[] = {
    {"2", "{\"priority\":6}", "the priority is a whole number from 1 to 5"},
    {"2", "{\"priority\":\"high\"}", "the priority is a whole number"},
    {"2", "{\"title\":null}", "NOT NULL"},
    {"2", "{\"nope\":1}", "nope: no such column"},
    {"2", "{\"title\\\" = 'x' --\":1}", "no such column"},
    {"2", "{\"id\":3}", "primary key can't be changed"},
    {"2", "{\"company_id\":\"other\"}", "company_id can't be changed"},
    {"2", "{\"title\":\"a\",\"title\":\"b\"}", "title: given twice"},
    {"2", "{}", "not a JSON object"},
    {"2", "[1]", "not a JSON object"},
    {"2", "3", "not a JSON object"},
    {"2", "{\"title\":", "not a JSON object"},
    {"2", "", "not a JSON object"},
    {"2", "{\"title\":\"It's \\\"new\\\"\",\"done\":true}", NULL},
    {"2", "\"{\\\"title\\\":\\\"encoded twice\\\"}\"", NULL},
};

static void updates_do_what_they_say_or_nothing(void **state)
{
    struct hg_sq_query q = on("demo", "tasks");
    struct hgt_reply r;
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(updates); i++) {
        const struct write_case *c = &updates[i];
        int64_t before = changes();
        call(3, &q, c->pk, c->json, &r);
        if (c->refused) {
            want_refused(&r, 1, c->refused);
            assert_int_equal(changes(), before);
        } else {
            assert_true(r.ok && r.kind == 3 && r.value);
            assert_int_equal(changes(), before + 1);
        }
    }
    call(1, &q, "2", "", &r);
    assert_non_null(strstr(r.rows[0], "\"title\":\"encoded twice\",\"done\":true"));
    assert_non_null(strstr(r.rows[0], "\"updated_at\":1234567890123456"));
}

static void rows_that_are_not_there(void **state)
{
    struct hg_sq_query q = on("demo", "tasks");
    struct hgt_reply r;
    (void)state;
    static const char *const keys[] = {"12345", "2x", "", "2 OR 1=1",
                                       "900" /* of another company */};
    for (size_t i = 0; i < HG_COUNTOF(keys); i++) {
        int64_t before = changes();
        call(3, &q, keys[i], "{\"title\":\"x\"}", &r);
        assert_true(r.ok && r.kind == 3 && !r.value);
        call(4, &q, keys[i], "", &r);
        assert_true(r.ok && r.kind == 3 && !r.value);
        call(1, &q, keys[i], "", &r);
        assert_true(r.ok && r.kind == 2 && r.nrows == 0);
        assert_int_equal(changes(), before);
    }
}

static void numbers_stay_exact(void **state)
{
    struct hg_sq_query q = on("demo", "n");
    struct hgt_reply r;
    (void)state;
    call(2, &q, "", "{\"k\":\"a\",\"i\":9007199254740993,\"j\":{\"deep\":[1,null]},\"x\":0.1}", &r);
    assert_string_equal(r.rows[0], "{\"k\":\"a\",\"company_id\":\"demo\",\"i\":9007199254740993,"
                                   "\"j\":{\"deep\":[1,null]},\"x\":0.1}");
    call(3, &q, "a", "{\"i\":-9223372036854775808,\"x\":1e300}", &r);
    assert_true(r.ok && r.value);
    call(1, &q, "a", "", &r);
    assert_string_equal(r.rows[0], "{\"k\":\"a\",\"company_id\":\"demo\",\"i\":-"
                                   "9223372036854775808,\"j\":{\"deep\":[1,null]},\"x\":1.0e+300}");
    call(2, &q, "", "{\"k\":\"a\"}", &r);
    want_refused(&r, 1, "UNIQUE");
    call(2, &q, "", "{\"k\":\"b\",\"company_id\":\"other\"}", &r);
    want_refused(&r, 1, "company_id of another company");
    call(4, &q, "a", "", &r);
    assert_true(r.ok && r.value);
}

static void table_exists(void **state)
{
    struct hg_sq_query q = on("demo", "tasks");
    struct hgt_reply r;
    (void)state;
    call(6, &q, "", "", &r);
    assert_true(r.ok && r.value);
    q = on("demo", "sqlite_schema");
    call(6, &q, "", "", &r);
    assert_true(r.ok && !r.value);
}

/* ---- the change log ---- */

static void want_change(const char *old_part, const char *new_part)
{
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT old, new FROM hg_changes ORDER BY lsn DESC LIMIT 1",
                                        -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    const char *was = (const char *)sqlite3_column_text(st, 0),
               *is = (const char *)sqlite3_column_text(st, 1);
    assert_true((was != NULL) == (old_part != NULL) && (is != NULL) == (new_part != NULL));
    assert_true(!was || strstr(was, old_part));
    assert_true(!is || strstr(is, new_part));
    sqlite3_finalize(st);
}

static void every_writer_is_logged(void **state)
{
    struct hg_buf why = {0};
    int64_t lsn = changes();
    (void)state;
    assert_int_equal(
        hg_store_exec(db, "INSERT INTO n VALUES ('z', 'demo', 9007199254740993, x'01', 0.1)", &why),
        0);
    want_change(NULL, "\"i\":9007199254740993,\"j\":\"01\",\"x\":0.1}");
    assert_int_equal(hg_store_exec(db, "UPDATE n SET i = i + 1 WHERE k = 'z'", &why), 0);
    want_change("\"i\":9007199254740993", "\"i\":9007199254740994");
    assert_int_equal(hg_store_exec(db, "UPDATE n SET i = i WHERE k = 'z'", &why), 0);
    assert_int_equal(changes(), lsn + 2); /* nothing changed, nothing logged */
    assert_int_equal(hg_store_exec(db, "BEGIN; DELETE FROM n WHERE k = 'z'; ROLLBACK", &why), 0);
    assert_int_equal(changes(), lsn + 2);
    assert_int_equal(hg_store_exec(db, "DELETE FROM n WHERE k = 'z'", &why), 0);
    want_change("\"i\":9007199254740994", NULL);
    assert_int_equal(changes(), lsn + 3);
}

/* A column that is added later is in the log after the next prepare. */
static void a_changed_table_is_watched_anew(void **state)
{
    struct hg_buf why = {0};
    (void)state;
    assert_int_equal(hg_store_exec(db, "ALTER TABLE n ADD COLUMN extra TEXT", &why), 0);
    assert_int_equal(hg_store_prepare(db, &why), 0);
    assert_int_equal(
        hg_store_exec(db, "INSERT INTO n(k, company_id, extra) VALUES ('e', 'demo', 'seen')", &why),
        0);
    want_change(NULL, "\"extra\":\"seen\"");
}

/* ---- bytes that are no message ---- */

/* ---- RUN_AGGREGATION ---- */

static void aggregate(const struct hg_sq_query *q, bool count, const char *sum, const char *rest,
                      struct hgt_reply *r)
{
    const struct hg_slice one = hg_slice_str(sum), two = hg_slice_str(rest);
    const struct hg_fbw_names names = {&two, rest != NULL},
                              agg[HG_FBW_AGGS] = {{&one, sum != NULL}, names, names, names};
    struct hg_buf in = {0};
    hgt_aggregation(&in, q, count, agg);
    answer(&in, false, r);
}

static void aggregates_are_exact_and_walled(void **state)
{
    const struct hg_sq_scalar k[] = {{.type = HG_SQ_TEXT, .text = {"b", 1}}};
    struct hg_sq_filter kid = {.field = HG_SLICE_LIT("k"), .value = {false, k, 1}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &kid, .nkids = 1};
    struct hg_sq_query q = on("agg", "n");
    struct hgt_reply r;
    struct hg_buf why = {0};
    (void)state;
    assert_int_equal(
        hg_store_exec(db,
                      "INSERT INTO n VALUES ('a','agg',9007199254740993,NULL,0.1),"
                      "('b','agg',1,NULL,0.2),('c','agg',NULL,NULL,NULL),('d','theirs',7,NULL,7)",
                      &why),
        0);
    aggregate(&q, true, "i", "i", &r);
    assert_non_null(strstr(r.agg, "count=3 sum.i=9007199254740994 avg.i=")); /* avg is a real */
    assert_non_null(strstr(r.agg, " min.i=1 max.i=9007199254740993"));
    assert_int_equal(r.kind, 4);
    aggregate(&q, false, "x", "x", &r);
    assert_string_equal(r.agg,
                        "count=0 sum.x=0.30000000000000004 avg.x=0.15000000000000002 min.x=0.1 "
                        "max.x=0.2");
    q.filter = &root;
    aggregate(&q, true, "x", NULL, &r);
    assert_string_equal(r.agg, "count=1 sum.x=0.2");
    q.company = HG_SLICE_LIT("nobody");
    aggregate(&q, true, "x", "i", &r); /* no rows: nothing to say about columns */
    assert_string_equal(r.agg, "count=0");
    assert_true(r.ok && r.kind == 4);
    q = on("agg", "n");
    aggregate(&q, false, NULL, NULL, &r);
    want_refused(&r, 1, "nothing to aggregate");
    aggregate(&q, true, "nope", NULL, &r);
    want_refused(&r, 1, "sum of nope: no such column");
    aggregate(&q, true, "i", "k", &r);
    want_refused(&r, 1, "avg of k: not a column of numbers");
    q.table = HG_SLICE_LIT("hg_changes");
    aggregate(&q, true, NULL, NULL, &r);
    want_refused(&r, 1, "no such table");
    assert_int_equal(hg_store_exec(db, "UPDATE n SET i = 9223372036854775807 WHERE k = 'a'", &why),
                     0);
    q.table = HG_SLICE_LIT("n");
    aggregate(&q, true, "i", NULL, &r);
    want_refused(&r, 1, "beyond 64 bits");
}

/* ---- CREATE_TABLE ---- */

enum { PK = 1 << 0, UNIQUE = 1 << 1, CHECK = 1 << 3, INDEXED = 1 << 5 };
#define COL(n, ...)                                                                                \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, __VA_ARGS__                                                    \
    }

static void create(const char *company, const char *name, const struct hg_fbw_column *cols,
                   size_t n, bool options, struct hgt_reply *r)
{
    const struct hg_fbw_definition d = {hg_slice_str(name), cols, n, options};
    struct hg_buf in = {0};
    hgt_create_table(&in, company, &d);
    answer(&in, false, r);
}

static void a_made_table_is_served_logged_and_walled(void **state)
{
    static const struct hg_fbw_column cols[] = {
        COL("id", .type = 7, .constraints = PK),
        COL("code", .type = 1, .constraints = UNIQUE | INDEXED),
        COL("on", .type = 23, .nullable = true),
        COL("doc", .type = 26, .nullable = true),
        COL("updated_at", .type = 20, .nullable = true),
    };
    struct hg_sq_query q = on("demo", "made"), other = on("acme", "made");
    struct hgt_reply r;
    (void)state;
    call(6, &q, "", "", &r);
    assert_false(r.value);
    create("demo", "made", cols, 5, false, &r);
    assert_true(r.ok && r.kind == 3 && r.value);
    call(6, &q, "", "", &r);
    assert_true(r.value);
    int64_t before = changes();
    call(2, &q, "", "{\"code\":\"a\",\"on\":true,\"doc\":{\"x\":[1]}}", &r);
    assert_true(r.ok);
    assert_string_equal(r.rows[0], "{\"id\":1,\"code\":\"a\",\"on\":true,\"doc\":{\"x\":[1]},"
                                   "\"updated_at\":null,\"company_id\":\"demo\"}");
    call(2, &other, "", "{\"code\":\"a\"}", &r); /* unique within a company */
    assert_true(r.ok);
    call(3, &q, "1", "{\"on\":false}", &r);
    assert_true(r.value);
    assert_int_equal(changes(), before + 3);
    call(2, &q, "", "{\"code\":\"a\"}", &r);
    want_refused(&r, 1, "UNIQUE");
    call(2, &q, "", "{\"code\":\"b\",\"on\":2}", &r);
    want_refused(&r, 1, "CHECK");
    call(2, &q, "", "{\"on\":true}", &r);
    want_refused(&r, 1, "NOT NULL");
    call(4, &other, "1", "", &r); /* another company's row is not there */
    assert_true(r.ok && !r.value);
    call(0, &other, "", "", &r);
    assert_int_equal(r.nrows, 1);
    create("acme", "MADE", cols, 5, false, &r);
    want_refused(&r, 1, "there already");
}

/* SQLite itself would keep any of these in any column. */
static void a_made_column_of_numbers_holds_numbers(void **state)
{
    static const struct hg_fbw_column cols[] = {
        COL("id", .type = 7, .constraints = PK),
        COL("n", .type = 8, .nullable = true),
        COL("x", .type = 12, .nullable = true),
        COL("d", .type = 9, .nullable = true),
    };
    static const char *const rows[][2] = {
        {"{\"n\":\"abc\"}", "n is a whole number"},
        {"{\"n\":5.5}", "n is a whole number"},
        {"{\"x\":\"\"}", "x is a number"},
        {"{\"d\":[1]}", "d is a number"},
        {"{\"n\":\"12\",\"x\":7,\"d\":\"0.5\"}", NULL},
        {"{\"n\":5.0,\"x\":null}", NULL},
    };
    struct hg_sq_query q = on("demo", "numbers");
    struct hgt_reply r;
    (void)state;
    create("demo", "numbers", cols, 4, false, &r);
    assert_true(r.ok);
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        call(2, &q, "", rows[i][0], &r);
        assert_true(rows[i][1] ? !r.ok : r.ok);
        if (rows[i][1])
            want_refused(&r, 1, rows[i][1]);
    }
    call(1, &q, "1", "", &r);
    assert_string_equal(r.rows[0],
                        "{\"id\":1,\"n\":12,\"x\":7.0,\"d\":0.5,\"company_id\":\"demo\"}");
}

static void what_sqlite_would_not_keep_is_refused(void **state)
{
#define ID COL("id", .type = 7, .constraints = PK)
    static const struct {
        const char *name, *refused;
        struct hg_fbw_column cols[2];
        bool options;
    } cases[] = {
        {"hg_x", "name of the worker's own", {ID, COL("a", .type = 0)}, false},
        {"sqlite_x", "name of the worker's own", {ID, COL("a", .type = 0)}, false},
        {"", "letters", {ID, COL("a", .type = 0)}, false},
        {"a b", "letters", {ID, COL("a", .type = 0)}, false},
        {"1a", "letters", {ID, COL("a", .type = 0)}, false},
        {"x\";drop table tasks", "letters", {ID, COL("a", .type = 0)}, false},
        {"x", "letters", {ID, COL("a\"", .type = 0)}, false},
        {"x", "letters", {ID, COL("", .type = 0)}, false},
        {"x", "ID: given twice", {ID, COL("ID", .type = 0)}, false},
        {"x", "exactly one column", {COL("a", .type = 0), COL("b", .type = 0)}, false},
        {"x", "exactly one column", {ID, COL("a", .constraints = PK)}, false},
        {"x", "unknown type", {ID, COL("a", .type = 33)}, false},
        {"x", "type bytea of a", {ID, COL("a", .type = 24)}, false},
        {"x", "type money of a", {ID, COL("a", .type = 16)}, false},
        {"x", "type custom of a", {ID, COL("a", .type = 32)}, false},
        {"x", "a serial can only", {ID, COL("a", .type = 13)}, false},
        {"x", "constraint check of a", {ID, COL("a", .constraints = CHECK)}, false},
        {"x", "an unknown constraint", {ID, COL("a", .constraints = 1 << 12)}, false},
        {"x", "custom options", {ID, COL("a", .has_options = true)}, false},
        {"x", "table options", {ID, COL("a", .type = 0)}, true},
        {"x", "the tenant's column is a text", {ID, COL("company_id", .type = 7)}, false},
        {"x", "is spelt company_id", {ID, COL("Company_ID", .type = 0)}, false},
    };
    struct hgt_reply r;
    struct hg_sq_query q = on("demo", "x");
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(cases); i++) {
        create("demo", cases[i].name, cases[i].cols, 2, cases[i].options, &r);
        want_refused(&r, 1, cases[i].refused);
    }
    create("", "x", cases[0].cols, 2, false, &r);
    want_refused(&r, 1, "companyId: missing");
    create("demo", "x", NULL, 0, false, &r);
    want_refused(&r, 1, "without columns");
    call(6, &q, "", "", &r);
    assert_false(r.value);
}

static void every_cut_and_flip_is_survived(void **state)
{
    const struct hg_sq_scalar v[] = {{.type = HG_SQ_TEXT, .text = {"x", 1}}};
    struct hg_sq_filter kid = {.field = HG_SLICE_LIT("title"), .value = {false, v, 1}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &kid, .nkids = 1};
    struct hg_sq_query q = on("demo", "tasks");
    struct hg_buf good = {0};
    const char *why;
    (void)state;
    q.filter = &root;
    hgt_request(&good, "c", "r", 0, &q, "", "", "");
    for (size_t i = 0; i < good.n * 9; i++) {
        struct hg_arena a = {0};
        struct hg_fbw_request rq;
        size_t n = i < good.n ? i : good.n;
        char *copy = hg_malloc(n + 1); /* its own block: the sanitizer sees a read past the end */
        if (n)
            memcpy(copy, good.p, n);
        if (i >= good.n)
            copy[(i - good.n) / 8] ^= (char)(1 << ((i - good.n) % 8));
        char *odd = hg_malloc(n + 1); /* as Kafka gives it */
        memcpy(odd + 1, copy, n);
        int rc = hg_fbw_read_request(hg_slice_of(i % 2 ? odd + 1 : copy, n), &a, &rq, &why);
        assert_true(rc == 0 || rc == -HG_E_FB_INVALID || rc == -HG_E_BAD_QUERY);
        if (rc == 0) {
            struct hg_call_answer ans;
            const struct hg_call_limits lim = {.max_reply = 100000};
            if (rq.method == HG_FBW_GET_DATA)
                hg_call_run(db, &lim, &rq, &a, &ans);
        }
        hg_arena_fini(&a);
        free(copy);
        free(odd);
    }
    hg_buf_fini(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_data_goes_through_the_wire),
        cmocka_unit_test(pages_follow_each_other),
        cmocka_unit_test(what_cannot_be_answered_is_refused),
        cmocka_unit_test(a_large_answer_is_refused),
        cmocka_unit_test(updates_do_what_they_say_or_nothing),
        cmocka_unit_test(rows_that_are_not_there),
        cmocka_unit_test(numbers_stay_exact),
        cmocka_unit_test(table_exists),
        cmocka_unit_test(aggregates_are_exact_and_walled),
        cmocka_unit_test(a_made_table_is_served_logged_and_walled),
        cmocka_unit_test(a_made_column_of_numbers_holds_numbers),
        cmocka_unit_test(what_sqlite_would_not_keep_is_refused),
        cmocka_unit_test(every_writer_is_logged),
        cmocka_unit_test(a_changed_table_is_watched_anew),
        cmocka_unit_test(every_cut_and_flip_is_survived),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
