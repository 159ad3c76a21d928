#include "tools/match.h"

#include <bsd/sys/queue.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/map.h"
#include "tools/cli.h"
#include "tools/fb_worker.h"

enum { OLD_SIDE = 1, NEW_SIDE = 2 };
enum { ROW_MAX = 900000 }; /* a diff above what a broker takes by default goes without its row */

struct query {
    struct hg_match_query pub;
    struct hg_map_node node;
    LIST_ENTRY(query) of_feed;
    struct feed *feed;
    struct hg_buf filter; /* the message; the parsed query borrows from it */
    struct hg_arena arena;
    struct hg_sq_query q;
    sqlite3_stmt *sides; /* which sides match; NULL: not compiled yet */
    bool broken;         /* does not compile against the table as it is */
};

/* The queries of one tenant on one table. */
struct feed {
    struct hg_map_node node; /* "<tenant>_<table>" */
    LIST_HEAD(, query) queries;
    size_t tenant_len;
    char name[];
};

/* A table and its temporary twin. */
struct twin {
    struct hg_map_node node;
    struct hg_table t;
    sqlite3_stmt *put, *read;
};

struct hg_match {
    sqlite3 *db;
    hg_match_fn fn;
    void *arg;
    struct hg_map queries, feeds, twins;
};

/* One side of a change as the twin knows it. */
struct side {
    bool there;
    struct hg_slice row;
    char *company;
    char *pk; /* JSON text */
};

struct hg_match *hg_match_new(sqlite3 *db, hg_match_fn fn, void *arg)
{
    struct hg_match *m = hg_calloc(1, sizeof(*m));
    *m = (struct hg_match){.db = db, .fn = fn, .arg = arg};
    return m;
}

size_t hg_match_count(const struct hg_match *m)
{
    return m->queries.count;
}

static int sqlite_failed(struct hg_match *m, struct hg_buf *why)
{
    hg_buf_addf(why, "database: %s", sqlite3_errmsg(m->db));
    return -HG_E_SYS;
}

/* ---- twins ---- */

/* Not the table's own name: temp tables hide those of the database from unqualified statements. */
static void twin_name(const struct hg_table *t, struct hg_buf *sql)
{
    struct hg_buf name = {0};
    hg_buf_addf(&name, "hg_twin_%s", t->name);
    hg_buf_addc(&name, 0);
    hg_buf_adds(sql, "temp.");
    hg_sql_ident(sql, name.p);
    hg_buf_fini(&name);
}

static void twin_free(struct hg_match *m, struct twin *w)
{
    struct hg_buf sql = {0};
    sqlite3_finalize(w->put);
    sqlite3_finalize(w->read);
    hg_buf_adds(&sql, "DROP TABLE IF EXISTS ");
    twin_name(&w->t, &sql);
    hg_buf_addc(&sql, 0);
    sqlite3_exec(m->db, sql.p, NULL, NULL, NULL);
    hg_buf_fini(&sql);
    hg_map_del(&m->twins, &w->node);
    hg_table_fini(&w->t);
    free(w);
}

static void twin_sql(const struct hg_table *t, struct hg_buf *create, struct hg_buf *put,
                     struct hg_buf *read)
{
    hg_buf_adds(create, "CREATE TABLE ");
    twin_name(t, create);
    hg_buf_adds(create, "(hg_side INTEGER PRIMARY KEY");
    hg_buf_adds(put, "INSERT OR REPLACE INTO ");
    twin_name(t, put);
    hg_buf_adds(put, " SELECT ?1");
    for (size_t i = 0; i < t->ncols; i++) {
        hg_buf_addc(create, ',');
        hg_sql_ident(create, t->cols[i].name);
        hg_buf_addf(create, " %s COLLATE ", t->cols[i].decl);
        hg_sql_ident(create, t->cols[i].collation);
        hg_buf_addf(put, ",(SELECT %s FROM json_each(?2) WHERE key=",
                    t->cols[i].kind == HG_COLUMN_JSON ? HG_TABLE_JSON_VALUE : "value");
        hg_sql_literal(put, t->cols[i].name);
        hg_buf_addc(put, ')');
    }
    hg_buf_adds(create, ")");
    hg_buf_addc(create, 0);
    hg_buf_adds(read, "SELECT " HG_TENANT_COLUMN ", json_quote(CAST(");
    hg_sql_ident(read, t->cols[t->pk].name);
    hg_buf_adds(read, " AS TEXT)) FROM ");
    twin_name(t, read);
    hg_buf_adds(read, " WHERE hg_side=?1");
}

