/*
 * Operators on patterns, arrays, JSON and ranges: which rows each gives, what each refuses, and
 * that the change source says the same of every row as the snapshot does.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "tests/tools/ids.h"
#include "tools/match.h"
#include "tools/store.h"

/* Row 8 is NULL in all of them, row 9 holds nothing of the kind. */
static const char schema[] =
    "CREATE TABLE docs (id INTEGER PRIMARY KEY, company_id TEXT, t TEXT, a JSON, j JSON, r TEXT, "
    "n INTEGER, ta TEXT);"
    "INSERT INTO docs VALUES"
    "(1,'demo','Alpha-12','[1,2,3]','{\"a\":1,\"b\":{\"c\":[1,2]},\"z\":null}','[1,10)',5,"
    "'[\"x\",\"y\"]'),"
    "(2,'demo','beta','[]','{ \"a\" : 1.0 , \"s\":\"A\"}','(1,10]',10,'[ \"x\" ]'),"
    "(3,'demo',x'c3a9','[3,2,1]','[1,\"a\",{\"k\":9007199254740993}]','[5,)',1,'[]'),"
    "(4,'demo','line\nend','[\"a\",\"B\"]','\"a\"','empty',0,'[\"Y\"]'),"
    "(5,'demo','','[9007199254740993]','7','[\"2024-01-01\",\"2024-12-31\"]',11,'no array'),"
    "(6,'demo','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab','[true,null]','true',"
    "'[2,3]',-1,'[[\"x\"],\"y\"]'),"
    "(7,'other','Alpha-12','[1,2,3]','{\"a\":1}','[1,10)',5,'[\"x\"]'),"
    "(8,'demo',NULL,NULL,NULL,NULL,NULL,NULL),"
    "(9,'demo','{','{\"a\":[1]}','no json','(a,b,c)','x','{\"x\":1}');"
    "UPDATE docs SET t = 'é' WHERE id = 3;";

static sqlite3 *db;
static struct hg_table docs;

