/*
 * Live queries: per routing key one stream with a sorted log of diffs, its subscriptions, and the
 * snapshot calls under way. Decides what is handed on, held, dropped or reset; ARCHITECTURE.md
 * "Identity is the position, order is the LSN" and "Subscribe" are the rules. Knows connections
 * only as somebody who takes spans, and SQL, Kafka, rings not at all: everything it needs done it
 * asks of hg_stream_ops, so that its tests run without any of them.
 *
 *   hg_sub_open(&ss, &spec)                    the caller has checked; ack, snapshot and diffs
 *                                              follow through ops
 *   hg_stream_diff(&ss, key, &rec)             a record at a new position: deliver, hold, drop or
 *                                              reset
 *   hg_stream_bare_diff(&ss, hash_id, &rec)    the same of a topic keyed by hashId alone
 *   hg_stream_row(&ss, key, frame)             a row event: not fenced, held while a snapshot is
 *                                              pending
 *   hg_stream_landed(&ss, flight, &reply)      the answer to ops.fly
 *   hg_streams_reset(&ss, bits, why)           holes: all streams whose room it may have been
 *   hg_stream_writable(&ss, c)                 c takes bytes again: what lags is pulled
 *
 * 1. The log holds every diff with LSN in (floor, head], sorted by LSN, arrival breaking ties;
 *    every cursor is a place in it.
 * 2. floor rises at attach and reset to the noted watermark, at trimming to the LSN of what was
 *    trimmed. It falls only when a bridge has filled the log down to it.
 * 3. A snapshot is used only if its fence is at or above the floor; otherwise it flies again, and
 *    the hot cache is asked beside it for the diffs from there on. When it proves that it has all
 *    of them (worker/cache.h), none came meanwhile that were dropped as old, and none is still to
 *    come that it holds already, they are put into the log below its first entry, the floor sinks
 *    to the snapshot's position, and everything goes on as if they had been there. They go out as
 *    diffB64.
 * 4. A diff is framed once per encoding, when first needed, for all subscribers.
 * 5. A client that cannot take more keeps a cursor, not a copy; the log's caps bound how far it may
 *    fall behind.
 * 6. A bare stream hears two keys, its routing key and its hashId; what hears the routing key only
 *    is another stream, even of the same key. Both kinds of records go through the one order table.
 * 7. Streams without subscribers linger, HG_STREAMS_IDLE of them at the most: above that the one
 *    that was left first goes at once, or when the call that is under way for it ends. With
 *    HG_STREAMS_LEFT of both kinds nobody may subscribe.
 */
#ifndef HG_WORKER_STREAM_H
#define HG_WORKER_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/lsn.h"
#include "common/base/map.h"
#include "common/sys/conf.h"
#include "common/sys/loop.h"
#include "common/sys/metric.h"
#include "proto/cachediff.h"
#include "worker/bare.h"
#include "worker/frame.h"
#include "worker/log.h"
#include "worker/session.h"

enum { HG_STREAMS_IDLE = 32768, HG_STREAMS_LEFT = 65536 };

struct hg_conn;
struct hg_query;
struct hg_stream;
struct hg_flight;
struct hg_streams;

enum hg_sub_state {
    HG_SUB_ATTACHING, /* Kafka's start positions are not known yet; no ack was sent */
    HG_SUB_FLYING,    /* acked; waits for a snapshot */
    HG_SUB_LIVE,      /* has its snapshot; cur is the next diff to hand over */
};

struct hg_sub {
    struct hg_sub *next; /* in its session, see hg_sub_list */
    struct hg_conn *c;
    struct hg_stream *st;
    struct hg_flight *fl; /* its query and, while FLYING, the call it waits for */
    uint32_t at;          /* place in the stream's list */
    uint8_t state;        /* enum hg_sub_state */
    uint8_t enc;          /* enum hg_diff_enc */
    bool whole_session; /* v1-v3: falling behind costs all subscriptions of the session, and a reset
                           is an overflow */
    bool late_b64;      /* v1-v3: a diff delayed by a full socket goes out as diffB64 */
    bool was_reset;     /* its next snapshot says "reason":"reset" */
    bool no_rows;       /* v1, v2: knows no row events */
    bool range_index;   /* gets the key's rangeIndex behind its snapshots */
    bool no_delta;      /* asked for delta resume: its snapshot says "reason":"unavailable" */
    bool behind;        /* live, and cur is not the head; counted in nlagging */
    bool pulling;       /* on the list for the next turn's pull */
    bool lagged;        /* a full socket holds it behind the head */
    bool joined; /* subscribed after its flight had been asked for: resume does not raise the fence
                  */
    struct hg_lsn fence, resume;
    uint64_t cur, row_cur; /* next diff, next row event */
    struct hg_mono attach_by;
};

struct hg_stream_rec { /* one diff; value is copied into a frame once */
    struct hg_pos pos;
    struct hg_lsn lsn;
    struct hg_slice value;
};

