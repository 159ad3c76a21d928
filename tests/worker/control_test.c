/*
 * Query control (B-11, B-23) with several hosts, a real redis-server and a Kafka that the test
 * plays: what a host produces stands in its queue until the test lets it into the log, and the
 * report is a step of its own. So the interleavings that matter are scripts, and a random walk
 * looks for those nobody thought of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/err.h"
#include "common/base/map.h"
#include "tests/worker/redis_server.h"
#include "worker/control.h"
#include "worker/redis.h"

enum { HOSTS = 3, KEYS = 40, MESSAGES = 20000 };

struct message {
    struct hg_kafka_report *report;
    char key[32];
    bool is_null, in_log, done;
};

struct world;
struct host {
    struct world *w;
    struct hg_host *shared; /* seats of one host share it */
    uint32_t seat;
    struct hg_metrics *m;
    struct hg_control *control; /* NULL: dead */
    struct message *queue;
    unsigned first, n; /* first: not done */
    bool refuses, down;
    const char *too_big; /* the key that it never takes */
};

struct world {
    struct hg_loop *loop;
    struct hg_conf *conf;
    struct redis_server redis;
    struct hg_redis *link; /* the test's own */
    bool link_up, answered;
    int64_t answer;
    char text[8192];
    struct host h[HOSTS];
    struct {
        char key[32];
        bool is_null;
        const struct host *by;
    } log[MESSAGES];
    unsigned nlog;
};

/* ---- the Kafka of the test ---- */

static int produce(void *ctx, struct hg_slice key, struct hg_slice value,
                   struct hg_kafka_report *report)
{
    struct host *h = ctx;
    struct message *m = &h->queue[h->n];

    if (h->refuses)
        return -HG_E_FULL;
    if (h->too_big && hg_slice_is(key, h->too_big))
        return -HG_E_TOO_BIG;
    assert_true(h->n < MESSAGES);
    h->n++;
    *m = (struct message){.report = report, .is_null = value.p == NULL};
    snprintf(m->key, sizeof m->key, "%.*s", HG_SLICE_ARG(key));
    return 0;
}

static bool is_up(void *ctx)
{
    return !((struct host *)ctx)->down;
}

static struct message *next_of(struct host *h, bool in_log)
{
    for (unsigned i = h->first; i < h->n; i++)
        if (!h->queue[i].done && h->queue[i].in_log == in_log)
            return &h->queue[i];
    return NULL;
}

static bool to_log(struct host *h)
{
    struct message *m = next_of(h, false);
    struct world *w = h->w;

    if (!m)
        return false;
    m->in_log = true;
    assert_true(w->nlog < MESSAGES);
    memcpy(w->log[w->nlog].key, m->key, sizeof m->key);
    w->log[w->nlog].is_null = m->is_null;
    w->log[w->nlog++].by = h;
    return true;
}

static bool report(struct host *h, int err)
{
    struct message *m = next_of(h, err == 0);

    if (!m)
        return false;
    m->done = true;
    while (h->first < h->n && h->queue[h->first].done)
        h->first++;
    m->report->fn(m->report, err);
    return true;
}

static bool deliver(struct host *h)
{
    return to_log(h) && report(h, 0);
}

/* Of what stands in the queue and is not in the log. */
static unsigned waiting(struct host *h, bool null)
{
    unsigned n = 0;

    for (unsigned i = h->first; i < h->n; i++)
        n += !h->queue[i].in_log && !h->queue[i].done && h->queue[i].is_null == null;
    return n;
}

static unsigned in_log(const struct world *w, const char *key, bool null)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->nlog; i++)
        n += strcmp(w->log[i].key, key) == 0 && w->log[i].is_null == null;
    return n;
}

/* 'q', 'n' per record of this key. */
static const char *history(const struct world *w, const char *key)
{
    static char text[MESSAGES + 1];
    unsigned n = 0;

    for (unsigned i = 0; i < w->nlog; i++)
        if (strcmp(w->log[i].key, key) == 0)
            text[n++] = w->log[i].is_null ? 'n' : 'q';
    text[n] = 0;
    return text;
}

/* ---- hosts ---- */

static uint64_t hash_of(const char *key)
{
    return hg_hash_fixed(hg_slice_str(key));
}

static void told(struct host *h, const char *key)
{
    hg_control_told(h->control, hg_slice_str(key), hash_of(key), HG_SLICE_LIT("query"));
}

static void ended(struct host *h, const char *key)
{
    hg_control_ended(h->control, hg_slice_str(key));
}

static void open_control(struct host *h)
{
    struct hg_control_spec spec = {.loop = h->w->loop,
                                   .conf = h->w->conf,
                                   .m = h->m,
                                   .host = h->shared,
                                   .seat = h->seat,
                                   .produce = produce,
                                   .is_up = is_up,
                                   .ctx = h};

    h->control = hg_control_new(&spec);
}