static int setup(void **state)
{
    struct hg_buf why = {0};
    (void)state;
    assert_int_equal(hg_store_open(":memory:", &db, &why), 0);
    assert_int_equal(sqlite3_exec(db, schema, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(hg_table_load(db, HG_SLICE_LIT("docs"), &docs, &why), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hg_table_fini(&docs);
    return sqlite3_close(db) == SQLITE_OK ? 0 : -1;
}

enum { REGEX = 8, NOT_REGEX };
enum {
    A_CONTAINS = 14,
    A_WITHIN,
    A_OVERLAPS,
    A_EQUALS,
    A_NOT_EQUALS,
    A_EMPTY,
    A_NOT_EMPTY,
    A_LENGTH
};
enum { J_CONTAINS = 22, J_CONTAINED, J_KEY, J_ANY, J_ALL, J_GET, J_TEXT };
enum { R_CONTAINS = 31, R_CONTAINED };

struct op_case {
    const char *field;
    unsigned op;
    bool ci;
    struct hg_sq_value value;
    const char *want;
};

static const struct op_case cases[] = {
    /* patterns */
    {"t", REGEX, false, ONE(T("^[A-Z]\\w+-\\d{2}$")), "1"},
    {"t", REGEX, false, ONE(T("^.$")), "3,9"}, /* a character, not a byte */
    {"t", REGEX, false, ONE(T("alpha")), ""},
    {"t", REGEX, true, ONE(T("alpha|BETA")), "1,2"},
    {"t", REGEX, true, ONE(T("É")), "3"},
    {"t", REGEX, false, ONE(T("line.end")), "4"},
    {"t", REGEX, false, ONE(T("^end")), ""},
    {"t", REGEX, false, ONE(T("")), "1,2,3,4,5,6,9"},
    {"t", REGEX, false, ONE(T("a(?=b)")), "6"},
    {"n", REGEX, false, ONE(T("^1")), "2,3,5"},
    {"t", NOT_REGEX, false, ONE(T("a")), "3,4,5,9"},
    {"t", REGEX, false, ONE(T("(")),
     "refused: regex: t: the pattern is wrong at 1: missing closing parenthesis"},
    {"t", NOT_REGEX, false, ONE(T("\\C")),
     "refused: notRegex: t: the pattern is wrong at 2: using \\C is disabled by the application"},
    {"t", REGEX, false, ONE(I(1)), "refused: regex: t: this operator takes a text"},
    {"t", REGEX, false, NONE, "refused: regex: t: a value is missing"},
    {"t", REGEX, false, ONE(T("((a{1,9999}){1,9999}){1,9999}")),
     "refused: regex: t: the pattern is wrong at 29: regular expression is too large"},

    /* arrays */
    {"a", A_CONTAINS, false, LIST(I(1), I(2)), "1,3"}, /* 6: [true,null] has no 2 */
    {"a", A_CONTAINS, false, ONE(I(2)), "1,3"},
    {"a", A_CONTAINS, false, LIST(R(2.0)), "1,3"},
    {"a", A_CONTAINS, false, ONE(I(1)), "1,3,6"}, /* true is 1, as in a column */
    {"a", A_CONTAINS, false, LIST(I(9007199254740993)), "5"},
    {"a", A_CONTAINS, false, LIST(I(9007199254740992)), ""},
    {"a", A_CONTAINS, false, LIST(T("B")), "4"},
    {"a", A_CONTAINS, false, LIST(T("b")), ""},
    {"a", A_CONTAINS, true, LIST(T("b"), T("A")), "4"},
    {"a", A_CONTAINS, false, EMPTY, "1,2,3,4,5,6"},
    {"a", A_CONTAINS, false, LIST(T("1")), ""},
    {"ta", A_CONTAINS, false, LIST(T("x")), "1,2"},
    {"ta", A_CONTAINS, true, LIST(T("y")), "1,4,6"},
    {"a", A_WITHIN, false, LIST(I(1), I(2), I(3), I(4)), "1,2,3"},
    {"a", A_WITHIN, false, EMPTY, "2"},
    {"a", A_OVERLAPS, false, LIST(T("q"), T("a")), "4"},
    {"a", A_OVERLAPS, false, LIST(I(7), I(3)), "1,3"},
    {"a", A_OVERLAPS, false, EMPTY, ""},
    {"a", A_EQUALS, false, LIST(I(1), I(2), I(3)), "1"},
    {"a", A_EQUALS, false, EMPTY, "2"},
    {"a", A_NOT_EQUALS, false, LIST(I(1), I(2), I(3)), "2,3,4,5,6"},
    {"a", A_EMPTY, false, NONE, "2"},
    {"a", A_EMPTY, false, ONE(NUL), "2"},
    {"ta", A_EMPTY, false, NONE, "3"},
    {"a", A_NOT_EMPTY, false, NONE, "1,3,4,5,6"},
    {"a", A_LENGTH, false, ONE(I(2)), "4,6"},
    {"a", A_LENGTH, false, ONE(R(3)), "1,3"},
    {"n", A_LENGTH, false, ONE(I(1)), ""},
    {"a", A_LENGTH, false, ONE(T("2")), "refused: arrayLength: a: this operator takes a number"},
    {"a", A_LENGTH, false, NONE, "refused: arrayLength: a: a value is missing"},
    {"a", A_CONTAINS, false, NONE, "refused: arrayContains: a: a value is missing"},
    {"a", A_OVERLAPS, false, ONE(NUL), "refused: arrayOverlaps: a: a value is missing"},

    /* JSON */
    {"j", J_CONTAINS, false, ONE(T("{\"a\":1}")), "1,2"},
    {"j", J_CONTAINS, false, ONE(T("{\"b\":{\"c\":[2]}}")), "1"},
    {"j", J_CONTAINS, false, ONE(T("{\"b\":{\"c\":2}}")), ""},
    {"j", J_CONTAINS, false, ONE(T("{}")), "1,2"},
    {"j", J_CONTAINS, false, ONE(T("{\"z\":null}")), "1"},
    {"j", J_CONTAINS, false, ONE(T("[{\"k\":9007199254740993}]")), "3"},
    {"j", J_CONTAINS, false, ONE(T("[{\"k\":9007199254740992}]")), ""},
    {"j", J_CONTAINS, false, ONE(T("\"a\"")), "3,4"},
    {"j", J_CONTAINS, false, LIST(T("a")), "3"},
    {"j", J_CONTAINS, false, ONE(I(7)), "5"},
    {"j", J_CONTAINS, false, ONE(T("true")), "6"},
    {"j", J_CONTAINS, true, ONE(T("{\"S\":\"a\"}")), "2"},
    {"j", J_CONTAINED, false, ONE(T("{\"a\":1,\"s\":\"A\",\"q\":0}")), "2"},
    {"j", J_CONTAINED, false, ONE(T("[7,true,\"a\"]")), "4,5,6"},
    {"j", J_CONTAINS, false, ONE(T("{a:1}")), "refused: jsonContains: j: the value is no JSON"},
    {"j", J_CONTAINS, false, ONE(NUL), "refused: jsonContains: j: a value is missing"},
    {"j", J_KEY, false, ONE(T("a")), "1,2,3,4"},
    {"j", J_KEY, false, ONE(T("z")), "1"},
    {"j", J_KEY, false, ONE(T("no json")), "9"},
    {"j", J_ANY, false, LIST(T("s"), T("b")), "1,2"},
    {"j", J_ANY, false, EMPTY, ""},
    {"j", J_ALL, false, LIST(T("a"), T("b")), "1"},
    {"j", J_ALL, false, EMPTY, "1,2,3,4,5,6,9"},
    {"j", J_KEY, false, LIST(T("a")), "refused: jsonHasKey: j: this operator takes a text"},
    {"j", J_KEY, false, ONE(I(1)), "refused: jsonHasKey: j: this operator takes a text"},
    {"j", J_ANY, false, LIST(I(1)),
     "refused: jsonHasAnyKey: j: this operator takes a list of texts"},
    {"j", J_GET, false, ONE(T("z")), "1"},
    {"j", J_TEXT, false, ONE(T("z")), ""}, /* ->> of null is NULL */
    {"j", J_TEXT, false, ONE(T("a")), "1,2"},
    {"j", J_GET, false, LIST(T("a"), T("1.0")), "1,2"},
    {"j", J_GET, false, LIST(T("s"), T("\"A\"")), "2"},
    {"j", J_GET, false, LIST(T("b"), T("{\"c\":[1,2]}")), "1"},
    {"j", J_TEXT, false, LIST(T("s"), T("A")), "2"},
    {"j", J_TEXT, false, LIST(T("s"), T("a")), ""},
    {"j", J_TEXT, true, LIST(T("S"), T("a")), "2"},
    {"j", J_TEXT, false, LIST(T("a"), T("1")), "1"},
    {"j", J_GET, false, LIST(T("s"), T("A")), "refused: jsonGetField: j: the value is no JSON"},
    {"j", J_GET, false, LIST(T("a"), T("b"), T("c")),
     "refused: jsonGetField: j: this operator takes a key, or a key and a value"},
    {"j", J_TEXT, false, ONE(I(1)),
     "refused: jsonGetFieldAsText: j: this operator takes a key, or a key and a value"},

    /* ranges */
    {"r", R_CONTAINS, false, ONE(I(1)), "1"},
    {"r", R_CONTAINS, false, ONE(I(10)), "2,3"},
    {"r", R_CONTAINS, false, LIST(I(2), I(3)), "1,2,6"},
    {"r", R_CONTAINS, false, LIST(R(9.5), R(9.9)), "1,2,3"},
    {"r", R_CONTAINS, false, ONE(T("2024-06-01")), "5"},
    {"r", R_CONTAINS, false, ONE(T("2025-06-01")), ""},
    {"r", R_CONTAINED, false, LIST(I(1), I(10)), "1,2,4,6"},
    {"r", R_CONTAINED, false, LIST(I(2), I(10)), "4,6"},
    {"n", R_CONTAINED, false, LIST(I(1), I(10)), "1,2,3"},
    {"n", R_CONTAINED, false, ONE(T("[1,10)")), "1,3"},
    {"n", R_CONTAINED, false, ONE(T("(,0]")), "4,6"},
    {"r", R_CONTAINS, false, LIST(I(1)),
     "refused: rangeContains: r: this operator takes a list of two values, or one"},
    {"r", R_CONTAINED, false, NONE,
     "refused: rangeContainedBy: r: this operator takes a list of two values, or one"},
};

static struct hg_sq_filter filter_of(const struct op_case *c)
{
    return (struct hg_sq_filter){
        .field = hg_slice_str(c->field), .op = c->op, .value = c->value, .case_insensitive = c->ci};
}

static void each_operator_gives_its_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(cases); i++) {
        struct hg_sq_filter f = filter_of(&cases[i]);
        struct hg_sq_query q = {.company = HG_SLICE_LIT("demo"), .filter = &f};
        const char *got = hgt_ids(db, &docs, &q);
        if (strcmp(got, cases[i].want))
            fail_msg("case %zu, %s op %u: got \"%s\", want \"%s\"", i, cases[i].field, cases[i].op,
                     got, cases[i].want);
    }
}

/* A query that would run for years ends, and says whose fault that is. */
static void a_pattern_that_runs_away_ends(void **state)
{
    static const struct hg_sq_scalar runaway[] = {T("^(a+)+$")};
    struct hg_sq_filter f = {.field = HG_SLICE_LIT("t"), .op = REGEX, .value = {false, runaway, 1}};
    struct hg_sq_query q = {.company = HG_SLICE_LIT("demo"), .filter = &f};
    (void)state;
    assert_string_equal(hgt_ids(db, &docs, &q),
                        "failed 18: regex: the pattern takes too long on a text of this column");
}

static void a_value_larger_than_its_cap_is_refused(void **state)
{
    struct hg_sq_scalar *items = hg_calloc(10000, sizeof *items);
    struct hg_sq_filter f = {
        .field = HG_SLICE_LIT("a"), .op = A_CONTAINS, .value = {true, items, 10000}};
    struct hg_sq_query q = {.company = HG_SLICE_LIT("demo"), .filter = &f};
    (void)state;
    for (int i = 0; i < 10000; i++)
        items[i] = (struct hg_sq_scalar)I(i);
    assert_string_equal(hgt_ids(db, &docs, &q),
                        "refused: arrayContains: a: the value is too large");
    free(items);
}

/* ---- the change source ---- */

static int on_diff(void *arg, struct hg_match_query *q, int64_t lsn, struct hg_slice diff)
{
    char *ids = arg;
    (void)q;
    (void)diff;
    hgt_add_id(ids, 512, (long)lsn);
    return 0;
}

/* Every row of the table as a change of its own. */
static void feed(struct hg_match *m)
{
    struct hg_buf sql = {0}, why = {0};
    sqlite3_stmt *st;
    hg_buf_adds(&sql, "SELECT id,");
    hg_table_row_json(&docs, NULL, &sql);
    hg_buf_adds(&sql, " FROM docs ORDER BY id");
    assert_int_equal(sqlite3_prepare_v2(db, sql.p, (int)sql.n, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        struct hg_change c = {.lsn = sqlite3_column_int64(st, 0),
                              .table = HG_SLICE_LIT("docs"),
                              .new_row = hg_slice_str((const char *)sqlite3_column_text(st, 1))};
        assert_int_equal(hg_match_change(m, NULL, &c, &why), 0);
    }
    sqlite3_finalize(st);
    hg_buf_fini(&sql);
    hg_buf_fini(&why);
}

static void snapshot_and_diffs_agree_on_every_operator(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(cases); i++) {
        struct hg_sq_filter f = filter_of(&cases[i]);
        struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &f, .nkids = 1};
        struct hg_sq_query q = {.filter = &root};
        struct hg_match_query *live;
        struct hg_buf bytes = {0}, why = {0};
        char got[512] = "";
        struct hg_match *m = hg_match_new(db, on_diff, got);
        hgt_filter(&bytes, &q);
        if (hg_match_put(m, HG_SLICE_LIT("demo_docs|h"), hg_buf_slice(&bytes), &live, &why) < 0)
            snprintf(got, sizeof got, "refused: %.*s", HG_SLICE_ARG(hg_buf_slice(&why)));
        else
            feed(m);
        if (strcmp(got, cases[i].want))
            fail_msg("case %zu, %s op %u: got \"%s\", want \"%s\"", i, cases[i].field, cases[i].op,
                     got, cases[i].want);
        hg_match_free(m);
        hg_buf_fini(&bytes);
        hg_buf_fini(&why);
    }
}

