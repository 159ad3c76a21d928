/*
 * The admin port and the control socket over real sockets: paths, methods, statuses; and what
 * hostile peers may not do: trickle, hold connections, send much, send nonsense, not read. Time is
 * the test's own: no deadline is waited for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/sys/sock.h"
#include "master/admin.h"

static struct hg_httpd d;
static struct hg_admin ad;
static struct hg_polls ps;
static struct hg_mono now;
static uint16_t port;
static bool ready;
static size_t big;
static char commanded[64];
static struct hg_host *host;
static struct hg_shares shares;
static struct hg_slot slots[2];
static uint32_t seats[2];
static struct hg_conf *conf;

static void fake_status(void *ctx, struct hg_status *st)
{
    (void)ctx;
    slots[0].state = slots[1].state = ready ? HG_SLOT_SERVING : HG_SLOT_WAITING;
    *st = (struct hg_status){.host = host,
                             .conf = conf,
                             .slots = slots,
                             .slot_seat = seats,
                             .shares = &shares,
                             .now = now,
                             .started = now,
                             .host_id = "a \"quoted\"\nname",
                             .clients = "127.0.0.1:7000",
                             .admin = ""};
}

static void fake_metrics(void *ctx, struct hg_buf *out)
{
    (void)ctx;
    hg_buf_adds(out, "headgate_x 1\n");
    for (size_t i = 0; i < big; i++)
        hg_buf_adds(out, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\n#");
}

static int fake_command(void *ctx, struct hg_slice verb, struct hg_slice arg, struct hg_buf *reply)
{
    (void)ctx;
    snprintf(commanded, sizeof commanded, "%.*s(%.*s)", HG_SLICE_ARG(verb), HG_SLICE_ARG(arg));
    hg_buf_adds(reply, "done\n");
    return 200;
}

static char published[64];

static int fake_publish(void *ctx, struct hg_slice body, uint64_t *later, struct hg_buf *reply)
{
    (void)ctx;
    snprintf(published, sizeof published, "%.*s", HG_SLICE_ARG(body));
    if (hg_slice_is(body, "later")) {
        *later = 77;
        return 0;
    }
    hg_buf_adds(reply, "at once\n");
    return 503;
}

/* Rounds of the loop until nothing is ready any more. */
static void turn(void)
{
    for (int i = 0; i < 20; i++) {
        hg_polls_reset(&ps);
        hg_httpd_expire(&d, now);
        hg_httpd_prepare(&d, &ps, now);
        assert_int_equal(hg_polls_wait(&ps, 1000), 0);
    }
}

static int dial(void)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

/* What has come so far; "" when the server closed without a word, NULL when nothing came and it is
 * open. */
static const char *hear(int fd)
{
    static char text[65536];
    size_t n = 0;
    ssize_t got = -1;
    bool open = true;
    while (open && (got = recv(fd, text + n, sizeof text - 1 - n, MSG_DONTWAIT)) != -1) {
        open = got > 0;
        n += (size_t)got;
    }
    text[n] = '\0';
    return n == 0 && open ? NULL : text;
}

static const char *ask(const char *request)
{
    int fd = dial();
    say(fd, request);
    turn();
    const char *text = hear(fd);
    close(fd);
    turn();
    assert_non_null(text);
    return text;
}

static void expect(const char *method_path, const char *status)
{
    char request[256];
    snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             method_path);
    const char *text = ask(request);
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, status, 3) != 0)
        fail_msg("%s: wanted %s, got %.60s", method_path, status, text);
}

static int open_conns(void)
{
    int n = 0;
    for (int i = 0; i < HG_HTTPD_CONNS; i++)
        n += d.conns[i].fd >= 0;
    return n;
}

static void begin(hg_httpd_fn fn)
{
    struct hg_addr a;
    const char *why;
    assert_int_equal(hg_addr_parse_port(HG_SLICE_LIT("127.0.0.1:0"), &a, &why), 0);
    int fd = hg_sock_listen(&a, 128, false);
    assert_true(fd >= 0);
    assert_int_equal(hg_sock_local(fd, &a), 0);
    port = hg_addr_port(&a);
    now = (struct hg_mono){1000 * HG_S};
    ready = false;
    big = 0;
    commanded[0] = '\0';
    ad = (struct hg_admin){fake_status, fake_metrics, fake_command, fake_publish, NULL};
    hg_httpd_init(&d, fd, fn, &ad);
}

static int set_up_admin(void **state)
{
    (void)state;
    begin(hg_admin_answer);
    return 0;
}

