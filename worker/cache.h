/*
 * The hot cache (spec 10): the last diffs of every routing key as lists in Redis or KeyDB, where
 * programs of the former systems and hosts that start read them. Owns the link, what waits to be
 * written, and the leases. Never blocks, never slows delivery, and is never believed in doubt.
 *
 *   ca = hg_cache_new(&spec);                          NULL when it is off; every call takes NULL
 *   hg_cache_record(ca, &rec);                         each record of the partitions held here
 *   hg_cache_turn(ca);                                 at the end of a turn: what gathered is sent
 *   hg_cache_snapshot(ca, key, text);                  a snapshot for programs that read it there
 *   read = hg_cache_range(ca, key, fn, ctx);           NULL: not up; else fn comes once, later
 *   read = hg_cache_after(ca, key, lsn, fn, ctx);      unless hg_cache_cancel(read) came before
 *   hg_cache_stop(ca, within);                         before, for a stop with grace: what is
 *                                                      kept is written, then the leases given up
 *   hg_cache_free(ca);                                 pending fn are told that there is nothing
 *
 * Keys: <p>diff:<routing key> (list), <p>snap:<routing key> (text, on request), <p>range:<routing
 * key> (list of others), and our own <p>lease:<topic>:<partition> (text with a TTL) and
 * <p>pos:<topic> (hash: partition -> hg_cachepos).
 *
 * Writing
 * 1. Every host reads the whole log and one writes: of the workers that hold a partition the one
 *    with its lease. Every write goes through a script that looks at the lease first, so whoever
 *    lost it, paused or cut off, writes nothing. The lease's text holds a token that only grows and
 *    a name that no two workers ever share.
 * 2. The position goes with the entries, in one script: a record is written once, whoever writes
 *    and whatever reply got lost.
 * 3. A worker without the lease keeps what it read until it hears that it is written. A new holder
 *    goes on at the position with what it kept. Who did not keep enough waits for one lease, that
 *    somebody who did may come before it, and then notes a hole: since = the highest LSN of what
 *    is missing.
 * 4. hotcache_buffer caps what is kept; the oldest of a partition goes first.
 * 5. A record below the highest LSN of its partition (a producer that sends again) or of its list
 *    (a key of several partitions: grown, or of two topics), and one that is too large for the
 *    rings, count as holes, too.
 *
 * Reading: are the diffs of a key after S whole, as far as this host has read its log?
 * 6. For each partition that had anything: next reaches what this host had handed over when it
 *    asked, and since <= S. Positions are read before the list, in one script.
 * 7. The list holds an entry with an LSN <= S: what was trimmed is older, by the commit order that
 *    all of headgate stands on. A list that is empty, expired or cleared proves nothing.
 * 8. Every entry is readable and in order (proto/cachediff.h). What is beyond (is there anything in
 *    the list that this worker has yet to meet?) hg_cached.upto answers: see hg_cached_is_behind.
 */
#ifndef HG_WORKER_CACHE_H
#define HG_WORKER_CACHE_H

#include "common/base/lsn.h"
#include "common/sys/conf.h"
#include "common/sys/host.h"
#include "common/sys/loop.h"
#include "common/sys/metric.h"
#include "proto/cachediff.h"

struct hg_cache;
struct hg_cache_read;

struct hg_cache_spec {
    struct hg_loop *loop;
    const struct hg_conf *conf;
    struct hg_metrics *metrics;
    struct hg_host *host;
    uint32_t seat;
    int64_t probe_every, answer_timeout; /* of the link, see redis.h; 0: its own */
};

/* Does the configuration ask for it? auto: a keydb_ or hotcache_ name was given, or the profile is
 * v3; never with dev. */
bool hg_cache_wanted(const struct hg_conf *conf);
struct hg_cache *hg_cache_new(const struct hg_cache_spec *spec);
/* Waits beside the loop, at most so many microseconds and only while Redis answers. Nothing may be
 * recorded after it. */
void hg_cache_stop(struct hg_cache *ca, int64_t within);
void hg_cache_free(struct hg_cache *ca);
bool hg_cache_is_up(const struct hg_cache *ca);

enum hg_cache_kind {
    HG_CACHE_NOTHING, /* a position without a diff */
    HG_CACHE_DIFF,
    HG_CACHE_HOLE, /* a diff that is not to be had: too large, poison */
};
struct hg_cache_rec {
    enum hg_cache_kind kind;
    struct hg_pos pos;
    struct hg_lsn lsn;
    struct hg_lsn before; /* watermark of the partition before this record; 0 unknown */
    struct hg_slice key, value;
};
void hg_cache_record(struct hg_cache *ca, const struct hg_cache_rec *rec);
/* The log of a partition began anew, or what was at its position is gone. */
void hg_cache_begin_anew(struct hg_cache *ca, uint32_t part, int64_t next);
void hg_cache_turn(struct hg_cache *ca);

/* A snapshot under <p>snap:<key>, with hotcache_snapshots; text is hg_cachesnap's. Best effort: the
 * last one stands, whosever it is. */
bool hg_cache_keeps_snapshots(const struct hg_cache *ca);
void hg_cache_snapshot(struct hg_cache *ca, struct hg_slice key, struct hg_slice text);

/* pks: the whole array as JSON text, {NULL} when there is none or nothing could be had. Lives until
 * the call returns. */
typedef void (*hg_cache_range_fn)(void *ctx, struct hg_slice pks);
struct hg_cache_read *hg_cache_range(struct hg_cache *ca, struct hg_slice key, hg_cache_range_fn fn,
                                     void *ctx);

struct hg_cached { /* what a list proves */
    struct hg_lsn after;
    struct hg_cachelist list; /* with LSN > after, in order; empty is an answer */
    struct hg_cached_upto {   /* how far the writers had come when it was read */
        uint32_t part;
        int64_t next;
    } * upto;
    size_t nupto;
};
void hg_cached_free(struct hg_cached *c); /* NULL is fine */
/* Does what this host handed over reach everything the list can hold? Then walk the rings, and
 * nothing that comes later is in the list. */
bool hg_cached_is_behind(const struct hg_cached *c, const struct hg_host *host);
/* cached: NULL when it cannot be had or is not whole; else the caller's to free. */
typedef void (*hg_cache_after_fn)(void *ctx, struct hg_cached *cached);
struct hg_cache_read *hg_cache_after(struct hg_cache *ca, struct hg_slice key, struct hg_lsn after,
                                     hg_cache_after_fn fn, void *ctx);
void hg_cache_cancel(struct hg_cache_read *read); /* fn will not be called; NULL is fine */

#endif
