/* The order table, the fence, flights, resets and caps of streams, with everything around them
 * replaced by a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/base64.h"
#include "proto/op.h"
#include "proto/route.h"
#include "common/sys/host.h"
#include "worker/stream.h"

enum { CLIENTS = 4, KEY_TENANT = 4 };
#define KEY "demo_tasks|q1"

struct hg_conn { /* the stream knows it as a pointer only */
    struct hg_sub_list subs;
    struct hg_buf got; /* what was sent, a line per frame */
    bool full;
};

struct world {
    struct hg_loop *loop;
    struct hg_frames frames;
    struct hg_conf conf;
    struct hg_metrics *m;
    struct hg_streams ss;
    struct hg_conn c[CLIENTS];
    bool ready, no_calls;
    uint64_t watermark;
    struct hg_flight *flight; /* the call under way */
    unsigned flights, interest;
    unsigned landed, ended;               /* calls of these ops */
    unsigned snapshots, snapshots_before; /* frames sent; and before the last landed */
    struct hg_arena arena;
    void (*on_walk)(struct world *t); /* what the rings bring while somebody attaches */
    void (*on_send)(struct world *t, struct hg_conn *c);
    bool no_room;               /* for snapshots */
    struct hg_cachelist cached; /* what the hot cache has of the key */
    bool proved;                /* and that it is whole */
    unsigned asked_below;       /* flights that asked for it */
    const char *range;
    bool walk_in_bridge;
};

static bool op_ready(void *ctx, bool calls)
{
    return ((struct world *)ctx)->ready && !(calls && ((struct world *)ctx)->no_calls);
}
static void op_interest(void *ctx, uint64_t hash, bool hold)
{
    (void)hash;
    ((struct world *)ctx)->interest += hold ? 1 : (unsigned)-1;
}
static struct hg_lsn op_watermark(void *ctx)
{
    return hg_lsn(((struct world *)ctx)->watermark);
}
static struct hg_lsn op_walk(void *ctx)
{
    struct world *t = ctx;

    if (t->on_walk)
        t->on_walk(t);
    return op_watermark(ctx);
}
static bool op_can_take_snapshot(void *ctx, const struct hg_conn *c, uint32_t bytes)
{
    (void)c;
    (void)bytes;
    return !((struct world *)ctx)->no_room;
}
static void sent(struct world *t, struct hg_conn *c)
{
    if (t->on_send)
        t->on_send(t, c);
}
static void op_fly(void *ctx, struct hg_flight *fl)
{
    struct world *t = ctx;

    assert_null(t->flight);
    t->flight = fl;
    t->flights++;
    t->asked_below += fl->behind.v > 0;
    fl->beside = fl->behind.v ? t : NULL;
}
static struct hg_span op_range(void *ctx, const struct hg_flight *fl)
{
    struct world *t = ctx;
    struct hg_slice part = hg_slice_str(t->range);

    (void)fl;
    return t->range ? hg_frame_build(&t->frames, &t->arena, HG_WS_OP_TEXT, &part, 1)
                    : (struct hg_span){0};
}
static const struct hg_cachelist *op_bridge(void *ctx, const struct hg_flight *fl, struct hg_lsn s)
{
    struct world *t = ctx;

    if (!fl->beside || !t->proved || hg_lsn_lt(s, fl->behind))
        return NULL;
    if (t->walk_in_bridge && t->on_walk)
        t->on_walk(t);
    return &t->cached;
}
static void op_forget(void *ctx, struct hg_flight *fl)
{
    (void)ctx;
    fl->beside = NULL;
}
static struct hg_span op_snapshot(void *ctx, const struct hg_flight *fl, const void *reply,
                                  struct hg_lsn fence, const char *reason)
{
    struct world *t = ctx;
    char text[128];
    int n = snprintf(text, sizeof text, "snapshot %s @%llu%s%s", reply ? (const char *)reply : "",
                     (unsigned long long)fence.v, reason ? " " : "", reason ? reason : "");
    struct hg_slice part = hg_slice_of(text, (size_t)n);

    (void)fl;
    if (reply && strcmp(reply, "huge") == 0)
        return (struct hg_span){0};
    return hg_frame_build(&t->frames, &t->arena, HG_WS_OP_TEXT, &part, 1);
}
static void op_landed(void *ctx, const struct hg_flight *fl, const void *reply, struct hg_lsn fence)
{
    struct world *t = ctx;

    (void)fl;
    (void)reply;
    (void)fence;
    t->snapshots_before = t->snapshots;
    t->landed++;
}
static void op_ended(void *ctx, const struct hg_stream *st)
{
    struct world *t = ctx;

    assert_true(hg_slice_is(hg_stream_hash_id(st), "q1")); /* still whole */
    t->ended++;
}
static void op_ack(void *ctx, struct hg_sub *sub)
{
    (void)ctx;
    hg_buf_adds(&sub->c->got, "ack\n");
}
static void op_failed(void *ctx, struct hg_sub *sub, int err, struct hg_slice text)
{
    hg_buf_addf(&sub->c->got, "error %s %.*s\n", hg_err_row(err)->name, HG_SLICE_ARG(text));
    sent(ctx, sub->c);
}
static bool op_can_take(void *ctx, const struct hg_conn *c)
{
    (void)ctx;
    return !c->full;
}
static void op_send(void *ctx, struct hg_conn *c, struct hg_span s)
{
    struct hg_slice text = hg_frame_payload(s);

    if (text.n > 8 && memcmp(text.p, "snapshot", 8) == 0)
        ((struct world *)ctx)->snapshots++;
    hg_buf_add_slice(&c->got, text);
    hg_buf_addc(&c->got, '\n');
    sent(ctx, c);
}
static struct hg_sub_list *op_subs_of(void *ctx, struct hg_conn *c)
{
    (void)ctx;
    return &c->subs;
}

static const struct hg_stream_ops ops = {
    .ready = op_ready,
    .interest = op_interest,
    .walk = op_walk,
    .watermark = op_watermark,
    .fly = op_fly,
    .snapshot = op_snapshot,
    .range = op_range,
    .bridge = op_bridge,
    .forget = op_forget,
    .landed = op_landed,
    .ended = op_ended,
    .ack = op_ack,
    .failed = op_failed,
    .can_take = op_can_take,
    .can_take_snapshot = op_can_take_snapshot,
    .send = op_send,
    .subs_of = op_subs_of,
};

