/* Counts between an asker and its siblings: what belongs to an ask is added, what comes too late or
 * is somebody else's is not; words never overflow into each other; additions of processes at the
 * same time are all there. */
#include "tests/support/hgtest.h"
#include <sys/wait.h>
#include <unistd.h>
#include "common/sys/tally.h"
#include "tests/support/smallhost.h"

static void expect(uint64_t ask, uint32_t answers, uint32_t reached)
{
    struct hg_tally t = hg_tally_read(host, 1, ask);

    assert_int_equal(t.answers, answers);
    assert_int_equal(t.reached, reached);
}

static void answers_add_up(void **state)
{
    uint64_t a = hg_tally_open(host, 1, 0), b = hg_tally_open(host, 1, HG_TALLIES - 1);

    (void)state;
    assert_true(a != 0 && b != 0 && a != b);
    assert_int_equal(hg_tally_slot(a), 0);
    assert_int_equal(hg_tally_slot(b), HG_TALLIES - 1);
    expect(a, 0, 0);
    hg_tally_add(host, 1, a, 3);
    hg_tally_add(host, 1, a, 0);
    hg_tally_add(host, 1, b, 7);
    hg_tally_add(host, 0, a, 100); /* of another seat */
    expect(a, 2, 3);
    expect(b, 1, 7);
}

static void late_answers_fall_on_nobody(void **state)
{
    uint64_t old = hg_tally_open(host, 1, 5), now;

    (void)state;
    hg_tally_add(host, 1, old, 1);
    now = hg_tally_open(host, 1, 5);
    assert_true(now != old);
    hg_tally_add(host, 1, old, 1);
    expect(now, 0, 0);
    expect(old, 0, 0);
    hg_tally_add(host, 1, now, 2);
    expect(now, 1, 2);
    for (int i = 0; i < 20000; i++) /* around the turns */
        assert_true(hg_tally_open(host, 1, 5) != 0);
}

static void words_are_capped(void **state)
{
    uint64_t a = hg_tally_open(host, 1, 6);

    (void)state;
    for (int i = 0; i < 300000; i++)
        hg_tally_add(host, 1, a, i < 3 ? UINT32_MAX : 1);
    expect(a, 0x3ffff, UINT32_MAX);
}

static void processes_at_the_same_time(void **state)
{
    enum { CHILDREN = 4, EACH = 20000 };
    uint64_t a = hg_tally_open(host, 1, 7);

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            for (int k = 0; k < EACH; k++)
                hg_tally_add(host, 1, a, 2);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++)
        assert_true(wait(NULL) > 0);
    expect(a, CHILDREN * EACH, CHILDREN * EACH * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_add_up),
        cmocka_unit_test(late_answers_fall_on_nobody),
        cmocka_unit_test(words_are_capped),
        cmocka_unit_test(processes_at_the_same_time),
    };

    return cmocka_run_group_tests(tests, hg_test_host_up, hg_test_host_down);
}
