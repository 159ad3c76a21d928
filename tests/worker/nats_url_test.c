/* nats:// URLs: what is taken, and where what is refused is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/err.h"
#include "worker/nats_url.h"

static const struct {
    const char *url, *host, *second, *user, *password;
} good[] = {
    {"nats://localhost", "nats://localhost:4222", NULL, "", ""},
    {"nats://localhost:4223/", "nats://localhost:4223", NULL, "", ""},
    {"nats://10.0.0.1:1,h2", "nats://10.0.0.1:1", "nats://h2:4222", "", ""},
    {"nats://me:secret@h", "nats://h:4222", NULL, "me", "secret"},
    {"nats://me:p%40s%2c@h:7,h2:8", "nats://h:7", "nats://h2:8", "me", "p@s,"},
    {"nats://me:a@b,c@h", "nats://h:4222", NULL, "me", "a@b,c"},
    {"nats://token@h", "nats://h:4222", NULL, "token", ""},
    {"nats://[::1]:5,[fe80::1]", "nats://[::1]:5", "nats://[fe80::1]:4222", "", ""},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(good); i++) {
        struct hg_nats_url u;
        const char *why;
        size_t at;
        assert_int_equal(hg_nats_url_parse(hg_slice_str(good[i].url), &u, &why, &at), 0);
        assert_string_equal(u.host[0], good[i].host);
        assert_int_equal(u.hosts, good[i].second ? 2 : 1);
        if (good[i].second)
            assert_string_equal(u.host[1], good[i].second);
        assert_string_equal(u.user, good[i].user);
        assert_string_equal(u.password, good[i].password);
    }
}

static const struct {
    const char *url;
    size_t at;
} bad[] = {
    {"", 0},
    {"redis://h", 0},
    {"nats:/h", 0},
    {"nats://", 7},
    {"nats://:4222", 7},
    {"nats://h:", 9},
    {"nats://h:0", 9},
    {"nats://h:65536", 9},
    {"nats://h:4222x", 9},
    {"nats://h,,h2", 9},
    {"nats://h,h2:x", 12},
    {"nats://h h", 7},
    {"nats://h\r\nPUB", 7},
    {"nats://[::1", 7},
    {"nats://[::1]x", 7},
    {"nats://a:%4@h", 9},
    {"nats://a:%00@h", 9},
    {"nats://:p@h", 7},
    {"nats://@h", 7},
    {"nats://1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7", 39},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(bad); i++) {
        struct hg_nats_url u;
        const char *why = NULL;
        size_t at = 99;
        assert_int_equal(hg_nats_url_parse(hg_slice_str(bad[i].url), &u, &why, &at),
                         -HG_E_CONF_VALUE);
        assert_non_null(why);
        if (at != bad[i].at)
            fail_msg("%s: at %zu", bad[i].url, at);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    char text[700] = "nats://";
    struct hg_nats_url u;
    const char *why;
    size_t at;
    memset(text + 7, 'h', 256);
    assert_int_equal(hg_nats_url_parse(hg_slice_str(text), &u, &why, &at), -HG_E_CONF_VALUE);
    text[7 + 255] = 0;
    assert_int_equal(hg_nats_url_parse(hg_slice_str(text), &u, &why, &at), 0);
    memset(text + 7, 'u', 128);
    strcpy(text + 7 + 128, ":p@h");
    assert_int_equal(hg_nats_url_parse(hg_slice_str(text), &u, &why, &at), -HG_E_CONF_VALUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
