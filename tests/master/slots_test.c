/* Worker slots: every (state, event), the back-off, the hang watch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/macros.h"
#include "master/slots.h"

static const struct hg_slot_in now_is_100s = {
    .now = {100 * HG_S}, .deadline = {125 * HG_S}, .random = 12345};

/* What each state makes of each event: the new state and the action. Rows not named: nothing
 * changes, nothing to do. */
static const struct {
    enum hg_slot_state from;
    enum hg_slot_event ev;
    enum hg_slot_state to;
    enum hg_slot_act act;
} table[] = {
    {HG_SLOT_WAITING, HG_SLOT_EV_TICK, HG_SLOT_WAITING, HG_SLOT_ACT_SPAWN},
    {HG_SLOT_WAITING, HG_SLOT_EV_SPAWNED, HG_SLOT_STARTING, HG_SLOT_ACT_NONE},
    {HG_SLOT_WAITING, HG_SLOT_EV_STOP, HG_SLOT_STOPPED, HG_SLOT_ACT_NONE},
    {HG_SLOT_WAITING, HG_SLOT_EV_STOP_NOW, HG_SLOT_STOPPED, HG_SLOT_ACT_NONE},
    {HG_SLOT_STARTING, HG_SLOT_EV_READY, HG_SLOT_SERVING, HG_SLOT_ACT_NONE},
    {HG_SLOT_STARTING, HG_SLOT_EV_HANG, HG_SLOT_KILLED, HG_SLOT_ACT_KILL},
    {HG_SLOT_STARTING, HG_SLOT_EV_REAPED, HG_SLOT_WAITING, HG_SLOT_ACT_NONE},
    {HG_SLOT_STARTING, HG_SLOT_EV_DRAIN, HG_SLOT_DRAINING, HG_SLOT_ACT_DRAIN},
    {HG_SLOT_STARTING, HG_SLOT_EV_STOP, HG_SLOT_STOPPING, HG_SLOT_ACT_DRAIN},
    {HG_SLOT_STARTING, HG_SLOT_EV_STOP_NOW, HG_SLOT_STOPPING, HG_SLOT_ACT_STOP},
    {HG_SLOT_SERVING, HG_SLOT_EV_HANG, HG_SLOT_KILLED, HG_SLOT_ACT_KILL},
    {HG_SLOT_SERVING, HG_SLOT_EV_REAPED, HG_SLOT_WAITING, HG_SLOT_ACT_NONE},
    {HG_SLOT_SERVING, HG_SLOT_EV_DRAIN, HG_SLOT_DRAINING, HG_SLOT_ACT_DRAIN},
    {HG_SLOT_SERVING, HG_SLOT_EV_STOP, HG_SLOT_STOPPING, HG_SLOT_ACT_DRAIN},
    {HG_SLOT_SERVING, HG_SLOT_EV_STOP_NOW, HG_SLOT_STOPPING, HG_SLOT_ACT_STOP},
    {HG_SLOT_DRAINING, HG_SLOT_EV_TICK, HG_SLOT_KILLED, HG_SLOT_ACT_KILL},
    {HG_SLOT_DRAINING, HG_SLOT_EV_HANG, HG_SLOT_KILLED, HG_SLOT_ACT_KILL},
    {HG_SLOT_DRAINING, HG_SLOT_EV_REAPED, HG_SLOT_WAITING, HG_SLOT_ACT_NONE},
    {HG_SLOT_DRAINING, HG_SLOT_EV_STOP, HG_SLOT_STOPPING, HG_SLOT_ACT_DRAIN},
    {HG_SLOT_DRAINING, HG_SLOT_EV_STOP_NOW, HG_SLOT_STOPPING, HG_SLOT_ACT_STOP},
    {HG_SLOT_KILLED, HG_SLOT_EV_REAPED, HG_SLOT_WAITING, HG_SLOT_ACT_NONE},
    {HG_SLOT_KILLED, HG_SLOT_EV_STOP, HG_SLOT_STOPPING, HG_SLOT_ACT_NONE},
    {HG_SLOT_KILLED, HG_SLOT_EV_STOP_NOW, HG_SLOT_STOPPING, HG_SLOT_ACT_NONE},
    {HG_SLOT_STOPPING, HG_SLOT_EV_TICK, HG_SLOT_STOPPING, HG_SLOT_ACT_KILL},
    {HG_SLOT_STOPPING, HG_SLOT_EV_HANG, HG_SLOT_STOPPING, HG_SLOT_ACT_KILL},
    {HG_SLOT_STOPPING, HG_SLOT_EV_REAPED, HG_SLOT_STOPPED, HG_SLOT_ACT_NONE},
    {HG_SLOT_STOPPING, HG_SLOT_EV_STOP_NOW, HG_SLOT_STOPPING, HG_SLOT_ACT_STOP},
};