/* As a killed worker: its link is gone, its messages are not. */
static void die(struct host *h)
{
    if (!h->control)
        return;
    hg_control_stop(h->control);
    while (to_log(h))
        ;
    while (report(h, 0))
        ;
    hg_control_free(h->control), h->control = NULL;
}

static void open_host(struct world *w, int i, struct hg_host *shared, uint32_t seat)
{
    struct host *h = &w->h[i];

    *h = (struct host){.w = w,
                       .shared = shared,
                       .seat = seat,
                       .m = hg_calloc(1, sizeof *h->m),
                       .queue = hg_calloc(MESSAGES, sizeof *h->queue)};
    open_control(h);
}

/* ---- the test's own look into Redis ---- */

static void on_link_up(void *ctx)
{
    ((struct world *)ctx)->link_up = true;
}

static void on_answer(void *ctx, const struct hg_redis_reply *reply)
{
    struct world *w = ctx;

    w->answered = true;
    w->answer = reply ? reply->integer : -1;
    if (reply && reply->text.p)
        snprintf(w->text, sizeof w->text, "%.*s", HG_SLICE_ARG(reply->text));
}

static int64_t redis(struct world *w, const char *a, const char *b)
{
    struct hg_slice argv[] = {hg_slice_str(a), hg_slice_str(b)};

    w->answered = false;
    TURN_UNTIL(w->loop, hg_redis_is_up(w->link));
    assert_int_equal(hg_redis_command(w->link, argv, b ? 2 : 1, on_answer, w), 0);
    TURN_UNTIL(w->loop, w->answered);
    return w->answer;
}

static int64_t members(struct world *w, const char *key)
{
    char name[64];

    snprintf(name, sizeof name, "headgate:q:q:%s", key);
    return redis(w, "SCARD", name);
}

static unsigned scripts_run(struct world *w)
{
    const char *at;

    redis(w, "INFO", "commandstats");
    at = strstr(w->text, "cmdstat_evalsha:calls=");
    return at ? (unsigned)strtoul(at + strlen("cmdstat_evalsha:calls="), NULL, 10) : 0;
}

static void open_link(struct world *w)
{
    struct hg_redis_spec spec = {.loop = w->loop, .on_up = on_link_up, .ctx = w};

    snprintf(spec.url.host, sizeof spec.url.host, "127.0.0.1");
    spec.url.port = (uint16_t)w->redis.port;
    w->link = hg_redis_new(&spec);
}

/* ---- set-up ---- */

static struct hg_host *new_host(uint32_t slots)
{
    struct hg_host_spec spec = {.nslots = slots, .ring_size = 1 << 18, .topics = "t:diff"};
    const char *why;
    struct hg_host *host;

    assert_int_equal(hg_host_new(&spec, &host, &why), 0);
    return host;
}

static struct world *world_new(void)
{
    struct world *w = hg_calloc(1, sizeof *w);

    w->loop = hg_loop_new();
    w->conf = hg_conf_defaults();
    w->conf->query_control_lease = 300 * HG_MS;
    w->conf->query_control_republish = 0;
    return w;
}

static int setup_cluster(void **state)
{
    struct world *w = world_new();
    char url[64];

    server_start(&w->redis);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", w->redis.port);
    free(w->conf->registry_url);
    w->conf->registry_url = hg_strdup(url);
    open_link(w);
    for (int i = 0; i < HOSTS; i++)
        open_host(w, i, new_host(1), 0);
    TURN_UNTIL(w->loop, redis(w, "ZCARD", "headgate:q:leases") == HOSTS);
    *state = w;
    return 0;
}

static int setup_alone(void **state)
{
    struct world *w = world_new();
    struct hg_host *shared = new_host(HOSTS);

    for (int i = 0; i < HOSTS; i++)
        open_host(w, i, shared, (uint32_t)i);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < HOSTS; i++)
        die(&w->h[i]);
    for (int i = 0; i < HOSTS; i++) {
        if (i == 0 || w->h[i].shared != w->h[0].shared)
            hg_host_free(w->h[i].shared);
        free(w->h[i].m);
        free(w->h[i].queue);
    }
    hg_redis_free(w->link);
    hg_loop_free(w->loop);
    server_stop(&w->redis);
    hg_conf_free(w->conf);
    free(w);
    return 0;
}

/* A subscribe whose query is in the log. */
static void has(struct world *w, struct host *h, const char *key)
{
    unsigned before = in_log(w, key, false);

    told(h, key);
    TURN_UNTIL(w->loop, waiting(h, false) > 0);
    while (deliver(h))
        ;
    assert_int_equal(in_log(w, key, false), before + 1);
}

/* Long enough for whatever is under way to show itself; used to see that nothing more happens. */
static void settle(struct world *w, int64_t ms)
{
    struct hg_mono end = hg_mono_add(hg_mono_read(), ms * HG_MS);

    while (!hg_mono_reached(hg_mono_read(), end))
        hg_loop_turn(w->loop, 10);
}

/* ---- a cluster ---- */

