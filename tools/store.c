#include "tools/store.h"

#include <unistd.h>
#include "common/base/err.h"
#include "tools/sqlfunc.h"
#include "tools/table.h"

enum { BUSY_MS = 5000, WAL_TRIES = 100, WAL_PAUSE_US = 50000 };

static int failed(sqlite3 *db, const char *what, struct hg_buf *why)
{
    hg_buf_addf(why, "%s: %s", what, sqlite3_errmsg(db));
    return -HG_E_SYS;
}

int hg_store_exec(sqlite3 *db, const char *sql, struct hg_buf *why)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(db, "database", why);
}

/* The switch to WAL needs the file alone, and SQLite's busy handler is not asked for it. */
static int use_wal(sqlite3 *db, struct hg_buf *why)
{
    for (int i = 0; i < WAL_TRIES; i++) {
        int rc = sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            return hg_store_exec(db, "PRAGMA synchronous=NORMAL", why);
        if (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
            break;
        usleep(WAL_PAUSE_US);
    }
    return failed(db, "journal_mode", why);
}

int hg_store_open(const char *path, sqlite3 **db, struct hg_buf *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, db, flags, NULL);
    if (rc != SQLITE_OK) {
        hg_buf_addf(why, "%s: %s", path, *db ? sqlite3_errmsg(*db) : sqlite3_errstr(rc));
        sqlite3_close(*db);
        *db = NULL;
        return -HG_E_SYS;
    }
    sqlite3_busy_timeout(*db, BUSY_MS);
    rc = hg_sqlfunc_register(*db) == SQLITE_OK ? use_wal(*db, why) : failed(*db, "functions", why);
    if (rc < 0) {
        sqlite3_close(*db);
        *db = NULL;
    }
    return rc;
}

/* ---- the change log ---- */

static const char log_tables[] =
    "CREATE TABLE IF NOT EXISTS hg_changes ("
    " lsn INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, tbl TEXT NOT NULL, old TEXT, new "
    "TEXT);"
    "CREATE INDEX IF NOT EXISTS hg_changes_at ON hg_changes(at);"
    "CREATE TABLE IF NOT EXISTS hg_position ("
    " name TEXT PRIMARY KEY, lsn INTEGER NOT NULL, at INTEGER NOT NULL);";

struct trigger {
    const char *suffix, *event;
    bool has_old, has_new;
};
static const struct trigger triggers[] = {
    {"ins", "INSERT", false, true},
    {"upd", "UPDATE", true, true},
    {"del", "DELETE", true, false},
};

/* An UPDATE that changes nothing is no change. */
static void put_when_differs(const struct hg_table *t, struct hg_buf *sql)
{
    hg_buf_adds(sql, " WHEN ");
    for (size_t i = 0; i < t->ncols; i++) {
        hg_buf_adds(sql, i ? " OR OLD." : "OLD.");
        hg_sql_ident(sql, t->cols[i].name);
        hg_buf_adds(sql, " IS NOT NEW.");
        hg_sql_ident(sql, t->cols[i].name);
    }
}

static void put_row(const struct hg_table *t, bool there, const char *prefix, struct hg_buf *sql)
{
    hg_buf_addc(sql, ',');
    if (there)
        hg_table_row_json(t, prefix, sql);
    else
        hg_buf_adds(sql, "NULL");
}

static void trigger_sql(const struct hg_table *t, const struct trigger *g, const char *name,
                        struct hg_buf *sql)
{
    hg_buf_adds(sql, "CREATE TRIGGER ");
    hg_sql_ident(sql, name);
    hg_buf_addf(sql, " AFTER %s ON ", g->event);
    hg_sql_ident(sql, t->name);
    if (g->has_old && g->has_new)
        put_when_differs(t, sql);
    hg_buf_adds(sql, " BEGIN INSERT INTO hg_changes(at, tbl, old, new) VALUES ("
                     "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER),");
    hg_sql_literal(sql, t->name);
    put_row(t, g->has_old, "OLD", sql);
    put_row(t, g->has_new, "NEW", sql);
    hg_buf_adds(sql, "); END");
}

