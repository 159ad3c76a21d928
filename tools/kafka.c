#include "tools/kafka.h"

#include <string.h>
#include "common/base/macros.h"
#include "tools/cli.h"

enum { ASK_MS = 1000, PAUSE_MS = 100 };

/* librdkafka repeats itself while a broker is away; what matters is said by hg_tk_topic and by
 * state changes. */
static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text)
{
    (void)rk;
    if (level <= 3 && strcmp(fac, "FAIL") != 0)
        hg_cli_log("kafka: %s: %s", fac, text);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    (void)opaque;
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        hg_cli_log("Kafka went away (%s); waiting for it", reason);
    else if (err == RD_KAFKA_RESP_ERR__FATAL)
        hg_cli_die("kafka: %s: %s", rd_kafka_name(rk), reason);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        hg_cli_die("kafka: %s=%s: %s", name, value, why);
}

rd_kafka_conf_t *hg_tk_conf(const char *brokers, const char *const (*props)[2])
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "reconnect.backoff.ms", "50");
    set(conf, "reconnect.backoff.max.ms", "1000");
    set(conf, "socket.keepalive.enable", "true");
    set(conf, "log.connection.close", "false");
    for (; (*props)[0]; props++)
        set(conf, (*props)[0], (*props)[1]);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    return conf;
}

rd_kafka_t *hg_tk_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk)
        hg_cli_die("kafka: %s", why);
    if (type == RD_KAFKA_CONSUMER)
        rd_kafka_poll_set_consumer(rk);
    return rk;
}

int hg_tk_partitions(rd_kafka_t *rk, const char *topic, int timeout_ms)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    int n = -1;
    if (!rkt)
        return -1;
    if (rd_kafka_metadata(rk, 0, rkt, &md, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const struct rd_kafka_metadata_topic *t = md->topic_cnt ? &md->topics[0] : NULL;
        if (t && t->err == RD_KAFKA_RESP_ERR_NO_ERROR && t->partition_cnt > 0)
            n = t->partition_cnt;
        else if (t && t->err)
            n = -2; /* the broker answered, the topic is not there (yet) */
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(rkt);
    return n;
}

int hg_tk_topic(rd_kafka_t *rk, const char *topic)
{
    int said = 0;
    for (int tries = 0; !hg_cli_stopped(); tries++) {
        int n = hg_tk_partitions(rk, topic, ASK_MS);
        if (n > 0) {
            if (said)
                hg_cli_log("topic %s is there", topic);
            return n;
        }
        /* A topic that is just being made needs a moment; only then is it worth a line. */
        if (!said && (n == -1 || tries == 20)) {
            hg_cli_log(n == -1 ? "waiting for a Kafka broker (topic %s)"
                               : "waiting for topic %s to be made",
                       topic);
            said = 1;
        }
        rd_kafka_poll(rk, PAUSE_MS);
    }
    return -1;
}
