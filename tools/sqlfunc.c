#include "tools/sqlfunc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "tools/jsonval.h"
#include "tools/range.h"
#include "tools/regex.h"

static struct hg_slice text_of(sqlite3_value *v)
{
    const char *p = (const char *)sqlite3_value_text(v);

    return hg_slice_of(p ? p : "", (size_t)sqlite3_value_bytes(v));
}

static void give_text(sqlite3_context *ctx, struct hg_slice s)
{
    sqlite3_result_text64(ctx, s.p ? s.p : "", s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* ---- regular expressions ---- */

static void regex_free(void *re)
{
    hg_regex_free(re);
}

/* SQLite keeps it as long as the statement does: the pattern is a parameter. */
static struct hg_regex *regex_of(sqlite3_context *ctx, sqlite3_value **argv)
{
    struct hg_regex *re = sqlite3_get_auxdata(ctx, 1);
    struct hg_buf why = {0};

    if (re)
        return re;
    re = hg_regex_new(text_of(argv[1]), sqlite3_value_int(argv[2]), &why);
    if (!re)
        sqlite3_result_error(ctx, why.n ? why.p : "no pattern", (int)why.n);
    hg_buf_fini(&why);
    if (!re)
        return NULL;
    sqlite3_set_auxdata(ctx, 1, re, regex_free);
    return sqlite3_get_auxdata(ctx, 1); /* without memory SQLite freed it */
}

static void fn_regex(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    struct hg_regex *re;
    int found;

    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL || !(re = regex_of(ctx, argv)))
        return;
    found = hg_regex_find(re, text_of(argv[0]));
    if (found >= 0) {
        sqlite3_result_int(ctx, found);
        return;
    }
    sqlite3_result_error(ctx, "regex: the pattern takes too long on a text of this column", -1);
    sqlite3_result_error_code(ctx, SQLITE_TOOBIG); /* the asker's, not ours */
}

/* ---- JSON ---- */

struct arg {
    struct hg_json doc;
    struct hg_json_val v;
    struct hg_buf quoted; /* text that is no JSON, as JSON */
};

/* false: NULL, or too large to be looked into. */
static bool arg_read(sqlite3_value *value, struct arg *a)
{
    *a = (struct arg){0};
    if (sqlite3_value_type(value) == SQLITE_NULL)
        return false;
    if (hg_json_parse(text_of(value), &hg_json_of_rows, &a->doc) < 0) {
        hg_json_fini(&a->doc);
        if (sqlite3_value_type(value) != SQLITE_TEXT || hg_json_is_valid(text_of(value)))
            return false;
        hg_json_add_str(&a->quoted, text_of(value));
        if (hg_json_parse(hg_buf_slice(&a->quoted), &hg_json_of_rows, &a->doc) < 0)
            return false;
    }
    a->v = hg_json_root(&a->doc);
    return hg_json_type(a->v) != HG_JSON_NULL;
}

static void arg_fini(struct arg *a)
{
    hg_json_fini(&a->doc);
    hg_buf_fini(&a->quoted);
}

typedef int (*pair_fn)(struct hg_json_val a, struct hg_json_val b); /* 1, 0, or -1 for NULL */

static bool are_arrays(struct hg_json_val a, struct hg_json_val b)
{
    return hg_json_type(a) == HG_JSON_ARRAY && hg_json_type(b) == HG_JSON_ARRAY;
}

static int array_contains(struct hg_json_val a, struct hg_json_val b)
{
    if (!are_arrays(a, b))
        return -1;
    for (struct hg_json_val e = hg_json_first(b); e.node; e = hg_json_next(e))
        if (!hg_jsonval_has_element(a, e, true))
            return 0;
    return 1;
}

static int array_within(struct hg_json_val a, struct hg_json_val b)
{
    return array_contains(b, a);
}

static int array_overlaps(struct hg_json_val a, struct hg_json_val b)
{
    if (!are_arrays(a, b))
        return -1;
    for (struct hg_json_val e = hg_json_first(b); e.node; e = hg_json_next(e))
        if (hg_jsonval_has_element(a, e, true))
            return 1;
    return 0;
}

static int array_equals(struct hg_json_val a, struct hg_json_val b)
{
    return are_arrays(a, b) ? hg_jsonval_equal(a, b, true) : -1;
}

static int json_contains(struct hg_json_val a, struct hg_json_val b)
{
    return hg_jsonval_contains(a, b);
}

static int json_equals(struct hg_json_val a, struct hg_json_val b)
{
    return hg_jsonval_equal(a, b, false);
}

static int range_contains(struct hg_json_val a, struct hg_json_val b)
{
    return hg_range_contains(a, b);
}

struct pair {
    const char *name;
    pair_fn fn;
};
static const struct pair pairs[] = {
    {"hg_array_contains", array_contains}, {"hg_array_within", array_within},
    {"hg_array_overlaps", array_overlaps}, {"hg_array_equals", array_equals},
    {"hg_json_contains", json_contains},   {"hg_json_equals", json_equals},
    {"hg_range_contains", range_contains},
};

static void fn_pair(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    const struct pair *row = sqlite3_user_data(ctx);
    struct arg a, b;
    bool good = arg_read(argv[0], &a);
    int rc;

    (void)argc;
    good = arg_read(argv[1], &b) && good;
    rc = good ? row->fn(a.v, b.v) : -1;
    if (rc >= 0)
        sqlite3_result_int(ctx, rc);
    arg_fini(&a);
    arg_fini(&b);
}

static void fn_array_length(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    struct arg a;

    (void)argc;
    if (arg_read(argv[0], &a) && hg_json_type(a.v) == HG_JSON_ARRAY)
        sqlite3_result_int64(ctx, (sqlite3_int64)hg_json_count(a.v));
    arg_fini(&a);
}

static bool has_keys(struct hg_json_val v, struct hg_json_val keys, bool all)
{
    for (struct hg_json_val k = hg_json_first(keys); k.node; k = hg_json_next(k))
        if (hg_jsonval_has(v, hg_json_text(k)) != all)
            return !all;
    return all;
}

static void fn_json_has(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    struct arg a, keys;
    bool good = arg_read(argv[0], &a);

    (void)argc;
    if (arg_read(argv[1], &keys) && good)
        sqlite3_result_int(ctx, has_keys(a.v, keys.v, sqlite3_value_int(argv[2])));
    arg_fini(&a);
    arg_fini(&keys);
}

static struct hg_json_val member_of(const struct arg *a, struct hg_slice key)
{
    struct hg_json_val found = {0};

    if (hg_json_type(a->v) != HG_JSON_OBJECT)
        return found;
    for (struct hg_json_val m = hg_json_first(a->v); m.node; m = hg_json_next(m))
        if (hg_slice_eq(hg_json_key(m), key))
            found = m;
    return found;
}

static void fn_json_get(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    bool as_text = sqlite3_user_data(ctx) != NULL;
    struct arg a;
    struct hg_json_val m = {0};

    (void)argc;
    if (arg_read(argv[0], &a))
        m = member_of(&a, text_of(argv[1]));
    if (as_text && hg_json_type(m) == HG_JSON_STRING)
        give_text(ctx, hg_json_text(m));
    else if (m.node && !(as_text && hg_json_type(m) == HG_JSON_NULL))
        give_text(ctx, hg_json_raw(m));
    arg_fini(&a);
}

/* ---- the table ---- */

typedef void (*sql_fn)(sqlite3_context *ctx, int argc, sqlite3_value **argv);

static int add(sqlite3 *db, const char *name, int argc, const void *data, sql_fn fn)
{
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;

    return sqlite3_create_function_v2(db, name, argc, flags, (void *)(uintptr_t)data, fn, NULL,
                                      NULL, NULL);
}

int hg_sqlfunc_register(sqlite3 *db)
{
    static const char text = 1;
    int rc = add(db, "hg_regex", 3, NULL, fn_regex);

    for (size_t i = 0; i < HG_COUNTOF(pairs) && rc == SQLITE_OK; i++)
        rc = add(db, pairs[i].name, 2, &pairs[i], fn_pair);
    if (rc == SQLITE_OK)
        rc = add(db, "hg_array_length", 1, NULL, fn_array_length);
    if (rc == SQLITE_OK)
        rc = add(db, "hg_json_has", 3, NULL, fn_json_has);
    if (rc == SQLITE_OK)
        rc = add(db, "hg_json_get", 2, NULL, fn_json_get);
    return rc == SQLITE_OK ? add(db, "hg_json_get_text", 2, &text, fn_json_get) : rc;
}
