/*
 * Who consumes which share of the partitions: rule 4 of the ring ("a share moves late") as a pure
 * decider. It owns the phase of each share; it never touches shared memory, clocks or processes:
 * the facts go in, one action at a time comes out.
 *
 *   hg_shares_init(&sh, nslots, nseats, now);
 *   do {
 *       fill facts; act = hg_shares_step(&sh, &facts); carry act out
 *   } while (act.kind != HG_SHARE_ACT_NONE);
 *   hg_shares_pending(&sh, &facts)       something waits for readers or for a release: look again
 *                                        in a millisecond or two
 *
 * 1. A share is given only when nobody holds it, and taken from its holder only after that one is
 *    dead or has said that it stopped, and after every living seat has walked its ring to where it
 *    stopped, or got a hole (FLAG) for what it has not.
 * 2. A dead worker's share goes at once to the sibling with the fewest; back to the slot's own
 *    worker when that one serves and has Kafka. Before its first holder a share waits
 *    HG_SHARE_HOME_WAIT for its own worker.
 * 3. A seat is freed only when it holds nothing and its ring is walked or flagged.
 */
#ifndef HG_MASTER_SHARES_H
#define HG_MASTER_SHARES_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/mono.h"
#include "common/sys/host.h"

#define HG_SHARE_HOME_WAIT (1 * HG_S)

enum hg_share_phase {
    HG_SHARE_NOBODY,    /* no holder */
    HG_SHARE_HELD,      /* .holder consumes it */
    HG_SHARE_RELEASING, /* .holder was asked to stop */
    HG_SHARE_RELEASED,  /* .holder stopped; its siblings walk its ring */
};

struct hg_share {
    enum hg_share_phase phase;
    uint32_t holder;
    struct hg_mono since; /* of the phase */
    bool flagged;         /* RELEASED: holes were made for who had not walked */
    bool had_holder;      /* ever */
};

struct hg_shares {
    uint32_t nslots, nseats;
    struct hg_share shares[HG_MAX_SLOTS];
    bool seat_flagged[HG_MAX_SEATS]; /* DEAD: holes were made for who had not walked */
};

struct hg_shares_seat {
    enum hg_seat_state state;
    uint32_t slot;
    bool kafka;             /* says that it has Kafka */
    bool walked;            /* DEAD: every living seat has walked its ring to the end */
    struct hg_mono dead_at; /* DEAD: when it was reaped */
};

struct hg_shares_facts {
    struct hg_mono now;
    int64_t ring_wait; /* how long readers are waited for */
    bool stopping;     /* the whole host drains */
    struct hg_shares_seat seats[HG_MAX_SEATS];
    struct {
        bool answered; /* RELEASING: the holder says that it has stopped */
        bool walked;   /* RELEASED: every living seat has walked the holder's ring to where it was
                          then */
    } shares[HG_MAX_SLOTS];
};

enum hg_share_act_kind {
    HG_SHARE_ACT_NONE,
    HG_SHARE_ACT_FLAG_SEAT,  /* flag a hole for each who has not walked .seat's ring */
    HG_SHARE_ACT_FLAG_SHARE, /* the same up to the head noted for .slot */
    HG_SHARE_ACT_TAKE,       /* .slot's share has no holder now */
    HG_SHARE_ACT_GIVE,       /* .seat holds .slot's share now */
    HG_SHARE_ACT_RELEASE,    /* ask .seat to stop consuming .slot's share */
    HG_SHARE_ACT_NOTE,       /* .seat stopped: note where its ring ends now */
    HG_SHARE_ACT_FREE,       /* .seat can be swept and used again */
};

struct hg_share_act {
    enum hg_share_act_kind kind;
    uint32_t slot, seat;
};

void hg_shares_init(struct hg_shares *sh, uint32_t nslots, uint32_t nseats, struct hg_mono now);
struct hg_share_act hg_shares_step(struct hg_shares *sh, const struct hg_shares_facts *facts);
bool hg_shares_pending(const struct hg_shares *sh, const struct hg_shares_facts *facts);
/* How many shares a seat holds. */
uint32_t hg_shares_of(const struct hg_shares *sh, uint32_t seat);

#endif
