/*
 * Calls to the SQL worker: correlation ids, deadlines, who gets the answer. Owns the calls in
 * flight. Builds no request (proto/sqlrpc.h, proto/query.h do) and knows no client.
 *
 *   call = hg_rpc_new(&rp, fn, ctx, arg, arg2);  call->spec has correlation id and reply topic for
 *                                                the builder
 *   hg_query_put_get_data(&buf, &call->spec, ...);
 *   hg_rpc_send(&rp, call, bytes);               fn is called once, later, never in here: reply,
 *                                                timeout or shutdown
 *
 * A late, repeated, foreign or unverifiable reply is counted and dropped.
 */
#ifndef HG_WORKER_RPC_H
#define HG_WORKER_RPC_H

#include <stdint.h>
#include "common/base/lsn.h"
#include "common/base/map.h"
#include "common/sys/conf.h"
#include "common/sys/loop.h"
#include "common/sys/metric.h"
#include "proto/sqlrpc.h"
#include "worker/kafka.h"

struct hg_rpc_result {
    int err;              /* 0, or -HG_E_RPC_x */
    struct hg_slice text; /* err < 0: what to tell the client */
    const struct hg_sqlrpc_reply
        *reply;                 /* err == 0: ok, verified, rows are JSON; gone after the call */
    struct hg_lsn snapshot_lsn; /* of the reply's header, 0 if it names none */
};
typedef void (*hg_rpc_fn)(void *ctx, void *arg, uint64_t arg2, const struct hg_rpc_result *r);

struct hg_rpc_call {
    struct hg_map_node node;
    struct hg_rpc_call *prev, *next; /* in order of deadline */
    struct hg_sqlrpc_call
        spec; /* correlation_id and reply_topic are set; company and table are the caller's */
    struct hg_mono sent, deadline;
    hg_rpc_fn fn;
    void *ctx, *arg;
    uint64_t arg2;
    int err; /* it could not be sent: reported at once by the timer */
    char id[37];
};

struct hg_rpcs {
    struct hg_loop *loop;
    const struct hg_conf *conf;
    struct hg_metrics *m;
    struct hg_kafka *kafka;
    /* private to rpc.c */
    struct hg_map calls;
    struct hg_rpc_call *first, *last;
    struct hg_timer timer;
};

struct hg_rpc_call *hg_rpc_new(struct hg_rpcs *rp, hg_rpc_fn fn, void *ctx, void *arg,
                               uint64_t arg2);
void hg_rpc_send(struct hg_rpcs *rp, struct hg_rpc_call *call, struct hg_slice request);
void hg_rpc_drop(struct hg_rpc_call *call); /* one that was not sent */
void hg_rpc_on_reply(struct hg_rpcs *rp, const struct hg_kafka_record *r);
/* One that was sent ends here with this error; on_done is called inside. */
void hg_rpc_end(struct hg_rpcs *rp, struct hg_rpc_call *call, int err);
void hg_rpcs_fini(struct hg_rpcs *rp); /* ends every call with RPC_SHUTDOWN */

#endif
