/*
 * One live query of one worker, as the registry of the cluster and the change source know it: the
 * decisions only. Facts go in, what to do comes out; no clock, no I/O.
 *
 *                told (a first subscribe)
 *   (none) ───────────────────────────▶ JOINING ── joined ────────────────▶ OPEN
 *                                          │ └─── joined: closing ▶ WAITING ──┤ joined
 *                                          └───── away (no registry) ─────────┘ or away
 *   OPEN ── joined: closing ▶ WAITING     it registered anew, and another was closing it
 *   OPEN, JOINING, WAITING ── ended ▶ ENDING     while a query of ours is not in the log yet
 *   ENDING ── told ▶ JOINING
 *   ended, or in ENDING the last report ▶ (none): LEAVE
 *
 * Two rules make the log of the control topic end right for every key, with producers on many hosts
 * and no order between them:
 *
 * 1. A worker is a member before its query is in the log, and a member until the report of each
 *    query it produced has come. So who finds itself the last has everybody's queries behind it.
 * 2. The last to leave marks the key `closing` in the step in which it leaves, and the mark goes
 *    with the report of its tombstone. Who joins meanwhile (WAITING) produces when it is gone. So
 *    no tombstone comes behind a query of somebody who stays.
 */
#ifndef HG_WORKER_CONTROL_STATE_H
#define HG_WORKER_CONTROL_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum hg_cq_state {
    HG_CQ_JOINING, /* not known to be a member yet: nothing is produced */
    HG_CQ_WAITING, /* a member, but a tombstone of another is on its way */
    HG_CQ_OPEN,    /* a member, or on its own: queries are produced at once */
    HG_CQ_ENDING,  /* nobody here wants it; reports are due */
};

enum hg_cq_event {
    HG_CQ_TOLD,           /* a subscribe with this query */
    HG_CQ_JOINED,         /* a member beside others */
    HG_CQ_JOINED_FIRST,   /* the only member: what the log ends with is not known */
    HG_CQ_JOINED_CLOSING, /* a member; another's tombstone is on its way */
    HG_CQ_AWAY,           /* there is no registry to ask */
    HG_CQ_ENDED,          /* the stream is gone: its last subscriber left interest_linger ago */
    HG_CQ_REPORTED,       /* a query of ours is in the log */
    HG_CQ_LOST,           /* or never will be */
};

enum { /* what to do, as bits */
       HG_CQ_PRODUCE = 1,
       HG_CQ_JOIN = 2,  /* join, at once */
       HG_CQ_POLL = 4,  /* join again in a while */
       HG_CQ_AGAIN = 8, /* the query is to be published again soon */
       HG_CQ_LEAVE = 16 /* leave, and forget it */
};

struct hg_cq { /* zeroed: a new one, JOINING */
    uint8_t state;
    bool told;           /* something of ours may be in the log */
    uint32_t unreported; /* queries handed to Kafka without a report */
};

/* The caller counts up unreported and sets told when it has produced. */
unsigned hg_cq_step(struct hg_cq *q, enum hg_cq_event e);

#endif
