/*
 * What ADD_SINGLE and UPDATE_SINGLE write: a JSON object as values of the table's columns. SQLite
 * reads the JSON, since it keeps integers of 64 bits exact; what it would store otherwise than
 * written (rounded, cut off, as bytes that are no text) is refused before.
 */
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "proto/json.h"
#include "tools/calls_priv.h"

void hg_call_fields_fini(struct hg_call *c, struct hg_call_fields *f)
{
    for (size_t i = 0; f->values && i < c->t.ncols; i++)
        sqlite3_value_free(f->values[i]);
    free(f->values);
}

static int refuse(struct hg_call *c, struct hg_slice key, const char *text)
{
    hg_buf_addf(&c->why, "%.*s: %s", (int)HG_MIN(key.n, 128u), key.p ? key.p : "", text);
    return -HG_E_BAD_QUERY;
}

/* ---- what SQLite would change ---- */

/* The gateway reads rows to this depth; the row itself is one level. */
static const struct hg_json_limits limits = {HG_JSON_MAX_BYTES, HG_JSON_ROW_DEPTH - 1,
                                             HG_JSON_MAX_VALUES};

static const char *number_fault(struct hg_json_val v)
{
    struct hg_slice raw = hg_json_raw(v);
    int64_t i;
    double d;

    if (!memchr(raw.p, '.', raw.n) && !memchr(raw.p, 'e', raw.n) && !memchr(raw.p, 'E', raw.n))
        return hg_json_i64(v, &i) ? NULL : "a whole number beyond 64 bits";
    return hg_json_double(v, &d) ? NULL : "a number that a double can't hold";
}

/* Text in a JSON column is embedded in the row when it is JSON itself. */
static bool is_too_deep(struct hg_slice text)
{
    struct hg_json doc = {0};
    int rc = hg_json_parse(text, &limits, &doc);

    hg_json_fini(&doc);
    return rc == -HG_E_DEPTH || rc == -HG_E_TOO_BIG;
}

static const char *text_fault(struct hg_json_val v, bool is_json)
{
    struct hg_slice text = hg_json_text(v);

    if (hg_json_is_mended(v))
        return "a surrogate without its partner";
    if (memchr(text.p, 0, text.n))
        return "a text with \\u0000 can't be kept";
    return is_json && is_too_deep(text) ? "nested too deep, or too large" : NULL;
}

static int check_members(struct hg_call *c, struct hg_json_val object)
{
    for (struct hg_json_val v = hg_json_first(object); v.node; v = hg_json_next(v)) {
        int col = hg_table_column(&c->t, hg_json_key(v));
        bool is_json = col >= 0 && c->t.cols[col].kind == HG_COLUMN_JSON;
        const char *fault = hg_json_type(v) == HG_JSON_NUMBER   ? number_fault(v)
                            : hg_json_type(v) == HG_JSON_STRING ? text_fault(v, is_json)
                                                                : NULL;
        if (fault)
            return refuse(c, hg_json_key(v), fault);
    }
    return 0;
}

static int not_an_object(struct hg_call *c)
{
    return hg_call_bad(c, "the row is not a JSON object with at least one column");
}

static int check(struct hg_call *c, struct hg_slice text, bool may_be_twice)
{
    struct hg_json doc = {0};
    int rc = hg_json_parse(text, &limits, &doc);
    struct hg_slice inner = rc < 0 ? HG_SLICE_NONE : hg_json_text(hg_json_root(&doc));

    if (rc == -HG_E_DEPTH || rc == -HG_E_TOO_BIG)
        rc = hg_call_bad(c, "the row is nested too deep, or too large");
    else if (rc < 0)
        rc = not_an_object(c);
    else if (inner.p)
        rc = may_be_twice ? check(c, inner, false) : not_an_object(c);
    else
        rc = check_members(c, hg_json_root(&doc));
    hg_json_fini(&doc);
    return rc;
}

/* ---- values ---- */

static int add_field(struct hg_call *c, sqlite3_stmt *st, struct hg_call_fields *f)
{
    struct hg_slice key =
        hg_slice_of(sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0));
    int col = hg_table_column(&c->t, key);

    if (col < 0)
        return refuse(c, key, "no such column");
    if (f->values[col])
        return refuse(c, key, "given twice");
    f->values[col] =
        sqlite3_value_dup(sqlite3_column_value(st, c->t.cols[col].kind == HG_COLUMN_JSON ? 2 : 1));
    f->n++;
    return f->values[col] ? 0 : -HG_E_NOMEM;
}

/* A text that holds JSON once more is taken too, as the sources' gateways send it. */
static const char fields_sql[] =
    "WITH once(j) AS (SELECT CASE json_type(?1) WHEN 'text' THEN "
    "json_extract(?1, '$') ELSE ?1 END) "
    "SELECT key, value, " HG_TABLE_JSON_VALUE " FROM once, json_each(once.j) "
    "WHERE json_valid(once.j) AND json_type(once.j) = 'object'";

int hg_call_read_fields(struct hg_call *c, struct hg_call_fields *f)
{
    struct hg_slice json = c->rq->json;
    sqlite3_stmt *st;
    int step = SQLITE_DONE, rc = check(c, json.p ? json : HG_SLICE_LIT(""), true);

    f->values = hg_calloc(c->t.ncols, sizeof(*f->values));
    if (rc < 0)
        return rc;
    if (sqlite3_prepare_v2(c->db, fields_sql, -1, &st, NULL) != SQLITE_OK)
        return hg_call_failed(c);
    sqlite3_bind_text64(st, 1, json.p, json.n, SQLITE_STATIC, SQLITE_UTF8);
    while (rc == 0 && (step = sqlite3_step(st)) == SQLITE_ROW)
        rc = add_field(c, st, f);
    if (rc == 0 && (step != SQLITE_DONE || f->n == 0))
        rc = not_an_object(c);
    sqlite3_finalize(st);
    return rc;
}
