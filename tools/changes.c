/*
 * headgate-changes: the change source for trying out and for tests. It knows from
 * server.query.control which queries live, follows the change log that SQLite's triggers write
 * (store.h), and produces one record on server.page.diffs for every live query and change whose old
 * or new row the query's filter matches (match.h).
 *
 * Record: key = routing key; header lsn = 8 bytes big-endian; value =
 * {"lsn":"7","kind":"added|modified|removed", "pk":"3","row":{...}} (no row when removed;
 * "needFetch":true instead of one that is too large for a broker).
 *
 * 1. Per key the LSNs rise: changes are taken in order of the log, one request to the broker is in
 *    flight, and nothing is given up (no message timeout).
 * 2. Nothing is lost: the position in hg_position moves only when the broker has everything up to
 *    it. A crash repeats what was after it.
 * 3. A query may become known after changes that its snapshot does not hold. So a new one first
 *    gets the recent changes, from a little before its control record was written; the gateway
 *    drops what is in the snapshot.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/err.h"
#include "tools/cli.h"
#include "tools/kafka.h"
#include "tools/match.h"
#include "tools/store.h"

enum { BATCH = 500, KEEP_CHANGES = 100000, PRUNE_EVERY = 10000, LOOK_EVERY_MS = 5000 };

struct source {
    sqlite3 *db;
    struct hg_match *match;
    rd_kafka_t *in, *out;
    const char *control, *diffs;
    int poll_ms;
    int64_t margin_ms;
    int partitions;  /* of the control topic, assigned */
    int to_catch_up; /* partitions whose end was not reached yet since the start */
    int64_t lsn;     /* everything up to here is with the broker */
    int64_t
        *known; /* per control partition: queries below this offset were told before this start */
    int64_t *next; /* per control partition: the next record's offset */
    int64_t data_version, schema_version;
    int64_t next_look_ms, pruned_at;
    double churn; /* edits per second of the demo table */
    int64_t churned_ms;
    uint64_t produced, changes;
};

static int64_t clock_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void must(int rc, struct hg_buf *why)
{
    if (rc < 0)
        hg_cli_die("%.*s", HG_SLICE_ARG(hg_buf_slice(why)));
    hg_buf_reset(why);
}

/* ---- to Kafka ---- */

static void put_be64(unsigned char out[8], uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        out[i] = (unsigned char)v;
}

static rd_kafka_resp_err_t produce(struct source *s, struct hg_slice key, int64_t lsn,
                                   struct hg_slice diff)
{
    unsigned char be[8];
    put_be64(be, (uint64_t)lsn);
    return rd_kafka_producev(s->out, RD_KAFKA_V_TOPIC(s->diffs), RD_KAFKA_V_KEY(key.p, key.n),
                             RD_KAFKA_V_VALUE((void *)(uintptr_t)diff.p, diff.n),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_HEADER("lsn", be, sizeof be), RD_KAFKA_V_END);
}

static int on_diff(void *arg, struct hg_match_query *q, int64_t lsn, struct hg_slice diff)
{
    struct source *s = arg;
    rd_kafka_resp_err_t err;
    while ((err = produce(s, q->key, lsn, diff)) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        if (hg_cli_stopped())
            return -HG_E_AGAIN; /* not handed over: the position stays before it */
        rd_kafka_poll(s->out, 50);
    }
    if (err)
        hg_cli_die("%s: %s", s->diffs, rd_kafka_err2str(err));
    s->produced++;
    return 0;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)opaque;
    if (m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        hg_cli_log("a diff of %.*s is larger than the broker takes; it is lost", (int)m->key_len,
                   (const char *)m->key);
        return;
    }
    if (m->err && m->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
        m->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        hg_cli_die("%s: a record was refused: %s", rd_kafka_topic_name(m->rkt),
                   rd_kafka_err2str(m->err));
}

