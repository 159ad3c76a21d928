/*
 * The tools' way to Kafka: a configured librdkafka handle, and waiting for brokers and topics with
 * one clear line instead of a stream of them. Works with a real cluster and with librdkafka's mock
 * cluster (which has no CreateTopics: a missing topic is made by asking for its metadata).
 *
 *   rd_kafka_conf_t *conf = hg_tk_conf(brokers, props);    props ends with {NULL, NULL}; dies on a
 *                                                          bad one
 *   rd_kafka_t *rk = hg_tk_new(RD_KAFKA_PRODUCER, conf);
 *   int n = hg_tk_topic(rk, "sql.rpc.requests");           partitions; waits; -1 once
 *                                                          hg_cli_stopped()
 */
#ifndef HG_TOOLS_KAFKA_H
#define HG_TOOLS_KAFKA_H

#include <librdkafka/rdkafka.h>

rd_kafka_conf_t *hg_tk_conf(const char *brokers, const char *const (*props)[2]);
rd_kafka_t *hg_tk_new(rd_kafka_type_t type, rd_kafka_conf_t *conf);
int hg_tk_topic(rd_kafka_t *rk, const char *topic);
/* Partitions of the topic as the broker says now, or -1 when it does not answer or the topic is not
 * there. */
int hg_tk_partitions(rd_kafka_t *rk, const char *topic, int timeout_ms);

#endif
