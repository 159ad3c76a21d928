/* The hot cache against a real redis-server: what it writes, who writes, what happens to Redis, and
 * what a list proves to readers. Each host has a loop of its own, so that one can stand still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include "common/base/err.h"
#include "tests/worker/redis_server.h"
#include "worker/cache_priv.h"
#include "worker/redis.h"

enum { HOSTS = 2, LEASE_MS = 400 };

struct gateway { /* one host with one worker */
    struct hg_loop *loop;
    struct hg_host *host;
    struct hg_conf *conf;
    struct hg_metrics *m;
    struct hg_cache *ca;
    bool paused;
};

struct world {
    struct redis_server srv;
    struct hg_loop *loop;
    struct hg_redis *admin; /* the test's own link */
    struct gateway g[HOSTS];
    struct hg_buf answer;
    bool answered, up;
};

/* ---- turning ---- */

static void turn(struct world *t)
{
    hg_loop_turn(t->loop, 2);
    for (unsigned i = 0; i < HOSTS; i++) {
        if (!t->g[i].ca || t->g[i].paused)
            continue;
        hg_loop_turn(t->g[i].loop, 2);
        hg_cache_turn(t->g[i].ca);
    }
}

#define UNTIL(t, cond)                                                                             \
    do {                                                                                           \
        struct hg_mono until_end = hg_mono_add(hg_mono_read(), 20 * HG_S);                         \
        while (!(cond)) {                                                                          \
            if (hg_mono_reached(hg_mono_read(), until_end))                                        \
                fail_msg("waited in vain for %s", #cond);                                          \
            turn(t);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the test's own questions ---- */

static void draw(struct hg_buf *out, const struct hg_redis_reply *r)
{
    if (out->n > 0)
        hg_buf_addc(out, ' ');
    if (r->kind == HG_REDIS_INTEGER)
        hg_buf_addf(out, "%lld", (long long)r->integer);
    else if (r->kind != HG_REDIS_ARRAY)
        hg_buf_addf(out, "%s%.*s", r->kind == HG_REDIS_NIL ? "nil" : "", HG_SLICE_ARG(r->text));
    for (size_t i = 0; i < r->count; i++) {
        struct hg_redis_reply item = hg_redis_item(r, i);
        draw(out, &item);
    }
}

static void on_answer(void *ctx, const struct hg_redis_reply *reply)
{
    struct world *t = ctx;
    if (reply)
        draw(&t->answer, reply);
    t->answered = true;
}

/* "LRANGE hc:x 0 -1" -> its reply, with blanks between elements; valid to the next question. Only
 * the admin's loop turns. */
static const char *ask(struct world *t, const char *command)
{
    struct hg_slice argv[8];
    char text[512];
    int argc = 0;
    snprintf(text, sizeof text, "%s", command);
    for (char *save, *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = hg_slice_str(word);
    hg_buf_reset(&t->answer);
    t->answered = false;
    TURN_UNTIL(t->loop, hg_redis_is_up(t->admin));
    assert_int_equal(hg_redis_command(t->admin, argv, argc, on_answer, t), 0);
    TURN_UNTIL(t->loop, t->answered);
    hg_buf_addc(&t->answer, 0);
    return t->answer.p;
}

static bool is(struct world *t, const char *command, const char *expected)
{
    return strcmp(ask(t, command), expected) == 0;
}

/* The values of a list, read as an existing reader does, without the base64. */
static const char *list_of(struct world *t, const char *key)
{
    static char out[4096];
    char command[128];
    struct hg_buf bytes = {0};
    out[0] = 0;
    snprintf(command, sizeof command, "LRANGE hc:diff:%s 0 -1", key);
    ask(t, command);
    for (char *save, *word = strtok_r(t->answer.p, " ", &save); word;
         word = strtok_r(NULL, " ", &save)) {
        uint64_t lsn;
        hg_buf_reset(&bytes);
        assert_true(hg_cachediff_read(hg_slice_str(word), &lsn, &bytes));
        size_t n = strlen(out);
        snprintf(out + n, sizeof out - n, "%s%" PRIu64 "%.*s", n ? " " : "", lsn,
                 HG_SLICE_ARG(hg_buf_slice(&bytes)));
    }
    hg_buf_fini(&bytes);
    return out;
}

static long scripts_run(struct world *t)
{
    const char *at = strstr(ask(t, "INFO commandstats"), "cmdstat_evalsha:calls=");
    return at ? strtol(strchr(at, '=') + 1, NULL, 10) : 0;
}

/* ---- hosts ---- */

static void set_text(char **option, const char *text)
{
    free(*option);
    *option = hg_strdup(text);
}

static void open_gateway(struct world *t, unsigned i)
{
    struct gateway *g = &t->g[i];
    struct hg_host_spec spec = {.nslots = 1, .ring_size = 65536, .topics = "diffs:diff,rows:row"};
    const char *why;
    g->loop = hg_loop_new();
    assert_int_equal(hg_host_new(&spec, &g->host, &why), 0);
    atomic_store(&g->host->shares[0].holder, 0);
    hg_host_topic_seen(g->host, 0, 2);
    g->conf = hg_conf_defaults();
    g->conf->hot_cache = HG_HOT_CACHE_ON;
    set_text(&g->conf->keydb_host, "127.0.0.1");
    set_text(&g->conf->keydb_prefix, " h c: ");
    g->conf->keydb_port = t->srv.port;
    g->conf->hotcache_lease = LEASE_MS * HG_MS;
    g->m = hg_calloc(1, sizeof *g->m);
}

static void open_cache(struct world *t, unsigned i)
{
    struct gateway *g = &t->g[i];
    struct hg_cache_spec spec = {.loop = g->loop,
                                 .conf = g->conf,
                                 .metrics = g->m,
                                 .host = g->host,
                                 .probe_every = 50 * HG_MS,
                                 .answer_timeout = 250 * HG_MS};
    g->ca = hg_cache_new(&spec);
    assert_non_null(g->ca);
}

static void close_gateway(struct gateway *g)
{
    hg_cache_free(g->ca);
    hg_host_free(g->host);
    hg_conf_free(g->conf);
    hg_loop_free(g->loop);
    free(g->m);
}

/* The host has handed over one record, as ingest does: ring, position, cache. */
static void feed_part(struct world *t, unsigned i, uint32_t part, int64_t offset, uint64_t lsn,
                      const char *key, const char *value)
{
    struct gateway *g = &t->g[i];
    struct hg_part *p = &g->host->parts[part];
    struct hg_cache_rec rec = {.kind = !key     ? HG_CACHE_NOTHING
                                       : !value ? HG_CACHE_HOLE
                                                : HG_CACHE_DIFF,
                               .pos = {part, offset},
                               .lsn = hg_lsn(lsn),
                               .before = hg_lsn(atomic_load(&p->lsn)),
                               .key = hg_slice_str(key),
                               .value = hg_slice_str(value)};
    if (lsn > atomic_load(&p->lsn))
        atomic_store(&p->lsn, lsn);
    hg_cache_record(g->ca, &rec);
    atomic_store(&p->next, offset + 1);
    atomic_store(&p->end, offset + 1);
    atomic_store(&p->known, 1);
}

static void feed(struct world *t, unsigned i, int64_t offset, uint64_t lsn, const char *key,
                 const char *value)
{
    feed_part(t, i, 0, offset, lsn, key, value);
}

static void feed_all(struct world *t, int64_t offset, uint64_t lsn, const char *key,
                     const char *value)
{
    for (unsigned i = 0; i < HOSTS; i++)
        feed(t, i, offset, lsn, key, value);
}

/* The first n records of gateway 0's log, of key "k", with consecutive LSNs. */
static void feed_log(struct world *t, int n, uint64_t lsn, const char *value)
{
    for (int i = 0; i < n; i++)
        feed(t, 0, i, lsn + (uint64_t)i, "k", value);
}

/* The log of gateway i is another one. */
static void begin_anew(struct world *t, unsigned i)
{
    hg_cache_begin_anew(t->g[i].ca, 0, 0);
    atomic_store(&t->g[i].host->parts[0].next, 0);
}

static uint64_t next_of(struct world *t)
{
    struct hg_cachepos pos;
    const char *text = ask(t, "HGET hc:pos:diffs 0");
    return hg_cachepos_read(hg_slice_str(text), &pos) ? pos.next : 0;
}

/* Written up to here, and every host that is not paused knows. */
static bool settled(struct world *t, uint64_t next)
{
    for (unsigned i = 0; i < HOSTS; i++)
        if (t->g[i].ca && !t->g[i].paused && t->g[i].m->cache_waiting_bytes > 0)
            return false;
    return next_of(t) == next;
}

static uint64_t since_of(struct world *t)
{
    struct hg_cachepos pos;
    const char *text = ask(t, "HGET hc:pos:diffs 0");
    return hg_cachepos_read(hg_slice_str(text), &pos) ? pos.since : HG_CACHEPOS_NOTHING;
}

static int setup(void **state)
{
    struct world *t = hg_calloc(1, sizeof *t);
    struct hg_redis_spec spec;
    server_start(&t->srv);
    t->loop = hg_loop_new();
    spec = (struct hg_redis_spec){.loop = t->loop};
    snprintf(spec.url.host, sizeof spec.url.host, "127.0.0.1");
    spec.url.port = (uint16_t)t->srv.port;
    t->admin = hg_redis_new(&spec);
    for (unsigned i = 0; i < HOSTS; i++)
        open_gateway(t, i);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct world *t = *state;
    hg_redis_free(t->admin);
    for (unsigned i = 0; i < HOSTS; i++)
        close_gateway(&t->g[i]);
    hg_loop_free(t->loop);
    hg_buf_fini(&t->answer);
    server_stop(&t->srv);
    free(t);
    return 0;
}

/* ---- writing ---- */

static void test_written_as_the_sources_have_it(void **state)
{
    struct world *t = *state;
    struct gateway *g = &t->g[0];
    g->conf->hotcache_max_diffs = 3;
    g->conf->hotcache_retention_ms = 60000;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "demo_t|a", "x");
    UNTIL(t, settled(t, 1));
    assert_string_equal(ask(t, "LRANGE hc:diff:demo_t|a 0 -1"),
                        "{\"lsn\":\"10\",\"b64\":\"eA==\"}");
    for (int i = 1; i <= 4; i++)
        feed(t, 0, i, 10 + (uint64_t)i, "demo_t|a", "y");
    feed(t, 0, 5, 15, "demo_t|b", "z");
    UNTIL(t, settled(t, 6));
    assert_string_equal(list_of(t, "demo_t|a"), "12y 13y 14y");
    assert_string_equal(list_of(t, "demo_t|b"), "15z");
    int64_t ttl = strtoll(ask(t, "PTTL hc:diff:demo_t|a"), NULL, 10);
    assert_true(ttl > 50000 && ttl <= 60000);
    assert_int_equal(g->m->cache_written, 6);
    assert_int_equal(g->m->cache_leases, 1); /* of the partition that is known */
    assert_int_equal(g->m->cache_up, 1);
    assert_int_equal(g->m->cache_waiting_bytes, 0);
    assert_true(g->m->cache_batches < 6);
    g->conf->hotcache_max_diffs = 0; /* all of them, for ever */
    g->conf->hotcache_retention_ms = 0;
    for (int i = 6; i < 12; i++)
        feed(t, 0, i, 20 + (uint64_t)i, "demo_t|a", "w");
    UNTIL(t, settled(t, 12));
    assert_string_equal(list_of(t, "demo_t|a"), "12y 13y 14y 26w 27w 28w 29w 30w 31w");
    assert_string_equal(ask(t, "PTTL hc:diff:demo_t|a"), "-1");
}

static void test_keys_expire(void **state)
{
    struct world *t = *state;
    t->g[0].conf->hotcache_retention_ms = 80;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "x");
    UNTIL(t, settled(t, 1));
    UNTIL(t, is(t, "EXISTS hc:diff:k", "0"));
    assert_true(next_of(t) == 1); /* what is known of the log stays */
}

static void test_only_diffs_of_the_share(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed_part(t, 0, HG_TOPIC_PARTS, 0, 10, "row", "x"); /* a topic of row events */
    feed(t, 0, 0, 0, NULL, NULL);                       /* a position with nothing to write */
    UNTIL(t, settled(t, 1));
    assert_string_equal(ask(t, "KEYS hc:diff:*"), "");
    assert_string_equal(ask(t, "KEYS hc:pos:*"), "hc:pos:diffs");
}

static void test_thousands_in_few_round_trips(void **state)
{
    struct world *t = *state;
    char key[32];
    open_cache(t, 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i % 50);
        feed(t, 0, i, 1 + (uint64_t)i, key, "some value");
    }
    UNTIL(t, settled(t, 5000));
    assert_int_equal(t->g[0].m->cache_written, 5000);
    assert_true(t->g[0].m->cache_batches <= 12);
    assert_string_equal(ask(t, "LLEN hc:diff:k49"), "100");
}

static void test_snapshots(void **state)
{
    struct world *t = *state;
    struct gateway *g = &t->g[0];
    static char big[40000];
    memset(big, 'x', sizeof big - 1);
    g->conf->hotcache_retention_ms = 60000;
    open_cache(t, 0);
    hg_cache_snapshot(g->ca, HG_SLICE_LIT("k"), HG_SLICE_LIT("early")); /* not connected yet */
    assert_int_equal(g->m->cache_snapshots_dropped, 1);
    UNTIL(t, hg_cache_is_up(g->ca));
    assert_false(hg_cache_keeps_snapshots(g->ca)); /* unless it is asked for */
    g->conf->hotcache_snapshots = true;
    assert_true(hg_cache_keeps_snapshots(g->ca));
    ask(t, "RPUSH hc:diff:k {}");
    hg_cache_snapshot(g->ca, HG_SLICE_LIT("k"), HG_SLICE_LIT("one"));
    UNTIL(t, is(t, "GET hc:snap:k", "one") && !is(t, "PTTL hc:diff:k", "-1"));
    int64_t ttl = strtoll(ask(t, "PTTL hc:snap:k"), NULL, 10);
    assert_true(ttl > 50000 && ttl <= 60000);
    assert_string_equal(ask(t, "LLEN hc:diff:k"), "1"); /* stays: rule 7 */
    g->conf->hotcache_retention_ms = 0;
    hg_cache_snapshot(g->ca, HG_SLICE_LIT("k"), HG_SLICE_LIT("two"));
    UNTIL(t, is(t, "GET hc:snap:k", "two"));
    assert_string_equal(ask(t, "PTTL hc:snap:k"), "-1");
    assert_int_equal(g->m->cache_snapshots, 2);
    g->conf->hotcache_buffer = 64 * 1024;
    for (int i = 0; i < 3; i++) /* nobody turns: one is on its way, and no more fit */
        hg_cache_snapshot(g->ca, HG_SLICE_LIT("k"), hg_slice_str(big));
    g->conf->max_snapshot = 2;
    hg_cache_snapshot(g->ca, HG_SLICE_LIT("k"), HG_SLICE_LIT("large"));
    assert_int_equal(g->m->cache_snapshots, 3);
    assert_int_equal(g->m->cache_snapshots_dropped, 4);
    UNTIL(t, is(t, "STRLEN hc:snap:k", "39999"));
    assert_int_equal(g->m->cache_errors, 0);
}

/* ---- who writes ---- */

static struct gateway *writer(struct world *t)
{
    for (unsigned i = 0; i < HOSTS; i++)
        if (t->g[i].m->cache_leases == 2)
            return &t->g[i];
    return NULL;
}

static void open_both(struct world *t)
{
    open_cache(t, 0);
    UNTIL(t, t->g[0].m->cache_leases == 0 && hg_cache_is_up(t->g[0].ca));
    open_cache(t, 1);
    for (unsigned i = 0; i < HOSTS; i++)
        for (uint32_t part = 0; part < 2; part++) {
            atomic_store(&t->g[i].host->parts[part].next, 0);
            atomic_store(&t->g[i].host->parts[part].known, 1);
        }
    UNTIL(t, writer(t));
}

static void test_b_14_two_hosts_one_writer(void **state)
{
    struct world *t = *state;
    char expected[400] = "";
    open_both(t);
    for (int i = 0; i < 20; i++) {
        size_t n = strlen(expected);
        snprintf(expected + n, sizeof expected - n, "%s%dv", n ? " " : "", 100 + i);
        feed_all(t, i, 100 + (uint64_t)i, "k", "v");
        turn(t);
    }
    UNTIL(t, settled(t, 20));
    assert_string_equal(list_of(t, "k"), expected);
    UNTIL(t, t->g[0].m->cache_waiting_bytes + t->g[1].m->cache_waiting_bytes == 0);
    assert_int_equal(t->g[0].m->cache_written + t->g[1].m->cache_written, 20);
    assert_int_equal(t->g[0].m->cache_holes + t->g[1].m->cache_holes, 0);
}

/* The writer stands still past its lease; what it had ready is stale when it wakes. */
static void test_b_14_paused_writer_writes_nothing(void **state)
{
    struct world *t = *state;
    open_both(t);
    struct gateway *first = writer(t), *second = first == &t->g[0] ? &t->g[1] : &t->g[0];
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    first->paused = true;
    feed_all(t, 1, 11, "k", "b");
    hg_cache_turn(first->ca); /* on its way, but not sent: the loop stands still */
    feed_all(t, 2, 12, "k", "c");
    UNTIL(t, settled(t, 3));
    assert_int_equal(second->m->cache_leases, 2);
    assert_int_equal(second->m->cache_holes, 0); /* it had kept what the other did not write */
    first->paused = false;
    feed_all(t, 3, 13, "k", "d");
    UNTIL(t, next_of(t) == 4 && first->m->cache_leases == 0);
    UNTIL(t, first->m->cache_waiting_bytes + second->m->cache_waiting_bytes == 0);
    assert_string_equal(list_of(t, "k"), "10a 11b 12c 13d");
    assert_int_equal(first->m->cache_written, 1);
    assert_int_equal(second->m->cache_written, 3);
}

static void test_tokens_only_grow(void **state)
{
    struct world *t = *state;
    struct hg_cachepos pos[2];
    open_both(t);
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    assert_true(hg_cachepos_read(hg_slice_str(ask(t, "HGET hc:pos:diffs 0")), &pos[0]));
    struct gateway *first = writer(t);
    first->paused = true;
    feed_all(t, 1, 11, "k", "b");
    UNTIL(t, settled(t, 2));
    assert_true(hg_cachepos_read(hg_slice_str(ask(t, "HGET hc:pos:diffs 0")), &pos[1]));
    assert_true(pos[1].token > pos[0].token);
}

/* Nothing but the lease keeps this one from writing: the position is as it left it. */
static void test_b_14_lease_of_another_is_respected(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    ask(t, "SET hc:lease:diffs:0 9-somebody PX 700");
    feed(t, 0, 1, 11, "k", "b");
    UNTIL(t, t->g[0].m->cache_leases == 0);
    assert_string_equal(list_of(t, "k"), "10a");
    UNTIL(t, settled(t, 2)); /* it ran out */
    assert_string_equal(list_of(t, "k"), "10a 11b");
    assert_int_equal(t->g[0].m->cache_holes, 0);
}

/* Nothing but the position is gone: what is in the lists may be anything. */
static void test_lost_position_is_a_hole(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    ask(t, "DEL hc:pos:diffs");
    feed(t, 0, 1, 11, "k", "b");
    UNTIL(t, settled(t, 2));
    assert_int_equal(since_of(t), 10);
    assert_string_equal(list_of(t, "k"), "10a 11b");
}

/* A successor that began to read later does not have what is missing: it waits for one that has,
 * and then says what is not whole. */
static void test_successor_notes_a_hole(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    assert_int_equal(since_of(t), 0);
    hg_cache_free(t->g[0].ca), t->g[0].ca = NULL;
    atomic_store(&t->g[1].host->parts[0].lsn, 12); /* offsets 1 and 2, LSNs 11 and 12, unseen */
    open_cache(t, 1);
    feed(t, 1, 3, 13, "k", "d");
    UNTIL(t, settled(t, 4));
    assert_int_equal(since_of(t), 12);
    assert_int_equal(t->g[1].m->cache_holes, 1);
    assert_string_equal(list_of(t, "k"), "10a 13d");
}

/* Nobody has the lease, and two could: who has what is missing goes first. */
static void test_who_has_it_all_goes_before_who_has_not(void **state)
{
    struct world *t = *state;
    long calls = 0;
    /* Blanks part the words of a question. */
    ask(t, "EVAL return(redis.call('HSET',KEYS[1],'0','0\\0320\\0321')) 1 hc:pos:diffs");
    assert_string_equal(ask(t, "HGET hc:pos:diffs 0"), "0 0 1");
    ask(t, "SET hc:lease:diffs:0 9-somebody");
    open_cache(t, 0);
    open_cache(t, 1);
    for (int i = 0; i < 4; i++)
        feed(t, 0, i, 10 + (uint64_t)i, "k", "v");
    atomic_store(&t->g[1].host->parts[0].lsn, 12);
    feed(t, 1, 3, 13, "k", "v"); /* began to read late */
    UNTIL(t, hg_cache_is_up(t->g[0].ca) && hg_cache_is_up(t->g[1].ca));
    t->g[0].paused = true;
    ask(t, "DEL hc:lease:diffs:0");
    calls = scripts_run(t);
    UNTIL(t, scripts_run(t) >= calls + 2); /* it has seen that the lease is free */
    t->g[0].paused = false;
    UNTIL(t, settled(t, 4));
    assert_string_equal(list_of(t, "k"), "10v 11v 12v 13v");
    assert_int_equal(since_of(t), 0);
    assert_int_equal(t->g[1].m->cache_leases, 0);
}

static void test_share_that_moves_is_handed_on(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    feed(t, 0, 1, 11, "k", "b");
    atomic_store(&t->g[0].host->shares[0].holder, HG_NO_SEAT);
    UNTIL(t, t->g[0].m->cache_leases == 0);
    assert_string_equal(ask(t, "KEYS hc:lease:*"), ""); /* given back, not left to expire */
    assert_string_equal(list_of(t, "k"), "10a 11b");
}

/* A worker dies, its share is here for a moment, goes to its successor and comes back before it was
 * given up: what the successor read is a hole, not nothing. */
static void test_share_that_comes_back(void **state)
{
    struct world *t = *state;
    struct hg_host *h = t->g[0].host;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    atomic_store(&h->parts[0].lsn, 14); /* offsets 1 to 4, read by another */
    atomic_store(&h->parts[0].next, 5);
    feed(t, 0, 7, 15, "k", "b"); /* 5 and 6: nothing that a consumer sees */
    feed(t, 0, 9, 16, "k", "c");
    UNTIL(t, settled(t, 10));
    assert_string_equal(list_of(t, "k"), "10a 15b 16c");
    assert_int_equal(since_of(t), 14);
}

static void test_log_that_began_anew(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed_log(t, 3, 10, "a");
    UNTIL(t, settled(t, 3));
    begin_anew(t, 0);
    feed(t, 0, 0, 20, "k", "b");
    UNTIL(t, settled(t, 1));
    assert_string_equal(list_of(t, "k"), "10a 11a 12a 20b");
    assert_int_equal(since_of(t), 12);
}

/* The one who does not write finds the new log too, and takes over later: what the other wrote is
 * not written again. */
static void test_b_14_log_that_began_anew_for_two(void **state)
{
    struct world *t = *state;
    open_both(t);
    struct gateway *first = writer(t), *second = first == &t->g[0] ? &t->g[1] : &t->g[0];
    for (int i = 0; i < 3; i++)
        feed_all(t, i, 10 + (uint64_t)i, "k", "a");
    UNTIL(t, settled(t, 3));
    for (unsigned i = 0; i < HOSTS; i++)
        begin_anew(t, i);
    feed_all(t, 0, 20, "k", "b");
    feed_all(t, 1, 21, "k", "c");
    UNTIL(t, settled(t, 2)); /* nothing is kept for ever, either */
    feed_all(t, 2, 22, "k", "d");
    UNTIL(t, settled(t, 3));
    first->paused = true;
    feed_all(t, 3, 23, "k", "e");
    UNTIL(t, settled(t, 4));
    assert_int_equal(second->m->cache_leases, 2);
    assert_string_equal(list_of(t, "k"), "10a 11a 12a 20b 21c 22d 23e");
    assert_int_equal(since_of(t), 12); /* it had kept what the other did not write */
}

/* The same for one that takes over before it has heard anything of the new log. */
static void test_b_14_take_over_of_a_new_log(void **state)
{
    struct world *t = *state;
    open_both(t);
    struct gateway *first = writer(t), *second = first == &t->g[0] ? &t->g[1] : &t->g[0];
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    second->paused = true;
    for (unsigned i = 0; i < HOSTS; i++)
        begin_anew(t, i);
    feed_all(t, 0, 20, "k", "b");
    UNTIL(t, next_of(t) == 1 && since_of(t) == 10);
    first->paused = true;
    UNTIL(t, is(t, "EXISTS hc:lease:diffs:0", "0"));
    second->paused = false;
    UNTIL(t, second->m->cache_leases == 2);
    feed(t, second == &t->g[1], 1, 21, "k", "c");
    UNTIL(t, settled(t, 2));
    assert_string_equal(list_of(t, "k"), "10a 20b 21c");
}

/* Found before anything was read or asked: the position is of the former log all the same. */
static void test_log_that_began_anew_at_once(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed_log(t, 5, 10, "a");
    UNTIL(t, settled(t, 5));
    hg_cache_free(t->g[0].ca), t->g[0].ca = NULL;
    open_cache(t, 0);
    begin_anew(t, 0);
    atomic_store(&t->g[0].host->parts[0].known, 1);
    UNTIL(t, t->g[0].m->cache_leases > 0);
    feed_log(t, 6, 20, "b");
    UNTIL(t, settled(t, 6));
    assert_string_equal(list_of(t, "k"), "10a 11a 12a 13a 14a 20b 21b 22b 23b 24b 25b");
    assert_int_equal(since_of(t), 14);
}

/* All but the last words are said before the link goes: the next one need not wait. */
static void test_stop_writes_and_gives_up_the_leases(void **state)
{
    struct world *t = *state;
    open_both(t);
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    struct gateway *first = writer(t);
    for (int i = 1; i <= 1200; i++) /* of several batches */
        feed_all(t, i, 10 + (uint64_t)i, "k", "b");
    ask(t, "SCRIPT FLUSH"); /* each is sent twice */
    hg_cache_stop(first->ca, 20 * HG_S);
    assert_int_equal(first->m->cache_written, 1201);
    assert_int_equal(first->m->cache_leases, 0);
    assert_string_equal(ask(t, "KEYS hc:lease:*"), "");
    assert_string_equal(ask(t, "LLEN hc:diff:k"), "1201");
    hg_cache_free(first->ca), first->ca = NULL;
    UNTIL(t, settled(t, 1201));
    assert_int_equal(t->g[0].m->cache_holes + t->g[1].m->cache_holes, 0);
}

/* Redis says nothing, refuses, or goes: the stop comes to its end, and what waits is let go. */
static void test_stop_waits_for_nobody(void **state)
{
    struct world *t = *state;
    open_both(t);
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    struct gateway *first = writer(t), *second = first == &t->g[0] ? &t->g[1] : &t->g[0];
    ask(t, "CONFIG SET maxmemory 1");
    feed_all(t, 1, 11, "k", "b");
    hg_cache_stop(first->ca, 3600 * HG_S); /* refused: no reason to wait */
    assert_string_equal(ask(t, "KEYS hc:lease:*"), "");
    ask(t, "CONFIG SET maxmemory 0");
    hg_cache_free(first->ca), first->ca = NULL;
    UNTIL(t, settled(t, 2));
    kill(t->srv.pid, SIGSTOP);
    feed(t, second == &t->g[1], 2, 12, "k", "c");
    hg_cache_stop(second->ca, 50 * HG_MS);
    hg_cache_free(second->ca), second->ca = NULL;
    assert_int_equal(second->m->cache_leases, 0);
    kill(t->srv.pid, SIGCONT);
    hg_cache_stop(NULL, 0);
}

/* ---- what happens to Redis ---- */

static void test_restart_goes_on_where_it_was(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    server_stop(&t->srv);
    UNTIL(t, !hg_cache_is_up(t->g[0].ca));
    assert_int_equal(t->g[0].m->cache_up, 0);
    feed(t, 0, 1, 11, "k", "b");
    assert_null(hg_cache_range(t->g[0].ca, HG_SLICE_LIT("k"), NULL, NULL));
    server_start(&t->srv); /* empty */
    UNTIL(t, settled(t, 2));
    assert_string_equal(list_of(t, "k"), "11b");
    assert_int_equal(since_of(t), 10);
    assert_int_equal(t->g[0].m->cache_dropped, 0);
}

static void test_flushall(void **state)
{
    struct world *t = *state;
    open_both(t);
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    ask(t, "FLUSHALL");
    feed_all(t, 1, 11, "k", "b");
    UNTIL(t, settled(t, 2));
    feed_all(t, 2, 12, "k", "c");
    UNTIL(t, settled(t, 3));
    assert_string_equal(list_of(t, "k"), "11b 12c");
    assert_int_equal(since_of(t), 10);
}

/* The script ran, its answer is lost: the position tells. */
static void test_lost_answer_is_no_repeat(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    kill(t->srv.pid, SIGSTOP);
    feed(t, 0, 1, 11, "k", "b");
    UNTIL(t, !hg_cache_is_up(t->g[0].ca)); /* what was sent waits in the server's socket */
    feed(t, 0, 2, 12, "k", "c");
    kill(t->srv.pid, SIGCONT);
    UNTIL(t, settled(t, 3));
    assert_string_equal(list_of(t, "k"), "10a 11b 12c");
    assert_int_equal(t->g[0].m->cache_holes, 0);
}

static void test_buffer_full_is_a_hole(void **state)
{
    struct world *t = *state;
    static char big[20000];
    memset(big, 'x', sizeof big - 1);
    t->g[0].conf->hotcache_buffer = 64 * 1024;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    kill(t->srv.pid, SIGSTOP);
    UNTIL(t, !hg_cache_is_up(t->g[0].ca));
    for (int i = 1; i <= 10; i++)
        feed(t, 0, i, 10 + (uint64_t)i, "k", big);
    hg_cache_turn(t->g[0].ca);
    assert_true(t->g[0].m->cache_waiting_bytes <= 64 * 1024);
    assert_int_equal(t->g[0].m->cache_dropped, 7);
    kill(t->srv.pid, SIGCONT);
    UNTIL(t, settled(t, 11));
    assert_int_equal(since_of(t), 17);
    assert_string_equal(ask(t, "LLEN hc:diff:k"), "4");
}

/* What is on its way may be forgotten, too: it is written or dropped, not both. */
static void test_written_and_dropped_add_up(void **state)
{
    struct world *t = *state;
    static char big[20000];
    memset(big, 'x', sizeof big - 1);
    t->g[0].conf->hotcache_buffer = 64 * 1024;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    for (int i = 1; i <= 5; i++) {
        feed(t, 0, i, 10 + (uint64_t)i, "k", big);
        hg_cache_turn(t->g[0].ca); /* the first is sent, nobody hears the answer */
    }
    assert_int_equal(t->g[0].m->cache_batches, 2);
    UNTIL(t, settled(t, 6));
    assert_string_equal(ask(t, "LLEN hc:diff:k"), "5");
    assert_int_equal(t->g[0].m->cache_written, 5);
    assert_int_equal(t->g[0].m->cache_dropped, 1);
    assert_int_equal(since_of(t), 12);
}

/* Two clusters may differ in the last letter only. */
static void test_a_long_prefix(void **state)
{
    struct world *t = *state;
    char prefix[301], command[400];
    memset(prefix, 'p', sizeof prefix - 1);
    prefix[150] = ' ';
    prefix[sizeof prefix - 1] = 0;
    set_text(&t->g[0].conf->keydb_prefix, prefix);
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, t->g[0].m->cache_written == 1);
    memset(prefix, 'p', sizeof prefix - 1);
    snprintf(command, sizeof command, "LLEN %.299sdiff:k", prefix);
    assert_string_equal(ask(t, command), "1");
}