/* Waits until the broker has all; false when told to stop before. */
static bool all_delivered(struct source *s)
{
    while (rd_kafka_outq_len(s->out) > 0) {
        if (hg_cli_stopped())
            return false;
        rd_kafka_poll(s->out, 50);
    }
    return true;
}

/* ---- the change log ---- */

static int64_t pragma(struct source *s, const char *sql)
{
    sqlite3_stmt *st;
    int64_t v = -1;
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static struct hg_slice column(sqlite3_stmt *st, int i)
{
    const char *p = (const char *)sqlite3_column_text(st, i);
    return p ? hg_slice_of(p, (size_t)sqlite3_column_bytes(st, i)) : HG_SLICE_NONE;
}

/* Hands the changes of a statement (lsn, tbl, old, new) to one query or to all; *last is the last
   one's lsn. Returns how many, or -HG_E_AGAIN. */
static int walk(struct source *s, sqlite3_stmt *st, struct hg_match_query *only, int64_t *last)
{
    struct hg_buf why = {0};
    int n = 0, rc = 0, step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct hg_change c = {.lsn = sqlite3_column_int64(st, 0),
                              .table = column(st, 1),
                              .old_row = column(st, 2),
                              .new_row = column(st, 3)};
        rc = hg_match_change(s->match, only, &c, &why);
        if (rc == 0) {
            *last = c.lsn;
            n++;
        }
    }
    if (rc == 0 && step != SQLITE_DONE)
        hg_cli_die("change log: %s", sqlite3_errmsg(s->db));
    if (rc < 0 && rc != -HG_E_AGAIN)
        must(rc, &why);
    hg_buf_fini(&why);
    return rc < 0 ? rc : n;
}

static sqlite3_stmt *prepare(struct source *s, const char *sql, int64_t a, int64_t b)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
        hg_cli_die("change log: %s", sqlite3_errmsg(s->db));
    sqlite3_bind_int64(st, 1, a);
    if (sqlite3_bind_parameter_count(st) > 1)
        sqlite3_bind_int64(st, 2, b);
    return st;
}

static void store_one(struct source *s, const char *name, int64_t lsn)
{
    sqlite3_stmt *st =
        prepare(s,
                "INSERT INTO hg_position(lsn, at, name) VALUES (?1, ?2, ?3) "
                "ON CONFLICT(name) DO UPDATE SET lsn = excluded.lsn, at = excluded.at",
                lsn, clock_ms(CLOCK_REALTIME));
    sqlite3_bind_text(st, 3, name, -1, SQLITE_STATIC);
    if (sqlite3_step(st) != SQLITE_DONE)
        hg_cli_die("position: %s", sqlite3_errmsg(s->db));
    sqlite3_finalize(st);
}

/* Only with nothing on its way to the broker: where the log and where the control topic were read
 * to, as one. */
static void store_position(struct source *s)
{
    struct hg_buf why = {0};
    char name[32];
    must(hg_store_exec(s->db, "BEGIN IMMEDIATE", &why), &why);
    store_one(s, "changes", s->lsn);
    for (int i = 0; i < s->partitions; i++) {
        snprintf(name, sizeof name, "control-%d", i);
        store_one(s, name, s->next[i]);
    }
    must(hg_store_exec(s->db, "COMMIT", &why), &why);
    hg_buf_fini(&why);
}

static bool load_one(struct source *s, const char *name, int64_t *lsn)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(s->db, "SELECT lsn FROM hg_position WHERE name = ?1", -1, &st, NULL) !=
        SQLITE_OK)
        hg_cli_die("position: %s", sqlite3_errmsg(s->db));
    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    bool there = sqlite3_step(st) == SQLITE_ROW;
    if (there)
        *lsn = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return there;
}

/* Without a stored position the log begins now: nobody was told of what is older. */
static void load_position(struct source *s)
{
    if (load_one(s, "changes", &s->lsn))
        return;
    s->lsn = hg_store_lsn(s->db);
    if (s->lsn < 0)
        hg_cli_die("position: %s", sqlite3_errmsg(s->db));
    store_position(s);
}

