#include "tools/table.h"

#include <stdlib.h>
#include <strings.h>
#include "common/base/err.h"

static void sql_quoted(struct hg_buf *sql, const char *s, char quote)
{
    hg_buf_addc(sql, quote);
    for (; *s; s++) {
        if (*s == quote)
            hg_buf_addc(sql, quote);
        hg_buf_addc(sql, *s);
    }
    hg_buf_addc(sql, quote);
}

void hg_sql_ident(struct hg_buf *sql, const char *name)
{
    sql_quoted(sql, name, '"');
}

void hg_sql_literal(struct hg_buf *sql, const char *text)
{
    sql_quoted(sql, text, '\'');
}

void hg_table_fini(struct hg_table *t)
{
    for (size_t i = 0; i < t->ncols; i++) {
        free(t->cols[i].name);
        free(t->cols[i].decl);
        free(t->cols[i].collation);
    }
    free(t->cols);
    free(t->name);
    *t = (struct hg_table){0};
}

int hg_table_column(const struct hg_table *t, struct hg_slice name)
{
    for (size_t i = 0; i < t->ncols; i++)
        if (hg_slice_is(name, t->cols[i].name))
            return (int)i;
    return -1;
}

bool hg_table_is_number(const struct hg_column *c)
{
    static const char *const words[] = {"INT",     "REAL",    "FLOA",      "DOUB",
                                        "NUMERIC", "DECIMAL", "TIMESTAMP", "BOOL"};

    for (size_t i = 0; i < HG_COUNTOF(words); i++)
        if (strcasestr(c->decl, words[i]))
            return true;
    return false;
}

static enum hg_column_kind kind_of(const char *decl)
{
    if (!strcasecmp(decl, "BOOLEAN") || !strcasecmp(decl, "BOOL"))
        return HG_COLUMN_BOOL;
    if (!strcasecmp(decl, "JSON") || !strcasecmp(decl, "JSONB"))
        return HG_COLUMN_JSON;
    return HG_COLUMN_PLAIN;
}

static bool name_is_served(struct hg_slice name)
{
    if (name.n == 0 || name.n > 128 || memchr(name.p, 0, name.n))
        return false;
    return !(name.n >= 3 && !strncasecmp(name.p, "hg_", 3)) &&
           !(name.n >= 7 && !strncasecmp(name.p, "sqlite_", 7));
}

static void add_column(sqlite3 *db, struct hg_table *t, sqlite3_stmt *st)
{
    const char *collation = NULL;
    struct hg_column c = {.name = hg_strdup((const char *)sqlite3_column_text(st, 0))};
    const char *decl = (const char *)sqlite3_column_text(st, 1);
    c.decl = hg_strdup(decl ? decl : "");
    c.kind = kind_of(c.decl);
    c.not_null = sqlite3_column_int(st, 2) != 0;
    if (sqlite3_table_column_metadata(db, "main", t->name, c.name, NULL, &collation, NULL, NULL,
                                      NULL) != SQLITE_OK ||
        !collation)
        collation = "BINARY";
    c.collation = hg_strdup(collation);
    t->cols = hg_realloc(t->cols, (t->ncols + 1) * sizeof(*t->cols));
    t->cols[t->ncols++] = c;
}

/* 1, 0, or -1 when SQLite failed. To a pragma "TASKS" is "tasks", and json_each a table. */
static int is_there(sqlite3 *db, const char *name)
{
    sqlite3_stmt *st;
    int rc;

    if (sqlite3_prepare_v2(
            db, "SELECT 1 FROM main.sqlite_schema WHERE name=?1 AND type IN ('table', 'view')", -1,
            &st, NULL) != SQLITE_OK)
        return -1;
    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    rc = sqlite3_step(st);
    sqlite3_finalize(st);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -1;
}

/* Returns the number of primary key columns, or -1 when SQLite failed. */
static int read_columns(sqlite3 *db, struct hg_table *t)
{
    sqlite3_stmt *st;
    int npk = 0, rc;
    if (sqlite3_prepare_v2(db, "SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)", -1,
                           &st, NULL) != SQLITE_OK)
        return -1;
    sqlite3_bind_text(st, 1, t->name, -1, SQLITE_STATIC);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (sqlite3_column_int(st, 3) > 0) {
            t->pk = t->ncols;
            npk++;
        }
        add_column(db, t, st);
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? npk : -1;
}

/* To SQLite '07' is 7 in a column of numbers, and 'ACME' is 'acme' under NOCASE: walls with a
 * door. */
static bool tells_tenants_apart(const struct hg_column *c)
{
    static const char *const words[] = {"CHAR", "CLOB", "TEXT", "BLOB"};
    bool is_text = !*c->decl;

    for (size_t i = 0; i < HG_COUNTOF(words); i++)
        is_text = is_text || strcasestr(c->decl, words[i]);
    return is_text && !strcasestr(c->decl, "INT") && !strcasecmp(c->collation, "BINARY");
}

