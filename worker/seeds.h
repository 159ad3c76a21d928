/*
 * Page seeds (spec 13.1): the rows and the cursor of each snapshot fetched, one record per call and
 * not per subscriber, for those who build pages. Best effort: nothing waits for one, nothing fails
 * with one, and what waits for Kafka is bounded, so that seeds never fill the queue that SQL calls
 * and query control share with them.
 *
 *   hg_seeds_publish(w, fl, reply, fence);      before the first client gets the snapshot
 */
#ifndef HG_WORKER_SEEDS_H
#define HG_WORKER_SEEDS_H

#include "worker/core.h"

void hg_seeds_publish(struct hg_worker *w, const struct hg_flight *fl,
                      const struct hg_sqlrpc_reply *reply, struct hg_lsn fence);

#endif
