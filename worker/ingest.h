/*
 * Records on their way in: from Kafka (this worker's partitions) and from the siblings' rings, both
 * through one dedupe by position and one door to the streams. Owns this worker's view: first
 * unhandled offset per partition, watermark.
 *
 *   Kafka record -> poison mark -> ring append -> streams here -> position and watermark stored ->
 * mark cleared ring record  -> dedupe by position -> watermark -> streams here, if anybody is
 * interested
 *
 * 1. A position is stored only after its record is in the ring: a crash repeats, never skips.
 * 2. The walk is never entered twice; what needs one during a walk waits for a timer.
 * 3. While a meant sibling is a whole ring behind, Kafka is held back up to ring_wait; then the
 *    hole is flagged.
 */
#ifndef HG_WORKER_INGEST_H
#define HG_WORKER_INGEST_H

#include "worker/core.h"

void hg_ingest_init(struct hg_worker *w); /* walker at the tails, writer, timers, wake watch */
void hg_ingest_fini(struct hg_worker *w);
void hg_ingest_turn(
    struct hg_worker *w); /* flush hook: wakes the siblings, and itself when shares changed */
void hg_ingest_shares(struct hg_worker *w);

/* hg_kafka_events */
bool hg_ingest_on_record(void *ctx, const struct hg_kafka_record *r);
void hg_ingest_on_position(void *ctx, uint32_t part, int64_t next);
void hg_ingest_on_position_lost(void *ctx, uint32_t part, int64_t next);

/* For hg_stream_ops: rule 2 of the ring. */
struct hg_lsn hg_ingest_walk(struct hg_worker *w);
struct hg_lsn hg_ingest_watermark(const struct hg_worker *w);

#endif
