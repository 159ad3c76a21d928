/* The loop: order of phases, stopped watchers, stale generations, deferred calls, timers, hooks. */
#include "tests/support/hgtest.h"
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "common/base/err.h"
#include "common/sys/loop.h"

static char trace[64];

static void note(const char *what)
{
    strncat(trace, what, sizeof trace - strlen(trace) - 1);
}

static int setup(void **state)
{
    trace[0] = '\0';
    *state = hg_loop_new();
    return 0;
}

static int teardown(void **state)
{
    hg_loop_free(*state);
    return 0;
}

static int ready_fd(void)
{
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

    assert_true(fd >= 0);
    return fd;
}

static void on_hook(void *arg)
{
    note(arg);
}

static void on_timer(void *arg, struct hg_mono now)
{
    (void)now;
    note(arg);
}

struct phases {
    struct hg_loop *l;
    struct hg_defer d;
    struct hg_mono seen;
};

static void on_ready(void *arg, int fd, unsigned events)
{
    struct phases *p = arg;
    uint64_t v;

    assert_int_equal(events, HG_IN);
    assert_int_equal(read(fd, &v, sizeof v), sizeof v);
    p->seen = hg_loop_now(p->l);
    note("r");
    hg_loop_defer(p->l, &p->d, on_hook, "d");
    hg_loop_defer(p->l, &p->d, on_hook, "x"); /* queued already: runs once, as first asked */
}

static void phases_in_order(void **state)
{
    struct hg_loop *l = *state;
    struct phases p = {.l = l};
    struct hg_watch w = {0};
    struct hg_timer t = {0};
    int fd = ready_fd();

    hg_loop_on_flush(l, on_hook, "f");
    hg_loop_on_flush(l, on_hook, "g");
    hg_loop_on_reap(l, on_hook, "z");
    hg_timer_start(hg_loop_timers(l), &t, hg_loop_now(l), on_timer, "t");
    assert_int_equal(hg_watch_start(l, &w, fd, HG_IN, on_ready, &p), 0);
    hg_loop_turn(l, 1000);
    assert_string_equal(trace, "rdtfgz");
    assert_true(p.seen.us == hg_loop_now(l).us);
    hg_watch_stop(l, &w);
    close(fd);
}

struct pair {
    struct hg_loop *l;
    struct hg_watch a, b, c;
    int calls, fd_c;
};

static void on_reused(void *arg, int fd, unsigned events)
{
    (void)arg, (void)fd, (void)events;
    note("c");
}

/* Whoever comes first stops the other and gives its slot to a third watcher, whose fd is not
 * ready. */
static void stop_other(void *arg, int fd, unsigned events)
{
    struct pair *p = arg;

    (void)events;
    p->calls++;
    hg_watch_stop(p->l, fd == p->a.fd ? &p->b : &p->a);
    if (!p->c.slot)
        assert_int_equal(hg_watch_start(p->l, &p->c, p->fd_c, HG_IN, on_reused, p), 0);
}

static void a_stopped_watcher_gets_no_call_in_this_turn(void **state)
{
    struct pair p = {.l = *state, .fd_c = eventfd(0, EFD_CLOEXEC)};
    int fa = ready_fd(), fb = ready_fd();

    assert_int_equal(hg_watch_start(p.l, &p.a, fa, HG_IN, stop_other, &p), 0);
    assert_int_equal(hg_watch_start(p.l, &p.b, fb, HG_IN, stop_other, &p), 0);
    hg_loop_turn(p.l, 1000);
    assert_int_equal(p.calls, 1);
    assert_string_equal(
        trace, ""); /* the fetched event of the stopped one did not reach its slot's heir */
    hg_watch_stop(p.l, &p.a);
    hg_watch_stop(p.l, &p.b);
    hg_watch_stop(p.l, &p.c);
    hg_watch_stop(p.l, &p.c); /* again is fine */
    close(fa);
    close(fb);
    close(p.fd_c);
}

struct got {
    uint32_t id, gen;
    unsigned events;
    int calls;
};

static void on_kind(void *ctx, uint32_t id, uint32_t gen, unsigned events)
{
    *(struct got *)ctx = (struct got){id, gen, events, ((struct got *)ctx)->calls + 1};
}

static void a_class_gets_id_and_generation(void **state)
{
    struct got got = {0};
    uint8_t k = hg_loop_kind(*state, on_kind, &got);
    int p[2];

    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(hg_loop_add(*state, k, p[1], UINT32_MAX, 0xabcdef, HG_OUT | HG_ET), 0);
    assert_int_equal(hg_loop_add(*state, k, p[1], 1, 1, HG_OUT), -HG_E_SYS); /* there already */
    hg_loop_turn(*state, 1000);
    assert_int_equal(got.calls, 1);
    assert_true(got.id == UINT32_MAX && got.gen == 0xabcdef);
    assert_int_equal(got.events, HG_OUT);
    hg_loop_turn(*state, 0);
    assert_int_equal(got.calls, 1); /* edge-triggered */
    assert_int_equal(hg_loop_mod(*state, k, p[1], 5, 0x1000006, HG_OUT), 0);
    close(p[0]);
    hg_loop_turn(*state, 1000);
    assert_true(got.id == 5 && got.gen == 6); /* 24 bits are kept */
    assert_true(got.events & HG_HUP);
    hg_loop_del(*state, p[1]);
    hg_loop_del(*state, p[1]);
    close(p[1]);
    hg_loop_turn(*state, 0);
    assert_int_equal(got.calls, 2);
}

