/*
 * The carrier "nats", by libnats; the one file that knows it. Every call of libnats may wait
 * (names, connecting, a full socket), so none is made by the loop but natsConnection_Close: a
 * keeper thread holds the connection for its whole life, and a reader thread per channel takes what
 * arrives.
 *
 *   loop --publish--> out[] --keeper--> server --reader--> events --eventfd--> loop
 *                                 \---- told: up, down, sent ----^
 *
 * 1. The mutex guards what both sides see ("shared"); no call of libnats that waits is made under
 *    it.
 * 2. Nothing of the bus is called but by the loop, from on_events and close. No callback is given
 *    to libnats, so nothing of it can call a carrier that is gone.
 * 3. A message is sent when the PONG of the PING behind it has come; a batch of them shares one
 *    PING. The same PING, while there is nothing to send, finds a server that went silent.
 * 4. libnats never reconnects by itself: that, the back-off and its jitter are the keeper's.
 * 5. Messages keep their order within a channel, not between the two.
 */
#include <bsd/stdlib.h>
#include <nats/nats.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "common/base/err.h"
#include "worker/bus_carrier.h"
#include "worker/nats_url.h"

#define PROBE_EVERY (5 * HG_S)
#define ANSWER_TIMEOUT (5 * HG_S)
#define CLOSE_WAIT (200 * HG_MS)   /* for what was published last: a loop that ends waits for it */
#define CONNECT_TIMEOUT (2 * HG_S) /* at most: closing waits for it */
#define BACKOFF_FIRST (50 * HG_MS)
#define BACKOFF_MOST (5 * HG_S)

enum {
    BATCH = 1 << 20,     /* bytes behind one PING */
    HEARD_CAP = 4 << 20, /* bytes heard that the loop has not taken; the reader waits above it */
    EVENTS_A_TURN = 256,
};

struct out { /* a message to publish */
    struct out *next;
    enum hg_bus_channel channel;
    size_t n;
    char text[];
};

struct outs {
    struct out *first, **end;
};

enum event_kind { HEARD, UP, DOWN, GAP, SENT, NOT_SENT };

struct event { /* for the loop */
    struct event *next;
    enum event_kind kind;
    enum hg_bus_channel channel; /* HEARD */
    natsMsg *msg;                /* HEARD */
    unsigned count;              /* SENT, NOT_SENT */
    const char *why;             /* DOWN, GAP, NOT_SENT: a constant */
};

struct reader { /* of one channel of one connection */
    struct bus_nats *b;
    enum hg_bus_channel channel;
    natsSubscription *sub;
    pthread_t thread;
    bool runs;
};

struct bus_nats {
    struct hg_bus *bus;
    struct hg_loop *loop;
    struct hg_watch watch;
    struct hg_nats_url url;
    int64_t probe_every, answer_timeout;
    int wake; /* eventfd: events is not empty */
    pthread_t keeper;

    pthread_mutex_t mutex;
    pthread_cond_t work; /* for the keeper: out, lost or stop changed */
    pthread_cond_t room; /* for the readers and close: heard, inflight or ending changed */
    /* shared */
    struct outs out;
    size_t inflight; /* bytes of out and of the batch under way */
    struct event *events, **events_end;
    size_t heard;    /* bytes in events */
    bool accepting;  /* connected and subscribed */
    natsStatus lost; /* of this connection, by the reader */
    bool ending;     /* this connection is */
    bool stop;
    natsConnection *nc; /* for close, which ends a wait with it */

    /* of the keeper */
    unsigned attempts; /* since the server last answered a batch or a probe */
    struct reader readers[HG_BUS_CHANNELS];
};

/* ---- what the threads tell the loop ---- */

static void tell_locked(struct bus_nats *b, struct event row)
{
    static const uint64_t one = 1;
    struct event *e = hg_calloc(1, sizeof *e);
    *e = row;
    if (!b->events)
        HG_BUG_ON(write(b->wake, &one, sizeof one) != sizeof one);
    *b->events_end = e;
    b->events_end = &e->next;
}

static void tell(struct bus_nats *b, struct event row)
{
    pthread_mutex_lock(&b->mutex);
    tell_locked(b, row);
    pthread_mutex_unlock(&b->mutex);
}