static int setup(void **state)
{
    struct world *t = hg_calloc(1, sizeof *t);

    t->loop = hg_loop_new();
    t->m = hg_calloc(1, sizeof *t->m);
    t->ready = true;
    t->conf = (struct hg_conf){.interest_linger = 0,
                               .attach_timeout = 30 * HG_MS,
                               .held_records = 8,
                               .held_bytes = 1 << 20,
                               .history_records = 4,
                               .history_bytes = 1 << 20,
                               .history_budget = 1 << 20,
                               .out_soft = 1000,
                               .out_frames = 3};
    t->ss = (struct hg_streams){
        .loop = t->loop, .frames = &t->frames, .conf = &t->conf, .m = t->m, .ops = &ops, .ctx = t};
    hg_streams_init(&t->ss);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct world *t = *state;

    hg_streams_fini(&t->ss);
    hg_cachelist_fini(&t->cached);
    for (int i = 0; i < CLIENTS; i++) {
        assert_null(t->c[i].subs.first);
        hg_buf_fini(&t->c[i].got);
    }
    hg_arena_fini(&t->frames, &t->arena);
    assert_int_equal(t->frames.live_bytes, 0); /* every frame was given back */
    assert_int_equal(t->interest, 0);
    hg_loop_free(t->loop);
    free(t->m);
    free(t);
    return 0;
}

static void turn_until_flight(struct world *t)
{
    for (int i = 0; i < 1000 && !t->flight; i++)
        hg_loop_turn(t->loop, 10);
    assert_non_null(t->flight);
}

static void subscribe_with(struct world *t, int i, struct hg_sub_spec spec)
{
    spec.c = &t->c[i];
    spec.key = HG_SLICE_LIT(KEY);
    spec.tenant = HG_SLICE_LIT("demo");
    spec.table = HG_SLICE_LIT("tasks");
    spec.hash_id = HG_SLICE_LIT("q1");
    hg_sub_open(&t->ss, &spec);
}

static void subscribe(struct world *t, int i)
{
    subscribe_with(t, i, (struct hg_sub_spec){0});
}

static void diff(struct world *t, uint64_t lsn, const char *value)
{
    static int64_t offset;
    struct hg_stream_rec rec = {{0, offset++}, hg_lsn(lsn), hg_slice_str(value)};

    t->watermark = HG_MAX(t->watermark, lsn);
    hg_stream_diff(&t->ss, HG_SLICE_LIT(KEY), &rec);
}

static void land_full(struct world *t, struct hg_landing l)
{
    struct hg_flight *fl = t->flight;

    assert_non_null(fl);
    t->flight = NULL;
    hg_stream_landed(&t->ss, fl, &l);
}

static void land(struct world *t, uint64_t s)
{
    land_full(t, (struct hg_landing){.s = hg_lsn(s), .reply = "rows"});
}

static void expect(struct world *t, int i, const char *want)
{
    struct hg_buf *b = &t->c[i].got;

    hg_buf_addc(b, 0);
    assert_string_equal(b->p, want);
    hg_buf_reset(b);
}

static void live(struct world *t, int i)
{
    subscribe(t, i);
    land(t, 0);
    hg_buf_reset(&t->c[i].got);
}

static void b_3_ack_snapshot_held_live(void **state)
{
    struct world *t = *state;

    t->watermark = 5;
    subscribe(t, 0);
    diff(t, 6, "six");
    expect(t, 0, "ack\n");
    land(t, 0);
    diff(t, 7, "seven");
    expect(t, 0, "snapshot rows @5\nsix\nseven\n");
}

static void landed_comes_once_per_call_and_before_the_frames(void **state)
{
    struct world *t = *state;

    t->watermark = 10;
    subscribe(t, 0);
    subscribe(t, 1);
    land(t, 9); /* below the floor: not used */
    assert_int_equal(t->landed, 0);
    turn_until_flight(t);
    land(t, 10);
    assert_int_equal(t->landed, 1);
    assert_int_equal(t->snapshots_before, 0);
    assert_int_equal(t->snapshots, 2);
    subscribe(t, 2);
    land_full(t, (struct hg_landing){.err = -HG_E_RPC_REPLY, .text = HG_SLICE_LIT("no")});
    assert_int_equal(t->landed, 1);
}

static void held_diffs_come_sorted(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    diff(t, 9, "nine");
    diff(t, 7, "seven");
    diff(t, 8, "eight");
    diff(t, 7, "seven again, other bytes");
    land(t, 0);
    expect(t, 0, "ack\nsnapshot rows @0\nseven\nseven again, other bytes\neight\nnine\n");
}

static void fence_of_the_reply_drops_what_it_holds(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    diff(t, 3, "three");
    diff(t, 4, "four");
    diff(t, 5, "five");
    land(t, 4);
    expect(t, 0, "ack\nsnapshot rows @4\nfive\n");
}

static void b_25_reply_below_the_floor_flies_again(void **state)
{
    struct world *t = *state;

    t->watermark = 10;
    subscribe(t, 0);
    diff(t, 11, "eleven");
    land(t, 9);
    turn_until_flight(t);
    land(t, 10);
    expect(t, 0, "ack\nsnapshot rows @10\neleven\n");
    assert_int_equal(t->flights, 2);
}

/* ---- the hot cache: rangeIndex, and bridges to a replica that is behind ---- */

static void cache(struct world *t, uint64_t lsn, const char *value)
{
    assert_true(hg_cachelist_add(&t->cached, lsn, hg_slice_str(value)));
}

static void range_stands_between_snapshot_and_diffs(void **state)
{
    struct world *t = *state;

    t->range = "range";
    subscribe_with(t, 0, (struct hg_sub_spec){.range_index = true});
    subscribe(t, 1); /* a profile that does not know it */
    diff(t, 6, "six");
    land(t, 0);
    expect(t, 0, "ack\nsnapshot rows @0\nrange\nsix\n");
    expect(t, 1, "ack\nsnapshot rows @0\nsix\n");
}

#define B64(text) "{\"op\":\"diffB64\",\"hashId\":\"q1\",\"b64\":\"" text "\"}\n"

/* B-6: cached, held and live diffs in one step and in order. */
static void b_6_cached_held_and_live_in_one_step(void **state)
{
    struct world *t = *state;

    t->watermark = 10;
    t->range = "range";
    t->proved = true;
    cache(t, 7, "a");
    cache(t, 8, "b");
    cache(t, 8, "c");
    cache(t, 10, "d");
    cache(t, 11, "e"); /* the log has it */
    subscribe_with(t, 0, (struct hg_sub_spec){.range_index = true});
    diff(t, 11, "e");
    land(t, 7);
    assert_int_equal(t->asked_below, 0);
    turn_until_flight(t);
    assert_int_equal(t->asked_below, 1);
    land(t, 7);
    diff(t, 12, "f");
    expect(t, 0, "ack\nsnapshot rows @7\nrange\n" B64("Yg==") B64("Yw==") B64("ZA==") "e\nf\n");
    assert_int_equal(t->m->snapshots_bridged, 1);
    /* It is the log's now: nobody has to ask again. */
    subscribe(t, 1);
    land(t, 8);
    expect(t, 1, "ack\nsnapshot rows @8\n" B64("ZA==") "e\nf\n");
    assert_int_equal(t->m->snapshots_bridged, 1);
}

