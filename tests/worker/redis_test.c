/* One link to Redis, against a real server and against peers that misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/err.h"
#include "tests/worker/redis_server.h"
#include "worker/redis.h"

struct seen {
    unsigned ups, downs, replies, lost, messages, subscribed;
    char why[256];
    struct hg_redis_reply last;
    char text[64];
};
static struct hg_loop *loop;

static void on_up(void *ctx)
{
    ((struct seen *)ctx)->ups++;
}

static void on_down(void *ctx, const char *why)
{
    struct seen *s = ctx;
    s->downs++;
    snprintf(s->why, sizeof s->why, "%s", why);
}

static void on_reply(void *ctx, const struct hg_redis_reply *reply)
{
    struct seen *s = ctx;
    if (!reply) {
        s->lost++;
        return;
    }
    s->replies++;
    s->last = *reply;
    snprintf(s->text, sizeof s->text, "%.*s", HG_SLICE_ARG(reply->text));
}

static struct hg_redis *open_link(struct seen *s, const char *host, int port, const char *password)
{
    struct hg_redis_spec spec = {.loop = loop,
                                 .probe_every = 50 * HG_MS,
                                 .answer_timeout = 250 * HG_MS,
                                 .on_up = on_up,
                                 .on_down = on_down,
                                 .ctx = s};
    snprintf(spec.url.host, sizeof spec.url.host, "%s", host);
    snprintf(spec.url.password, sizeof spec.url.password, "%s", password);
    spec.url.port = (uint16_t)port;
    memset(s, 0, sizeof *s);
    return hg_redis_new(&spec);
}

static int command(struct hg_redis *r, struct seen *s, const char *a, const char *b, const char *c)
{
    struct hg_slice argv[] = {hg_slice_str(a), hg_slice_str(b), hg_slice_str(c)};
    return hg_redis_command(r, argv, c ? 3 : b ? 2 : 1, on_reply, s);
}

static void test_commands(void **state)
{
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    assert_false(hg_redis_is_up(r));
    assert_int_equal(command(r, &s, "PING", NULL, NULL), -HG_E_AGAIN);
    TURN_UNTIL(loop, s.ups == 1);
    assert_int_equal(command(r, &s, "SET", "k", "value"), 0);
    assert_true(hg_redis_inflight(r) > 9);
    TURN_UNTIL(loop, s.replies == 1);
    assert_int_equal(hg_redis_inflight(r), 0);
    assert_string_equal(s.text, "OK");
    assert_int_equal(command(r, &s, "GET", "k", NULL), 0);
    assert_int_equal(command(r, &s, "INCR", "n", NULL), 0);
    TURN_UNTIL(loop, s.replies == 3);
    assert_int_equal(s.last.integer, 1);
    assert_int_equal(command(r, &s, "INCR", "k", NULL), 0);
    TURN_UNTIL(loop, s.replies == 4);
    assert_true(s.last.is_error);
    assert_int_equal(s.downs, 0);
    hg_redis_free(r);
    server_stop(&srv);
}

/* What array replies hold, written down: what on_array was given lives no longer than its call. */
struct drawn {
    char text[256];
    unsigned replies;
};

static void draw(char *out, size_t cap, const struct hg_redis_reply *r)
{
    size_t n = strlen(out);
    switch (r->kind) {
    case HG_REDIS_NIL:
        snprintf(out + n, cap - n, "nil ");
        break;
    case HG_REDIS_INTEGER:
        snprintf(out + n, cap - n, "%lld ", (long long)r->integer);
        break;
    case HG_REDIS_ARRAY:
        snprintf(out + n, cap - n, "[ ");
        for (size_t i = 0; i < r->count; i++) {
            struct hg_redis_reply item = hg_redis_item(r, i);
            draw(out, cap, &item);
        }
        n = strlen(out);
        snprintf(out + n, cap - n, "] ");
        break;
    default:
        snprintf(out + n, cap - n, "%s\"%.*s\" ", r->is_error ? "error " : "",
                 HG_SLICE_ARG(r->text));
    }
}

static void on_drawn(void *ctx, const struct hg_redis_reply *reply)
{
    struct drawn *d = ctx;
    d->text[0] = 0;
    if (reply)
        draw(d->text, sizeof d->text, reply);
    else
        strcpy(d->text, "lost");
    d->replies++;
}

