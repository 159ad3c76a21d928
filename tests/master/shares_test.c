/*
 * Shares: the scenarios one by one, then a long random walk over everything that can happen to
 * seats, with the rules checked at each action by a little model of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/macros.h"
#include "master/shares.h"

static struct hg_shares sh;
static struct hg_shares_facts f;

static void begin(uint32_t nslots)
{
    f = (struct hg_shares_facts){.now = {1000 * HG_S}, .ring_wait = 200 * HG_MS};
    hg_shares_init(&sh, nslots, 2 * nslots + 2, f.now);
}
static void seat_is(uint32_t seat, enum hg_seat_state st, uint32_t slot, bool kafka)
{
    f.seats[seat] = (struct hg_shares_seat){.state = st, .slot = slot, .kafka = kafka};
}
static void dies(uint32_t seat)
{
    f.seats[seat].state = HG_SEAT_DEAD;
    f.seats[seat].dead_at = f.now;
    f.seats[seat].walked = false;
}
static void expect(enum hg_share_act_kind kind, uint32_t slot, uint32_t seat)
{
    struct hg_share_act act = hg_shares_step(&sh, &f);
    if (act.kind != kind || (kind != HG_SHARE_ACT_NONE && (act.slot != slot || act.seat != seat)))
        fail_msg("action %d slot %u seat %u; wanted %d %u %u", act.kind, act.slot, act.seat, kind,
                 slot, seat);
    if (kind == HG_SHARE_ACT_FREE)
        f.seats[seat].state = HG_SEAT_FREE;
}
static void nothing_to_do(void)
{
    expect(HG_SHARE_ACT_NONE, 0, 0);
}
/* Three workers in seats 0..2, each with its own share. */
static void three_serve(void)
{
    begin(3);
    for (uint32_t i = 0; i < 3; i++)
        seat_is(i, HG_SEAT_SERVING, i, true);
    for (uint32_t i = 0; i < 3; i++)
        expect(HG_SHARE_ACT_GIVE, i, i);
    nothing_to_do();
    assert_false(hg_shares_pending(&sh, &f));
}

static void test_at_start_each_worker_gets_its_own(void **state)
{
    (void)state;
    begin(2);
    seat_is(0, HG_SEAT_STARTING, 0, false);
    seat_is(1, HG_SEAT_STARTING, 1, false);
    nothing_to_do();
    seat_is(1, HG_SEAT_SERVING, 1, false); /* Kafka may be absent: it is its share all the same */
    expect(HG_SHARE_ACT_GIVE, 1, 1);
    nothing_to_do(); /* the other one is on its way */
    seat_is(0, HG_SEAT_SERVING, 0, false);
    expect(HG_SHARE_ACT_GIVE, 0, 0);
    nothing_to_do();
}

static void test_a_worker_that_does_not_come_up_is_not_waited_for(void **state)
{
    (void)state;
    begin(2);
    seat_is(0, HG_SEAT_STARTING, 0, false);
    seat_is(1, HG_SEAT_SERVING, 1, true);
    expect(HG_SHARE_ACT_GIVE, 1, 1);
    nothing_to_do();
    f.now = hg_mono_add(f.now, HG_SHARE_HOME_WAIT);
    expect(HG_SHARE_ACT_GIVE, 0, 1);
    nothing_to_do();
}

static void test_a_dead_workers_share_moves_once_all_have_walked(void **state)
{
    (void)state;
    three_serve();
    dies(1);
    nothing_to_do();
    assert_true(hg_shares_pending(&sh, &f));
    f.seats[1].walked = true;
    expect(HG_SHARE_ACT_TAKE, 1, 1);
    expect(HG_SHARE_ACT_FREE, 0, 1);
    expect(HG_SHARE_ACT_GIVE, 1, 0);
    nothing_to_do();
    assert_false(hg_shares_pending(&sh, &f));
    assert_int_equal(hg_shares_of(&sh, 0), 2);
}

static void test_who_has_not_walked_in_time_gets_a_hole_first(void **state)
{
    (void)state;
    three_serve();
    dies(2);
    f.now = hg_mono_add(f.now, f.ring_wait - 1);
    nothing_to_do();
    f.now = hg_mono_add(f.now, 1);
    expect(HG_SHARE_ACT_FLAG_SEAT, 0, 2);
    expect(HG_SHARE_ACT_TAKE, 2, 2);
    expect(HG_SHARE_ACT_FREE, 0, 2);
    expect(HG_SHARE_ACT_GIVE, 2, 0);
    nothing_to_do();
}

