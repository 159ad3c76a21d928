/*
 * The query compiler, run against SQLite: every operator gives the rows it should, everything else
 * is refused, no text of a query becomes SQL, and no query leaves its company.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "tests/tools/ids.h"

static const char schema[] =
    "CREATE TABLE things (id INTEGER PRIMARY KEY, company_id TEXT, name TEXT, n INTEGER, x REAL, "
    "ok BOOLEAN, at TIMESTAMP);"
    "INSERT INTO things VALUES (1,'demo','Alpha',10,1.5,1,1000),(2,'demo','beta',20,2.5,0,2000),"
    "(3,'demo','a%b_c',30,0.1,1,3000),(4,'demo',NULL,NULL,NULL,NULL,NULL),(5,'demo','','40',4.0,0,"
    "4000),"
    "(6,'other','Alpha',10,1.5,1,1000),(7,'demo','O''Brien \"x\"',9007199254740993,-1.0,1,5000);"
    "CREATE TABLE \"we\"\"ird\" (\"i d\" TEXT PRIMARY KEY, company_id TEXT, \"q\"\"uote\" TEXT);"
    "INSERT INTO \"we\"\"ird\" VALUES ('k','demo','v');"
    "CREATE TABLE secret (id INTEGER PRIMARY KEY, company_id TEXT); INSERT INTO secret VALUES "
    "(1,'demo');"
    "CREATE TABLE bare (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE two (a, b, company_id, "
    "PRIMARY KEY (a, b));"
    "CREATE TABLE hg_private (id INTEGER PRIMARY KEY, company_id TEXT);";

static sqlite3 *db;
static struct hg_table things;

static int setup(void **state)
{
    struct hg_buf why = {0};
    (void)state;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(hg_table_load(db, HG_SLICE_LIT("things"), &things, &why), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hg_table_fini(&things);
    return sqlite3_close(db) == SQLITE_OK ? 0 : -1;
}

static const char *run_filter(const struct hg_sq_filter *f)
{
    struct hg_sq_query q = {.company = HG_SLICE_LIT("demo"), .filter = f, .strict_after = true};
    return hgt_ids(db, &things, &q);
}

/* ---- operators ---- */

struct op_case {
    const char *field;
    unsigned op;
    bool ci;
    struct hg_sq_value value;
    const char *want;
};