static size_t heard_bytes(natsMsg *msg)
{
    return sizeof(struct event) + (size_t)natsMsg_GetDataLength(msg);
}

static struct event *next_event(struct bus_nats *b)
{
    uint64_t count;
    pthread_mutex_lock(&b->mutex);
    struct event *e = b->events;
    if (e) {
        b->events = e->next;
        if (e->kind == HEARD)
            b->heard -= heard_bytes(e->msg);
        pthread_cond_signal(&b->room);
    }
    if (!b->events) {
        b->events_end = &b->events;
        if (read(b->wake, &count, sizeof count) < 0)
            count = 0; /* was not set: nothing to take back */
    }
    pthread_mutex_unlock(&b->mutex);
    return e;
}

/* There is one connection, so a lost one is told of its listening half alone. */
static void deliver(struct bus_nats *b, const struct event *e)
{
    switch (e->kind) {
    case HEARD:
        hg_bus_heard(b->bus, e->channel,
                     hg_slice_of(natsMsg_GetData(e->msg), (size_t)natsMsg_GetDataLength(e->msg)));
        break;
    case UP:
        hg_bus_link(b->bus, HG_BUS_PUBLISHING, true, "");
        hg_bus_link(b->bus, HG_BUS_LISTENING, true, "");
        break;
    case DOWN:
        hg_bus_link(b->bus, HG_BUS_LISTENING, false, e->why);
        break;
    case GAP:
        hg_bus_link(b->bus, HG_BUS_LISTENING, false, e->why);
        hg_bus_link(b->bus, HG_BUS_LISTENING, true, "");
        break;
    case SENT:
    case NOT_SENT:
        for (unsigned i = 0; i < e->count; i++)
            hg_bus_sent(b->bus, e->kind == SENT, hg_slice_str(e->why));
        break;
    }
}

static void event_free(struct event *e)
{
    if (e->kind == HEARD)
        natsMsg_Destroy(e->msg);
    free(e);
}

static void on_events(void *arg, int fd, unsigned events)
{
    struct bus_nats *b = arg;
    (void)fd, (void)events;
    for (int i = 0; i < EVENTS_A_TURN; i++) {
        struct event *e = next_event(b);
        if (!e)
            return;
        deliver(b, e);
        event_free(e);
    }
}

/* ---- the readers: what arrives on one connection ---- */

static void hear(const struct reader *r, natsMsg *msg)
{
    struct bus_nats *b = r->b;
    pthread_mutex_lock(&b->mutex);
    while (b->heard >= HEARD_CAP && !b->ending)
        pthread_cond_wait(&b->room, &b->mutex);
    bool keep = !b->ending;
    if (keep) {
        b->heard += heard_bytes(msg);
        tell_locked(b, (struct event){.kind = HEARD, .channel = r->channel, .msg = msg});
    }
    pthread_mutex_unlock(&b->mutex);
    if (!keep)
        natsMsg_Destroy(msg);
}