static void bridge_spares_who_is_live(void **state)
{
    struct world *t = *state;

    t->proved = true;
    t->watermark = 10;
    cache(t, 9, "nine");
    cache(t, 10, "ten");
    live(t, 1);
    t->c[1].full = true;
    diff(t, 11, "eleven"); /* waits for its socket */
    live(t, 2);
    subscribe(t, 0);
    land(t, 8);
    turn_until_flight(t);
    land(t, 8);
    expect(t, 0, "ack\nsnapshot rows @8\n" B64("bmluZQ==") B64("dGVu") "eleven\n");
    diff(t, 12, "twelve");
    expect(t, 0, "twelve\n");
    expect(t, 2, "twelve\n");
    t->c[1].full = false;
    hg_stream_writable(&t->ss, &t->c[1]);
    expect(t, 1, "eleven\ntwelve\n");
}

/* One that was dropped as old while the flight was out is in no list that is older. */
static void bridge_is_refused_when_an_old_record_came(void **state)
{
    struct world *t = *state;

    t->watermark = 10;
    t->proved = true;
    subscribe(t, 0);
    land(t, 8);
    turn_until_flight(t);
    diff(t, 9, "nine"); /* of a slower partition */
    land(t, 8);
    assert_int_equal(t->m->snapshots_bridged, 0);
    turn_until_flight(t);
    cache(t, 9, "nine");
    land(t, 8);
    expect(t, 0, "ack\nsnapshot rows @8\n" B64("bmluZQ=="));
}

static void an_old_record(struct world *t)
{
    diff(t, 9, "nine");
}

static void a_reset(struct world *t)
{
    hg_streams_reset(&t->ss, NULL, "hole");
}

static void all_leave(struct world *t)
{
    hg_subs_close_all(&t->ss, &t->c[0]);
}

/* What the walk brings, at the last moment. */
static void bridge_is_refused_by_what_the_walk_brings(void **state)
{
    struct world *t = *state;
    void (*const brings[])(struct world *) = {an_old_record, a_reset};

    for (size_t i = 0; i < HG_COUNTOF(brings); i++) {
        t->watermark = 10;
        t->proved = true;
        subscribe(t, 0);
        land(t, 8);
        turn_until_flight(t);
        t->on_walk = brings[i];
        t->walk_in_bridge = true;
        land(t, 8);
        t->on_walk = NULL;
        assert_int_equal(t->m->snapshots_bridged, 0);
        turn_until_flight(t);
        land(t, 10);
        expect(t, 0, "ack\nsnapshot rows @10\n");
        hg_subs_close_all(&t->ss, &t->c[0]);
        for (int n = 0; n < 3; n++)
            hg_loop_turn(t->loop, 1); /* the stream goes */
    }
    subscribe(t, 0);
    land(t, 8);
    turn_until_flight(t);
    t->on_walk = all_leave;
    land(t, 8);
    expect(t, 0, "ack\n");
}

static void bridge_is_refused_in_doubt(void **state)
{
    struct world *t = *state;

    t->watermark = 10;
    subscribe(t, 0);
    land(t, 8);
    turn_until_flight(t);
    land(t, 8);
    turn_until_flight(t);
    land(t, 10);
    expect(t, 0, "ack\nsnapshot rows @10\n");
    assert_int_equal(t->m->snapshots_bridged, 0);
}

/* After a bridge records below the former floor are judged as any others. */
static void behind_a_bridge_repeats_drop_and_gaps_reset(void **state)
{
    struct world *t = *state;

    t->watermark = 10;
    t->proved = true;
    cache(t, 9, "nine");
    subscribe(t, 0);
    land(t, 7);
    turn_until_flight(t);
    land(t, 7);
    diff(t, 11, "eleven");
    expect(t, 0, "ack\nsnapshot rows @7\n" B64("bmluZQ==") "eleven\n");
    diff(t, 9, "nine"); /* a producer's replay */
    assert_int_equal(t->m->records_replayed, 1);
    diff(t, 8, "eight"); /* nobody has it: in no log, in no cache */
    assert_int_equal(t->m->records_disorder, 1);
    turn_until_flight(t);
    land(t, 11);
    expect(t, 0, "snapshot rows @11 reset\n");
}

static void reply_that_stays_below_fails(void **state)
{
    struct world *t = *state;

    t->watermark = 10;
    subscribe(t, 0);
    for (int i = 0; i < 9; i++) {
        land(t, 9);
        turn_until_flight(t);
    }
    land(t, 9);
    expect(t, 0,
           "ack\nerror SNAPSHOT_FAILED the snapshot stays behind the changes already known\n");
    assert_null(t->c[0].subs.first);
}

static void second_subscriber_joins_the_flight(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    diff(t, 1, "one");
    subscribe_with(t, 1, (struct hg_sub_spec){.resume = hg_lsn(50)});
    land(t, 0);
    expect(t, 0, "ack\nsnapshot rows @0\none\n");
    expect(t, 1, "ack\nsnapshot rows @0\none\n"); /* its flight was asked for before it came: resume
                                                     can't raise the fence */
    assert_int_equal(t->flights, 1);
}

static void resume_raises_the_fence_of_an_own_flight(void **state)
{
    struct world *t = *state;

    subscribe_with(t, 0, (struct hg_sub_spec){.resume = hg_lsn(2)});
    diff(t, 1, "one");
    diff(t, 2, "two");
    diff(t, 3, "three");
    land(t, 0);
    expect(t, 0, "ack\nsnapshot rows @2\nthree\n");
}

static void equal_lsn_is_handed_on_unless_equal_bytes(void **state)
{
    struct world *t = *state;

    live(t, 0);
    diff(t, 5, "x=1");
    diff(t, 5, "x=2");
    diff(t, 5, "x=1");
    diff(t, 5, "x=1");
    expect(t, 0, "x=1\nx=2\nx=1\n");
    assert_int_equal(HG_GET(t->m, records_replayed), 1);
}

static void lower_lsn_with_known_bytes_is_a_replay(void **state)
{
    struct world *t = *state;

    live(t, 0);
    diff(t, 5, "five");
    diff(t, 6, "six");
    diff(t, 5, "five");
    expect(t, 0, "five\nsix\n");
    assert_int_equal(HG_GET(t->m, records_replayed), 1);
    assert_int_equal(HG_GET(t->m, streams_reset), 0);
}

