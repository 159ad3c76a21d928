/* Records on their way through one worker's ingest into its ring and to a sibling, without Kafka:
 * what may be handed on, what becomes a stub, what is skipped; and broadcasts that wait for room in
 * the ring. */
#include "tests/support/hgtest.h"

#include "proto/route.h"
#include "worker/ingest.h"
#include "worker/queries.h"
#include "worker/relay.h"

enum {
    RING = 256 * 1024,
    DIFFS = 0,
    ROWS = HG_TOPIC_PARTS,
    BARE = 2 * HG_TOPIC_PARTS,
    ENVELOPES = 3 * HG_TOPIC_PARTS,
    KEY_MAX = HG_ROUTE_TENANT_MAX + HG_ROUTE_TABLE_MAX + HG_ROUTE_HASH_MAX + 2
};

struct world {
    struct hg_host *host;
    struct hg_conf conf;
    struct hg_worker_boot boot[2];
    struct hg_worker w[2];
    int64_t offset;
    unsigned woken; /* siblings the last record was meant for */
};

static void wire(struct world *t, uint32_t seat)
{
    static const struct hg_conn_events no_events;
    struct hg_worker *w = &t->w[seat];

    t->boot[seat] =
        (struct hg_worker_boot){.host = t->host, .conf = &t->conf, .seat = seat, .slot = seat};
    *w = (struct hg_worker){.boot = &t->boot[seat],
                            .host = t->host,
                            .conf = &t->conf,
                            .seat = &t->host->seats[seat],
                            .m = &t->host->seats[seat].metrics};
    atomic_store(&w->seat->state, HG_SEAT_SERVING);
    w->loop = hg_loop_new();
    w->conns = (struct hg_conns){.loop = w->loop, .frames = &w->frames, .conf = w->conf, .m = w->m};
    hg_conns_init(&w->conns, &no_events);
    hg_interests_init(&w->interests, w->host, seat);
    w->hub = (struct hg_hub){.conns = &w->conns, .interests = &w->interests};
    w->streams = (struct hg_streams){.loop = w->loop,
                                     .frames = &w->frames,
                                     .conf = w->conf,
                                     .m = w->m,
                                     .ops = &hg_queries_ops,
                                     .ctx = w};
    hg_streams_init(&w->streams);
    hg_ingest_init(w);
    hg_relay_init(w);
}

static int setup(void **state)
{
    struct world *t = hg_calloc(1, sizeof *t);
    struct hg_host_spec spec = {
        .nslots = 2,
        .ring_size = RING,
        .topics = "diffs:diff:offset,rows:row:offset,bare:bare:offset,env:envelope"};
    const char *why;

    assert_int_equal(hg_host_new(&spec, &t->host, &why), 0);
    t->conf = (struct hg_conf){.max_record = RING / 8,
                               .ring_wait = 50 * HG_MS,
                               .max_message = 1 << 20,
                               .out_hard = 1 << 20,
                               .default_tenant = (char *)(uintptr_t) "demo",
                               .backplane = (char *)(uintptr_t) "",
                               .interest_linger = 0};
    wire(t, 0);
    wire(t, 1);
    for (uint32_t i = 0; i < t->host->nslots; i++)
        atomic_store(&t->host->shares[i].holder, 0);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct world *t = *state;

    for (int i = 0; i < 2; i++) {
        struct hg_worker *w = &t->w[i];

        hg_conns_fini(&w->conns);
        hg_streams_fini(&w->streams);
        hg_relay_fini(w);
        hg_hub_fini(&w->hub);
        hg_ingest_fini(w);
        hg_interests_fini(&w->interests);
        hg_buf_fini(&w->text);
        hg_loop_free(w->loop);
    }
    hg_host_free(t->host);
    free(t);
    return 0;
}

/* A record of n bytes, or of text, under a key of kn bytes. */
static void record(struct world *t, uint32_t part, size_t kn, const char *text, size_t n)
{
    char *key = hg_malloc(kn + 1), *value = hg_malloc(n + 1);
    struct hg_kafka_record r = {.topic = part / HG_TOPIC_PARTS,
                                .part = part,
                                .offset = t->offset++,
                                .key = hg_slice_of(key, kn)};

    memset(key, 'k', kn);
    memset(value, 'v', n);
    r.value = text ? hg_slice_str(text) : hg_slice_of(value, n);
    assert_true(hg_ingest_on_record(&t->w[0], &r));
    assert_int_equal(atomic_load(&t->host->parts[part].next), r.offset + 1);
    t->woken = hg_ring_flush_wakes(&t->w[0].in.writer);
    hg_ingest_walk(&t->w[1]);
    free(key);
    free(value);
}

static void row(struct world *t, size_t key_n)
{
    struct hg_buf b = {0};

    hg_buf_adds(&b, "{\"kind\":\"added\",\"pk\":\"1\",\"routingKey\":\"");
    for (size_t i = 0; i < key_n; i++)
        hg_buf_addc(&b, 'k');
    hg_buf_adds(&b, "\"}");
    record(t, ROWS, 5, hg_test_text(&b), 0);
    hg_buf_fini(&b);
}