static void test_wrong_type_hurts_its_key(void **state)
{
    struct world *t = *state;
    ask(t, "SET hc:diff:bad text");
    open_cache(t, 0);
    feed(t, 0, 0, 10, "good", "a");
    feed(t, 0, 1, 11, "bad", "b");
    feed(t, 0, 2, 12, "good", "c");
    UNTIL(t, settled(t, 3));
    assert_string_equal(list_of(t, "good"), "10a 12c");
    assert_int_equal(t->g[0].m->cache_written, 2);
    assert_int_equal(t->g[0].m->cache_dropped, 1);
    assert_int_equal(t->g[0].m->cache_errors, 1);
}

/* The position was written, an entry behind it was not: the position says so in the same script. */
static void test_entries_refused_are_a_hole(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    ask(t, "ACL SETUSER default -rpush");
    feed(t, 0, 1, 11, "k", "b");
    UNTIL(t, settled(t, 2));
    assert_int_equal(since_of(t), 11);
    assert_int_equal(t->g[0].m->cache_dropped, 1);
    assert_int_equal(t->g[0].m->cache_errors, 1);
    ask(t, "ACL SETUSER default +rpush");
    feed(t, 0, 2, 12, "k", "c");
    UNTIL(t, settled(t, 3));
    assert_string_equal(list_of(t, "k"), "10a 12c");
    assert_int_equal(since_of(t), 11);
    assert_int_equal(t->g[0].m->cache_written, 2);
}

