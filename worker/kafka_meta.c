/*
 * The calls of librdkafka that block, on a thread of their own: metadata, offsets of partitions,
 * making and deleting the reply topic. The thread sees no structure of the worker but struct kmeta
 * and what is constant while it lives; it neither logs nor counts: results go to the loop as a
 * list, with a write to the wake eventfd.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "worker/kafka_priv.h"

enum {
    CALL_MS =
        1000, /* a blocking call; also the longest wait of hg_kafka_free for this thread, thrice */
    AGAIN_MS = 100, /* after a failure; doubles while a topic is missing that we need */
    DOWN_AFTER = 2, /* look-ups that fail in a row */
};

static void post(struct kmeta *m, struct kresult r)
{
    struct kresult *n = hg_malloc(sizeof *n);
    *n = r;
    n->next = NULL;
    pthread_mutex_lock(&m->lock);
    *m->results_end = n;
    m->results_end = &n->next;
    pthread_mutex_unlock(&m->lock);
    kafka_wake(m->k);
}

static void post_text(struct kmeta *m, enum kresult_kind kind, const char *what, const char *text)
{
    struct kresult r = {.kind = (uint8_t)kind};
    snprintf(r.text, sizeof r.text, "%s: %s", what, text);
    post(m, r);
}

/* ---- metadata ---- */

static void note_probe(struct kmeta *m, rd_kafka_resp_err_t err)
{
    if (!err) {
        m->failures = 0;
        m->up = true;
        post(m, (struct kresult){
                    .kind = RES_UP}); /* each time: the loop may have heard of a loss meanwhile */
    } else if (++m->failures == DOWN_AFTER || (m->up && m->failures > DOWN_AFTER)) {
        m->up = false;
        post_text(m, RES_DOWN, "metadata", rd_kafka_err2str(err));
    }
}

/* Partitions of a topic; -1: not to be told now. */
static int count_of(const struct rd_kafka_metadata *md, const char *name, rd_kafka_resp_err_t *err)
{
    *err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    for (int i = 0; i < md->topic_cnt; i++) {
        if (strcmp(md->topics[i].topic, name) != 0)
            continue;
        *err = md->topics[i].err;
        if (!*err && md->topics[i].partition_cnt > 0)
            return md->topics[i].partition_cnt;
        break;
    }
    return *err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ? 0 : -1;
}

static bool tell_changes(struct kmeta *m, const struct rd_kafka_metadata *md)
{
    const struct hg_host *h = m->k->spec.host;
    bool all = true;
    for (uint32_t i = 0; i < h->ntopics; i++) {
        rd_kafka_resp_err_t err;
        int n = count_of(md, h->topics[i].name, &err);
        if (n >= 0)
            post(m, (struct kresult){.kind = RES_TOPIC, .topic = i, .count = (uint32_t)n});
        else if (err && err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
            post_text(m, RES_TROUBLE, h->topics[i].name, rd_kafka_err2str(err));
        all = all && n >= 0;
    }
    return all;
}

/* ---- the reply topic ---- */

static rd_kafka_resp_err_t wait_admin(rd_kafka_queue_t *q, int ms)
{
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, ms);
    if (!ev)
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_resp_err_t err = rd_kafka_event_error(ev);
    const rd_kafka_topic_result_t **list = NULL;
    size_t n = 0;
    if (rd_kafka_event_CreateTopics_result(ev))
        list = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
    else if (rd_kafka_event_DeleteTopics_result(ev))
        list = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(ev), &n);
    if (!err && list && n)
        err = rd_kafka_topic_result_error(list[0]);
    rd_kafka_event_destroy(ev);
    return err;
}

static rd_kafka_AdminOptions_t *admin_options(rd_kafka_t *rk, rd_kafka_admin_op_t op)
{
    char why[128];
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(rk, op);
    /* Refusals leave librdkafka's own time-out, and wait_admin has its own deadline anyway. */
    (void)rd_kafka_AdminOptions_set_request_timeout(o, CALL_MS, why, sizeof why);
    (void)rd_kafka_AdminOptions_set_operation_timeout(o, CALL_MS, why, sizeof why);
    return o;
}