static const struct op_case op_cases[] = {
    /* equals, notEquals: a NULL column is neither */
    {"name", 0, false, ONE(T("Alpha")), "1"},
    {"name", 0, false, ONE(T("alpha")), ""},
    {"name", 0, true, ONE(T("aLPHA")), "1"},
    {"name", 0, false, ONE(NUL), "4"},
    {"name", 1, false, ONE(T("Alpha")), "2,3,5,7"},
    {"name", 1, true, ONE(T("ALPHA")), "2,3,5,7"},
    {"name", 1, false, ONE(NUL), "1,2,3,5,7"},
    {"n", 0, false, ONE(I(9007199254740993)), "7"},
    {"n", 0, false, ONE(I(9007199254740992)), ""},
    {"n", 0, false, ONE(R(10.0)), "1"},
    {"n", 0, false, ONE(T("10")), "1"},
    {"name", 0, false, ONE(R(40.0)), ""},
    {"ok", 0, false, ONE(I(1)), "1,3,7"},
    {"ok", 0, false, ONE(I(0)), "2,5"},
    {"x", 0, false, ONE(R(0.1)), "3"},
    /* order */
    {"n", 2, false, ONE(I(20)), "1"},
    {"n", 3, false, ONE(I(20)), "1,2"},
    {"n", 4, false, ONE(I(20)), "3,5,7"},
    {"n", 5, false, ONE(I(20)), "2,3,5,7"},
    {"at", 5, false, ONE(I(4000)), "5,7"},
    {"n", 2, false, ONE(NUL), "refused: lessThan: n: null has no order; use isNull or isNotNull"},
    {"n", 2, false, LIST(I(1)), "refused: lessThan: n: this operator takes one value, not a list"},
    {"n", 2, false, NONE, "refused: lessThan: n: a value is missing"},
    /* null */
    {"name", 6, false, NONE, "4"},
    {"name", 7, false, ONE(T("ignored")), "1,2,3,5,7"},
    /* text; no wildcards */
    {"name", 10, false, ONE(T("Al")), "1"},
    {"name", 10, false, ONE(T("al")), ""},
    {"name", 10, true, ONE(T("aL")), "1"},
    {"name", 10, false, ONE(T("")), "1,2,3,5,7"},
    {"name", 10, false, ONE(T("%")), ""},
    {"name", 11, false, ONE(T("_c")), "3"},
    {"name", 11, false, ONE(T("ta")), "2"},
    {"name", 11, true, ONE(T("TA")), "2"},
    {"name", 11, false, ONE(T("longer than any name here")), ""},
    {"name", 12, false, ONE(T("%")), "3"},
    {"name", 12, true, ONE(T("ALPH")), "1"},
    {"name", 12, false, ONE(T("O'B")), "7"},
    {"name", 13, false, ONE(T("a")), "5,7"},
    {"name", 13, true, ONE(T("A")), "5,7"},
    {"name", 12, false, ONE(I(1)), "refused: contains: name: this operator takes a text"},
    /* ranges */
    {"n", 29, false, LIST(I(10), I(20)), "1,2"},
    {"n", 29, false, LIST(I(20), I(10)), ""},
    {"n", 30, false, LIST(I(10), I(20)), "3,5,7"},
    {"name", 29, true, LIST(T("A"), T("C")), "1,2,3"},
    {"x", 29, false, LIST(R(1.5), R(2.5)), "1,2"},
    {"n", 29, false, LIST(I(10)), "refused: between: n: this operator takes a list of two values"},
    {"n", 29, false, ONE(I(10)), "refused: between: n: this operator takes a list of two values"},
    /* lists */
    {"n", 33, false, LIST(I(10), I(30), I(99)), "1,3"},
    {"n", 33, false, EMPTY, ""},
    {"n", 34, false, LIST(I(10), I(30)), "2,5,7"},
    {"name", 33, true, LIST(T("ALPHA"), T("BETA")), "1,2"},
    {"name", 34, false, LIST(T("Alpha")), "2,3,5,7"},
    {"n", 33, false, ONE(I(10)), "refused: inList: n: this operator takes a list"},
    {"n", 34, false, EMPTY, "1,2,3,5,7"},
    {"name", 34, true, EMPTY, "1,2,3,5,7"},
    /* case_insensitive leaves numbers numbers */
    {"n", 2, true, ONE(I(9)), ""},
    {"n", 2, true, ONE(T("9")), ""},
    {"n", 4, true, ONE(I(9)), "1,2,3,5,7"},
    {"x", 4, true, ONE(R(2.25)), "2,5"},
    {"n", 0, true, ONE(R(10.0)), "1"},
    {"n", 29, true, LIST(I(9), I(25)), "1,2"},
    {"n", 30, true, LIST(I(9), I(25)), "3,5,7"},
    {"x", 33, true, LIST(R(4.0), R(0.1)), "3,5"},
    {"n", 34, true, LIST(T("10"), T("20")), "3,5,7"},
    {"name", 2, true, ONE(T("B")), "1,3,5"},
    /* to SQLite a text is greater than all numbers */
    {"n", 2, false, ONE(T("abc")),
     "refused: lessThan: n: the value is a text, the column one of numbers"},
    {"n", 1, false, ONE(T("")),
     "refused: notEquals: n: the value is a text, the column one of numbers"},
    {"ok", 1, false, ONE(T("true")),
     "refused: notEquals: ok: the value is a text, the column one of numbers"},
    {"at", 29, false, LIST(T("2026-01-01"), T("2026-12-31")),
     "refused: between: at: the value is a text, the column one of numbers"},
    {"x", 34, false, LIST(T("1.5"), T("1,5")),
     "refused: notInList: x: the value is a text, the column one of numbers"},
    {"x", 34, false, LIST(T("1.5"), T("-1e0")), "2,3,5"},
    /* identifiers */
    {"nope", 0, false, ONE(I(1)), "refused: nope: no such column"},
    {"N", 0, false, ONE(I(1)), "refused: N: no such column"},
    {"rowid", 0, false, ONE(I(1)), "refused: rowid: no such column"},
    {"", 0, false, ONE(I(1)), "refused: : no such column"},
    {"name\" OR 1=1 --", 0, false, ONE(I(1)), "refused: name\" OR 1=1 --: no such column"},
    /* texts stay texts */
    {"name", 0, false, ONE(T("' OR '1'='1")), ""},
    {"name", 0, false, ONE(T("Alpha'; DROP TABLE things; --")), ""},
    {"name", 12, false, ONE(T("') OR 1=1 --")), ""},
    {"name", 33, false, LIST(T("x') OR 1=1 --")), ""},
    {"name", 0, false, ONE(T("Alpha\0' OR 1")), ""},
};