static void test_wrong_type_under_our_own_keys(void **state)
{
    struct world *t = *state;
    ask(t, "SET hc:pos:diffs text");
    ask(t, "RPUSH hc:lease:diffs:1 x");
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, t->g[0].m->cache_errors >= 2);
    ask(t, "DEL hc:pos:diffs");
    UNTIL(t, settled(t, 1)); /* the other partition's lease is still in somebody's way */
    assert_string_equal(list_of(t, "k"), "10a");
    ask(t, "DEL hc:lease:diffs:1");
    feed_part(t, 0, 1, 0, 11, "k", "b");
    UNTIL(t, strcmp(list_of(t, "k"), "10a 11b") == 0);
}

static void test_position_that_cannot_be_read(void **state)
{
    struct world *t = *state;
    ask(t, "HSET hc:pos:diffs 0 nonsense");
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1)); /* gone over, as if there had been none */
    assert_string_equal(list_of(t, "k"), "10a");
    assert_true(t->g[0].m->cache_errors > 0);
}

static void test_out_of_memory(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    ask(t, "CONFIG SET maxmemory 1");
    feed(t, 0, 1, 11, "k", "b");
    UNTIL(t, t->g[0].m->cache_errors > 0);
    feed(t, 0, 2, 12, "k", "c");
    ask(t, "CONFIG SET maxmemory 0");
    UNTIL(t, settled(t, 3));
    assert_string_equal(list_of(t, "k"), "10a 11b 12c");
}

