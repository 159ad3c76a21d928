/* Messages between master and worker: what is sent arrives whole; what does not fit the table is
 * refused. */
#include "tests/support/hgtest.h"
#include <sys/socket.h>
#include "common/base/err.h"
#include "common/sys/ipc.h"

static int fd[2];
static struct hg_ipc_msg m;

static int setup(void **state)
{
    (void)state;
    return hg_ipc_pair(fd);
}

static int teardown(void **state)
{
    (void)state;
    close(fd[0]);
    close(fd[1]);
    return 0;
}

static void messages_arrive_whole_and_in_order(void **state)
{
    const struct hg_ipc_drain drain = {.deadline_us = 25000000, .has_successor = 1};
    const struct hg_ipc_empty empty = {0};

    (void)state;
    assert_int_equal(hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m), 0);
    assert_int_equal(hg_ipc_send(fd[0], HG_IPC_DRAIN, &drain, sizeof drain, HG_SLICE_NONE), 0);
    assert_int_equal(hg_ipc_send(fd[0], HG_IPC_CONF_LIVE, &empty, sizeof empty,
                                 HG_SLICE_LIT("out_soft = 64k\n")),
                     0);
    assert_int_equal(hg_ipc_send(fd[1], HG_IPC_READY, &empty, sizeof empty, HG_SLICE_NONE), 0);
    assert_int_equal(hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m), 1);
    assert_int_equal(m.type, HG_IPC_DRAIN);
    assert_true(m.drain.deadline_us == 25000000 && m.drain.has_successor == 1 && m.tail.n == 0);
    assert_int_equal(hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m), 1);
    assert_int_equal(m.type, HG_IPC_CONF_LIVE);
    assert_true(hg_slice_is(m.tail, "out_soft = 64k\n"));
    assert_int_equal(hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m), 0);
    assert_int_equal(hg_ipc_recv(fd[0], HG_IPC_TO_MASTER, &m), 1);
    assert_string_equal(hg_ipc_name(m.type), "READY");
    assert_string_equal(hg_ipc_name(999), "?");
}

static void the_largest_fits_and_no_larger(void **state)
{
    static char big[HG_IPC_MAX];
    const struct hg_ipc_empty empty = {0};

    (void)state;
    assert_int_equal(hg_ipc_send(fd[0], HG_IPC_CONF_LIVE, &empty, sizeof empty,
                                 hg_slice_of(big, sizeof big - 8)),
                     0);
    assert_int_equal(hg_ipc_send(fd[0], HG_IPC_CONF_LIVE, &empty, sizeof empty,
                                 hg_slice_of(big, sizeof big - 7)),
                     -HG_E_TOO_BIG);
    assert_int_equal(hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m), 1);
    assert_int_equal(m.tail.n, sizeof big - 8);
}

static void garbage_is_refused_and_the_next_is_read(void **state)
{
    static const struct {
        uint32_t word[6];
        size_t n;
    } rows[] = {
        {{HG_IPC_DRAIN}, 3},                 /* no whole type */
        {{HG_IPC_NONE, 0}, 8},               /* no such type */
        {{HG_IPC_COUNT, 0}, 8},              /* no such type */
        {{UINT32_MAX, 0}, 8},                /* no such type */
        {{HG_IPC_DRAIN, 0}, 8},              /* too short */
        {{HG_IPC_DRAIN, 0, 0, 0, 0, 0}, 24}, /* too long, and no tail allowed */
        {{HG_IPC_READY, 0}, 8},              /* the other direction */
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        assert_int_equal(send(fd[0], rows[i].word, rows[i].n, 0), rows[i].n);
        assert_int_equal(hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m), -HG_E_BUG);
    }
    assert_int_equal(hg_ipc_send(fd[0], HG_IPC_LOG_LEVEL, &(struct hg_ipc_level){3},
                                 sizeof(struct hg_ipc_level), HG_SLICE_NONE),
                     0);
    assert_int_equal(hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m), 1);
    assert_int_equal(m.level.level, 3);
}

static void a_full_or_dead_peer_is_said(void **state)
{
    const struct hg_ipc_empty empty = {0};
    int rc;

    (void)state;
    do
        rc = hg_ipc_send(fd[0], HG_IPC_LOG_REOPEN, &empty, sizeof empty, HG_SLICE_NONE);
    while (rc == 0);
    assert_int_equal(rc, -HG_E_AGAIN);
    close(fd[0]);
    fd[0] = -1;
    while ((rc = hg_ipc_recv(fd[1], HG_IPC_TO_WORKER, &m)) == 1)
        ;
    assert_int_equal(rc, -HG_E_PEER_GONE);
    assert_int_equal(hg_ipc_send(fd[1], HG_IPC_READY, &empty, sizeof empty, HG_SLICE_NONE),
                     -HG_E_PEER_GONE);
}

static void send_wrong_size(void *arg)
{
    (void)arg;
    if (hg_ipc_send(fd[0], HG_IPC_DRAIN, "x", 1, HG_SLICE_NONE) < 0)
        _exit(1);
}

static void a_wrong_size_is_our_bug(void **state)
{
    (void)state;
    assert_true(hg_test_dies(send_wrong_size, NULL));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(messages_arrive_whole_and_in_order),
        T(the_largest_fits_and_no_larger),
        T(garbage_is_refused_and_the_next_is_read),
        T(a_full_or_dead_peer_is_said),
        T(a_wrong_size_is_our_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