static int unfit(struct hg_table *t, int err, struct hg_buf *why, const char *text)
{
    hg_buf_addf(why, "table %.128s: %s", t->name, text);
    hg_table_fini(t);
    return -err;
}

int hg_table_load(sqlite3 *db, struct hg_slice name, struct hg_table *t, struct hg_buf *why)
{
    *t = (struct hg_table){0};
    if (!name_is_served(name)) {
        hg_buf_addf(why, "no such table: %.*s", (int)HG_MIN(name.n, 128u), name.p ? name.p : "");
        return -HG_E_NOT_FOUND;
    }
    t->name = hg_malloc(name.n + 1);
    memcpy(t->name, name.p, name.n);
    t->name[name.n] = 0;
    int there = is_there(db, t->name), npk = there > 0 ? read_columns(db, t) : 0;
    if (there < 0 || npk < 0)
        return unfit(t, HG_E_SYS, why, sqlite3_errmsg(db));
    if (t->ncols == 0)
        return unfit(t, HG_E_NOT_FOUND, why, "no such table");
    int company = hg_table_column(t, HG_SLICE_LIT(HG_TENANT_COLUMN));
    if (company < 0)
        return unfit(t, HG_E_BAD_QUERY, why, "no column " HG_TENANT_COLUMN ", so it has no tenant");
    if (!tells_tenants_apart(&t->cols[company]))
        return unfit(t, HG_E_BAD_QUERY, why,
                     "column " HG_TENANT_COLUMN " is not a text that counts case");
    if (npk != 1)
        return unfit(t, HG_E_BAD_QUERY, why, "the primary key is not one column");
    t->company = (size_t)company;
    return 0;
}

static void column_ref(struct hg_buf *sql, const char *prefix, const struct hg_column *c)
{
    if (prefix)
        hg_buf_addf(sql, "%s.", prefix);
    hg_sql_ident(sql, c->name);
}

/* json_quote would do for most values, but writes reals with 15 digits and refuses blobs (which
   would make another program's INSERT fail inside our trigger). */
static void column_json(struct hg_buf *sql, const char *prefix, const struct hg_column *c)
{
    struct hg_buf ref = {0};
    column_ref(&ref, prefix, c);
    int n = (int)ref.n;
    const char *r = ref.p;
    hg_buf_adds(sql, "CASE ");
    if (c->kind == HG_COLUMN_BOOL)
        hg_buf_addf(sql, "WHEN %.*s IS 1 THEN 'true' WHEN %.*s IS 0 THEN 'false' ", n, r, n, r);
    if (c->kind == HG_COLUMN_JSON)
        hg_buf_addf(sql, "WHEN typeof(%.*s)='text' AND json_valid(%.*s) THEN %.*s ", n, r, n, r, n,
                    r);
    hg_buf_addf(
        sql,
        "WHEN typeof(%.*s)='real' THEN CASE WHEN abs(%.*s)>1.7976931348623157e308 THEN 'null' "
        "WHEN CAST(printf('%%!.15g',%.*s) AS REAL)=%.*s THEN printf('%%!.15g',%.*s) "
        "ELSE printf('%%!.17g',%.*s) END "
        "WHEN typeof(%.*s)='blob' THEN '\"'||hex(%.*s)||'\"' ELSE json_quote(%.*s) END",
        n, r, n, r, n, r, n, r, n, r, n, r, n, r, n, r, n, r);
    hg_buf_fini(&ref);
}

void hg_table_row_json(const struct hg_table *t, const char *prefix, struct hg_buf *sql)
{
    for (size_t i = 0; i < t->ncols; i++) {
        struct hg_buf key = {0};
        hg_buf_adds(&key, i ? "," : "{");
        /* Column names are the operator's, but may hold anything: JSON-quoted here, SQL-quoted by
         * hg_sql_literal. */
        hg_buf_addc(&key, '"');
        for (const char *s = t->cols[i].name; *s; s++) {
            if (*s == '"' || *s == '\\')
                hg_buf_addc(&key, '\\');
            if ((unsigned char)*s < 0x20)
                hg_buf_addf(&key, "\\u%04x", (unsigned)*s);
            else
                hg_buf_addc(&key, *s);
        }
        hg_buf_add(&key, "\":", 3); /* with the NUL */
        hg_buf_adds(sql, i ? "||" : "");
        hg_sql_literal(sql, key.p);
        hg_buf_adds(sql, "||");
        column_json(sql, prefix, &t->cols[i]);
        hg_buf_fini(&key);
    }
    hg_buf_adds(sql, "||'}'");
}