static int twin_make(struct hg_match *m, struct twin *w)
{
    struct hg_buf create = {0}, put = {0}, read = {0};
    twin_sql(&w->t, &create, &put, &read);
    bool good = sqlite3_exec(m->db, create.p, NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_prepare_v2(m->db, put.p, (int)put.n, &w->put, NULL) == SQLITE_OK &&
                sqlite3_prepare_v2(m->db, read.p, (int)read.n, &w->read, NULL) == SQLITE_OK;
    hg_buf_fini(&create);
    hg_buf_fini(&put);
    hg_buf_fini(&read);
    return good ? 0 : -HG_E_SYS;
}

/* NULL with why: no such table, or SQLite failed. */
static struct twin *twin_of(struct hg_match *m, struct hg_slice table, struct hg_buf *why)
{
    struct hg_map_node *n = hg_map_get(&m->twins, table);
    if (n)
        return HG_CONTAINER_OF(n, struct twin, node);
    struct twin *w = hg_calloc(1, sizeof(*w));
    if (hg_table_load(m->db, table, &w->t, why) < 0) {
        free(w);
        return NULL;
    }
    w->node.key = hg_slice_str(w->t.name);
    hg_map_put(&m->twins, &w->node);
    if (twin_make(m, w) == 0)
        return w;
    sqlite_failed(m, why);
    twin_free(m, w);
    return NULL;
}

/* ---- feeds and queries ---- */

static struct feed *feed_get(struct hg_match *m, struct hg_slice name, size_t tenant_len)
{
    struct hg_map_node *n = hg_map_get(&m->feeds, name);
    if (n)
        return HG_CONTAINER_OF(n, struct feed, node);
    struct feed *f = hg_calloc(1, sizeof(*f) + name.n + 1);
    memcpy(f->name, name.p, name.n);
    f->tenant_len = tenant_len;
    f->node.key = hg_slice_of(f->name, name.n);
    hg_map_put(&m->feeds, &f->node);
    return f;
}

static struct hg_slice feed_tenant(const struct feed *f)
{
    return hg_slice_of(f->name, f->tenant_len);
}

static struct hg_slice feed_table(const struct feed *f)
{
    return hg_slice_of(f->name + f->tenant_len + 1, f->node.key.n - f->tenant_len - 1);
}

static void query_free(struct hg_match *m, struct query *q)
{
    struct feed *f = q->feed;
    sqlite3_finalize(q->sides);
    hg_map_del(&m->queries, &q->node);
    LIST_REMOVE(q, of_feed);
    if (LIST_EMPTY(&f->queries)) {
        hg_map_del(&m->feeds, &f->node);
        free(f);
    }
    hg_arena_fini(&q->arena);
    hg_buf_fini(&q->filter);
    free((char *)q->pub.key.p);
    free(q);
}

static struct query *query_find(struct hg_match *m, struct hg_slice key)
{
    struct hg_map_node *n = hg_map_get(&m->queries, key);
    return n ? HG_CONTAINER_OF(n, struct query, node) : NULL;
}

void hg_match_drop(struct hg_match *m, struct hg_slice key)
{
    struct query *q = query_find(m, key);
    if (q)
        query_free(m, q);
}

/* "<tenant>_<table>|<hashId>": where the tenant and the table end. A tenant has no "_", a table no
 * "|". */
static int split_key(struct hg_slice key, size_t *tenant_len, size_t *feed_len)
{
    const char *bar = key.n ? memchr(key.p, '|', key.n) : NULL;
    const char *low = bar ? memchr(key.p, '_', (size_t)(bar - key.p)) : NULL;
    if (!low || low == key.p || low + 1 == bar)
        return -HG_E_BAD_NAME;
    *tenant_len = (size_t)(low - key.p);
    *feed_len = (size_t)(bar - key.p);
    return 0;
}

static struct query *query_add(struct hg_match *m, struct hg_slice key, size_t tenant_len,
                               size_t feed_len)
{
    struct query *q = hg_calloc(1, sizeof(*q));
    char *copy = hg_malloc(key.n);
    memcpy(copy, key.p, key.n);
    q->pub.key = q->node.key = hg_slice_of(copy, key.n);
    q->feed = feed_get(m, hg_slice_of(key.p, feed_len), tenant_len);
    LIST_INSERT_HEAD(&q->feed->queries, q, of_feed);
    hg_map_put(&m->queries, &q->node);
    return q;
}

static int compile(struct hg_match *m, struct query *q, struct hg_buf *why)
{
    struct twin *w = twin_of(m, feed_table(q->feed), why);
    struct hg_sq_sql sql = {0};
    int rc = w ? 0 : -HG_E_NOT_FOUND;
    if (w) {
        hg_buf_adds(&sql.text, "SELECT hg_side FROM ");
        twin_name(&w->t, &sql.text);
        hg_buf_adds(&sql.text, " WHERE ");
        rc = hg_sq_where(&w->t, &q->q, &sql, why);
    }
    if (rc == 0 && (sqlite3_prepare_v3(m->db, sql.text.p, (int)sql.text.n,
                                       SQLITE_PREPARE_PERSISTENT, &q->sides, NULL) != SQLITE_OK ||
                    hg_sq_bind(q->sides, &sql) != SQLITE_OK))
        rc = sqlite_failed(m, why);
    hg_sq_sql_fini(&sql);
    q->broken = rc < 0;
    return rc;
}

static int parse(struct query *q, struct hg_slice filter, struct hg_buf *why)
{
    const char *text = "";
    hg_buf_add_slice(&q->filter, filter);
    int rc = hg_fbw_read_filter(hg_buf_slice(&q->filter), &q->arena, &q->q, &text);
    if (rc < 0)
        hg_buf_adds(why, text);
    q->q.company = feed_tenant(q->feed);
    q->q.table = feed_table(q->feed);
    return rc;
}

int hg_match_put(struct hg_match *m, struct hg_slice key, struct hg_slice filter,
                 struct hg_match_query **out, struct hg_buf *why)
{
    size_t tenant_len, feed_len;
    *out = NULL;
    if (split_key(key, &tenant_len, &feed_len) < 0) {
        hg_buf_adds(why, "not a routing key");
        return -HG_E_BAD_NAME;
    }
    struct query *q = query_find(m, key);
    bool was_live = q != NULL;
    if (q && hg_slice_eq(hg_buf_slice(&q->filter), filter)) {
        *out = &q->pub;
        return 0;
    }
    int64_t last = q ? q->pub.last_lsn : 0;
    if (q)
        query_free(m, q);
    q = query_add(m, key, tenant_len, feed_len);
    q->pub.last_lsn = last;
    int rc = parse(q, filter, why);
    if (rc == 0)
        rc = compile(m, q, why);
    if (rc < 0) {
        query_free(m, q);
        return rc;
    }
    *out = &q->pub;
    return was_live ? 0 : 1;
}

void hg_match_schema_changed(struct hg_match *m)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *n;
    while ((n = hg_map_next(&m->queries, &it))) {
        struct query *q = HG_CONTAINER_OF(n, struct query, node);
        sqlite3_finalize(q->sides);
        q->sides = NULL;
        q->broken = false;
    }
    it = (struct hg_map_iter){0};
    while ((n = hg_map_next(&m->twins, &it)))
        twin_free(m, HG_CONTAINER_OF(n, struct twin, node));
}

