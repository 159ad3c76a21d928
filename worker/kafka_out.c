/*
 * Us towards Kafka: one producer handle, its topics, delivery reports. Idempotent, so that a
 * retried SQL call is not executed twice and a tombstone does not overtake its query; where the
 * broker refuses that, a plain one. A fatal error of the handle (only idempotence has them) means a
 * new handle after a pause that doubles.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/sys/log.h"
#include "worker/kafka_priv.h"

enum { AGAIN_MS = 200, AGAIN_MAX_MS = 30000 };

struct report {
    void *opaque;
};

/* Whose messages a topic carries: the opaque of its handle, for the counters. */
enum kind { KIND_OTHER, KIND_CALL, KIND_CONTROL, KIND_SEED };

/* ---- topics ---- */

static enum kind kind_of(const struct hg_conf *cf, const char *name)
{
    if (strcmp(name, cf->sql_rpc_request_topic) == 0)
        return KIND_CALL;
    if (strcmp(name, cf->query_control_topic) == 0)
        return KIND_CONTROL;
    return strcmp(name, cf->page_seed_topic) == 0 ? KIND_SEED : KIND_OTHER;
}

/* A SQL call that nobody waits for any more must not be executed: it leaves the queue with its
 * deadline. A tombstone must be in the log, or given up, well before the mark `closing` runs out
 * and a joiner goes on (control.h). A seed is worth as much as the snapshot it was for. */
static int64_t timeout_of(const struct hg_conf *cf, enum kind kind)
{
    return HG_MAX((kind == KIND_CONTROL ? cf->query_control_lease / 3 : cf->rpc_timeout) / HG_MS,
                  100);
}

static rd_kafka_topic_conf_t *topic_conf(struct hg_kafka *k, const char *name)
{
    enum kind kind = kind_of(k->spec.conf, name);
    rd_kafka_topic_conf_t *c = rd_kafka_default_topic_conf_dup(k->prod);
    char ms[24], why[128];
    snprintf(ms, sizeof ms, "%lld", (long long)timeout_of(k->spec.conf, kind));
    if (kind != KIND_OTHER)
        (void)rd_kafka_topic_conf_set(c, "message.timeout.ms", ms, why,
                                      sizeof why); /* 100 ms to 10 min is legal */
    rd_kafka_topic_conf_set_opaque(c, (void *)(uintptr_t)kind);
    return c;
}

static void count(struct hg_kafka *k, enum kind kind, bool ok)
{
    struct hg_metrics *m = k->spec.metrics;
    if (ok)
        HG_INC(m, produce_ok);
    else
        HG_INC(m, produce_failed);
    if (kind == KIND_CONTROL && ok)
        HG_INC(m, control_produced);
    else if (kind == KIND_CONTROL)
        HG_INC(m, control_failed);
    else if (kind == KIND_SEED && ok)
        HG_INC(m, seeds_produced);
    else if (kind == KIND_SEED)
        HG_INC(m, seeds_failed);
}

static rd_kafka_topic_t *topic(struct hg_kafka *k, const char *name)
{
    for (size_t i = 0; i < k->nout; i++)
        if (strcmp(k->out[i].name, name) == 0)
            return k->out[i].rkt;
    rd_kafka_topic_conf_t *c = topic_conf(k, name);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(k->prod, name, c);
    if (!rkt) {
        rd_kafka_topic_conf_destroy(c);
        return NULL;
    }
    k->out = hg_realloc(k->out, (k->nout + 1) * sizeof *k->out);
    k->out[k->nout++] = (struct kproducer_topic){hg_strdup(name), rkt};
    return rkt;
}

static void drop_topics(struct hg_kafka *k)
{
    for (size_t i = 0; i < k->nout; i++) {
        rd_kafka_topic_destroy(k->out[i].rkt);
        free(k->out[i].name);
    }
    free(k->out), k->out = NULL;
    k->nout = 0;
}

/* ---- produce ---- */

/* TOO_BIG and RPC_UNAVAILABLE: it is in no log. RPC_TIMEOUT and RPC_SHUTDOWN: it may be. */
static int err_of(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return 0;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return -HG_E_FULL;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return -HG_E_TOO_BIG;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        return -HG_E_RPC_TIMEOUT;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        return -HG_E_RPC_SHUTDOWN;
    default:
        return -HG_E_RPC_UNAVAILABLE;
    }
}

int hg_kafka_produce(struct hg_kafka *k, const struct hg_kafka_msg *m)
{
    rd_kafka_topic_t *rkt = k->prod && !k->closing ? topic(k, m->topic) : NULL;
    if (!rkt)
        return -HG_E_RPC_UNAVAILABLE;
    struct report *r = NULL;
    if (m->want_report) {
        r = hg_malloc(sizeof *r);
        r->opaque = m->opaque;
    }
    if (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                         (void *)(uintptr_t)m->value.p, m->value.n, m->key.p, m->key.n, r) == 0)
        return 0;
    int rc = err_of(rd_kafka_last_error());
    free(r);
    count(k, kind_of(k->spec.conf, m->topic), false);
    return rc;
}

/* ---- events ---- */

