/*
 * Who in the cluster holds which live query: what control.c asks before it tells the change source
 * that a query is over. Two ways: `registry` (Redis; worker/registry.c) for a cluster, `alone`
 * (bits in the host's shared memory; worker/members_alone.c) for a host without one.
 *
 *   mb = hg_members_new(&spec)                 the way the configuration says
 *   hg_members_join(mb, items, n)              ev.joined for each, later or inside
 *   hg_members_leave(mb, key, hash, told)      at once a member no more; ev.close, later or inside,
 *                                              if that was the last one
 *   hg_members_closed(mb, key, hash, token, ok)   the tombstone's report, for each ev.close
 *   hg_members_free(mb)
 */
#ifndef HG_WORKER_MEMBERS_H
#define HG_WORKER_MEMBERS_H

#include "common/sys/conf.h"
#include "common/sys/host.h"
#include "common/sys/loop.h"
#include "worker/control_state.h"

struct hg_members;

struct hg_member_item {
    struct hg_slice key;
    uint64_t hash; /* of the key, the same everywhere */
    uint64_t id;   /* the caller's, handed back */
    bool again;    /* joined before, as far as the caller knows */
};

struct hg_members_events {
    /* How a join ended: HG_CQ_JOINED* or HG_CQ_AWAY. The caller looks whether id still means
     * something. */
    void (*joined)(void *ctx, struct hg_slice key, uint64_t id, enum hg_cq_event how);
    /* Nobody has this query any more: produce its tombstone and report with this token. swept: its
     * last member died, or its first tombstone was lost. */
    void (*close)(void *ctx, struct hg_slice key, uint64_t hash, const char *token, bool swept);
    /* A tombstone is in the log, but somebody has come for the query meanwhile: its query belongs
     * behind it. Only `alone`. */
    void (*revive)(void *ctx, struct hg_slice key, uint64_t hash);
    /* A new membership begins, or the marks may have moved on: join all again / ask again. */
    void (*renewed)(void *ctx);
    void (*moved)(void *ctx);
    void *ctx;
};

struct hg_members_spec {
    struct hg_loop *loop;
    const struct hg_conf *conf;
    struct hg_metrics *m;
    struct hg_host *host;
    uint32_t seat;
    struct hg_members_events ev;
};

enum { HG_MEMBERS_BATCH = 64, HG_MEMBERS_TOKEN = 80 };

struct hg_redis_url;
struct hg_members_way { /* the two ways */
    int (*join)(void *way, const struct hg_member_item *items, unsigned n);
    void (*leave)(void *way, struct hg_slice key, uint64_t hash, bool told);
    void (*closed)(void *way, struct hg_slice key, uint64_t hash, const char *token, bool ok);
    void (*free)(void *way);
};
extern const struct hg_members_way hg_members_registry, hg_members_alone;
void *hg_members_registry_new(const struct hg_members_spec *spec, const struct hg_redis_url *url);
void *hg_members_alone_new(const struct hg_members_spec *spec);

struct hg_members *hg_members_new(const struct hg_members_spec *spec);
void hg_members_free(struct hg_members *mb);
/* At most HG_MEMBERS_BATCH. 0; -HG_E_AGAIN: not now, but soon; -HG_E_RPC_UNAVAILABLE: act as if on
 * your own, ev.renewed will come. */
int hg_members_join(struct hg_members *mb, const struct hg_member_item *items,
                    unsigned n) HG_MUST_CHECK;
void hg_members_leave(struct hg_members *mb, struct hg_slice key, uint64_t hash, bool told);
void hg_members_closed(struct hg_members *mb, struct hg_slice key, uint64_t hash, const char *token,
                       bool ok);
/* Leaving is final when the worker ends? A host alone must close its queries then; in a cluster the
 * lease runs out, after which the others look, so that clients have time to come back elsewhere. */
bool hg_members_is_alone(const struct hg_members *mb);

#endif