static void every_operator(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(op_cases); i++) {
        const struct op_case *c = &op_cases[i];
        struct hg_sq_filter f = {.field = hg_slice_str(c->field),
                                 .op = c->op,
                                 .value = c->value,
                                 .case_insensitive = c->ci};
        const char *got = run_filter(&f);
        if (strcmp(got, c->want))
            fail_msg("case %zu: %s op %u: got \"%s\", want \"%s\"", i, c->field, c->op, got,
                     c->want);
    }
}

static void what_is_no_operator_is_refused(void **state)
{
    static const struct hg_sq_scalar one[] = {T("1")};
    (void)state;
    for (unsigned op = 35; op < 256; op++) {
        struct hg_sq_filter f = {.field = HG_SLICE_LIT("name"), .op = op, .value = {false, one, 1}};
        assert_string_equal(run_filter(&f), "refused: name: unknown operator");
    }
    struct hg_sq_filter f = {
        .field = HG_SLICE_LIT("name"), .distinct = true, .value = {false, one, 1}};
    assert_string_equal(run_filter(&f),
                        "refused: name: modifier distinct is not supported by this worker");
}

/* ---- wrappers ---- */

static struct hg_sq_filter n_is(int64_t v, struct hg_sq_scalar *store)
{
    *store = (struct hg_sq_scalar){.type = HG_SQ_INT, .i = v};
    return (struct hg_sq_filter){.field = HG_SLICE_LIT("n"), .value = {false, store, 1}};
}

static void and_or_nest(void **state)
{
    struct hg_sq_scalar v[3];
    struct hg_sq_filter ten = n_is(10, &v[0]), twenty = n_is(20, &v[1]), thirty = n_is(30, &v[2]);
    struct hg_sq_filter either[] = {ten, twenty, thirty};
    struct hg_sq_filter any = {.wrapper = true, .kids = either, .nkids = 3};
    struct hg_sq_filter ok = {.field = HG_SLICE_LIT("ok"),
                              .value = {false, (const struct hg_sq_scalar[]){I(1)}, 1}};
    struct hg_sq_filter both[] = {any, ok};
    struct hg_sq_filter all = {.wrapper = true, .all = true, .kids = both, .nkids = 2};
    (void)state;
    assert_string_equal(run_filter(&any), "1,2,3");
    assert_string_equal(run_filter(&all), "1,3");
    struct hg_sq_filter none = {.wrapper = true, .all = true}, nothing = {.wrapper = true};
    assert_string_equal(run_filter(&none), "1,2,3,4,5,7");
    assert_string_equal(run_filter(&nothing), "refused: wrapper: an or without alternatives");
}

/* One refused leaf anywhere refuses the whole: a query with a part left out would be wider or
 * narrower. */
static void one_bad_leaf_refuses_all(void **state)
{
    struct hg_sq_scalar v;
    struct hg_sq_filter kids[] = {n_is(10, &v), {.field = HG_SLICE_LIT("nope"), .op = 6}};
    struct hg_sq_filter any = {.wrapper = true, .kids = kids, .nkids = 2};
    (void)state;
    assert_string_equal(run_filter(&any), "refused: nope: no such column");
}

static void depth_and_size_are_bounded(void **state)
{
    enum { MANY = HG_SQ_MAX_NODES + 1 };
    struct hg_sq_filter nest[HG_SQ_MAX_DEPTH + 2];
    static struct hg_sq_filter many[MANY];
    struct hg_sq_scalar v;
    (void)state;
    nest[0] = n_is(10, &v);
    for (size_t i = 1; i < HG_COUNTOF(nest); i++)
        nest[i] = (struct hg_sq_filter){.wrapper = true, .kids = &nest[i - 1], .nkids = 1};
    assert_string_equal(run_filter(&nest[HG_SQ_MAX_DEPTH]), "1");
    assert_string_equal(run_filter(&nest[HG_SQ_MAX_DEPTH + 1]),
                        "refused: wrapper: wrappers nested too deep");
    for (size_t i = 0; i < MANY; i++)
        many[i] = nest[0];
    struct hg_sq_filter all = {.wrapper = true, .kids = many, .nkids = MANY - 2};
    assert_string_equal(run_filter(&all), "1");
    all.nkids = MANY;
    assert_string_equal(run_filter(&all), "refused: wrapper: too many conditions");
}

/* ---- order, limit, cursor ---- */

