/* Text to number: what is taken, to the last digit, and what is refused and why. */
#include "tests/support/hgtest.h"
#include <math.h>
#include "common/base/err.h"
#include "common/base/num.h"

#define NAN_ "not a number"
#define RANGE "out of range"
#define UNIT "unknown unit"

struct row {
    const char *text;
    int64_t want;
    const char *why; /* NULL: accepted */
};

static void run(const struct row *rows, size_t n,
                int (*parse)(struct hg_slice, int64_t *, const char **))
{
    for (size_t i = 0; i < n; i++) {
        const char *why = NULL;
        int64_t got = -77;
        int rc = parse(hg_slice_str(rows[i].text), &got, &why);

        if (rc != (rows[i].why ? -HG_E_CONF_VALUE : 0))
            fail_msg("\"%s\": rc %d", rows[i].text, rc);
        if (rows[i].why) {
            assert_string_equal(why, rows[i].why);
            assert_true(got == -77); /* untouched */
        } else if (got != rows[i].want) {
            fail_msg("\"%s\": %lld", rows[i].text, (long long)got);
        }
    }
}

static void integers(void **state)
{
    static const struct row rows[] = {
        {"0", 0, NULL},
        {"-0", 0, NULL},
        {"007", 7, NULL},
        {"9223372036854775807", INT64_MAX, NULL},
        {"-9223372036854775808", INT64_MIN, NULL},
        {"9223372036854775808", 0, RANGE},
        {"-9223372036854775809", 0, RANGE},
        {"99999999999999999999999", 0, RANGE},
        {"", 0, NAN_},
        {"-", 0, NAN_},
        {"--1", 0, NAN_},
        {"+1", 0, NAN_},
        {" 1", 0, NAN_},
        {"1 ", 0, NAN_},
        {"1.0", 0, NAN_},
        {"0x10", 0, NAN_},
        {"1e3", 0, NAN_},
    };
    const char *why;
    uint64_t u;

    (void)state;
    run(rows, HG_COUNTOF(rows), hg_num_i64);
    assert_int_equal(hg_num_u64(HG_SLICE_LIT("18446744073709551615"), &u, &why), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(hg_num_u64(HG_SLICE_LIT("18446744073709551616"), &u, &why), -HG_E_CONF_VALUE);
    assert_int_equal(hg_num_u64(HG_SLICE_LIT("-1"), &u, &why), -HG_E_CONF_VALUE);
    assert_int_equal(hg_num_u64(HG_SLICE_LIT("1\0"), &u, &why), -HG_E_CONF_VALUE);
    assert_int_equal(hg_num_u64(HG_SLICE_NONE, &u, &why), -HG_E_CONF_VALUE);
}

static void sizes(void **state)
{
    static const struct row rows[] = {
        {"0", 0, NULL},
        {"4096", 4096, NULL},
        {"64k", 65536, NULL},
        {"4M", 4 << 20, NULL},
        {"4mb", 4 << 20, NULL},
        {"1g", 1 << 30, NULL},
        {"8589934591g", 8589934591LL << 30, NULL},
        {"8589934592g", 0, RANGE},
        {"9223372036854775808", 0, RANGE},
        {"1.5k", 0, UNIT},
        {"4x", 0, UNIT},
        {"4 k", 0, UNIT},
        {"-4k", 0, NAN_},
        {"k", 0, NAN_},
        {"", 0, NAN_},
    };

    (void)state;
    run(rows, HG_COUNTOF(rows), hg_num_size);
}

static void durations(void **state)
{
    static const struct row rows[] = {
        {"0", 0, NULL},
        {"0s", 0, NULL},
        {"0.0", 0, NULL},
        {"200ms", 200000, NULL},
        {"1us", 1, NULL},
        {"30s", 30000000, NULL},
        {"0.5s", 500000, NULL},
        {"1.000001s", 1000001, NULL},
        {"0.29s", 290000, NULL},
        {"5m", 300000000, NULL},
        {"1.5h", 5400000000LL, NULL},
        {"1d", 86400000000LL, NULL},
        {"30S", 30000000, NULL},
        {"106751991d", 9223372022400000000LL, NULL},
        {"106751992d", 0, RANGE},
        {"30", 0, UNIT},
        {"0.5", 0, UNIT},
        {"30 s", 0, UNIT},
        {"30sec", 0, UNIT},
        {"1.s", 0, NAN_},
        {".5s", 0, NAN_},
        {"-1s", 0, NAN_},
        {"s", 0, NAN_},
        {"", 0, NAN_},
    };

    (void)state;
    run(rows, HG_COUNTOF(rows), hg_num_duration);
}

static void doubles(void **state)
{
    static const char *const refused[] = {"",    " 1", "1 ",  "0x1",   "inf", "nan",
                                          "1,5", "1e", "--1", "1e999", "."};
    const char *why;
    double d;

    (void)state;
    assert_int_equal(hg_num_double(HG_SLICE_LIT("-12.5e1"), &d, &why), 0);
    assert_true(d == -125.0);
    assert_int_equal(hg_num_double(HG_SLICE_LIT("60"), &d, &why), 0);
    assert_true(d == 60.0);
    for (size_t i = 0; i < HG_COUNTOF(refused); i++)
        if (hg_num_double(hg_slice_str(refused[i]), &d, &why) != -HG_E_CONF_VALUE)
            fail_msg("\"%s\" was taken", refused[i]);
}

static void number_to_text(void **state)
{
    static const uint64_t v[] = {0, 9, 10, 12345678901234567890u, UINT64_MAX};
    char got[21], want[32];

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(v); i++) {
        snprintf(want, sizeof want, "%llu", (unsigned long long)v[i]);
        assert_int_equal(hg_num_u64_text(v[i], got), strlen(want));
        assert_string_equal(got, want);
    }
}

/* What node prints for String(x). */
static void number_to_text_as_javascript(void **state)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-1, "-1"},
        {100, "100"},
        {0.1, "0.1"},
        {1.5, "1.5"},
        {1e15, "1000000000000000"},
        {1e20, "100000000000000000000"},
        {1e21, "1e+21"},
        {123456789012345680000.0, "123456789012345680000"},
        {123456.789, "123456.789"},
        {1e-6, "0.000001"},
        {1e-7, "1e-7"},
        {1.5e-7, "1.5e-7"},
        {-0.00001, "-0.00001"},
        {2e-10, "2e-10"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {-9007199254740992.0, "-9007199254740992"},
        {0.30000000000000004, "0.30000000000000004"},
        {-0.0000012345678901234567, "-0.0000012345678901234567"},
        {4.35, "4.35"},
        {HUGE_VAL, "Infinity"},
        {-HUGE_VAL, "-Infinity"},
        {NAN, "NaN"},
    };
    char got[HG_NUM_JS_TEXT];

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        assert_int_equal(hg_num_js_text(rows[i].v, got), strlen(rows[i].text));
        assert_string_equal(got, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),       cmocka_unit_test(sizes),
        cmocka_unit_test(durations),      cmocka_unit_test(doubles),
        cmocka_unit_test(number_to_text), cmocka_unit_test(number_to_text_as_javascript),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