static rd_kafka_resp_err_t create_by_admin(struct kmeta *m)
{
    rd_kafka_t *rk = m->k->cons;
    char why[200];
    rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(m->k->reply_name, 1, -1, why, sizeof why);
    if (!t)
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    /* What a killed gateway leaves behind shall at least stay small; a reply is of no use to anyone
     * after seconds. */
    (void)rd_kafka_NewTopic_set_config(t, "retention.ms", "600000");
    rd_kafka_AdminOptions_t *o = admin_options(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &t, 1, o, q);
    rd_kafka_resp_err_t err = wait_admin(q, 2 * CALL_MS);
    rd_kafka_queue_destroy(q);
    rd_kafka_AdminOptions_destroy(o);
    rd_kafka_NewTopic_destroy(t);
    return err;
}

/* Brokers that create a topic when a producer asks for it; our own handles never do that by
 * accident. */
static rd_kafka_resp_err_t create_by_asking(struct kmeta *m)
{
    char why[200];
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__CONFLICT;
    if (rd_kafka_conf_set(c, "bootstrap.servers", m->k->spec.conf->kafka_brokers, why,
                          sizeof why) != RD_KAFKA_CONF_OK ||
        rd_kafka_conf_set(c, "log.queue", "true", why, sizeof why) != RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(c);
        return err;
    }
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, c, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(c);
        return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
    }
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, m->k->reply_name, NULL);
    const struct rd_kafka_metadata *md = NULL;
    err = rkt ? rd_kafka_metadata(rk, 0, rkt, &md, CALL_MS) : rd_kafka_last_error();
    if (md)
        rd_kafka_metadata_destroy(md);
    if (rkt)
        rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    return err;
}

static void create_reply(struct kmeta *m)
{
    rd_kafka_resp_err_t err = create_by_admin(m);
    if (!err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        m->reply_made = true;
        return;
    }
    rd_kafka_resp_err_t second = create_by_asking(m);
    m->reply_made = !second;
    if (second)
        post_text(m, RES_TROUBLE, "reply topic", rd_kafka_err2str(err));
}

static bool tell_reply(struct kmeta *m, const struct rd_kafka_metadata *md)
{
    rd_kafka_resp_err_t err;
    int n = count_of(md, m->k->reply_name, &err);
    if (n > 0) {
        m->reply_seen = true;
        post(m, (struct kresult){.kind = RES_REPLY, .count = (uint32_t)n});
        return true;
    }
    if (n == 0) {
        if (m->reply_seen)
            post(m, (struct kresult){.kind = RES_REPLY});
        m->reply_seen = false;
        create_reply(m);
    } else if (err && err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
        post_text(m, RES_TROUBLE, "reply topic", rd_kafka_err2str(err));
    }
    return false;
}

static rd_kafka_resp_err_t delete_topic(struct kmeta *m, const char *name)
{
    rd_kafka_t *rk = m->k->cons;
    rd_kafka_DeleteTopic_t *t = rd_kafka_DeleteTopic_new(name);
    rd_kafka_AdminOptions_t *o = admin_options(rk, RD_KAFKA_ADMIN_OP_DELETETOPICS);
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopics(rk, &t, 1, o, q);
    rd_kafka_resp_err_t err = wait_admin(q, 2 * CALL_MS);
    rd_kafka_queue_destroy(q);
    rd_kafka_AdminOptions_destroy(o);
    rd_kafka_DeleteTopic_destroy(t);
    return err;
}

static struct kname *next_leftover(struct kmeta *m)
{
    pthread_mutex_lock(&m->lock);
    struct kname *n = m->leftovers;
    if (n)
        m->leftovers = n->next;
    pthread_mutex_unlock(&m->lock);
    return n;
}

