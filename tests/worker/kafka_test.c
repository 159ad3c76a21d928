/*
 * The Kafka door against librdkafka's mock cluster, and against a real broker when
 * HG_TEST_KAFKA=host:port is set (then also what the mock can't do: transactions, topics deleted
 * and grown, logs trimmed).
 */
#include "tests/support/hgtest.h"
#include "tests/support/mock_kafka.h"
#include <arpa/inet.h>
#include <sys/socket.h>
#include "worker/kafka.h"

enum { DEADLINE_MS = 30000, MAX_SEEN = 20000 };

struct seen {
    uint32_t part;
    int64_t offset;
    bool is_last;
    uint64_t lsn;
    size_t len;
    bool null_value;
};

struct door { /* one worker's side of the door */
    struct hg_kafka *k;
    struct seen *records;
    size_t n;
    int64_t position[HG_MAX_PARTS];
    unsigned positions, losses, reports, replies, states;
    int report_err;
    void *report_opaque;
    char reply[64];
    bool up, ready, refuse;
};

struct world {
    struct mock_kafka *broker;
    struct hg_loop *loop;
    struct hg_host *host;
    struct hg_conf conf;
    struct door door[2];
    char diffs[64], rows[64], topics[160];
};

/* ---- callbacks ---- */

static struct world *the;
static struct hg_metrics metrics;

static bool on_record(void *ctx, const struct hg_kafka_record *r)
{
    struct door *d = ctx;
    if (d->refuse)
        return false;
    struct seen *s = &d->records[d->n++];
    assert_true(d->n <= MAX_SEEN);
    *s = (struct seen){r->part, r->offset, r->is_last_at_start, 0, r->value.n, !r->value.p};
    const char *names[] = {"missing", "lsn", NULL};
    struct hg_slice v;
    char text[32];
    if (hg_kafka_record_header(r, names, &v)) {
        snprintf(text, sizeof text, "%.*s", HG_SLICE_ARG(v));
        s->lsn = strtoull(text, NULL, 10);
    }
    if (!r->is_last_at_start) {
        atomic_store(&the->host->parts[r->part].next, r->offset + 1);
        atomic_store(&the->host->parts[r->part].stamp_ms, r->stamp_ms);
    }
    return true;
}

static void on_position(void *ctx, uint32_t part, int64_t next)
{
    struct door *d = ctx;
    d->position[part] = next;
    d->positions++;
    atomic_store(&the->host->parts[part].next, next);
    atomic_store(&the->host->parts[part].known, 1);
}

static void on_position_lost(void *ctx, uint32_t part, int64_t next)
{
    struct door *d = ctx;
    d->losses++;
    d->position[part] = next;
    atomic_fetch_add(&the->host->parts[part].resets, 1);
    atomic_store(&the->host->parts[part].next, next);
}

static void on_reply(void *ctx, const struct hg_kafka_record *r)
{
    struct door *d = ctx;
    snprintf(d->reply, sizeof d->reply, "%.*s", HG_SLICE_ARG(r->value));
    assert_int_equal(r->topic, UINT32_MAX);
    d->replies++;
}

static void on_report(void *ctx, void *opaque, int err)
{
    struct door *d = ctx;
    d->reports++;
    d->report_err = err;
    d->report_opaque = opaque;
}

static void on_state(void *ctx, bool up, bool ready)
{
    struct door *d = ctx;
    d->states++;
    d->up = up;
    d->ready = ready;
}

/* ---- set-up ---- */

static void open_door(struct world *w, unsigned i)
{
    struct door *d = &w->door[i];
    struct hg_kafka_spec spec = {
        .loop = w->loop,
        .host = w->host,
        .conf = &w->conf,
        .seat = i,
        .metrics = &metrics,
        .nworkers = 2,
        .ev = {on_record, on_position, on_position_lost, on_reply, on_report, on_state, d},
    };
    struct seen *keep = d->records ? d->records : hg_calloc(MAX_SEEN, sizeof *keep);
    memset(d, 0, sizeof *d);
    d->records = keep;
    atomic_store(&w->host->seats[i].state, HG_SEAT_SERVING);
    d->k = hg_kafka_new(&spec);
    assert_non_null(d->k);
}

