#include "worker/control.h"

#include <bsd/sys/queue.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/map.h"
#include "common/sys/log.h"

enum {
    UNSENT_MAX = 16 << 20, /* a quarter of the producer's queue, which SQL calls share */
    POLL_MS = 50,          /* those that wait for another's tombstone ask again, */
    POLL_BATCH = 256,      /* so many at a time: while Kafka is away all may wait */
    SHARES = 64,           /* query_control_republish is cut in so many ticks, or more */
    LOST_BATCH = 100,      /* of those Kafka did not take, tried again per tick */
    LOST_MS = 1000,        /* tick at least so often, for those and for a new republish */
};

struct query {
    struct hg_map_node node;
    TAILQ_ENTRY(query) turn; /* in turns: the one told longest ago first */
    TAILQ_ENTRY(query) ask;  /* in asking or waiting, or in neither */
    struct hg_cq cq;
    bool in_asking, in_waiting;
    bool asked; /* it was joined at least once */
    bool lost;  /* Kafka did not take its query; first in turns */
    bool once;  /* above the budget: kept until it is told */
    uint64_t id, hash;
    struct hg_buf text; /* the query */
    char key[];
};
TAILQ_HEAD(query_list, query);

struct hg_control {
    struct hg_control_spec spec;
    struct hg_members *members;
    struct hg_map queries;
    struct query_list turns, asking, waiting;
    uint64_t last_id, bytes, unsent;
    uint64_t credit; /* queries due, times SHARES */
    struct closing *reviving;
    struct hg_defer ask_soon;
    struct hg_timer poll, tick;
    bool stopped;
};

struct telling { /* a query on its way to Kafka */
    struct hg_kafka_report report;
    struct hg_control *c;
    struct query *q;
    size_t bytes;
};

struct closing { /* a tombstone on its way */
    struct hg_kafka_report report;
    struct hg_control *c;
    uint64_t hash;
    struct hg_slice key;
    char token[HG_MEMBERS_TOKEN];
    struct hg_buf text; /* what it ends, for hg_members_events.revive */
    char bytes[];
};

static void act(struct hg_control *c, struct query *q, unsigned todo);

static struct query *find(const struct hg_control *c, struct hg_slice key)
{
    struct hg_map_node *node = hg_map_get(&c->queries, key);

    return node ? HG_CONTAINER_OF(node, struct query, node) : NULL;
}

static void count(struct hg_control *c, size_t was, size_t is)
{
    c->bytes = c->bytes - was + is;
    HG_SET(c->spec.m, control_bytes, c->bytes);
    HG_SET(c->spec.m, control_queries, c->queries.count);
}

/* ---- to Kafka ---- */

static void to_front(struct hg_control *c, struct query *q)
{
    q->lost = true;
    TAILQ_REMOVE(&c->turns, q, turn);
    TAILQ_INSERT_HEAD(&c->turns, q, turn);
}

static size_t size_of(const struct query *q)
{
    return q->node.key.n + q->text.n;
}

static void forget_text(struct hg_control *c, struct query *q)
{
    count(c, q->text.n, 0);
    hg_buf_fini(&q->text);
}

static void on_told(struct hg_kafka_report *report, int err)
{
    struct telling *t = HG_CONTAINER_OF(report, struct telling, report);
    struct hg_control *c = t->c;
    struct query *q = t->q;
    size_t size = t->bytes;

    c->unsent -= size;
    free(t);
    if (err == -HG_E_TOO_BIG && size_of(q) == size)
        forget_text(c, q); /* the broker never takes it */
    act(c, q, hg_cq_step(&q->cq, err < 0 ? HG_CQ_LOST : HG_CQ_REPORTED));
}

static int produce(struct hg_control *c, struct query *q, struct hg_slice text)
{
    struct telling *t;
    int rc;

    if (text.n == 0)
        return 0;
    if (c->unsent > UNSENT_MAX)
        return -HG_E_FULL;
    t = hg_malloc(sizeof *t);
    *t = (struct telling){{on_told}, c, q, text.n + q->node.key.n};
    q->cq.told = true;
    rc = c->spec.produce(c->spec.ctx, q->node.key, text, &t->report);
    if (rc < 0) {
        free(t);
        return rc;
    }
    q->cq.unreported++;
    c->unsent += t->bytes;
    return 0;
}

/* Its turn to be told again comes last. One that Kafka never takes must not stand before all the
 * others. */
static void tell(struct hg_control *c, struct query *q)
{
    int rc = produce(c, q, hg_buf_slice(&q->text));

    if (rc < 0 && rc != -HG_E_TOO_BIG) {
        to_front(c, q);
        return;
    }
    if (rc < 0 || q->once)
        forget_text(c, q);
    q->lost = false;
    TAILQ_REMOVE(&c->turns, q, turn);
    TAILQ_INSERT_TAIL(&c->turns, q, turn);
}