static bool trigger_is_there(sqlite3 *db, const char *name, const struct hg_buf *sql)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(
            db, "SELECT 1 FROM sqlite_schema WHERE type='trigger' AND name=?1 AND sql=?2", -1, &st,
            NULL) != SQLITE_OK)
        return false;
    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, sql->p, (int)sql->n, SQLITE_STATIC);
    bool there = sqlite3_step(st) == SQLITE_ROW;
    sqlite3_finalize(st);
    return there;
}

/* Made again only when the table's columns changed: each new trigger makes every process prepare
 * its statements anew. */
static int make_trigger(sqlite3 *db, const struct hg_table *t, const struct trigger *g,
                        struct hg_buf *why)
{
    struct hg_buf name = {0}, sql = {0}, all = {0};
    int rc = 0;
    hg_buf_addf(&name, "hg_log_%s_%s", t->name, g->suffix);
    hg_buf_addc(&name, 0);
    trigger_sql(t, g, name.p, &sql);
    if (!trigger_is_there(db, name.p, &sql)) {
        hg_buf_adds(&all, "DROP TRIGGER IF EXISTS ");
        hg_sql_ident(&all, name.p);
        hg_buf_adds(&all, "; ");
        hg_buf_add_slice(&all, hg_buf_slice(&sql));
        hg_buf_addc(&all, 0);
        rc = hg_store_exec(db, all.p, why);
    }
    hg_buf_fini(&name);
    hg_buf_fini(&sql);
    hg_buf_fini(&all);
    return rc;
}

int hg_store_watch(sqlite3 *db, struct hg_slice name, struct hg_buf *why)
{
    struct hg_table t;
    struct hg_buf unfit = {0};
    int rc = hg_table_load(db, name, &t, &unfit);
    if (rc == -HG_E_SYS)
        hg_buf_add_slice(why, hg_buf_slice(&unfit));
    hg_buf_fini(&unfit);
    if (rc < 0)
        return rc == -HG_E_SYS ? rc : 0; /* a table without tenant is none of ours */
    for (size_t i = 0; i < HG_COUNTOF(triggers) && rc == 0; i++)
        rc = make_trigger(db, &t, &triggers[i], why);
    hg_table_fini(&t);
    return rc;
}

/* The names are collected first: making a trigger while a statement reads the schema is asking for
 * trouble. */
static int watch_tables(sqlite3 *db, struct hg_buf *why)
{
    sqlite3_stmt *st;
    struct hg_buf names = {0};
    if (sqlite3_prepare_v2(db, "SELECT name FROM sqlite_schema WHERE type='table'", -1, &st,
                           NULL) != SQLITE_OK)
        return failed(db, "schema", why);
    while (sqlite3_step(st) == SQLITE_ROW) {
        hg_buf_adds(&names, (const char *)sqlite3_column_text(st, 0));
        hg_buf_addc(&names, 0);
    }
    int rc = sqlite3_finalize(st) == SQLITE_OK ? 0 : failed(db, "schema", why);
    for (size_t at = 0; at < names.n && rc == 0; at += strlen(names.p + at) + 1)
        rc = hg_store_watch(db, hg_slice_str(names.p + at), why);
    hg_buf_fini(&names);
    return rc;
}