static int report_of(const rd_kafka_message_t *m)
{
    int err = err_of(m->err);

    if (err == -HG_E_RPC_UNAVAILABLE &&
        rd_kafka_message_status(m) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
        return -HG_E_RPC_TIMEOUT;
    return err;
}

static void on_delivery(struct hg_kafka *k, const rd_kafka_message_t *m)
{
    struct report *r = m->_private;
    count(k, (enum kind)(uintptr_t)rd_kafka_topic_opaque(m->rkt), !m->err);
    if (m->err) {
        hg_log_limited(HG_LOG_WARN, NULL, "kafka.produce_failed", "topic=%s why=\"%s\"",
                       rd_kafka_topic_name(m->rkt), rd_kafka_err2str(m->err));
    } else {
        k->prod_deaths = 0;
    }
    if (r)
        k->spec.ev.on_report(k->spec.ev.ctx, r->opaque, report_of(m));
    free(r);
}

static void on_reports(struct hg_kafka *k, rd_kafka_event_t *ev)
{
    const rd_kafka_message_t *m;
    while ((m = rd_kafka_event_message_next(ev)))
        on_delivery(k, m);
}

static bool close_handle(struct hg_kafka *k);

static void reopen(void *arg, struct hg_mono now)
{
    (void)now;
    struct hg_kafka *k = arg;
    if (kafka_out_open(k) < 0) /* our properties were good before: threads or memory are short */
        hg_timer_start(hg_loop_timers(k->spec.loop), &k->prod_again,
                       hg_mono_add(hg_loop_now(k->spec.loop), AGAIN_MAX_MS * HG_MS), reopen, k);
}

static bool refuses_idempotence(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

/* Returns true when the handle is dead and gone. */
static bool buried(struct hg_kafka *k)
{
    char why[256];
    rd_kafka_resp_err_t err = rd_kafka_fatal_error(k->prod, why, sizeof why);
    if (!err || k->closing)
        return false;
    hg_log(HG_LOG_WARN, NULL, "kafka.producer_fatal", "err=%s why=\"%s\"", rd_kafka_err2name(err),
           why);
    k->plain_producer = k->plain_producer || refuses_idempotence(err);
    int64_t wait_ms = HG_MIN((int64_t)AGAIN_MS << HG_MIN(k->prod_deaths, 10u), AGAIN_MAX_MS);
    k->prod_deaths++;
    close_handle(k);
    hg_timer_start(hg_loop_timers(k->spec.loop), &k->prod_again,
                   hg_mono_add(hg_loop_now(k->spec.loop), wait_ms * HG_MS), reopen, k);
    return true;
}

/* One event; false: none is waiting. */
static bool serve_one(struct hg_kafka *k, int wait_ms)
{
    rd_kafka_event_t *ev = rd_kafka_queue_poll(k->prod_events, wait_ms);
    if (!ev)
        return false;
    if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_DR)
        on_reports(k, ev);
    else
        kafka_on_event(k, ev, "producer");
    rd_kafka_event_destroy(ev);
    return true;
}

void kafka_out_serve(struct hg_kafka *k)
{
    unsigned done = 0;
    while (k->prod && done < KAFKA_BUDGET && serve_one(k, 0))
        done++;
    if (k->prod && buried(k))
        return;
    if (done == KAFKA_BUDGET)
        kafka_wake(k);
}

/* ---- life ---- */

int kafka_out_open(struct hg_kafka *k)
{
    char why[256];
    rd_kafka_conf_t *c = kafka_conf_producer(&k->spec, !k->plain_producer);
    if (!c)
        return -HG_E_CONF_VALUE;
    k->prod = rd_kafka_new(RD_KAFKA_PRODUCER, c, why, sizeof why);
    if (!k->prod) {
        rd_kafka_conf_destroy(c);
        hg_log(HG_LOG_ERROR, NULL, "kafka.producer", "why=\"%s\"", why);
        return -HG_E_SYS;
    }
    (void)rd_kafka_set_log_queue(k->prod, NULL);
    k->prod_events = rd_kafka_queue_get_main(k->prod);
    kafka_watch_queue(k, k->prod_events);
    return 0;
}

/* Every message that asked for a report gets one: what is left is purged. */
static bool close_handle(struct hg_kafka *k)
{
    rd_kafka_purge(k->prod, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_outq_len(k->prod) > 0 && serve_one(k, 100))
        ;
    bool clean = rd_kafka_outq_len(k->prod) == 0;
    drop_topics(k);
    rd_kafka_queue_destroy(k->prod_events), k->prod_events = NULL;
    rd_kafka_destroy(k->prod), k->prod = NULL;
    return clean;
}

void kafka_out_close(struct hg_kafka *k, int flush_ms)
{
    hg_timer_stop(hg_loop_timers(k->spec.loop), &k->prod_again);
    if (!k->prod)
        return;
    struct hg_mono end = hg_mono_add(hg_mono_read(), flush_ms * HG_MS);
    (void)rd_kafka_flush(k->prod, 0); /* with reports as events it only ends the linger */
    while (rd_kafka_outq_len(k->prod) > 0 && !hg_mono_reached(hg_mono_read(), end))
        serve_one(k, 10);
    if (!close_handle(k))
        hg_log(HG_LOG_WARN, NULL, "kafka.producer", "why=\"messages without a report at the end\"");
}
