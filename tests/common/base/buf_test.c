/* Buffers: growth, caps, formatted text, dropping from the front. */
#include "tests/support/hgtest.h"
#include "common/base/err.h"

static void zeroed_is_empty_and_valid(void **state)
{
    struct hg_buf b = {0};

    (void)state;
    hg_buf_add(&b, NULL, 0);
    assert_null(b.p);
    hg_buf_drop(&b, 0);
    assert_int_equal(hg_buf_slice(&b).n, 0);
    hg_buf_fini(&b);
}

static void appends_in_order(void **state)
{
    struct hg_buf b = {0};

    (void)state;
    hg_buf_adds(&b, "ab");
    hg_buf_addc(&b, 'c');
    hg_buf_add_slice(&b, HG_SLICE_LIT("de"));
    hg_buf_addf(&b, "%d", 67);
    assert_true(hg_slice_is(hg_buf_slice(&b), "abcde67"));
    hg_buf_drop(&b, 3);
    assert_true(hg_slice_is(hg_buf_slice(&b), "de67"));
    hg_buf_reset(&b);
    assert_int_equal(b.n, 0);
    assert_true(b.cap > 0);
    hg_buf_fini(&b);
    assert_null(b.p);
}

static void format_longer_than_the_room(void **state)
{
    char want[1000];

    (void)state;
    for (size_t n = 0; n < sizeof want - 1; n++) {
        struct hg_buf b = {0};

        memset(want, 'x', n);
        want[n] = '\0';
        hg_buf_addf(&b, "%s", want);
        assert_true(hg_slice_is(hg_buf_slice(&b), want));
        hg_buf_fini(&b);
    }
}

static void a_cap_is_kept(void **state)
{
    struct hg_buf b = {0};

    (void)state;
    assert_int_equal(hg_buf_try_reserve(&b, 101, 100), -HG_E_TOO_BIG);
    assert_int_equal(hg_buf_try_reserve(&b, 100, 100), 0);
    assert_int_equal(b.cap, 100);
    b.n = 60;
    assert_int_equal(hg_buf_try_reserve(&b, 40, 100), 0);
    assert_int_equal(hg_buf_try_reserve(&b, 41, 100), -HG_E_TOO_BIG);
    assert_int_equal(hg_buf_try_reserve(&b, SIZE_MAX, 100), -HG_E_TOO_BIG);
    assert_int_equal(hg_buf_try_reserve(&b, 0, 10), -HG_E_TOO_BIG); /* already above */
    hg_buf_fini(&b);
}

static void drop_too_much(void *arg)
{
    (void)arg;
    hg_buf_drop(&(struct hg_buf){0}, 1);
}

static void dropping_more_than_there_is_dies(void **state)
{
    (void)state;
    assert_true(hg_test_dies(drop_too_much, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_is_empty_and_valid),        cmocka_unit_test(appends_in_order),
        cmocka_unit_test(format_longer_than_the_room),      cmocka_unit_test(a_cap_is_kept),
        cmocka_unit_test(dropping_more_than_there_is_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