static void close_door(struct world *w, unsigned i)
{
    hg_kafka_free(w->door[i].k, 1000), w->door[i].k = NULL;
}

static void new_host(struct world *w, uint32_t nslots)
{
    const char *why = "";
    struct hg_host_spec spec = {.nslots = nslots, .ring_size = 256 << 10, .topics = w->topics};
    hg_host_free(w->host);
    assert_int_equal(hg_host_new(&spec, &w->host, &why), 0);
    for (uint32_t i = 0; i < nslots; i++)
        atomic_store(&w->host->shares[i].holder, i);
}

static struct world *setup(uint32_t nslots, int partitions)
{
    static unsigned count;
    struct world *w = hg_calloc(1, sizeof *w);
    the = w;
    memset(&metrics, 0, sizeof metrics);
    w->broker = mock_kafka_new();
    w->loop = hg_loop_new();
    unsigned id = (unsigned)getpid() * 100 + count++;
    snprintf(w->diffs, sizeof w->diffs, "diffs%u", id);
    snprintf(w->rows, sizeof w->rows, "rows%u", id);
    snprintf(w->topics, sizeof w->topics, "%s:diff,%s:row", w->diffs, w->rows);
    new_host(w, nslots);
    w->conf.kafka_brokers = (char *)(uintptr_t)mock_kafka_brokers(w->broker);
    w->conf.kafka_properties = (char *)(uintptr_t) "";
    w->conf.sql_rpc_reply_topic = (char *)(uintptr_t) "";
    w->conf.sql_rpc_request_topic = (char *)(uintptr_t) "sql.rpc.requests";
    w->conf.query_control_topic = (char *)(uintptr_t) "server.query.control";
    w->conf.page_seed_topic = (char *)(uintptr_t) "server.page.seed";
    w->conf.kafka_fetch_min_bytes = 1;
    w->conf.kafka_fetch_wait = 10 * HG_MS;
    w->conf.kafka_prefetch = 16 << 20;
    w->conf.kafka_metadata_interval = 200 * HG_MS;
    w->conf.rpc_timeout = 2 * HG_S;
    if (partitions > 0) {
        mock_kafka_topic(w->broker, w->diffs, partitions);
        mock_kafka_topic(w->broker, w->rows, 1);
    }
    return w;
}

static void teardown(struct world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        hg_kafka_free(w->door[i].k, 0);
        free(w->door[i].records);
    }
    hg_host_free(w->host);
    hg_loop_free(w->loop);
    mock_kafka_free(w->broker);
    free(w);
    the = NULL;
}

/* Turns the loop until cond holds. */
#define until(w, cond)                                                                             \
    do {                                                                                           \
        struct hg_mono end_ = hg_mono_add(hg_mono_read(), DEADLINE_MS * HG_MS);                    \
        while (!(cond)) {                                                                          \
            if (hg_mono_reached(hg_mono_read(), end_))                                             \
                fail_msg("never came: %s", #cond);                                                 \
            hg_loop_turn((w)->loop, 20);                                                           \
        }                                                                                          \
    } while (0)

static void turns(struct world *w, int ms) /* to see that nothing comes */
{
    struct hg_mono end = hg_mono_add(hg_mono_read(), ms * HG_MS);
    while (!hg_mono_reached(hg_mono_read(), end))
        hg_loop_turn(w->loop, 10);
}

static void put(struct world *w, int part, int n)
{
    for (int i = 0; i < n; i++)
        mock_kafka_put(w->broker, w->diffs, part, "key", "value", (uint64_t)i + 1);
}

/* ---- start positions ---- */

static void empty_topics_start_at_their_end(void **state)
{
    (void)state;
    struct world *w = setup(1, 2);
    open_door(w, 0);
    until(w, w->door[0].positions == 3 && w->door[0].ready);
    assert_int_equal(hg_kafka_held(w->door[0].k), 3);
    assert_int_equal(w->door[0].n, 0);
    assert_true(w->door[0].up && hg_kafka_is_up(w->door[0].k));
    put(w, 1, 3);
    until(w, w->door[0].n == 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w->door[0].records[i].part, 1);
        assert_int_equal(w->door[0].records[i].offset, i);
        assert_int_equal(w->door[0].records[i].lsn, i + 1);
        assert_false(w->door[0].records[i].is_last);
    }
    teardown(w);
}

