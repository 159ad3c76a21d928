/*
 * Handles, librdkafka's event queues, state and life cycle. Threads of librdkafka only ever write
 * the wake eventfd; everything else happens in serve(), on the loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "common/sys/log.h"
#include "worker/kafka_priv.h"

/* ---- wake ---- */

void kafka_wake(struct hg_kafka *k)
{
    static const uint64_t one = 1;
    /* EAGAIN: 2^64-2 wakes are pending, that will do. */
    if (write(k->wake_fd, &one, sizeof one) < 0)
        return;
}

/* The event is edge-like: it comes when a queue that was empty gets something. serve() drains until
 * empty, or wakes itself. */
void kafka_watch_queue(struct hg_kafka *k, rd_kafka_queue_t *q)
{
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(q, k->wake_fd, &one, sizeof one);
    kafka_wake(k); /* what came before */
}

/* ---- state and errors ---- */

void kafka_tell_state(struct hg_kafka *k)
{
    bool ready = k->up && hg_kafka_replies_ready(k);
    if (k->told && k->told_up == k->up && k->told_ready == ready)
        return;
    k->told = true;
    k->told_up = k->up;
    k->told_ready = ready;
    HG_SET(k->spec.metrics, kafka_up, k->up);
    if (!k->closing)
        k->spec.ev.on_state(k->spec.ev.ctx, k->up, ready);
}

void kafka_set_up(struct hg_kafka *k, bool up, const char *why)
{
    if (up != k->up && up)
        hg_log(HG_LOG_INFO, NULL, "kafka.up", "brokers=%s", k->spec.conf->kafka_brokers);
    else if (!up && (k->up || !k->told))
        hg_log(HG_LOG_WARN, NULL, "kafka.down", "brokers=%s why=\"%s\"",
               k->spec.conf->kafka_brokers, why);
    k->up = up;
    kafka_tell_state(k);
}

void kafka_count_error(struct hg_kafka *k, const char *tag, const char *what,
                       rd_kafka_resp_err_t err, const char *text)
{
    HG_INC(k->spec.metrics, kafka_errors);
    hg_log_limited(HG_LOG_WARN, NULL, tag, "what=\"%s\" err=%s why=\"%s\"", what,
                   rd_kafka_err2name(err), text ? text : "");
}

/* librdkafka speaks syslog levels; what it calls an error (a refused connection) mends itself. */
static void on_log(rd_kafka_event_t *ev, const char *who)
{
    const char *facility, *text;
    int level;
    if (rd_kafka_event_log(ev, &facility, &text, &level) != 0)
        return;
    /* CONFWARN is about what each kind of handle makes of the properties it shares with the
     * other. */
    bool quiet =
        level > 4 || strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "AUTOCREATE") == 0;
    hg_log_limited(quiet        ? HG_LOG_DEBUG
                   : level <= 3 ? HG_LOG_WARN
                                : HG_LOG_INFO,
                   NULL, "kafka.client", "handle=%s facility=%s text=\"%s\"", who, facility, text);
}

void kafka_on_event(struct hg_kafka *k, rd_kafka_event_t *ev, const char *who)
{
    if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_LOG) {
        on_log(ev, who);
        return;
    }
    rd_kafka_resp_err_t err = rd_kafka_event_error(ev);
    if (!err)
        return;
    kafka_count_error(k, "kafka.error", who, err, rd_kafka_event_error_string(ev));
    kafka_meta_kick(k); /* is it the broker? */
}

/* Only the consumer's word counts: the producer connects when there is something to send. */
static void consumer_events(struct hg_kafka *k)
{
    rd_kafka_event_t *ev;
    unsigned done = 0;
    for (; done < KAFKA_BUDGET && (ev = rd_kafka_queue_poll(k->cons_events, 0)); done++) {
        bool down = rd_kafka_event_type(ev) == RD_KAFKA_EVENT_ERROR &&
                    rd_kafka_event_error(ev) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
        kafka_on_event(k, ev, "consumer");
        rd_kafka_event_destroy(ev);
        if (down)
            kafka_set_up(k, false, "all brokers are down");
    }
    if (done == KAFKA_BUDGET)
        kafka_wake(k);
}

static void on_result(struct hg_kafka *k, const struct kresult *r)
{
    switch ((enum kresult_kind)r->kind) {
    case RES_TOPIC:
        kafka_in_topic_count(k, r->topic, r->count);
        break;
    case RES_OFFSETS:
        kafka_in_offsets(k, r);
        break;
    case RES_REPLY:
        kafka_in_reply_count(k, r->count);
        break;
    case RES_UP:
        kafka_set_up(k, true, "");
        break;
    case RES_DOWN:
        kafka_set_up(k, false, r->text);
        break;
    case RES_TROUBLE:
        HG_INC(k->spec.metrics, kafka_errors);
        hg_log_limited(HG_LOG_WARN, NULL, "kafka.trouble", "why=\"%s\"", r->text);
        break;
    }
}

static void results(struct hg_kafka *k)
{
    for (struct kresult *r = kafka_meta_take(k), *next; r; r = next) {
        next = r->next;
        on_result(k, r);
        free(r);
    }
}

static void serve(void *arg, int fd, unsigned events)
{
    (void)events;
    struct hg_kafka *k = arg;
    uint64_t n;
    if (read(fd, &n, sizeof n) < 0) /* EAGAIN: serve anyway, it is cheap */
        n = 0;
    consumer_events(k);
    kafka_out_serve(k);
    results(k);
    kafka_in_serve(k);
}

