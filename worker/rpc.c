#include "worker/rpc.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/lsn_head.h"
#include "worker/session.h"

enum { MAX_ERROR_TEXT = 8000 }; /* of a worker's words: not a frame that makes clients slow */

static void on_deadline(void *arg, struct hg_mono now);

static void arm(struct hg_rpcs *rp)
{
    if (rp->first)
        hg_timer_start(hg_loop_timers(rp->loop), &rp->timer, rp->first->deadline, on_deadline, rp);
    else
        hg_timer_stop(hg_loop_timers(rp->loop), &rp->timer);
}

static void unlink_call(struct hg_rpcs *rp, struct hg_rpc_call *call)
{
    *(call->prev ? &call->prev->next : &rp->first) = call->next;
    *(call->next ? &call->next->prev : &rp->last) = call->prev;
}

/* Calls mostly share one time-out, so the place is nearly always the end. */
static void link_call(struct hg_rpcs *rp, struct hg_rpc_call *call)
{
    struct hg_rpc_call *after = rp->last;

    while (after && after->deadline.us > call->deadline.us)
        after = after->prev;
    call->prev = after;
    call->next = after ? after->next : rp->first;
    *(after ? &after->next : &rp->first) = call;
    *(call->next ? &call->next->prev : &rp->last) = call;
}

struct hg_rpc_call *hg_rpc_new(struct hg_rpcs *rp, hg_rpc_fn fn, void *ctx, void *arg,
                               uint64_t arg2)
{
    struct hg_rpc_call *call = hg_calloc(1, sizeof *call);
    unsigned char id[16];

    *call = (struct hg_rpc_call){.fn = fn, .ctx = ctx, .arg = arg, .arg2 = arg2};
    hg_session_id_new(id);
    hg_session_id_text(id, call->id);
    call->node.key = hg_slice_str(call->id);
    call->spec.correlation_id = call->node.key;
    call->spec.reply_topic = hg_slice_str(hg_kafka_reply_topic(rp->kafka));
    return call;
}

void hg_rpc_drop(struct hg_rpc_call *call)
{
    free(call);
}

static void finish(struct hg_rpcs *rp, struct hg_rpc_call *call, const struct hg_rpc_result *r)
{
    unlink_call(rp, call);
    hg_map_del(&rp->calls, &call->node);
    HG_SET(rp->m, rpc_inflight, rp->calls.count);
    call->fn(call->ctx, call->arg, call->arg2, r);
    free(call);
}

static void finish_err(struct hg_rpcs *rp, struct hg_rpc_call *call, int err)
{
    struct hg_rpc_result r = {.err = err, .text = hg_slice_str(hg_err_row(err)->wire)};

    HG_ERR_INC(rp->m, err);
    finish(rp, call, &r);
}

/* Kafka did not take it, so nobody will answer: nothing was asked. */
static void finish_unsent(struct hg_rpcs *rp, struct hg_rpc_call *call, int err)
{
    struct hg_rpc_result r = {.err = err, .text = HG_SLICE_LIT("the call is too large for Kafka")};

    if (err != -HG_E_TOO_BIG) {
        finish_err(rp, call, -HG_E_RPC_UNAVAILABLE);
        return;
    }
    HG_ERR_INC(rp->m, err);
    finish(rp, call, &r);
}

/* ---- sending ---- */

/* Of its own: the reply can be here, and the call gone, before Kafka's report. */
struct sent {
    struct hg_kafka_report report;
    struct hg_rpcs *rp;
    char id[sizeof((struct hg_rpc_call *)NULL)->id];
};

/* A broker's no ends the call at once. What may be in the log after all waits for its deadline. */
static void on_report(struct hg_kafka_report *report, int err)
{
    struct sent *s = HG_CONTAINER_OF(report, struct sent, report);
    struct hg_rpcs *rp = s->rp;
    bool refused = err < 0 && err != -HG_E_RPC_TIMEOUT && err != -HG_E_RPC_SHUTDOWN;
    struct hg_map_node *node = refused ? hg_map_get(&rp->calls, hg_slice_str(s->id)) : NULL;

    free(s);
    if (!node)
        return;
    finish_unsent(rp, HG_CONTAINER_OF(node, struct hg_rpc_call, node), err);
    arm(rp);
}

