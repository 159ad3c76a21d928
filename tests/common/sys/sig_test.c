/* Signals read from a descriptor, and a child that starts afresh. */
#include "tests/support/hgtest.h"
#include <poll.h>
#include "common/sys/sig.h"

static int seen[64];

static void on_signal(void *arg, int signo)
{
    assert_ptr_equal(arg, seen);
    seen[signo]++;
}

static const struct hg_sig table[] = {{SIGUSR1, on_signal}, {SIGHUP, on_signal}};

static void signals_come_as_events(void **state)
{
    int fd = hg_sig_open(table, HG_COUNTOF(table)), status;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    pid_t pid;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGHUP);
    assert_int_equal(poll(&p, 1, 5000), 1);
    hg_sig_dispatch(fd, table, HG_COUNTOF(table), seen);
    assert_int_equal(seen[SIGUSR1], 1);
    assert_int_equal(seen[SIGHUP], 1);
    hg_sig_dispatch(fd, table, HG_COUNTOF(table), seen); /* nothing waits */
    assert_int_equal(seen[SIGUSR1], 1);
    pid = fork();
    if (pid == 0) {
        hg_sig_reset();
        kill(getpid(), SIGUSR1); /* default action: ends the child */
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    close(fd);
}

static void a_broken_pipe_kills_nobody(void **state)
{
    int p[2];

    (void)state;
    assert_int_equal(pipe(p), 0);
    close(p[0]);
    assert_int_equal(write(p[1], "x", 1), -1);
    close(p[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_come_as_events),
        cmocka_unit_test(a_broken_pipe_kills_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
