/* Sockets: address text, networks, a taken port, the group's choice of live sockets, Unix
 * sockets. */
#include "tests/support/hgtest.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "common/base/err.h"
#include "common/sys/sock.h"

static struct hg_addr addr(const char *text)
{
    struct hg_addr a;
    const char *why;

    if (hg_addr_parse_port(hg_slice_str(text), &a, &why) < 0)
        fail_msg("%s: %s", text, why);
    return a;
}

static void address_text_there_and_back(void **state)
{
    static const struct {
        const char *in, *out, *ip;
    } good[] = {
        {"127.0.0.1:7001", "127.0.0.1:7001", "127.0.0.1"},
        {" 0.0.0.0:0 ", "0.0.0.0:0", "0.0.0.0"},
        {"[::1]:65535", "[::1]:65535", "::1"},
        {"[::]:80", "[::]:80", "::"},
        {"[2001:DB8:0:0:0:0:0:1]:1", "[2001:db8::1]:1", "2001:db8::1"},
        {"[::ffff:10.1.2.3]:9", "10.1.2.3:9", "10.1.2.3"},
    };
    static const char *const bad[] = {
        "",           ":1",    "127.0.0.1",   "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "::1:80",     "[::1]", "localhost:1", "1.2.3:4",    "127.0.0.1:8o",    "[::1:80",
        "1.2.3.4.5:6"};
    char text[HG_ADDR_TEXT];
    struct hg_addr a;
    const char *why;

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(good); i++) {
        a = addr(good[i].in);
        hg_addr_text(&a, text);
        assert_string_equal(text, good[i].out);
        hg_addr_ip_text(&a, text);
        assert_string_equal(text, good[i].ip);
    }
    for (size_t i = 0; i < HG_COUNTOF(bad); i++)
        if (hg_addr_parse_port(hg_slice_str(bad[i]), &a, &why) != -HG_E_CONF_VALUE)
            fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(hg_addr_parse(HG_SLICE_LIT("::1"), 7, &a), 0);
    assert_int_equal(hg_addr_port(&a), 7);
}

static void host_and_port(void **state)
{
    struct hg_slice host;
    uint16_t port;

    (void)state;
    assert_int_equal(hg_host_port_split(HG_SLICE_LIT("kafka-1.example:9092"), &host, &port), 0);
    assert_true(hg_slice_is(host, "kafka-1.example") && port == 9092);
    assert_int_equal(hg_host_port_split(HG_SLICE_LIT("[::1]:1"), &host, &port), 0);
    assert_true(hg_slice_is(host, "[::1]") && port == 1);
    assert_int_equal(hg_host_port_split(HG_SLICE_LIT("a:b:1"), &host, &port), -HG_E_CONF_VALUE);
    assert_int_equal(hg_host_port_split(HG_SLICE_NONE, &host, &port), -HG_E_CONF_VALUE);
}

static void networks(void **state)
{
    static const struct {
        const char *list, *peer;
        bool in;
    } rows[] = {
        {"", "127.0.0.1:1", false},
        {"127.0.0.1", "127.0.0.1:1", true},
        {"127.0.0.1", "127.0.0.2:1", false},
        {"10.0.0.0/8", "10.255.3.4:1", true},
        {"10.0.0.0/8", "11.0.0.1:1", false},
        {"192.168.4.0/22", "192.168.7.255:1", true},
        {"192.168.4.0/22", "192.168.8.0:1", false},
        {"1.2.3.4/31", "1.2.3.5:1", true},
        {"1.2.3.4/31", "1.2.3.6:1", false},
        {"0.0.0.0/0", "8.8.8.8:1", true},
        {"0.0.0.0/0", "[::1]:1", false},
        {"::/0", "8.8.8.8:1", false},
        {"::/0", "[fe80::1]:1", true},
        {"2001:db8::/33", "[2001:db8:7fff::1]:1", true},
        {"2001:db8::/33", "[2001:db8:8000::1]:1", false},
        {"10.0.0.0/8", "[::ffff:10.1.1.1]:1", true}, /* dual-stack socket */
        {"nonsense, 10.0.0.0/33, ,::1", "[::1]:1", true},
        {"10.0.0.0/33", "10.0.0.0:1", false},
    };
    struct hg_slice bad;

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_addr a = addr(rows[i].peer);

        if (hg_cidr_list_has(hg_slice_str(rows[i].list), &a) != rows[i].in)
            fail_msg("%s in \"%s\"", rows[i].peer, rows[i].list);
    }
    assert_int_equal(hg_cidr_list_check(HG_SLICE_LIT("10.0.0.0/8, ::1,, 1.2.3.4"), &bad), 0);
    assert_int_equal(hg_cidr_list_check(HG_SLICE_LIT("::1, 10.0.0.0/x"), &bad), -HG_E_CONF_VALUE);
    assert_true(hg_slice_is(bad, "10.0.0.0/x"));
}

static void loopback(void **state)
{
    struct hg_addr a = addr("127.9.9.9:1"), b = addr("[::1]:1"), c = addr("[::ffff:127.0.0.1]:1"),
                   d = addr("128.0.0.1:1"), e = addr("[::2]:1");

    (void)state;
    assert_true(hg_addr_is_loopback(&a) && hg_addr_is_loopback(&b) && hg_addr_is_loopback(&c));
    assert_false(hg_addr_is_loopback(&d) || hg_addr_is_loopback(&e));
}

static int dial(const struct hg_addr *to)
{
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, &to->sa, to->len), 0);
    return fd;
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, 5000), 1);
}