static int produce(struct hg_rpcs *rp, const struct hg_rpc_call *call, struct hg_slice request)
{
    struct sent *s = hg_malloc(sizeof *s);
    struct hg_kafka_msg m = {.topic = rp->conf->sql_rpc_request_topic,
                             .key = call->node.key,
                             .value = request,
                             .want_report = true,
                             .opaque = &s->report};
    int rc;

    *s = (struct sent){.report = {on_report}, .rp = rp};
    memcpy(s->id, call->id, sizeof s->id);
    rc = hg_kafka_produce(rp->kafka, &m);
    if (rc < 0)
        free(s);
    return rc;
}

void hg_rpc_send(struct hg_rpcs *rp, struct hg_rpc_call *call, struct hg_slice request)
{
    call->sent = hg_loop_now(rp->loop);
    call->err = produce(rp, call, request);
    call->deadline = call->err < 0 ? call->sent : hg_mono_add(call->sent, rp->conf->rpc_timeout);
    hg_map_put(&rp->calls, &call->node);
    link_call(rp, call);
    HG_INC(rp->m, rpc_calls);
    HG_SET(rp->m, rpc_inflight, rp->calls.count);
    arm(rp);
}

void hg_rpc_end(struct hg_rpcs *rp, struct hg_rpc_call *call, int err)
{
    finish_err(rp, call, err);
    arm(rp);
}

static void on_deadline(void *arg, struct hg_mono now)
{
    struct hg_rpcs *rp = arg;

    while (rp->first && hg_mono_reached(now, rp->first->deadline)) {
        struct hg_rpc_call *call = rp->first;

        if (call->err < 0) {
            finish_unsent(rp, call, call->err);
        } else {
            HG_INC(rp->m, rpc_timeouts);
            finish_err(rp, call, -HG_E_RPC_TIMEOUT);
        }
    }
    arm(rp);
}

static struct hg_lsn snapshot_lsn(const struct hg_kafka_record *r)
{
    static const char *const names[] = {HG_LSN_HEAD_SNAPSHOT, NULL};
    struct hg_slice value;
    struct hg_lsn lsn;

    if (!hg_kafka_record_header(r, names, &value) || hg_lsn_text_decode(value, &lsn) < 0)
        return hg_lsn(0);
    return lsn;
}

static void answer(struct hg_rpcs *rp, struct hg_rpc_call *call,
                   const struct hg_sqlrpc_reply *reply, struct hg_lsn s)
{
    struct hg_rpc_result r = {.reply = reply, .snapshot_lsn = s};
    size_t bytes;
    int rc;

    HG_OBSERVE(rp->m, rpc, hg_mono_sub(hg_loop_now(rp->loop), call->sent));
    if (!reply->ok) {
        r.err = -HG_E_RPC_REPLY;
        r.text = reply->error_message.n ? reply->error_message : HG_SLICE_LIT("rpc error");
        r.text.n = HG_MIN(r.text.n, MAX_ERROR_TEXT);
    } else if ((rc = hg_sqlrpc_rows_check(reply, &bytes)) < 0) { /* B-28: not at the deadline */
        HG_INC(rp->m, rpc_malformed);
        r.err = -HG_E_RPC_REPLY;
        r.text = rc == -HG_E_TOO_BIG ? HG_SLICE_LIT("the reply is too large")
                                     : HG_SLICE_LIT("the reply holds a row that is not JSON");
    }
    if (r.err < 0)
        HG_INC(rp->m, rpc_errors);
    finish(rp, call, &r);
}

void hg_rpc_on_reply(struct hg_rpcs *rp, const struct hg_kafka_record *rec)
{
    struct hg_sqlrpc_reply reply = {0};
    struct hg_map_node *node = NULL;

    if (!rec->value.p || hg_sqlrpc_reply_decode(rec->value, &reply) < 0) {
        HG_INC(rp->m, rpc_malformed);
        goto out;
    }
    if (reply.correlation_id.p)
        node = hg_map_get(&rp->calls, reply.correlation_id);
    if (node) {
        answer(rp, HG_CONTAINER_OF(node, struct hg_rpc_call, node), &reply, snapshot_lsn(rec));
        arm(rp);
    } else {
        HG_INC(rp->m, rpc_strays);
    }
out:
    hg_sqlrpc_reply_fini(&reply);
}

void hg_rpcs_fini(struct hg_rpcs *rp)
{
    while (rp->first)
        finish_err(rp, rp->first, -HG_E_RPC_SHUTDOWN);
    hg_timer_stop(hg_loop_timers(rp->loop), &rp->timer);
    hg_map_fini(&rp->calls);
}