static void test_readonly(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    ask(t, "CONFIG SET replica-serve-stale-data yes");
    ask(t, "REPLICAOF 127.0.0.1 1");
    feed(t, 0, 1, 11, "k", "b");
    UNTIL(t, t->g[0].m->cache_errors > 0);
    ask(t, "REPLICAOF NO ONE");
    UNTIL(t, settled(t, 2));
    assert_string_equal(list_of(t, "k"), "10a 11b");
}

static long links_made(struct world *t)
{
    static const char name[] = "total_connections_received:";
    return strtol(strstr(ask(t, "INFO stats"), name) + sizeof name - 1, NULL, 10);
}

/* A replica that stays one is left for whatever the name leads to by then; each make of server has
 * its own way to say what it is. */
static void test_a_replica_is_left(void **state)
{
    static const char *const words[] = {
        "READONLY You can't write against a read only replica.",
        "ERR Error running script (call to f_0): @user_script:13: @user_script: 13: "
        "-READONLY You can't write against a read only replica. "};
    struct world *t = *state;
    struct gateway *g = &t->g[0];
    open_cache(t, 0);
    UNTIL(t, hg_cache_is_up(g->ca));
    for (unsigned i = 0; i < HG_COUNTOF(words); i++) {
        long before = links_made(t);
        hg_cache_error(g->ca, "write", hg_slice_str(words[i]));
        UNTIL(t, links_made(t) > before && hg_cache_is_up(g->ca));
    }
    hg_cache_error(g->ca, "write", HG_SLICE_LIT("OOM command not allowed"));
    hg_cache_error(g->ca, "write", HG_SLICE_NONE);
    assert_int_equal(g->m->cache_errors, 4);
}

