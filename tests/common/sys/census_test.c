/* Clients per tenant over the seats of a host: set, changed, gone; a full set counts nobody new and
 * loses nobody old; a dead seat's are cleared; readers never see one tenant's count as
 * another's. */
#include "tests/support/hgtest.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/sys/census.h"

enum { SETS = HG_CENSUS / HG_CENSUS_WAYS };
static struct hg_host *host;

static int set_up(void **state)
{
    struct hg_host_spec spec = {.nslots = 2, .ring_size = 65536, .topics = "t"};
    const char *why;

    (void)state;
    return hg_host_new(&spec, &host, &why);
}

static int tear_down(void **state)
{
    (void)state;
    hg_host_free(host);
    return 0;
}

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

/* A writer that gives one place to tenants of the counts 10, 20, 30 in turn. */
static void places_change_hands(void **state)
{
    pid_t writer = fork();

    (void)state;
    if (writer == 0)
        for (uint64_t i = 0;; i++) {
            uint64_t hash = 2 + i % 3 * SETS;

            (void)hg_census_set(host, 0, hash, (uint32_t)(10 * (i % 3 + 1)));
            (void)hg_census_set(host, 0, hash, 0);
        }
    for (int i = 0; i < 200000; i++)
        for (uint64_t k = 0; k < 3; k++) {
            uint64_t n = hg_census_count(host, 2 + k * SETS);

            assert_true(n == 0 || n == 10 * (k + 1));
        }
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_of_the_seats),
                                       cmocka_unit_test(a_full_set),
                                       cmocka_unit_test(places_change_hands)};

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
