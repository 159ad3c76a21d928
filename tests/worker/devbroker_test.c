/* The throw-away broker as a process: it says where it is, serves, and ends by SIGTERM or with its
 * parent. */
#include "tests/support/hgtest.h"
#include "tests/support/mock_kafka.h"
#include <poll.h>
#include "worker/devbroker.h"

enum { DEADLINE_MS = 20000 };

static void read_line(int fd, char *out, size_t n)
{
    size_t at = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (at + 1 < n && poll(&p, 1, DEADLINE_MS) == 1 && read(fd, out + at, 1) == 1 &&
           out[at] != '\n')
        at++;
    out[at] = '\0';
}

/* Everyone who holds the other end of fd is gone. */
static bool ends(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char c;
    return poll(&p, 1, DEADLINE_MS) == 1 && read(fd, &c, 1) == 0;
}

static pid_t spawn(int ready[2])
{
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]);
        _exit(hg_devbroker_main(ready[1]));
    }
    close(ready[1]);
    return pid;
}

/* Topics are made after the address is out. */
static bool has_soon(struct mock_kafka *b, const char *name)
{
    for (int i = 0; i < DEADLINE_MS / 20; i++) {
        if (mock_kafka_has_topic(b, name))
            return true;
        poll(NULL, 0, 20);
    }
    return false;
}

static void it_serves_until_terminated(void **state)
{
    (void)state;
    int ready[2], status;
    char address[128];
    pid_t pid = spawn(ready);
    read_line(ready[0], address, sizeof address);
    assert_true(strncmp(address, "127.0.0.1:", 10) == 0);
    setenv("HG_TEST_KAFKA", address, 1);
    struct mock_kafka *b = mock_kafka_new();
    assert_true(has_soon(b, "server.page.diffs"));
    assert_true(has_soon(b, "sql.rpc.requests"));
    assert_int_equal(mock_kafka_put(b, "server.page.diffs", 3, "key", "value", 1), 0);
    mock_kafka_free(b);
    unsetenv("HG_TEST_KAFKA");
    kill(pid, SIGINT); /* the terminal's: left to the master */
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(ready[0]);
}

static void it_dies_with_its_parent(void **state)
{
    (void)state;
    int life[2], status;
    assert_int_equal(pipe(life), 0);
    pid_t parent = fork();
    if (parent == 0) {
        int ready[2];
        char address[128];
        close(life[0]);
        spawn(ready);
        read_line(ready[0], address, sizeof address);
        _exit(address[0] ? 0 : 1);
    }
    close(life[1]); /* now only the parent and the broker hold it */
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(ends(life[0]));
    close(life[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_serves_until_terminated),
        cmocka_unit_test(it_dies_with_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
