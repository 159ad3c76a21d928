/*
 * Rings between siblings: one per seat, one writer (the seat's worker), every other seat reads.
 * Variable-sized records, lock-free, in shared memory; any process may die at any instruction.
 * ARCHITECTURE.md "The ring" has the rules this file keeps:
 *
 *   writer   append record -> full fence -> read the interest of its room -> note in the record who
 *            it is meant for -> (caller stores position and watermark) -> at the end of the turn
 *            wake the meant, and whoever is a quarter behind
 *   lapping  a record meant for a reader that has not read it: flag the hole, then move the tail,
 *            then overwrite
 *   reader   copy -> fence -> look at hole flag and tail -> only then use the copy
 *   joining  hg_interest_set (fetch_or, full fence) -> hg_ring_walk to all heads -> only then note
 *            the watermark
 *   taking   a share: read share_epoch -> see who holds -> hg_ring_walk to all heads -> only then
 *            consume, while the epoch is the same; else records of the former holder, or the hole
 *            in them, come after one's own
 *
 * Layout: positions count bytes for ever, byte = position % ring_size; records are contiguous and
 * 8-aligned. What is left before the end of the ring is a PAD record, or, below a record head,
 * nothing at all. Bytes are moved as relaxed atomic words, since a reader may copy what is being
 * overwritten (and then throws the copy away).
 *
 * Never logs; counts through the results. Loop thread of its process only.
 *
 *   hg_ring_writer_init(&rw, host, seat);               takes all unread records as meant
 *   rc = hg_ring_append(&rw, &head, key, body, force);  -HG_E_AGAIN: would lap a meant reader; wait
 *                                                       up to ring_wait, then force
 *   hg_ring_flush_wakes(&rw);                           once per turn
 *
 *   hg_ring_walker_init(&wk, host, seat, &ops, ctx);    starts at the tails
 *   hg_ring_walk(&wk);                                  all rings, those of dead seats too, to
 *                                                       their heads of this moment
 */
#ifndef HG_COMMON_SYS_RING_H
#define HG_COMMON_SYS_RING_H

#include "common/base/lsn.h"
#include "common/base/slice.h"
#include "common/sys/host.h"

enum hg_rec_kind {
    HG_REC_PAD = 0,  /* fills the end of the ring; never handed out */
    HG_REC_DIFF,     /* key = Kafka key, body = value */
    HG_REC_ROW,      /* key = routing key, body = value */
    HG_REC_STUB,     /* a record above max_record, or poison: key as far as known, body empty: reset
                        that stream */
    HG_REC_ENVELOPE, /* key = room key (interest), body = envelope JSON */
    HG_REC_MARK,     /* nothing but its sequence: "this is how far I am"; meant for nobody, lapped
                        freely */
    HG_REC_PUBLISH,  /* key empty, body = value of an envelope topic */
    HG_REC_PART_RESET, /* pos.part: its log was made anew or positions are gone: reset all streams
                          fed by it; meant for all */
};

struct hg_rec {   /* head of a record, as stored; 64 bytes */
    uint32_t len; /* whole record with head and padding, multiple of 8 */
    uint16_t kind;
    uint16_t key_len;
    uint32_t body_len;
    uint32_t part; /* pos.part; UINT32_MAX: no position (envelope, mark) */
    int64_t offset;
    uint64_t lsn;                  /* 0 = none; of an envelope: the ask of its publisher, tally.h */
    uint64_t hash;                 /* hg_hash_fixed of the room key */
    uint64_t meant[HG_SEAT_WORDS]; /* written after the fence */
    int64_t stamp_ms;              /* Kafka time stamp */
};

struct hg_ring_writer {
    struct hg_host *host;
    uint32_t seat;
    uint64_t wake[HG_SEAT_WORDS];
    uint64_t turn_start; /* head when the turn began: a turn writes at most a quarter of the ring */
};

/* The seat's former writer may have died at any instruction. */
void hg_ring_writer_init(struct hg_ring_writer *rw, struct hg_host *host, uint32_t seat);
/* head->len, the lengths of key and body and ->meant are filled here. 0; -HG_E_AGAIN (not appended;
 * never with force; the readers in the way are woken by the next flush_wakes); -HG_E_TOO_BIG above
 * an eighth of the ring, or a key above 65535. With force what is lapped is flagged as a hole
 * first; the result is then how many (record, reader) pairs were lost. */
int hg_ring_append(struct hg_ring_writer *rw, struct hg_rec *head, struct hg_slice key,
                   struct hg_slice body, bool force) HG_MUST_CHECK;
bool hg_ring_turn_is_full(
    const struct hg_ring_writer *rw); /* a quarter written since the last flush_wakes */
unsigned
hg_ring_flush_wakes(struct hg_ring_writer *rw); /* returns how many were woken; starts a new turn */

struct hg_ring_ops {
    /* A verified head. Return true to get the bytes. Called for every record once (or, after
     * take-overs, again: see pos). The bytes may fail to come when the writer laps us in between:
     * if the record was meant for us a hole tells. A hole may be told between want and record; the
     * record is good all the same. */
    bool (*want)(void *ctx, uint32_t seat, const struct hg_rec *head);
    /* The verified copy of a wanted record; key and body live until the call returns. */
    void (*record)(void *ctx, uint32_t seat, const struct hg_rec *head, struct hg_slice key,
                   struct hg_slice body);
    /* Records were lost; bits says of which rooms they may have been (hash % HG_HOLE_BITS). Called
     * before any record, of any ring, that was appended after the hole was flagged. */
    void (*hole)(void *ctx, uint32_t seat, const uint64_t bits[HG_HOLE_BITS / 64]);
};

struct hg_ring_walker {
    struct hg_host *host;
    uint32_t seat;
    const struct hg_ring_ops *ops;
    void *ctx;
    /* private to ring.c */
    uint64_t *copy; /* room for one record */
    uint32_t next;  /* ring to begin with */
    bool walking;
};

void hg_ring_walker_init(struct hg_ring_walker *wk, struct hg_host *host, uint32_t seat,
                         const struct hg_ring_ops *ops, void *ctx);
void hg_ring_walker_fini(struct hg_ring_walker *wk);
/* Returns how many records were walked. Skips the own ring. At most budget records (0: all); the
 * rest next time. Not from inside the callbacks. */
uint64_t hg_ring_walk(struct hg_ring_walker *wk, uint64_t budget);
/* Is there something to walk, or a hole to tell? */
bool hg_ring_walk_pending(const struct hg_ring_walker *wk);

/* Interest of this seat in a room. set: fetch_or and full fence; join = set, walk, note watermark.
 * Clearing is the caller's business after interest_linger, and only when its own count of rooms in
 * that bucket is 0. */
void hg_interest_set(struct hg_host *h, uint32_t seat, uint64_t hash);
void hg_interest_clear(struct hg_host *h, uint32_t seat, uint64_t hash);
static inline uint32_t hg_interest_bucket(uint64_t hash)
{
    return (uint32_t)(hash % HG_INTEREST_BUCKETS);
}

/* For the master (rule 4), once the ring's writer has appended its last record. Has every living
 * seat walked this (dead or released) seat's ring to its head? */
bool hg_ring_all_walked(struct hg_host *h, uint32_t seat);
/* Flags a hole, in every room, for each living seat that has not. Returns how many. */
unsigned hg_ring_flag_unwalked(struct hg_host *h, uint32_t seat);
/* A reaped seat's bits out of the interest table, and its cursors so that nobody waits for it. Its
 * state must not be a living one. */
void hg_ring_sweep_seat(struct hg_host *h, uint32_t seat);

#endif
