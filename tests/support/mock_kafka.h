/*
 * A broker for unit tests: librdkafka's mock cluster in this process, or the real one named by
 * HG_TEST_KAFKA=host:port. The only place of the tests that knows the mock's interface (it is
 * declared experimental). Everything blocks, with a deadline, and aborts the test when it fails.
 *
 *   struct mock_kafka *b = mock_kafka_new();
 *   mock_kafka_topic(b, "t", 4); mock_kafka_put(b, "t", 0, "key", "value", 7);
 *   conf.kafka_brokers = mock_kafka_brokers(b);
 *   mock_kafka_free(b);
 */
#ifndef HG_TESTS_SUPPORT_MOCK_KAFKA_H
#define HG_TESTS_SUPPORT_MOCK_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mock_kafka;

struct mock_kafka *mock_kafka_new(void);
void mock_kafka_free(struct mock_kafka *b);
bool mock_kafka_is_real(const struct mock_kafka *b);
const char *mock_kafka_brokers(const struct mock_kafka *b);
void mock_kafka_topic(struct mock_kafka *b, const char *name, int partitions);
void mock_kafka_grow(struct mock_kafka *b, const char *name, int partitions); /* real only */
void mock_kafka_delete_topic(struct mock_kafka *b, const char *name);         /* real only */
bool mock_kafka_has_topic(struct mock_kafka *b, const char *name);
void mock_kafka_trim(struct mock_kafka *b, const char *name, int part,
                     int64_t before); /* real only: DeleteRecords */
/* One record with the header lsn in decimal; value NULL: a tombstone. Returns its offset. */
int64_t mock_kafka_put(struct mock_kafka *b, const char *topic, int part, const char *key,
                       const char *value, uint64_t lsn);
int64_t mock_kafka_put_bytes(struct mock_kafka *b, const char *topic, int part, const void *p,
                             size_t n);
/* n records in a transaction of its own, committed or aborted: the marker takes one offset more.
 * Real only. */
void mock_kafka_put_txn(struct mock_kafka *b, const char *topic, int part, int n, bool commit);
void mock_kafka_stop(struct mock_kafka *b);  /* mock only: the broker refuses connections ... */
void mock_kafka_start(struct mock_kafka *b); /* ... and is back */

#endif