static void test_auth_refused(void **state)
{
    struct world *t = *state;
    ask(t, "CONFIG SET requirepass secret");
    set_text(&t->g[0].conf->keydb_password, "wrong");
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    for (int i = 0; i < 50; i++)
        turn(t);
    assert_false(hg_cache_is_up(t->g[0].ca));
    ask(t, "CONFIG SET requirepass wrong");
    UNTIL(t, settled(t, 1));
    assert_int_equal(t->g[0].m->cache_up, 1);
}

/* ---- reading ---- */

struct got {
    unsigned calls;
    char text[512];
    struct hg_cached *cached;
};

static void on_range(void *ctx, struct hg_slice pks)
{
    struct got *got = ctx;
    got->calls++;
    snprintf(got->text, sizeof got->text, "%s", pks.p ? "" : "none");
    if (pks.p)
        snprintf(got->text, sizeof got->text, "%.*s", HG_SLICE_ARG(pks));
}

static void test_range(void **state)
{
    struct world *t = *state;
    struct got got = {0};
    open_cache(t, 0);
    UNTIL(t, hg_cache_is_up(t->g[0].ca));
    ask(t, "RPUSH hc:range:k 7 a\"b");
    ask(t, "SET hc:range:bad text");
    assert_non_null(hg_cache_range(t->g[0].ca, HG_SLICE_LIT("k"), on_range, &got));
    UNTIL(t, got.calls == 1);
    assert_string_equal(got.text, "[\"7\",\"a\\\"b\"]");
    assert_non_null(hg_cache_range(t->g[0].ca, HG_SLICE_LIT("none"), on_range, &got));
    UNTIL(t, got.calls == 2);
    assert_string_equal(got.text, "none");
    assert_int_equal(t->g[0].m->cache_errors, 0);
    assert_non_null(hg_cache_range(t->g[0].ca, HG_SLICE_LIT("bad"), on_range, &got));
    UNTIL(t, got.calls == 3);
    assert_string_equal(got.text, "none");
    assert_int_equal(t->g[0].m->cache_errors, 1);
    assert_non_null(hg_cache_range(t->g[0].ca, hg_slice_of("k\0z", 3), on_range, &got));
    UNTIL(t, got.calls == 4); /* another key than k */
    assert_string_equal(got.text, "none");
    t->g[0].conf->max_snapshot = 5;
    assert_non_null(hg_cache_range(t->g[0].ca, HG_SLICE_LIT("k"), on_range, &got));
    UNTIL(t, got.calls == 5); /* larger than a frame may be */
    assert_string_equal(got.text, "none");
    t->g[0].conf->max_snapshot = 1 << 20;
    got.calls = 3;
    struct hg_cache_read *r = hg_cache_range(t->g[0].ca, HG_SLICE_LIT("k"), on_range, &got);
    hg_cache_cancel(r);
    assert_non_null(hg_cache_range(t->g[0].ca, HG_SLICE_LIT("k"), on_range, &got));
    UNTIL(t, got.calls == 4);
    assert_non_null(hg_cache_range(t->g[0].ca, HG_SLICE_LIT("k"), on_range, &got));
    hg_cache_free(t->g[0].ca), t->g[0].ca = NULL; /* who waits hears of it */
    assert_int_equal(got.calls, 5);
    assert_string_equal(got.text, "none");
}