static uint64_t walked(struct world *t)
{
    return HG_GET(t->w[1].m, ring_walked);
}

/* Partitions have offsets of their own: a watermark made of a busy one's would drop a quiet one's
 * diffs. */
static void offsets_as_versions_fence_nothing(void **state)
{
    struct world *t = *state;

    t->offset = 1000;
    record(t, DIFFS, 10, NULL, 100);
    assert_int_equal(hg_ingest_watermark(&t->w[0]).v, 0);
    assert_int_equal(hg_ingest_watermark(&t->w[1]).v, 0);
    assert_int_equal(hg_host_watermark(t->host).v, 0);
}

static void records_cross_the_ring(void **state)
{
    struct world *t = *state;

    record(t, DIFFS, 10, NULL, 100);
    assert_int_equal(walked(t), 1);
    assert_int_equal(t->w[1].in.next[DIFFS], 1);
    row(t, 10);
    assert_int_equal(walked(t), 2);
}

/* A sibling is asked for by the hashId alone, and wakes for nothing that is keyed otherwise. */
static void bare_records_are_meant_for_who_wants_their_hash(void **state)
{
    struct world *t = *state;
    struct hg_slice key = HG_SLICE_LIT("kkkkk");

    hg_interest_hold(&t->w[1].interests, hg_route_hub_hash(HG_ROUTE_BARE, HG_SLICE_NONE, key));
    record(t, DIFFS, 5, NULL, 100);
    assert_int_equal(t->woken, 0);
    record(t, BARE, 4, NULL, 100);
    assert_int_equal(t->woken, 0);
    record(t, BARE, 5, NULL, 100);
    assert_int_equal(t->woken, 1);
}

static void a_record_of_max_record_bytes_is_a_stub_if_the_ring_has_no_place(void **state)
{
    struct world *t = *state;

    record(t, DIFFS, 10, NULL, RING / 8); /* with its head it is above an eighth of the ring */
    record(t, DIFFS, 10, NULL, RING / 8 + 1);
    assert_int_equal(HG_GET(t->w[0].m, records_stub), 2);
    assert_int_equal(walked(t), 2);
}

static void keys_that_nobody_can_subscribe_are_skipped(void **state)
{
    struct world *t = *state;

    record(t, DIFFS, KEY_MAX, NULL, 10);
    assert_int_equal(walked(t), 1);
    record(t, DIFFS, KEY_MAX + 1, NULL, 10);
    record(t, DIFFS, 40000, NULL, 10);
    record(t, DIFFS, 100000, NULL, 10);
    assert_int_equal(walked(t), 1);
}

static void routing_keys_that_nobody_can_subscribe_are_skipped(void **state)
{
    struct world *t = *state;

    t->conf.max_record = 1 << 20;
    row(t, KEY_MAX);
    assert_int_equal(walked(t), 1);
    row(t, KEY_MAX + 1);
    row(t, 20000);
    assert_int_equal(walked(t), 1);
    assert_int_equal(HG_GET(t->w[0].m, row_events_bad), 2);
    row(t, 70000); /* and too large */
}

static void the_key_of_a_row_event_does_not_count(void **state)
{
    struct world *t = *state;

    record(t, ROWS, 5000, "{\"kind\":\"added\",\"pk\":\"1\",\"routingKey\":\"demo_t|h\"}", 0);
    assert_int_equal(walked(t), 1);
    assert_int_equal(HG_GET(t->w[0].m, records_stub), 0);
}

static void envelopes_are_meant_for_every_worker_once(void **state)
{
    static const char good[] = "[{\"all\":true,\"text\":\"x\"},{\"room\":\"r\",\"text\":\"y\"}]";
    struct world *t = *state;
    struct hg_pos bad = {ENVELOPES, t->offset + 4};

    record(t, ENVELOPES, 0, good, 0);
    assert_int_equal(t->woken, 1); /* without a key, or anybody here in a room of it */
    assert_int_equal(walked(t), 1);
    t->offset--; /* a worker that died before it stored its position: its successor reads on there
                  */
    record(t, ENVELOPES, 0, good, 0);
    assert_int_equal(HG_GET(t->w[0].m, records_repeated), 1);
    assert_int_equal(HG_GET(t->w[1].m, records_repeated), 1);

    record(t, ENVELOPES, 3, "{\"all\":true}", 0); /* no message */
    record(t, ENVELOPES, 0, "no JSON", 0);
    assert_int_equal(HG_GET(t->w[0].m, envelopes_bad), 2);
    record(t, ENVELOPES, 3, NULL, RING / 8); /* too large: there is no stream to reset */
    assert_int_equal(HG_GET(t->w[0].m, records_stub), 1);
    atomic_store(&t->host->poison_skip[0].offset, bad.offset);
    atomic_store(&t->host->poison_skip[0].part, bad.part + 1);
    record(t, ENVELOPES, 3, good, 0);
    assert_int_equal(HG_GET(t->w[0].m, records_poison), 1);
    assert_int_equal(walked(t), 2); /* of all these none */
    assert_int_equal(hg_host_watermark(t->host).v, 0);
}

