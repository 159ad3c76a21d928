/*
 * Live queries against changes: which kind of diff each query gets, for whom, and what a query that
 * comes late gets.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "tests/tools/support.h"
#include "tools/match.h"

static sqlite3 *db;
static struct hg_match *m;
static char got[4096]; /* "key kind pk|..." of the diffs given since it was cleared */
static int refuse_after = -1;

static int on_diff(void *arg, struct hg_match_query *q, int64_t lsn, struct hg_slice diff)
{
    char kind[16] = "", pk[32] = "", text[1024];
    long long said;
    (void)arg;
    if (refuse_after == 0)
        return -HG_E_AGAIN;
    refuse_after -= refuse_after > 0;
    snprintf(text, sizeof text, "%.*s", HG_SLICE_ARG(diff));
    assert_int_equal(sscanf(text, "{\"lsn\":\"%lld\",\"kind\":\"%15[a-z]\",\"pk\":\"%31[^\"]\"",
                            &said, kind, pk),
                     3);
    assert_int_equal(said, lsn);
    assert_int_equal(strstr(text, ",\"row\":{") != NULL, strcmp(kind, "removed") != 0);
    snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s %s %s|", HG_SLICE_ARG(q->key), kind,
             pk);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE t (id INTEGER PRIMARY KEY, company_id TEXT, name "
                                  "TEXT COLLATE NOCASE, n INTEGER);"
                                  "CREATE TABLE b_t (id TEXT PRIMARY KEY, company_id TEXT)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    m = hg_match_new(db, on_diff, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hg_match_free(m);
    m = NULL;
    return sqlite3_close(db) == SQLITE_OK ? 0 : -1;
}

static int put(const char *key, const char *field, unsigned op, int64_t n)
{
    struct hg_sq_scalar v = {.type = HG_SQ_INT, .i = n};
    struct hg_sq_filter kid = {.field = hg_slice_str(field), .op = op, .value = {false, &v, 1}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &kid, .nkids = field ? 1 : 0};
    struct hg_sq_query q = {.filter = &root, .limit = 1};
    struct hg_buf b = {0}, why = {0};
    struct hg_match_query *mq;
    hgt_filter(&b, &q);
    int rc = hg_match_put(m, hg_slice_str(key), hg_buf_slice(&b), &mq, &why);
    assert_true((rc < 0) == (why.n > 0));
    assert_true((rc < 0) == (mq == NULL));
    hg_buf_fini(&b);
    hg_buf_fini(&why);
    return rc;
}

/* What one change gives. NULL rows are absent. */
static const char *change(const char *table, const char *old_row, const char *new_row)
{
    static int64_t lsn;
    struct hg_buf why = {0};
    struct hg_change c = {.lsn = ++lsn,
                          .table = hg_slice_str(table),
                          .old_row = hg_slice_str(old_row),
                          .new_row = hg_slice_str(new_row)};
    got[0] = 0;
    assert_int_equal(hg_match_change(m, NULL, &c, &why), 0);
    return got;
}

#define ROW(id, co, name, n)                                                                       \
    "{\"id\":" #id ",\"company_id\":\"" co "\",\"name\":\"" name "\",\"n\":" #n "}"

static void kinds(void **state)
{
    (void)state;
    assert_int_equal(put("a_t|q", "n", 4, 10), 1); /* n > 10 */
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 11)), "a_t|q added 1|");
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 10)), "");
    assert_string_equal(change("t", ROW(1, "a", "x", 11), ROW(1, "a", "x", 12)),
                        "a_t|q modified 1|");
    assert_string_equal(change("t", ROW(1, "a", "x", 11), ROW(1, "a", "x", 1)), "a_t|q removed 1|");
    assert_string_equal(change("t", ROW(1, "a", "x", 1), ROW(1, "a", "x", 11)), "a_t|q added 1|");
    assert_string_equal(change("t", ROW(1, "a", "x", 1), ROW(1, "a", "x", 2)), "");
    assert_string_equal(change("t", ROW(1, "a", "x", 11), NULL), "a_t|q removed 1|");
    assert_string_equal(change("t", ROW(1, "a", "x", 11), ROW(2, "a", "x", 11)),
                        "a_t|q removed 1|a_t|q added 2|"); /* a new key */
    assert_string_equal(change("nope", NULL, ROW(1, "a", "x", 11)), "");
}

/* A row that moves to another company leaves one and appears in the other; nobody sees more. */
static void companies(void **state)
{
    (void)state;
    put("a_t|q", NULL, 0, 0);
    put("b_t|q", NULL, 0, 0);
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 1)), "a_t|q added 1|");
    assert_string_equal(change("t", ROW(1, "a", "x", 1), ROW(1, "b", "x", 1)),
                        "a_t|q removed 1|b_t|q added 1|");
    assert_string_equal(change("t", NULL, ROW(1, "c", "x", 1)), "");
    assert_string_equal(change("t", NULL, "{\"id\":1,\"company_id\":null}"), "");
    /* company "a", table "b_t" has the name of company "a_b", table "t" */
    put("a_b_t|q", NULL, 0, 0);
    assert_string_equal(change("b_t", NULL, "{\"id\":\"k\",\"company_id\":\"a\"}"),
                        "a_b_t|q added k|");
    assert_string_equal(change("t", NULL, ROW(1, "a_b", "x", 1)), "");
}