static void test_every_state_and_event(void **state)
{
    (void)state;
    for (int from = 0; from < HG_SLOT_STATES; from++) {
        for (int ev = 0; ev < HG_SLOT_EVENTS; ev++) {
            enum hg_slot_state to = (enum hg_slot_state)from;
            enum hg_slot_act act = HG_SLOT_ACT_NONE;
            for (size_t i = 0; i < HG_COUNTOF(table); i++) {
                if ((int)table[i].from == from && (int)table[i].ev == ev) {
                    to = table[i].to;
                    act = table[i].act;
                }
            }
            struct hg_slot slot = {.state = (enum hg_slot_state)from, .when = {50 * HG_S}};
            enum hg_slot_act got = hg_slot_step(&slot, (enum hg_slot_event)ev, &now_is_100s);
            if (slot.state != to || got != act)
                fail_msg("%s, event %d: state %s, action %d; wanted %s, %d",
                         hg_slot_state_name((enum hg_slot_state)from), ev,
                         hg_slot_state_name(slot.state), got, hg_slot_state_name(to), act);
        }
    }
}

static void test_nothing_happens_before_its_time(void **state)
{
    (void)state;
    for (int from = 0; from < HG_SLOT_STATES; from++) {
        struct hg_slot slot = {.state = (enum hg_slot_state)from, .when = {101 * HG_S}};
        assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_TICK, &now_is_100s), HG_SLOT_ACT_NONE);
        assert_int_equal(slot.state, from);
    }
}

static void test_first_deaths_cost_nothing_later_ones_back_off(void **state)
{
    (void)state;
    struct hg_slot_in in = now_is_100s;
    struct hg_slot slot;
    hg_slot_init(&slot, in.now);
    for (uint32_t death = 1; death < 40; death++) {
        in.now = slot.when;
        assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_TICK, &in), HG_SLOT_ACT_SPAWN);
        assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_SPAWNED, &in), HG_SLOT_ACT_NONE);
        assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_REAPED, &in), HG_SLOT_ACT_NONE);
        int64_t wait = hg_mono_sub(slot.when, in.now);
        assert_int_equal(slot.restarts, death);
        if (death <= HG_SLOT_FREE_DEATHS)
            assert_int_equal(wait, 0);
        else
            assert_in_range(wait, HG_SLOT_BACKOFF_MIN / 2, HG_SLOT_BACKOFF_MAX);
    }
}

static void test_backoff_doubles_is_capped_then_jittered(void **state)
{
    (void)state;
    assert_int_equal(hg_slot_backoff(HG_SLOT_FREE_DEATHS, 77), 0);
    int64_t cap = HG_SLOT_BACKOFF_MIN;
    for (uint32_t deaths = HG_SLOT_FREE_DEATHS + 1; deaths < 100; deaths++) {
        int64_t least = INT64_MAX, most = 0;
        for (uint32_t r = 0; r < 1000; r++) {
            int64_t d = hg_slot_backoff(deaths, r * 4294967u);
            least = HG_MIN(least, d);
            most = HG_MAX(most, d);
        }
        assert_true(least >= cap / 2 && least < cap / 2 + cap / 10);
        assert_true(most <= cap && most > cap - cap / 10);
        cap = HG_MIN(cap * 2, HG_SLOT_BACKOFF_MAX);
    }
}

static void test_a_long_life_clears_the_count(void **state)
{
    (void)state;
    struct hg_slot slot = {.state = HG_SLOT_SERVING, .deaths = 30, .started = {1 * HG_S}};
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_REAPED, &now_is_100s), HG_SLOT_ACT_NONE);
    assert_int_equal(slot.deaths, 1);
    assert_int_equal(slot.when.us, now_is_100s.now.us);
}