static void test_arrays(void **state)
{
    static const struct {
        const char *lua, *is;
    } rows[] = {
        {"return {}", "[ ] "},
        {"return false", "nil "},
        {"return ''", "\"\" "},
        {"return {1, 'a', '', {2, {'b'}, {}}, false, 3}",
         "[ 1 \"a\" \"\" [ 2 [ \"b\" ] [ ] ] nil 3 ] "},
        {"return {redis.error_reply('OOPS x'), redis.status_reply('FINE')}",
         "[ error \"OOPS x\" \"FINE\" ] "},
    };
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    struct drawn d = {0};
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.ups == 1);
    for (unsigned i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_slice argv[] = {HG_SLICE_LIT("EVAL"), hg_slice_str(rows[i].lua),
                                  HG_SLICE_LIT("0")};
        assert_int_equal(hg_redis_command(r, argv, 3, on_drawn, &d), 0);
        TURN_UNTIL(loop, d.replies == i + 1);
        assert_string_equal(d.text, rows[i].is);
    }
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_item_of_no_array_is_nil(void **state)
{
    (void)state;
    struct hg_redis_reply r = {.kind = HG_REDIS_INTEGER, .integer = 3};
    assert_int_equal(hg_redis_item(&r, 0).kind, HG_REDIS_NIL);
    r = (struct hg_redis_reply){.kind = HG_REDIS_ARRAY, .count = 0};
    assert_int_equal(hg_redis_item(&r, 0).kind, HG_REDIS_NIL);
}

static void test_scripts(void **state)
{
    (void)state;
    static struct hg_redis_script script = {
        .source = "return {redis.call('RPUSH', KEYS[1], unpack(ARGV)), redis.call('LINDEX', "
                  "KEYS[1], -1), #KEYS}"};
    struct redis_server srv = {0};
    struct seen s;
    struct drawn d = {0};
    struct hg_slice argv[101] = {HG_SLICE_LIT("list")};
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    for (int i = 1; i < 101; i++) /* more than find place on the stack; with a NUL, and empty */
        argv[i] = i % 2 ? hg_slice_of("a\0b", 3) : hg_slice_of("", 0);
    argv[100] = HG_SLICE_LIT("end");
    assert_int_equal(hg_redis_eval(r, &script, 1, argv, 101, on_drawn, &d), -HG_E_AGAIN);
    TURN_UNTIL(loop, s.ups == 1);
    assert_int_equal(hg_redis_eval(r, &script, 1, argv, 101, on_drawn, &d), 0); /* by EVAL */
    TURN_UNTIL(loop, d.replies == 1);
    assert_string_equal(d.text, "[ 100 \"end\" 1 ] ");
    assert_int_equal(strlen(script.sha), 40);
    assert_int_equal(hg_redis_eval(r, &script, 1, argv, 101, on_drawn, &d), 0); /* by EVALSHA */
    TURN_UNTIL(loop, d.replies == 2);
    assert_string_equal(d.text, "[ 200 \"end\" 1 ] ");
    assert_int_equal(command(r, &s, "SCRIPT", "FLUSH", NULL), 0);
    assert_int_equal(hg_redis_eval(r, &script, 1, argv, 101, on_drawn, &d), 0);
    assert_int_equal(hg_redis_eval(r, &script, 1, argv, 101, on_drawn, &d), 0); /* behind it */
    TURN_UNTIL(loop, d.replies == 4);
    assert_string_equal(d.text, "[ 400 \"end\" 1 ] ");
    assert_int_equal(hg_redis_inflight(r), 0);
    assert_int_equal(s.downs, 0);
    hg_redis_free(r);
    server_stop(&srv);
}

/* The script's own errors are the caller's, and a link lost before the source could be sent says
 * so. */
