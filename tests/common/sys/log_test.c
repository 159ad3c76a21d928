/* Log lines: shape in both forms, and that no argument can forge a line, a key or a JSON field. */
#include "tests/support/hgtest.h"
#include <fcntl.h>
#include "common/base/err.h"
#include "common/sys/log.h"

static char path[64];

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/hg_log_test.%d", (int)getpid());
    unlink(path);
    hg_log_set_process("w3");
    hg_log_set_level(HG_LOG_INFO);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(hg_log_open(NULL, false), 0);
    unlink(path);
    return 0;
}

static struct hg_buf content(void)
{
    struct hg_buf b = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char part[4096];
    ssize_t n;

    assert_true(fd >= 0);
    while ((n = read(fd, part, sizeof part)) > 0)
        hg_buf_add(&b, part, (size_t)n);
    close(fd);
    return b;
}

static int lines(struct hg_buf *b)
{
    int n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += b->p[i] == '\n';
    return n;
}

/* What follows the time stamp of the only line. */
static void expect(bool json, const char *want)
{
    struct hg_buf b = content();
    const char *text = hg_test_text(&b);

    assert_int_equal(lines(&b), 1);
    if (json) {
        assert_memory_equal(text, "{\"ts\":\"20", 9);
        assert_string_equal(text + 33, want);
    } else {
        assert_memory_equal(text, "20", 2);
        assert_int_equal(text[23], 'Z');
        assert_string_equal(text + 24, want);
    }
    hg_buf_fini(&b);
    assert_int_equal(truncate(path, 0), 0);
}

static const char *volatile absent; /* the compiler must not see the NULL */

static void text_form(void **state)
{
    (void)state;
    assert_int_equal(hg_log_open(path, false), 0);
    hg_log(HG_LOG_INFO, "conn 7f3a", "conn.close", "code=%d why=\"%s\"", 1001, "idle timeout");
    expect(false, " info w3 conn 7f3a conn.close code=1001 why=\"idle timeout\"\n");
    hg_log(HG_LOG_WARN, NULL, "x", "started with %s a=%s b=%s c=%5.2f%% d=%zu e=%*d f=%.*s", "love",
           "", "a b", 1.5, (size_t)7, 4, 2, 3, "abcdef");
    expect(false,
           " warn w3 x started with love a=\"\" b=\"a b\" c=\" 1.50%\" d=7 e=\"   2\" f=abc\n");
    hg_log(HG_LOG_INFO, NULL, "nothing", " ");
    expect(false, " info w3 nothing\n");
    hg_log(HG_LOG_INFO, NULL, "wide", "a=%lld b=%llx c=%hhu d=%s e=%c f=%jd", -5000000000LL,
           0xabcdef0123456789ULL, 200, absent, 'k', (intmax_t)-1);
    expect(false, " info w3 wide a=-5000000000 b=abcdef0123456789 c=200 d=- e=k f=-1\n");
}

static void json_form(void **state)
{
    (void)state;
    assert_int_equal(hg_log_open(path, true), 0);
    hg_log(HG_LOG_INFO, "conn 7f3a", "conn.close", "code=%d why=\"%s\"", 1001, "idle timeout");
    expect(true, "\"level\":\"info\",\"proc\":\"w3\",\"obj\":\"conn "
                 "7f3a\",\"event\":\"conn.close\",\"code\":1001,\"why\":\"idle timeout\"}\n");
    /* numbers are what a number conversion prints in JSON's grammar; all else is text */
    hg_log(HG_LOG_INFO, NULL, "n", "a=%d b=%s c=%x d=%.2f e=%05d f=\"%d\" g=12 h=-0.5 i=1.", -3,
           "17", 255, 0.5, 7, 9);
    expect(true,
           "\"level\":\"info\",\"proc\":\"w3\",\"event\":\"n\",\"a\":-3,\"b\":\"17\",\"c\":\"ff\","
           "\"d\":0.50,\"e\":\"00007\",\"f\":\"9\",\"g\":12,\"h\":-0.5,\"i\":\"1.\"}\n");
    hg_log(HG_LOG_INFO, NULL, "m", "ready in %d ms port=%d now", 3, 7000);
    expect(true, "\"level\":\"info\",\"proc\":\"w3\",\"event\":\"m\",\"port\":7000,\"msg\":\"ready "
                 "in 3 ms now\"}\n");
}

static const char evil[] = "x\" level=error y=\"\n2026-01-01T00:00:00.000Z error w3 root.login "
                           "ok\\\r\t\x1b[2J\x7f\xc2\x9b\xff\xed\xa0\x80\xc3\xa9";

