/*
 * headgate-sqlworker: answers the SQL calls of the gateway from an SQLite file, or with --mock
 * always the same.
 *
 * One loop: a request from Kafka -> hg_fbw_read_request -> hg_call_run -> a reply to the topic the
 * request names. Its offset is committed after the reply was handed to librdkafka, so a crash
 * repeats calls rather than losing them. Several workers may share a group. Requests older than
 * --max-age are dropped: nobody waits for them any more, and producing to the reply topic of a
 * gateway that is gone would only make it anew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/err.h"
#include "tools/calls.h"
#include "tools/cli.h"
#include "tools/kafka.h"
#include "tools/store.h"

enum { STALE_PAUSE_MS = 10000 };

struct worker {
    sqlite3 *db;
    rd_kafka_t *in, *out;
    bool solo, mock;
    struct hg_call_limits limits;
    int64_t max_age_ms, stale_said_ms;
    uint64_t answered, refused, dropped;
};

/* What a delivery report needs to say "that reply was too large" to the one who waits for it. */
struct sent {
    char *topic;
    struct hg_slice corr;
    bool last_word; /* an error reply: no further one */
    char mem[];
};

static int64_t wall_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static struct sent *sent_new(struct hg_slice topic, struct hg_slice corr, bool last_word)
{
    struct sent *s = hg_malloc(sizeof(*s) + topic.n + 1 + corr.n + 1);
    memcpy(s->mem, topic.p, topic.n);
    s->mem[topic.n] = 0;
    s->topic = s->mem;
    s->corr = hg_slice_of(s->mem + topic.n + 1, corr.n);
    if (corr.n)
        memcpy(s->mem + topic.n + 1, corr.p, corr.n);
    s->last_word = last_word;
    return s;
}

static rd_kafka_resp_err_t produce(rd_kafka_t *rk, struct sent *s, const struct hg_buf *value,
                                   const struct hg_call_answer *ans)
{
    char lsn[24];
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    if (ans->has_lsn) {
        snprintf(lsn, sizeof lsn, "%lld", (long long)ans->lsn);
        rd_kafka_header_add(headers, "snapshot-lsn", -1, lsn, -1);
    }
    rd_kafka_resp_err_t err = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(s->topic), RD_KAFKA_V_KEY(s->corr.p, s->corr.n),
        RD_KAFKA_V_VALUE(value->p, value->n), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(s), RD_KAFKA_V_END);
    if (err)
        rd_kafka_headers_destroy(headers);
    return err;
}

static void send_answer(rd_kafka_t *rk, struct hg_slice topic, const struct hg_call_answer *ans);

static void send_too_large(rd_kafka_t *rk, const struct sent *s)
{
    static const char text[] = "the answer is larger than the broker takes; ask for fewer rows";
    struct hg_call_answer ans = {.reply = {.correlation_id = s->corr,
                                           .error = HG_FBW_BAD_REQUEST,
                                           .message = HG_SLICE_LIT(text)}};
    send_answer(rk, hg_slice_str(s->topic), &ans);
}

static void send_answer(rd_kafka_t *rk, struct hg_slice topic, const struct hg_call_answer *ans)
{
    struct hg_buf value = {0};
    struct sent *s = sent_new(topic, ans->reply.correlation_id, ans->reply.error != 0);
    hg_fbw_encode(&ans->reply, &value);
    rd_kafka_resp_err_t err = produce(rk, s, &value, ans);
    if (err) {
        hg_cli_log("reply to %s: %s", s->topic, rd_kafka_err2str(err));
        if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && !s->last_word)
            send_too_large(rk, s);
        free(s);
    }
    hg_buf_fini(&value);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct sent *s = m->_private;
    (void)opaque;
    if (m->err && m->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE) {
        hg_cli_log("reply to %s: %s", s->topic, rd_kafka_err2str(m->err));
        if (m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && !s->last_word)
            send_too_large(rk, s);
    }
    free(s);
}

/* A line now and then: after a long rest there are many, and where clocks differ it is all. */
static bool is_stale(struct worker *w, const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t now_ms = wall_us() / 1000, age_ms = now_ms - rd_kafka_message_timestamp(m, &type);
    if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || age_ms <= w->max_age_ms)
        return false;
    w->dropped++;
    if (now_ms - w->stale_said_ms < STALE_PAUSE_MS)
        return true;
    w->stale_said_ms = now_ms;
    hg_cli_log("dropped a request of %lld s ago (--max-age), if the clocks agree; %llu so far",
               (long long)(age_ms / 1000), (unsigned long long)w->dropped);
    return true;
}