static void last_subscriber_gets_a_null_value_B_23(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    has(w, a, "k");
    assert_int_equal(members(w, "k"), 1);
    ended(a, "k");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    assert_true(deliver(a));
    assert_string_equal(history(w, "k"), "qn");
    TURN_UNTIL(w->loop, redis(w, "ZCARD", "headgate:q:closing") == 0);
    assert_int_equal(redis(w, "HLEN", "headgate:q:closer"), 0);
    has(w, a, "k"); /* and once more */
    assert_string_equal(history(w, "k"), "qnq");
}

static void none_while_another_host_has_it_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    has(w, a, "k");
    has(w, b, "k");
    ended(a, "k");
    TURN_UNTIL(w->loop, members(w, "k") == 1);
    settle(w, 50);
    assert_int_equal(waiting(a, true) + waiting(b, true), 0);
    ended(b, "k");
    TURN_UNTIL(w->loop, waiting(b, true) == 1);
    assert_int_equal(waiting(a, true), 0);
}

static void joiner_meets_closing_and_waits_for_the_report_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    w->conf->query_control_lease = 30 * HG_S; /* the mark stays */
    has(w, a, "k");
    ended(a, "k");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    told(b, "k");
    TURN_UNTIL(w->loop, members(w, "k") == 1); /* registered before its query */
    settle(w, 150);                            /* it asks again every 50 ms */
    assert_int_equal(waiting(b, false), 0);
    assert_true(to_log(a)); /* in the log, but nobody knows it */
    settle(w, 150);
    assert_int_equal(waiting(b, false), 0);
    assert_true(report(a, 0));
    TURN_UNTIL(w->loop, waiting(b, false) == 1);
    assert_true(deliver(b));
    settle(w, 150);
    assert_string_equal(history(w, "k"), "qnq");
    assert_int_equal(waiting(a, true) + waiting(b, true) + waiting(b, false), 0);
}

static void same_host_joins_while_it_closes(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    w->conf->query_control_lease = 30 * HG_S;
    has(w, a, "k");
    ended(a, "k");
    told(a, "k"); /* in one turn */
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    settle(w, 100);
    assert_int_equal(waiting(a, false), 0);
    assert_true(deliver(a));
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(deliver(a));
    assert_string_equal(history(w, "k"), "qnq");
}

static void a_leaver_stays_member_until_its_query_is_in_the_log(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    told(a, "k");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    has(w, b, "k");
    ended(a, "k");
    ended(b, "k");
    TURN_UNTIL(w->loop, members(w, "k") == 1);
    settle(w, 50);
    assert_int_equal(waiting(a, true) + waiting(b, true), 0); /* the last one is a, not done yet */
    assert_true(deliver(a));
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    assert_true(deliver(a));
    assert_string_equal(history(w, "k"), "qqn");
}

static void who_comes_back_before_the_report_leaves_nothing_behind(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    told(a, "k");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    ended(a, "k"); /* ENDING */
    told(a, "k");
    TURN_UNTIL(w->loop, waiting(a, false) == 2);
    while (deliver(a))
        ;
    settle(w, 50);
    assert_int_equal(members(w, "k"), 1);
    assert_string_equal(history(w, "k"), "qq");
}

static void a_joiner_that_leaves_while_it_waits_makes_no_second_tombstone(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    w->conf->query_control_lease = 30 * HG_S;
    has(w, a, "k");
    ended(a, "k");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    told(b, "k");
    TURN_UNTIL(w->loop, members(w, "k") == 1);
    ended(b, "k");
    TURN_UNTIL(w->loop, members(w, "k") == 0);
    assert_true(deliver(a));
    TURN_UNTIL(w->loop, redis(w, "ZCARD", "headgate:q:closing") == 0);
    settle(w, 50);
    assert_int_equal(waiting(b, true) + waiting(b, false) + waiting(a, true), 0);
    assert_string_equal(history(w, "k"), "qn");
}

/* Redis throws every client out. */
static void break_links(struct world *w, hg_redis_reply_fn fn)
{
    struct hg_slice kill[] = {HG_SLICE_LIT("CLIENT"), HG_SLICE_LIT("KILL"), HG_SLICE_LIT("TYPE"),
                              HG_SLICE_LIT("normal")};

    assert_int_equal(hg_redis_command(w->link, kill, 4, fn, w), 0);
}

/* b lost its place while a closed, entered anew and left, too. A joiner waits for both. */
static void a_joiner_waits_for_the_tombstones_of_all_closers_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1], *c = &w->h[2];

    w->conf->query_control_lease = 30 * HG_S;
    has(w, a, "k");
    has(w, b, "k");
    redis(w, "DEL", "headgate:q:q:k");
    ended(a, "k");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    break_links(w, NULL);
    TURN_UNTIL(w->loop, !HG_GET(b->m, registry_up));
    TURN_UNTIL(w->loop, HG_GET(b->m, registry_up) && HG_GET(c->m, registry_up));
    TURN_UNTIL(w->loop, members(w, "k") == 1);
    settle(w, 50);
    ended(b, "k");
    TURN_UNTIL(w->loop, waiting(b, true) == 1);
    assert_true(deliver(b));
    settle(w, 50);
    told(c, "k");
    TURN_UNTIL(w->loop, members(w, "k") == 1);
    settle(w, 150);
    assert_int_equal(waiting(c, false), 0); /* a's is on its way */
    assert_true(deliver(a));
    TURN_UNTIL(w->loop, waiting(c, false) == 1);
    assert_true(deliver(c));
    assert_string_equal(history(w, "k"), "qqnnq");
    assert_int_equal(redis(w, "HLEN", "headgate:q:closer"), 0);
}

