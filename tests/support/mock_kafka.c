#include "tests/support/mock_kafka.h"
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/macros.h"

enum { WAIT_MS = 20000 };

struct mock_kafka {
    rd_kafka_t *carrier; /* of the mock cluster; NULL with a real broker */
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_t *producer;
    char brokers[256];
};

static void must(bool good, const char *what, const char *why)
{
    if (good)
        return;
    fprintf(stderr, "mock_kafka: %s: %s\n", what, why ? why : "");
    abort();
}

static rd_kafka_t *handle(const struct mock_kafka *b, const char *name, const char *value)
{
    char why[256];
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    if (b->brokers[0])
        must(rd_kafka_conf_set(c, "bootstrap.servers", b->brokers, why, sizeof why) ==
                 RD_KAFKA_CONF_OK,
             "conf", why);
    must(rd_kafka_conf_set(c, "log_level", "2", why, sizeof why) == RD_KAFKA_CONF_OK, "conf", why);
    must(rd_kafka_conf_set(c, "message.max.bytes", "100000000", why, sizeof why) ==
             RD_KAFKA_CONF_OK,
         "conf", why);
    if (name)
        must(rd_kafka_conf_set(c, name, value, why, sizeof why) == RD_KAFKA_CONF_OK, "conf", why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, c, why, sizeof why);
    must(rk != NULL, "handle", why);
    return rk;
}

struct mock_kafka *mock_kafka_new(void)
{
    struct mock_kafka *b = hg_calloc(1, sizeof *b);
    const char *real = getenv("HG_TEST_KAFKA");
    if (real && *real) {
        snprintf(b->brokers, sizeof b->brokers, "%s", real);
    } else {
        b->carrier = handle(b, NULL, NULL);
        b->cluster = rd_kafka_mock_cluster_new(b->carrier, 1);
        must(b->cluster != NULL, "cluster", NULL);
        snprintf(b->brokers, sizeof b->brokers, "%s", rd_kafka_mock_cluster_bootstraps(b->cluster));
    }
    b->producer = handle(b, NULL, NULL);
    return b;
}

void mock_kafka_free(struct mock_kafka *b)
{
    rd_kafka_destroy(b->producer);
    if (b->cluster)
        rd_kafka_mock_cluster_destroy(b->cluster);
    if (b->carrier)
        rd_kafka_destroy(b->carrier);
    free(b);
}

bool mock_kafka_is_real(const struct mock_kafka *b)
{
    return !b->cluster;
}

const char *mock_kafka_brokers(const struct mock_kafka *b)
{
    return b->brokers;
}

/* ---- admin ---- */

static void await(rd_kafka_queue_t *q, const char *what)
{
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, WAIT_MS);
    must(ev != NULL, what, "no answer");
    must(rd_kafka_event_error(ev) == 0, what, rd_kafka_event_error_string(ev));
    rd_kafka_event_destroy(ev);
    rd_kafka_queue_destroy(q);
}

bool mock_kafka_has_topic(struct mock_kafka *b, const char *name)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(b->producer, 1, NULL, &md, WAIT_MS);
    must(!err, "metadata", rd_kafka_err2str(err));
    bool has = false;
    for (int i = 0; i < md->topic_cnt; i++)
        has = has || (strcmp(md->topics[i].topic, name) == 0 && !md->topics[i].err);
    rd_kafka_metadata_destroy(md);
    return has;
}

void mock_kafka_topic(struct mock_kafka *b, const char *name, int partitions)
{
    if (b->cluster) {
        rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(b->cluster, name, partitions, 1);
        must(!err, "topic", rd_kafka_err2str(err));
        return;
    }
    char why[256];
    rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(name, partitions, 1, why, sizeof why);
    must(t != NULL, "topic", why);
    rd_kafka_NewTopic_set_config(t, "max.message.bytes", "100000000");
    rd_kafka_queue_t *q = rd_kafka_queue_new(b->producer);
    rd_kafka_CreateTopics(b->producer, &t, 1, NULL, q);
    await(q, "CreateTopics");
    rd_kafka_NewTopic_destroy(t);
}

void mock_kafka_grow(struct mock_kafka *b, const char *name, int partitions)
{
    char why[256];
    rd_kafka_NewPartitions_t *p =
        rd_kafka_NewPartitions_new(name, (size_t)partitions, why, sizeof why);
    rd_kafka_queue_t *q = rd_kafka_queue_new(b->producer);
    rd_kafka_CreatePartitions(b->producer, &p, 1, NULL, q);
    await(q, "CreatePartitions");
    rd_kafka_NewPartitions_destroy(p);
}