static void disorder_resets_with_a_further_snapshot(void **state)
{
    struct world *t = *state;

    live(t, 0);
    diff(t, 5, "five");
    diff(t, 7, "seven");
    diff(t, 6, "six");
    turn_until_flight(t);
    diff(t, 8, "eight");
    land(t, 0);
    expect(t, 0, "five\nseven\nsnapshot rows @7 reset\neight\n");
    assert_int_equal(HG_GET(t->m, records_disorder), 1);
}

static void disorder_is_overflow_in_old_profiles(void **state)
{
    struct world *t = *state;

    subscribe_with(t, 0, (struct hg_sub_spec){.whole_session = true});
    land(t, 0);
    diff(t, 7, "seven");
    diff(t, 6, "six");
    diff(t, 8, "eight");
    expect(t, 0, "ack\nsnapshot rows @0\nseven\nerror OVERFLOW \n");
    assert_null(t->c[0].subs.first);
}

static void below_every_fence_is_old(void **state)
{
    struct world *t = *state;

    subscribe_with(t, 0, (struct hg_sub_spec){.resume = hg_lsn(9)});
    land(t, 0);
    diff(t, 10, "ten");
    diff(t, 8, "eight");
    expect(t, 0, "ack\nsnapshot rows @9\nten\n");
    assert_int_equal(HG_GET(t->m, records_old), 1);
}

/* What was held is longer than the socket takes: what comes live meanwhile does not overtake it. */
static void b_6_what_comes_live_does_not_overtake_what_was_held(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    diff(t, 1, "one");
    diff(t, 3, "three");
    t->c[0].full = true;
    land(t, 0);
    expect(t, 0, "ack\nsnapshot rows @0\n");
    diff(t, 4, "four");
    diff(t, 2, "two"); /* nobody was given more yet: disorder mends itself */
    t->c[0].full = false;
    diff(t, 5, "five");
    expect(t, 0, "");
    hg_stream_writable(&t->ss, &t->c[0]);
    diff(t, 6, "six");
    expect(t, 0, "one\ntwo\nthree\nfour\nfive\nsix\n");
}

static void hole_during_a_flight_voids_its_reply(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    diff(t, 5, "five");
    hg_streams_reset(&t->ss, NULL, "hole");
    land(t, 0); /* asked before the hole: useless */
    expect(t, 0, "ack\n");
    turn_until_flight(t);
    land(t, 0);
    expect(t, 0, "snapshot rows @5\n");
}

static void hole_spares_a_reply_above_the_new_floor(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    diff(t, 5, "five");
    hg_streams_reset(&t->ss, NULL, "hole");
    land(t, 5);
    expect(t, 0, "ack\nsnapshot rows @5\n");
    assert_int_equal(t->flights, 1);
}

static void b_9_resubscribe_is_a_new_generation(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    subscribe(t, 0);
    land(t, 0);
    if (t->flight) /* the first flight had nobody left; the second is its own */
        land(t, 0);
    diff(t, 1, "one");
    expect(t, 0, "ack\nack\nsnapshot rows @0\none\n");
}

static void b_9_unsubscribe_during_a_flight_sends_nothing(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    diff(t, 1, "one");
    hg_sub_close(&t->ss, t->c[0].subs.first);
    land(t, 0);
    expect(t, 0, "ack\n");
}

static void b_7_failed_snapshot_removes_the_subscription(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    land_full(t,
              (struct hg_landing){.err = -HG_E_RPC_REPLY, .text = HG_SLICE_LIT("no such table")});
    diff(t, 1, "one");
    expect(t, 0, "ack\nerror SNAPSHOT_FAILED no such table\n");
    assert_null(t->c[0].subs.first);
}

static void b_8_timeout_flies_once_more(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    land_full(t,
              (struct hg_landing){.err = -HG_E_RPC_TIMEOUT, .text = HG_SLICE_LIT("rpc timeout")});
    turn_until_flight(t);
    land_full(t,
              (struct hg_landing){.err = -HG_E_RPC_TIMEOUT, .text = HG_SLICE_LIT("rpc timeout")});
    expect(t, 0, "ack\nerror SNAPSHOT_FAILED rpc timeout\n");
}

static void too_large_a_snapshot_fails_its_subscription_only(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    land_full(t, (struct hg_landing){.reply = "huge"});
    expect(t, 0, "ack\nerror SNAPSHOT_FAILED too large\n");
}

static void b_19_no_ack_before_positions_are_known(void **state)
{
    struct world *t = *state;

    t->ready = false;
    subscribe(t, 0);
    expect(t, 0, "");
    t->ready = true;
    turn_until_flight(t);
    expect(t, 0, "ack\n");
    land(t, 0);
}

static void positions_never_known_fails(void **state)
{
    struct world *t = *state;

    t->ready = false;
    subscribe(t, 0);
    for (int i = 0; i < 1000 && t->c[0].got.n == 0; i++)
        hg_loop_turn(t->loop, 10);
    expect(t, 0, "error SNAPSHOT_FAILED Kafka's positions are not known yet\n");
}

static void lagging_reader_is_pulled_in_order(void **state)
{
    struct world *t = *state;

    live(t, 0);
    live(t, 1);
    t->c[0].full = true;
    diff(t, 1, "one");
    diff(t, 2, "two");
    expect(t, 1, "one\ntwo\n");
    expect(t, 0, "");
    t->c[0].full = false;
    hg_stream_writable(&t->ss, &t->c[0]);
    diff(t, 3, "three");
    expect(t, 0, "one\ntwo\nthree\n");
    expect(t, 1, "three\n");
}

static void who_falls_out_of_the_log_overflows(void **state)
{
    struct world *t = *state;

    live(t, 0);
    live(t, 1);
    t->c[0].full = true;
    for (uint64_t i = 1; i <= 8; i++)
        diff(t, i, "d");
    expect(t, 0, "");
    diff(t, 9, "d"); /* held_records is 8 */
    expect(t, 0, "error OVERFLOW \n");
    expect(t, 1, "d\nd\nd\nd\nd\nd\nd\nd\nd\n");
    assert_null(t->c[0].subs.first);
}

static void stalled_reader_overflows_by_bytes(void **state)
{
    struct world *t = *state;
    char big[600];

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    live(t, 0);
    t->c[0].full = true;
    diff(t, 1, big);
    hg_stream_stalled(&t->ss, &t->c[0], 0);
    expect(t, 0, "");
    diff(t, 2, big);
    hg_stream_stalled(&t->ss, &t->c[0], 0);
    expect(t, 0, "error OVERFLOW \n");
}

static void held_overflow_flies_once_more_then_overflows(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    for (uint64_t i = 1; i <= 9; i++)
        diff(t, i, "d");
    land(t, 0);
    turn_until_flight(t);
    for (uint64_t i = 10; i <= 19; i++)
        diff(t, i, "d");
    land(t, 0);
    expect(t, 0, "ack\nerror OVERFLOW \n");
}

