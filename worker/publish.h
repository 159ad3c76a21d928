/*
 * Publishing for back ends: a body of proto/publish.h, from POST /publish, from headgate ctl
 * publish (by way of the master) and from Kafka topics of kind envelope. The first two are answered
 * with how many connections of this host were reached; for that the siblings' counts are awaited,
 * at most HG_PUBLISH_WAIT. Owns the answers under way.
 *
 *   status = hg_publish_body(w, body, &asker, &json);    0: asker.fn is called in a later turn
 *   hg_publish_look(w);       after a wake: is somebody's count complete?
 *   hg_publish_turn(w);       at the end of a turn: wakes those who asked us
 *   hg_publish_flush(w);      everybody is answered with what is known
 *
 * delivered counts queues that took the message: every connection once per message, of all workers
 * of this host. Siblings that did not answer in time are named by their number (unanswered), so
 * that a number is never quietly too small.
 */
#ifndef HG_WORKER_PUBLISH_H
#define HG_WORKER_PUBLISH_H

#include "worker/core.h"

#define HG_PUBLISH_WAIT (200 * HG_MS)

struct hg_publish_asker {
    void (*fn)(struct hg_worker *w, const struct hg_publish_asker *asker, struct hg_slice json);
    uint64_t a, b; /* whoever it is, in words: pointers may be gone by then */
};

/* HTTP's status and JSON (an object with delivered, or with error), or 0: later. */
int hg_publish_body(struct hg_worker *w, struct hg_slice body, const struct hg_publish_asker *asker,
                    struct hg_buf *json) HG_MUST_CHECK;
void hg_publish_look(struct hg_worker *w);
void hg_publish_turn(struct hg_worker *w);
void hg_publish_flush(struct hg_worker *w);
void hg_publish_fini(struct hg_worker *w);

/* A record of an envelope topic, for the members here alone; a body that is wrong is nobody's. */
void hg_publish_record(struct hg_worker *w, struct hg_slice body, int64_t stamp_ms);
/* Is it right? Else false, and why names the place. */
bool hg_publish_check(const struct hg_worker *w, struct hg_slice body, char why[128]);

/* For the relay: this ask went to so many more siblings; so many more records of it wait for room
 * in the ring (less, when negative). */
void hg_publish_asked(struct hg_worker *w, uint64_t ask, unsigned siblings, int waiting);
/* For the relay: a sibling asked; this many were reached here. */
void hg_publish_answer(struct hg_worker *w, uint32_t seat, uint64_t ask, unsigned reached);

#endif