struct hg_sub_spec {
    struct hg_conn *c;
    struct hg_slice key, hash_id; /* key = <tenant>_<table>|<hashId> */
    struct hg_slice tenant, table;
    struct hg_query *query; /* taken; NULL: the whole table up to snapshot_limit */
    uint64_t fingerprint;   /* of the query, 0 for none */
    struct hg_lsn resume;   /* resumeFromVersion, 0 none */
    enum hg_diff_enc enc;
    bool whole_session, late_b64, no_delta, range_index;
    bool before_v3; /* of v1 or v2: gets no row events, causes no page seed */
    bool bare;      /* hears its hashId as a key, too */
    bool empty;     /* v1: a snapshot without rows, at once, from nobody; query is NULL */
};

/* The answer to a snapshot call. */
struct hg_landing {
    int err;              /* 0 or -HG_E_* */
    bool could_not;       /* err < 0: the worker failed, and called it no fault of the query */
    struct hg_slice text; /* the worker's words when err < 0 */
    struct hg_lsn s;      /* snapshot-lsn, 0 when not named */
    const void *reply;    /* for ops.snapshot */
};

struct hg_stream_ops {
    /* Are all start positions known, so that a watermark means something? calls: and can a call be
     * answered? */
    bool (*ready)(void *ctx, bool calls);
    /* Interest in this room, with fence; true to hold, false to drop it. */
    void (*interest)(void *ctx, uint64_t hash, bool hold);
    /* Walks all rings to their heads, then the watermark: max of what was walked and what is
     * stored. Never called inside a walk. */
    struct hg_lsn (*walk)(void *ctx);
    /* The watermark without walking. */
    struct hg_lsn (*watermark)(void *ctx);
    /* Sends GET_DATA for this flight; hg_stream_landed comes later, never inside. Failing is fine:
     * land it with an error later. */
    void (*fly)(void *ctx, struct hg_flight *fl);
    /* A snapshot frame; sub gives hashId by its stream and the reason. {NULL} when it is too large.
     * reply NULL: without rows. */
    struct hg_span (*snapshot)(void *ctx, const struct hg_flight *fl, const void *reply,
                               struct hg_lsn fence, const char *reason);
    /* A call was answered with a snapshot that is used: once per call, before any client gets it.
     * Only where a client of v3 has this query. May be NULL. */
    void (*landed)(void *ctx, const struct hg_flight *fl, const void *reply, struct hg_lsn fence);
    /* The stream is forgotten: its last subscriber left interest_linger ago, or the worker ends.
     * May be NULL. */
    void (*ended)(void *ctx, const struct hg_stream *st);
    /* May be NULL, like the two below: what fly asked of the hot cache beside the call, if it came
     * in time. A rangeIndex frame, {NULL} for none. */
    struct hg_span (*range)(void *ctx, const struct hg_flight *fl);
    /* All diffs of the key above s that had arrived when the flight set out, none that is still to
     * come; NULL when that cannot be proved. Walks the rings. Lives as long as the flight flies. */
    const struct hg_cachelist *(*bridge)(void *ctx, const struct hg_flight *fl, struct hg_lsn s);
    /* What was asked of the cache for this flight is over. */
    void (*forget)(void *ctx, struct hg_flight *fl);
    void (*ack)(void *ctx, struct hg_sub *sub);
    /* Tells the client; sub is closed already (all of the session, if whole_session, on err
     * OVERFLOW). */
    void (*failed)(void *ctx, struct hg_sub *sub, int err, struct hg_slice text);
    bool (*can_take)(void *ctx, const struct hg_conn *c);
    /* May a snapshot frame of so many bytes wait for this client? False is overflow. */
    bool (*can_take_snapshot)(void *ctx, const struct hg_conn *c, uint32_t bytes);
    void (*send)(void *ctx, struct hg_conn *c, struct hg_span s);
    struct hg_sub_list *(*subs_of)(void *ctx, struct hg_conn *c);
};

struct hg_flight { /* one query of a stream, and the call for it */
    struct hg_flight *next;
    struct hg_stream *st;
    struct hg_query *query;
    uint64_t fingerprint;
    uint32_t nsubs; /* subscriptions with this query */
    bool flying, voided;
    bool empty;           /* nobody is asked */
    bool seeds;           /* of v3: what it brings is worth a page seed */
    uint8_t tries;        /* calls since it last landed well */
    uint8_t refills;      /* times the log overflowed under it */
    struct hg_lsn asked;  /* watermark of the moment of asking */
    struct hg_lsn behind; /* lowest position of a reply that lay below the floor, 0 none: diffs from
                             there on are what a cache is to be asked for beside the next call */
    uint64_t olds;        /* hg_stream.olds of that moment */
    void *beside;         /* what ops.fly asked of the cache; its own */
    struct hg_timer timer; /* paced start */
};