static void on_after(void *ctx, struct hg_cached *cached)
{
    struct got *got = ctx;
    got->calls++;
    got->cached = cached;
}

/* What is proved after an LSN: "11b 12c", "" for nothing after it, "unproved". */
static const char *after(struct world *t, unsigned i, const char *key, uint64_t lsn)
{
    static char out[512];
    struct got got = {0};
    out[0] = 0;
    if (!hg_cache_after(t->g[i].ca, hg_slice_str(key), hg_lsn(lsn), on_after, &got))
        return "not asked";
    UNTIL(t, got.calls == 1);
    if (!got.cached)
        return "unproved";
    for (size_t n = 0; n < got.cached->list.count; n++) {
        size_t at = strlen(out);
        snprintf(out + at, sizeof out - at, "%s%" PRIu64 "%.*s", at ? " " : "",
                 got.cached->list.entries[n].lsn,
                 HG_SLICE_ARG(hg_cachelist_value(&got.cached->list, n)));
    }
    hg_cached_free(got.cached);
    return out;
}

static void test_diffs_after_an_lsn(void **state)
{
    struct world *t = *state;
    open_both(t);
    feed_all(t, 0, 10, "k", "a");
    feed_all(t, 1, 11, "other", "o");
    feed_all(t, 2, 12, "k", "b");
    feed_all(t, 3, 12, "k", "c");
    feed_all(t, 4, 13, "k", "d");
    UNTIL(t, settled(t, 5));
    for (unsigned i = 0; i < HOSTS; i++) {
        assert_string_equal(after(t, i, "k", 10), "12b 12c 13d");
        assert_string_equal(after(t, i, "k", 11), "12b 12c 13d");
        assert_string_equal(after(t, i, "k", 12), "13d");
        assert_string_equal(after(t, i, "k", 13), "");
        assert_string_equal(after(t, i, "k", UINT64_MAX), "");
        assert_string_equal(after(t, i, "k", 9), "unproved"); /* trimmed or not: who knows */
        assert_string_equal(after(t, i, "none", 10), "unproved");
    }
    assert_int_equal(t->g[0].m->cache_hits, 5);
    assert_int_equal(t->g[0].m->cache_misses, 2);
    t->g[0].conf->held_records = 4;
    assert_string_equal(after(t, 0, "k", 10), "unproved"); /* more than may be held */
    t->g[0].conf->held_records = 10000;
    t->g[0].conf->held_bytes = 40;
    assert_string_equal(after(t, 0, "k", 10), "unproved");
}

