/* The backplane over a real redis-server: two hosts' buses, its caps, and what happens when the
 * server goes, stalls or refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "tests/worker/redis_server.h"
#include "worker/bus.h"

struct side { /* one host's end */
    struct hg_conf conf;
    struct hg_metrics metrics;
    char url[128];
    struct hg_bus *bus;
    struct hg_buf last;
    unsigned messages, gaps, ups, downs;
    enum hg_bus_channel channel; /* of the last message */
};

struct rig {
    struct hg_loop *loop;
    struct redis_server srv;
    struct side a, b;
};

static void on_message(void *ctx, enum hg_bus_channel channel, struct hg_slice text)
{
    struct side *s = ctx;
    s->messages++;
    s->channel = channel;
    hg_buf_reset(&s->last);
    hg_buf_add_slice(&s->last, text);
}

static void on_state(void *ctx, bool up)
{
    struct side *s = ctx;
    assert_int_equal(hg_bus_is_up(s->bus), up);
    s->ups += up;
    s->downs += !up;
}

static void on_gap(void *ctx)
{
    ((struct side *)ctx)->gaps++;
}

static void open_side(struct rig *rig, struct side *s, const char *password)
{
    snprintf(s->url, sizeof s->url, "redis://:%s@127.0.0.1:%d", password, rig->srv.port);
    s->conf.backplane = (char[]){"redis"};
    s->conf.backplane_url = s->url;
    s->conf.backplane_inflight = 1 << 20;
    struct hg_bus_spec spec = {.loop = rig->loop,
                               .conf = &s->conf,
                               .metrics = &s->metrics,
                               .on_message = on_message,
                               .on_state = on_state,
                               .on_gap = on_gap,
                               .ctx = s,
                               .probe_every = 100 * HG_MS,
                               .answer_timeout = 300 * HG_MS};
    s->bus = hg_bus_new(&spec);
    assert_non_null(s->bus);
    s->conf.backplane = NULL;
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    rig->loop = hg_loop_new();
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    hg_bus_free(rig->a.bus);
    hg_bus_free(rig->b.bus);
    hg_buf_fini(&rig->a.last);
    hg_buf_fini(&rig->b.last);
    server_stop(&rig->srv);
    hg_loop_free(rig->loop);
    free(rig);
    return 0;
}

static void both_up(struct rig *rig)
{
    server_start(&rig->srv);
    open_side(rig, &rig->a, "");
    open_side(rig, &rig->b, "");
    TURN_UNTIL(rig->loop, rig->a.ups == 1 && rig->b.ups == 1);
}

static void test_publish_and_receive(void **state)
{
    struct rig *rig = *state;
    both_up(rig);
    assert_int_equal(HG_GET(&rig->a.metrics, backplane_up), 1);
    assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, HG_SLICE_LIT("{\"x\":\"a\0b\"}")),
                     0);
    TURN_UNTIL(rig->loop, rig->b.messages == 1 && rig->a.messages == 1);
    assert_true(hg_slice_eq(hg_buf_slice(&rig->b.last), HG_SLICE_LIT("{\"x\":\"a\0b\"}")));
    TURN_UNTIL(rig->loop, HG_GET(&rig->a.metrics, backplane_sent) == 1);
    assert_int_equal(HG_GET(&rig->b.metrics, backplane_received), 1);
    assert_int_equal(HG_GET(&rig->a.metrics, backplane_dropped), 0);
    assert_int_equal(rig->a.gaps + rig->b.gaps, 0);
    assert_int_equal(rig->b.channel, HG_BUS_SHARED);
    assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_PRIVATE, HG_SLICE_LIT("ours")), 0);
    TURN_UNTIL(rig->loop, rig->b.messages == 2);
    assert_int_equal(rig->b.channel, HG_BUS_PRIVATE);
    assert_true(hg_slice_is(hg_buf_slice(&rig->b.last), "ours"));
}

static void test_last_words_leave(void **state)
{
    struct rig *rig = *state;

    both_up(rig);
    for (int i = 0; i < 100; i++)
        assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_PRIVATE, HG_SLICE_LIT("bye")), 0);
    hg_bus_free(rig->a.bus), rig->a.bus = NULL;
    TURN_UNTIL(rig->loop, HG_GET(&rig->b.metrics, backplane_received) == 100);
}