static void prune(struct source *s)
{
    if (s->lsn - s->pruned_at < PRUNE_EVERY)
        return;
    s->pruned_at = s->lsn;
    sqlite3_stmt *st =
        prepare(s, "DELETE FROM hg_changes WHERE lsn <= ?1", s->lsn - KEEP_CHANGES, 0);
    if (sqlite3_step(st) != SQLITE_DONE)
        hg_cli_log("pruning the change log: %s", sqlite3_errmsg(s->db)); /* busy: next time */
    sqlite3_finalize(st);
}

static const char after_sql[] =
    "SELECT lsn, tbl, old, new FROM hg_changes WHERE lsn > ?1 ORDER BY lsn LIMIT ?2";
static const char recent_sql[] =
    "SELECT lsn, tbl, old, new FROM hg_changes WHERE lsn <= ?1 AND at >= ?2 ORDER BY lsn";

/* One batch; true when there may be more. */
static bool tail(struct source *s)
{
    int64_t last = s->lsn;
    sqlite3_stmt *st = prepare(s, after_sql, s->lsn, BATCH);
    int n = walk(s, st, NULL, &last);
    sqlite3_finalize(st); /* before the position is written: a reader that became a writer can find
                             itself busy */
    if (n <= 0 || !all_delivered(s))
        return false;
    s->lsn = last;
    s->changes += (uint64_t)n;
    store_position(s);
    prune(s);
    return n == BATCH;
}

/* Reads the schema anew when it changed, also to watch tables that were made since. */
static void look_at_schema(struct source *s)
{
    struct hg_buf why = {0};
    int64_t v = pragma(s, "PRAGMA schema_version");
    if (v == s->schema_version)
        return;
    must(hg_store_prepare(s->db, &why), &why);
    hg_match_schema_changed(s->match);
    s->schema_version = pragma(s, "PRAGMA schema_version");
    hg_buf_fini(&why);
}

static void follow(struct source *s)
{
    int64_t v = pragma(s, "PRAGMA data_version");
    if (v == s->data_version)
        return;
    s->data_version = v;
    look_at_schema(s);
    while (!hg_cli_stopped() && tail(s)) {
    }
}

/* ---- queries ---- */

/* Point 3 of the head comment. */
static void tell_recent(struct source *s, struct hg_match_query *q, int64_t written_ms)
{
    int64_t last = 0;
    sqlite3_stmt *st = prepare(s, recent_sql, s->lsn, written_ms - s->margin_ms);
    walk(s, st, q, &last);
    sqlite3_finalize(st);
}

static void on_query(struct source *s, const rd_kafka_message_t *m)
{
    struct hg_slice key = hg_slice_of(m->key, m->key_len);
    struct hg_match_query *q;
    struct hg_buf why = {0};
    if (!m->payload) {
        hg_match_drop(s->match, key);
        return;
    }
    int rc = hg_match_put(s->match, key, hg_slice_of(m->payload, m->len), &q, &why);
    if (rc < 0)
        hg_cli_log("no diffs for %.*s: %.*s", (int)HG_MIN(key.n, 128u), key.p ? key.p : "",
                   HG_SLICE_ARG(hg_buf_slice(&why)));
    rd_kafka_timestamp_type_t type;
    int64_t at = rd_kafka_message_timestamp(m, &type);
    if (rc > 0 && m->offset >= s->known[m->partition])
        tell_recent(s, q, type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? clock_ms(CLOCK_REALTIME) : at);
    hg_buf_fini(&why);
}