static void test_the_share_goes_home_when_the_successor_has_kafka(void **state)
{
    (void)state;
    test_a_dead_workers_share_moves_once_all_have_walked(state);
    seat_is(3, HG_SEAT_STARTING, 1, false);
    nothing_to_do();
    seat_is(3, HG_SEAT_SERVING, 1, false);
    nothing_to_do();
    seat_is(3, HG_SEAT_SERVING, 1, true);
    expect(HG_SHARE_ACT_RELEASE, 1, 0);
    nothing_to_do();
    assert_true(hg_shares_pending(&sh, &f));
    f.shares[1].answered = true;
    expect(HG_SHARE_ACT_NOTE, 1, 0);
    nothing_to_do();
    f.shares[1].walked = true;
    expect(HG_SHARE_ACT_TAKE, 1, 0);
    expect(HG_SHARE_ACT_GIVE, 1, 3);
    f.shares[1].answered = f.shares[1].walked = false;
    nothing_to_do();
    assert_int_equal(hg_shares_of(&sh, 0), 1);
}

static void test_a_released_share_is_flagged_when_readers_are_late(void **state)
{
    (void)state;
    test_a_dead_workers_share_moves_once_all_have_walked(state);
    seat_is(3, HG_SEAT_SERVING, 1, true);
    expect(HG_SHARE_ACT_RELEASE, 1, 0);
    f.now = hg_mono_add(f.now, 10 * HG_S); /* however long the holder takes to answer */
    nothing_to_do();
    f.shares[1].answered = true;
    expect(HG_SHARE_ACT_NOTE, 1, 0);
    nothing_to_do();
    f.now = hg_mono_add(f.now, f.ring_wait);
    expect(HG_SHARE_ACT_FLAG_SHARE, 1, 0);
    expect(HG_SHARE_ACT_TAKE, 1, 0);
    expect(HG_SHARE_ACT_GIVE, 1, 3);
}

static void test_a_holder_that_dies_while_releasing(void **state)
{
    (void)state;
    test_a_dead_workers_share_moves_once_all_have_walked(state);
    seat_is(3, HG_SEAT_SERVING, 1, true);
    expect(HG_SHARE_ACT_RELEASE, 1, 0);
    dies(0);
    f.shares[1].answered = true; /* what it said before it died is void: its end decides */
    nothing_to_do();
    f.seats[0].walked = true;
    expect(HG_SHARE_ACT_TAKE, 0, 0);
    expect(HG_SHARE_ACT_TAKE, 1, 0);
    expect(HG_SHARE_ACT_FREE, 0, 0);
    f.shares[1].answered = false;
    expect(HG_SHARE_ACT_GIVE, 0, 3); /* which has none */
    expect(HG_SHARE_ACT_GIVE, 1, 3); /* its own */
    nothing_to_do();
}

static void test_the_target_of_a_release_dies(void **state)
{
    (void)state;
    test_a_dead_workers_share_moves_once_all_have_walked(state);
    seat_is(3, HG_SEAT_SERVING, 1, true);
    expect(HG_SHARE_ACT_RELEASE, 1, 0);
    dies(3);
    f.seats[3].walked = true;
    expect(HG_SHARE_ACT_FREE, 0, 3);
    nothing_to_do();
    f.shares[1].answered = true;
    expect(HG_SHARE_ACT_NOTE, 1, 0);
    f.shares[1].walked = true;
    expect(HG_SHARE_ACT_TAKE, 1, 0);
    expect(HG_SHARE_ACT_GIVE, 1, 0); /* fewest of those left, lowest seat */
}

static void test_the_only_worker_dies_and_its_successor_goes_on(void **state)
{
    (void)state;
    begin(1);
    seat_is(0, HG_SEAT_SERVING, 0, true);
    expect(HG_SHARE_ACT_GIVE, 0, 0);
    dies(0);
    seat_is(1, HG_SEAT_STARTING, 0, false);
    f.seats[0].walked = true;
    expect(HG_SHARE_ACT_TAKE, 0, 0);
    expect(HG_SHARE_ACT_FREE, 0, 0);
    nothing_to_do();
    seat_is(1, HG_SEAT_SERVING, 0, false);
    expect(HG_SHARE_ACT_GIVE, 0, 1);
}

static void test_the_one_that_took_over_dies_too(void **state)
{
    (void)state;
    test_a_dead_workers_share_moves_once_all_have_walked(state);
    dies(0);
    f.seats[0].walked = true;
    expect(HG_SHARE_ACT_TAKE, 0, 0);
    expect(HG_SHARE_ACT_TAKE, 1, 0);
    expect(HG_SHARE_ACT_FREE, 0, 0);
    expect(HG_SHARE_ACT_GIVE, 0, 2);
    expect(HG_SHARE_ACT_GIVE, 1, 2);
    nothing_to_do();
    assert_int_equal(hg_shares_of(&sh, 2), 3);
}

