/*
 * struct hg_worker: the parts of one worker process and how they are wired. Only worker.c makes and
 * ends it; the files of this folder that glue parts together (ingest, relay, dispatch, web,
 * queries) get it as their context. The parts themselves (conn, hub, stream, rpc, kafka, bus,
 * frame, log, interest) do not know it.
 */
#ifndef HG_WORKER_CORE_H
#define HG_WORKER_CORE_H

#include "common/sys/ring.h"
#include "worker/bus.h"
#include "worker/cache.h"
#include "worker/conn.h"
#include "worker/control.h"
#include "worker/hub.h"
#include "worker/ids.h"
#include "worker/kafka.h"
#include "worker/rpc.h"
#include "worker/stream.h"
#include "worker/worker.h"

struct hg_ingest {           /* see ingest.h */
    int64_t *next;           /* per part: first offset not handled yet */
    uint64_t *resets;        /* per part: hg_part.resets when its log was last seen to begin anew */
    struct hg_lsn watermark; /* largest LSN walked or consumed here */
    struct hg_ring_walker walker;
    struct hg_ring_writer writer;
    bool walking, waiting; /* waiting: Kafka is held back for a slow sibling */
    struct hg_mono wait_since;
    struct hg_timer wait_timer, second;
    struct hg_defer go_on, walk_more;
    struct hg_watch wake;
    uint64_t share_epoch, marked; /* marked: ring sequence at the last mark */
};

struct hg_pending { /* broadcasts that wait for room in the ring, see relay.c */
    struct hg_pending *next;
    struct hg_mono since;
    struct hg_slice key, body;
    uint64_t hash, ask;
    char bytes[];
};

struct hg_relay {
    struct hg_bus *bus; /* NULL without a backplane */
    struct hg_pending *first, **end;
    uint64_t pending_bytes;
    struct hg_timer retry;
    struct hg_buf text; /* the envelope being published */
};

struct hg_typed {              /* see typed.c */
    struct hg_presence *queue; /* who came or went in this turn */
    uint32_t nqueue, queue_cap;
    struct hg_defer publish;
    struct hg_map counts;           /* clients by tenant, struct hg_tenant_count */
    uint32_t nfar;                  /* counts of other hosts' workers in there */
    uint64_t living[HG_SEAT_WORDS]; /* seats of this host, as of the last look */
    struct hg_mono told_at;
    struct hg_timer timer;
};

struct hg_seeds { /* see seeds.c */
    uint64_t unsent;
};

struct hg_publishing {             /* see publish.c */
    struct hg_publish_wait *waits; /* HG_TALLIES, made with the first */
    uint32_t open, next;
    uint64_t wake[HG_SEAT_WORDS]; /* who asked us, to be woken when the turn ends */
    struct hg_timer late;
};

struct hg_worker {
    const struct hg_worker_boot *boot;
    struct hg_host *host;
    struct hg_conf *conf;
    struct hg_seat *seat;
    struct hg_metrics *m;
    struct hg_loop *loop;
    struct hg_frames frames;
    struct hg_conns conns;
    struct hg_interests interests;
    struct hg_hub hub;
    struct hg_ids ids;
    struct hg_streams streams;
    struct hg_rpcs rpcs;
    struct hg_map tenant_calls; /* calls in flight by tenant; calls.c's */
    struct hg_kafka *kafka;
    struct hg_cache *cache;     /* NULL: off */
    struct hg_control *control; /* NULL: query_control_topic is empty */
    struct hg_ingest in;
    struct hg_relay relay;
    struct hg_typed typed;
    struct hg_seeds seeds;
    struct hg_publishing publish;
    struct hg_jwt_keys *jwt_keys; /* see identity.h; NULL unless auth is jwt */
    struct hg_watch listen, ipc;
    struct hg_timer accept_pause, drain_timer, title_timer, slow_timer;
    struct hg_mono drain_until;
    bool draining, stopping;
    uint32_t drain_at; /* iterator over the connections */
    int drain_err;
    struct hg_buf text;  /* for frames being written; reset by its user */
    uint32_t titled;     /* connections in the process title */
    char host_name[256]; /* host_id, or the machine's name */
};

/* Of the whole host, as /health says it and as the sources' pause of Kafka counts it. */
static inline uint64_t hg_slow_clients(const struct hg_worker *w)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < w->host->nseats; i++)
        n += HG_GET(&w->host->seats[i].metrics, slow_clients);
    return n;
}

static inline void hg_doing_set(struct hg_worker *w, enum hg_doing d)
{
    atomic_store_explicit(&w->seat->doing, (uint32_t)d, memory_order_relaxed);
}

#endif