static void trimmed_history_still_takes_an_equal_lsn(void **state)
{
    struct world *t = *state;

    t->conf.history_records = 0;
    live(t, 0);
    diff(t, 5, "x=1");
    diff(t, 6, "y=1");
    diff(t, 6, "y=2");
    diff(t, 5, "x=1"); /* older than what is remembered */
    expect(t, 0, "x=1\ny=1\ny=2\n");
    assert_int_equal(HG_GET(t->m, records_old), 1);
}

static void b_10_row_events_wait_for_the_snapshot(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    hg_stream_row(&t->ss, HG_SLICE_LIT(KEY), HG_SLICE_LIT("row 1"));
    expect(t, 0, "ack\n");
    land(t, 0);
    hg_stream_row(&t->ss, HG_SLICE_LIT(KEY), HG_SLICE_LIT("row 2"));
    expect(t, 0, "snapshot rows @0\nrow 1\nrow 2\n");
}

static void tagged_and_raw_share_a_stream(void **state)
{
    struct world *t = *state;
    const unsigned char *p;

    live(t, 0);
    subscribe_with(t, 1, (struct hg_sub_spec){.enc = HG_DIFF_TAGGED});
    land(t, 0);
    hg_buf_reset(&t->c[1].got);
    diff(t, 0x0102, "v");
    expect(t, 0, "v\n");
    p = (const unsigned char *)t->c[1].got.p;
    assert_int_equal(t->c[1].got.n, HG_OP_TAG_SIZE + 2);
    assert_int_equal(p[0], 1);                    /* version */
    assert_int_equal(p[14] << 8 | p[15], 0x0102); /* LSN, big-endian, at 8 */
    assert_int_equal(p[HG_OP_TAG_SIZE], 'v');
}

static void late_diff_of_v3_is_base64(void **state)
{
    struct world *t = *state;

    subscribe_with(t, 0, (struct hg_sub_spec){.late_b64 = true, .whole_session = true});
    land(t, 0);
    hg_buf_reset(&t->c[0].got);
    t->c[0].full = true;
    diff(t, 1, "one");
    t->c[0].full = false;
    hg_stream_writable(&t->ss, &t->c[0]);
    diff(t, 2, "two");
    expect(t, 0, "{\"op\":\"diffB64\",\"hashId\":\"q1\",\"b64\":\"b25l\"}\ntwo\n");
}

/* ---- what happens inside a call to the outside ---- */

static void walk_closes_first_client(struct world *t)
{
    hg_subs_close_all(&t->ss, &t->c[0]);
}

static void client_closed_by_the_walk_of_its_subscribe(void **state)
{
    struct world *t = *state;

    t->on_walk =
        walk_closes_first_client; /* a broadcast met in the rings fills it over its hard cap */
    subscribe(t, 0);
    expect(t, 0, "");
    assert_null(t->c[0].subs.first);
    assert_null(t->flight);
    t->on_walk = NULL;
    live(t, 1);
    diff(t, 1, "one");
    expect(t, 1, "one\n");
}

static void drain_inside(struct world *t, struct hg_conn *c)
{
    t->on_send = NULL;
    c->full = false;
    hg_stream_writable(&t->ss, c); /* as a write that empties the queue does */
}

static void b_15_nothing_follows_an_overflow(void **state)
{
    struct world *t = *state;

    live(t, 0);
    t->c[0].full = true;
    for (uint64_t i = 1; i <= 8; i++)
        diff(t, i, "d");
    t->on_send = drain_inside;
    diff(t, 9, "d");
    expect(t, 0, "error OVERFLOW \n");
}

static void b_15_nothing_follows_the_overflow_of_a_reset(void **state)
{
    struct world *t = *state;

    subscribe_with(t, 0, (struct hg_sub_spec){.whole_session = true});
    land(t, 0);
    hg_buf_reset(&t->c[0].got);
    t->c[0].full = true;
    diff(t, 1, "one");
    t->on_send = drain_inside;
    hg_streams_reset(&t->ss, NULL, "hole");
    expect(t, 0, "error OVERFLOW \n");
}

static void row_events_above_the_cap_overflow_who_waits(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    for (int i = 0; i < 9; i++)
        hg_stream_row(&t->ss, HG_SLICE_LIT(KEY), HG_SLICE_LIT("row"));
    expect(t, 0, "ack\nerror OVERFLOW \n"); /* held_records is 8 */
    assert_null(t->c[0].subs.first);
    land(t, 0);
    subscribe(t, 0);
    hg_stream_row(&t->ss, HG_SLICE_LIT(KEY), HG_SLICE_LIT("row"));
    land(t, 0);
    expect(t, 0, "ack\nsnapshot rows @0\nrow\n");
}

static void budget_takes_held_row_events(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    hg_stream_row(&t->ss, HG_SLICE_LIT(KEY), HG_SLICE_LIT("row"));
    t->conf.history_budget = 0;
    diff(t, 1, "one");
    expect(t, 0, "ack\nerror OVERFLOW \n");
    land(t, 0);
}

static void snapshot_without_room_is_overflow(void **state)
{
    struct world *t = *state;

    subscribe(t, 0);
    t->no_room = true;
    land(t, 0);
    expect(t, 0, "ack\nerror OVERFLOW \n");
    assert_null(t->c[0].subs.first);
}

static void failed_calls_do_not_count_for_the_next(void **state)
{
    struct world *t = *state;

    live(t, 1); /* keeps the flight */
    for (int i = 0; i < 12; i++) {
        subscribe(t, 0);
        land_full(t, (struct hg_landing){.err = -HG_E_RPC_REPLY, .text = HG_SLICE_LIT("no")});
        subscribe(t, 0);
        hg_sub_close(&t->ss, t->c[0].subs.first);
        land(t, 0);
    }
    hg_buf_reset(&t->c[0].got);
    subscribe(t, 0);
    land_full(t,
              (struct hg_landing){.err = -HG_E_RPC_TIMEOUT, .text = HG_SLICE_LIT("rpc timeout")});
    turn_until_flight(t); /* its own second chance */
    land(t, 0);
    expect(t, 0, "ack\nsnapshot rows @0\n");
}

static unsigned lines_of(const struct hg_buf *b)
{
    unsigned n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += b->p[i] == '\n';
    return n;
}

