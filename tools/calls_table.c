/*
 * CREATE_TABLE. Only what SQLite carries out as meant: a type or constraint it would let pass and
 * then ignore is refused. The tenant wall is the column company_id: one is added where the
 * definition has none. "unique" and "indexed" count within a company. The table and the triggers of
 * its change log come in one transaction.
 */
#include <strings.h>
#include "common/base/err.h"
#include "tools/calls_priv.h"
#include "tools/store.h"

enum { MAX_NAME = 63 };
enum { PRIMARY_KEY = 0, UNIQUE = 1, NOT_NULL = 2, INDEXED = 5 }; /* numbers of ColumnConstraint */

static const char *const type_names[] = {
#define HG_TABLE_TYPE(number, name, second) [number] = name,
#include "proto/tabledef.def"
#undef HG_TABLE_TYPE
};
static const char *const constraint_names[HG_FBW_CONSTRAINTS] = {
#define HG_TABLE_CONSTRAINT(number, name, second) [number] = name,
#include "proto/tabledef.def"
#undef HG_TABLE_CONSTRAINT
};

/* The declared type in SQLite by the number of SQLDataType; NULL: not in this worker. Lists are
 * kept as JSON. */
static const char *const declared[HG_COUNTOF(type_names)] = {
    [0] = "TEXT",     [1] = "TEXT",    [2] = "TEXT",     [3] = "JSON",       [4] = "JSON",
    [5] = "JSON",     [6] = "INTEGER", [7] = "INTEGER",  [8] = "INTEGER",    [9] = "NUMERIC",
    [10] = "NUMERIC", [11] = "REAL",   [12] = "REAL",    [13] = "INTEGER",   [14] = "INTEGER",
    [15] = "INTEGER", [17] = "TEXT",   [18] = "TEXT",    [19] = "TIMESTAMP", [20] = "TIMESTAMP",
    [21] = "TEXT",    [22] = "TEXT",   [23] = "BOOLEAN", [25] = "JSON",      [26] = "JSON",
    [27] = "JSON",    [28] = "JSON",   [29] = "TEXT",    [30] = "TEXT",      [31] = "JSON",
};
enum { SERIAL = 13, SMALL_SERIAL = 15 };

static bool has(const struct hg_fbw_column *col, unsigned constraint)
{
    return col->constraints >> constraint & 1;
}

static int refuse(struct hg_call *c, struct hg_slice name, const char *text)
{
    hg_buf_addf(&c->why, "%.*s: %s", (int)HG_MIN(name.n, 128u), name.p ? name.p : "", text);
    return -HG_E_BAD_QUERY;
}

