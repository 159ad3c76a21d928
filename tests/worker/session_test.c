/* Connection ids and atoms. */
#include "tests/support/hgtest.h"

#include "worker/session.h"

static void ids_are_uuids_and_read_back(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        unsigned char id[16], back[16];
        char text[37];

        hg_session_id_new(id);
        hg_session_id_text(id, text);
        assert_int_equal(strlen(text), 36);
        assert_int_equal(text[14], '4');
        assert_non_null(strchr("89ab", text[19]));
        for (int k = 8; k <= 23; k += 5)
            assert_int_equal(text[k], '-');
        assert_true(hg_session_id_parse(hg_slice_of(text, 36), back));
        assert_memory_equal(id, back, 16);
    }
}

static void what_is_no_uuid_is_refused(void **state)
{
    static const char good[] = "0123ABCD-89ab-4cde-8f01-23456789abcd";
    unsigned char id[16];

    (void)state;
    assert_true(hg_session_id_parse(hg_slice_of(good, 36), id));
    for (size_t n = 0; n < 36; n++)
        assert_false(hg_session_id_parse(hg_slice_of(good, n), id));
    for (size_t i = 0; i < 36; i++) {
        char bad[36];

        memcpy(bad, good, 36);
        bad[i] = bad[i] == '-' ? '0' : 'g';
        assert_false(hg_session_id_parse(hg_slice_of(bad, 36), id));
        bad[i] = 0;
        assert_false(hg_session_id_parse(hg_slice_of(bad, 36), id));
    }
}

static void equal_text_is_one_atom(void **state)
{
    char text[] = "tenant";
    const struct hg_atom *a = hg_atom_get(hg_slice_of(text, 6)),
                         *b = hg_atom_get(HG_SLICE_LIT("tenant")),
                         *none = hg_atom_get(HG_SLICE_NONE);

    (void)state;
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, none);
    text[0] = 'x'; /* it is a copy */
    assert_true(hg_slice_is(hg_atom_text(a), "tenant"));
    assert_int_equal(hg_atom_text(none).n, 0);
    assert_null(hg_atom_text(NULL).p);
    hg_atom_put(a);
    assert_true(hg_slice_is(hg_atom_text(b), "tenant"));
    hg_atom_put(b);
    hg_atom_put(none);
    hg_atom_put(NULL);
    a = hg_atom_get(HG_SLICE_LIT("again")); /* after the last one went */
    hg_atom_put(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_uuids_and_read_back),
        cmocka_unit_test(what_is_no_uuid_is_refused),
        cmocka_unit_test(equal_text_is_one_atom),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