struct page {
    const char *field;
    unsigned sort;
    struct hg_sq_cursor cursor[2];
    size_t ncursor;
    bool again; /* strict_after = false */
    uint32_t limit, offset;
    const char *want;
};
#define AT(f, ...)                                                                                 \
    {                                                                                              \
        {f, sizeof(f) - 1}, ONE(__VA_ARGS__)                                                       \
    }
#define NOWHERE                                                                                    \
    {                                                                                              \
        {                                                                                          \
            .field = { NULL, 0 }                                                                   \
        }                                                                                          \
    }

static const struct page pages[] = {
    {"n", 0, NOWHERE, 0, false, 0, 0, "1,2,3,5,7,4"}, /* ascending: nulls last */
    {"n", 1, NOWHERE, 0, false, 0, 0, "4,1,2,3,5,7"},
    {"n", 2, NOWHERE, 0, false, 0, 0, "1,2,3,5,7,4"},
    {"n", 3, NOWHERE, 0, false, 0, 0, "4,7,5,3,2,1"}, /* descending: nulls first */
    {"n", 4, NOWHERE, 0, false, 0, 0, "4,7,5,3,2,1"},
    {"n", 5, NOWHERE, 0, false, 0, 0, "7,5,3,2,1,4"},
    {"ok", 0, NOWHERE, 0, false, 0, 0, "2,5,1,3,7,4"}, /* ties by primary key */
    {"n", 0, NOWHERE, 0, false, 2, 1, "2,3"},
    {NULL, 0, NOWHERE, 0, false, 2, 0, "1,2"},
    {NULL, 0, NOWHERE, 0, false, 0, 4, "5,7"}, /* limit 0: no limit, and the offset counts */
    {NULL, 0, {AT("id", I(3))}, 1, false, 0, 0, "4,5,7"},
    {NULL, 0, {AT("id", I(3))}, 1, true, 0, 0, "3,4,5,7"},
    {"n", 0, {AT("n", I(20)), AT("id", I(2))}, 2, false, 0, 0, "3,5,7,4"},
    {"n", 3, {AT("n", I(20)), AT("id", I(2))}, 2, false, 0, 0, "1"},
    {"n", 3, {AT("n", NUL), AT("id", I(4))}, 2, false, 0, 0, "7,5,3,2,1"},
    {"n", 0, {AT("n", NUL), AT("id", I(4))}, 2, false, 0, 0, ""},
    {"n", 0, {AT("n", NUL), AT("id", I(4))}, 2, true, 0, 0, "4"},
    {"ok", 0, {AT("ok", I(0)), AT("id", I(2))}, 2, false, 0, 0, "5,1,3,7,4"},
    {"ok", 0, {AT("ok", I(1)), AT("id", I(3))}, 2, true, 0, 0, "3,7,4"},
    {"n",
     0,
     {AT("n", I(20))},
     1,
     false,
     0,
     0,
     "refused: id: the cursor has no value for this column of the order"},
    {"n",
     0,
     {AT("x", I(20)), AT("id", I(2))},
     2,
     false,
     0,
     0,
     "refused: x: a cursor column that the order does not have"},
    {"n",
     0,
     {AT("n", T("z")), AT("id", I(2))},
     2,
     false,
     0,
     0,
     "refused: n: the value is a text, the column one of numbers"},
    {"n", 6, NOWHERE, 0, false, 0, 0, "refused: n: unknown sort"},
    {"nope", 0, NOWHERE, 0, false, 0, 0, "refused: nope: no such column to order by"},
};

static void order_limit_cursor(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(pages); i++) {
        const struct page *p = &pages[i];
        struct hg_sq_order o = {hg_slice_str(p->field), p->sort};
        struct hg_sq_query q = {.company = HG_SLICE_LIT("demo"),
                                .order = &o,
                                .norder = p->field ? 1 : 0,
                                .cursor = p->cursor,
                                .ncursor = p->ncursor,
                                .limit = p->limit,
                                .offset = p->offset,
                                .strict_after = !p->again};
        const char *got = hgt_ids(db, &things, &q);
        if (strcmp(got, p->want))
            fail_msg("page %zu: got \"%s\", want \"%s\"", i, got, p->want);
    }
}

/* ---- the tenant wall ---- */