static void the_column_decides_how_values_compare(void **state)
{
    struct hg_sq_scalar v = {.type = HG_SQ_TEXT, .text = HG_SLICE_LIT("ABC")},
                        five = {.type = HG_SQ_TEXT, .text = HG_SLICE_LIT("5")};
    struct hg_sq_filter kids[] = {{.field = HG_SLICE_LIT("name"), .value = {false, &v, 1}},
                                  {.field = HG_SLICE_LIT("n"), .value = {false, &five, 1}}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = kids, .nkids = 2};
    struct hg_sq_query q = {.filter = &root};
    struct hg_match_query *mq;
    struct hg_buf b = {0}, why = {0};
    (void)state;
    hgt_filter(&b, &q);
    assert_int_equal(hg_match_put(m, HG_SLICE_LIT("a_t|q"), hg_buf_slice(&b), &mq, &why), 1);
    assert_string_equal(change("t", NULL, ROW(1, "a", "abc", 5)),
                        "a_t|q added 1|"); /* NOCASE, and "5" is 5 */
    hg_buf_fini(&b);
}

static void queries_come_change_and_go(void **state)
{
    (void)state;
    assert_int_equal(put("a_t|q", "n", 0, 1), 1);
    assert_int_equal(put("a_t|q", "n", 0, 1), 0); /* the same again */
    assert_int_equal(put("a_t|q", "n", 0, 2), 0); /* another filter, still live */
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 1)), "");
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 2)), "a_t|q added 1|");
    hg_match_drop(m, HG_SLICE_LIT("a_t|q"));
    hg_match_drop(m, HG_SLICE_LIT("a_t|never was"));
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 2)), "");
    assert_int_equal(hg_match_count(m), 0);
}

static void what_is_no_query(void **state)
{
    struct hg_match_query *mq;
    struct hg_buf why = {0};
    (void)state;
    assert_int_equal(put("nobar", "n", 0, 1), -HG_E_BAD_NAME);
    assert_int_equal(put("nolow|q", "n", 0, 1), -HG_E_BAD_NAME);
    assert_int_equal(put("_t|q", "n", 0, 1), -HG_E_BAD_NAME);
    assert_int_equal(put("a_|q", "n", 0, 1), -HG_E_BAD_NAME);
    assert_true(put("a_t|q", "nope", 0, 1) < 0);
    assert_true(put("a_t|q", "name", 8, 1) < 0);
    assert_true(put("a_gone|q", "n", 0, 1) < 0);
    assert_int_equal(hg_match_put(m, HG_SLICE_LIT("a_t|q"),
                                  HG_SLICE_LIT("garbage that is no message"), &mq, &why),
                     -HG_E_FB_INVALID);
    assert_int_equal(hg_match_count(m), 0);
    assert_int_equal(put("a_t|q", "n", 0, 1), 1);
    assert_true(put("a_t|q", "nope", 0, 1) <
                0); /* replaced by one that can't be followed: nothing wider lives on */
    assert_int_equal(hg_match_count(m), 0);
    hg_buf_fini(&why);
}

static void a_new_column_in_the_table(void **state)
{
    (void)state;
    put("a_t|q", "n", 0, 1);
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 1)), "a_t|q added 1|");
    assert_int_equal(sqlite3_exec(db, "ALTER TABLE t ADD COLUMN extra", NULL, NULL, NULL),
                     SQLITE_OK);
    hg_match_schema_changed(m);
    assert_int_equal(put("a_t|e", "extra", 0, 7), 1);
    assert_string_equal(change("t", NULL, "{\"id\":1,\"company_id\":\"a\",\"extra\":7}"),
                        "a_t|e added 1|");
    assert_int_equal(sqlite3_exec(db, "DROP TABLE t", NULL, NULL, NULL), SQLITE_OK);
    hg_match_schema_changed(m);
    assert_string_equal(change("t", NULL, ROW(1, "a", "x", 1)), "");
}

/* The caller can't take more: the change is not done, and says so. */
static void a_refusal_stops_the_change(void **state)
{
    struct hg_buf why = {0};
    struct hg_change c = {
        .lsn = 99, .table = HG_SLICE_LIT("t"), .new_row = HG_SLICE_LIT(ROW(1, "a", "x", 1))};
    (void)state;
    put("a_t|1", NULL, 0, 0);
    put("a_t|2", NULL, 0, 0);
    refuse_after = 1;
    got[0] = 0;
    assert_int_equal(hg_match_change(m, NULL, &c, &why), -HG_E_AGAIN);
    refuse_after = -1;
    assert_int_equal(hg_match_change(m, NULL, &c, &why), 0);
}

int main(void)
{
#define EACH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(kinds),
        EACH(companies),
        EACH(the_column_decides_how_values_compare),
        EACH(queries_come_change_and_go),
        EACH(what_is_no_query),
        EACH(a_new_column_in_the_table),
        EACH(a_refusal_stops_the_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
