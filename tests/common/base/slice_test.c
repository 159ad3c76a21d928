/* Slices: what trimming takes, and what it leaves alone. */
#include "tests/support/hgtest.h"
#include "common/base/slice.h"

static void trimmed(const char *blanks, struct hg_slice s, struct hg_slice want)
{
    struct hg_slice got = hg_slice_trim(s, blanks);

    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.p, want.p, want.n);
}

static void trim_takes_the_blanks_at_either_end(void **state)
{
    (void)state;
    trimmed(HG_BLANKS, HG_SLICE_LIT(" \t a b\t "), HG_SLICE_LIT("a b"));
    trimmed(HG_BLANKS, HG_SLICE_LIT("\na\r"), HG_SLICE_LIT("\na\r"));
    trimmed(HG_SPACES, HG_SLICE_LIT("\r\n\v\fa\n"), HG_SLICE_LIT("a"));
    trimmed(HG_SPACES, HG_SLICE_LIT(" \0 "), HG_SLICE_LIT("\0")); /* the end of a C text is none */
    trimmed(HG_BLANKS, HG_SLICE_LIT("a"), HG_SLICE_LIT("a"));
}

static void trim_of_nothing_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(hg_slice_trim(HG_SLICE_LIT(" \t "), HG_BLANKS).n, 0);
    assert_int_equal(hg_slice_trim(HG_SLICE_LIT(""), HG_BLANKS).n, 0);
    assert_null(hg_slice_trim(HG_SLICE_NONE, HG_BLANKS).p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trim_takes_the_blanks_at_either_end),
        cmocka_unit_test(trim_of_nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
