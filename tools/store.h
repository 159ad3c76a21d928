/*
 * The database file of the tools: opening it, the change log that SQLite's triggers write, and the
 * demo table.
 *
 *   sqlite3 *db;
 *   if (hg_store_open(path, &db, &why) < 0) ...
 *   if (hg_store_prepare(db, &why) < 0) ...     log tables, and triggers on every served table
 *
 * hg_changes(lsn, at, tbl, old, new): one row per changed row, in commit order. SQLite has one
 * writer, and lsn is an AUTOINCREMENT key raised in the transaction that makes the change, so "lsn
 * <= S is visible" is exact for S read in the transaction that reads the rows. at is wall clock
 * milliseconds; old and new are the row as JSON, NULL when there is none. Whoever writes a served
 * table, this program or another, is logged; INSERT OR REPLACE over an existing row is logged as an
 * insert only, unless the writer sets PRAGMA recursive_triggers. hg_position(name, lsn, at): how
 * far a reader of the log came.
 */
#ifndef HG_TOOLS_STORE_H
#define HG_TOOLS_STORE_H

#include <sqlite3.h>
#include "common/base/buf.h"

int hg_store_open(const char *path, sqlite3 **db, struct hg_buf *why) HG_MUST_CHECK;
/* Idempotent; safe when several processes do it at once. -HG_E_SYS and why. */
int hg_store_prepare(sqlite3 *db, struct hg_buf *why) HG_MUST_CHECK;
/* Triggers on one table, for whoever has just made it; within the caller's transaction. A table
 * that is not served is left alone. */
int hg_store_watch(sqlite3 *db, struct hg_slice table, struct hg_buf *why) HG_MUST_CHECK;
/* Makes table "tasks" with some rows for company "demo", once: an existing table is left as it
 * is. */
int hg_store_seed(sqlite3 *db, struct hg_buf *why) HG_MUST_CHECK;
/* The highest lsn that the current transaction can see; 0 before the first change. -1 when SQLite
 * failed. */
int64_t hg_store_lsn(sqlite3 *db);
int hg_store_exec(sqlite3 *db, const char *sql, struct hg_buf *why) HG_MUST_CHECK;

#endif