/* An edge-triggered reader that stops at a short read would never meet the end otherwise. */
static void the_end_of_a_peer_is_told_beside_its_last_bytes(void **state)
{
    struct got got = {0};
    uint8_t k = hg_loop_kind(*state, on_kind, &got);
    int s[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s), 0);
    assert_int_equal(hg_loop_add(*state, k, s[0], 1, 1, HG_IN | HG_ET), 0);
    assert_int_equal(send(s[1], "a", 1, 0), 1);
    hg_loop_turn(*state, 1000);
    assert_int_equal(got.events, HG_IN);
    assert_int_equal(send(s[1], "b", 1, 0), 1);
    assert_int_equal(shutdown(s[1], SHUT_WR), 0);
    hg_loop_turn(*state, 1000);
    assert_int_equal(got.calls, 2);
    assert_int_equal(got.events, HG_IN | HG_END);
    hg_loop_del(*state, s[0]);
    close(s[0]);
    close(s[1]);
}

struct again {
    struct hg_loop *l;
    struct hg_defer d, other;
    int runs;
};

static void defer_again(void *arg)
{
    struct again *a = arg;

    a->runs++;
    hg_loop_defer_cancel(a->l, &a->other);
    hg_loop_defer(a->l, &a->d, defer_again, a);
}

static void deferring_again_is_for_the_next_turn_which_does_not_wait(void **state)
{
    struct again a = {.l = *state};

    hg_loop_defer(a.l, &a.d, defer_again, &a);
    hg_loop_defer(a.l, &a.other, on_hook, "cancelled while running");
    hg_loop_turn(a.l, -1);
    assert_int_equal(a.runs, 1);
    hg_loop_turn(a.l, -1); /* -1 would hang if it waited */
    assert_int_equal(a.runs, 2);
    hg_loop_defer(a.l, &a.other, on_hook, "o");
    hg_loop_defer_cancel(a.l, &a.d);
    hg_loop_defer_cancel(a.l, &a.d);
    hg_loop_turn(a.l, -1);
    assert_int_equal(a.runs, 2);
    assert_string_equal(trace, "o");
    hg_loop_defer(a.l, &a.d, on_hook, "1"); /* cancel of the last keeps the list's end right */
    hg_loop_defer(a.l, &a.other, on_hook, "2");
    hg_loop_defer_cancel(a.l, &a.other);
    hg_loop_defer(a.l, &a.other, on_hook, "3");
    hg_loop_turn(a.l, -1);
    assert_string_equal(trace, "o13");
}

static void stop_loop(void *arg, struct hg_mono now)
{
    (void)now;
    hg_loop_stop(arg);
}

static void run_ends_by_stop_and_timers_are_not_early(void **state)
{
    struct hg_loop *l = *state;
    struct hg_timer t = {0};
    struct hg_mono start = hg_mono_read();

    hg_timer_start(hg_loop_timers(l), &t, hg_mono_add(start, 5500), stop_loop, l);
    hg_loop_run(l);
    assert_true(hg_mono_sub(hg_mono_read(), start) >= 5500);
    hg_timer_start(hg_loop_timers(l), &t, start, stop_loop, l);
    hg_loop_run(l); /* may run again */
}

static void many_watchers_and_set(void **state)
{
    enum { N = 100 };
    static struct hg_watch w[N];
    static int fds[N];

    for (int i = 0; i < N; i++) {
        fds[i] = ready_fd();
        assert_int_equal(hg_watch_start(*state, &w[i], fds[i], 0, on_reused, NULL), 0);
    }
    hg_loop_turn(*state, 0);
    assert_string_equal(trace, "");
    hg_watch_set(*state, &w[42], HG_IN);
    hg_loop_turn(*state, 1000);
    assert_string_equal(trace, "c");
    for (int i = 0; i < N; i++) {
        hg_watch_stop(*state, &w[i]);
        close(fds[i]);
    }
    assert_int_equal(hg_watch_start(*state, &w[0], fds[0], HG_IN, on_reused, NULL), -HG_E_SYS);
    assert_int_equal(w[0].slot, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(phases_in_order),
        T(a_stopped_watcher_gets_no_call_in_this_turn),
        T(a_class_gets_id_and_generation),
        T(the_end_of_a_peer_is_told_beside_its_last_bytes),
        T(deferring_again_is_for_the_next_turn_which_does_not_wait),
        T(run_ends_by_stop_and_timers_are_not_early),
        T(many_watchers_and_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
