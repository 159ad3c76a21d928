/*
 * Broadcasts: local members first, then the ring (siblings), then the backplane (other hosts). What
 * comes from ring or backplane is delivered here and never published again; what comes back from
 * the backplane with our own src is dropped, for the siblings had it from the ring. Owns the bus
 * and the envelopes that wait for room in the ring.
 */
#ifndef HG_WORKER_RELAY_H
#define HG_WORKER_RELAY_H

#include "proto/envelope.h"
#include "worker/core.h"

void hg_relay_init(struct hg_worker *w);
void hg_relay_fini(struct hg_worker *w);
/* Publishes e (src is filled here; tenant set). Returns local deliveries, or -HG_E_TOO_BIG when it
 * cannot cross the ring (nothing is sent). */
int hg_relay_publish(struct hg_worker *w, struct hg_envelope *e) HG_MUST_CHECK;
/* The same for what only headgates understand: crosses hosts on headgate:bus, tina4 never sees
 * it. */
int hg_relay_publish_private(struct hg_worker *w, struct hg_envelope *e) HG_MUST_CHECK;
struct hg_relay_told {
    uint64_t ask; /* in: siblings add whom they reached to this tally; 0: nobody asks */
    bool relayed; /* out: handed to the backplane for the other hosts */
};
/* By whichever channel e's kind belongs to. A connection's message goes further only when it is not
 * ours. */
int hg_relay_publish_told(struct hg_worker *w, struct hg_envelope *e,
                          struct hg_relay_told *told) HG_MUST_CHECK;
/* To the members here alone. Returns how many. */
unsigned hg_relay_deliver(struct hg_worker *w, const struct hg_envelope *e);
/* Tells the other hosts alone; nothing when there is no backplane. */
void hg_relay_tell_hosts(struct hg_worker *w, struct hg_envelope *e);
void hg_relay_from_ring(struct hg_worker *w, uint32_t seat, uint64_t ask, struct hg_slice envelope);

#endif