/* One query's runaway pattern leaves the others their diffs. */
static void a_runaway_pattern_hurts_its_own_query(void **state)
{
    static const struct hg_sq_scalar runaway[] = {T("^(a+)+$")}, fine[] = {T("b$")};
    struct hg_sq_filter kid = {
        .field = HG_SLICE_LIT("t"), .op = REGEX, .value = {false, runaway, 1}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &kid, .nkids = 1};
    struct hg_sq_query q = {.filter = &root};
    struct hg_match_query *live;
    struct hg_buf one = {0}, two = {0}, why = {0};
    char got[512] = "";
    struct hg_match *m = hg_match_new(db, on_diff, got);
    (void)state;
    hgt_filter(&one, &q);
    kid.value.items = fine;
    hgt_filter(&two, &q);
    assert_int_equal(
        hg_match_put(m, HG_SLICE_LIT("demo_docs|bad"), hg_buf_slice(&one), &live, &why), 1);
    assert_int_equal(
        hg_match_put(m, HG_SLICE_LIT("demo_docs|good"), hg_buf_slice(&two), &live, &why), 1);
    feed(m);
    assert_string_equal(got, "6");
    hg_match_free(m);
    hg_buf_fini(&one);
    hg_buf_fini(&two);
    hg_buf_fini(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operator_gives_its_rows),
        cmocka_unit_test(a_pattern_that_runs_away_ends),
        cmocka_unit_test(a_value_larger_than_its_cap_is_refused),
        cmocka_unit_test(snapshot_and_diffs_agree_on_every_operator),
        cmocka_unit_test(a_runaway_pattern_hurts_its_own_query),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