static void test_scripts_fail(void **state)
{
    (void)state;
    static struct hg_redis_script script = {.source = "return redis.call('INCR', KEYS[1])"};
    struct redis_server srv = {0};
    struct seen s;
    struct drawn d = {0};
    struct hg_slice key = HG_SLICE_LIT("k");
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.ups == 1);
    assert_int_equal(command(r, &s, "SET", "k", "text"), 0);
    assert_int_equal(hg_redis_eval(r, &script, 1, &key, 1, on_drawn, &d), 0);
    TURN_UNTIL(loop, d.replies == 1);
    assert_non_null(strstr(d.text, "not an integer"));
    kill(srv.pid, SIGSTOP);
    assert_int_equal(hg_redis_eval(r, &script, 1, &key, 1, on_drawn, &d), 0);
    TURN_UNTIL(loop, d.replies == 2);
    assert_string_equal(d.text, "lost");
    assert_int_equal(hg_redis_inflight(r), 0);
    assert_int_equal(hg_redis_eval(r, &script, 1, &key, 1, on_drawn, &d), -HG_E_AGAIN);
    kill(srv.pid, SIGCONT);
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_probes_do_not_disturb(void **state)
{
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    struct hg_mono end = hg_mono_add(hg_mono_read(), 700 * HG_MS); /* a dozen probes */
    TURN_UNTIL(loop, hg_mono_reached(hg_mono_read(), end));
    assert_int_equal(s.ups, 1);
    assert_int_equal(s.downs, 0);
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_auth_and_select(void **state)
{
    (void)state;
    struct redis_server srv = {.password = "open sesame"};
    struct seen s;
    struct hg_redis_spec spec = {.loop = loop, .on_up = on_up, .on_down = on_down, .ctx = &s};
    server_start(&srv);
    memset(&s, 0, sizeof s);
    strcpy(spec.url.host, "127.0.0.1");
    strcpy(spec.url.user, "default");
    strcpy(spec.url.password, srv.password);
    spec.url.port = (uint16_t)srv.port;
    spec.url.db = 3;
    struct hg_redis *r = hg_redis_new(&spec);
    TURN_UNTIL(loop, s.ups == 1);
    assert_int_equal(command(r, &s, "CLIENT", "INFO", NULL), 0);
    TURN_UNTIL(loop, s.replies == 1);
    assert_int_equal(s.downs, 0);
    hg_redis_free(r);
    spec.url.db = 4000; /* there are 16 */
    memset(&s, 0, sizeof s);
    r = hg_redis_new(&spec);
    TURN_UNTIL(loop, s.downs == 2);
    assert_non_null(strstr(s.why, "DB index"));
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_auth_refused(void **state)
{
    (void)state;
    struct redis_server srv = {.password = "open sesame"};
    struct seen s;
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "wrong");
    TURN_UNTIL(loop, s.downs == 2); /* and it tries again */
    assert_non_null(strstr(s.why, "WRONGPASS"));
    assert_int_equal(s.ups, 0);
    hg_redis_free(r);
    r = open_link(&s, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.downs == 1);
    assert_non_null(strstr(s.why, "NOAUTH"));
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_restart(void **state)
{
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.ups == 1);
    server_stop(&srv);
    assert_int_equal(command(r, &s, "PING", NULL, NULL), 0);
    TURN_UNTIL(loop, s.downs >= 3); /* lost once, refused since */
    assert_int_equal(s.lost, 1);
    assert_int_equal(hg_redis_inflight(r), 0);
    assert_int_equal(command(r, &s, "PING", NULL, NULL), -HG_E_AGAIN);
    server_start(&srv);
    TURN_UNTIL(loop, s.ups == 2);
    assert_int_equal(command(r, &s, "PING", NULL, NULL), 0);
    TURN_UNTIL(loop, s.replies == 1);
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_names_are_looked_up(void **state)
{
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "localhost", srv.port, "");
    TURN_UNTIL(loop, s.ups == 1);
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_unknown_name(void **state)
{
    (void)state;
    struct seen s;
    struct hg_redis *r = open_link(&s, "no-such-host.invalid", 1, "");
    TURN_UNTIL(loop, s.downs == 2);
    assert_int_equal(s.ups, 0);
    hg_redis_free(r);
}

/* Accepts, says nothing: seen at the hand-shake, by its deadline. */
static void test_silent_server(void **state)
{
    (void)state;
    struct seen s;
    int port, fd = listen_free(&port);
    struct hg_redis *r = open_link(&s, "127.0.0.1", port, "");
    struct hg_mono start = hg_mono_read();
    TURN_UNTIL(loop, s.downs == 2);
    assert_string_equal(s.why, "no answer to the hand-shake");
    assert_true(hg_mono_sub(hg_mono_read(), start) >= 500 * HG_MS);
    hg_redis_free(r);
    close(fd);
}

/* Much was sent before a probe, and is answered bit by bit for longer than a probe may take. */
static void test_busy_is_not_silent(void **state)
{
    enum { CALLS = 30 };
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    static char rest[40000]; /* more than the server reads at once */
    memset(rest, 'x', sizeof rest);
    struct hg_slice spin[] = {
        HG_SLICE_LIT("EVAL"),
        HG_SLICE_LIT("local t = redis.call('TIME') repeat local n = redis.call('TIME') "
                     "until (n[1] - t[1]) * 1000000 + n[2] - t[2] > 30000"),
        HG_SLICE_LIT("0"), hg_slice_of(rest, sizeof rest)};
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.ups == 1);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(hg_redis_command(r, spin, 4, on_reply, &s), 0);
    TURN_UNTIL(loop, s.replies == CALLS || s.downs > 0);
    assert_int_equal(s.downs, 0);
    hg_redis_free(r);
    server_stop(&srv);
}

/* A link that goes dead while it is up: the server is stopped, its kernel still takes bytes. */
static void test_silent_later(void **state)
{
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    server_start(&srv);
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.ups == 1);
    kill(srv.pid, SIGSTOP);
    TURN_UNTIL(loop, s.downs == 1);
    assert_string_equal(s.why, "no answer to a probe");
    kill(srv.pid, SIGCONT);
    TURN_UNTIL(loop, s.ups == 2);
    hg_redis_free(r);
    server_stop(&srv);
}