static void test_many_in_order(void **state)
{
    struct rig *rig = *state;
    char text[32];
    both_up(rig);
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(text, sizeof text, "message %d", i);
        assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, hg_slice_of(text, (size_t)n)),
                         0);
    }
    TURN_UNTIL(rig->loop, rig->b.messages == 5000);
    assert_true(hg_slice_is(hg_buf_slice(&rig->b.last), "message 4999"));
    assert_int_equal(HG_GET(&rig->a.metrics, backplane_sent), 5000);
}

static void test_a_large_one(void **state)
{
    struct rig *rig = *state;
    struct hg_slice big = {calloc(1, (1 << 20) - 100), (1 << 20) - 100};
    both_up(rig);
    memset((char *)(uintptr_t)big.p, 'x', big.n);
    assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, big), 0);
    TURN_UNTIL(rig->loop, rig->b.messages == 1);
    assert_true(hg_slice_eq(hg_buf_slice(&rig->b.last), big));
    free((char *)(uintptr_t)big.p);
}

static void test_restart_heals_and_tells(void **state)
{
    struct rig *rig = *state;
    both_up(rig);
    server_stop(&rig->srv);
    TURN_UNTIL(rig->loop, rig->a.downs == 1 && rig->b.downs == 1);
    assert_int_equal(HG_GET(&rig->a.metrics, backplane_up), 0);
    TURN_UNTIL(rig->loop,
               hg_bus_publish(rig->a.bus, HG_BUS_SHARED, HG_SLICE_LIT("lost")) == -HG_E_AGAIN);
    assert_true(HG_GET(&rig->a.metrics, backplane_dropped) >= 1);
    server_start(&rig->srv);
    TURN_UNTIL(rig->loop, rig->a.ups == 2 && rig->b.ups == 2);
    TURN_UNTIL(rig->loop, rig->a.gaps == 1 && rig->b.gaps == 1);
    assert_int_equal(hg_bus_publish(rig->b.bus, HG_BUS_SHARED, HG_SLICE_LIT("again")), 0);
    TURN_UNTIL(rig->loop, rig->a.messages == 1);
    assert_true(hg_slice_is(hg_buf_slice(&rig->a.last), "again"));
}

/* The server kills a slow subscriber by closing its connection: a gap, on a server that never went
 * away. */
static void test_killed_subscription_is_a_gap(void **state)
{
    struct rig *rig = *state;
    both_up(rig);
    struct sockaddr_in a = loopback(rig->srv.port);
    static const char cmd[] = "CLIENT KILL TYPE pubsub\r\n";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(write(fd, cmd, sizeof cmd - 1), sizeof cmd - 1);
    TURN_UNTIL(rig->loop, rig->a.gaps == 1 && rig->b.gaps == 1);
    assert_int_equal(rig->a.ups, 2);
    close(fd);
}

static void test_server_absent_at_start(void **state)
{
    struct rig *rig = *state;
    rig->srv.port = free_port();
    open_side(rig, &rig->a, "");
    assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, HG_SLICE_LIT("x")), -HG_E_AGAIN);
    assert_int_equal(HG_GET(&rig->a.metrics, backplane_dropped), 1);
    for (int i = 0; i < 20; i++)
        hg_loop_turn(rig->loop, 10);
    assert_int_equal(rig->a.ups + rig->a.downs, 0);
    server_start(&rig->srv);
    TURN_UNTIL(rig->loop, rig->a.ups == 1);
    assert_int_equal(rig->a.gaps, 0); /* nothing was heard before, so nothing was missed */
}

/* Accepts and says nothing, at first and later; the bus is down each time and comes back. */
static void test_silent_server(void **state)
{
    struct rig *rig = *state;
    int fd = listen_free(&rig->srv.port);
    open_side(rig, &rig->a, "");
    struct hg_mono end = hg_mono_add(hg_mono_read(), 700 * HG_MS);
    TURN_UNTIL(rig->loop, hg_mono_reached(hg_mono_read(), end));
    assert_int_equal(rig->a.ups, 0);
    close(fd);
    server_start(&rig->srv);
    TURN_UNTIL(rig->loop, rig->a.ups == 1);
    kill(rig->srv.pid, SIGSTOP);
    TURN_UNTIL(rig->loop, rig->a.downs == 1);
    kill(rig->srv.pid, SIGCONT);
    TURN_UNTIL(rig->loop, rig->a.ups == 2); /* a gap only if the listening half was given up too */
}

