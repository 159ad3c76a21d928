/*
 * A table of the database as the tools see it: names and kinds of its columns, its primary key, and
 * the SQL text that turns a row into JSON. Owns the strings of struct hg_table; reads the schema
 * and nothing else.
 *
 *   struct hg_table t;
 *   int rc = hg_table_load(db, name, &t, &why);    0, -HG_E_NOT_FOUND, -HG_E_BAD_QUERY (unfit),
 *                                                  -HG_E_SYS
 *   hg_table_row_json(&t, "OLD", &sql);
 *   hg_table_fini(&t);                             only after 0
 *
 * A table is served when it has a text column company_id (the tenant) and a primary key of one
 * column, under its own spelling only: routing keys compare as bytes. Tables called hg_* and
 * sqlite_* are never served.
 */
#ifndef HG_TOOLS_TABLE_H
#define HG_TOOLS_TABLE_H

#include <sqlite3.h>
#include <stdint.h>
#include "common/base/buf.h"

#define HG_TENANT_COLUMN "company_id"

/* From the declared type: BOOLEAN gives true and false, JSON is embedded as it is, everything else
 * by its value. */
enum hg_column_kind { HG_COLUMN_PLAIN, HG_COLUMN_BOOL, HG_COLUMN_JSON };

/* SQL over a row of json_each: what a JSON column keeps of a member. true and false stay words, and
 * a text that could be taken for another JSON value ("5", "true") keeps its quotes. */
#define HG_TABLE_JSON_VALUE                                                                        \
    "CASE type WHEN 'true' THEN type WHEN 'false' THEN type WHEN 'text' THEN "                     \
    "CASE WHEN NOT json_valid(value) THEN value "                                                  \
    "WHEN json_type(value) IN ('object', 'array') THEN value ELSE json_quote(value) END "          \
    "ELSE value END"

struct hg_column {
    char *name;
    char *decl;      /* declared type, "" if none */
    char *collation; /* "BINARY" unless declared otherwise */
    enum hg_column_kind kind;
    bool not_null;
};

struct hg_table {
    char *name;
    struct hg_column *cols;
    size_t ncols;
    size_t pk;      /* index of the primary key */
    size_t company; /* index of company_id */
};

int hg_table_load(sqlite3 *db, struct hg_slice name, struct hg_table *t,
                  struct hg_buf *why) HG_MUST_CHECK;
void hg_table_fini(struct hg_table *t);
/* Index of a column, or -1. Names compare as bytes: one spelling per column. */
int hg_table_column(const struct hg_table *t, struct hg_slice name);
/* Is it declared for numbers (or BOOLEAN, which is 0 and 1)? By SQLite's own rules for what a
 * declared type means. */
bool hg_table_is_number(const struct hg_column *c);

/* Appends an SQL expression whose value is the row as JSON text; integers and reals keep their
   exact value. prefix is "OLD", "NEW" or NULL for the bare columns. Built-in SQL functions only:
   any program may fire the triggers. */
void hg_table_row_json(const struct hg_table *t, const char *prefix, struct hg_buf *sql);
/* Appends "name" with quotes doubled. */
void hg_sql_ident(struct hg_buf *sql, const char *name);
/* Appends 'text' with quotes doubled, for the few places where a parameter can't stand (trigger
 * bodies). */
void hg_sql_literal(struct hg_buf *sql, const char *text);

#endif