/* Three readers with a long way to go each get their share of a turn. */
static void long_pulls_take_turns(void **state)
{
    enum { DIFFS = 12, SIZE = 300 * 1024 }; /* each more than one turn's share */
    struct world *t = *state;
    char *big = hg_malloc(SIZE + 1);

    memset(big, 'x', SIZE);
    big[SIZE] = 0;
    t->conf.held_records = t->conf.history_records = 100;
    t->conf.held_bytes = t->conf.history_bytes = t->conf.history_budget = 1 << 30;
    for (int i = 0; i < 3; i++) {
        live(t, i);
        t->c[i].full = true;
    }
    for (uint64_t i = 1; i <= DIFFS; i++)
        diff(t, i, big);
    for (int i = 0; i < 3; i++) {
        t->c[i].full = false;
        hg_stream_writable(&t->ss, &t->c[i]);
    }
    for (int turn = 0; turn < DIFFS / 2; turn++)
        hg_loop_turn(t->loop, 0);
    for (int i = 0; i < 3; i++)
        assert_in_range(lines_of(&t->c[i].got), DIFFS / 2, DIFFS / 2 + 2);
    hg_sub_close(&t->ss, t->c[1].subs.first); /* while it waits for its turn */
    for (int turn = 0; turn < DIFFS; turn++)
        hg_loop_turn(t->loop, 0);
    assert_int_equal(lines_of(&t->c[0].got), DIFFS);
    assert_int_equal(lines_of(&t->c[2].got), DIFFS);
    assert_true(lines_of(&t->c[1].got) < DIFFS);
    free(big);
}

/* ---- bare keys, and what v1 and v2 do not know ---- */

static void subscribe_as(struct world *t, int i, const char *tenant, const char *table,
                         struct hg_sub_spec spec)
{
    struct hg_buf key = {0};

    spec.c = &t->c[i];
    spec.tenant = hg_slice_str(tenant);
    spec.table = hg_slice_str(table);
    spec.hash_id = HG_SLICE_LIT("q1");
    hg_route_put_key(&key, spec.tenant, spec.table, spec.hash_id);
    spec.key = hg_buf_slice(&key);
    hg_sub_open(&t->ss, &spec);
    hg_buf_fini(&key);
    land(t, 0);
    hg_buf_reset(&t->c[i].got);
}

static void bare_diff(struct world *t, const char *hash_id, uint64_t lsn, const char *value)
{
    struct hg_stream_rec rec = {{1, (int64_t)lsn}, hg_lsn(lsn), hg_slice_str(value)};

    t->watermark = HG_MAX(t->watermark, lsn);
    hg_stream_bare_diff(&t->ss, hg_slice_str(hash_id), &rec);
}

static const struct hg_sub_spec bare = {.bare = true};

static void b_12_bare_records_reach_bare_streams_of_their_hash_alone(void **state)
{
    struct world *t = *state;

    subscribe_as(t, 0, "demo", "tasks", bare);
    subscribe_as(t, 1, "demo", "other", bare);
    subscribe_as(t, 2, "demo", "tasks", (struct hg_sub_spec){0});
    bare_diff(t, "q1", 1, "one");
    bare_diff(t, "1", 2, "the end of a hash id"); /* endsWith() of the sources */
    bare_diff(t, "xq1", 3, "a hash id ends with it");
    bare_diff(t, "", 4, "nothing");
    expect(t, 0, "one\n");
    expect(t, 1, "one\n");
    expect(t, 2, "");
    diff(t, 5, "five"); /* the routing key of two of them */
    expect(t, 0, "five\n");
    expect(t, 1, "");
    expect(t, 2, "five\n");
}

static void bare_streams_come_and_go(void **state)
{
    struct world *t = *state;
    static const char *const tables[] = {"a", "b", "c"};

    for (int i = 0; i < 3; i++)
        subscribe_as(t, i, "demo", tables[i], bare);
    for (int gone = 0; gone < 3; gone++) { /* the first of the index, the next, the last */
        hg_subs_close_all(&t->ss, &t->c[gone]);
        for (int i = 0; i < 100 && t->ss.by_key.count > 2u - (unsigned)gone; i++)
            hg_loop_turn(t->loop, 10);
        bare_diff(t, "q1", 10 + (uint64_t)gone, "d");
        for (int i = 0; i < 3; i++) {
            expect(t, i, i > gone ? "d\n" : "");
        }
    }
    assert_int_equal(t->ss.by_hash.count, 0);
    assert_int_equal(t->interest, 0);
}

static void bare_and_routed_records_share_one_order(void **state)
{
    struct world *t = *state;

    subscribe_as(t, 0, "demo", "tasks", (struct hg_sub_spec){.bare = true, .whole_session = true});
    bare_diff(t, "q1", 1, "one");
    diff(t, 2, "two");
    bare_diff(t, "q1", 1, "one"); /* a producer's replay */
    expect(t, 0, "one\ntwo\n");
    bare_diff(t, "q1", 1, "other bytes");
    expect(t, 0, "error OVERFLOW \n");
}

static void held_bare_records_are_fenced(void **state)
{
    struct world *t = *state;

    t->watermark = 5;
    subscribe_with(t, 0, bare);
    bare_diff(t, "q1", 5, "five"); /* not above the fence */
    bare_diff(t, "q1", 7, "seven");
    bare_diff(t, "q1", 6, "six");
    land(t, 0);
    bare_diff(t, "q1", 8, "eight");
    expect(t, 0, "ack\nsnapshot rows @5\nsix\nseven\neight\n");
}

static void a_hole_in_the_bare_room_resets(void **state)
{
    struct world *t = *state;
    uint64_t bits[HG_HOLE_BITS / 64] = {0};
    uint64_t bit =
        hg_route_hub_hash(HG_ROUTE_BARE, HG_SLICE_NONE, HG_SLICE_LIT("q1")) % HG_HOLE_BITS;

    subscribe_as(t, 0, "demo", "tasks", bare);
    bits[bit / 64] |= 1ull << (bit % 64);
    hg_streams_reset(&t->ss, bits, "hole");
    turn_until_flight(t);
    land(t, 0);
    expect(t, 0, "snapshot rows @0 reset\n");
    hg_stream_bare_reset(&t->ss, HG_SLICE_LIT("q1"), "record_too_large");
    turn_until_flight(t);
    land(t, 0);
    expect(t, 0, "snapshot rows @0 reset\n");
}

static void one_session_knows_a_bare_and_a_routed_stream_apart(void **state)
{
    struct world *t = *state;

    subscribe_as(t, 0, "demo", "tasks", bare);
    assert_non_null(hg_sub_find(&t->ss, &t->c[0].subs, HG_SLICE_LIT(KEY), true));
    assert_null(hg_sub_find(&t->ss, &t->c[0].subs, HG_SLICE_LIT(KEY), false));
    subscribe_as(t, 0, "demo", "tasks", bare); /* a new generation, not a second one */
    assert_int_equal(t->c[0].subs.n, 1);
    assert_int_equal(t->interest, 2); /* its siblings are asked for both keys */
}