static void *read_all(void *arg)
{
    const struct reader *r = arg;
    struct bus_nats *b = r->b;
    natsStatus s;
    for (;;) {
        natsMsg *msg = NULL;
        s = natsSubscription_NextMsg(&msg, r->sub, 60 * 1000);
        if (s == NATS_OK)
            hear(r, msg);
        else if (s == NATS_SLOW_CONSUMER) /* libnats threw some away: its cap is above ours */
            tell(b, (struct event){.kind = GAP, .why = natsStatus_GetText(s)});
        else if (s != NATS_TIMEOUT)
            break;
    }
    pthread_mutex_lock(&b->mutex);
    b->lost = s;
    pthread_cond_signal(&b->work);
    pthread_mutex_unlock(&b->mutex);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- the keeper: publishing ---- */

static struct timespec in(int64_t us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = t.tv_nsec + us % HG_S * 1000;
    t.tv_sec += us / HG_S + ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    return t;
}

static void wait_work(struct bus_nats *b, int64_t us)
{
    struct timespec t = in(us);
    while (!b->stop && !b->lost && !(b->accepting && b->out.first))
        if (pthread_cond_timedwait(&b->work, &b->mutex, &t) != 0)
            return;
}

/* Waits for something to publish, or until it is time to probe; false: this connection is over. */
static bool take_batch(struct bus_nats *b, struct out **batch)
{
    size_t n = 0;
    struct out **p = batch;
    pthread_mutex_lock(&b->mutex);
    wait_work(b, b->probe_every);
    bool go = !b->stop && !b->lost;
    *batch = NULL;
    while (go && b->out.first && n < BATCH) {
        struct out *o = b->out.first;
        b->out.first = o->next;
        n += o->n;
        *p = o;
        p = &o->next;
    }
    *p = NULL;
    if (!b->out.first)
        b->out.end = &b->out.first;
    pthread_mutex_unlock(&b->mutex);
    return go;
}

/* Frees a list of messages; count: how many they were. */
static size_t drop_list(struct out *o, unsigned *count)
{
    size_t bytes = 0;
    for (*count = 0; o; ++*count) {
        struct out *next = o->next;
        bytes += o->n;
        free(o);
        o = next;
    }
    return bytes;
}

static void settle_locked(struct bus_nats *b, struct out *list, unsigned refused, natsStatus s)
{
    struct event e = {.kind = s == NATS_OK ? SENT : NOT_SENT, .why = natsStatus_GetText(s)};
    b->inflight -= drop_list(list, &e.count);
    pthread_cond_broadcast(&b->room);
    e.count -= refused;
    if (e.count)
        tell_locked(b, e);
    e = (struct event){.kind = NOT_SENT, .count = refused, .why = "larger than the server takes"};
    if (refused)
        tell_locked(b, e);
}

/* NATS_OK once the server has read all that was written before, and refused none of it. */
static natsStatus ask(struct bus_nats *b, natsConnection *nc)
{
    const char *text;
    natsStatus s = natsConnection_FlushTimeout(nc, b->answer_timeout / HG_MS);
    if (s == NATS_OK && natsConnection_GetLastError(nc, &text) == NATS_NOT_PERMITTED)
        s = NATS_NOT_PERMITTED;
    return s;
}

static natsStatus publish_all(struct bus_nats *b, natsConnection *nc, struct out *batch)
{
    unsigned refused = 0;
    natsStatus s = NATS_OK;
    for (struct out *o = batch; o && s == NATS_OK; o = o->next) {
        s = natsConnection_Publish(nc, hg_bus_channels[o->channel], o->text, (int)o->n);
        if (s == NATS_MAX_PAYLOAD) { /* of this one; the others go */
            refused++;
            s = NATS_OK;
        }
    }
    if (s == NATS_OK)
        s = ask(b, nc);
    pthread_mutex_lock(&b->mutex);
    settle_locked(b, batch, refused, s);
    pthread_mutex_unlock(&b->mutex);
    return s;
}

static natsStatus carry(struct bus_nats *b, natsConnection *nc)
{
    struct out *batch;
    natsStatus s = NATS_OK;
    while (s == NATS_OK && take_batch(b, &batch)) {
        s = publish_all(b, nc, batch);
        if (s == NATS_OK)
            b->attempts = 0;
    }
    return s == NATS_OK ? NATS_CONNECTION_CLOSED : s;
}

/* ---- the keeper: one connection from its birth to its end ---- */

static natsStatus set_options(struct bus_nats *b, natsOptions *o)
{
    const char *hosts[HG_NATS_HOSTS_MAX];
    int64_t timeout = HG_MIN(b->answer_timeout, CONNECT_TIMEOUT) / HG_MS;
    for (unsigned i = 0; i < b->url.hosts; i++)
        hosts[i] = b->url.host[i];
    natsStatus s = natsOptions_SetServers(o, hosts, (int)b->url.hosts);
    if (s == NATS_OK && b->url.password[0])
        s = natsOptions_SetUserInfo(o, b->url.user, b->url.password);
    else if (s == NATS_OK && b->url.user[0])
        s = natsOptions_SetToken(o, b->url.user);
    if (s == NATS_OK)
        s = natsOptions_SetName(o, "headgate");
    if (s == NATS_OK)
        s = natsOptions_SetAllowReconnect(o, false);
    if (s == NATS_OK)
        s = natsOptions_SetTimeout(o, HG_MAX(timeout, 1));
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(o, b->answer_timeout / HG_MS);
    return s;
}

static natsStatus connect_once(struct bus_nats *b, natsConnection **nc)
{
    natsOptions *o = NULL;
    natsStatus s = natsOptions_Create(&o);
    if (s == NATS_OK)
        s = set_options(b, o);
    if (s == NATS_OK)
        s = natsConnection_Connect(nc, o);
    natsOptions_Destroy(o);
    for (int i = 0; i < HG_BUS_CHANNELS && s == NATS_OK; i++)
        s = natsConnection_SubscribeSync(&b->readers[i].sub, *nc, hg_bus_channels[i]);
    return s;
}

/* From here on close can end it. */
static void show(struct bus_nats *b, natsConnection *nc)
{
    pthread_mutex_lock(&b->mutex);
    b->nc = b->stop ? NULL : nc;
    b->lost = NATS_OK;
    b->ending = false;
    pthread_mutex_unlock(&b->mutex);
}

static void open_to_loop(struct bus_nats *b)
{
    pthread_mutex_lock(&b->mutex);
    b->accepting = true;
    tell_locked(b, (struct event){.kind = UP});
    pthread_mutex_unlock(&b->mutex);
}

/* Nothing more is taken, what was taken is not sent, and the reader is let go. */
static void shut_to_loop(struct bus_nats *b, natsStatus s)
{
    pthread_mutex_lock(&b->mutex);
    b->nc = NULL;
    b->accepting = false;
    b->ending = true;
    settle_locked(b, b->out.first, 0, s);
    b->out = (struct outs){NULL, &b->out.first};
    tell_locked(b, (struct event){.kind = DOWN, .why = natsStatus_GetText(s)});
    pthread_cond_broadcast(&b->room);
    pthread_mutex_unlock(&b->mutex);
}

static natsStatus start_readers(struct bus_nats *b)
{
    bool all = true;
    for (int i = 0; i < HG_BUS_CHANNELS; i++) {
        struct reader *r = &b->readers[i];
        r->b = b;
        r->channel = (enum hg_bus_channel)i;
        r->runs = pthread_create(&r->thread, NULL, read_all, r) == 0;
        all = all && r->runs;
    }
    return all ? NATS_OK : NATS_NO_MEMORY;
}

static void live(struct bus_nats *b, natsConnection *nc)
{
    natsStatus s = start_readers(b);
    if (s == NATS_OK)
        s = ask(b, nc);
    if (s == NATS_OK) {
        open_to_loop(b);
        s = carry(b, nc);
    }
    shut_to_loop(b, s);
    natsConnection_Close(nc);
    for (int i = 0; i < HG_BUS_CHANNELS; i++)
        if (b->readers[i].runs)
            pthread_join(b->readers[i].thread, NULL);
}

static void one_connection(struct bus_nats *b)
{
    natsConnection *nc = NULL;
    natsStatus s = connect_once(b, &nc);
    if (s == NATS_OK) {
        show(b, nc);
        live(b, nc);
    } else {
        tell(b, (struct event){.kind = DOWN, .why = natsStatus_GetText(s)});
    }
    for (int i = 0; i < HG_BUS_CHANNELS; i++) {
        natsSubscription_Destroy(b->readers[i].sub);
        b->readers[i].sub = NULL;
    }
    natsConnection_Destroy(nc);
}

static int64_t backoff(unsigned attempts)
{
    int64_t most = BACKOFF_FIRST;
    for (unsigned i = 1; i < attempts && most < BACKOFF_MOST; i++)
        most *= 2;
    return 1 + arc4random_uniform((uint32_t)HG_MIN(most, BACKOFF_MOST));
}

static bool wait_before_next(struct bus_nats *b)
{
    pthread_mutex_lock(&b->mutex);
    b->lost = NATS_OK;
    wait_work(b, backoff(++b->attempts));
    bool go = !b->stop;
    pthread_mutex_unlock(&b->mutex);
    return go;
}

static void *keep(void *arg)
{
    struct bus_nats *b = arg;
    do
        one_connection(b);
    while (wait_before_next(b));
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- the carrier ---- */

static void init_sync(struct bus_nats *b)
{
    pthread_condattr_t attr;
    HG_BUG_ON(pthread_condattr_init(&attr) || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    HG_BUG_ON(pthread_mutex_init(&b->mutex, NULL));
    HG_BUG_ON(pthread_cond_init(&b->work, &attr) || pthread_cond_init(&b->room, &attr));
    pthread_condattr_destroy(&attr);
}

/* All threads of libnats come from the keeper, so none of them gets the process's signals. */
static int start_keeper(struct bus_nats *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&b->keeper, NULL, keep, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void nats_fini(struct bus_nats *b)
{
    if (b->wake >= 0)
        close(b->wake);
    pthread_cond_destroy(&b->room);
    pthread_cond_destroy(&b->work);
    pthread_mutex_destroy(&b->mutex);
    explicit_bzero(&b->url, sizeof b->url);
    free(b);
}

static int nats_open(struct hg_bus *bus, const struct hg_bus_spec *spec, struct hg_slice url,
                     void **out, const char **why, size_t *at)
{
    struct bus_nats *b = hg_calloc(1, sizeof *b);
    b->bus = bus;
    b->loop = spec->loop;
    b->probe_every = spec->probe_every ? spec->probe_every : PROBE_EVERY;
    b->answer_timeout = spec->answer_timeout ? spec->answer_timeout : ANSWER_TIMEOUT;
    b->out.end = &b->out.first;
    b->events_end = &b->events;
    b->wake = -1;
    init_sync(b);
    int rc = hg_nats_url_parse(url, &b->url, why, at);
    if (rc == 0) {
        *why = "no thread or descriptor left";
        *at = 0;
        b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        rc = b->wake < 0 ? -HG_E_CONF_VALUE
                         : hg_watch_start(b->loop, &b->watch, b->wake, HG_IN, on_events, b);
    }
    if (rc == 0 && start_keeper(b) != 0) {
        hg_watch_stop(b->loop, &b->watch);
        rc = -HG_E_CONF_VALUE;
    }
    if (rc < 0)
        nats_fini(b);
    else
        *out = b;
    return rc;
}

static void wait_sent_locked(struct bus_nats *b)
{
    struct timespec t = in(CLOSE_WAIT);
    while (b->accepting && !b->lost && b->inflight > 0)
        if (pthread_cond_timedwait(&b->room, &b->mutex, &t) != 0)
            return;
}

static void nats_close(void *carrier)
{
    struct bus_nats *b = carrier;
    struct event *e;
    pthread_mutex_lock(&b->mutex);
    wait_sent_locked(b);
    b->stop = true;
    if (b->nc)
        natsConnection_Close(b->nc); /* ends the keeper's wait for an answer */
    pthread_cond_broadcast(&b->work);
    pthread_mutex_unlock(&b->mutex);
    pthread_join(b->keeper, NULL);
    hg_watch_stop(b->loop, &b->watch);
    while ((e = next_event(b))) {
        if (e->kind == SENT || e->kind == NOT_SENT)
            deliver(b, e);
        event_free(e);
    }
    nats_fini(b);
}

static int nats_publish(void *carrier, enum hg_bus_channel channel, struct hg_slice text)
{
    struct bus_nats *b = carrier;
    struct out *o = hg_calloc(1, sizeof *o + text.n);
    o->channel = channel;
    o->n = text.n;
    memcpy(o->text, text.p, text.n);
    pthread_mutex_lock(&b->mutex);
    bool taken = b->accepting && !b->stop;
    if (taken) {
        if (!b->out.first)
            pthread_cond_signal(&b->work);
        *b->out.end = o;
        b->out.end = &o->next;
        b->inflight += o->n;
    }
    pthread_mutex_unlock(&b->mutex);
    if (!taken)
        free(o);
    return taken ? 0 : -HG_E_AGAIN;
}

static size_t nats_inflight(const void *carrier)
{
    struct bus_nats *b = (struct bus_nats *)(uintptr_t)carrier;
    pthread_mutex_lock(&b->mutex);
    size_t n = b->inflight;
    pthread_mutex_unlock(&b->mutex);
    return n;
}

const struct hg_bus_carrier hg_bus_nats = {
    .name = "nats",
    .default_url = "nats://localhost:4222",
    .open = nats_open,
    .close = nats_close,
    .publish = nats_publish,
    .inflight = nats_inflight,
};
