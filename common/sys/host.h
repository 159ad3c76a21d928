/*
 * What all processes of one master instance share, made before fork in one anonymous mapping: seats
 * (heartbeat, ring, interest bit, metrics, poison mark), slots (who holds which share of the
 * partitions), partitions (next position, watermark, end of log), the interest table. Plain
 * atomics; no locks, so that a process may die at any instruction.
 *
 * A SLOT is a place in the service: a listening socket and a share of the partitions. A SEAT is a
 * place in shared memory. A worker holds one seat for life and one slot while it serves. There are
 * at least 2 N + 2 seats for N slots.
 *
 * Who writes what: the master writes seat.state and .slot, slot.*, poison_skip, and the hole flags
 * of rule 4; a seat's worker writes its heartbeat, ring, cursors, metrics, poison; partitions are
 * written by the holder of their share, their counts by whoever sees them first (atomically).
 */
#ifndef HG_COMMON_SYS_HOST_H
#define HG_COMMON_SYS_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/lsn.h"
#include "common/base/macros.h"
#include "common/sys/metric.h"

enum {
    HG_MAX_SLOTS = 62,
    HG_MAX_SEATS = 128, /* two 64-bit words of interest per bucket */
    HG_SEAT_WORDS = 2,
    HG_MAX_TOPICS = 16,
    HG_TOPIC_PARTS = 1024, /* partitions of one topic; part = topic * HG_TOPIC_PARTS + partition */
    HG_MAX_PARTS = HG_MAX_TOPICS * HG_TOPIC_PARTS,
    HG_INTEREST_BUCKETS = 1 << 17,
    HG_HOLE_BITS =
        1024, /* a hole names the rooms it may have been: bit = room hash % HG_HOLE_BITS */
    HG_POISON_MAX = 64,
    HG_NAME_MAX = 256,
    HG_CENSUS = 4096, /* tenants whose clients one seat counts, census.h */
    HG_CENSUS_WAYS = 16,
    HG_TALLIES = 1024, /* publishes of one seat that may wait for their siblings' counts, tally.h */
};
#define HG_NO_SEAT UINT32_MAX
#define HG_CURSOR_NONE                                                                             \
    UINT64_MAX /* this seat does not read this ring: nothing in it can be unread */

enum hg_doing { /* hg_seat.doing */
#define HG_DOING(name, text) HG_DOING_##name,
#include "common/sys/doing.def"
#undef HG_DOING
                HG_DOING_COUNT
};
const char *hg_doing_name(uint32_t doing); /* "waiting for events" */

enum hg_seat_state {
    HG_SEAT_FREE,
    HG_SEAT_STARTING,
    HG_SEAT_SERVING,
    HG_SEAT_DRAINING,
    HG_SEAT_DEAD /* reaped, ring still to be walked */
};

/* What one reader left in one ring. A hole (rule 3) is told in this order: bits, then hole, then
 * the seat's holes; taken the other way. */
struct hg_reader {
    /* byte position walked to, or HG_CURSOR_NONE; written by the reader, by the master once the
     * reader is reaped */
    _Alignas(64) _Atomic uint64_t cursor;
    _Atomic uint32_t hole; /* 1: bits below hold; set by writer or master, cleared by the reader */
    _Atomic uint64_t hole_bits[HG_HOLE_BITS / 64];
};

struct hg_ring_hdr {
    _Alignas(
        64) _Atomic uint64_t head; /* bytes ever written; release-stored after a record is whole */
    _Atomic uint64_t tail;         /* oldest byte still valid; moved before bytes are overwritten */
    _Atomic uint64_t seq; /* records ever written: with the boot id the mark of this seat; one short
                             for a writer killed in between */
    struct hg_reader readers[HG_MAX_SEATS];
};

struct hg_seat {
    _Atomic uint32_t state; /* enum hg_seat_state */
    _Atomic uint32_t slot;
    _Atomic int32_t pid;
    _Atomic uint32_t generation; /* counts the workers that have sat here */
    _Atomic uint64_t heartbeat;  /* bumped each turn */
    _Atomic uint32_t doing;      /* enum hg_doing: what the loop is at, for the hang log */
    _Atomic uint32_t ready; /* bit 0: accepts; bit 1: Kafka up; bit 2: share positions known; bit 3:
                               backplane up; see HG_READY_* */
    _Atomic uint32_t poison_part; /* part + 1 of the record being handled, 0 = none; written before
                                     and after each record */
    _Atomic int64_t poison_offset;
    _Atomic uint32_t nparts; /* partitions held, for status */
    _Atomic uint32_t holes;  /* 1: this seat, as a reader, has a hole in some ring; looked at before
                                any record of any ring is used */
    char reply_topic[HG_NAME_MAX]; /* for the successor to delete; written once by the worker before
                                      it is STARTING's end */
    _Atomic uint64_t tallies[HG_TALLIES];
    struct hg_census_place { /* a tenant's clients here */
        _Atomic uint64_t hash;
        _Atomic uint64_t held; /* times taken << 32 | clients; no clients: the place is free */
    } census[HG_CENSUS];
    struct hg_metrics metrics;
    struct hg_ring_hdr ring;
};
enum {
    HG_READY_ACCEPT = 1,
    HG_READY_KAFKA = 2,
    HG_READY_POSITIONS = 4,
    HG_READY_BACKPLANE = 8,
    HG_READY_RPC = 16
};

struct hg_slot_share {
    _Atomic uint32_t
        holder; /* seat that may consume this share, or HG_NO_SEAT; written by the master only */
    _Atomic uint32_t
        release; /* master sets 1: the holder stops after its last append and store, then sets 2 */
};