void hg_match_free(struct hg_match *m)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *n;
    if (!m)
        return;
    while ((n = hg_map_next(&m->queries, &it)))
        query_free(m, HG_CONTAINER_OF(n, struct query, node));
    it = (struct hg_map_iter){0};
    while ((n = hg_map_next(&m->twins, &it)))
        twin_free(m, HG_CONTAINER_OF(n, struct twin, node));
    hg_map_fini(&m->queries);
    hg_map_fini(&m->feeds);
    hg_map_fini(&m->twins);
    free(m);
}

/* ---- a change ---- */

static char *column_dup(sqlite3_stmt *st, int i)
{
    const char *s = (const char *)sqlite3_column_text(st, i);
    return hg_strdup(s ? s : "");
}

/* Puts one side into the twin (an absent one as a row of NULLs: it has no company, so nothing
 * matches it). */
static int load_side(struct twin *w, int which, struct hg_slice row, struct side *s)
{
    s->there = row.p != NULL;
    s->row = row;
    sqlite3_bind_int(w->put, 1, which);
    sqlite3_bind_text64(w->put, 2, row.p ? row.p : "{}", row.p ? row.n : 2, SQLITE_STATIC,
                        SQLITE_UTF8);
    bool good = sqlite3_step(w->put) == SQLITE_DONE;
    sqlite3_reset(w->put);
    sqlite3_bind_int(w->read, 1, which);
    good = good && sqlite3_step(w->read) == SQLITE_ROW;
    if (good) {
        s->company = column_dup(w->read, 0);
        s->pk = column_dup(w->read, 1);
    }
    sqlite3_reset(w->read);
    return good ? 0 : -HG_E_SYS;
}

static void side_fini(struct side *s)
{
    free(s->company);
    free(s->pk);
}

static int give(struct hg_match *m, struct query *q, int64_t lsn, const char *kind,
                const struct side *s, bool with_row)
{
    struct hg_buf diff = {0};
    hg_buf_addf(&diff, "{\"lsn\":\"%lld\",\"kind\":\"%s\",\"pk\":", (long long)lsn, kind);
    hg_buf_adds(&diff, s->pk);
    if (with_row && s->row.n > ROW_MAX) {
        hg_buf_adds(&diff, ",\"needFetch\":true");
    } else if (with_row) {
        hg_buf_adds(&diff, ",\"row\":");
        hg_buf_add_slice(&diff, s->row);
    }
    hg_buf_addc(&diff, '}');
    int rc = m->fn(m->arg, &q->pub, lsn, hg_buf_slice(&diff));
    if (rc >= 0)
        q->pub.last_lsn = lsn;
    hg_buf_fini(&diff);
    return rc < 0 ? rc : 0;
}