static void arguments_cannot_forge(void **state)
{
    (void)state;
    assert_int_equal(hg_log_open(path, false), 0);
    hg_log(HG_LOG_INFO, "o\n", "t", "q=\"%s\"", evil);
    expect(false, " info w3 o\\n t q=\"x\\\" level=error y=\\\"\\n2026-01-01T00:00:00.000Z error "
                  "w3 root.login ok\\\\\\r\\t\\x1b[2J\\x7f\\x9b\\xff\\xed\\xa0\\x80\xc3\xa9\"\n");
    hg_log(HG_LOG_INFO, NULL, "t", "q=%s z=1", "a b=c");
    expect(false, " info w3 t q=\"a b=c\" z=1\n");
    assert_int_equal(hg_log_open(path, true), 0);
    hg_log(HG_LOG_INFO, "o\"", "t", "q=%s", evil);
    expect(true, "\"level\":\"info\",\"proc\":\"w3\",\"obj\":\"o\\\"\",\"event\":\"t\",\"q\":"
                 "\"x\\\" level=error y=\\\"\\n2026-01-01T00:00:00.000Z error w3 root.login "
                 "ok\\\\\\r\\t\\u001b[2J\\u007f\\u009b\\ufffd\\ufffd\\ufffd\\ufffd\xc3\xa9\"}\n");
    hg_log(HG_LOG_INFO, NULL, "t", "%s", "a=b \"c\"");
    expect(true, "\"level\":\"info\",\"proc\":\"w3\",\"event\":\"t\",\"msg\":\"a=b \\\"c\\\"\"}\n");
}

static void long_values_and_lines_are_cut_whole(void **state)
{
    char big[3000];

    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    for (int json = 0; json < 2; json++) {
        struct hg_buf b;

        assert_int_equal(hg_log_open(path, json), 0);
        hg_log(HG_LOG_INFO, NULL, "t", "a=%s b=1", big);
        b = content();
        assert_in_range(b.n, 512, 700);
        hg_test_has(&b, json ? "x...\",\"b\":1}\n" : "x... b=1\n");
        hg_buf_fini(&b);
        assert_int_equal(truncate(path, 0), 0);
        memset(big, '\n', sizeof big - 1); /* doubles when escaped */
        hg_log(HG_LOG_INFO, NULL, "t", "a=%s b=%s c=%s d=%s e=%s f=1", big, big, big, big, big);
        b = content();
        assert_in_range(b.n, 3000, 4064);
        assert_int_equal(lines(&b), 1);
        hg_test_has(&b, json ? ",\"truncated\":true}\n" : " truncated=1\n");
        hg_buf_fini(&b);
        assert_int_equal(truncate(path, 0), 0);
        memset(big, 'x', sizeof big - 1);
    }
}

static int evaluated;

static int costly(void)
{
    return ++evaluated;
}

static void arguments_of_a_level_that_is_off_are_not_evaluated(void **state)
{
    struct hg_buf b;

    (void)state;
    assert_int_equal(hg_log_open(path, false), 0);
    hg_log(HG_LOG_DEBUG, NULL, "d", "n=%d", costly());
    hg_log_limited(HG_LOG_DEBUG, NULL, "d", "n=%d", costly());
    assert_int_equal(evaluated, 0);
    hg_log_set_level(HG_LOG_DEBUG);
    hg_log(HG_LOG_DEBUG, NULL, "d", "n=%d", costly());
    b = content();
    hg_test_has(&b, " debug w3 d n=1\n");
    hg_buf_fini(&b);
}

static void a_tag_is_limited_and_says_how_many(void **state)
{
    struct hg_buf b;

    (void)state;
    assert_int_equal(hg_log_open(path, false), 0);
    for (int i = 0; i < 1000; i++)
        hg_log_limited(HG_LOG_WARN, NULL, "flood", "i=%d", i);
    hg_log_limited(HG_LOG_WARN, NULL, "other", "a=1");
    b = content();
    assert_int_equal(lines(&b), 11);
    hg_buf_fini(&b);
    /* 64 further tags push it out, and it says its number then */
    for (int i = 0; i < 70; i++) {
        static char tag[70][16];

        snprintf(tag[i], sizeof tag[i], "tag%d", i);
        hg_log_limited(HG_LOG_WARN, NULL, tag[i], "a=1");
    }
    b = content();
    hg_test_has(&b, " warn w3 flood suppressed=990\n");
    hg_test_has_not(&b, "other suppressed");
    hg_buf_fini(&b);
}

static void reopen_follows_a_rotation(void **state)
{
    char old[80];
    struct hg_buf b;

    (void)state;
    snprintf(old, sizeof old, "%s.1", path);
    assert_int_equal(hg_log_open(path, false), 0);
    hg_log(HG_LOG_INFO, NULL, "first", "a=1");
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(hg_log_reopen(), 0);
    hg_log(HG_LOG_INFO, NULL, "second", "a=1");
    b = content();
    hg_test_has(&b, "second");
    hg_test_has_not(&b, "first");
    hg_buf_fini(&b);
    unlink(old);
    assert_int_equal(hg_log_open("/nonexistent/x", false), -HG_E_SYS);
    hg_log(HG_LOG_INFO, NULL, "third", "a=1"); /* a failed open keeps the old file */
    b = content();
    hg_test_has(&b, "third");
    hg_buf_fini(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(text_form),
        T(json_form),
        T(arguments_cannot_forge),
        T(long_values_and_lines_are_cut_whole),
        T(arguments_of_a_level_that_is_off_are_not_evaluated),
        T(a_tag_is_limited_and_says_how_many),
        T(reopen_follows_a_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