static void a_log_with_records_starts_with_its_last(void **state)
{
    (void)state;
    struct world *w = setup(1, 2);
    put(w, 0, 5);
    open_door(w, 0);
    until(w, w->door[0].positions == 3);
    assert_int_equal(w->door[0].n, 1);
    assert_true(w->door[0].records[0].is_last);
    assert_int_equal(w->door[0].records[0].offset, 4);
    assert_int_equal(w->door[0].records[0].lsn, 5);
    assert_int_equal(w->door[0].position[0], 5);
    assert_int_equal(w->door[0].position[1], 0);
    put(w, 0, 1);
    until(w, w->door[0].n == 2);
    assert_int_equal(w->door[0].records[1].offset, 5);
    assert_false(w->door[0].records[1].is_last);
    teardown(w);
}

static void a_topic_made_later_is_read_from_its_start(void **state)
{
    (void)state;
    struct world *w = setup(1, 0);
    mock_kafka_topic(w->broker, w->rows, 1);
    open_door(w, 0);
    until(w, atomic_load(&w->host->topics[0].seen) && w->door[0].positions >= 1);
    if (mock_kafka_is_real(w->broker)) { /* the mock makes a topic when it is asked about it */
        assert_int_equal(atomic_load(&w->host->topics[0].start_count), 0);
        mock_kafka_topic(w->broker, w->diffs, 2);
        put(w, 1, 4);
        until(w, w->door[0].n == 4 && w->door[0].positions == 3);
        assert_int_equal(w->door[0].records[0].offset, 0);
        assert_false(w->door[0].records[0].is_last);
        mock_kafka_grow(w->broker, w->diffs, 3);
        put(w, 2, 2);
        until(w, w->door[0].n == 6 && w->door[0].positions == 4);
        assert_int_equal(w->door[0].records[4].part, 2);
        assert_int_equal(w->door[0].records[4].offset, 0);
    }
    teardown(w);
}

static void a_null_value_and_a_missing_key_come_through(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    mock_kafka_put(w->broker, w->diffs, 0, "key", NULL, 1);
    mock_kafka_put(w->broker, w->diffs, 0, NULL, "", 2);
    until(w, w->door[0].n == 2);
    assert_true(w->door[0].records[0].null_value);
    assert_false(w->door[0].records[1].null_value);
    teardown(w);
}

/* ---- take-over, share moves ---- */