/* A pattern that runs away on this row is its query's trouble, not that of the others. */
static int give_up(struct hg_match *m, struct query *q)
{
    if ((sqlite3_errcode(m->db) & 0xff) != SQLITE_TOOBIG)
        return -HG_E_SYS;
    hg_cli_log("query %.*s gets no more diffs: %s", HG_SLICE_ARG(q->pub.key),
               sqlite3_errmsg(m->db));
    q->broken = true;
    return 0;
}

/* Bit OLD_SIDE and bit NEW_SIDE, or negative. */
static int sides_that_match(struct hg_match *m, struct query *q)
{
    int sides = 0, step;
    while ((step = sqlite3_step(q->sides)) == SQLITE_ROW)
        sides |= sqlite3_column_int(q->sides, 0);
    if (step != SQLITE_DONE)
        sides = give_up(m, q);
    sqlite3_reset(q->sides);
    return sides;
}

static int tell_query(struct hg_match *m, struct query *q, int64_t lsn, const struct side *old,
                      const struct side *new)
{
    struct hg_buf why = {0};
    if (!q->sides && !q->broken && compile(m, q, &why) < 0)
        hg_buf_fini(&why); /* said when the query came; the table lost a column since */
    if (q->broken)
        return 0;
    int sides = sides_that_match(m, q);
    if (sides < 0)
        return sides;
    bool moved = sides == (OLD_SIDE | NEW_SIDE) && strcmp(old->pk, new->pk) != 0;
    int rc = 0;
    if (sides == OLD_SIDE || moved)
        rc = give(m, q, lsn, "removed", old, false);
    if (rc == 0 && (sides & NEW_SIDE))
        rc = give(m, q, lsn, sides == NEW_SIDE || moved ? "added" : "modified", new, true);
    return rc;
}

static int tell_feed(struct hg_match *m, const char *company, const struct hg_change *c,
                     const struct side *old, const struct side *new)
{
    struct hg_buf name = {0};
    struct query *q;
    int rc = 0;
    hg_buf_addf(&name, "%s_", company);
    hg_buf_add_slice(&name, c->table);
    struct hg_map_node *n = hg_map_get(&m->feeds, hg_buf_slice(&name));
    struct feed *f = n ? HG_CONTAINER_OF(n, struct feed, node) : NULL;
    hg_buf_fini(&name);
    /* Company "a" with table "b_c" and company "a_b" with table "c" share a name; the feed is the
     * first of them. */
    if (!f || !hg_slice_eq(feed_table(f), c->table))
        return 0;
    for (q = LIST_FIRST(&f->queries); q && rc == 0; q = LIST_NEXT(q, of_feed))
        rc = tell_query(m, q, c->lsn, old, new);
    return rc;
}

static int tell(struct hg_match *m, struct hg_match_query *only, const struct hg_change *c,
                const struct side *old, const struct side *new)
{
    if (only)
        return tell_query(m, HG_CONTAINER_OF(only, struct query, pub), c->lsn, old, new);
    int rc = old->there ? tell_feed(m, old->company, c, old, new) : 0;
    if (rc == 0 && new->there && !(old->there && !strcmp(old->company, new->company)))
        rc = tell_feed(m, new->company, c, old, new);
    return rc;
}

static bool is_about(const struct hg_match_query *only, struct hg_slice table)
{
    const struct query *q = HG_CONTAINER_OF(only, struct query, pub);
    return hg_slice_eq(feed_table(q->feed), table);
}

int hg_match_change(struct hg_match *m, struct hg_match_query *only, const struct hg_change *c,
                    struct hg_buf *why)
{
    if (m->queries.count == 0 || (only && !is_about(only, c->table)))
        return 0;
    struct hg_buf gone = {0};
    struct twin *w = twin_of(m, c->table, &gone);
    hg_buf_fini(&gone);
    if (!w)
        return 0; /* the table was dropped since */
    struct side old = {0}, new = {0};
    int rc = load_side(w, OLD_SIDE, c->old_row, &old);
    if (rc == 0)
        rc = load_side(w, NEW_SIDE, c->new_row, &new);
    if (rc == 0)
        rc = tell(m, only, c, &old, &new);
    if (rc == -HG_E_SYS)
        sqlite_failed(m, why);
    side_fini(&old);
    side_fini(&new);
    return rc;
}