/* While Kafka is away all may wait: what that costs Redis must not grow with them. */
static void those_that_wait_ask_a_few_at_a_time(void **state)
{
    enum { MANY = 1600 };
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];
    char key[16];
    unsigned before;

    w->conf->query_control_lease = 30 * HG_S;
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", i);
        told(a, key);
    }
    TURN_UNTIL(w->loop, waiting(a, false) == MANY);
    while (deliver(a))
        ;
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ended(a, key);
    }
    TURN_UNTIL(w->loop, waiting(a, true) == MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", i);
        told(b, key);
    }
    TURN_UNTIL(w->loop, members(w, key) == 1);
    before = scripts_run(w);
    settle(w, 500);                                  /* at most ten polls */
    assert_in_range(scripts_run(w) - before, 1, 90); /* of 256 queries, 64 a script; all: 250 */
    assert_int_equal(waiting(b, false), 0);
    while (deliver(a))
        ;
    TURN_UNTIL(w->loop, waiting(b, false) == MANY);
}

static void queries_of_a_dead_host_are_swept_by_exactly_one_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1], *c = &w->h[2];
    char key[16];

    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        has(w, a, key);
        if (i < 5)
            has(w, b, key);
    }
    die(a);
    TURN_UNTIL(w->loop, waiting(b, true) + waiting(c, true) == KEYS - 5);
    while (deliver(b) || deliver(c))
        ;
    settle(w, 700); /* more than two leases */
    assert_int_equal(waiting(b, true) + waiting(c, true), 0);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_string_equal(history(w, key), i < 5 ? "qq" : "qn");
    }
    assert_int_equal(HG_GET(b->m, control_swept) + HG_GET(c->m, control_swept), KEYS - 5);
    assert_int_equal(redis(w, "SCARD", "headgate:q:dead"), 0);
}

static void a_closer_that_dies_is_followed_by_another(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1], *c = &w->h[2];

    has(w, a, "k");
    has(w, a, "j");
    ended(a, "k");
    ended(a, "j");
    TURN_UNTIL(w->loop, waiting(a, true) == 2);
    told(b, "j"); /* waits for a */
    TURN_UNTIL(w->loop, members(w, "j") == 1);
    a->n = a->first; /* its messages are lost with it */
    hg_control_stop(a->control);
    TURN_UNTIL(w->loop, waiting(b, true) + waiting(c, true) == 1 && waiting(b, false) == 1);
    while (deliver(b) || deliver(c))
        ;
    settle(w, 700);
    assert_int_equal(waiting(b, true) + waiting(c, true), 0);
    assert_string_equal(history(w, "k"), "qn");
    assert_string_equal(history(w, "j"), "qq");
    a->first = 0; /* give back what was lost */
    a->n = 4;
    while (to_log(a) || report(a, 0))
        ;
    hg_control_free(a->control), a->control = NULL;
}

static void a_tombstone_that_kafka_refuses_is_tried_again(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];
    struct host *by = NULL;

    has(w, a, "k");
    ended(a, "k");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    assert_true(report(a, -HG_E_RPC_TIMEOUT));
    TURN_UNTIL(w->loop, (by = waiting(&w->h[0], true)   ? &w->h[0]
                              : waiting(&w->h[1], true) ? &w->h[1]
                              : waiting(&w->h[2], true) ? &w->h[2]
                                                        : NULL));
    assert_true(deliver(by));
    settle(w, 700);
    assert_string_equal(history(w, "k"), "qn");
    for (int i = 0; i < HOSTS; i++)
        w->h[i].refuses = true; /* a full local queue: never in the way of anything */
    told(a, "full");
    TURN_UNTIL(w->loop, members(w, "full") == 1);
    settle(w, 50);
    a->refuses = false;
    TURN_UNTIL(w->loop, waiting(a, false) == 1); /* told when there is room */
}

static void a_query_that_kafka_lost_is_told_again(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    told(a, "k");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    a->down = true;
    assert_true(report(a, -HG_E_RPC_TIMEOUT));
    settle(w, 1200);
    assert_int_equal(waiting(a, false), 0); /* not into a queue that nobody empties */
    a->down = false;
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(deliver(a));
    assert_string_equal(history(w, "k"), "q");
}

static void a_query_that_kafka_lost_does_not_wait_for_a_long_republish(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    w->conf->query_control_republish = 86400 * HG_S;
    settle(w, 1100); /* the tick of before */
    told(a, "k");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(report(a, -HG_E_RPC_TIMEOUT));
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
}