struct hg_stream {
    struct hg_map_node node;
    struct hg_streams *ss;
    struct hg_stream *lru_prev, *lru_next;
    struct hg_bare *bare; /* its place in the index by hashId, or NULL */
    uint64_t hash;
    uint32_t id; /* "sub" of tagged frames: never reused by this worker */
    struct hg_log log;
    struct hg_log rows;
    struct hg_arena arena;
    struct hg_sub **subs;
    uint32_t nsubs, subs_cap, nlagging;
    struct hg_flight *flights;
    struct hg_lsn
        floor; /* at or below it everything is in the snapshots asked for since attach or reset */
    struct hg_lsn trimmed; /* LSN of what was forgotten last: snapshots must reach it too */
    struct hg_lsn given;   /* highest LSN handed to anyone */
    uint64_t olds;         /* records dropped so far because snapshots hold them */
    uint32_t resets;       /* recent ones, paces the next flight */
    struct hg_mono reset_at;
    struct hg_timer linger;
    TAILQ_ENTRY(hg_stream) idle;
    bool is_left; /* has no subscribers any more; counted in nleft */
    bool is_idle; /* and is in hg_streams.idle */
    bool attached;
    uint16_t tenant_n, table_n, hash_n;
    char key[]; /* routing key; tenant, table, hashId are parts of it. node.key has one byte more if
                   bare */
};

TAILQ_HEAD(hg_idle_streams, hg_stream);

struct hg_streams {
    struct hg_loop *loop;
    struct hg_frames *frames;
    const struct hg_conf *conf;
    struct hg_metrics *m;
    const struct hg_stream_ops *ops;
    void *ctx;
    /* private to stream.c */
    struct hg_map by_key, by_hash;
    struct hg_stream *lru_first, *lru_last; /* least recently fed first */
    struct hg_idle_streams idle;            /* without subscribers; left first, first */
    uint32_t nidle, nleft;
    uint64_t bytes;
    uint32_t next_id;
    struct hg_sub **attaching;
    uint32_t nattaching, attaching_cap;
    struct hg_timer attach_timer;
    struct hg_sub **pulling; /* have more to hand over than one turn allows */
    uint32_t npulling, pulling_cap;
    struct hg_defer pull_defer;
    struct hg_sub *closed; /* freed at the end of the turn */
};

void hg_streams_init(struct hg_streams *ss); /* the public members are set */
void hg_streams_fini(struct hg_streams *ss);

/* A live subscription of the same key in this session is closed first (a new generation, spec 8 [P]
 * 7). */
void hg_sub_open(struct hg_streams *ss, const struct hg_sub_spec *spec);
struct hg_sub *hg_sub_find(struct hg_streams *ss, const struct hg_sub_list *list,
                           struct hg_slice key, bool bare);
void hg_sub_close(struct hg_streams *ss, struct hg_sub *sub);
void hg_subs_close_all(struct hg_streams *ss, struct hg_conn *c);

/* Too many are left behind: no subscribe may be opened now. */
static inline bool hg_streams_are_full(const struct hg_streams *ss)
{
    return ss->nleft >= HG_STREAMS_LEFT;
}
bool hg_stream_wants(const struct hg_streams *ss, struct hg_slice key);
/* Is there a stream of this routing key, bare or not, attached or not? */
bool hg_stream_is_open(const struct hg_streams *ss, struct hg_slice key);
void hg_stream_diff(struct hg_streams *ss, struct hg_slice key, const struct hg_stream_rec *rec);
/* text: the whole rowEvent frame's payload. */
void hg_stream_row(struct hg_streams *ss, struct hg_slice key, struct hg_slice text);
void hg_stream_landed(struct hg_streams *ss, struct hg_flight *fl, const struct hg_landing *l);
void hg_stream_reset_key(struct hg_streams *ss, struct hg_slice key, const char *why);
void hg_stream_bare_diff(struct hg_streams *ss, struct hg_slice hash_id,
                         const struct hg_stream_rec *rec);
void hg_stream_bare_reset(struct hg_streams *ss, struct hg_slice hash_id, const char *why);
void hg_streams_reset(struct hg_streams *ss, const uint64_t *bits,
                      const char *why); /* bits NULL: all */
void hg_stream_writable(struct hg_streams *ss, struct hg_conn *c);
/* The connection makes no progress: subscriptions above out_soft bytes (whole_session: or
 * out_frames frames) behind get overflow. */
void hg_stream_stalled(struct hg_streams *ss, struct hg_conn *c, uint64_t queued);

static inline struct hg_slice hg_stream_key(const struct hg_stream *st)
{
    return hg_slice_of(st->key, (size_t)st->tenant_n + 1 + st->table_n + 1 + st->hash_n);
}
static inline struct hg_slice hg_stream_tenant(const struct hg_stream *st)
{
    return hg_slice_of(st->key, st->tenant_n);
}
/* <table>|<hashId>, for the log: a tenant may be what a token said, and that stays out of there. */
static inline struct hg_slice hg_stream_label(const struct hg_stream *st)
{
    return hg_slice_of(st->key + st->tenant_n + 1, (size_t)st->table_n + 1 + st->hash_n);
}
static inline struct hg_slice hg_stream_table(const struct hg_stream *st)
{
    return hg_slice_of(st->key + st->tenant_n + 1, st->table_n);
}
static inline struct hg_slice hg_stream_hash_id(const struct hg_stream *st)
{
    return hg_slice_of(st->key + st->tenant_n + 1 + st->table_n + 1, st->hash_n);
}

#endif