/* ---- joining ---- */

static void ask_soon(struct hg_control *c);

static void unlist(struct hg_control *c, struct query *q)
{
    if (q->in_asking)
        TAILQ_REMOVE(&c->asking, q, ask);
    if (q->in_waiting)
        TAILQ_REMOVE(&c->waiting, q, ask);
    q->in_asking = q->in_waiting = false;
}

static void ask(struct hg_control *c, struct query *q)
{
    if (q->in_asking)
        return;
    unlist(c, q);
    q->in_asking = true;
    TAILQ_INSERT_TAIL(&c->asking, q, ask);
    ask_soon(c);
}

static void on_poll(void *arg, struct hg_mono now);

static void poll_later(struct hg_control *c)
{
    if (!hg_timer_is_running(&c->poll))
        hg_timer_start(hg_loop_timers(c->spec.loop), &c->poll,
                       hg_mono_add(hg_loop_now(c->spec.loop), POLL_MS * HG_MS), on_poll, c);
}

static void on_poll(void *arg, struct hg_mono now)
{
    struct hg_control *c = arg;
    struct query *q;

    (void)now;
    for (unsigned n = 0; n < POLL_BATCH && (q = TAILQ_FIRST(&c->waiting)); n++)
        ask(c, q);
    if (!TAILQ_EMPTY(&c->asking))
        ask_soon(c);
    if (!TAILQ_EMPTY(&c->waiting))
        poll_later(c);
}

static void wait_and_ask(struct hg_control *c, struct query *q)
{
    if (q->in_asking || q->in_waiting)
        return;
    q->in_waiting = true;
    TAILQ_INSERT_TAIL(&c->waiting, q, ask);
    poll_later(c);
}

/* Up to a batch of those who ask, which leave the list. */
static unsigned take_batch(struct hg_control *c, struct query **batch, struct hg_member_item *items)
{
    unsigned n = 0;
    struct query *q;

    while (n < HG_MEMBERS_BATCH && (q = TAILQ_FIRST(&c->asking))) {
        unlist(c, q);
        items[n] = (struct hg_member_item){q->node.key, q->hash, q->id, q->asked};
        batch[n++] = q;
    }
    return n;
}

static void put_back(struct hg_control *c, struct query **batch, unsigned n)
{
    while (n-- > 0) {
        batch[n]->in_asking = true;
        TAILQ_INSERT_HEAD(&c->asking, batch[n], ask);
    }
    poll_later(c);
}

static void on_ask(void *arg)
{
    struct hg_control *c = arg;
    struct query *batch[HG_MEMBERS_BATCH];
    struct hg_member_item items[HG_MEMBERS_BATCH];

    while (!c->stopped && !TAILQ_EMPTY(&c->asking)) {
        unsigned n = take_batch(c, batch, items);
        int rc;

        for (unsigned i = 0; i < n; i++)
            batch[i]->asked = true; /* before an answer from inside */
        rc = hg_members_join(c->members, items, n);
        if (rc == -HG_E_AGAIN) {
            put_back(c, batch, n);
            return;
        }
        for (unsigned i = 0; i < n && rc < 0; i++)
            act(c, batch[i], hg_cq_step(&batch[i]->cq, HG_CQ_AWAY));
    }
}

static void ask_soon(struct hg_control *c)
{
    if (!c->stopped)
        hg_loop_defer(c->spec.loop, &c->ask_soon, on_ask, c);
}

/* ---- what the decisions want ---- */

static void on_closed(struct hg_kafka_report *report, int err);

static struct closing *closing_new(struct hg_control *c, struct hg_slice key, uint64_t hash,
                                   const char *token)
{
    struct closing *cl = hg_calloc(1, sizeof *cl + key.n);

    cl->report.fn = on_closed;
    cl->c = c;
    cl->hash = hash;
    memcpy(cl->bytes, key.p, key.n);
    cl->key = hg_slice_of(cl->bytes, key.n);
    snprintf(cl->token, sizeof cl->token, "%s", token);
    return cl;
}

static void query_free(struct hg_control *c, struct query *q)
{
    unlist(c, q);
    TAILQ_REMOVE(&c->turns, q, turn);
    hg_map_del(&c->queries, &q->node);
    count(c, q->text.n, 0);
    hg_buf_fini(&q->text);
    free(q);
}

/* q stays in the map until it has left: a host alone closes it from inside and wants its text. */
static void leave(struct hg_control *c, struct query *q)
{
    q->cq.state = HG_CQ_ENDING;
    if (q->asked)
        hg_members_leave(c->members, q->node.key, q->hash, q->cq.told);
    query_free(c, q);
}

