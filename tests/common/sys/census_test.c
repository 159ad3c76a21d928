/* Clients per tenant over the seats of a host: set, changed, gone; a full set counts nobody new and
 * loses nobody old; a dead seat's are cleared; readers never see one tenant's count as
 * another's. */
#include "tests/support/hgtest.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/sys/census.h"
#include "tests/support/smallhost.h"

enum { SETS = HG_CENSUS / HG_CENSUS_WAYS };

static void sums_of_the_seats(void **state)
{
    (void)state;
    assert_int_equal(hg_census_count(host, 7), 0);
    assert_true(hg_census_set(host, 0, 7, 3) && hg_census_set(host, 1, 7, 4));
    assert_true(hg_census_set(host, 0, 7 + SETS, 100)); /* the same set */
    assert_int_equal(hg_census_count(host, 7), 7);
    assert_int_equal(hg_census_count_others(host, 0, 7), 4);
    assert_true(hg_census_set(host, 0, 7, 5));
    assert_int_equal(hg_census_count(host, 7), 9);
    assert_true(hg_census_set(host, 0, 7, 0) && hg_census_set(host, 0, 7, 0));
    assert_int_equal(hg_census_count(host, 7), 4);
    hg_census_clear(host, 1);
    assert_int_equal(hg_census_count(host, 7), 0);
    assert_int_equal(hg_census_count(host, 7 + SETS), 100);
    hg_census_clear(host, 0);
}

static void a_full_set(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < HG_CENSUS_WAYS; i++)
        assert_true(hg_census_set(host, 0, 1 + i * SETS, 1));
    assert_false(hg_census_set(host, 0, 1 + HG_CENSUS_WAYS * SETS, 1));
    assert_true(hg_census_set(host, 0, 1, 2));
    assert_true(hg_census_set(host, 0, 1 + SETS, 0));
    assert_true(hg_census_set(host, 0, 1 + HG_CENSUS_WAYS * SETS, 9));
    assert_int_equal(hg_census_count(host, 1), 2);
    assert_int_equal(hg_census_count(host, 1 + SETS), 0);
    assert_int_equal(hg_census_count(host, 1 + HG_CENSUS_WAYS * SETS), 9);
    hg_census_clear(host, 0);
}

enum { MINE = 2, OTHERS = 2 + SETS, READS = 150, STEPS = 200 };
struct reads {
    unsigned all, right, none;
};

static void read_for_ever(struct reads *r)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    for (;;) {
        uint64_t n;

        kill(getpid(), SIGSTOP);
        n = hg_census_count(host, MINE);
        r->right += n == 10;
        r->none += n == 0;
        r->all++;
    }
}

/* One place goes from hand to hand between two tenants, which have 10 and 20 clients. */
static void change_hands(void)
{
    static const struct {
        uint64_t hash;
        uint32_t n;
    } turn[] = {{MINE, 10}, {MINE, 0}, {OTHERS, 20}, {OTHERS, 0}};
    static unsigned i;

    assert_true(hg_census_set(host, 0, turn[i % 4].hash, turn[i % 4].n));
    i++;
}

static bool go_on(pid_t reader, enum __ptrace_request how)
{
    int status;

    return ptrace(how, reader, NULL, NULL) == 0 && waitpid(reader, &status, 0) == reader &&
           WIFSTOPPED(status);
}

/* A reader that stands still at its stop reads once, its first steps one instruction at a time;
 * between them the place changes hands up to 7 times, before one step of *seldom*. */
static bool read_once(pid_t reader, uint32_t seldom)
{
    static uint32_t seed = 1;

    for (int step = 0; step < STEPS; step++) {
        if (!go_on(reader, PTRACE_SINGLESTEP))
            return false;
        seed = seed * 1664525 + 1013904223;
        for (uint32_t i = (seed >> 16) % seldom ? 0 : seed >> 29; i > 0; i--)
            change_hands();
    }
    return go_on(reader, PTRACE_CONT);
}

static void places_change_hands(void **state)
{
    struct reads *r =
        mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned done = 0;
    pid_t reader;
    int status;

    (void)state;
    assert_true(r != MAP_FAILED);
    reader = fork();
    if (reader == 0)
        read_for_ever(r);
    assert_true(reader > 0 && waitpid(reader, &status, 0) == reader && WIFSTOPPED(status));
    while (done < READS && read_once(reader, done % 2 ? 2 : 64))
        done++;
    kill(reader, SIGKILL);
    assert_int_equal(waitpid(reader, NULL, 0), reader);
    assert_int_equal(done, READS);
    assert_int_equal(r->all, READS);
    assert_true(r->right > 0 && r->none > 0);
    assert_int_equal(r->right + r->none, READS);
    munmap(r, sizeof *r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_of_the_seats),
                                       cmocka_unit_test(a_full_set),
                                       cmocka_unit_test(places_change_hands)};

    return cmocka_run_group_tests(tests, hg_test_host_up, hg_test_host_down);
}
