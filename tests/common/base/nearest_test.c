/* nearest.h: the distance, and which name is taken for the one that was meant. */
#include "tests/support/hgtest.h"
#include "common/base/nearest.h"

static void distances(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned d;
    } rows[] = {
        {"", "", 0},
        {"a", "", 1},
        {"", "abc", 3},
        {"port", "port", 0},
        {"prot", "port", 1},
        {"wokers", "workers", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"abc", "xyz", 3},
    };
    char big[80];

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        assert_int_equal(hg_distance(hg_slice_str(rows[i].a), hg_slice_str(rows[i].b)), rows[i].d);
        assert_int_equal(hg_distance(hg_slice_str(rows[i].b), hg_slice_str(rows[i].a)), rows[i].d);
    }
    memset(big, 'a', sizeof big);
    assert_int_equal(hg_distance(hg_slice_of(big, 63), HG_SLICE_LIT("")), 63);
    assert_true(hg_distance(hg_slice_of(big, 64), HG_SLICE_LIT("")) >= 100);
}

static const char *meant(const char *given)
{
    static const char *const names[] = {"equals", "notEquals", "in", "inList", "isNull"};
    struct hg_nearest near = hg_nearest(hg_slice_str(given));

    for (size_t i = 0; i < HG_COUNTOF(names); i++)
        hg_nearest_try(&near, names[i]);
    return near.name;
}

static void the_one_meant(void **state)
{
    (void)state;
    assert_string_equal(meant("eqals"), "equals");
    assert_string_equal(meant("notEqual"), "notEquals");
    assert_string_equal(meant("inlist"), "inList");
    assert_string_equal(meant("in"), "in"); /* the first of the least */
    assert_null(meant("something else"));
    assert_null(meant(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(the_one_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