static void a_successor_goes_on_at_the_stored_position(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    put(w, 0, 4);
    until(w, w->door[0].n == 4);
    close_door(w, 0);
    put(w, 0, 3);
    atomic_store(&w->host->parts[0].next, 3); /* died before it stored the last one */
    open_door(w, 0);
    until(w, w->door[0].n == 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(w->door[0].records[i].offset, 3 + i);
    turns(w, 100);
    assert_int_equal(w->door[0].n, 4);
    teardown(w);
}

static void a_share_moves_without_loss_or_repeat(void **state)
{
    (void)state;
    struct world *w = setup(2, 4);
    open_door(w, 0);
    open_door(w, 1);
    until(w, w->door[0].positions + w->door[1].positions == 5);
    assert_int_equal(hg_kafka_held(w->door[0].k), 2);
    for (int i = 0; i < 4; i++)
        put(w, i, 2);
    until(w, w->door[0].n == 4 && w->door[1].n == 4);
    atomic_store(&w->host->shares[1].release, 1);
    hg_kafka_changes_apply(w->door[1].k);
    assert_int_equal(hg_kafka_held(w->door[1].k), 0);
    for (int i = 0; i < 4; i++)
        put(w, i, 2);
    until(w, w->door[0].n == 8);
    turns(w, 100);
    assert_int_equal(w->door[1].n, 4);
    atomic_store(&w->host->shares[1].holder, 0);
    atomic_store(&w->host->shares[1].release, 0);
    hg_kafka_changes_apply(w->door[0].k);
    assert_int_equal(hg_kafka_held(w->door[0].k), 5);
    until(w, w->door[0].n == 12);
    for (int part = 1; part < 4; part += 2) { /* slot 1's */
        int64_t want = 2;
        for (size_t i = 8; i < 12; i++)
            if (w->door[0].records[i].part == (uint32_t)part)
                assert_int_equal(w->door[0].records[i].offset, want++);
        assert_int_equal(want, 4);
    }
    teardown(w);
}

/* ---- back-pressure ---- */

static void a_refused_record_is_offered_again(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    w->door[0].refuse = true;
    put(w, 0, 5);
    turns(w, 300);
    assert_int_equal(w->door[0].n, 0);
    w->door[0].refuse = false;
    turns(w, 100); /* not before resume */
    assert_int_equal(w->door[0].n, 0);
    hg_kafka_resume(w->door[0].k);
    until(w, w->door[0].n == 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(w->door[0].records[i].offset, i);
    teardown(w);
}

static void replies_go_on_while_changes_are_paused(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    open_door(w, 0);
    until(w, w->door[0].positions == 2 && w->door[0].ready);
    hg_kafka_pause(w->door[0].k, true);
    put(w, 0, 2);
    mock_kafka_put(w->broker, hg_kafka_reply_topic(w->door[0].k), 0, "id", "answer", 1);
    until(w, w->door[0].replies == 1);
    assert_string_equal(w->door[0].reply, "answer");
    turns(w, 100);
    assert_int_equal(w->door[0].n, 0);
    hg_kafka_pause(w->door[0].k, false);
    until(w, w->door[0].n == 2);
    teardown(w);
}

static void a_burst_is_cut_into_turns(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    open_door(w, 0);
    until(w, w->door[0].positions == 2 && w->door[0].ready);
    hg_kafka_pause(w->door[0].k, true);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(
            hg_kafka_produce(w->door[0].k, &(struct hg_kafka_msg){.topic = w->diffs,
                                                                  .key = HG_SLICE_LIT("k"),
                                                                  .value = HG_SLICE_LIT("v")}),
            0);
    until(w, HG_GET(&metrics, produce_ok) == 3000);
    hg_kafka_pause(w->door[0].k, false);
    size_t most = 0, before = 0;
    struct hg_mono end = hg_mono_add(hg_mono_read(), DEADLINE_MS * HG_MS);
    while (w->door[0].n < 3000 && !hg_mono_reached(hg_mono_read(), end)) {
        hg_loop_turn(w->loop, 20);
        most = HG_MAX(most, w->door[0].n - before);
        before = w->door[0].n;
    }
    assert_int_equal(w->door[0].n, 3000);
    assert_true(most <= 1000);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(w->door[0].records[i].offset, i);
    teardown(w);
}

/* ---- producing ---- */

static void produced_messages_are_reported(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    int mine;
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    struct hg_kafka_msg m = {.topic = w->diffs,
                             .key = HG_SLICE_LIT("k"),
                             .value = HG_SLICE_LIT("v"),
                             .want_report = true,
                             .opaque = &mine};
    assert_int_equal(hg_kafka_produce(w->door[0].k, &m), 0);
    until(w, w->door[0].reports == 1 && w->door[0].n == 1);
    assert_int_equal(w->door[0].report_err, 0);
    assert_ptr_equal(w->door[0].report_opaque, &mine);
    m.value = HG_SLICE_NONE;
    m.want_report = false;
    assert_int_equal(hg_kafka_produce(w->door[0].k, &m), 0);
    until(w, w->door[0].n == 2 && HG_GET(&metrics, produce_ok) == 2);
    assert_true(w->door[0].records[1].null_value);
    assert_int_equal(w->door[0].reports, 1);
    teardown(w);
}

static void a_call_that_cannot_be_sent_expires(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    w->conf.kafka_brokers = (char *)(uintptr_t) "127.0.0.1:1";
    w->conf.rpc_timeout = 300 * HG_MS;
    open_door(w, 0);
    struct hg_kafka_msg m = {.topic = "sql.rpc.requests",
                             .key = HG_SLICE_LIT("k"),
                             .value = HG_SLICE_LIT("v"),
                             .want_report = true};
    assert_int_equal(hg_kafka_produce(w->door[0].k, &m), 0);
    until(w, w->door[0].reports == 1);
    assert_int_equal(w->door[0].report_err, -HG_E_RPC_TIMEOUT);
    m.topic = "elsewhere"; /* waits for the broker; reported at the end all the same */
    assert_int_equal(hg_kafka_produce(w->door[0].k, &m), 0);
    close_door(w, 0);
    assert_int_equal(w->door[0].reports, 2);
    assert_int_equal(w->door[0].report_err, -HG_E_RPC_SHUTDOWN);
    teardown(w);
}

/* A produce that waited for room would never come back here: nobody serves reports meanwhile. */
static void a_full_queue_without_a_broker_is_told_at_once(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    w->conf.kafka_brokers = (char *)(uintptr_t) "127.0.0.1:1";
    w->conf.query_control_lease = 3 * HG_S;
    open_door(w, 0);
    struct hg_kafka_msg m = {.topic = w->conf.query_control_topic,
                             .key = HG_SLICE_LIT("k"),
                             .value = HG_SLICE_LIT("v"),
                             .want_report = true};
    unsigned taken = 0;
    int rc;
    while ((rc = hg_kafka_produce(w->door[0].k, &m)) == 0)
        assert_true(++taken <= 1000000);
    assert_int_equal(rc, -HG_E_FULL);
    assert_int_equal(HG_GET(&metrics, control_failed), 1);
    until(w, w->door[0].reports == taken); /* each is given up, and there is room again */
    assert_int_equal(w->door[0].report_err, -HG_E_RPC_TIMEOUT);
    assert_int_equal(HG_GET(&metrics, control_failed), taken + 1);
    assert_int_equal(hg_kafka_produce(w->door[0].k, &m), 0);
    close_door(w, 0);
    teardown(w);
}

/* ---- broker comes and goes ---- */

static void a_broker_absent_at_start_is_waited_for(void **state)
{
    (void)state;
    struct world *w = setup(1, 2);
    if (mock_kafka_is_real(w->broker)) {
        teardown(w);
        return;
    }
    put(w, 0, 2);
    mock_kafka_stop(w->broker);
    open_door(w, 0);
    until(w, w->door[0].states == 1);
    assert_false(w->door[0].up);
    assert_int_equal(w->door[0].positions, 0);
    mock_kafka_start(w->broker);
    until(w, w->door[0].up && w->door[0].ready && w->door[0].positions == 3);
    assert_int_equal(w->door[0].n, 1);
    mock_kafka_stop(w->broker);
    until(w, !w->door[0].up);
    mock_kafka_start(w->broker);
    until(w, w->door[0].up && w->door[0].ready);
    put(w, 1, 2);
    until(w, w->door[0].n == 3);
    assert_int_equal(w->door[0].losses, 0);
    teardown(w);
}

static void a_broker_that_says_nothing_is_down(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    char brokers[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* the kernel accepts, nobody reads */
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 16) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    snprintf(brokers, sizeof brokers, "127.0.0.1:%u", ntohs(at.sin_port));
    w->conf.kafka_brokers = brokers;
    open_door(w, 0);
    until(w, w->door[0].states == 1);
    assert_false(w->door[0].up);
    struct hg_mono before = hg_mono_read();
    close_door(w, 0);
    assert_true(hg_mono_sub(hg_mono_read(), before) < 8 * HG_S);
    close(fd);
    teardown(w);
}

static void a_bad_property_is_refused(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    struct hg_kafka_spec spec = {
        .loop = w->loop, .host = w->host, .conf = &w->conf, .metrics = &metrics};
    const char *bad[] = {"no.such.property=1", "fetch.min.bytes=many", "linger.ms"};
    for (size_t i = 0; i < HG_COUNTOF(bad); i++) {
        w->conf.kafka_properties = (char *)(uintptr_t)bad[i];
        assert_null(hg_kafka_new(&spec));
    }
    w->conf.kafka_properties = (char *)(uintptr_t) "linger.ms=2,fetch.min.bytes=2";
    open_door(w, 0);
    teardown(w);
}

/* ---- replies ---- */

static void a_shared_reply_topic_is_read_from_its_end(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    char name[80];
    snprintf(name, sizeof name, "replies-%s", w->diffs);
    mock_kafka_topic(w->broker, name, 2);
    mock_kafka_put(w->broker, name, 1, "id", "old", 1);
    w->conf.sql_rpc_reply_topic = name;
    open_door(w, 0);
    assert_string_equal(hg_kafka_reply_topic(w->door[0].k), name);
    assert_string_equal(w->host->seats[0].reply_topic, "");
    until(w, w->door[0].ready);
    mock_kafka_put(w->broker, name, 1, "id", "new", 1);
    until(w, w->door[0].replies == 1);
    assert_string_equal(w->door[0].reply, "new");
    close_door(w, 0);
    assert_true(mock_kafka_has_topic(w->broker, name));
    teardown(w);
}

static void own_reply_topics_are_deleted(void **state)
{
    (void)state;
    struct world *w = setup(1, 1);
    char names[3][HG_NAME_MAX], own[HG_NAME_MAX];
    open_door(w, 0);
    assert_string_equal(w->host->seats[0].reply_topic, hg_kafka_reply_topic(w->door[0].k));
    snprintf(own, sizeof own, "%s", hg_kafka_reply_topic(w->door[0].k));
    until(w, w->door[0].ready);
    if (mock_kafka_is_real(w->broker)) {
        close_door(w, 0);
        assert_false(mock_kafka_has_topic(w->broker, own));
        assert_string_equal(w->host->seats[0].reply_topic, "");
        /* a predecessor in the own seat, a dead sibling, and one that lives */
        snprintf(names[0], HG_NAME_MAX, "sql.rpc.responses.ws.before.%s", w->diffs);
        snprintf(names[1], HG_NAME_MAX, "sql.rpc.responses.ws.dead.%s", w->diffs);
        snprintf(names[2], HG_NAME_MAX, "sql.rpc.responses.ws.alive.%s", w->diffs);
        for (int i = 0; i < 3; i++) {
            mock_kafka_topic(w->broker, names[i], 1);
            snprintf(w->host->seats[i].reply_topic, HG_NAME_MAX, "%s", names[i]);
        }
        atomic_store(&w->host->seats[1].state, HG_SEAT_DEAD);
        atomic_store(&w->host->seats[2].state, HG_SEAT_SERVING);
        w->conf.rpc_timeout = 500 * HG_MS;
        open_door(w, 0);
        until(w, !mock_kafka_has_topic(w->broker, names[0]) &&
                     !mock_kafka_has_topic(w->broker, names[1]));
        assert_true(mock_kafka_has_topic(w->broker, names[2]));
        atomic_store(&w->host->seats[2].state, HG_SEAT_FREE);
        assert_string_not_equal(own, hg_kafka_reply_topic(w->door[0].k));
        close_door(w, 0); /* whoever ends does not wait for the time-out */
        assert_false(mock_kafka_has_topic(w->broker, names[2]));
    }
    teardown(w);
}

/* ---- only a real broker does these ---- */

static struct world *real_setup(uint32_t nslots, int partitions)
{
    const char *real = getenv("HG_TEST_KAFKA");
    if (!real || !*real)
        skip();
    return setup(nslots, partitions);
}

static void markers_at_the_end_are_stepped_over(void **state)
{
    (void)state;
    struct world *w = real_setup(1, 2);
    put(w, 0, 3);
    for (int i = 0; i < 3; i++)
        mock_kafka_put_txn(w->broker, w->diffs, 0, 4,
                           false); /* 3 * (4 aborted + marker): offsets 3..17 */
    mock_kafka_put_txn(w->broker, w->diffs, 1, 2, true); /* data 0, 1, marker 2 */
    open_door(w, 0);
    until(w, w->door[0].positions == 3);
    assert_int_equal(w->door[0].position[0], 18);
    assert_int_equal(w->door[0].position[1], 3);
    int64_t last[2] = {-1, -1};
    for (size_t i = 0; i < w->door[0].n; i++) {
        assert_true(w->door[0].records[i].is_last);
        last[w->door[0].records[i].part] = w->door[0].records[i].offset;
    }
    assert_int_equal(last[0], 2);
    assert_int_equal(last[1], 1);
    size_t before = w->door[0].n;
    put(w, 0, 1);
    mock_kafka_put_txn(w->broker, w->diffs, 1, 1, true);
    until(w, w->door[0].n == before + 2);
    until(w, HG_GET(&metrics, lag_records) == 0);
    teardown(w);
}

static void only_markers_in_the_log(void **state)
{
    (void)state;
    struct world *w = real_setup(1, 1);
    mock_kafka_put_txn(w->broker, w->diffs, 0, 5, false);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    assert_int_equal(w->door[0].position[0], 6);
    assert_int_equal(w->door[0].n, 0);
    teardown(w);
}

static void a_trimmed_and_empty_log(void **state)
{
    (void)state;
    struct world *w = real_setup(1, 1);
    put(w, 0, 4);
    mock_kafka_trim(w->broker, w->diffs, 0, 4);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    assert_int_equal(w->door[0].position[0], 4);
    put(w, 0, 1);
    until(w, w->door[0].n == 1);
    assert_int_equal(w->door[0].records[0].offset, 4);
    teardown(w);
}

static void a_stored_position_below_the_log_is_lost(void **state)
{
    (void)state;
    struct world *w = real_setup(1, 1);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    close_door(w, 0);
    put(w, 0, 10);
    mock_kafka_trim(w->broker, w->diffs, 0, 6);
    open_door(w, 0);
    until(w, w->door[0].losses == 1 && w->door[0].n == 4);
    assert_int_equal(w->door[0].position[0], 6);
    assert_int_equal(w->door[0].records[0].offset, 6);
    teardown(w);
}

static void a_topic_made_anew_is_noticed(void **state)
{
    (void)state;
    struct world *w = real_setup(1, 1);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    put(w, 0, 10);
    until(w, w->door[0].n == 10);
    mock_kafka_delete_topic(w->broker, w->diffs);
    turns(w, 1000);
    mock_kafka_topic(w->broker, w->diffs, 1);
    put(w, 0, 3);
    until(w, w->door[0].losses >= 1 && w->door[0].n == 13);
    assert_int_equal(w->door[0].losses, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(w->door[0].records[10 + i].offset, i);
    /* and one that is longer than the old one was when it is seen again */
    mock_kafka_delete_topic(w->broker, w->diffs);
    until(w, atomic_load(&w->host->topics[0].count) == 0 || hg_kafka_held(w->door[0].k) == 1);
    mock_kafka_topic(w->broker, w->diffs, 1);
    put(w, 0, 5);
    until(w, w->door[0].losses == 2 && w->door[0].n == 18);
    assert_int_equal(w->door[0].records[13].offset, 0);
    teardown(w);
}

static void all_of_a_topic_made_anew_is_noticed(void **state)
{
    (void)state;
    struct world *w = real_setup(2, 2); /* each worker has one partition of it */
    open_door(w, 0);
    open_door(w, 1);
    until(w, w->door[0].positions + w->door[1].positions == 3);
    put(w, 0, 10);
    put(w, 1, 10);
    until(w, w->door[0].n == 10 && w->door[1].n == 10);
    close_door(w, 0);
    close_door(w, 1);
    mock_kafka_delete_topic(w->broker, w->diffs);
    mock_kafka_topic(w->broker, w->diffs, 2);
    put(w, 0, 15); /* longer than the stored position: by itself it would go on at 10 */
    put(w, 1, 3);  /* shorter: it is seen */
    open_door(w, 0);
    open_door(w, 1);
    until(w, w->door[0].losses == 1 && w->door[1].losses == 1);
    until(w, w->door[0].n >= 15 && w->door[0].records[w->door[0].n - 1].offset == 14 &&
                 w->door[1].n == 3);
    for (int i = 0; i < 15; i++)
        assert_int_equal(w->door[0].records[w->door[0].n - 15 + (size_t)i].offset, i);
    turns(w, 1500); /* what was verified stays */
    assert_int_equal(w->door[0].losses + w->door[1].losses, 2);
    teardown(w);
}

static void a_record_of_20_mb_comes_through(void **state)
{
    (void)state;
    struct world *w = real_setup(1, 1);
    size_t n = 20 << 20;
    char *big = hg_calloc(1, n);
    open_door(w, 0);
    until(w, w->door[0].positions == 2);
    mock_kafka_put_bytes(w->broker, w->diffs, 0, big, n);
    put(w, 0, 1);
    until(w, w->door[0].n == 2);
    assert_int_equal(w->door[0].records[0].len, n);
    free(big);
    teardown(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_topics_start_at_their_end),
        cmocka_unit_test(a_log_with_records_starts_with_its_last),
        cmocka_unit_test(a_topic_made_later_is_read_from_its_start),
        cmocka_unit_test(a_null_value_and_a_missing_key_come_through),
        cmocka_unit_test(a_successor_goes_on_at_the_stored_position),
        cmocka_unit_test(a_share_moves_without_loss_or_repeat),
        cmocka_unit_test(a_refused_record_is_offered_again),
        cmocka_unit_test(replies_go_on_while_changes_are_paused),
        cmocka_unit_test(a_burst_is_cut_into_turns),
        cmocka_unit_test(produced_messages_are_reported),
        cmocka_unit_test(a_call_that_cannot_be_sent_expires),
        cmocka_unit_test(a_full_queue_without_a_broker_is_told_at_once),
        cmocka_unit_test(a_broker_absent_at_start_is_waited_for),
        cmocka_unit_test(a_broker_that_says_nothing_is_down),
        cmocka_unit_test(a_bad_property_is_refused),
        cmocka_unit_test(a_shared_reply_topic_is_read_from_its_end),
        cmocka_unit_test(own_reply_topics_are_deleted),
        cmocka_unit_test(markers_at_the_end_are_stepped_over),
        cmocka_unit_test(only_markers_in_the_log),
        cmocka_unit_test(a_trimmed_and_empty_log),
        cmocka_unit_test(a_stored_position_below_the_log_is_lost),
        cmocka_unit_test(a_topic_made_anew_is_noticed),
        cmocka_unit_test(all_of_a_topic_made_anew_is_noticed),
        cmocka_unit_test(a_record_of_20_mb_comes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