static void test_a_draining_worker_hands_over(void **state)
{
    (void)state;
    three_serve();
    f.seats[1].state = HG_SEAT_DRAINING;
    expect(HG_SHARE_ACT_RELEASE, 1, 1);
    f.shares[1].answered = true;
    expect(HG_SHARE_ACT_NOTE, 1, 1);
    f.shares[1].walked = true;
    expect(HG_SHARE_ACT_TAKE, 1, 1);
    expect(HG_SHARE_ACT_GIVE, 1, 0);
}

static void test_a_lone_drainer_keeps_its_share(void **state)
{
    (void)state;
    begin(1);
    seat_is(0, HG_SEAT_SERVING, 0, true);
    expect(HG_SHARE_ACT_GIVE, 0, 0);
    f.seats[0].state = HG_SEAT_DRAINING;
    nothing_to_do();
}

static void test_while_the_host_stops_drainers_feed_each_other(void **state)
{
    (void)state;
    three_serve();
    f.stopping = true;
    for (uint32_t i = 0; i < 3; i++)
        f.seats[i].state = HG_SEAT_DRAINING;
    nothing_to_do();
    dies(1);
    f.seats[1].walked = true;
    expect(HG_SHARE_ACT_TAKE, 1, 1);
    expect(HG_SHARE_ACT_FREE, 0, 1);
    expect(HG_SHARE_ACT_GIVE, 1, 0);
    nothing_to_do();
}

/* ---- the random walk ---- */

static uint64_t rng = 88172645463325252ULL;
static uint32_t rnd(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng >> 16) % n);
}

enum { NSLOTS = 4, NSEATS = 2 * NSLOTS + 2 };
static struct {
    uint32_t holder[NSLOTS];
    bool asked[NSLOTS], noted[NSLOTS], flagged[NSLOTS], seat_flagged[NSEATS];
} model;

static void check_take(uint32_t slot)
{
    uint32_t seat = model.holder[slot];
    assert_int_not_equal(seat, HG_NO_SEAT);
    if (f.seats[seat].state == HG_SEAT_DEAD)
        assert_true(f.seats[seat].walked || model.seat_flagged[seat]);
    else
        assert_true(model.noted[slot] && (f.shares[slot].walked || model.flagged[slot]));
    model.holder[slot] = HG_NO_SEAT;
    model.asked[slot] = model.noted[slot] = model.flagged[slot] = false;
    f.shares[slot].answered = f.shares[slot].walked = false;
}

static void check_free(uint32_t seat)
{
    assert_int_equal(f.seats[seat].state, HG_SEAT_DEAD);
    assert_true(f.seats[seat].walked || model.seat_flagged[seat]);
    for (uint32_t i = 0; i < NSLOTS; i++)
        assert_int_not_equal(model.holder[i], seat);
    model.seat_flagged[seat] = false;
    f.seats[seat].state = HG_SEAT_FREE;
}

static void carry_out(struct hg_share_act act)
{
    switch (act.kind) {
    case HG_SHARE_ACT_GIVE:
        assert_int_equal(model.holder[act.slot], HG_NO_SEAT);
        assert_true(f.seats[act.seat].state == HG_SEAT_SERVING ||
                    (f.stopping && f.seats[act.seat].state == HG_SEAT_DRAINING));
        model.holder[act.slot] = act.seat;
        break;
    case HG_SHARE_ACT_TAKE:
        check_take(act.slot);
        break;
    case HG_SHARE_ACT_RELEASE:
        assert_int_equal(model.holder[act.slot], act.seat);
        assert_false(model.asked[act.slot]);
        model.asked[act.slot] = true;
        break;
    case HG_SHARE_ACT_NOTE:
        assert_true(model.asked[act.slot] && f.shares[act.slot].answered);
        model.noted[act.slot] = true;
        break;
    case HG_SHARE_ACT_FLAG_SHARE:
        assert_true(model.noted[act.slot] && !f.shares[act.slot].walked);
        model.flagged[act.slot] = true;
        break;
    case HG_SHARE_ACT_FLAG_SEAT:
        assert_true(f.seats[act.seat].state == HG_SEAT_DEAD && !f.seats[act.seat].walked);
        assert_true(f.now.us >= f.seats[act.seat].dead_at.us + f.ring_wait);
        model.seat_flagged[act.seat] = true;
        break;
    case HG_SHARE_ACT_FREE:
        check_free(act.seat);
        break;
    default:
        break;
    }
}