static void test_auth(void **state)
{
    struct rig *rig = *state;
    rig->srv.password = "pw";
    server_start(&rig->srv);
    open_side(rig, &rig->a, "wrong");
    open_side(rig, &rig->b, "pw");
    TURN_UNTIL(rig->loop, rig->b.ups == 1);
    for (int i = 0; i < 20; i++)
        hg_loop_turn(rig->loop, 10);
    assert_int_equal(rig->a.ups, 0);
    assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, HG_SLICE_LIT("x")), -HG_E_AGAIN);
}

static void test_inflight_is_capped(void **state)
{
    struct rig *rig = *state;
    static char text[10000];
    unsigned sent = 0;
    int rc;
    both_up(rig);
    rig->a.conf.backplane_inflight = 100000; /* an option applied live */
    kill(rig->srv.pid, SIGSTOP);
    while ((rc = hg_bus_publish(rig->a.bus, HG_BUS_SHARED, hg_slice_of(text, sizeof text))) == 0)
        sent++;
    assert_int_equal(rc, -HG_E_FULL);
    assert_int_equal(sent, 9); /* what the protocol adds counts too */
    assert_int_equal(HG_GET(&rig->a.metrics, backplane_dropped), 1);
    kill(rig->srv.pid, SIGCONT);
    TURN_UNTIL(rig->loop, rig->b.messages == sent);
    TURN_UNTIL(rig->loop, HG_GET(&rig->a.metrics, backplane_sent) == sent);
    assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, hg_slice_of(text, sizeof text)), 0);
    rig->a.conf.backplane_inflight = 100;
    assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, hg_slice_of(text, sizeof text)),
                     -HG_E_FULL);
}

/* What the server did not answer when the link was lost counts as dropped, each once. */
static void test_lost_in_flight_is_counted(void **state)
{
    struct rig *rig = *state;
    both_up(rig);
    kill(rig->srv.pid, SIGSTOP);
    for (int i = 0; i < 5; i++)
        assert_int_equal(hg_bus_publish(rig->a.bus, HG_BUS_SHARED, HG_SLICE_LIT("x")), 0);
    TURN_UNTIL(rig->loop, HG_GET(&rig->a.metrics, backplane_dropped) == 5);
    assert_int_equal(HG_GET(&rig->a.metrics, backplane_sent), 0);
}

static void test_none_configured(void **state)
{
    struct rig *rig = *state;
    struct hg_bus_spec spec = {.loop = rig->loop, .conf = &rig->a.conf, .metrics = &rig->a.metrics};
    rig->a.conf.backplane = (char[]){""};
    assert_null(hg_bus_new(&spec));
    rig->a.conf.backplane = NULL;
    assert_null(hg_bus_new(&spec));
    assert_int_equal(hg_bus_publish(NULL, HG_BUS_SHARED, HG_SLICE_LIT("x")), -HG_E_AGAIN);
    assert_false(hg_bus_is_up(NULL));
    hg_bus_free(NULL);
}

static void test_wrong_configuration_stays_local(void **state)
{
    struct rig *rig = *state;
    struct hg_bus_spec spec = {.loop = rig->loop, .conf = &rig->a.conf, .metrics = &rig->a.metrics};
    static char *const wrong[][2] = {{"pigeon", ""}, {"redis", "redis://h:x"}};
    for (size_t i = 0; i < HG_COUNTOF(wrong); i++) {
        rig->a.conf.backplane = wrong[i][0];
        rig->a.conf.backplane_url = wrong[i][1];
        struct hg_bus *bus = hg_bus_new(&spec);
        assert_non_null(bus);
        assert_false(hg_bus_is_up(bus));
        assert_int_equal(hg_bus_publish(bus, HG_BUS_SHARED, HG_SLICE_LIT("x")), -HG_E_AGAIN);
        assert_int_equal(HG_GET(&rig->a.metrics, backplane_dropped), i + 1);
        hg_bus_free(bus);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_publish_and_receive),
        T(test_last_words_leave),
        T(test_many_in_order),
        T(test_a_large_one),
        T(test_restart_heals_and_tells),
        T(test_killed_subscription_is_a_gap),
        T(test_server_absent_at_start),
        T(test_silent_server),
        T(test_auth),
        T(test_inflight_is_capped),
        T(test_lost_in_flight_is_counted),
        T(test_none_configured),
        T(test_wrong_configuration_stays_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
