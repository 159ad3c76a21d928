/* worker/rate.h: the rate of one peer, with a clock of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "worker/rate.h"

enum { SECOND = 1000000 };

static int take(int64_t *rate, int64_t now, int tries)
{
    int n = 0;

    while (tries-- > 0)
        n += hg_rate_take(rate, now, 10, 4);
    return n;
}

static void burst_then_rate(void **state)
{
    int64_t rate = 0, now = 77 * SECOND;

    (void)state;
    assert_int_equal(take(&rate, now, 10), 4);
    assert_int_equal(take(&rate, now + SECOND / 10 - 1, 10), 0);
    assert_int_equal(take(&rate, now + SECOND / 10, 10), 1);
    assert_int_equal(take(&rate, now + SECOND / 2, 10), 4);
    assert_int_equal(take(&rate, now + 1000 * SECOND, 10),
                     4); /* rest saves up no more than the burst */
}

static void over_a_second(void **state)
{
    int64_t rate = 0;
    int n = 0;

    (void)state;
    for (int64_t now = 0; now < 10 * SECOND; now += SECOND / 100)
        n += take(&rate, SECOND + now, 1);
    assert_in_range(n, 100, 104);
}

static void none_is_unlimited(void **state)
{
    int64_t rate = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_true(hg_rate_take(&rate, 5, 0, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(burst_then_rate),
                                       cmocka_unit_test(over_a_second),
                                       cmocka_unit_test(none_is_unlimited)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
