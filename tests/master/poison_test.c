/* Poison: the same record twice, whoever died; another record, or none, is not blamed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/macros.h"
#include "master/poison.h"

static void test_twice_in_the_same_record(void **state)
{
    (void)state;
    struct hg_poison p = {0};
    assert_false(hg_poison_died_in(&p, 3, 10));
    assert_false(hg_poison_died_in(&p, 3, 11));
    assert_false(hg_poison_died_in(&p, 4, 10));
    assert_true(hg_poison_died_in(&p, 3, 10));
    assert_false(hg_poison_died_in(&p, 3, 10)); /* forgotten once it is skipped */
}

static void test_suspects_are_bounded_and_the_oldest_goes(void **state)
{
    (void)state;
    struct hg_poison p = {0};
    for (int64_t i = 0; i <= HG_POISON_MAX; i++)
        assert_false(hg_poison_died_in(&p, 1, i));
    assert_false(hg_poison_died_in(&p, 1, 0)); /* was overwritten */
    assert_true(hg_poison_died_in(&p, 1, HG_POISON_MAX));
}

static struct hg_host *host;

static bool is_listed(uint32_t part, int64_t offset)
{
    for (uint32_t i = 0; i < HG_POISON_MAX; i++)
        if (atomic_load(&host->poison_skip[i].part) == part + 1 &&
            atomic_load(&host->poison_skip[i].offset) == offset)
            return true;
    return false;
}

static void test_the_list_reuses_rows_of_records_that_lie_behind(void **state)
{
    (void)state;
    host = hg_calloc(1, sizeof *host);
    for (uint32_t i = 0; i < HG_POISON_MAX; i++)
        hg_poison_skip(host, 0, i);
    for (uint32_t i = 0; i < HG_POISON_MAX; i++)
        assert_true(is_listed(0, i));
    atomic_store(&host->parts[0].next, 8); /* 0..7 are behind */
    for (uint32_t i = 0; i < 8; i++)
        hg_poison_skip(host, 7, 1000 + i);
    for (uint32_t i = 8; i < HG_POISON_MAX; i++)
        assert_true(is_listed(0, i));
    for (uint32_t i = 0; i < 8; i++)
        assert_true(is_listed(7, 1000 + i));
    hg_poison_skip(host, 9, 5); /* full: still taken */
    assert_true(is_listed(9, 5));
    free(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice_in_the_same_record),
        cmocka_unit_test(test_suspects_are_bounded_and_the_oldest_goes),
        cmocka_unit_test(test_the_list_reuses_rows_of_records_that_lie_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
