/*
 * Live queries between clients, streams and the SQL worker: the subscribe and unsubscribe ops, and
 * what streams ask for (hg_stream_ops). Owns nothing of its own.
 */
#ifndef HG_WORKER_QUERIES_H
#define HG_WORKER_QUERIES_H

#include "worker/core.h"

void hg_queries_init(struct hg_worker *w);        /* query control; Kafka is there */
extern const struct hg_stream_ops hg_queries_ops; /* ctx is the worker */

#endif