static void test_trimmed_list(void **state)
{
    struct world *t = *state;
    t->g[0].conf->hotcache_max_diffs = 2;
    open_cache(t, 0);
    feed_log(t, 5, 10, "v");
    UNTIL(t, settled(t, 5));
    assert_string_equal(after(t, 0, "k", 13), "14v");
    assert_string_equal(after(t, 0, "k", 12), "unproved");
}

/* The writer is behind this host, or this host is behind the writer. */
static void test_as_far_as_this_host_has_read(void **state)
{
    struct world *t = *state;
    struct got got = {0};
    open_both(t);
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    struct gateway *g = writer(t);
    unsigned i = g == &t->g[0] ? 1 : 0; /* the one that does not write */
    feed(t, i, 1, 11, "k", "b");
    assert_string_equal(after(t, i, "k", 10), "unproved");
    feed(t, 1 - i, 1, 11, "k", "b");
    feed(t, 1 - i, 2, 12, "k", "c");
    UNTIL(t, settled(t, 3));
    assert_non_null(hg_cache_after(t->g[i].ca, HG_SLICE_LIT("k"), hg_lsn(10), on_after, &got));
    UNTIL(t, got.calls == 1);
    assert_non_null(got.cached);
    assert_int_equal(got.cached->list.count, 2); /* one that this host is yet to read */
    assert_false(hg_cached_is_behind(got.cached, t->g[i].host));
    feed(t, i, 2, 12, "k", "c");
    assert_true(hg_cached_is_behind(got.cached, t->g[i].host));
    hg_cached_free(got.cached);
}

