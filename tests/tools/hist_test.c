/* The histogram of the benchmark: quantiles against the sorted values they stand for. */
#include "tests/support/hgtest.h"
#include "tools/bench/hist.h"

enum { N = 20000 };

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_are_right_to_4_percent(void **state)
{
    static const double qs[] = {0, 0.01, 0.5, 0.9, 0.99, 0.999};
    static struct hg_hist h;
    static uint64_t v[N];
    uint64_t x = 88172645463325252u;
    (void)state;
    for (size_t i = 0; i < N; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        v[i] = x >> (24 + x % 38); /* over many powers of two */
        hg_hist_add(&h, v[i]);
    }
    qsort(v, N, sizeof v[0], by_value);
    for (size_t i = 0; i < HG_COUNTOF(qs); i++) {
        double want = (double)v[(size_t)(qs[i] * N)], got = (double)hg_hist_quantile(&h, qs[i]);
        if (got < want * 0.96 - 1 || got > want * 1.04 + 1)
            fail_msg("quantile %g: %g, not %g", qs[i], got, want);
    }
    assert_int_equal(h.max, v[N - 1]);
}

static void ends(void **state)
{
    static struct hg_hist h;
    (void)state;
    assert_int_equal(hg_hist_quantile(&h, 0.5), 0);
    hg_hist_add(&h, 0);
    assert_int_equal(hg_hist_quantile(&h, 0.99), 0);
    hg_hist_add(&h, UINT64_MAX);
    assert_int_equal(h.n, 2);
    assert_true(hg_hist_quantile(&h, 0.999) > UINT64_MAX / 64);
    /* every value falls into a bucket not below that of a smaller one */
    for (uint64_t v = 1, last = 0; v < UINT64_MAX / 3; v += v / 7 + 1) {
        assert_true(hg_hist_bucket(v) >= last);
        last = hg_hist_bucket(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(quantiles_are_right_to_4_percent),
                                       cmocka_unit_test(ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