/* Once: a topic that can't be deleted is a nuisance, not a fault, and retention keeps it small. */
static void delete_leftover(struct kmeta *m, struct kname *n)
{
    rd_kafka_resp_err_t err = delete_topic(m, n->name);
    if (err && err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
        err != RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE)
        post_text(m, RES_TROUBLE, "deleting a dead worker's reply topic", rd_kafka_err2str(err));
    free(n);
}

static void delete_leftovers(struct kmeta *m)
{
    for (struct kname *n; m->up && (n = next_leftover(m));)
        delete_leftover(m, n);
}

/* When to look again: soon while no broker answers (the call itself waits a second then); with
 * growing pauses while a topic can't be made or told; otherwise after the interval. */
static int64_t pause_after(struct kmeta *m, bool answered, bool all, int64_t interval_ms)
{
    if (all)
        m->missing = 0;
    if (!answered || all)
        return answered ? interval_ms : HG_MIN(AGAIN_MS, interval_ms);
    int64_t pause_ms = (int64_t)AGAIN_MS << HG_MIN(m->missing, 8u);
    m->missing++;
    return HG_MIN(pause_ms, interval_ms);
}

/* One look at everything; returns the pause until the next. */
static int64_t probe(struct kmeta *m, int64_t interval_ms)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(m->k->cons, 0, NULL, &md, CALL_MS);
    note_probe(m, err);
    if (err)
        return pause_after(m, false, false, interval_ms);
    bool all = tell_changes(m, md);
    all = tell_reply(m, md) && all;
    rd_kafka_metadata_destroy(md);
    delete_leftovers(m);
    return pause_after(m, true, all, interval_ms);
}

/* ---- offsets ---- */

static struct kask *take_asks(struct kmeta *m)
{
    pthread_mutex_lock(&m->lock);
    struct kask *a = m->asks;
    m->asks = NULL;
    m->asks_end = &m->asks;
    pthread_mutex_unlock(&m->lock);
    return a;
}

/* One ListOffsets request per leader for all that was asked; when is -2 (start) or -1 (end; the
 * last stable offset). */
static void list_offsets(struct kmeta *m, struct kask *asks, int64_t when)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(16);
    for (struct kask *a = asks; a; a = a->next)
        rd_kafka_topic_partition_list_add(l, rd_kafka_topic_name(a->topic->rkt), (int32_t)a->part)
            ->offset = when;
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(m->k->cons, l, 2 * CALL_MS);
    for (struct kask *a = asks; a; a = a->next) {
        const rd_kafka_topic_partition_t *e = rd_kafka_topic_partition_list_find(
            l, rd_kafka_topic_name(a->topic->rkt), (int32_t)a->part);
        if (!a->err && e->err)
            a->err = (int)e->err;
        else if (!a->err && e->offset < 0) /* untouched: the request never got its answer */
            a->err = (int)(err ? err : RD_KAFKA_RESP_ERR__TIMED_OUT);
        *(when == RD_KAFKA_OFFSET_BEGINNING ? &a->lo : &a->hi) = e->offset;
    }
    rd_kafka_topic_partition_list_destroy(l);
}

static void answer_asks(struct kmeta *m)
{
    struct kask *asks = take_asks(m);
    if (!asks)
        return;
    list_offsets(m, asks, RD_KAFKA_OFFSET_BEGINNING);
    list_offsets(m, asks, RD_KAFKA_OFFSET_END);
    while (asks) {
        struct kask *a = asks;
        asks = a->next;
        post(m, (struct kresult){.kind = RES_OFFSETS,
                                 .topic = a->topic->index,
                                 .part = a->part,
                                 .gen = a->gen,
                                 .lo = a->lo,
                                 .hi = a->hi,
                                 .err = a->err});
        free(a);
    }
}

/* ---- the thread ---- */