static void accepted_sockets_are_ready_to_use(void **state)
{
    struct hg_addr a = addr("127.0.0.1:0"), peer;
    int fd = hg_sock_listen(&a, 16, true), on = 0, c, s;
    socklen_t n = sizeof on;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(hg_sock_accept(fd, &peer), -HG_E_AGAIN);
    assert_int_equal(hg_sock_local(fd, &a), 0);
    assert_true(hg_addr_port(&a) != 0);
    c = dial(&a);
    wait_readable(fd);
    s = hg_sock_accept(fd, &peer);
    assert_true(s >= 0);
    assert_true(hg_addr_is_loopback(&peer));
    assert_true(fcntl(s, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(s, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    assert_int_equal(on, 1);
    close(c);
    close(s);
    close(fd);
}

static void out_of_descriptors_is_said(void **state)
{
    struct hg_addr a = addr("127.0.0.1:0"), peer;
    int fd = hg_sock_listen(&a, 16, true), c;
    struct rlimit was, tight;

    (void)state;
    assert_int_equal(hg_sock_local(fd, &a), 0);
    c = dial(&a);
    wait_readable(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    tight = (struct rlimit){(rlim_t)c + 1, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(hg_sock_accept(fd, &peer), -HG_E_FULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    close(hg_sock_accept(fd, &peer)); /* it waited */
    close(c);
    close(fd);
}

static void a_taken_port_is_seen_although_reuseport_would_share_it(void **state)
{
    struct hg_addr a = addr("127.0.0.1:0");
    int first = hg_sock_listen(&a, 16, true), shared;

    (void)state;
    assert_int_equal(hg_sock_probe(&a), 0); /* port 0 is always free */
    assert_int_equal(hg_sock_local(first, &a), 0);
    shared = hg_sock_listen(&a, 16, true);
    assert_true(shared >= 0);
    assert_int_equal(hg_sock_probe(&a), -HG_E_EXISTS);
    assert_int_equal(hg_sock_listen(&a, 16, false), -HG_E_EXISTS);
    close(shared);
    close(first);
    assert_int_equal(hg_sock_probe(&a), 0);
    a = addr("192.0.2.1:7777"); /* TEST-NET-1: nobody's */
    assert_int_equal(hg_sock_probe(&a), -HG_E_SYS);
    assert_int_equal(errno, EADDRNOTAVAIL);
}

enum { GROUP = 4 };

static void accept_all(const int fd[GROUP], int got[GROUP])
{
    struct hg_addr peer;
    int c;

    for (int i = 0; i < GROUP; i++)
        while ((c = hg_sock_accept(fd[i], &peer)) >= 0) {
            got[i]++;
            close(c);
        }
}

/* Connects n times and says which sockets of the group got them. connect() returns only when one
 * has it in its queue. */
static void spread(const int fd[GROUP], const struct hg_addr *a, int n, int got[GROUP])
{
    memset(got, 0, GROUP * sizeof *got);
    for (int i = 0; i < n; i++) {
        close(dial(a));
        if (i % 32 == 31)
            accept_all(fd, got);
    }
    accept_all(fd, got);
}

static void the_group_chooses_among_the_live(void **state)
{
    static const uint8_t some[GROUP] = {0, 1, 0, 1}, last[GROUP] = {0, 0, 0, 1}, none[GROUP] = {0};
    struct hg_addr a = addr("127.0.0.1:0");
    int fd[GROUP], got[GROUP];

    (void)state;
    for (int i = 0; i < GROUP; i++) {
        fd[i] = hg_sock_listen(&a, 256, true);
        assert_true(fd[i] >= 0);
        assert_int_equal(hg_sock_local(fd[i], &a), 0);
    }
    assert_int_equal(hg_sock_reuseport_pick(fd[0], some, GROUP), 0);
    spread(fd, &a, 400, got);
    assert_int_equal(got[0] + got[2], 0);
    assert_int_equal(got[1] + got[3], 400);
    assert_in_range(got[1], 120, 280); /* 8 standard deviations */
    assert_int_equal(hg_sock_reuseport_pick(fd[0], last, GROUP), 0);
    spread(fd, &a, 50, got);
    assert_int_equal(got[3], 50);
    assert_int_equal(hg_sock_reuseport_pick(fd[2], none, GROUP),
                     0); /* nobody lives: the queues wait for successors */
    spread(fd, &a, 400, got);
    for (int i = 0; i < GROUP; i++) {
        assert_in_range(got[i], 30, 170);
        close(fd[i]);
    }
}

static void unix_sockets(void **state)
{
    char path[64], longer[200];
    struct stat st;
    int fd, c;

    (void)state;
    snprintf(path, sizeof path, "/tmp/hg_sock_test.%d", (int)getpid());
    unlink(path);
    fd = hg_sock_unix_listen(path, 0600);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(hg_sock_unix_listen(path, 0600), -HG_E_EXISTS);
    c = hg_sock_unix_connect(path);
    assert_true(c >= 0);
    close(c);
    close(fd); /* as after kill -9: the file stays, nobody answers */
    assert_int_equal(hg_sock_unix_connect(path), -HG_E_SYS);
    fd = hg_sock_unix_listen(path, 0660);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(hg_sock_unix_listen(path, 0600), -HG_E_SYS); /* a file is not ours to remove */
    assert_int_equal(unlink(path), 0);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(hg_sock_unix_listen(longer, 0600), -HG_E_TOO_BIG);
    assert_int_equal(hg_sock_unix_connect(longer), -HG_E_TOO_BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_text_there_and_back),
        cmocka_unit_test(host_and_port),
        cmocka_unit_test(networks),
        cmocka_unit_test(loopback),
        cmocka_unit_test(accepted_sockets_are_ready_to_use),
        cmocka_unit_test(out_of_descriptors_is_said),
        cmocka_unit_test(a_taken_port_is_seen_although_reuseport_would_share_it),
        cmocka_unit_test(the_group_chooses_among_the_live),
        cmocka_unit_test(unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
