/* sd_notify by hand: datagrams reach a path and an abstract socket; the watchdog is for the named
 * process only. */
#include "tests/support/hgtest.h"
#include <sys/socket.h>
#include <sys/un.h>
#include "common/sys/notify.h"

static int receiver(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(a.sun_path, path, strlen(path));
    if (path[0] == '@')
        a.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
                     0);
    return fd;
}

static void reaches(const char *path)
{
    struct hg_notify n;
    char got[64];
    int fd = receiver(path);

    setenv("NOTIFY_SOCKET", path, 1);
    hg_notify_open(&n);
    assert_true(n.fd >= 0);
    assert_true(hg_notify_send(&n, "STATUS=%d clients", 7));
    assert_int_equal(recv(fd, got, sizeof got, 0), 16);
    assert_memory_equal(got, "STATUS=7 clients", 16);
    hg_notify_close(&n);
    assert_false(hg_notify_send(&n, "READY=1"));
    close(fd);
}

static void told_by_path_and_by_abstract_name(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "/tmp/hg_notify_test.%d", (int)getpid());
    unlink(path);
    reaches(path);
    unlink(path);
    snprintf(path, sizeof path, "@hg_notify_test.%d", (int)getpid());
    reaches(path);
}

static void nobody_listens(void **state)
{
    static const char *const odd[] = {"", "@", "relative", "/nonexistent/socket"};
    struct hg_notify n;

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    hg_notify_open(&n);
    assert_int_equal(n.fd, -1);
    assert_false(hg_notify_send(&n, "READY=1"));
    for (size_t i = 0; i < HG_COUNTOF(odd); i++) {
        setenv("NOTIFY_SOCKET", odd[i], 1);
        hg_notify_open(&n);
        assert_int_equal(n.fd, -1);
        hg_notify_close(&n);
    }
}

static int64_t interval(const char *usec, const char *pid)
{
    struct hg_notify n;
    int64_t us;

    usec ? setenv("WATCHDOG_USEC", usec, 1) : unsetenv("WATCHDOG_USEC");
    pid ? setenv("WATCHDOG_PID", pid, 1) : unsetenv("WATCHDOG_PID");
    hg_notify_open(&n);
    us = n.watchdog_us;
    hg_notify_close(&n);
    return us;
}

static void the_watchdog_is_for_the_named_process(void **state)
{
    char path[64], me[16];
    int fd;

    (void)state;
    snprintf(path, sizeof path, "@hg_notify_wd.%d", (int)getpid());
    snprintf(me, sizeof me, "%d", (int)getpid());
    fd = receiver(path);
    setenv("NOTIFY_SOCKET", path, 1);
    assert_int_equal(interval("20000000", NULL), 20000000);
    assert_int_equal(interval("20000000", me), 20000000);
    assert_int_equal(interval("20000000", "1"), 0);
    assert_int_equal(interval("20000000", "x"), 0);
    assert_int_equal(interval("0", NULL), 0);
    assert_int_equal(interval("5s", NULL), 0);
    assert_int_equal(interval(NULL, me), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_by_path_and_by_abstract_name),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(the_watchdog_is_for_the_named_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