static void a_query_stays_in_its_company(void **state)
{
    static const struct hg_sq_scalar other[] = {T("other")};
    struct hg_sq_filter theirs = {.field = HG_SLICE_LIT("company_id"), .value = {false, other, 1}};
    struct hg_sq_filter not_null = {.field = HG_SLICE_LIT("company_id"), .op = 7};
    struct hg_sq_filter kids[] = {theirs, not_null};
    struct hg_sq_filter any = {.wrapper = true, .kids = kids, .nkids = 2};
    struct hg_sq_query q = {.company = HG_SLICE_LIT("other")}, nobody = {.company = HG_SLICE_NONE};
    (void)state;
    assert_string_equal(run_filter(&theirs), "");
    assert_string_equal(run_filter(&any),
                        "1,2,3,4,5,7"); /* an or can't open the wall: it is and-ed to it */
    assert_string_equal(hgt_ids(db, &things, &q), "6");
    q.company = HG_SLICE_LIT("other' OR '1'='1");
    assert_string_equal(hgt_ids(db, &things, &q), "");
    assert_string_equal(hgt_ids(db, &things, &nobody), "refused: companyId: missing");
}

/* ---- tables ---- */

static int load(const char *name, struct hg_table *t)
{
    struct hg_buf why = {0};
    int rc = hg_table_load(db, hg_slice_str(name), t, &why);
    assert_true(rc == 0 || why.n > 0);
    hg_buf_fini(&why);
    return rc;
}

static void which_tables_are_served(void **state)
{
    struct hg_table t;
    (void)state;
    assert_int_equal(load("nope", &t), -HG_E_NOT_FOUND);
    assert_int_equal(load("", &t), -HG_E_NOT_FOUND);
    assert_int_equal(load("things; DROP TABLE things", &t), -HG_E_NOT_FOUND);
    assert_int_equal(load("sqlite_schema", &t), -HG_E_NOT_FOUND);
    assert_int_equal(load("hg_private", &t), -HG_E_NOT_FOUND);
    assert_int_equal(load("HG_private", &t), -HG_E_NOT_FOUND);
    assert_int_equal(load("bare", &t), -HG_E_BAD_QUERY);
    assert_int_equal(load("two", &t), -HG_E_BAD_QUERY);
    assert_int_equal(load("we\"ird", &t), 0);
    struct hg_sq_filter f = {.field = HG_SLICE_LIT("q\"uote"),
                             .value = {false, (const struct hg_sq_scalar[]){T("v")}, 1}};
    struct hg_sq_query q = {.company = HG_SLICE_LIT("demo"), .filter = &f};
    assert_string_equal(hgt_ids(db, &t, &q), "-1"); /* one row; its first column is no number */
    hg_table_fini(&t);
}

static const char *row_json(const char *insert)
{
    static char out[512];
    struct hg_buf sql = {0};
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_exec(db, insert, NULL, NULL, NULL), SQLITE_OK);
    hg_buf_adds(&sql, "SELECT ");
    hg_table_row_json(&things, NULL, &sql);
    hg_buf_adds(&sql, " FROM things WHERE id = 100");
    assert_int_equal(sqlite3_prepare_v2(db, sql.p, (int)sql.n, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    snprintf(out, sizeof out, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    hg_buf_fini(&sql);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM things WHERE id = 100", NULL, NULL, NULL),
                     SQLITE_OK);
    return out;
}

static void rows_are_exact_json(void **state)
{
    (void)state;
    assert_string_equal(row_json("INSERT INTO things VALUES (100,'demo','\"\\' || "
                                 "char(10),9223372036854775807,0.1,1,-5)"),
                        "{\"id\":100,\"company_id\":\"demo\",\"name\":\"\\\"\\\\\\n\",\"n\":"
                        "9223372036854775807,\"x\":0.1,\"ok\":true,\"at\":-5}");
    assert_string_equal(
        row_json("INSERT INTO things VALUES (100,'demo',x'00ff',NULL,0.1+0.2,0,NULL)"),
        "{\"id\":100,\"company_id\":\"demo\",\"name\":\"00FF\",\"n\":null,\"x\":0."
        "30000000000000004,\"ok\":false,\"at\":null}");
    assert_string_equal(row_json("INSERT INTO things VALUES (100,'demo','',1.5,9e999,7,'soon')"),
                        "{\"id\":100,\"company_id\":\"demo\",\"name\":\"\",\"n\":1.5,\"x\":null,"
                        "\"ok\":7,\"at\":\"soon\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator),
        cmocka_unit_test(what_is_no_operator_is_refused),
        cmocka_unit_test(and_or_nest),
        cmocka_unit_test(one_bad_leaf_refuses_all),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(order_limit_cursor),
        cmocka_unit_test(a_query_stays_in_its_company),
        cmocka_unit_test(which_tables_are_served),
        cmocka_unit_test(rows_are_exact_json),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
