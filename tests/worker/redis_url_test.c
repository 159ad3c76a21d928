/* redis:// URLs: what is taken, and where what is refused is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/err.h"
#include "worker/redis_url.h"

static const struct {
    const char *url, *host, *user, *password;
    unsigned port, db;
} good[] = {
    {"redis://localhost", "localhost", "", "", 6379, 0},
    {"redis://localhost:6380", "localhost", "", "", 6380, 0},
    {"redis://localhost/", "localhost", "", "", 6379, 0},
    {"redis://10.0.0.1:1/15", "10.0.0.1", "", "", 1, 15},
    {"redis://:secret@h", "h", "", "secret", 6379, 0},
    {"redis://:secret@h:7/2", "h", "", "secret", 7, 2},
    {"redis://me:secret@h", "h", "me", "secret", 6379, 0},
    {"redis://:p%40ss%2Fw%3ard@h", "h", "", "p@ss/w:rd", 6379, 0},
    {"redis://:a@b@h", "h", "", "a@b", 6379, 0},
    {"redis://:a/b@h/3", "h", "", "a/b", 6379, 3},
    {"redis://:a:b@h", "h", "", "a:b", 6379, 0},
    {"redis://@h", "h", "", "", 6379, 0},
    {"redis://[::1]", "::1", "", "", 6379, 0},
    {"redis://:x@[fe80::1]:65535/65535", "fe80::1", "", "x", 65535, 65535},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(good); i++) {
        struct hg_redis_url u;
        const char *why = NULL;
        size_t at = 0;
        if (hg_redis_url_parse(hg_slice_str(good[i].url), &u, &why, &at) != 0)
            fail_msg("%s: %s at %zu", good[i].url, why, at);
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.user, good[i].user);
        assert_string_equal(u.password, good[i].password);
        assert_int_equal(u.port, good[i].port);
        assert_int_equal(u.db, good[i].db);
    }
}

static const struct {
    const char *url, *why;
    size_t at;
} bad[] = {
    {"", "not redis://[:password@]host:port[/db]", 0},
    {"localhost:6379", "not redis://[:password@]host:port[/db]", 0},
    {"REDIS://h", "not redis://[:password@]host:port[/db]", 0},
    {"rediss://h", "TLS (rediss://) is not supported", 0},
    {"redis://", "no host", 8},
    {"redis://:x@", "no host", 11},
    {"redis://:6379", "no host", 8},
    {"redis://h:", "not a port (1..65535)", 10},
    {"redis://h:0", "not a port (1..65535)", 10},
    {"redis://h:65536", "not a port (1..65535)", 10},
    {"redis://h:63x", "not a port (1..65535)", 10},
    {"redis://::1", "no host", 8},
    {"redis://h/x", "not a database number", 10},
    {"redis://h/-1", "not a database number", 10},
    {"redis://h/70000", "not a database number", 10},
    {"redis://h/1/2", "not a database number", 10},
    {"redis://me@h", "a user without a password (a password alone is written :password@)", 8},
    {"redis://:%zz@h", "% without two hex digits", 9},
    {"redis://:%4", "no host", 8},
    {"redis://:x%4@h", "% without two hex digits", 10},
    {"redis://:%00@h", "a NUL byte", 11},
    {"redis://[::1", "[ without ]", 8},
    {"redis://[::1]x:1", "something behind the ]", 13},
    {"redis://a b", "not a host name", 9},
    {"redis://a[", "not a host name", 9},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(bad); i++) {
        struct hg_redis_url u;
        const char *why = "";
        size_t at = 0;
        assert_int_equal(hg_redis_url_parse(hg_slice_str(bad[i].url), &u, &why, &at),
                         -HG_E_CONF_VALUE);
        if (strcmp(why, bad[i].why) != 0 || at != bad[i].at)
            fail_msg("%s: %s at %zu", bad[i].url, why, at);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    char url[2000] = "redis://";
    struct hg_redis_url u;
    const char *why;
    size_t at;
    memset(url + 8, 'h', 255);
    assert_int_equal(hg_redis_url_parse(hg_slice_of(url, 8 + 255), &u, &why, &at), 0);
    assert_int_equal(strlen(u.host), 255);
    memset(url + 8, 'h', 256);
    assert_int_equal(hg_redis_url_parse(hg_slice_of(url, 8 + 256), &u, &why, &at),
                     -HG_E_CONF_VALUE);
    assert_string_equal(why, "too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_too_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