static void empty_snapshot_asks_nobody(void **state)
{
    struct world *t = *state;

    t->watermark = 5;
    t->no_calls = true; /* no reply topic, as there is no SQL worker */
    subscribe_with(t, 0, (struct hg_sub_spec){.empty = true});
    expect(t, 0, "ack\n");
    diff(t, 6, "six");
    for (int i = 0; i < 100 && t->c[0].got.n == 0; i++)
        hg_loop_turn(t->loop, 10);
    expect(t, 0, "snapshot  @5\nsix\n");
    assert_int_equal(t->flights, 0);
    subscribe_with(t, 0, (struct hg_sub_spec){.empty = true});
    hg_sub_close(&t->ss, t->c[0].subs.first); /* before it lands */
    expect(t, 0, "ack\n");
    hg_loop_turn(t->loop, 10);
    expect(t, 0, "");
}

static void who_knows_no_row_events_gets_none(void **state)
{
    struct world *t = *state;

    subscribe_with(t, 0, (struct hg_sub_spec){.before_v3 = true});
    for (int i = 0; i < 20; i++) /* above held_records */
        hg_stream_row(&t->ss, HG_SLICE_LIT(KEY), HG_SLICE_LIT("row"));
    diff(t, 1, "one");
    land(t, 0);
    hg_stream_row(&t->ss, HG_SLICE_LIT(KEY), HG_SLICE_LIT("row"));
    hg_stream_writable(&t->ss, &t->c[0]);
    diff(t, 2, "two");
    expect(t, 0, "ack\nsnapshot rows @0\none\ntwo\n");
    assert_int_equal(t->landed, 0); /* no page seed either */
}

/* ---- overflow of a session (v1-v3) ---- */

static const struct hg_sub_spec whole = {.whole_session = true};

static void b_15_above_out_frames_all_of_the_session_is_dead(void **state)
{
    struct world *t = *state;

    subscribe_as(t, 0, "demo", "tasks", whole);
    subscribe_as(t, 0, "demo", "other", whole);
    subscribe_as(t, 1, "demo", "tasks", whole);
    t->c[0].full = true;
    for (uint64_t i = 1; i <= 4; i++) { /* out_frames is 3 */
        hg_stream_stalled(&t->ss, &t->c[0], 0);
        expect(t, 0, "");
        diff(t, i, "d");
    }
    hg_stream_stalled(&t->ss, &t->c[0], 0);
    expect(t, 0, "error OVERFLOW \n"); /* one, for both */
    assert_int_equal(t->c[0].subs.n, 0);
    t->c[0].full = false;
    hg_stream_writable(&t->ss, &t->c[0]);
    diff(t, 5, "d");
    expect(t, 0, "");
    expect(t, 1, "d\nd\nd\nd\nd\n");
    subscribe_with(t, 0, whole);
    land(t, 0);
    diff(t, 6, "six");
    expect(t, 0, "ack\nsnapshot rows @5\nsix\n");
}

/* Two queries under one hashId: the snapshot of the first must not bring the second to life. */
static void b_9_a_subscribe_with_another_query_starts_anew(void **state)
{
    struct world *t = *state;
    struct hg_flight *first;

    subscribe_with(t, 0, (struct hg_sub_spec){.fingerprint = 1});
    first = t->flight;
    t->flight = NULL;
    diff(t, 1, "one");
    subscribe_with(t, 0, (struct hg_sub_spec){.fingerprint = 2});
    hg_stream_landed(&t->ss, first, &(struct hg_landing){.reply = "old rows"});
    diff(t, 2, "two");
    expect(t, 0, "ack\nack\n");
    land(t, 0);
    diff(t, 3, "three");
    expect(t, 0, "snapshot rows @1\ntwo\nthree\n");
    assert_int_equal(t->c[0].subs.n, 1);
}

enum { ROUNDS = 20000 };

/* Number of the first record above fence. */
static int first_above(const uint64_t *lsns, int n, uint64_t fence)
{
    int i = 0;

    while (i < n && lsns[i] <= fence)
        i++;
    return i;
}

/* A diff's text, whether it came as it is or as diffB64. */
static const char *plain(const char *line)
{
    static char text[64];
    struct hg_buf bytes = {0};
    const char *b64 = strstr(line, "\"b64\":\"");

    if (!b64)
        return line;
    hg_b64_decode_lenient(&bytes, hg_slice_of(b64 + 7, strcspn(b64 + 7, "\"")));
    snprintf(text, sizeof text, "%.*s", HG_SLICE_ARG(hg_buf_slice(&bytes)));
    hg_buf_fini(&bytes);
    return text;
}

/* Random records and subscriptions against a model: each subscription gets the log's records above
 * its fence, each once, none left out. */
