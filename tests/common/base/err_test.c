/* The error table tests itself: names unique, close codes legal to send, every number has its
 * row. */
#include "tests/support/hgtest.h"
#include <limits.h>
#include "common/base/err.h"

static const int all[] = {
#define HG_ERR(name, fault, close, wire, retry, text) HG_E_##name,
#include "common/base/err.def"
#undef HG_ERR
};
static const char *const names[] = {
#define HG_ERR(name, fault, close, wire, retry, text) #name,
#include "common/base/err.def"
#undef HG_ERR
};

static int may_be_sent(int code) /* RFC 6455 7.4.1 */
{
    return code == 0 ||
           (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static void every_row_is_found_and_complete(void **state)
{
    (void)state;
    assert_int_equal(HG_COUNTOF(all), HG_E_COUNT - 1);
    for (size_t i = 0; i < HG_COUNTOF(all); i++) {
        const struct hg_err_row *r = hg_err_row(-all[i]);

        assert_string_equal(r->name, names[i]);
        assert_ptr_equal(r, hg_err_row(all[i]));
        assert_true(may_be_sent(r->close_code));
        assert_true(strlen(r->wire) > 0 && strlen(r->wire) <= 123); /* fits a close frame */
        assert_int_equal(r->text[strlen(r->text) - 1], '.');
        assert_int_equal(hg_err_close_code(-all[i]), r->close_code);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(names[k], names[i]);
    }
}

static void unknown_numbers_are_our_bug(void **state)
{
    const int odd[] = {HG_E_COUNT, -HG_E_COUNT, INT_MAX, INT_MIN, INT_MIN + 1};

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(odd); i++)
        assert_string_equal(hg_err_row(odd[i])->name, "BUG");
    assert_string_equal(hg_err_row(0)->name, "OK");
}

static void docs_have_a_line_for_each(void **state)
{
    struct hg_buf b = {0};
    char line[80];

    (void)state;
    hg_err_docs(&b);
    for (size_t i = 0; i < HG_COUNTOF(names); i++) {
        snprintf(line, sizeof line, "\n| %s | ", names[i]);
        hg_test_has(&b, line);
    }
    hg_test_has(&b, "| DRAINING | us | 1012 | `restarting` | yes | ");
    hg_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_and_complete),
        cmocka_unit_test(unknown_numbers_are_our_bug),
        cmocka_unit_test(docs_have_a_line_for_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
