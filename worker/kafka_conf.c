/*
 * Properties of the librdkafka handles: ours as tables, then what the configuration says, then
 * kafka_properties, which beats everything. A property that is refused is named in the log; its
 * value is not (it may be a password).
 */
#include <stdio.h>
#include "common/sys/log.h"
#include "worker/kafka_priv.h"

struct property {
    const char *name, *value;
};

static const struct property both[] = {
    {"client.id", "headgate"},
    {"log.queue", "true"}, /* log lines reach us on the loop thread */
    {"socket.keepalive.enable", "true"},
    {"socket.nagle.disable", "true"},
    {"socket.timeout.ms", "30000"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms",
     "2000"}, /* default 10 s: too long a silence after a broker's return */
    {"topic.metadata.refresh.fast.interval.ms", "100"},
};

static const struct property consumer[] = {
    {"enable.auto.commit", "false"},
    {"auto.commit.enable", "false"}, /* the simple consumer's own name for it */
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"enable.partition.eof", "true"},
    {"allow.auto.create.topics", "false"},
    {"fetch.error.backoff.ms", "100"},
    {"fetch.max.bytes", "52428800"},
    /* KIP-74 hands out a record that is larger than any fetch limit; only this one would cut the
       connection. */
    {"receive.message.max.bytes", "1000000000"},
};

static const struct property producer[] = {
    {"acks", "all"},
    {"linger.ms", "1"},
    {"message.timeout.ms", "60000"},
    {"message.max.bytes", "33554432"}, /* the broker's limit is the one that counts */
    {"queue.buffering.max.messages", "100000"},
    {"queue.buffering.max.kbytes", "65536"},
};

static bool set(rd_kafka_conf_t *c, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(c, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    /* librdkafka's text can quote the value. */
    hg_log(HG_LOG_ERROR, NULL, "kafka.property",
           "name=\"%s\" why=\"refused by the Kafka client: unknown or bad value\"", name);
    return false;
}

static bool set_number(rd_kafka_conf_t *c, const char *name, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    return set(c, name, text);
}

static bool set_all(rd_kafka_conf_t *c, const struct property *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!set(c, p[i].name, p[i].value))
            return false;
    return true;
}

static bool set_item(rd_kafka_conf_t *c, struct hg_slice item)
{
    char text[1024];
    const char *eq = memchr(item.p, '=', item.n);
    if (!eq || eq == item.p || item.n >= sizeof text) {
        hg_log(HG_LOG_ERROR, NULL, "kafka.property",
               "why=\"an item of kafka_properties is not name=value\"");
        return false;
    }
    memcpy(text, item.p, item.n);
    text[item.n] = '\0';
    text[eq - item.p] = '\0';
    return set(c, text, text + (eq - item.p) + 1);
}

/* The last word is the operator's. */
static bool set_extra(rd_kafka_conf_t *c, const struct hg_conf *cf)
{
    struct hg_slice rest = hg_slice_str(cf->kafka_properties), item;
    while (hg_conf_list_next(&rest, &item))
        if (!set_item(c, item))
            return false;
    return true;
}

static bool set_consumer(rd_kafka_conf_t *c, const struct hg_kafka_spec *spec)
{
    const struct hg_conf *cf = spec->conf;
    int64_t n = spec->nworkers ? spec->nworkers : 1;
    /* The mock broker has no long poll: it answers an empty fetch when this has passed. */
    int64_t wait_ms = cf->dev ? 10 : HG_MAX(cf->kafka_fetch_wait / HG_MS, 1);
    return set_all(c, consumer, HG_COUNTOF(consumer)) &&
           set_number(c, "fetch.min.bytes", cf->kafka_fetch_min_bytes) &&
           set_number(c, "fetch.wait.max.ms", wait_ms) &&
           set_number(c, "queued.max.messages.kbytes",
                      HG_MAX(cf->kafka_prefetch / n / 1024, 1024)) &&
           set_number(c, "queued.min.messages", HG_MAX(100000 / n, 1000));
}

static rd_kafka_conf_t *finish(rd_kafka_conf_t *c, const struct hg_kafka_spec *spec, bool good)
{
    if (!good || !set(c, "bootstrap.servers", spec->conf->kafka_brokers) ||
        !set_extra(c, spec->conf)) {
        rd_kafka_conf_destroy(c);
        return NULL;
    }
    return c;
}

rd_kafka_conf_t *kafka_conf_consumer(const struct hg_kafka_spec *spec)
{
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    rd_kafka_conf_set_events(c, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
    return finish(c, spec, set_all(c, both, HG_COUNTOF(both)) && set_consumer(c, spec));
}

rd_kafka_conf_t *kafka_conf_producer(const struct hg_kafka_spec *spec, bool idempotent)
{
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    rd_kafka_conf_set_events(c, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_DR);
    return finish(c, spec,
                  set_all(c, both, HG_COUNTOF(both)) &&
                      set_all(c, producer, HG_COUNTOF(producer)) &&
                      set(c, "enable.idempotence", idempotent ? "true" : "false"));
}