static void random_schedules_keep_the_promise(void **state)
{
    struct world *t = *state;
    static uint64_t lsns[ROUNDS]; /* of all records, in order */
    uint64_t lsn = 0;
    int n = 0, seen = 0;

    srand(1);
    t->conf.held_records = t->conf.history_records = 100000;
    for (int round = 0; round < ROUNDS; round++) {
        int i = rand() % CLIENTS;
        char v[32];

        switch (rand() % 8) {
        case 0:
            if (!t->c[i].subs.first)
                subscribe(t, i);
            break;
        case 1:
            if (t->c[i].subs.first)
                hg_sub_close(&t->ss, t->c[i].subs.first);
            break;
        case 2:
            t->proved = rand() % 4;
            if (t->flight && t->watermark > 40 &&
                (t->flight->behind.v || rand() % 4 == 0)) { /* a replica's, below or not */
                uint64_t again = t->m->snapshots_reflown, behind = t->flight->behind.v;

                land(t, behind ? behind : t->watermark - (uint64_t)rand() % 20);
                for (int ms = 0; ms < 500 && !t->flight && again != t->m->snapshots_reflown; ms++)
                    hg_loop_turn(t->loop, 1);
            } else if (t->flight)
                land(t, rand() % 2   ? t->watermark
                        : rand() % 2 ? t->watermark - t->watermark % 8
                                     : 0);
            break;
        case 3:
            t->c[i].full = !t->c[i].full;
            if (!t->c[i].full)
                hg_stream_writable(&t->ss, &t->c[i]);
            break;
        case 4:
            if (rand() % 50 == 0)
                hg_streams_reset(&t->ss, NULL, "hole");
            hg_loop_turn(t->loop, 0);
            break;
        default:
            lsn += (uint64_t)rand() % 2;
            snprintf(v, sizeof v, "%llu.%d", (unsigned long long)HG_MAX(lsn, 1), n);
            lsns[n++] = HG_MAX(lsn, 1);
            cache(t, HG_MAX(lsn, 1), v);
            diff(t, HG_MAX(lsn, 1), v);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        char *line, *save = NULL;
        unsigned long long fence, at;
        int next = -1, seq; /* next: number of the record that must come next */

        hg_buf_addc(&t->c[i].got, 0);
        for (line = strtok_r(t->c[i].got.p, "\n", &save); line;
             line = strtok_r(NULL, "\n", &save)) {
            if (sscanf(line, "snapshot rows @%llu", &fence) == 1)
                next = first_above(lsns, n, fence);
            else if (sscanf(plain(line), "%llu.%d", &at, &seq) == 2) {
                assert_int_equal(seq, next);
                next++;
                seen++;
            }
        }
    }
    assert_true(seen > ROUNDS / 4);
    assert_true(t->m->snapshots_bridged > 10);
}

static void open_and_leave(struct world *t, int i)
{
    char table[16], key[64];
    int n = snprintf(table, sizeof table, "t%d", i);
    int k = snprintf(key, sizeof key, "demo_%s|q1", table);
    struct hg_sub_spec spec = {.c = &t->c[0],
                               .key = hg_slice_of(key, (size_t)k),
                               .tenant = HG_SLICE_LIT("demo"),
                               .table = hg_slice_of(table, (size_t)n),
                               .hash_id = HG_SLICE_LIT("q1")};

    hg_sub_open(&t->ss, &spec);
    hg_sub_close(&t->ss, t->c[0].subs.first);
}

/* One client that goes through queries as fast as it can must not fill memory for a minute. */
static void streams_left_behind_are_bounded(void **state)
{
    struct world *t = *state;
    const unsigned more = 1000;

    t->conf.interest_linger = 60 * HG_S;
    t->ready = false; /* nobody is asked for anything */
    for (int i = 0; i < HG_STREAMS_IDLE + (int)more; i++) {
        open_and_leave(t, i);
        if (i % 1000 == 0)
            hg_loop_turn(t->loop, 0);
    }
    hg_loop_turn(t->loop, 0);
    assert_int_equal(t->ss.by_key.count, HG_STREAMS_IDLE);
    assert_int_equal(t->ended, more);
    open_and_leave(t, 0); /* the first to be left is gone, the last are there */
    assert_int_equal(t->ss.nidle, HG_STREAMS_IDLE);
    hg_loop_turn(t->loop, 0);
    open_and_leave(t, HG_STREAMS_IDLE + (int)more - 1);
    hg_loop_turn(t->loop, 0);
    assert_int_equal(t->ended, more + 1);
    assert_int_equal(t->ss.nidle, HG_STREAMS_IDLE);
    assert_int_equal(t->ss.nleft, HG_STREAMS_IDLE);
}

/* Those that may not go yet (here: because the turn is not over) count, too. */
static void nobody_subscribes_behind_too_many_left_streams(void **state)
{
    struct world *t = *state;

    t->conf.interest_linger = 60 * HG_S;
    t->ready = false;
    for (int i = 0; i < HG_STREAMS_LEFT; i++) {
        assert_false(hg_streams_are_full(&t->ss));
        open_and_leave(t, i);
    }
    assert_true(hg_streams_are_full(&t->ss));
    hg_loop_turn(t->loop, 0);
    assert_false(hg_streams_are_full(&t->ss));
    assert_int_equal(t->ss.nleft, HG_STREAMS_IDLE);
}

int main(void)
{
/* b_7_...: what the sources did wrong, by its number in the list of their defects. */
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(b_3_ack_snapshot_held_live),
        T(landed_comes_once_per_call_and_before_the_frames),
        T(held_diffs_come_sorted),
        T(fence_of_the_reply_drops_what_it_holds),
        T(b_25_reply_below_the_floor_flies_again),
        T(range_stands_between_snapshot_and_diffs),
        T(b_6_cached_held_and_live_in_one_step),
        T(bridge_spares_who_is_live),
        T(bridge_is_refused_when_an_old_record_came),
        T(bridge_is_refused_by_what_the_walk_brings),
        T(bridge_is_refused_in_doubt),
        T(behind_a_bridge_repeats_drop_and_gaps_reset),
        T(reply_that_stays_below_fails),
        T(second_subscriber_joins_the_flight),
        T(resume_raises_the_fence_of_an_own_flight),
        T(equal_lsn_is_handed_on_unless_equal_bytes),
        T(lower_lsn_with_known_bytes_is_a_replay),
        T(disorder_resets_with_a_further_snapshot),
        T(disorder_is_overflow_in_old_profiles),
        T(below_every_fence_is_old),
        T(hole_during_a_flight_voids_its_reply),
        T(hole_spares_a_reply_above_the_new_floor),
        T(b_9_resubscribe_is_a_new_generation),
        T(b_9_unsubscribe_during_a_flight_sends_nothing),
        T(b_7_failed_snapshot_removes_the_subscription),
        T(b_8_timeout_flies_once_more),
        T(too_large_a_snapshot_fails_its_subscription_only),
        T(b_19_no_ack_before_positions_are_known),
        T(positions_never_known_fails),
        T(streams_left_behind_are_bounded),
        T(nobody_subscribes_behind_too_many_left_streams),
        T(lagging_reader_is_pulled_in_order),
        T(who_falls_out_of_the_log_overflows),
        T(stalled_reader_overflows_by_bytes),
        T(held_overflow_flies_once_more_then_overflows),
        T(trimmed_history_still_takes_an_equal_lsn),
        T(b_10_row_events_wait_for_the_snapshot),
        T(tagged_and_raw_share_a_stream),
        T(late_diff_of_v3_is_base64),
        T(client_closed_by_the_walk_of_its_subscribe),
        T(b_15_nothing_follows_an_overflow),
        T(b_15_nothing_follows_the_overflow_of_a_reset),
        T(row_events_above_the_cap_overflow_who_waits),
        T(budget_takes_held_row_events),
        T(snapshot_without_room_is_overflow),
        T(failed_calls_do_not_count_for_the_next),
        T(long_pulls_take_turns),
        T(b_6_what_comes_live_does_not_overtake_what_was_held),
        T(b_9_a_subscribe_with_another_query_starts_anew),
        T(b_12_bare_records_reach_bare_streams_of_their_hash_alone),
        T(bare_streams_come_and_go),
        T(bare_and_routed_records_share_one_order),
        T(held_bare_records_are_fenced),
        T(a_hole_in_the_bare_room_resets),
        T(one_session_knows_a_bare_and_a_routed_stream_apart),
        T(empty_snapshot_asks_nobody),
        T(who_knows_no_row_events_gets_none),
        T(b_15_above_out_frames_all_of_the_session_is_dead),
        T(random_schedules_keep_the_promise),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