static void tick(void *arg, struct hg_mono now)
{
    struct hg_kafka *k = arg;
    kafka_in_tick(k);
    kafka_reply_bury(k, false);
    hg_timer_start(hg_loop_timers(k->spec.loop), &k->tick, hg_mono_add(now, KAFKA_TICK_MS * HG_MS),
                   tick, k);
}

/* ---- life ---- */

static int open_consumer(struct hg_kafka *k)
{
    char why[256];
    rd_kafka_conf_t *c = kafka_conf_consumer(&k->spec);
    if (!c)
        return -HG_E_CONF_VALUE;
    k->cons = rd_kafka_new(RD_KAFKA_CONSUMER, c, why, sizeof why);
    if (!k->cons) {
        rd_kafka_conf_destroy(c);
        hg_log(HG_LOG_ERROR, NULL, "kafka.consumer", "why=\"%s\"", why);
        return -HG_E_SYS;
    }
    (void)rd_kafka_set_log_queue(k->cons, NULL);
    k->cons_events = rd_kafka_queue_get_main(k->cons);
    k->changes.q = rd_kafka_queue_new(k->cons);
    k->replies.q = rd_kafka_queue_new(k->cons);
    kafka_watch_queue(k, k->cons_events);
    kafka_watch_queue(k, k->changes.q);
    kafka_watch_queue(k, k->replies.q);
    return 0;
}

static int open_topics(struct hg_kafka *k)
{
    k->reply.index = UINT32_MAX;
    if (!kafka_in_topic(k, &k->reply, k->reply_name))
        return -HG_E_CONF_VALUE;
    for (uint32_t i = 0; i < k->spec.host->ntopics; i++) {
        k->topics[i].index = i;
        if (!kafka_in_topic(k, &k->topics[i], k->spec.host->topics[i].name))
            return -HG_E_CONF_VALUE;
    }
    return 0;
}

static int open_all(struct hg_kafka *k)
{
    int rc;
    k->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (k->wake_fd < 0 || hg_watch_start(k->spec.loop, &k->wake, k->wake_fd, HG_IN, serve, k) < 0)
        return -HG_E_SYS;
    kafka_reply_name(k);
    if ((rc = open_consumer(k)) < 0 || (rc = kafka_out_open(k)) < 0 || (rc = open_topics(k)) < 0)
        return rc;
    return kafka_meta_start(k);
}

struct hg_kafka *hg_kafka_new(const struct hg_kafka_spec *spec)
{
    struct hg_kafka *k = hg_calloc(1, sizeof *k);
    k->spec = *spec;
    k->wake_fd = -1;
    int rc = open_all(k);
    if (rc < 0) {
        hg_log(HG_LOG_ERROR, NULL, "kafka.open", "code=%s", hg_err_row(rc)->name);
        hg_kafka_free(k, 0);
        return NULL;
    }
    tick(k, hg_loop_now(spec->loop));
    return k;
}

static void close_topics(struct hg_kafka *k)
{
    for (uint32_t i = 0; i < HG_MAX_TOPICS; i++) {
        if (k->topics[i].rkt)
            rd_kafka_topic_destroy(k->topics[i].rkt);
        free(k->topics[i].parts);
    }
    if (k->reply.rkt)
        rd_kafka_topic_destroy(k->reply.rkt);
    free(k->reply.parts);
}

static void close_consumer(struct hg_kafka *k)
{
    if (!k->cons)
        return;
    rd_kafka_queue_destroy(k->changes.q);
    rd_kafka_queue_destroy(k->replies.q);
    rd_kafka_queue_destroy(k->cons_events);
    rd_kafka_destroy(k->cons);
}

void hg_kafka_free(struct hg_kafka *k, int flush_ms)
{
    if (!k)
        return;
    k->closing = true;
    hg_timer_stop(hg_loop_timers(k->spec.loop), &k->tick);
    kafka_out_close(k, flush_ms);
    kafka_in_stop_all(k);
    kafka_reply_bury(k, true);
    kafka_meta_stop(k, k->reply_is_own);
    kafka_reply_forget(k);
    close_topics(k);
    close_consumer(k);
    hg_watch_stop(k->spec.loop, &k->wake);
    if (k->wake_fd >= 0)
        close(k->wake_fd);
    free(k);
}

void hg_kafka_resume(struct hg_kafka *k)
{
    k->blocked = false;
    kafka_wake(k);
}

void hg_kafka_pause(struct hg_kafka *k, bool pause)
{
    if (k->paused == pause)
        return;
    k->paused = pause;
    HG_SET(k->spec.metrics, paused, pause);
    if (!pause)
        kafka_wake(k);
}

const char *hg_kafka_reply_topic(const struct hg_kafka *k)
{
    return k->reply_name;
}

bool hg_kafka_is_up(const struct hg_kafka *k)
{
    return k->up;
}

bool hg_kafka_replies_ready(const struct hg_kafka *k)
{
    for (uint32_t i = 0; i < k->reply.nparts; i++)
        if (k->reply.parts[i].state != PART_LIVE)
            return false;
    return k->reply.nparts > 0;
}

uint32_t hg_kafka_held(const struct hg_kafka *k)
{
    return k->held;
}