static void a_query_too_big_for_kafka_stands_before_no_other(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    told(a, "big");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(report(a, -HG_E_TOO_BIG)); /* the broker's limit */
    settle(w, 1200);
    assert_int_equal(waiting(a, false), 0); /* not again and again */
    assert_int_equal(HG_GET(a->m, control_bytes), 0);
    told(a, "lost");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(report(a, -HG_E_RPC_TIMEOUT));
    a->too_big = "big"; /* our own */
    told(a, "big");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(deliver(a));
    assert_string_equal(history(w, "lost"), "q");
}

static bool all_up(const struct world *w)
{
    return HG_GET(w->h[0].m, registry_up) && HG_GET(w->h[1].m, registry_up) &&
           HG_GET(w->h[2].m, registry_up);
}

static bool all_down(const struct world *w)
{
    return !HG_GET(w->h[0].m, registry_up) && !HG_GET(w->h[1].m, registry_up) &&
           !HG_GET(w->h[2].m, registry_up);
}

static void deliver_all(struct world *w)
{
    while (deliver(&w->h[0]) || deliver(&w->h[1]) || deliver(&w->h[2]))
        ;
}

static void settle_delivering(struct world *w, int64_t ms)
{
    struct hg_mono end = hg_mono_add(hg_mono_read(), ms * HG_MS);

    while (!hg_mono_reached(hg_mono_read(), end)) {
        deliver_all(w);
        hg_loop_turn(w->loop, 10);
    }
}

static void without_redis_queries_are_told_and_ends_wait_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    has(w, a, "gone");
    has(w, a, "kept");
    has(w, b, "kept");
    server_stop(&w->redis);
    TURN_UNTIL(w->loop, all_down(w));
    w->conf->query_control_lease = 5 * HG_S; /* what a link takes at most to come back */
    told(a, "new");
    TURN_UNTIL(w->loop, waiting(a, false) == 1); /* no later than its patience */
    assert_true(deliver(a));
    ended(a, "gone");
    ended(a, "kept");
    settle(w, 100);
    assert_int_equal(waiting(a, true) + waiting(b, true), 0);
    server_start(&w->redis); /* empty */
    TURN_UNTIL(w->loop, all_up(w));
    TURN_UNTIL(w->loop, members(w, "new") == 1 && members(w, "kept") == 1);
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    settle_delivering(w, 300);
    assert_int_equal(in_log(w, "gone", true), 1);
    assert_int_equal(in_log(w, "new", true), 0);
    assert_int_equal(in_log(w, "kept", true), 0); /* others that live are waited for */
}

/* The links break, and Redis still knows everything: what ended meanwhile is found by the old
 * leases, once; nothing that lives is told to be over. */
static void a_link_that_breaks_ends_nothing_that_lives_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    has(w, a, "gone");
    has(w, a, "kept");
    has(w, b, "lives");
    break_links(w, on_answer);
    TURN_UNTIL(w->loop, all_down(w));
    ended(a, "gone");
    TURN_UNTIL(w->loop, all_up(w));
    TURN_UNTIL(w->loop, waiting(a, true) + waiting(b, true) + waiting(&w->h[2], true) == 1);
    deliver_all(w);
    settle_delivering(w, 700);
    assert_string_equal(history(w, "gone"), "qn");
    assert_string_equal(history(w, "kept"), "q");
    assert_string_equal(history(w, "lives"), "q");
}

static void all_leases_run_out(struct world *w)
{
    struct hg_slice expire[] = {
        HG_SLICE_LIT("EVAL"),
        HG_SLICE_LIT("for _, m in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
                     "redis.call('ZADD', KEYS[1], 1, m) end"),
        HG_SLICE_LIT("1"), HG_SLICE_LIT("headgate:q:leases")};

    assert_int_equal(hg_redis_command(w->link, expire, 4, NULL, NULL), 0);
}

/* Every lease has run out (Redis did not answer for so long), and nobody has died: who comes back
 * first must not bury the others. */
static void leases_that_all_ran_out_end_nothing_B_11(void **state)
{
    struct world *w = *state;

    has(w, &w->h[0], "a");
    has(w, &w->h[1], "b");
    has(w, &w->h[2], "c");
    w->conf->query_control_lease = 1500 * HG_MS; /* more than a link takes to come back */
    all_leases_run_out(w);
    break_links(w, NULL);
    TURN_UNTIL(w->loop, all_down(w));
    TURN_UNTIL(w->loop, all_up(w));
    TURN_UNTIL(w->loop, redis(w, "ZCARD", "headgate:q:leases") == HOSTS); /* the old are buried */
    settle_delivering(w, 500);
    for (const char *k = "abc"; *k; k++)
        assert_int_equal(in_log(w, (char[]){*k, 0}, true), 0);
}