void mock_kafka_delete_topic(struct mock_kafka *b, const char *name)
{
    rd_kafka_DeleteTopic_t *t = rd_kafka_DeleteTopic_new(name);
    rd_kafka_queue_t *q = rd_kafka_queue_new(b->producer);
    rd_kafka_DeleteTopics(b->producer, &t, 1, NULL, q);
    await(q, "DeleteTopics");
    rd_kafka_DeleteTopic_destroy(t);
    /* This handle still has the topic's old partitions in mind. */
    rd_kafka_destroy(b->producer);
    b->producer = handle(b, NULL, NULL);
}

void mock_kafka_trim(struct mock_kafka *b, const char *name, int part, int64_t before)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(l, name, part)->offset = before;
    rd_kafka_DeleteRecords_t *d = rd_kafka_DeleteRecords_new(l);
    rd_kafka_queue_t *q = rd_kafka_queue_new(b->producer);
    rd_kafka_DeleteRecords(b->producer, &d, 1, NULL, q);
    await(q, "DeleteRecords");
    rd_kafka_DeleteRecords_destroy(d);
    rd_kafka_topic_partition_list_destroy(l);
}

/* ---- records ---- */

struct delivery {
    int64_t offset;
    rd_kafka_resp_err_t err;
    bool done;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)opaque;
    struct delivery *d = m->_private;
    *d = (struct delivery){m->offset, m->err, true};
}

static int64_t put(struct mock_kafka *b, const char *topic, int part, const char *key,
                   const void *p, size_t n, uint64_t lsn)
{
    char text[24], why[256];
    snprintf(text, sizeof text, "%llu", (unsigned long long)lsn);
    struct delivery d = {0};
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    rd_kafka_conf_set_dr_msg_cb(c, on_delivery);
    must(rd_kafka_conf_set(c, "bootstrap.servers", b->brokers, why, sizeof why) == RD_KAFKA_CONF_OK,
         "conf", why);
    must(rd_kafka_conf_set(c, "message.max.bytes", "100000000", why, sizeof why) ==
             RD_KAFKA_CONF_OK,
         "conf", why);
    must(rd_kafka_conf_set(c, "linger.ms", "0", why, sizeof why) == RD_KAFKA_CONF_OK, "conf", why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, c, why, sizeof why);
    must(rk != NULL, "producer", why);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(part),
        RD_KAFKA_V_KEY(key, key ? strlen(key) : 0), RD_KAFKA_V_VALUE((void *)(uintptr_t)p, n),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADER("lsn", text, -1),
        RD_KAFKA_V_OPAQUE(&d), RD_KAFKA_V_END);
    must(!err, "produce", rd_kafka_err2str(err));
    rd_kafka_flush(rk, WAIT_MS);
    must(d.done && !d.err, "delivery", rd_kafka_err2str(d.err));
    rd_kafka_destroy(rk);
    return d.offset;
}

int64_t mock_kafka_put(struct mock_kafka *b, const char *topic, int part, const char *key,
                       const char *value, uint64_t lsn)
{
    return put(b, topic, part, key, value, value ? strlen(value) : 0, lsn);
}

int64_t mock_kafka_put_bytes(struct mock_kafka *b, const char *topic, int part, const void *p,
                             size_t n)
{
    return put(b, topic, part, "key", p, n, 1);
}

static void check(rd_kafka_error_t *e, const char *what)
{
    must(!e, what, e ? rd_kafka_error_string(e) : NULL);
}

void mock_kafka_put_txn(struct mock_kafka *b, const char *topic, int part, int n, bool commit)
{
    rd_kafka_t *rk = handle(b, "transactional.id", "mock-kafka-txn");
    check(rd_kafka_init_transactions(rk, WAIT_MS), "init_transactions");
    check(rd_kafka_begin_transaction(rk), "begin_transaction");
    for (int i = 0; i < n; i++) {
        rd_kafka_resp_err_t err = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(part), RD_KAFKA_V_KEY("t", 1),
            RD_KAFKA_V_VALUE("txn", 3), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        must(!err, "produce", rd_kafka_err2str(err));
    }
    rd_kafka_flush(rk, WAIT_MS);
    check(commit ? rd_kafka_commit_transaction(rk, WAIT_MS)
                 : rd_kafka_abort_transaction(rk, WAIT_MS),
          "end of transaction");
    rd_kafka_destroy(rk);
}

/* ---- faults ---- */

void mock_kafka_stop(struct mock_kafka *b)
{
    rd_kafka_mock_broker_set_down(b->cluster, 1);
}

void mock_kafka_start(struct mock_kafka *b)
{
    rd_kafka_mock_broker_set_up(b->cluster, 1);
}
