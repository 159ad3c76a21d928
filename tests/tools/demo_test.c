/*
 * headgate-sqlworker and headgate-changes as processes, on librdkafka's mock cluster: calls are
 * answered with a position, an edit becomes one diff for each live query it touches, in order, also
 * across a restart of the change source.
 */
#include "tests/support/hgtest.h"
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sys/prctl.h>
#include <time.h>
#include "tests/tools/support.h"

enum { DEADLINE_S = 60 };

static rd_kafka_t *mock_owner, *out, *replies, *diffs;
static rd_kafka_mock_cluster_t *mock;
static char db_path[64], brokers[128];
static pid_t worker, source;

static const struct hg_sq_query tasks = {
    .company = {"demo", 4}, .table = {"tasks", 5}, .strict_after = true};

/* ---- processes ---- */

static pid_t start(const char *program, const char *more)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test must not leave them behind */
        execl(program, program, "--brokers", brokers, "--db", db_path, more, NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

/* Ends it by TERM and wants exit code 0. */
static void stop(pid_t *pid)
{
    int status;
    if (*pid <= 0)
        return;
    kill(*pid, SIGTERM);
    assert_int_equal(waitpid(*pid, &status, 0), *pid);
    *pid = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- the other side of Kafka ---- */

static rd_kafka_t *client(rd_kafka_type_t type)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "3", why, sizeof why);
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    rd_kafka_conf_set(conf, "group.id", "test", why, sizeof why);
    rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", why, sizeof why);
    rd_kafka_conf_set(conf, "linger.ms", "0", why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    assert_non_null(rk);
    return rk;
}

static void send_record(const char *topic, const char *key, const struct hg_buf *value)
{
    rd_kafka_resp_err_t err =
        rd_kafka_producev(out, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, strlen(key)),
                          RD_KAFKA_V_VALUE(value ? value->p : NULL, value ? value->n : 0),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    assert_int_equal(err, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(out, 10000), RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* A reader of its own for each topic: nothing orders one topic against another. */
static rd_kafka_t *reader_of(const char *topic)
{
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER);
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(l, topic, 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    assert_int_equal(rd_kafka_assign(rk, l), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(l);
    return rk;
}

static rd_kafka_message_t *next_record(rd_kafka_t *rk, const char *what)
{
    time_t until = time(NULL) + DEADLINE_S;
    while (time(NULL) < until) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);
        if (m && !m->err)
            return m;
        if (m)
            rd_kafka_message_destroy(m);
    }
    fail_msg("no %s within %d s", what, DEADLINE_S);
    return NULL;
}

static void call(unsigned method, const struct hg_sq_query *q, const char *pk, const char *json,
                 struct hgt_reply *r, char lsn[32])
{
    static int calls;
    char corr[32];
    struct hg_buf b = {0};
    const void *v;
    size_t n;
    snprintf(corr, sizeof corr, "c-%d", ++calls);
    hgt_request(&b, corr, "replies", method, q, "id", pk, json);
    send_record("sql.rpc.requests", corr, &b);
    hg_buf_fini(&b);
    rd_kafka_message_t *m = next_record(replies, "reply");
    rd_kafka_headers_t *h;
    hgt_reply_read(hg_slice_of(m->payload, m->len), r);
    assert_true(r->good);
    assert_string_equal(r->corr, corr);
    assert_true(m->key_len == strlen(corr) && !memcmp(m->key, corr, m->key_len));
    lsn[0] = 0;
    if (rd_kafka_message_headers(m, &h) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        rd_kafka_header_get_last(h, "snapshot-lsn", &v, &n) == RD_KAFKA_RESP_ERR_NO_ERROR)
        snprintf(lsn, 32, "%.*s", (int)n, (const char *)v);
    rd_kafka_message_destroy(m);
}

/* The next diff must be this one. */
static void want_diff(const char *key, uint64_t lsn, const char *part)
{
    rd_kafka_message_t *m = next_record(diffs, "diff");
    rd_kafka_headers_t *h;
    const void *v;
    size_t n;
    char text[1024];
    snprintf(text, sizeof text, "%.*s", (int)m->len, (const char *)m->payload);
    if (m->key_len != strlen(key) || memcmp(m->key, key, m->key_len) || !strstr(text, part))
        fail_msg("want %s ...%s..., got %.*s %s", key, part, (int)m->key_len, (const char *)m->key,
                 text);
    assert_int_equal(rd_kafka_message_headers(m, &h), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_header_get_last(h, "lsn", &v, &n), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(n, 8);
    uint64_t got = 0;
    for (size_t i = 0; i < n; i++)
        got = got << 8 | ((const unsigned char *)v)[i];
    assert_int_equal(got, lsn);
    rd_kafka_message_destroy(m);
}

static void edit(const char *pk, const char *json)
{
    struct hgt_reply r;
    char lsn[32];
    call(3, &tasks, pk, json, &r, lsn);
    if (!r.ok || !r.value)
        fail_msg("edit of %s: ok %d, %s", pk, r.ok, r.message);
}

/* ---- set-up ---- */

static int setup(void **state)
{
    static const char *const topics[] = {"replies", "server.page.diffs"};
    char why[256];
    (void)state;
    mock_owner = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof why);
    mock = rd_kafka_mock_cluster_new(mock_owner, 1);
    snprintf(brokers, sizeof brokers, "%s", rd_kafka_mock_cluster_bootstraps(mock));
    for (size_t i = 0; i < HG_COUNTOF(topics); i++)
        rd_kafka_mock_topic_create(mock, topics[i], 1, 1);
    snprintf(db_path, sizeof db_path, "/tmp/hg-demo-%d.db", (int)getpid());
    out = client(RD_KAFKA_PRODUCER);
    replies = reader_of(topics[0]);
    diffs = reader_of(topics[1]);
    worker = start(HG_SQLWORKER, "--seed");
    source = start(HG_CHANGES, "--poll=2");
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    (void)state;
    stop(&worker);
    stop(&source);
    rd_kafka_destroy(replies);
    rd_kafka_destroy(diffs);
    rd_kafka_destroy(out);
    rd_kafka_mock_cluster_destroy(mock);
    rd_kafka_destroy(mock_owner);
    for (size_t i = 0; i < HG_COUNTOF(suffixes); i++) {
        char path[80];
        snprintf(path, sizeof path, "%s%s", db_path, suffixes[i]);
        unlink(path);
    }
    return 0;
}

/* ---- tests, in this order ---- */

static void calls_are_answered(void **state)
{
    struct hgt_reply r;
    struct hg_sq_query q = tasks;
    char lsn[32];
    (void)state;
    q.limit = 3;
    call(0, &q, "", "", &r, lsn);
    assert_true(r.ok && r.kind == 1);
    assert_int_equal(r.nrows, 3);
    assert_string_equal(lsn, "0");
    q.table = HG_SLICE_LIT("nope");
    call(0, &q, "", "", &r, lsn);
    assert_false(r.ok);
    assert_int_equal(r.error, 1);
    assert_string_equal(r.message, "table nope: no such table");
    assert_string_equal(lsn, "");
    call(5, &tasks, "", "", &r, lsn);
    assert_string_equal(r.message, "a definition without columns");
    call(6, &tasks, "", "", &r, lsn);
    assert_true(r.ok && r.kind == 3 && r.value);
}

static void edits_become_diffs(void **state)
{
    struct hg_sq_filter open = {
        .field = HG_SLICE_LIT("done"),
        .value = {false, (const struct hg_sq_scalar[]){{.type = HG_SQ_INT}}, 1}};
    struct hg_sq_filter root = {.wrapper = true, .all = true, .kids = &open, .nkids = 1};
    struct hg_sq_query q = {.filter = &root, .limit = 50};
    struct hgt_reply r;
    struct hg_buf b = {0};
    char lsn[32];
    (void)state;
    hgt_filter(&b, &q);
    send_record("server.query.control", "demo_tasks|open", &b);
    edit("2", "{\"title\":\"New title\"}"); /* 1 */
    want_diff("demo_tasks|open", 1, "\"kind\":\"modified\",\"pk\":\"2\",\"row\":{\"id\":2,");
    edit("2", "{\"done\":true}"); /* 2 */
    want_diff("demo_tasks|open", 2, "\"kind\":\"removed\",\"pk\":\"2\"}");
    edit("2", "{\"title\":\"Unseen\"}"); /* 3: not of this query */
    edit("2", "{\"done\":false}");       /* 4 */
    want_diff("demo_tasks|open", 4,
              "\"kind\":\"added\",\"pk\":\"2\",\"row\":{\"id\":2,\"company_id\":\"demo\",\"title\":"
              "\"Unseen\",\"done\":false");
    call(0, &tasks, "", "", &r, lsn);
    assert_string_equal(lsn, "4");
    hg_buf_fini(&b);
}

/* What happens while the change source is away comes when it is back, once, and a new query gets
 * what is recent. */
static void a_restart_loses_nothing(void **state)
{
    struct hg_sq_query all = {.limit = 50};
    struct hg_buf b = {0};
    (void)state;
    stop(&source);
    edit("3", "{\"priority\":5}"); /* 5 */
    edit("4", "{\"priority\":5}"); /* 6 */
    source = start(HG_CHANGES, "--margin=60000");
    want_diff("demo_tasks|open", 5, "\"pk\":\"3\"");
    want_diff("demo_tasks|open", 6, "\"pk\":\"4\"");
    hgt_filter(&b, &all);
    send_record("server.query.control", "demo_tasks|all", &b);
    for (uint64_t lsn = 1; lsn <= 6; lsn++) /* every change is younger than the margin */
        want_diff("demo_tasks|all", lsn, "\"kind\":\"modified\"");
    send_record("server.query.control", "demo_tasks|open", NULL); /* its end */
    send_record("server.query.control", "demo_tasks|all", &b);    /* known: nothing is repeated */
    edit("5", "{\"priority\":4}"); /* 7: seen by a query that is gone or not; the order of topics is
                                      not ours */
    rd_kafka_message_t *m = next_record(diffs, "diff");
    bool gone = m->key_len == strlen("demo_tasks|all");
    rd_kafka_message_destroy(m);
    assert_true(gone);
    hg_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_answered),
        cmocka_unit_test(edits_become_diffs),
        cmocka_unit_test(a_restart_loses_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