static void test_other_partitions_count_too(void **state)
{
    struct world *t = *state;
    open_both(t);
    feed_all(t, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    assert_string_equal(after(t, 0, "k", 10), "");
    for (unsigned i = 0; i < HOSTS; i++)
        feed_part(t, i, 1, 0, 11, "big", NULL); /* a hole, of whatever key */
    UNTIL(t, strncmp(ask(t, "HGET hc:pos:diffs 1"), "1 ", 2) == 0);
    assert_string_equal(after(t, 0, "k", 10), "unproved");
    assert_string_equal(after(t, 0, "k", 11), "");
}

static void test_a_record_out_of_order_is_a_hole(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    feed(t, 0, 1, 20, "k", "b");
    feed(t, 0, 2, 15, "k", "c");
    feed(t, 0, 3, 21, "k", "d");
    UNTIL(t, settled(t, 4));
    assert_string_equal(list_of(t, "k"), "10a 20b 15c 21d");
    assert_string_equal(after(t, 0, "k", 16), "unproved");
    assert_string_equal(after(t, 0, "k", 20), "21d");
}

/* A topic was grown and the key moved, or two topics share it: two partitions, each in order. */
static void test_a_list_of_two_partitions(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    UNTIL(t, settled(t, 1));
    feed_part(t, 0, 1, 0, 20, "k", "b");
    UNTIL(t, strcmp(list_of(t, "k"), "10a 20b") == 0);
    assert_string_equal(after(t, 0, "k", 17), "20b");
    feed(t, 0, 1, 15, "k", "c"); /* read later than what came after it */
    UNTIL(t, settled(t, 2));
    assert_string_equal(list_of(t, "k"), "10a 20b 15c");
    assert_string_equal(after(t, 0, "k", 17), "unproved");
    assert_string_equal(after(t, 0, "k", 20), "");
    assert_int_equal(since_of(t), 20);
    assert_int_equal(t->g[0].m->cache_holes, 1);
    /* B-14: a gateway of the former system that was faster is no reason for doubt. */
    ask(t, "RPUSH hc:diff:k {\"lsn\":\"30\",\"b64\":\"ZA==\"} {\"lsn\":\"31\",\"b64\":\"ZQ==\"}");
    feed(t, 0, 2, 30, "k", "d");
    UNTIL(t, settled(t, 3));
    feed_part(t, 0, 1, 1, 31, "k", "e");
    UNTIL(t, strcmp(list_of(t, "k"), "10a 20b 15c 30d 31e 30d 31e") == 0);
    UNTIL(t, t->g[0].m->cache_waiting_bytes == 0);
    assert_string_equal(after(t, 0, "k", 20), "30d 31e");
    assert_int_equal(since_of(t), 20);
    assert_int_equal(t->g[0].m->cache_holes, 1);
}

static void test_lists_of_others_in_doubt(void **state)
{
    struct world *t = *state;
    open_cache(t, 0);
    feed(t, 0, 0, 10, "k", "a");
    feed(t, 0, 1, 12, "k", "b");
    UNTIL(t, settled(t, 2));
    assert_string_equal(after(t, 0, "k", 10), "12b");
    ask(t,
        "RPUSH hc:diff:k {\"lsn\":\"12\",\"b64\":\"Yg==\"}"); /* B-14: another gateway's repeat */
    assert_string_equal(after(t, 0, "k", 10), "12b");
    ask(t, "RPUSH hc:diff:k {\"lsn\":\"11\",\"b64\":\"eA==\"}");
    assert_string_equal(after(t, 0, "k", 10), "unproved");
    ask(t, "RPOP hc:diff:k");
    assert_string_equal(after(t, 0, "k", 10), "12b");
    ask(t, "RPUSH hc:diff:k nonsense");
    assert_string_equal(after(t, 0, "k", 10), "unproved");
    ask(t, "DEL hc:diff:k");
    assert_string_equal(after(t, 0, "k", 10), "unproved"); /* clear() of the former gateway */
    ask(t, "SET hc:diff:k text");
    assert_string_equal(after(t, 0, "k", 10), "unproved");
    ask(t, "DEL hc:pos:diffs");
    assert_string_equal(after(t, 0, "k", 10), "unproved");
}

/* ---- on or off ---- */

static bool wanted(const char *const *flags, int n)
{
    char *argv[4], *env[] = {NULL};
    struct hg_conf_in in = {
        .file = "/dev/null", .dotenv = "/dev/null", .env = env, .argc = n, .argv = argv};
    struct hg_buf report = {0};
    struct hg_conf *cf = NULL;
    for (int i = 0; i < n; i++)
        argv[i] = (char *)(uintptr_t)flags[i];
    assert_int_equal(hg_conf_load(&in, &cf, &report), 0);
    bool is_wanted = hg_cache_wanted(cf);
    hg_conf_free(cf);
    hg_buf_fini(&report);
    return is_wanted;
}
#define WANTED(...)                                                                                \
    wanted((const char *const[]){__VA_ARGS__},                                                     \
           (int)HG_COUNTOF(((const char *const[]){__VA_ARGS__})))

static void test_when_it_is_on(void **state)
{
    (void)state;
    assert_false(WANTED("--workers=1"));
    assert_true(WANTED("--hot-cache=on"));
    assert_true(WANTED("--profile=v3"));
    assert_false(WANTED("--profile=v2"));
    assert_true(WANTED("--keydb-host=localhost"));
    assert_true(WANTED("--hotcache-max-diffs=5000"));
    assert_true(WANTED("--hotcache-snapshots=yes"));
    assert_false(WANTED("--keydb-host=localhost", "--hot-cache=off"));
    assert_false(WANTED("--keydb-host=localhost", "--dev"));
    assert_true(WANTED("--hot-cache=on", "--dev"));
}

static void test_off_takes_every_call(void **state)
{
    struct world *t = *state;
    struct hg_cache_rec rec = {.kind = HG_CACHE_DIFF};
    struct hg_cache_spec spec = {
        .loop = t->g[0].loop, .conf = t->g[0].conf, .metrics = t->g[0].m, .host = t->g[0].host};
    t->g[0].conf->hot_cache = HG_HOT_CACHE_OFF;
    struct hg_cache *ca = hg_cache_new(&spec);
    assert_null(ca);
    hg_cache_record(ca, &rec);
    hg_cache_begin_anew(ca, 0, 0);
    hg_cache_turn(ca);
    assert_false(hg_cache_is_up(ca));
    assert_null(hg_cache_range(ca, HG_SLICE_LIT("k"), on_range, NULL));
    assert_null(hg_cache_after(ca, HG_SLICE_LIT("k"), hg_lsn(1), on_after, NULL));
    hg_cache_cancel(NULL);
    hg_cached_free(NULL);
    hg_cache_free(ca);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_written_as_the_sources_have_it),
        T(test_keys_expire),
        T(test_only_diffs_of_the_share),
        T(test_thousands_in_few_round_trips),
        T(test_snapshots),
        T(test_b_14_two_hosts_one_writer),
        T(test_b_14_paused_writer_writes_nothing),
        T(test_tokens_only_grow),
        T(test_b_14_lease_of_another_is_respected),
        T(test_lost_position_is_a_hole),
        T(test_successor_notes_a_hole),
        T(test_who_has_it_all_goes_before_who_has_not),
        T(test_share_that_moves_is_handed_on),
        T(test_share_that_comes_back),
        T(test_log_that_began_anew),
        T(test_b_14_log_that_began_anew_for_two),
        T(test_b_14_take_over_of_a_new_log),
        T(test_log_that_began_anew_at_once),
        T(test_stop_writes_and_gives_up_the_leases),
        T(test_stop_waits_for_nobody),
        T(test_restart_goes_on_where_it_was),
        T(test_flushall),
        T(test_lost_answer_is_no_repeat),
        T(test_buffer_full_is_a_hole),
        T(test_written_and_dropped_add_up),
        T(test_a_long_prefix),
        T(test_wrong_type_hurts_its_key),
        T(test_entries_refused_are_a_hole),
        T(test_wrong_type_under_our_own_keys),
        T(test_position_that_cannot_be_read),
        T(test_out_of_memory),
        T(test_readonly),
        T(test_a_replica_is_left),
        T(test_auth_refused),
        T(test_range),
        T(test_diffs_after_an_lsn),
        T(test_trimmed_list),
        T(test_as_far_as_this_host_has_read),
        T(test_other_partitions_count_too),
        T(test_a_record_out_of_order_is_a_hole),
        T(test_a_list_of_two_partitions),
        T(test_lists_of_others_in_doubt),
        cmocka_unit_test(test_when_it_is_on),
        T(test_off_takes_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
