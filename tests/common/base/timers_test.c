/* Timers against a plain model: order, moving, stopping and starting from inside callbacks. */
#include "tests/support/hgtest.h"
#include "common/base/timers.h"

enum { N = 200 };

struct bed {
    struct hg_timers ts;
    struct hg_timer t[N];
    int64_t model[N]; /* when, or -1 stopped */
};

static void on_due(void *arg, struct hg_mono now)
{
    int64_t *m = arg;

    assert_true(*m >= 0 && *m <= now.us);
    *m = -1;
}

static int64_t earliest(const struct bed *b)
{
    int64_t e = INT64_MAX;

    for (int i = 0; i < N; i++)
        if (b->model[i] >= 0 && b->model[i] < e)
            e = b->model[i];
    return e;
}

static void same_as_the_model(void **state)
{
    static struct bed b;
    struct hg_mono next;

    (void)state;
    srandom(7);
    memset(b.model, 0xff, sizeof b.model);
    for (int64_t now = 0; now < 20000; now += random() % 20) {
        int i = (int)(random() % N);

        if (random() % 3) {
            b.model[i] = now + random() % 1000;
            hg_timer_start(&b.ts, &b.t[i], (struct hg_mono){b.model[i]}, on_due, &b.model[i]);
        } else {
            b.model[i] = -1;
            hg_timer_stop(&b.ts, &b.t[i]);
        }
        hg_timers_run(&b.ts, (struct hg_mono){now});
        assert_true(earliest(&b) > now);
        if (hg_timers_next(&b.ts, &next))
            assert_true(next.us == earliest(&b));
        else
            assert_true(earliest(&b) == INT64_MAX);
        for (int k = 0; k < N; k++)
            assert_int_equal(hg_timer_is_running(&b.t[k]), b.model[k] >= 0);
    }
    hg_timers_fini(&b.ts);
}

struct chain {
    struct hg_timers *ts;
    struct hg_timer *me, *victim;
    int calls;
};

static void restart_and_stop(void *arg, struct hg_mono now)
{
    struct chain *c = arg;

    c->calls++;
    assert_false(hg_timer_is_running(c->me)); /* stopped before its call */
    hg_timer_start(c->ts, c->me, now, restart_and_stop, c);
    if (c->victim)
        hg_timer_stop(c->ts, c->victim);
}

static void count(void *arg, struct hg_mono now)
{
    (void)now;
    ++*(int *)arg;
}

static void callbacks_may_stop_and_restart(void **state)
{
    struct hg_timers ts = {0};
    struct hg_timer a = {0}, b = {0}, c = {0};
    struct chain chain = {&ts, &a, &b, 0};
    struct hg_mono t = {1000};
    int b_calls = 0, c_calls = 0;

    (void)state;
    hg_timer_start(&ts, &a, (struct hg_mono){1}, restart_and_stop, &chain);
    hg_timer_start(&ts, &b, (struct hg_mono){2}, count, &b_calls);
    hg_timer_start(&ts, &c, (struct hg_mono){3}, count, &c_calls);
    hg_timers_run(&ts, t);
    assert_int_equal(chain.calls, 1); /* restarted for now: not again in this run */
    assert_int_equal(b_calls, 0);     /* due, but stopped by an earlier callback */
    assert_int_equal(c_calls, 1);     /* not starved */
    assert_false(hg_timer_is_running(&b));
    hg_timers_run(&ts, t);
    assert_int_equal(chain.calls, 2);
    hg_timers_fini(&ts);
}

struct mover {
    struct hg_timers *ts;
    struct hg_timer *other;
    int *counter;
};

static void move_other(void *arg, struct hg_mono now)
{
    struct mover *m = arg;

    assert_true(hg_timer_is_running(m->other)); /* due and not yet called */
    hg_timer_start(m->ts, m->other, hg_mono_add(now, 50), count, m->counter);
}

static void moving_a_due_timer_postpones_it(void **state)
{
    struct hg_timers ts = {0};
    struct hg_timer a = {0}, b = {0};
    int calls = 0;
    struct mover m = {&ts, &b, &calls};

    (void)state;
    hg_timer_start(&ts, &a, (struct hg_mono){1}, move_other, &m);
    hg_timer_start(&ts, &b, (struct hg_mono){2}, count, &calls);
    hg_timers_run(&ts, (struct hg_mono){10});
    assert_int_equal(calls, 0);
    hg_timers_run(&ts, (struct hg_mono){59});
    assert_int_equal(calls, 0);
    hg_timers_run(&ts, (struct hg_mono){60});
    assert_int_equal(calls, 1);
    hg_timer_stop(&ts, &b); /* stopping a stopped one */
    hg_timers_fini(&ts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_model),
        cmocka_unit_test(callbacks_may_stop_and_restart),
        cmocka_unit_test(moving_a_due_timer_postpones_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