static void test_a_fork_that_failed_is_never_repeated_at_once(void **state)
{
    (void)state;
    struct hg_slot slot;
    hg_slot_init(&slot, now_is_100s.now);
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_SPAWN_FAILED, &now_is_100s), HG_SLOT_ACT_NONE);
    assert_true(slot.when.us > now_is_100s.now.us);
}

static void test_a_worker_replaced_on_request_counts_no_death(void **state)
{
    (void)state;
    struct hg_slot slot = {.state = HG_SLOT_DRAINING, .deaths = 30, .when = {200 * HG_S}};
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_REAPED, &now_is_100s), HG_SLOT_ACT_NONE);
    assert_int_equal(slot.deaths, 0);
    assert_int_equal(slot.when.us, now_is_100s.now.us);
}

static void test_a_second_stop_hastens_and_never_delays(void **state)
{
    (void)state;
    struct hg_slot slot = {.state = HG_SLOT_STOPPING, .when = {110 * HG_S}};
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_STOP_NOW, &now_is_100s), HG_SLOT_ACT_STOP);
    assert_int_equal(slot.when.us, 110 * HG_S);
    struct hg_slot_in sooner = now_is_100s;
    sooner.deadline.us = 102 * HG_S;
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_STOP_NOW, &sooner), HG_SLOT_ACT_STOP);
    assert_int_equal(slot.when.us, 102 * HG_S);
}

static void test_a_worker_that_survives_a_kill_is_killed_again(void **state)
{
    (void)state;
    struct hg_slot_in in = now_is_100s;
    struct hg_slot slot = {.state = HG_SLOT_STOPPING, .when = in.now};
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_TICK, &in), HG_SLOT_ACT_KILL);
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_TICK, &in), HG_SLOT_ACT_NONE);
    in.now = hg_mono_add(in.now, HG_S);
    assert_int_equal(hg_slot_step(&slot, HG_SLOT_EV_TICK, &in), HG_SLOT_ACT_KILL);
}

static void test_next_and_has_worker_agree_with_the_states(void **state)
{
    (void)state;
    static const bool ticks[HG_SLOT_STATES] = {
        [HG_SLOT_WAITING] = true, [HG_SLOT_DRAINING] = true, [HG_SLOT_STOPPING] = true};
    for (int s = 0; s < HG_SLOT_STATES; s++) {
        struct hg_slot slot = {.state = (enum hg_slot_state)s, .when = {7}};
        struct hg_mono when;
        assert_int_equal(hg_slot_next(&slot, &when), ticks[s]);
        assert_int_equal(when.us, 7);
        assert_int_equal(hg_slot_has_worker(&slot), s != HG_SLOT_WAITING && s != HG_SLOT_STOPPED);
    }
}

static void test_hang_is_counted_in_ticks_of_the_master(void **state)
{
    (void)state;
    struct hg_hang hang = {.heartbeat = 5};
    for (int i = 1; i < 10; i++)
        assert_false(hg_hang_tick(&hang, 5, 10));
    assert_false(hg_hang_tick(&hang, 6, 10)); /* it moved: counting starts anew */
    for (int i = 1; i < 10; i++)
        assert_false(hg_hang_tick(&hang, 6, 10));
    assert_true(hg_hang_tick(&hang, 6, 10));
    assert_false(hg_hang_tick(&hang, 6, 10)); /* said once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_and_event),
        cmocka_unit_test(test_nothing_happens_before_its_time),
        cmocka_unit_test(test_first_deaths_cost_nothing_later_ones_back_off),
        cmocka_unit_test(test_backoff_doubles_is_capped_then_jittered),
        cmocka_unit_test(test_a_long_life_clears_the_count),
        cmocka_unit_test(test_a_fork_that_failed_is_never_repeated_at_once),
        cmocka_unit_test(test_a_worker_replaced_on_request_counts_no_death),
        cmocka_unit_test(test_a_second_stop_hastens_and_never_delays),
        cmocka_unit_test(test_a_worker_that_survives_a_kill_is_killed_again),
        cmocka_unit_test(test_next_and_has_worker_agree_with_the_states),
        cmocka_unit_test(test_hang_is_counted_in_ticks_of_the_master),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