static void test_not_redis(void **state)
{
    static const char *const says[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n",
                                       "-ERR max number of clients reached\r\n", ""};
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(says); i++) {
        struct seen s;
        int port, fd = listen_free(&port);
        struct hg_redis *r = open_link(&s, "127.0.0.1", port, "");
        hg_loop_turn(loop, 0);
        hg_loop_turn(loop, 0);
        int peer = accept(fd, NULL, NULL);
        assert_true(write(peer, says[i], strlen(says[i])) >= 0);
        shutdown(peer, SHUT_WR);
        TURN_UNTIL(loop, s.downs == 1);
        assert_int_equal(s.ups, 0);
        assert_true(s.why[0]);
        hg_redis_free(r);
        close(peer);
        close(fd);
    }
}

static void on_subscribed(void *ctx)
{
    ((struct seen *)ctx)->subscribed++;
}

static void on_message(void *ctx, unsigned channel, struct hg_slice m)
{
    struct seen *s = ctx;
    s->messages++;
    snprintf(s->text, sizeof s->text, "%u %.*s", channel, HG_SLICE_ARG(m));
}

static void test_subscriber(void **state)
{
    (void)state;
    static const char *const channels[] = {"c", "d"};
    struct redis_server srv = {0};
    struct seen s, p;
    server_start(&srv);
    struct hg_redis *sub = open_link(&s, "127.0.0.1", srv.port, "");
    struct hg_redis *pub = open_link(&p, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.ups && p.ups);
    assert_int_equal(hg_redis_subscribe(sub, channels, 2, on_subscribed, on_message, &s), 0);
    TURN_UNTIL(loop, s.subscribed);
    for (unsigned i = 1; i <= 20; i++) { /* over many probes */
        assert_int_equal(command(pub, &p, "PUBLISH", channels[i % 2], i % 2 ? "odd" : "even"), 0);
        TURN_UNTIL(loop, s.messages == i);
        assert_string_equal(s.text, i % 2 ? "1 odd" : "0 even");
        struct hg_mono end = hg_mono_add(hg_mono_read(), 30 * HG_MS);
        TURN_UNTIL(loop, hg_mono_reached(hg_mono_read(), end));
    }
    assert_int_equal(s.subscribed, 1);
    assert_int_equal(s.downs + p.downs, 0);
    kill(srv.pid, SIGSTOP);
    TURN_UNTIL(loop, s.downs == 1); /* a silent subscription is seen too */
    assert_string_equal(s.why, "no answer to a probe");
    hg_redis_free(sub);
    hg_redis_free(pub);
    server_stop(&srv);
}

static void test_free_at_any_time(void **state)
{
    (void)state;
    struct redis_server srv = {0};
    struct seen s;
    server_start(&srv);
    for (int turns = 0; turns < 8; turns++) {
        for (int named = 0; named < 2; named++) {
            struct hg_redis *r = open_link(&s, named ? "localhost" : "127.0.0.1", srv.port, "");
            for (int i = 0; i < turns; i++)
                hg_loop_turn(loop, 5);
            hg_redis_free(r);
        }
    }
    struct hg_redis *r = open_link(&s, "127.0.0.1", srv.port, "");
    TURN_UNTIL(loop, s.ups == 1);
    assert_int_equal(command(r, &s, "PING", NULL, NULL), 0);
    hg_redis_free(r);
    assert_int_equal(s.lost, 1);
    assert_int_equal(s.downs, 0); /* who frees it knows */
    hg_redis_free(NULL);
    server_stop(&srv);
}

static int make_loop(void **state)
{
    (void)state;
    loop = hg_loop_new();
    return 0;
}

static int free_loop(void **state)
{
    (void)state;
    hg_loop_free(loop);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_loop, free_loop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_commands),
        T(test_arrays),
        T(test_item_of_no_array_is_nil),
        T(test_scripts),
        T(test_scripts_fail),
        T(test_probes_do_not_disturb),
        T(test_auth_and_select),
        T(test_auth_refused),
        T(test_restart),
        T(test_names_are_looked_up),
        T(test_unknown_name),
        T(test_silent_server),
        T(test_busy_is_not_silent),
        T(test_silent_later),
        T(test_not_redis),
        T(test_subscriber),
        T(test_free_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