/* The clock of Redis stepped: who renews first buries the others, who live. */
static void who_is_buried_alive_tells_again_B_11(void **state)
{
    struct world *w = *state;

    has(w, &w->h[0], "a");
    has(w, &w->h[1], "b");
    has(w, &w->h[2], "c");
    settle_delivering(w, 400); /* a lease and more: they sweep */
    all_leases_run_out(w);
    TURN_UNTIL(w->loop, HG_GET(w->h[0].m, registry_errors) + HG_GET(w->h[1].m, registry_errors) +
                                HG_GET(w->h[2].m, registry_errors) >
                            0);
    settle_delivering(w, 1000);
    for (const char *k = "abc"; *k; k++) {
        const char *text = history(w, (char[]){*k, 0});

        assert_int_equal(text[strlen(text) - 1], 'q');
        assert_int_equal(members(w, (char[]){*k, 0}), 1);
    }
}

static void a_registry_that_forgot_everything_is_filled_again(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];
    unsigned before;

    has(w, a, "k");
    before = w->nlog;
    redis(w, "FLUSHALL", NULL);
    TURN_UNTIL(w->loop, members(w, "k") == 1);
    TURN_UNTIL(w->loop, waiting(a, false) == 1); /* who knows what stands in the log now */
    assert_true(deliver(a));
    settle(w, 700);
    assert_int_equal(w->nlog, before + 1);
    ended(a, "k");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    assert_int_not_equal(HG_GET(a->m, registry_errors), 0);
}

static void a_registry_that_refuses_is_done_without(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    redis(w, "SET", NULL); /* an error, to see that the test's link lives */
    {
        struct hg_slice argv[] = {HG_SLICE_LIT("SET"), HG_SLICE_LIT("headgate:q:q:k"),
                                  HG_SLICE_LIT("of another type")};

        w->answered = false;
        assert_int_equal(hg_redis_command(w->link, argv, 3, on_answer, w), 0);
        TURN_UNTIL(w->loop, w->answered);
    }
    told(a, "k");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(deliver(a));
    assert_int_not_equal(HG_GET(a->m, registry_errors), 0);
    redis(w, "DEL", "headgate:q:q:k");
    TURN_UNTIL(w->loop, members(w, "k") == 1); /* it says hello again and joins */
}

/* An end was refused while a renewal was under way: the name that still holds the query must not
 * live on by that renewal, or nobody ever finds it. */
static void an_end_that_was_refused_is_found_by_the_sweep_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];
    struct hg_slice pause[] = {HG_SLICE_LIT("CLIENT"), HG_SLICE_LIT("PAUSE"), HG_SLICE_LIT("900")};
    struct hg_slice set[] = {HG_SLICE_LIT("SET"), HG_SLICE_LIT("headgate:q:q:k"),
                             HG_SLICE_LIT("of another type")};
    struct hg_slice del[] = {HG_SLICE_LIT("DEL"), HG_SLICE_LIT("headgate:q:q:k")};

    w->conf->query_control_lease = 1500 * HG_MS; /* renewed every 440 to 560 ms */
    has(w, a, "k");
    settle(w, 300);
    assert_int_equal(hg_redis_command(w->link, set, 3, NULL, NULL), 0);
    w->answered = false;
    assert_int_equal(hg_redis_command(w->link, pause, 3, on_answer, w), 0);
    TURN_UNTIL(w->loop, w->answered);
    ended(a, "k"); /* and behind it the renewal */
    settle(w, 700);
    assert_int_equal(HG_GET(a->m, registry_errors), 0);
    TURN_UNTIL(w->loop, HG_GET(a->m, registry_errors) == 1);
    assert_int_equal(hg_redis_command(w->link, del, 2, NULL, NULL), 0);
    TURN_UNTIL(w->loop, waiting(a, true) + waiting(&w->h[1], true) + waiting(&w->h[2], true) == 1);
}

static void all_live_queries_are_told_again_evenly(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];
    char key[16];
    unsigned before;
    struct hg_mono start;

    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        has(w, a, key);
    }
    ended(a, "k0");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    deliver(a);
    settle(w, 1100); /* the old tick */
    before = w->nlog;
    w->conf->query_control_republish = 640 * HG_MS;
    start = hg_mono_read();
    unsigned seen_at_half = 0;
    while (in_log(w, "k1", false) < 3) {
        hg_loop_turn(w->loop, 5);
        while (deliver(a))
            ;
        if (!seen_at_half && hg_mono_sub(hg_mono_read(), start) > 1300 * HG_MS)
            seen_at_half = w->nlog - before;
        assert_true(hg_mono_sub(hg_mono_read(), start) < 10 * HG_S);
    }
    for (int i = 1; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_true(in_log(w, key, false) >= 2);
        assert_true(in_log(w, key, false) <= 4); /* in turns, not one more often than another */
    }
    assert_string_equal(history(w, "k0"), "qn"); /* not told again */
    assert_true(HG_GET(a->m, control_republished) >= (KEYS - 1));
}