/* The mock of the systems before (spec 13.4): one row, whatever was asked. */
static void mock_run(const struct hg_fbw_request *rq, struct hg_call_answer *ans)
{
    static const struct hg_slice row = {"{\"mock\":true}", 13};

    *ans = (struct hg_call_answer){
        .reply = {
            .correlation_id = rq->correlation_id, .data = HG_FBW_ROWS, .rows = &row, .nrows = 1}};
    hg_cli_log("method %u, correlation id %.*s, to %.*s", rq->method,
               HG_SLICE_ARG(rq->correlation_id), HG_SLICE_ARG(rq->reply_topic));
}

static const char *unusable(const struct worker *w, struct hg_fbw_request *rq, int rc,
                            const char *why)
{
    if (rc == -HG_E_FB_INVALID)
        return why;
    if (!rq->reply_topic.n && w->mock)
        rq->reply_topic = HG_SLICE_LIT("sql.rpc.responses");
    return rq->reply_topic.n && rq->reply_topic.n <= 249 ? NULL : "no usable reply topic";
}

static void handle(struct worker *w, const rd_kafka_message_t *m)
{
    struct hg_arena a = {0};
    struct hg_fbw_request rq;
    struct hg_call_answer ans;
    const char *why;
    int rc = hg_fbw_read_request(hg_slice_of(m->payload, m->len), &a, &rq, &why);
    const char *drop = unusable(w, &rq, rc, why);

    if (drop) {
        w->dropped++;
        hg_cli_log("dropped a request at %s [%d] @%lld: %s", rd_kafka_topic_name(m->rkt),
                   m->partition, (long long)m->offset, drop);
        hg_arena_fini(&a);
        return;
    }
    w->limits.now_us = wall_us();
    if (w->mock)
        mock_run(&rq, &ans);
    else if (rc < 0)
        hg_call_refuse(&a, &rq, HG_FBW_BAD_REQUEST, hg_slice_str(why), &ans);
    else
        hg_call_run(w->db, &w->limits, &rq, &a, &ans);
    w->answered += ans.reply.error == 0;
    w->refused += ans.reply.error != 0;
    send_answer(w->out, rq.reply_topic, &ans);
    hg_arena_fini(&a);
}

static void serve(struct worker *w)
{
    while (!hg_cli_stopped()) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(w->in, 100);
        rd_kafka_poll(w->out, 0);
        if (!m)
            continue;
        if (m->err)
            hg_cli_log("requests: %s", rd_kafka_message_errstr(m));
        else if (!is_stale(w, m))
            handle(w, m);
        if (!m->err && !w->solo)
            rd_kafka_offset_store(m->rkt, m->partition, m->offset);
        rd_kafka_message_destroy(m);
    }
}

/* Without a group there is no wait for its first rebalance (seconds on the mock cluster), and no
 * second worker. */