int hg_store_prepare(sqlite3 *db, struct hg_buf *why)
{
    int rc = hg_store_exec(db, "BEGIN IMMEDIATE", why);
    if (rc < 0)
        return rc;
    rc = hg_store_exec(db, log_tables, why);
    if (rc == 0)
        rc = watch_tables(db, why);
    if (rc == 0)
        return hg_store_exec(db, "COMMIT", why);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int64_t hg_store_lsn(sqlite3 *db)
{
    sqlite3_stmt *st;
    int64_t lsn = -1;
    if (sqlite3_prepare_v2(db, "SELECT seq FROM sqlite_sequence WHERE name='hg_changes'", -1, &st,
                           NULL) != SQLITE_OK)
        return -1;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        lsn = sqlite3_column_int64(st, 0);
    else if (rc == SQLITE_DONE)
        lsn = 0;
    sqlite3_finalize(st);
    return lsn;
}

/* ---- the demo table ---- */

/* SQLite names a broken constraint in its message, and the message reaches the person who typed. */
static const char demo_table[] =
    "CREATE TABLE tasks ("
    " id INTEGER PRIMARY KEY,"
    " company_id TEXT NOT NULL,"
    " title TEXT NOT NULL,"
    " done BOOLEAN NOT NULL DEFAULT 0,"
    " priority INTEGER NOT NULL DEFAULT 3,"
    " assignee TEXT,"
    " updated_at TIMESTAMP NOT NULL DEFAULT 0,"
    " CONSTRAINT \"the title is a text of 1 to 500 characters\""
    "  CHECK (typeof(title) = 'text' AND length(title) BETWEEN 1 AND 500),"
    " CONSTRAINT \"done is true or false\" CHECK (done IN (0, 1)),"
    " CONSTRAINT \"the priority is a whole number from 1 to 5\""
    "  CHECK (typeof(priority) = 'integer' AND priority BETWEEN 1 AND 5));"
    "CREATE INDEX tasks_by_priority ON tasks (company_id, priority, id);";

static const struct {
    const char *title, *assignee;
    int done, priority;
} demo_rows[] = {
    {"Clear the trash rack at the intake", "Mara", 1, 2},
    {"Grease the gate screws", "Jonas", 0, 3},
    {"Read the upstream gauge", "Ines", 0, 1},
    {"Calibrate the flow meter on lateral 3", NULL, 0, 2},
    {"Mow the east bank", "Oskar", 1, 5},
    {"Replace the seal of gate 2", "Mara", 0, 1},
    {"Walk the main canal, km 0 to 4", "Ines", 0, 4},
    {"Order stop logs", NULL, 0, 3},
    {"Publish the watering schedule", "Lena", 1, 1},
    {"Answer the farmers of Unterfeld", "Lena", 0, 2},
    {"Check the telemetry batteries", "Jonas", 0, 3},
    {"Patch the lining at km 2.7", NULL, 0, 2},
    {"Remove silt from the settling basin", "Oskar", 0, 4},
    {"Test the emergency closure", "Mara", 0, 1},
    {"Paint the handrails", NULL, 0, 5},
    {"Survey the spillway", "Ines", 1, 3},
    {"File the water rights report", "Lena", 0, 2},
    {"Sharpen the weed cutter", "Oskar", 0, 5},
    {"Train two new gate keepers", "Jonas", 0, 3},
    {"Plan the winter closure", NULL, 0, 4},
};

static int demo_insert(sqlite3 *db, struct hg_buf *why)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(
            db,
            "INSERT INTO tasks(company_id, title, assignee, done, priority, updated_at) "
            "VALUES ('demo', ?1, ?2, ?3, ?4, CAST(strftime('%s','now') AS INTEGER) * 1000000)",
            -1, &st, NULL) != SQLITE_OK)
        return failed(db, "tasks", why);
    int rc = SQLITE_DONE;
    for (size_t i = 0; i < HG_COUNTOF(demo_rows) && rc == SQLITE_DONE; i++) {
        sqlite3_bind_text(st, 1, demo_rows[i].title, -1, SQLITE_STATIC);
        sqlite3_bind_text(st, 2, demo_rows[i].assignee, -1, SQLITE_STATIC);
        sqlite3_bind_int(st, 3, demo_rows[i].done);
        sqlite3_bind_int(st, 4, demo_rows[i].priority);
        rc = sqlite3_step(st);
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : failed(db, "tasks", why);
}

/* Asked of the file: what this connection knows of the schema may be older than another's table. */
static bool demo_is_there(sqlite3 *db)
{
    sqlite3_stmt *st;
    bool there;

    if (sqlite3_prepare_v2(db, "SELECT 1 FROM sqlite_schema WHERE name='tasks'", -1, &st, NULL) !=
        SQLITE_OK)
        return false;
    there = sqlite3_step(st) == SQLITE_ROW;
    sqlite3_finalize(st);
    return there;
}

int hg_store_seed(sqlite3 *db, struct hg_buf *why)
{
    int rc = hg_store_exec(db, "BEGIN IMMEDIATE", why);
    if (rc < 0)
        return rc;
    if (demo_is_there(db))
        return hg_store_exec(db, "COMMIT", why);
    rc = hg_store_exec(db, demo_table, why);
    if (rc == 0)
        rc = demo_insert(db, why);
    if (rc == 0)
        return hg_store_exec(db, "COMMIT", why);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}