struct hg_part {
    _Atomic int64_t
        next; /* next offset to consume; -1 = not known yet; stored after the ring append */
    _Atomic uint64_t lsn;     /* watermark beside it: largest LSN handed over of this partition */
    _Atomic uint32_t known;   /* 1: next and, for a log that had records at start, its last record's
                                 LSN are noted; never unset */
    _Atomic int64_t end;      /* end offset last heard of, for lag; -1 unknown */
    _Atomic int64_t stamp_ms; /* Kafka time stamp of the last record consumed */
    _Atomic uint64_t resets;  /* position was gone or the topic made anew: bumped by the holder,
                                 siblings reset their streams of it */
};

struct hg_topic {
    char name[HG_NAME_MAX]; /* set before fork */
    uint32_t kind;          /* enum hg_topic_kind */
    bool version_is_offset; /* "version = offset" */
    _Atomic uint32_t seen;  /* 1: metadata of this topic (or its absence) was heard once since the
                               start of the host */
    _Atomic uint32_t start_count; /* partitions it had then: these begin at the last record, later
                                     ones at 0; UINT32_MAX before seen */
    _Atomic uint32_t count;       /* partitions known now; never falls */
    _Atomic uint32_t known_upto;  /* partitions below this are known: spares hg_host_positions_known
                                     the look at each */
};
/* BARE: diffs whose keys are hashIds alone, as in v1 and v2, not routing keys. */
enum hg_topic_kind { HG_TOPIC_DIFF, HG_TOPIC_BARE, HG_TOPIC_ROW, HG_TOPIC_ENVELOPE };

struct hg_host {
    uint32_t nslots, nseats, ntopics;
    bool has_bare;      /* a topic has */
    uint64_t ring_size; /* bytes of data of each ring, a power of two */
    uint64_t ring_off;  /* of seat 0's data from the start of this mapping */
    uint64_t map_size;
    uint64_t boot_id;     /* random, of this master instance */
    char instance_id[17]; /* "src" of envelopes: 16 hex digits */
    int64_t start_wall_ms;
    int wake_fd[HG_MAX_SEATS];    /* eventfds, non-blocking, made before fork */
    _Atomic uint64_t share_epoch; /* bumped by the master after any change of shares or poison_skip;
                                     workers look each turn */
    _Atomic uint32_t draining;    /* 1: the host is shutting down */
    struct hg_topic topics[HG_MAX_TOPICS];
    struct hg_slot_share shares[HG_MAX_SLOTS];
    struct {
        _Atomic uint32_t part;
        _Atomic int64_t offset;
    } poison_skip[HG_POISON_MAX]; /* part + 1; 0 = free row */
    struct hg_metrics retired;
    struct hg_part parts[HG_MAX_PARTS];
    _Atomic uint64_t interest[HG_INTEREST_BUCKETS][HG_SEAT_WORDS];
    /* For hosts that decide alone when a live query is over (worker/members_alone.c): which seats
     * hold one, two bits per query; and by the first of them the hash of the query whose end was
     * claimed last. */
    _Atomic uint64_t queries[HG_INTEREST_BUCKETS][HG_SEAT_WORDS];
    _Atomic uint64_t query_ends[HG_INTEREST_BUCKETS];
    struct hg_seat seats[HG_MAX_SEATS];
};

struct hg_host_spec {
    uint32_t nslots, nseats; /* nseats 0: 2 * nslots + 2 */
    uint64_t ring_size;      /* rounded up to a power of two */
    const char *instance_id; /* NULL or "": random */
    const char *topics; /* kafka_topics: name[:diff|bare|routed|row|envelope[:header|offset]], ...;
                           without a kind server.row.events is row, any other diff */
    bool bare;          /* diff means keys of bare hashIds, but for the names that say it
                           themselves: server.cdc.filtered always, server.page.diffs never */
};

/* Maps and fills it. On -HG_E_CONF_VALUE why says what is wrong with which item, and lives until
 * the next call. The mapping is shared by the children of fork. */
int hg_host_new(const struct hg_host_spec *spec, struct hg_host **out,
                const char **why) HG_MUST_CHECK;
void hg_host_free(struct hg_host *h);

static inline unsigned char *hg_host_ring_data(struct hg_host *h, uint32_t seat)
{
    return (unsigned char *)h + h->ring_off + (uint64_t)seat * h->ring_size;
}
/* The slot whose share a partition belongs to. */
static inline uint32_t hg_host_part_slot(const struct hg_host *h, uint32_t part)
{
    return (part / HG_TOPIC_PARTS + part % HG_TOPIC_PARTS) % h->nslots;
}
/* May this seat consume this partition now? */
static inline bool hg_host_holds(struct hg_host *h, uint32_t seat, uint32_t part)
{
    struct hg_slot_share *s = &h->shares[hg_host_part_slot(h, part)];
    return atomic_load(&s->holder) == seat && atomic_load(&s->release) == 0;
}
/* Largest LSN of all partitions' stored watermarks. */
struct hg_lsn hg_host_watermark(const struct hg_host *h);
/* Every partition of every topic known (and every topic seen)? Once true costs a look per topic. */
bool hg_host_positions_known(struct hg_host *h);
/* Notes a topic's partition count (0: it does not exist; above HG_TOPIC_PARTS is cut). Of all
 * seats' first calls per topic one sets start_count. */
void hg_host_topic_seen(struct hg_host *h, uint32_t topic, uint32_t count);
/* Was this record given up as poison? */
bool hg_host_is_poison(const struct hg_host *h, struct hg_pos pos);
void hg_host_wake(struct hg_host *h, uint32_t seat); /* writes its eventfd; never blocks */
void hg_host_wake_all(struct hg_host *h);

#endif
