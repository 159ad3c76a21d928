/* Which dialect a connection speaks, and whose bare keys it hears. */
#include "tests/support/hgtest.h"

#include "worker/dialect.h"

static void the_longest_prefix_then_the_option_then_the_subprotocol(void **state)
{
    static const struct {
        int profile;
        const char *paths, *path;
        bool subprotocol;
        enum hg_dialect_id want;
    } rows[] = {
        {HG_PROFILE_AUTO, "", "/", false, HG_DIALECT_AUTO},
        {HG_PROFILE_AUTO, "", "/", true, HG_DIALECT_BEARER},
        {HG_PROFILE_V1, "", "/", false, HG_DIALECT_V1},
        {HG_PROFILE_V1, "", "/", true, HG_DIALECT_V1},
        {HG_PROFILE_V3, "", "/", true, HG_DIALECT_V3},
        {HG_PROFILE_AUTO, "/old=v1, /old/new=V3", "/old", false, HG_DIALECT_V1},
        {HG_PROFILE_AUTO, "/old=v1, /old/new=V3", "/old/new/x", false, HG_DIALECT_V3},
        {HG_PROFILE_AUTO, "/old/new=v3,/old=v1", "/old/new", true, HG_DIALECT_V3},
        {HG_PROFILE_V2, "/old=v1", "/ol", false, HG_DIALECT_V2},
        {HG_PROFILE_V2, "/any=auto", "/any", false, HG_DIALECT_AUTO},
        {HG_PROFILE_V2, "/any=auto", "/any", true, HG_DIALECT_BEARER},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_conf conf = {.profile = rows[i].profile,
                               .profile_paths = (char *)(uintptr_t)rows[i].paths};

        if (hg_dialect_of(&conf, hg_slice_str(rows[i].path), rows[i].subprotocol) != rows[i].want)
            fail_msg("row %zu", i);
    }
}

static void a_subprotocol_may_name_one(void **state)
{
    static const struct {
        const char *subprotocol;
        int want;
    } rows[] = {
        {"headgate.v1", HG_DIALECT_V1},
        {"headgate.V2", HG_DIALECT_V2},
        {"headgate.auto", HG_DIALECT_AUTO},
        {"headgate", -1},
        {"headgate.", -1},
        {"headgate.v4", -1},
        {"headgate.bearer", -1},
        {"v1", -1},
        {"", -1},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        assert_int_equal(hg_dialect_named(hg_slice_str(rows[i].subprotocol)), rows[i].want);
    assert_int_equal(hg_dialect_named(HG_SLICE_NONE), -1);
}

static void rows_stand_where_they_belong(void **state)
{
    (void)state;
    assert_string_equal(hg_dialect(HG_DIALECT_V2)->name, "V2");
    assert_int_equal(hg_dialect_find(HG_SLICE_LIT("v3")), HG_DIALECT_V3);
    assert_int_equal(hg_dialect_find(HG_SLICE_LIT("bearer")), -1); /* nobody can ask for it */
    assert_string_equal(hg_dialect(HG_DIALECT_V1)->user, "anon");  /* C-2 */
    assert_string_equal(hg_dialect(HG_DIALECT_V2)->user, "anonymous");
}

static void b_29_bare_keys_are_the_default_tenants(void **state)
{
    static const struct {
        enum hg_dialect_id id;
        int auth, bare_keys;
        const char *tenant;
        bool hears;
    } rows[] = {
        {HG_DIALECT_V1, HG_AUTH_HEADERS, HG_BARE_AUTO, "demo", true},
        {HG_DIALECT_V2, HG_AUTH_HEADERS, HG_BARE_AUTO, "demo", true},
        {HG_DIALECT_BEARER, HG_AUTH_HEADERS, HG_BARE_AUTO, "demo", true},
        {HG_DIALECT_V1, HG_AUTH_HEADERS, HG_BARE_AUTO, "acme", false},
        {HG_DIALECT_V1, HG_AUTH_TRUST, HG_BARE_AUTO, "acme", true},
        {HG_DIALECT_V1, HG_AUTH_TRUST, HG_BARE_DEFAULT_TENANT, "acme", false},
        {HG_DIALECT_V1, HG_AUTH_HEADERS, HG_BARE_ALL, "acme", true},
        {HG_DIALECT_V3, HG_AUTH_TRUST, HG_BARE_ALL, "demo", false},
        {HG_DIALECT_AUTO, HG_AUTH_TRUST, HG_BARE_ALL, "demo", false},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_conf conf = {.auth = rows[i].auth,
                               .bare_keys = rows[i].bare_keys,
                               .default_tenant = (char *)(uintptr_t) "demo"};

        if (hg_dialect_hears_bare(rows[i].id, &conf, hg_slice_str(rows[i].tenant)) != rows[i].hears)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_then_the_option_then_the_subprotocol),
        cmocka_unit_test(a_subprotocol_may_name_one),
        cmocka_unit_test(rows_stand_where_they_belong),
        cmocka_unit_test(b_29_bare_keys_are_the_default_tenants),
    };
    return cmocka_run_group_tests_name("dialect", tests, NULL, NULL);
}