static void take_all(struct worker *w, const char *topic, int n)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(n);
    for (int i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(l, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t err = rd_kafka_assign(w->in, l);
    if (err)
        hg_cli_die("assign %s: %s", topic, rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(l);
}

static void subscribe(struct worker *w, const char *topic)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(l, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(w->in, l);
    if (err)
        hg_cli_die("subscribe to %s: %s", topic, rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(l);
}

static void open_kafka(struct worker *w, const char *brokers, const char *group)
{
    const char *const in[][2] = {{"client.id", "headgate-sqlworker"},
                                 {"group.id", group},
                                 /* the mock answers whoever asks now, as it always did */
                                 {"auto.offset.reset", w->mock ? "latest" : "earliest"},
                                 {"enable.auto.offset.store", "false"},
                                 {"auto.commit.interval.ms", "500"},
                                 {"fetch.wait.max.ms", "10"},
                                 {"session.timeout.ms", "6000"},
                                 {"allow.auto.create.topics", "true"},
                                 {"topic.metadata.refresh.interval.ms", "5000"},
                                 {NULL, NULL}};
    const char *const out[][2] = {{"client.id", "headgate-sqlworker"},
                                  {"linger.ms", "0"},
                                  {"message.max.bytes", "20000000"},
                                  {"message.timeout.ms", "10000"},
                                  /* the gateway has gone, and its topic with it: not made anew */
                                  {"allow.auto.create.topics", w->mock ? "true" : "false"},
                                  {NULL, NULL}};
    rd_kafka_conf_t *conf = hg_tk_conf(brokers, out);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    w->out = hg_tk_new(RD_KAFKA_PRODUCER, conf);
    w->in = hg_tk_new(RD_KAFKA_CONSUMER, hg_tk_conf(brokers, in));
}

static void close_kafka(struct worker *w)
{
    rd_kafka_consumer_close(w->in);
    rd_kafka_destroy(w->in);
    rd_kafka_flush(w->out, 2000);
    rd_kafka_purge(w->out, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(w->out, 100); /* the delivery reports of what was purged free their memory */
    rd_kafka_destroy(w->out);
}

static const char *env_or(const char *name, const char *otherwise)
{
    const char *s = getenv(name);

    return s && *s ? s : otherwise;
}

static void open_db(struct worker *w, const char *path, bool seed)
{
    struct hg_buf why = {0};

    if (hg_store_open(path, &w->db, &why) < 0 || (seed && hg_store_seed(w->db, &why) < 0) ||
        hg_store_prepare(w->db, &why) < 0)
        hg_cli_die("%.*s", HG_SLICE_ARG(hg_buf_slice(&why)));
}

static void want_name(const char *option, const char *value)
{
    if (value && !*value)
        hg_cli_wrong(option, "needs a value");
}

int main(int argc, char **argv)
{
    const char *brokers = env_or("KAFKA_BROKERS", "localhost:9092"), *path = NULL, *group = NULL;
    const char *topic = env_or("SQL_RPC_REQUEST_TOPIC", "sql.rpc.requests");
    const char *max_age = "30000", *max_reply = "16000000", *max_time = "10000";
    bool seed = false;
    struct worker w = {0};
    const struct hg_cli_opt opts[] = {
        {"brokers", "LIST", "Kafka brokers, host:port,... (KAFKA_BROKERS)", &brokers, NULL},
        {"db", "FILE", "SQLite database; made when missing", &path, NULL},
        {"seed", NULL, "make the demo table \"tasks\" when it is missing", NULL, &seed},
        {"mock", NULL, "no database: answer every call with one row, {\"mock\":true}", NULL,
         &w.mock},
        {"solo", NULL, "no group: this worker alone takes all calls, and at once", NULL, &w.solo},
        {"group", "NAME",
         "consumer group; workers of one group share the calls (headgate-sqlworker, or "
         "mock-sql-worker)",
         &group, NULL},
        {"topic", "NAME", "topic of the requests (SQL_RPC_REQUEST_TOPIC)", &topic, NULL},
        {"max-age", "MS", "drop requests older than this", &max_age, NULL},
        {"max-reply", "BYTES", "refuse to answer with more", &max_reply, NULL},
        {"max-time", "MS", "give up a call that takes longer", &max_time, NULL},
    };
    hg_cli_parse(argc, argv,
                 "Answers headgate's SQL calls (Kafka, FlatBuffers) from an SQLite database.", opts,
                 HG_COUNTOF(opts));
    want_name("--brokers", brokers);
    want_name("--db", path);
    want_name("--group", group);
    want_name("--topic", topic);
    if (!path == !w.mock)
        hg_cli_die("either --db FILE or --mock is needed");
    w.limits.max_reply = (size_t)hg_cli_int("--max-reply", max_reply, 1000, 1000000000);
    w.max_age_ms = hg_cli_int("--max-age", max_age, 100, INT32_MAX);
    w.limits.max_ms = hg_cli_int("--max-time", max_time, 1, INT32_MAX);
    hg_cli_catch_signals();
    if (path)
        open_db(&w, path, seed);
    if (!group)
        group = w.mock ? "mock-sql-worker" : "headgate-sqlworker";
    open_kafka(&w, brokers, group);
    int n = hg_tk_topic(w.in, topic);
    if (n > 0) {
        if (w.solo)
            take_all(&w, topic, n);
        else
            subscribe(&w, topic);
        hg_cli_log("serving %s from %s", topic,
                   path ? path : "nothing: every answer is the mock's");
        serve(&w);
    }
    close_kafka(&w);
    sqlite3_close(w.db);
    hg_cli_log("stopped: %llu calls answered, %llu refused, %llu dropped",
               (unsigned long long)w.answered, (unsigned long long)w.refused,
               (unsigned long long)w.dropped);
    return 0;
}