static void act(struct hg_control *c, struct query *q, unsigned todo)
{
    if (c->stopped)
        return;
    if (todo & HG_CQ_LEAVE) {
        leave(c, q);
        return;
    }
    if (todo & HG_CQ_PRODUCE)
        tell(c, q);
    if (todo & HG_CQ_JOIN)
        ask(c, q);
    if (todo & HG_CQ_POLL)
        wait_and_ask(c, q);
    if (todo & HG_CQ_AGAIN)
        to_front(c, q);
}

/* ---- what members say ---- */

static void on_joined(void *ctx, struct hg_slice key, uint64_t id, enum hg_cq_event how)
{
    struct hg_control *c = ctx;
    struct query *q = find(c, key);

    if (q && q->id == id)
        act(c, q, hg_cq_step(&q->cq, how));
    if (!TAILQ_EMPTY(&c->asking))
        ask_soon(c);
}

static void on_closed(struct hg_kafka_report *report, int err)
{
    struct closing *cl = HG_CONTAINER_OF(report, struct closing, report);
    struct hg_control *c = cl->c;

    if (!c->stopped) {
        c->reviving = cl;
        hg_members_closed(c->members, cl->key, cl->hash, cl->token, err == 0);
        c->reviving = NULL;
    }
    hg_buf_fini(&cl->text);
    free(cl);
}

static void on_close(void *ctx, struct hg_slice key, uint64_t hash, const char *token, bool swept)
{
    struct hg_control *c = ctx;
    struct closing *cl = closing_new(c, key, hash, token);
    struct query *q = find(c, key);

    if (q && q->cq.state == HG_CQ_ENDING && hg_members_is_alone(c->members)) {
        cl->text = q->text;
        q->text = (struct hg_buf){0};
        count(c, cl->text.n, 0);
    }
    if (c->spec.produce(c->spec.ctx, cl->key, HG_SLICE_NONE, &cl->report) < 0) {
        on_closed(&cl->report, -HG_E_FULL);
        return;
    }
    HG_INC(c->spec.m, control_tombstones);
    if (swept)
        HG_INC(c->spec.m, control_swept);
}

static void on_renewed(void *ctx)
{
    struct hg_control *c = ctx;
    struct query *q;

    TAILQ_FOREACH (q, &c->turns, turn)
        if (q->cq.state != HG_CQ_ENDING)
            ask(c, q);
}

static void on_moved(void *ctx)
{
    struct hg_control *c = ctx;

    if (!c->stopped && !(TAILQ_EMPTY(&c->waiting) && TAILQ_EMPTY(&c->asking)))
        hg_timer_start(hg_loop_timers(c->spec.loop), &c->poll, hg_loop_now(c->spec.loop), on_poll,
                       c);
}

/* ---- queries ---- */

static struct query *query_new(struct hg_control *c, struct hg_slice key, uint64_t hash)
{
    struct query *q = hg_calloc(1, sizeof *q + key.n);

    memcpy(q->key, key.p, key.n);
    q->node.key = hg_slice_of(q->key, key.n);
    q->hash = hash;
    q->id = ++c->last_id;
    hg_map_put(&c->queries, &q->node);
    TAILQ_INSERT_TAIL(&c->turns, q, turn);
    count(c, 0, 0);
    return q;
}

/* Somebody came while our tombstone was on its way, and his query may stand before it. */
static void on_revive(void *ctx, struct hg_slice key, uint64_t hash)
{
    struct hg_control *c = ctx;
    struct query *q;

    if (find(c, key) || !c->reviving || c->reviving->text.n == 0)
        return; /* a query of our own came behind it through the same producer */
    q = query_new(c, key, hash);
    q->text = c->reviving->text;
    c->reviving->text = (struct hg_buf){0};
    count(c, 0, q->text.n);
    ask(c, q);
    on_ask(c); /* a host alone answers at once, so it is told now */
    act(c, q, hg_cq_step(&q->cq, HG_CQ_ENDED));
}

/* What is above the budget waits for its membership as all do, and is forgotten when it was told;
 * false: there is too much of that, too. */
static bool keep(struct hg_control *c, struct query *q, struct hg_slice text)
{
    uint64_t budget = (uint64_t)c->spec.conf->query_control_budget;
    uint64_t all = c->bytes - q->text.n + text.n;

    forget_text(c, q);
    q->once = all > budget;
    if (q->once)
        HG_INC(c->spec.m, control_unkept);
    if (all > budget + UNSENT_MAX)
        return false;
    hg_buf_add_slice(&q->text, text);
    count(c, 0, text.n);
    return true;
}