/* Letters, digits and underscores: a name that means the same in every database. */
static bool name_ok(struct hg_slice name)
{
    if (name.n == 0 || name.n > MAX_NAME || (name.p[0] >= '0' && name.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char x = name.p[i], lower = (char)(x | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(x >= '0' && x <= '9') && x != '_')
            return false;
    }
    return true;
}

static bool same_name(struct hg_slice a, struct hg_slice b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static int check_constraints(struct hg_call *c, const struct hg_fbw_column *col)
{
    static const uint32_t kept = 1u << PRIMARY_KEY | 1u << UNIQUE | 1u << NOT_NULL | 1u << INDEXED;
    for (unsigned i = 0; i < HG_FBW_CONSTRAINTS; i++) {
        if (!has(col, i) || (kept >> i & 1))
            continue;
        hg_buf_addf(&c->why, "constraint %s of ", constraint_names[i]);
        return refuse(c, col->name, "not supported by this worker");
    }
    return 0;
}

static int check_column(struct hg_call *c, const struct hg_fbw_column *col)
{
    if (!name_ok(col->name))
        return refuse(c, col->name, "a column's name is 1 to 63 letters, digits and underscores");
    if (col->type >= HG_COUNTOF(declared))
        return refuse(c, col->name, "unknown type");
    if (!declared[col->type]) {
        hg_buf_addf(&c->why, "type %s of ", type_names[col->type]);
        return refuse(c, col->name, "not supported by this worker");
    }
    if (col->type >= SERIAL && col->type <= SMALL_SERIAL && !has(col, PRIMARY_KEY))
        return refuse(c, col->name, "a serial can only be the primary key");
    if (col->has_options)
        return refuse(c, col->name, "custom options are not supported by this worker");
    if (hg_slice_is(col->name, HG_TENANT_COLUMN) &&
        (strcmp(declared[col->type], "TEXT") != 0 || has(col, PRIMARY_KEY)))
        return refuse(c, col->name, "the tenant's column is a text and not the primary key");
    if (!hg_slice_is(col->name, HG_TENANT_COLUMN) &&
        same_name(col->name, HG_SLICE_LIT(HG_TENANT_COLUMN)))
        return refuse(c, col->name, "the tenant's column is spelt " HG_TENANT_COLUMN);
    return check_constraints(c, col);
}

static int check_columns(struct hg_call *c, const struct hg_fbw_definition *d)
{
    size_t keys = 0;
    for (size_t i = 0; i < d->ncols; i++) {
        int rc = check_column(c, &d->cols[i]);
        if (rc < 0)
            return rc;
        for (size_t k = 0; k < i; k++)
            if (same_name(d->cols[i].name, d->cols[k].name))
                return refuse(c, d->cols[i].name, "given twice");
        keys += has(&d->cols[i], PRIMARY_KEY);
    }
    return keys == 1 ? 0 : hg_call_bad(c, "exactly one column must be the primary key");
}

static int check_definition(struct hg_call *c, const struct hg_fbw_definition *d)
{
    if (c->rq->query.company.n == 0)
        return hg_call_bad(c, "companyId: missing");
    if (!name_ok(d->name))
        return refuse(c, d->name, "a table's name is 1 to 63 letters, digits and underscores");
    if ((d->name.n >= 3 && !strncasecmp(d->name.p, "hg_", 3)) ||
        (d->name.n >= 7 && !strncasecmp(d->name.p, "sqlite_", 7)))
        return refuse(c, d->name, "a name of the worker's own");
    if (d->has_options)
        return refuse(c, d->name, "table options are not supported by this worker");
    return check_columns(c, d);
}

/* ---- the statements; names were checked, so no quote can hide in one ---- */

static void put_name(struct hg_buf *sql, struct hg_slice name)
{
    hg_buf_addc(sql, '"');
    hg_buf_add_slice(sql, name);
    hg_buf_addc(sql, '"');
}

/* SQLite lets a text pass into a column of numbers. Its message names the constraint. */
static void put_check(struct hg_buf *sql, const struct hg_fbw_column *col)
{
    static const struct {
        const char *decl, *what, *types;
    } checks[] = {{"INTEGER", "a whole number", "'integer', 'null'"},
                  {"NUMERIC", "a number", "'integer', 'real', 'null'"},
                  {"REAL", "a number", "'real', 'null'"}};

    for (size_t i = 0; i < HG_COUNTOF(checks); i++) {
        if (strcmp(declared[col->type], checks[i].decl) != 0)
            continue;
        hg_buf_addf(sql, " CONSTRAINT \"%.*s is %s\" CHECK (typeof(", HG_SLICE_ARG(col->name),
                    checks[i].what);
        put_name(sql, col->name);
        hg_buf_addf(sql, ") IN (%s))", checks[i].types);
    }
}

static void put_column(struct hg_buf *sql, const struct hg_fbw_column *col)
{
    put_name(sql, col->name);
    hg_buf_addf(sql, " %s", declared[col->type]);
    if (has(col, PRIMARY_KEY))
        hg_buf_adds(sql, " PRIMARY KEY");
    if (!col->nullable || has(col, NOT_NULL) || has(col, PRIMARY_KEY) ||
        hg_slice_is(col->name, HG_TENANT_COLUMN))
        hg_buf_adds(sql, " NOT NULL");
    if (strcmp(declared[col->type], "BOOLEAN") == 0) {
        hg_buf_adds(sql, " CHECK (");
        put_name(sql, col->name);
        hg_buf_adds(sql, " IN (0, 1))");
    }
    put_check(sql, col);
}

static void put_table(struct hg_buf *sql, const struct hg_fbw_definition *d)
{
    bool tenant = false;
    hg_buf_adds(sql, "CREATE TABLE ");
    put_name(sql, d->name);
    for (size_t i = 0; i < d->ncols; i++) {
        hg_buf_adds(sql, i ? ", " : " (");
        put_column(sql, &d->cols[i]);
        tenant = tenant || hg_slice_is(d->cols[i].name, HG_TENANT_COLUMN);
    }
    if (!tenant)
        hg_buf_adds(sql, ", " HG_TENANT_COLUMN " TEXT NOT NULL");
    for (size_t i = 0; i < d->ncols; i++) {
        if (!has(&d->cols[i], UNIQUE) || has(&d->cols[i], PRIMARY_KEY))
            continue;
        hg_buf_adds(sql, ", UNIQUE (" HG_TENANT_COLUMN ", ");
        put_name(sql, d->cols[i].name);
        hg_buf_addc(sql, ')');
    }
    hg_buf_adds(sql, ");");
}

static void put_indexes(struct hg_buf *sql, const struct hg_fbw_definition *d)
{
    for (size_t i = 0; i < d->ncols; i++) {
        if (!has(&d->cols[i], INDEXED))
            continue;
        hg_buf_addf(sql, "CREATE INDEX \"%.*s_by_%.*s\" ON ", HG_SLICE_ARG(d->name),
                    HG_SLICE_ARG(d->cols[i].name));
        put_name(sql, d->name);
        hg_buf_adds(sql, " (" HG_TENANT_COLUMN ", ");
        put_name(sql, d->cols[i].name);
        hg_buf_adds(sql, ");");
    }
}

/* Anything of that name, also what is not served: a view, an index. SQLite compares names without
 * case. */
static int check_free(struct hg_call *c, struct hg_slice name)
{
    struct hg_sq_sql sql = {0};
    sqlite3_stmt *st = NULL;
    hg_buf_adds(&sql.text, "SELECT 1 FROM sqlite_schema WHERE lower(name) = lower(");
    hg_sq_param(&sql, hg_sq_text(name));
    hg_buf_addc(&sql.text, ')');
    int rc = hg_call_prepare(c, &sql, &st), step = rc == 0 ? sqlite3_step(st) : SQLITE_DONE;
    if (step == SQLITE_ROW)
        rc = refuse(c, name, "a table of this name is there already");
    else if (step != SQLITE_DONE)
        rc = hg_call_failed(c);
    sqlite3_finalize(st);
    hg_sq_sql_fini(&sql);
    return rc;
}

static int create(struct hg_call *c, const struct hg_fbw_definition *d)
{
    struct hg_buf sql = {0};
    int rc = check_free(c, d->name);
    put_table(&sql, d);
    put_indexes(&sql, d);
    hg_buf_addc(&sql, 0);
    if (rc == 0)
        rc = hg_store_exec(c->db, sql.p, &c->why);
    if (rc == 0)
        rc = hg_store_watch(c->db, d->name, &c->why);
    hg_buf_fini(&sql);
    return rc;
}

int hg_call_create_table(struct hg_call *c)
{
    int rc = check_definition(c, &c->rq->definition);
    if (rc == 0)
        rc = hg_store_exec(c->db, "BEGIN IMMEDIATE", &c->why);
    if (rc < 0)
        return rc;
    rc = create(c, &c->rq->definition);
    if (rc == 0)
        rc = hg_store_exec(c->db, "COMMIT", &c->why);
    if (rc < 0) {
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
    }
    c->ans->reply.data = HG_FBW_BOOL;
    c->ans->reply.value = true;
    return 0;
}