static int set_up_control(void **state)
{
    (void)state;
    begin(hg_control_answer);
    d.body_max = 16;
    published[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hg_httpd_fini(&d);
    return 0;
}

static void test_paths_and_methods(void **state)
{
    (void)state;
    expect("GET /livez", "200");
    expect("HEAD /livez", "200");
    expect("GET /metrics", "200");
    expect("GET /status", "200");
    expect("GET /readyz", "503");
    expect("GET /", "404");
    expect("GET /metricsx", "404");
    expect("GET /metrics?x=1", "200");
    expect("POST /metrics", "405");
    expect("DELETE /livez", "405");
    expect("POST /nothing", "404");
    assert_non_null(strstr(ask("PUT /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), "Allow: GET, HEAD\r\n"));
}

static void test_the_admin_port_changes_nothing(void **state)
{
    (void)state;
    expect("POST /stop", "404");
    expect("GET /stop", "404");
    expect("POST /log-level?level=debug", "404");
    assert_string_equal(commanded, "");
}

static void test_the_control_socket_commands(void **state)
{
    (void)state;
    expect("POST /drain?worker=3", "200");
    assert_string_equal(commanded, "drain(3)");
    expect("POST /reload", "200");
    assert_string_equal(commanded, "reload()");
    expect("GET /stop", "405");
    assert_string_equal(commanded, "reload()");
    expect("GET /status", "200");
}

static void test_a_body_answered_at_once_or_later(void **state)
{
    (void)state;
    const char *text = ask("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    assert_non_null(strstr(text, "at once\n"));
    assert_string_equal(published, "body");

    int fd = dial(), other = dial();
    for (const char *p = "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nlater"; *p;
         p++) {
        assert_null(hear(fd));
        say(fd, (char[]){*p, '\0'});
        turn();
    }
    assert_string_equal(published, "later");
    assert_null(hear(fd));
    hg_httpd_answer_later(&d, 76, 200, "application/json", HG_SLICE_LIT("not mine"));
    hg_httpd_answer_later(&d, 77, 200, "application/json", HG_SLICE_LIT("{}"));
    hg_httpd_answer_later(&d, 77, 200, "application/json", HG_SLICE_LIT("once"));
    turn();
    text = hear(fd);
    assert_int_equal(strncmp(text, "HTTP/1.1 200", 12), 0);
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n{}");
    close(fd);

    say(other, "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nlater");
    turn();
    now = hg_mono_add(now, HG_HTTPD_WAIT);
    turn();
    text = hear(other);
    assert_int_equal(strncmp(text ? text : "", "HTTP/1.1 504", 12), 0);
    close(other);
}

static void test_who_waits_may_go(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nlater");
    turn();
    assert_int_equal(open_conns(), 1);
    close(fd);
    turn();
    hg_httpd_answer_later(&d, 77, 200, "application/json", HG_SLICE_LIT("{}"));
    turn();
    now = hg_mono_add(now, HG_HTTPD_LINGER);
    turn();
    assert_int_equal(open_conns(), 0);
    assert_non_null(strstr(ask("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n"),
                           "HTTP/1.1 413 "));
    expect("GET /publish", "405");
}

static void test_head_has_no_body(void **state)
{
    (void)state;
    const char *text = ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(text, "Content-Length: 13\r\n"));
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
}

static void test_readiness_gives_reasons(void **state)
{
    (void)state;
    const char *text = ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(text, "worker 0: waiting\n"));
    assert_non_null(strstr(text, "worker 1: waiting\n"));
    assert_non_null(strstr(text, "share 0: nobody consumes it\n"));
    assert_non_null(strstr(text, "positions of the Kafka partitions"));
    text = ask("GET /readyz HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n");
    assert_non_null(strstr(text, "Content-Type: application/json"));
    assert_non_null(strstr(text, "{\"ready\":false,\"missing\":[\"worker 0: waiting\","));

    ready = true;
    for (uint32_t i = 0; i < 2; i++) {
        shares.shares[i].phase = HG_SHARE_HELD;
        shares.shares[i].holder = i;
        atomic_store(&host->seats[i].ready, HG_READY_ACCEPT | HG_READY_KAFKA | HG_READY_RPC);
    }
    for (uint32_t t = 0; t < host->ntopics; t++)
        hg_host_topic_seen(host, t, 0);
    expect("GET /readyz", "200");
    atomic_store(&host->seats[1].ready, HG_READY_ACCEPT);
    assert_non_null(strstr(ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"),
                           "worker 1: no Kafka broker answers\n"));
    atomic_store(&host->draining, 1);
    assert_non_null(strstr(ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), "shutting down"));
    expect("GET /livez", "200");
    atomic_store(&host->draining, 0);
}

static void test_status_escapes_what_it_prints(void **state)
{
    (void)state;
    assert_non_null(strstr(ask("GET /status HTTP/1.1\r\nHost: x\r\n\r\n"),
                           "\"host\":\"a \\\"quoted\\\"\\u000aname\""));
    assert_non_null(strstr(ask("GET /status?table HTTP/1.1\r\nHost: x\r\n\r\n"), "restarts"));
}

static void test_keep_alive_and_pipelining(void **state)
{
    (void)state;
    int fd = dial();
    say(fd,
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /li");
    turn();
    const char *text = hear(fd);
    assert_non_null(strstr(text, "alive\n"));
    assert_non_null(strstr(text, "headgate_x 1\n"));
    say(fd, "vez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    turn();
    assert_non_null(strstr(hear(fd), "alive\n"));
    close(fd);
}

static void test_a_request_byte_by_byte(void **state)
{
    (void)state;
    int fd = dial();
    for (const char *p = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"; *p; p++) {
        assert_null(hear(fd));
        say(fd, (char[]){*p, '\0'});
        turn();
    }
    assert_non_null(strstr(hear(fd), "alive\n"));
    close(fd);
}

static void test_a_trickling_request_has_one_deadline(void **state)
{
    (void)state;
    int fd = dial(), silent = dial();
    struct hg_mono when;
    turn();
    say(fd, "GET /livez HTTP/1.1\r\n");
    turn();
    assert_true(hg_httpd_next(&d, &when));
    for (int i = 0; i < 4; i++) {
        now = hg_mono_add(now, HG_S);
        say(fd, "X: y\r\n");
        turn();
        assert_null(hear(fd));
    }
    assert_int_equal(when.us, 1000 * HG_S + HG_HTTPD_READ); /* no byte moved it */
    now = when;
    turn();
    const char *text = hear(fd);
    assert_int_equal(strncmp(text ? text : "", "HTTP/1.1 408", 12), 0);
    assert_string_equal(hear(silent), ""); /* said nothing, is told nothing */
    now = hg_mono_add(now, HG_HTTPD_LINGER);
    turn();
    assert_int_equal(open_conns(), 0);
    close(fd);
    close(silent);
}

static void test_heads_too_big_and_bodies(void **state)
{
    (void)state;
    char head[HG_HTTPD_HEAD + 1024] = "GET /livez HTTP/1.1\r\nHost: x\r\nX: ";
    memset(head + strlen(head), 'y', HG_HTTPD_HEAD);
    assert_int_equal(strncmp(ask(head), "HTTP/1.1 431", 12), 0);
    assert_int_equal(
        strncmp(ask("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
                "HTTP/1.1 413", 12),
        0);
    assert_int_equal(strncmp(ask("nonsense\r\n\r\n"), "HTTP/1.1 400", 12), 0);
    assert_int_equal(strncmp(ask("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), "HTTP/1.1 505", 12), 0);
    assert_int_equal(strncmp(ask("GET /livez HTTP/1.1\r\n\r\n"), "HTTP/1.1 400", 12), 0);
}

static void test_more_connections_than_rows(void **state)
{
    (void)state;
    int fds[HG_HTTPD_CONNS + 20];
    for (size_t i = 0; i < HG_COUNTOF(fds); i++) {
        fds[i] = dial();
        now.us++;
        turn();
        assert_true(open_conns() <= HG_HTTPD_CONNS);
    }
    assert_string_equal(hear(fds[0]), ""); /* the oldest made room */
    assert_null(hear(fds[HG_COUNTOF(fds) - 1]));
    say(fds[HG_COUNTOF(fds) - 1], "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    turn();
    assert_non_null(strstr(hear(fds[HG_COUNTOF(fds) - 1]), "alive\n"));
    for (size_t i = 0; i < HG_COUNTOF(fds); i++)
        close(fds[i]);
}

static void test_a_peer_that_does_not_read_is_dropped(void **state)
{
    (void)state;
    big = 400000; /* 25 MB: more than the kernel takes */
    int fd = dial();
    say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    turn();
    assert_int_equal(open_conns(), 1);
    now = hg_mono_add(now, HG_HTTPD_WRITE);
    turn();
    assert_int_equal(open_conns(), 0);
    close(fd);
}

static void test_a_big_answer_arrives_whole(void **state)
{
    (void)state;
    char chunk[65536];
    size_t got = 0, want = 13 + 100000 * 64;
    ssize_t n;
    big = 100000;
    int fd = dial();
    say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for (;;) {
        turn();
        while ((n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
            got += (size_t)n;
        if (n == 0)
            break;
    }
    assert_true(got > want && got < want + 400);
    close(fd);
}

#define A(f) cmocka_unit_test_setup_teardown(f, set_up_admin, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        A(test_paths_and_methods),
        A(test_the_admin_port_changes_nothing),
        cmocka_unit_test_setup_teardown(test_a_body_answered_at_once_or_later, set_up_control,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_who_waits_may_go, set_up_control, tear_down),
        cmocka_unit_test_setup_teardown(test_the_control_socket_commands, set_up_control,
                                        tear_down),
        A(test_head_has_no_body),
        A(test_readiness_gives_reasons),
        A(test_status_escapes_what_it_prints),
        A(test_keep_alive_and_pipelining),
        A(test_a_request_byte_by_byte),
        A(test_a_trickling_request_has_one_deadline),
        A(test_heads_too_big_and_bodies),
        A(test_more_connections_than_rows),
        A(test_a_peer_that_does_not_read_is_dropped),
        A(test_a_big_answer_arrives_whole),
    };
    const char *why;
    struct hg_host_spec spec = {.nslots = 2, .ring_size = 4096, .topics = "a,b"};
    if (hg_host_new(&spec, &host, &why) < 0)
        return 1;
    conf = hg_conf_defaults();
    hg_shares_init(&shares, 2, host->nseats, now);
    seats[1] = 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    hg_polls_fini(&ps);
    hg_conf_free(conf);
    hg_host_free(host);
    return failed;
}