static void bytes_kept_are_bounded_and_counted(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0];

    w->conf->query_control_budget = 12; /* "query" is five */
    has(w, a, "a");
    has(w, a, "b");
    assert_int_equal(HG_GET(a->m, control_bytes), 10);
    has(w, a, "c"); /* told, not kept */
    assert_int_equal(HG_GET(a->m, control_bytes), 10);
    assert_int_equal(HG_GET(a->m, control_unkept), 1);
    assert_int_equal(HG_GET(a->m, control_queries), 3);
    for (const char *k = "abc"; *k; k++)
        ended(a, (char[]){*k, 0});
    TURN_UNTIL(w->loop, waiting(a, true) == 3);
    assert_int_equal(HG_GET(a->m, control_bytes), 0);
    assert_int_equal(HG_GET(a->m, control_queries), 0);
}

static void above_the_budget_a_query_waits_for_anothers_tombstone_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    w->conf->query_control_lease = 30 * HG_S;
    w->conf->query_control_budget = 0;
    has(w, a, "k");
    ended(a, "k");
    TURN_UNTIL(w->loop, waiting(a, true) == 1);
    told(b, "k");
    TURN_UNTIL(w->loop, members(w, "k") == 1);
    settle(w, 100);
    assert_int_equal(waiting(b, false), 0);
    assert_true(deliver(a));
    TURN_UNTIL(w->loop, waiting(b, false) == 1);
    assert_true(deliver(b));
    assert_string_equal(history(w, "k"), "qnq");
    assert_int_equal(HG_GET(b->m, control_bytes), 0);
    assert_int_equal(HG_GET(b->m, control_unkept), 1);
}

/* ---- a host alone ---- */

static void alone_the_last_worker_tells_the_end_B_11(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    has(w, a, "k");
    has(w, b, "k");
    ended(a, "k");
    settle(w, 50);
    assert_int_equal(waiting(a, true), 0);
    ended(b, "k");
    assert_int_equal(waiting(b, true), 1);
    assert_true(deliver(b));
    settle(w, 2500); /* a had its doubts, and looks again */
    assert_int_equal(waiting(a, true) + waiting(b, true), 0);
    assert_string_equal(history(w, "k"), "qqn");
}

static void alone_a_joiner_overtaken_by_the_tombstone_is_told_again(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];

    has(w, a, "k");
    ended(a, "k");
    assert_int_equal(waiting(a, true), 1);
    has(w, b, "k");
    assert_true(deliver(a)); /* behind b's query */
    assert_string_equal(history(w, "k"), "qqn");
    TURN_UNTIL(w->loop, waiting(a, false) == 1);
    assert_true(deliver(a));
    settle(w, 2500);
    assert_int_equal(waiting(a, true) + waiting(b, true), 0); /* b has it */
    assert_string_equal(history(w, "k"), "qqnq");
    ended(b, "k");
    TURN_UNTIL(w->loop, waiting(a, true) + waiting(b, true) == 1);
}

static void alone_a_dead_worker_is_no_member_once_it_is_swept(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1];
    struct hg_host *shared = a->shared;

    has(w, a, "k");
    has(w, b, "k");
    uint64_t bits[2] = {shared->queries[hash_of("k") % HG_INTEREST_BUCKETS][0],
                        shared->queries[(hash_of("k") >> 32) % HG_INTEREST_BUCKETS][0]};
    assert_int_equal(bits[0] & bits[1], 3);
    ended(a, "k");                /* b has it */
    for (int i = 0; i < 2; i++) { /* b dies: as the master sweeps its bits */
        uint64_t bucket = i ? hash_of("k") >> 32 : hash_of("k");
        atomic_fetch_and(&shared->queries[bucket % HG_INTEREST_BUCKETS][0], ~UINT64_C(2));
    }
    TURN_UNTIL(w->loop, waiting(a, true) == 1); /* a doubted, and knows now */
    assert_true(deliver(a));
    assert_string_equal(history(w, "k"), "qqn");
}

static void alone_the_end_of_the_host_tells_all_ends(void **state)
{
    struct world *w = *state;
    struct host *a = &w->h[0], *b = &w->h[1], *c = &w->h[2];

    has(w, a, "k");
    has(w, b, "k");
    has(w, b, "j");
    told(c, "k"); /* still on its way */
    settle(w, 20);
    die(c);
    die(a);
    assert_int_equal(in_log(w, "k", true), 0);
    die(b);
    assert_int_equal(history(w, "k")[strlen(history(w, "k")) - 1], 'n');
    assert_string_equal(history(w, "j"), "qn");
}

/* ---- whatever the order ---- */

static unsigned rnd(uint64_t *x, unsigned n)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return (unsigned)(*x >> 33) % n;
}

static bool quiet(struct world *w)
{
    bool idle = true;

    for (int i = 0; i < HOSTS; i++)
        while (deliver(&w->h[i]) || report(&w->h[i], 0))
            idle = false;
    return idle;
}