static bool slot_has_worker(uint32_t slot)
{
    for (uint32_t i = 0; i < NSEATS; i++)
        if (f.seats[i].slot == slot &&
            (f.seats[i].state == HG_SEAT_STARTING || f.seats[i].state == HG_SEAT_SERVING))
            return true;
    return false;
}

static void something_happens(void)
{
    struct hg_shares_seat *seat;
    uint32_t i = rnd(NSEATS), slot = rnd(NSLOTS);
    seat = &f.seats[i];
    switch (rnd(9)) {
    case 0:
        if (seat->state == HG_SEAT_FREE && !slot_has_worker(slot))
            seat_is(i, HG_SEAT_STARTING, slot, false);
        break;
    case 1:
        if (seat->state == HG_SEAT_STARTING)
            seat->state = HG_SEAT_SERVING;
        break;
    case 2:
        seat->kafka = seat->state == HG_SEAT_SERVING && rnd(4) != 0;
        break;
    case 3:
        if (seat->state == HG_SEAT_SERVING && rnd(4) == 0)
            seat->state = HG_SEAT_DRAINING;
        break;
    case 4:
        if (seat->state != HG_SEAT_FREE && seat->state != HG_SEAT_DEAD && rnd(3) == 0)
            dies(i);
        break;
    case 5:
        if (seat->state == HG_SEAT_DEAD)
            seat->walked = true;
        break;
    case 6:
        f.shares[slot].answered |= model.asked[slot];
        break;
    case 7:
        f.shares[slot].walked |= model.noted[slot];
        break;
    default:
        f.now.us += rnd(100) * HG_MS;
    }
}

static void settle(void)
{
    for (int n = 0;; n++) {
        struct hg_share_act act = hg_shares_step(&sh, &f);
        if (act.kind == HG_SHARE_ACT_NONE)
            return;
        carry_out(act);
        assert_true(n < 200); /* no two actions undo each other for ever */
    }
}

static void test_random_walk_keeps_the_rules_and_ends_well(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        begin(NSLOTS);
        memset(&model, 0, sizeof model);
        for (uint32_t i = 0; i < NSLOTS; i++)
            model.holder[i] = HG_NO_SEAT;
        for (int n = 0; n < 500; n++) {
            something_happens();
            settle();
        }
        /* Calm returns: everyone serves and answers. Then each share is at home and nothing is
         * pending. */
        for (int n = 0; n < 50; n++) {
            for (uint32_t i = 0; i < NSEATS; i++) {
                if (f.seats[i].state == HG_SEAT_DRAINING)
                    dies(i);
                if (f.seats[i].state == HG_SEAT_STARTING || f.seats[i].state == HG_SEAT_SERVING)
                    seat_is(i, HG_SEAT_SERVING, f.seats[i].slot, true);
            }
            for (uint32_t s = 0, i = 0; s < NSLOTS; s++) {
                while (!slot_has_worker(s) && i < NSEATS) {
                    if (f.seats[i].state == HG_SEAT_FREE)
                        seat_is(i, HG_SEAT_SERVING, s, true);
                    i++;
                }
                f.shares[s].answered = model.asked[s];
                f.shares[s].walked = model.noted[s];
            }
            f.now.us += 50 * HG_MS;
            settle();
        }
        assert_false(hg_shares_pending(&sh, &f));
        for (uint32_t s = 0; s < NSLOTS; s++) {
            assert_int_not_equal(model.holder[s], HG_NO_SEAT);
            assert_int_equal(f.seats[model.holder[s]].slot, s);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_start_each_worker_gets_its_own),
        cmocka_unit_test(test_a_worker_that_does_not_come_up_is_not_waited_for),
        cmocka_unit_test(test_a_dead_workers_share_moves_once_all_have_walked),
        cmocka_unit_test(test_who_has_not_walked_in_time_gets_a_hole_first),
        cmocka_unit_test(test_the_share_goes_home_when_the_successor_has_kafka),
        cmocka_unit_test(test_a_released_share_is_flagged_when_readers_are_late),
        cmocka_unit_test(test_a_holder_that_dies_while_releasing),
        cmocka_unit_test(test_the_target_of_a_release_dies),
        cmocka_unit_test(test_the_only_worker_dies_and_its_successor_goes_on),
        cmocka_unit_test(test_the_one_that_took_over_dies_too),
        cmocka_unit_test(test_a_draining_worker_hands_over),
        cmocka_unit_test(test_a_lone_drainer_keeps_its_share),
        cmocka_unit_test(test_while_the_host_stops_drainers_feed_each_other),
        cmocka_unit_test(test_random_walk_keeps_the_rules_and_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