void hg_control_told(struct hg_control *c, struct hg_slice key, uint64_t hash, struct hg_slice text)
{
    struct query *q;

    if (c->stopped)
        return;
    q = find(c, key);
    if (!q) {
        q = query_new(c, key, hash);
        ask(c, q);
    }
    if (text.n > 0 && !keep(c, q, text)) { /* now or never; failures are counted by Kafka's side */
        on_ask(c);                         /* a member, or on the way to it */
        (void)produce(c, q, text);
    }
    act(c, q, hg_cq_step(&q->cq, HG_CQ_TOLD));
}

void hg_control_ended(struct hg_control *c, struct hg_slice key)
{
    struct query *q = c->stopped ? NULL : find(c, key);

    if (q)
        act(c, q, hg_cq_step(&q->cq, HG_CQ_ENDED));
}

/* ---- telling again ---- */

static void on_tick(void *arg, struct hg_mono now);

static int64_t interval(const struct hg_control *c)
{
    int64_t every = c->spec.conf->query_control_republish;

    return every > 0 ? HG_MIN(HG_MAX(every / SHARES, 10 * HG_MS), LOST_MS * HG_MS)
                     : LOST_MS * HG_MS;
}

static void arm(struct hg_control *c)
{
    hg_timer_start(hg_loop_timers(c->spec.loop), &c->tick,
                   hg_mono_add(hg_loop_now(c->spec.loop), interval(c)), on_tick, c);
}

/* The first in turns; false: Kafka did not take it, and would not take the next. */
static bool tell_first(struct hg_control *c)
{
    struct query *q = TAILQ_FIRST(&c->turns);

    if (q->cq.state != HG_CQ_OPEN || q->text.n == 0) {
        q->lost = false;
        TAILQ_REMOVE(&c->turns, q, turn);
        TAILQ_INSERT_TAIL(&c->turns, q, turn);
        return true;
    }
    tell(c, q);
    if (q->lost)
        return false;
    HG_INC(c->spec.m, control_republished);
    return true;
}

static void tell_again(struct hg_control *c)
{
    int64_t every = c->spec.conf->query_control_republish;
    const struct query *q;
    uint64_t due;

    for (unsigned n = 0; n < LOST_BATCH && (q = TAILQ_FIRST(&c->turns)) && q->lost; n++)
        if (!tell_first(c))
            return;
    if (every == 0)
        return;
    c->credit += c->queries.count * (uint64_t)interval(c);
    due = HG_MIN(c->credit / (uint64_t)every, (uint64_t)c->queries.count);
    c->credit %= (uint64_t)every;
    while (due-- > 0 && tell_first(c))
        ;
}

static void on_tick(void *arg, struct hg_mono now)
{
    struct hg_control *c = arg;

    (void)now;
    if (c->spec.is_up(c->spec.ctx))
        tell_again(c);
    arm(c);
}

/* ---- life ---- */

struct hg_control *hg_control_new(const struct hg_control_spec *spec)
{
    struct hg_control *c = hg_calloc(1, sizeof *c);
    struct hg_members_spec members = {
        .loop = spec->loop,
        .conf = spec->conf,
        .m = spec->m,
        .host = spec->host,
        .seat = spec->seat,
        .ev = {on_joined, on_close, on_revive, on_renewed, on_moved, c},
    };

    c->spec = *spec;
    TAILQ_INIT(&c->turns);
    TAILQ_INIT(&c->asking);
    TAILQ_INIT(&c->waiting);
    c->members = hg_members_new(&members);
    arm(c);
    return c;
}

/* A host alone closes its queries now; what has reports to come stays in memory for them. */
static void leave_all(struct hg_control *c)
{
    struct query *q, *next;

    for (q = TAILQ_FIRST(&c->turns); q; q = next) {
        next = TAILQ_NEXT(q, turn);
        q->cq.state = HG_CQ_ENDING;
        if (q->asked)
            hg_members_leave(c->members, q->node.key, q->hash, q->cq.told);
    }
}

void hg_control_stop(struct hg_control *c)
{
    struct hg_timers *timers = hg_loop_timers(c->spec.loop);

    if (hg_members_is_alone(c->members))
        leave_all(c);
    c->stopped = true;
    hg_loop_defer_cancel(c->spec.loop, &c->ask_soon);
    hg_timer_stop(timers, &c->poll);
    hg_timer_stop(timers, &c->tick);
    hg_members_free(c->members), c->members = NULL;
}

void hg_control_free(struct hg_control *c)
{
    struct query *q;

    if (!c)
        return;
    while ((q = TAILQ_FIRST(&c->turns)))
        query_free(c, q);
    hg_map_fini(&c->queries);
    free(c);
}