/* Returns whether there was something. */
static bool poll_control(struct source *s, int timeout_ms)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(s->in, timeout_ms);
    if (!m)
        return false;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (s->to_catch_up > 0 && --s->to_catch_up == 0)
            hg_cli_log("%zu live queries known", hg_match_count(s->match));
    } else if (m->err) {
        hg_cli_log("%s: %s", s->control, rd_kafka_message_errstr(m));
    } else {
        on_query(s, m);
        if (!hg_cli_stopped()) /* else it may have been told a part only: the next start does it
                                  again */
            s->next[m->partition] = m->offset + 1;
    }
    rd_kafka_message_destroy(m);
    return true;
}

/* A topic that ends below the stored offset is not the one we knew (a throw-away broker starts
 * empty). */
static int64_t known_before(struct source *s, int partition)
{
    int64_t offset = 0, low, high;
    char name[32];
    snprintf(name, sizeof name, "control-%d", partition);
    if (!load_one(s, name, &offset))
        return 0;
    rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(s->out, s->control, partition, &low, &high, 10000);
    return err || high < offset ? 0 : offset;
}

/* New partitions are read from their beginning; those we have go on where they are. */
static void assign(struct source *s, int n)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(n);
    s->known = hg_realloc(s->known, (size_t)n * sizeof(*s->known));
    s->next = hg_realloc(s->next, (size_t)n * sizeof(*s->next));
    for (int i = s->partitions; i < n; i++) {
        s->known[i] = s->next[i] = known_before(s, i);
        rd_kafka_topic_partition_list_add(l, s->control, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_error_t *e = rd_kafka_incremental_assign(s->in, l);
    if (e)
        hg_cli_die("assign %s: %s", s->control, rd_kafka_error_string(e));
    rd_kafka_topic_partition_list_destroy(l);
    s->to_catch_up += n - s->partitions;
    s->partitions = n;
}

static void look_for_partitions(struct source *s)
{
    int64_t now = clock_ms(CLOCK_MONOTONIC);
    if (now < s->next_look_ms)
        return;
    s->next_look_ms = now + LOOK_EVERY_MS;
    int n = hg_tk_partitions(s->out, s->control, 200);
    if (n > s->partitions)
        assign(s, n);
}

/* ---- the demo's own edits ---- */

static const char churn_sql[] =
    "UPDATE tasks SET done = CASE abs(random()) % 3 WHEN 0 THEN 1 - done ELSE done END,"
    " priority = 1 + abs(random()) % 5, updated_at = ?1"
    " WHERE id = (SELECT id FROM tasks ORDER BY random() LIMIT 1)";

static void churn(struct source *s)
{
    int64_t now = clock_ms(CLOCK_MONOTONIC);
    if (s->churn <= 0 || now - s->churned_ms < (int64_t)(1000 / s->churn))
        return;
    s->churned_ms = now;
    sqlite3_stmt *st = prepare(s, churn_sql, clock_ms(CLOCK_REALTIME) * 1000, 0);
    if (sqlite3_step(st) != SQLITE_DONE)
        hg_cli_log("churn: %s", sqlite3_errmsg(s->db));
    sqlite3_finalize(st);
    s->data_version = -1; /* data_version tells of other connections only */
}

/* ---- life ---- */

static void run(struct source *s)
{
    while (!hg_cli_stopped() && s->to_catch_up > 0)
        poll_control(s, 100);
    while (!hg_cli_stopped()) {
        if (poll_control(s, s->poll_ms))
            for (int i = 0; i < 1000 && poll_control(s, 0); i++) {
            }
        churn(s);
        follow(s);
        rd_kafka_poll(s->out, 0);
        look_for_partitions(s);
    }
}

static void open_kafka(struct source *s, const char *brokers)
{
    const char *const in[][2] = {{"client.id", "headgate-changes"},
                                 {"group.id", "headgate-changes"}, /* wanted, never joined */
                                 {"enable.auto.commit", "false"},
                                 {"auto.offset.reset", "earliest"},
                                 {"enable.partition.eof", "true"},
                                 {"fetch.wait.max.ms", "10"},
                                 {"allow.auto.create.topics", "true"},
                                 {NULL, NULL}};
    const char *const out[][2] = {{"client.id", "headgate-changes"},
                                  {"linger.ms", "0"},
                                  {"acks", "all"},
                                  {"max.in.flight.requests.per.connection", "1"},
                                  {"message.timeout.ms", "0"},
                                  {"retry.backoff.ms", "50"},
                                  {NULL, NULL}};
    rd_kafka_conf_t *conf = hg_tk_conf(brokers, out);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    s->out = hg_tk_new(RD_KAFKA_PRODUCER, conf);
    s->in = hg_tk_new(RD_KAFKA_CONSUMER, hg_tk_conf(brokers, in));
}

static void close_kafka(struct source *s)
{
    /* A clean stop remembers which queries were told; after any other a few diffs are repeated. */
    if (s->partitions && s->to_catch_up == 0 &&
        rd_kafka_flush(s->out, 2000) == RD_KAFKA_RESP_ERR_NO_ERROR)
        store_position(s);
    rd_kafka_consumer_close(s->in);
    rd_kafka_destroy(s->in);
    rd_kafka_purge(s->out, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(s->out, 100);
    rd_kafka_destroy(s->out);
}

static void open_database(struct source *s, const char *path)
{
    struct hg_buf why = {0};
    must(hg_store_open(path, &s->db, &why), &why);
    must(hg_store_exec(s->db, "PRAGMA temp_store=MEMORY", &why), &why);
    must(hg_store_prepare(s->db, &why), &why);
    s->schema_version = pragma(s, "PRAGMA schema_version");
    load_position(s);
    s->pruned_at = s->lsn;
    s->match = hg_match_new(s->db, on_diff, s);
    hg_buf_fini(&why);
}

int main(int argc, char **argv)
{
    struct source s = {
        .control = "server.query.control", .diffs = "server.page.diffs", .data_version = -1};
    const char *brokers = "localhost:9092", *path = NULL, *poll = "5", *margin = "2000",
               *rate = "0";
    const struct hg_cli_opt opts[] = {
        {"brokers", "LIST", "Kafka brokers, host:port,...", &brokers, NULL},
        {"db", "FILE", "SQLite database; made when missing", &path, NULL},
        {"control-topic", "NAME", "topic that says which queries live", &s.control, NULL},
        {"diffs-topic", "NAME", "topic the diffs go to", &s.diffs, NULL},
        {"poll", "MS", "look for changes this often", &poll, NULL},
        {"margin", "MS", "a new query gets the changes since so long before it came", &margin,
         NULL},
        {"churn", "RATE", "edit that many rows of the demo table per second", &rate, NULL},
    };
    hg_cli_parse(
        argc, argv,
        "Turns changes of an SQLite database into diffs of headgate's live queries (Kafka).", opts,
        HG_COUNTOF(opts));
    if (!path)
        hg_cli_die("--db FILE is needed");
    s.poll_ms = (int)hg_cli_int("--poll", poll, 1, 10000);
    s.margin_ms = hg_cli_int("--margin", margin, 0, 3600000);
    s.churn = hg_cli_double("--churn", rate, 0, 1000);
    hg_cli_catch_signals();
    open_database(&s, path);
    open_kafka(&s, brokers);
    int n = hg_tk_topic(s.out, s.control);
    if (n > 0 && hg_tk_topic(s.out, s.diffs) > 0) {
        assign(&s, n);
        hg_cli_log("following %s from position %lld", path, (long long)s.lsn);
        run(&s);
    }
    close_kafka(&s);
    hg_match_free(s.match);
    sqlite3_close(s.db);
    free(s.known);
    free(s.next);
    hg_cli_log("stopped at position %lld: %llu changes, %llu diffs", (long long)s.lsn,
               (unsigned long long)s.changes, (unsigned long long)s.produced);
    return 0;
}