static struct timespec in_ms(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Waits for something to do. Returns false at stop; *look says whether it is time for (or somebody
 * wants) a probe. */
static bool wait_for_work(struct kmeta *m, const struct timespec *next_probe, bool *look)
{
    pthread_mutex_lock(&m->lock);
    int rc = 0;
    while (!m->stop && !m->kick && !m->asks && rc == 0)
        rc = pthread_cond_timedwait(&m->cond, &m->lock, next_probe);
    *look = m->kick || rc != 0;
    m->kick = false;
    bool go_on = !m->stop;
    pthread_mutex_unlock(&m->lock);
    return go_on;
}

static void *thread_main(void *arg)
{
    struct kmeta *m = arg;
    int64_t interval = HG_MAX(m->k->spec.conf->kafka_metadata_interval / HG_MS, 100);
    struct timespec next = in_ms(0);
    bool look;
    while (wait_for_work(m, &next, &look)) {
        if (look)
            next = in_ms(probe(m, interval));
        answer_asks(m);
    }
    delete_leftovers(m);
    if (m->delete_own && m->reply_made && m->up)
        (void)delete_topic(m, m->k->reply_name); /* nobody is left to be told */
    return NULL;
}

/* ---- loop side ---- */

int kafka_meta_start(struct hg_kafka *k)
{
    struct kmeta *m = &k->meta;
    m->k = k;
    m->asks_end = &m->asks;
    m->results_end = &m->results;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->cond, &attr);
    pthread_condattr_destroy(&attr);
    sigset_t all, old;
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&m->thread, NULL, thread_main, m);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    m->started = rc == 0;
    return rc == 0 ? 0 : -HG_E_SYS;
}

static void free_lists(struct kmeta *m)
{
    for (struct kask *a = take_asks(m), *n; a; a = n) {
        n = a->next;
        free(a);
    }
    for (struct kresult *r = kafka_meta_take(m->k), *n; r; r = n) {
        n = r->next;
        free(r);
    }
    for (struct kname *n; (n = next_leftover(m));)
        free(n);
}

void kafka_meta_stop(struct hg_kafka *k, bool delete_own)
{
    struct kmeta *m = &k->meta;
    if (!m->k) /* never started */
        return;
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    m->delete_own = delete_own;
    pthread_cond_signal(&m->cond);
    pthread_mutex_unlock(&m->lock);
    if (m->started)
        pthread_join(m->thread, NULL);
    free_lists(m);
    pthread_cond_destroy(&m->cond);
    pthread_mutex_destroy(&m->lock);
}

void kafka_meta_delete(struct hg_kafka *k, const char *topic)
{
    size_t len = strlen(topic) + 1;
    struct kname *n = hg_malloc(sizeof *n + len);
    memcpy(n->name, topic, len);
    pthread_mutex_lock(&k->meta.lock);
    n->next = k->meta.leftovers;
    k->meta.leftovers = n;
    pthread_mutex_unlock(&k->meta.lock);
}

void kafka_meta_kick(struct hg_kafka *k)
{
    pthread_mutex_lock(&k->meta.lock);
    k->meta.kick = true;
    pthread_cond_signal(&k->meta.cond);
    pthread_mutex_unlock(&k->meta.lock);
}

void kafka_meta_ask(struct hg_kafka *k, struct ktopic *t, uint32_t part, uint32_t gen)
{
    struct kask *a = hg_calloc(1, sizeof *a);
    *a = (struct kask){.topic = t, .part = part, .gen = gen};
    pthread_mutex_lock(&k->meta.lock);
    *k->meta.asks_end = a;
    k->meta.asks_end = &a->next;
    pthread_cond_signal(&k->meta.cond);
    pthread_mutex_unlock(&k->meta.lock);
}

struct kresult *kafka_meta_take(struct hg_kafka *k)
{
    struct kmeta *m = &k->meta;
    pthread_mutex_lock(&m->lock);
    struct kresult *r = m->results;
    m->results = NULL;
    m->results_end = &m->results;
    pthread_mutex_unlock(&m->lock);
    return r;
}