static void poison_with_a_long_key_is_skipped(void **state)
{
    struct world *t = *state;

    atomic_store(&t->host->poison_skip[0].part, DIFFS + 1);
    atomic_store(&t->host->poison_skip[0].offset, t->offset);
    record(t, DIFFS, 100000, NULL, 10);
    assert_int_equal(HG_GET(t->w[0].m, records_poison), 1);
    assert_int_equal(walked(t), 0);
}

/* A sibling that was lapped over "this partition begins anew" still takes the records of the new
 * log. */
static void a_log_made_anew_is_seen_through_a_hole(void **state)
{
    struct world *t = *state;
    struct hg_rec rec = {.kind = HG_REC_ENVELOPE, .part = UINT32_MAX, .hash = 1};
    static char body[8000];
    int holes = 0;

    hg_interest_hold(&t->w[1].interests, 1);
    for (int i = 0; i < 10; i++)
        record(t, DIFFS, 10, NULL, 10);
    hg_ingest_on_position_lost(&t->w[0], DIFFS, 0);
    for (int i = 0; i < 100; i++)
        holes += hg_ring_append(&t->w[0].in.writer, &rec, HG_SLICE_LIT("k"),
                                hg_slice_of(body, sizeof body), true);
    assert_true(holes > 0);
    hg_ring_flush_wakes(&t->w[0].in.writer);
    hg_ingest_walk(&t->w[1]);
    t->offset = 0;
    record(t, DIFFS, 10, NULL, 10);
    assert_int_equal(HG_GET(t->w[1].m, ring_holes), 1);
    assert_int_equal(HG_GET(t->w[1].m, records_repeated), 0);
    assert_int_equal(t->w[1].in.next[DIFFS], 1);
}

/* ---- broadcasts ---- */

static int publish(struct world *t, size_t n)
{
    char *text = hg_malloc(n + 1);
    struct hg_envelope e = {
        .kind = HG_ENVELOPE_ROOM, .room = HG_SLICE_LIT("r"), .tenant = HG_SLICE_LIT("demo")};
    int rc;

    memset(text, 'x', n);
    e.payload = hg_slice_of(text, n);
    rc = hg_relay_publish(&t->w[0], &e);
    free(text);
    return rc;
}

/* The sibling wants the room and reads nothing: the ring is full of what is meant for it. */
static void fill(struct world *t)
{
    hg_interest_hold(&t->w[1].interests,
                     hg_route_hub_hash(HG_ROUTE_ROOM, HG_SLICE_LIT("demo"), HG_SLICE_LIT("r")));
    for (int i = 0; i < 1000 && !t->w[0].relay.first; i++)
        assert_int_equal(publish(t, 1000), 0);
    assert_non_null(t->w[0].relay.first);
}

static void broadcasts_that_never_stop_do_not_put_off_those_that_wait(void **state)
{
    struct world *t = *state;
    struct hg_relay *rl = &t->w[0].relay;
    int64_t when;

    t->conf.ring_wait = 60 * HG_S;
    fill(t);
    hg_loop_turn(t->w[0].loop, 5); /* tries in vain */
    assert_non_null(rl->first);
    hg_ingest_walk(&t->w[1]); /* there is room again */
    for (when = rl->retry.when.us; rl->first; hg_loop_turn(t->w[0].loop, 0)) {
        assert_int_equal(publish(t, 1), 0);
        assert_int_equal(rl->retry.when.us, when);
    }
}

static void too_large_a_broadcast_is_refused_behind_others_too(void **state)
{
    struct world *t = *state;

    assert_int_equal(publish(t, RING / 8), -HG_E_TOO_BIG);
    fill(t);
    assert_int_equal(publish(t, RING / 8), -HG_E_TOO_BIG);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(records_cross_the_ring),
        T(bare_records_are_meant_for_who_wants_their_hash),
        T(offsets_as_versions_fence_nothing),
        T(a_record_of_max_record_bytes_is_a_stub_if_the_ring_has_no_place),
        T(keys_that_nobody_can_subscribe_are_skipped),
        T(routing_keys_that_nobody_can_subscribe_are_skipped),
        T(the_key_of_a_row_event_does_not_count),
        T(envelopes_are_meant_for_every_worker_once),
        T(poison_with_a_long_key_is_skipped),
        T(a_log_made_anew_is_seen_through_a_hole),
        T(broadcasts_that_never_stop_do_not_put_off_those_that_wait),
        T(too_large_a_broadcast_is_refused_behind_others_too),
    };
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