/* Random subscribes, ends, deliveries and reports; at the end the log must say what is true. */
static void walk(struct world *w, uint64_t seed, int64_t settle_ms)
{
    static const char *const keys[] = {"k0", "k1", "k2"};
    bool live[HOSTS][3] = {{0}}, ever[3] = {0};

    for (int i = 0; i < 1500; i++) {
        unsigned hi = rnd(&seed, HOSTS), k = rnd(&seed, 3);
        struct host *h = &w->h[hi];

        switch (rnd(&seed, 8)) {
        case 0:
            told(h, keys[k]);
            live[hi][k] = ever[k] = true;
            break;
        case 1:
        case 2:
            if (live[hi][k])
                ended(h, keys[k]);
            live[hi][k] = false;
            break;
        case 3:
        case 4:
            to_log(h);
            break;
        case 5:
            report(h, 0);
            break;
        default:
            hg_loop_turn(w->loop, (int)rnd(&seed, 3));
        }
    }
    for (struct hg_mono calm = hg_mono_read();
         hg_mono_sub(hg_mono_read(), calm) < settle_ms * HG_MS; hg_loop_turn(w->loop, 5))
        if (!quiet(w))
            calm = hg_mono_read();
    for (int k = 0; k < 3; k++) {
        bool any = live[0][k] || live[1][k] || live[2][k];
        const char *text = history(w, keys[k]);

        if (!ever[k])
            continue;
        if (text[strlen(text) - 1] != (any ? 'q' : 'n'))
            fail_msg("%s ends with %s, and %s", keys[k], text, any ? "is live" : "is not");
    }
}

static void any_order_ends_right_in_a_cluster(void **state)
{
    struct world *w = *state;

    w->conf->query_control_lease = 30 * HG_S;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        w->nlog = 0;
        walk(w, seed * 7919, 200);
        for (int i = 0; i < HOSTS; i++) {
            struct host *h = &w->h[i];

            h->first = h->n = 0; /* all are done */
            ended(h, "k0"), ended(h, "k1"), ended(h, "k2");
        }
        for (int t = 0; t < 20; t++, hg_loop_turn(w->loop, 10))
            quiet(w);
    }
}

static void any_order_ends_right_on_a_host_alone(void **state)
{
    struct world *w = *state;

    for (uint64_t seed = 1; seed <= 5; seed++) {
        w->nlog = 0;
        walk(w, seed * 104729, 2300); /* twice LOOK_AGAIN_MS */
        for (int i = 0; i < HOSTS; i++) {
            w->h[i].first = w->h[i].n = 0; /* all are done */
            ended(&w->h[i], "k0"), ended(&w->h[i], "k1"), ended(&w->h[i], "k2");
        }
        for (int t = 0; t < 150; t++, hg_loop_turn(w->loop, 10))
            quiet(w);
    }
}

int main(void)
{
#define C(name) cmocka_unit_test_setup_teardown(name, setup_cluster, teardown)
#define A(name) cmocka_unit_test_setup_teardown(name, setup_alone, teardown)
    const struct CMUnitTest tests[] = {
        C(last_subscriber_gets_a_null_value_B_23),
        C(none_while_another_host_has_it_B_11),
        C(joiner_meets_closing_and_waits_for_the_report_B_11),
        C(same_host_joins_while_it_closes),
        C(a_leaver_stays_member_until_its_query_is_in_the_log),
        C(who_comes_back_before_the_report_leaves_nothing_behind),
        C(a_joiner_that_leaves_while_it_waits_makes_no_second_tombstone),
        C(a_joiner_waits_for_the_tombstones_of_all_closers_B_11),
        C(those_that_wait_ask_a_few_at_a_time),
        C(queries_of_a_dead_host_are_swept_by_exactly_one_B_11),
        C(a_closer_that_dies_is_followed_by_another),
        C(a_tombstone_that_kafka_refuses_is_tried_again),
        C(a_query_that_kafka_lost_is_told_again),
        C(a_query_that_kafka_lost_does_not_wait_for_a_long_republish),
        C(a_query_too_big_for_kafka_stands_before_no_other),
        C(without_redis_queries_are_told_and_ends_wait_B_11),
        C(a_link_that_breaks_ends_nothing_that_lives_B_11),
        C(leases_that_all_ran_out_end_nothing_B_11),
        C(who_is_buried_alive_tells_again_B_11),
        C(a_registry_that_forgot_everything_is_filled_again),
        C(a_registry_that_refuses_is_done_without),
        C(an_end_that_was_refused_is_found_by_the_sweep_B_11),
        C(all_live_queries_are_told_again_evenly),
        C(bytes_kept_are_bounded_and_counted),
        C(above_the_budget_a_query_waits_for_anothers_tombstone_B_11),
        A(alone_the_last_worker_tells_the_end_B_11),
        A(alone_a_joiner_overtaken_by_the_tombstone_is_told_again),
        A(alone_a_dead_worker_is_no_member_once_it_is_swept),
        A(alone_the_end_of_the_host_tells_all_ends),
        C(any_order_ends_right_in_a_cluster),
        A(any_order_ends_right_on_a_host_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
