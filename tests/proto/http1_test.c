/*
 * Request heads by RFC 9112: the shapes a server must take and those it must refuse, named by
 * section. Every row is parsed whole and at every prefix: a prefix is "need more" or already the
 * same error, and what follows the head changes nothing.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/http1.h"

#define MAX_HEAD 512
#define MAX_HEADERS 12

static struct hg_http_header headers[MAX_HEADERS];
static const struct hg_http_limits limits = {MAX_HEAD, MAX_HEADERS, headers};

/* Parses from a block of its own size, so that a sanitizer sees any step beside it. */
static char *last_copy;
static ssize_t parse(const char *p, size_t n, struct hg_http_req *req, const char **why)
{
    free(last_copy);
    last_copy = malloc(n ? n : 1);
    memcpy(last_copy, p, n);
    return hg_http_parse(last_copy, n, &limits, req, why);
}

/* The facts of a request as one line. */
static void facts(const struct hg_http_req *r, struct hg_buf *out)
{
    hg_buf_addf(out, "%.*s %.*s %.*s", HG_SLICE_ARG(r->method), HG_SLICE_ARG(r->target),
                HG_SLICE_ARG(r->path));
    if (r->query.p)
        hg_buf_addf(out, "?%.*s", HG_SLICE_ARG(r->query));
    hg_buf_addf(out, " 1.%d", r->minor);
    if (r->content_length >= 0)
        hg_buf_addf(out, " length=%lld", (long long)r->content_length);
    hg_buf_addf(out, "%s%s%s", r->chunked ? " chunked" : "", r->keep_alive ? " keep" : "",
                r->expect_continue ? " expect" : "");
    for (unsigned i = 0; i < r->nheaders; i++)
        hg_buf_addf(out, " [%.*s=%.*s]", HG_SLICE_ARG(r->headers[i].name),
                    HG_SLICE_ARG(r->headers[i].value));
}

struct row {
    const char *name, *in;
    size_t n;
    const char *want; /* facts, or "E:<name>" */
};
#define ROW(name, in, want)                                                                        \
    {                                                                                              \
        name, in, sizeof(in) - 1, want                                                             \
    }
#define GET "GET / HTTP/1.1\r\n"
#define H "Host: h\r\n"
#define SYNTAX "E:HTTP_SYNTAX"
#define VERSION "E:HTTP_VERSION"
#define TOO_BIG "E:HTTP_HEAD_TOO_BIG"

static const struct row rows[] = {
    /* 2.2, 3: lines */
    ROW("plain", GET H "\r\n", "GET / / 1.1 keep [Host=h]"),
    ROW("2.2-one-empty-line-before", "\r\n" GET H "\r\n", "GET / / 1.1 keep [Host=h]"),
    ROW("2.2-two-empty-lines-before", "\r\n\r\n" GET H "\r\n", SYNTAX),
    ROW("2.2-bare-lf", "GET / HTTP/1.1\nHost: h\n\n", SYNTAX),
    ROW("2.2-bare-lf-at-the-end", GET H "\n", SYNTAX),
    ROW("2.2-bare-cr-in-value", GET H "A: b\rc\r\n\r\n", SYNTAX),
    ROW("2.2-cr-cr-lf", GET H "A: b\r\r\n\r\n", SYNTAX),
    ROW("2.2-blank-after-request-line", GET " X: y\r\n" H "\r\n", SYNTAX),
    ROW("5.5-nul-in-value", GET H "A: b\0c\r\n\r\n", SYNTAX),
    ROW("5.5-nul-in-name", GET H "A\0: b\r\n\r\n", SYNTAX),
    ROW("5.5-control-in-value", GET H "A: \x01\r\n\r\n", SYNTAX),
    ROW("5.5-del-in-value", GET H "A: \x7F\r\n\r\n", SYNTAX),
    ROW("5.5-nul-in-request-line", "GET /\0 HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("5.5-obs-text", GET H "A: caf\xC3\xA9\r\n\r\n",
        "GET / / 1.1 keep [Host=h] [A=caf\xC3\xA9]"),
    ROW("tls-client-hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", SYNTAX),
    /* 3: request line */
    ROW("3-two-spaces", "GET  / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3-two-spaces-before-version", "GET /  HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3-tab", "GET\t/\tHTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3-trailing-space", "GET / HTTP/1.1 \r\n" H "\r\n", SYNTAX),
    ROW("3-leading-space", " GET / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3-space-in-target", "GET /a b HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3-no-version", "GET /\r\n" H "\r\n", SYNTAX),
    ROW("3-only-method", "GET\r\n\r\n", SYNTAX),
    ROW("3.1-own-method", "BREW /pot HTTP/1.1\r\n" H "\r\n", "BREW /pot /pot 1.1 keep [Host=h]"),
    ROW("3.1-method-with-colon", "GE:T / HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3.2-query", "GET /a/b?c=d?e HTTP/1.1\r\n" H "\r\n",
        "GET /a/b?c=d?e /a/b?c=d?e 1.1 keep [Host=h]"),
    ROW("3.2-empty-query", "GET /a? HTTP/1.1\r\n" H "\r\n", "GET /a? /a? 1.1 keep [Host=h]"),
    ROW("3.2-fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3.2-not-ascii", "GET /\xC3\xA9 HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3.2-no-slash", "GET a HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3.2.2-absolute", "GET http://o/a?b HTTP/1.1\r\n" H "\r\n",
        "GET /a?b /a?b 1.1 keep [Host=h]"),
    ROW("3.2.2-absolute-https", "GET HTTPS://o:1/a HTTP/1.1\r\n" H "\r\n",
        "GET /a /a 1.1 keep [Host=h]"),
    ROW("3.2.2-absolute-without-path", "GET http://o HTTP/1.1\r\n" H "\r\n",
        "GET / / 1.1 keep [Host=h]"),
    ROW("3.2.2-absolute-only-query", "GET http://o?q HTTP/1.1\r\n" H "\r\n",
        "GET ?q /?q 1.1 keep [Host=h]"),
    ROW("3.2.2-absolute-without-host", "GET http:///a HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3.2.3-connect", "CONNECT o:443 HTTP/1.1\r\n" H "\r\n", SYNTAX),
    ROW("3.2.4-options-star", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * * 1.1 keep [Host=h]"),
    ROW("3.2.4-get-star", "GET * HTTP/1.1\r\n" H "\r\n", SYNTAX),
    /* 2.3: version */
    ROW("2.3-1.0", "GET / HTTP/1.0\r\n\r\n", "GET / / 1.0"),
    ROW("2.3-1.0-keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        "GET / / 1.0 keep [Connection=Keep-Alive]"),
    ROW("2.3-1.2", "GET / HTTP/1.2\r\n" H "\r\n", VERSION),
    ROW("2.3-2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
    ROW("2.3-0.9", "GET / HTTP/0.9\r\n\r\n", VERSION),
    ROW("2.3-lower-case", "GET / http/1.1\r\n" H "\r\n", SYNTAX),
    ROW("2.3-two-digits", "GET / HTTP/1.10\r\n" H "\r\n", SYNTAX),
    ROW("2.3-one-digit", "GET / HTTP/1\r\n" H "\r\n", SYNTAX),
    ROW("2.3-letter", "GET / HTTP/1.x\r\n" H "\r\n", SYNTAX),
    /* 3.2: Host */
    ROW("3.2-no-host", GET "\r\n", SYNTAX),
    ROW("3.2-two-hosts", GET H "Host: i\r\n\r\n", SYNTAX),
    ROW("3.2-two-equal-hosts", GET H "hOST: h\r\n\r\n", SYNTAX),
    ROW("3.2-two-hosts-in-1.0", "GET / HTTP/1.0\r\n" H H "\r\n", SYNTAX),
    ROW("3.2-empty-host", GET "Host:\r\n\r\n", "GET / / 1.1 keep [Host=]"),
    ROW("3.2-host-and-port", GET "Host: a.b:80\r\n\r\n", "GET / / 1.1 keep [Host=a.b:80]"),
    ROW("3.2-host-empty-port", GET "Host: a:\r\n\r\n", "GET / / 1.1 keep [Host=a:]"),
    ROW("3.2-host-ipv6", GET "Host: [::1]:80\r\n\r\n", "GET / / 1.1 keep [Host=[::1]:80]"),
    ROW("3.2-host-ipv6-no-port", GET "Host: [::1]\r\n\r\n", "GET / / 1.1 keep [Host=[::1]]"),
    ROW("3.2-host-ipv6-open", GET "Host: [::1\r\n\r\n", SYNTAX),
    ROW("3.2-host-ipv6-rest", GET "Host: [::1]x\r\n\r\n", SYNTAX),
    ROW("3.2-host-ipv6-empty", GET "Host: []\r\n\r\n", SYNTAX),
    ROW("3.2-host-path", GET "Host: a/b\r\n\r\n", SYNTAX),
    ROW("3.2-host-user", GET "Host: a@b\r\n\r\n", SYNTAX),
    ROW("3.2-host-space", GET "Host: a b\r\n\r\n", SYNTAX),
    ROW("3.2-host-list", GET "Host: a, b\r\n\r\n", SYNTAX),
    ROW("3.2-host-port-not-a-number", GET "Host: a:8o\r\n\r\n", SYNTAX),
    ROW("3.2-host-two-ports", GET "Host: a:1:2\r\n\r\n", SYNTAX),
    /* 5: fields */
    ROW("5.1-blank-before-colon", GET "Host : h\r\n\r\n", SYNTAX),
    ROW("5.1-tab-before-colon", GET H "A\t: b\r\n\r\n", SYNTAX),
    ROW("5.1-no-colon", GET H "A\r\n\r\n", SYNTAX),
    ROW("5.1-empty-name", GET H ": b\r\n\r\n", SYNTAX),
    ROW("5.1-name-with-slash", GET H "A/B: b\r\n\r\n", SYNTAX),
    ROW("5.1-value-trimmed", GET H "A:\t b  c \t \r\n\r\n", "GET / / 1.1 keep [Host=h] [A=b  c]"),
    ROW("5.1-empty-value", GET H "A:  \r\n\r\n", "GET / / 1.1 keep [Host=h] [A=]"),
    ROW("5.1-colon-in-value", GET H "A:b:c\r\n\r\n", "GET / / 1.1 keep [Host=h] [A=b:c]"),
    ROW("5.2-folded-space", GET H "A: b\r\n c\r\n\r\n", SYNTAX),
    ROW("5.2-folded-tab", GET H "A: b\r\n\tc\r\n\r\n", SYNTAX),
    ROW("5.4-too-many",
        GET H "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n",
        TOO_BIG),
    ROW("5.4-just-enough",
        GET H "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n",
        "GET / / 1.1 keep [Host=h] [a=] [a=] [a=] [a=] [a=] [a=] [a=] [a=] [a=] [a=] [a=]"),
    /* 6: body length */
    ROW("6.2-length", "POST / HTTP/1.1\r\n" H "Content-Length: 12\r\n\r\n",
        "POST / / 1.1 length=12 keep [Host=h] [Content-Length=12]"),
    ROW("6.2-length-zero", GET H "content-length: 0\r\n\r\n",
        "GET / / 1.1 length=0 keep [Host=h] [content-length=0]"),
    ROW("6.2-length-empty", GET H "Content-Length:\r\n\r\n", SYNTAX),
    ROW("6.2-length-sign", GET H "Content-Length: +5\r\n\r\n", SYNTAX),
    ROW("6.2-length-negative", GET H "Content-Length: -5\r\n\r\n", SYNTAX),
    ROW("6.2-length-hex", GET H "Content-Length: 0x5\r\n\r\n", SYNTAX),
    ROW("6.2-length-blank-inside", GET H "Content-Length: 1 0\r\n\r\n", SYNTAX),
    ROW("6.2-length-huge", GET H "Content-Length: 99999999999999999999999\r\n\r\n",
        "GET / / 1.1 length=9223372036854775807 keep [Host=h] "
        "[Content-Length=99999999999999999999999]"),
    ROW("6.3-two-lengths", GET H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", SYNTAX),
    ROW("6.3-two-equal-lengths", GET H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", SYNTAX),
    ROW("6.3-length-list", GET H "Content-Length: 5, 5\r\n\r\n", SYNTAX),
    ROW("6.1-chunked", GET H "Transfer-Encoding: Chunked\r\n\r\n",
        "GET / / 1.1 chunked keep [Host=h] [Transfer-Encoding=Chunked]"),
    ROW("6.1-chunked-and-length", GET H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        SYNTAX),
    ROW("6.1-length-and-chunked", GET H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        SYNTAX),
    ROW("6.1-two-codings", GET H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        SYNTAX),
    ROW("6.1-coding-list", GET H "Transfer-Encoding: gzip, chunked\r\n\r\n", SYNTAX),
    ROW("6.1-coding-identity", GET H "Transfer-Encoding: identity\r\n\r\n", SYNTAX),
    ROW("6.1-coding-odd", GET H "Transfer-Encoding: xchunked\r\n\r\n", SYNTAX),
    ROW("6.1-coding-vertical-tab",
        GET H "Transfer-Encoding: \x0B"
              "chunked\r\n\r\n",
        SYNTAX),
    ROW("6.1-coding-in-1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", SYNTAX),
    /* 9.3, 10.1.1 of RFC 9110 */
    ROW("9.3-close", GET H "Connection: close\r\n\r\n", "GET / / 1.1 [Host=h] [Connection=close]"),
    ROW("9.3-close-in-a-list", GET H "Connection: x , Close\r\n\r\n",
        "GET / / 1.1 [Host=h] [Connection=x , Close]"),
    ROW("9.3-close-beats-keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        "GET / / 1.0 [Connection=keep-alive, close]"),
    ROW("expect", GET H "Expect: 100-Continue\r\n\r\n",
        "GET / / 1.1 keep expect [Host=h] [Expect=100-Continue]"),
    ROW("expect-in-1.0", "GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
        "GET / / 1.0 [Expect=100-continue]"),
};

static ssize_t check(const struct row *r, const char *in, size_t n)
{
    struct hg_http_req req;
    struct hg_buf got = {0};
    const char *why = NULL;
    ssize_t used = parse(in, n, &req, &why);
    if (used < 0) {
        hg_buf_addf(&got, "E:%s", hg_err_row((int)used)->name);
        assert_non_null(why);
    } else if (used > 0) {
        facts(&req, &got);
    }
    if (used != 0 && !hg_slice_is(hg_buf_slice(&got), r->want))
        fail_msg("%s at %zu: got \"%.*s\", want \"%s\"", r->name, n,
                 HG_SLICE_ARG(hg_buf_slice(&got)), r->want);
    hg_buf_fini(&got);
    return used;
}

static void every_row_at_every_prefix(void **state)
{
    (void)state;
    for (const struct row *r = rows; r < rows + HG_COUNTOF(rows); r++) {
        bool error = r->want[0] == 'E', failed = false;
        for (size_t n = 0; n <= r->n; n++) {
            ssize_t used = check(r, r->in, n);
            if (used == 0 && (failed || n == r->n))
                fail_msg("%s: no answer with %zu bytes", r->name, n);
            if (used > 0 && (n != r->n || (size_t)used != r->n))
                fail_msg("%s: %zd of %zu bytes used", r->name, used, n);
            failed = used < 0;
        }
        if (error)
            continue;
        struct hg_buf more = {0}; /* pipelined bytes stay where they are */
        hg_buf_add(&more, r->in, r->n);
        hg_buf_adds(&more, "\x81\x80\r\n\r\n");
        assert_int_equal(check(r, more.p, more.n), r->n);
        hg_buf_fini(&more);
    }
}

static ssize_t parse_padded(size_t total, size_t given, const char **why)
{
    struct hg_buf in = {0};
    struct hg_http_req req;
    hg_buf_adds(&in, GET H "A: ");
    while (in.n < total - 4)
        hg_buf_addc(&in, 'a');
    hg_buf_adds(&in, "\r\n\r\n");
    ssize_t used = parse(in.p, HG_MIN(given, in.n), &req, why);
    hg_buf_fini(&in);
    return used;
}

static void a_head_is_limited_in_bytes(void **state)
{
    (void)state;
    const char *why;
    assert_int_equal(parse_padded(MAX_HEAD, MAX_HEAD, &why), MAX_HEAD);
    assert_int_equal(parse_padded(MAX_HEAD, MAX_HEAD - 1, &why), 0);
    assert_int_equal(parse_padded(MAX_HEAD + 1, MAX_HEAD - 1, &why), 0);
    assert_int_equal(parse_padded(MAX_HEAD + 1, MAX_HEAD, &why), -HG_E_HTTP_HEAD_TOO_BIG);
    assert_int_equal(parse_padded(MAX_HEAD + 1, MAX_HEAD + 1, &why), -HG_E_HTTP_HEAD_TOO_BIG);
    assert_int_equal(parse_padded(65536, 65536, &why), -HG_E_HTTP_HEAD_TOO_BIG);
}

static void an_error_beyond_the_limit_is_still_the_limit(void **state)
{
    (void)state;
    struct hg_buf in = {0};
    struct hg_http_req req;
    const char *why;
    hg_buf_adds(&in, GET H "A: ");
    while (in.n < MAX_HEAD)
        hg_buf_addc(&in, 'a');
    hg_buf_addc(&in, '\0');
    assert_int_equal(parse(in.p, in.n, &req, &why), -HG_E_HTTP_HEAD_TOO_BIG);
    in.p[MAX_HEAD - 1] = '\0';
    assert_int_equal(parse(in.p, in.n, &req, &why), -HG_E_HTTP_SYNTAX);
    hg_buf_fini(&in);
}

static void headers_are_found_in_any_case(void **state)
{
    (void)state;
    struct hg_http_req req;
    const char *why;
    static const char in[] = GET H "uPgrade: h2c, WebSocket\r\nUpgrade: x\r\nB: a,,b , \tc\r\n"
                                   "b: d;e\r\n\r\n";
    assert_int_equal(parse(in, sizeof in - 1, &req, &why), sizeof in - 1);
    assert_true(hg_slice_is(hg_http_get(&req, "upgrade"), "h2c, WebSocket"));
    assert_null(hg_http_get(&req, "upgrad").p);
    assert_null(hg_http_get(&req, "upgrades").p);
    assert_int_equal(hg_http_count(&req, "UPGRADE"), 2);
    static const char *const in_b[] = {"a", "B", "c", "d;e"};
    for (size_t i = 0; i < HG_COUNTOF(in_b); i++)
        assert_true(hg_http_has_token(&req, "b", in_b[i]));
    assert_true(hg_http_has_token(&req, "upgrade", "websocket"));
    assert_true(hg_http_has_token(&req, "upgrade", "x"));
    assert_false(hg_http_has_token(&req, "b", "d"));
    assert_false(hg_http_has_token(&req, "b", ""));
    assert_false(hg_http_has_token(&req, "c", "a"));
}

static void every_error_has_a_status(void **state)
{
    (void)state;
    static const struct {
        int err, status;
    } want[] = {
        {HG_E_HTTP_SYNTAX, 400},  {HG_E_HTTP_HEAD_TOO_BIG, 431}, {HG_E_HTTP_BODY_TOO_BIG, 413},
        {HG_E_HTTP_VERSION, 505}, {HG_E_HTTP_TIMEOUT, 408},      {HG_E_WS_KEY, 400},
        {HG_E_WS_VERSION, 426},   {HG_E_WS_UPGRADE, 400},        {HG_E_ORIGIN, 403},
        {HG_E_UNAUTHORIZED, 401}, {HG_E_BAD_TENANT, 400},        {HG_E_CONN_LIMIT, 503},
        {HG_E_BUG, 500},
    };
    for (size_t i = 0; i < HG_COUNTOF(want); i++) {
        assert_int_equal(hg_http_status(want[i].err), want[i].status);
        assert_int_equal(hg_http_status(-want[i].err), want[i].status);
    }
    assert_int_equal(hg_http_status(-100000), 500);
}

static void respond(struct hg_buf *out, int status, bool keep, bool head, const char *extra)
{
    hg_buf_reset(out);
    hg_http_respond(out, status, "text/plain", HG_SLICE_LIT("body"), keep, head, extra);
}

static void answers_have_a_length_and_say_what_happens_next(void **state)
{
    (void)state;
    struct hg_buf out = {0};
    respond(&out, 200, true, false, "");
    assert_true(hg_slice_is(hg_buf_slice(&out),
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
                            "Connection: keep-alive\r\n\r\nbody"));
    respond(&out, 200, true, true, "");
    assert_true(hg_slice_is(hg_buf_slice(&out),
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
                            "Connection: keep-alive\r\n\r\n"));
    respond(&out, 405, false, false, "Allow: GET, HEAD\r\n");
    assert_true(hg_slice_is(hg_buf_slice(&out),
                            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\n"
                            "Content-Length: 4\r\nConnection: close\r\nAllow: GET, HEAD\r\n\r\n"
                            "body"));
    hg_buf_reset(&out);
    hg_http_respond(&out, 204, NULL, HG_SLICE_NONE, true, false, "");
    assert_true(hg_slice_is(hg_buf_slice(&out),
                            "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"));
    hg_buf_fini(&out);
}

/* Damages good heads and looks for any difference between whole and growing input. */
static void damaged_heads_give_the_same_at_every_prefix(void **state)
{
    (void)state;
    srandom(9112);
    for (int round = 0; round < 3000; round++) {
        const struct row *r = &rows[(size_t)random() % HG_COUNTOF(rows)];
        char in[600];
        size_t n = HG_MIN(r->n, sizeof in);
        memcpy(in, r->in, n);
        for (int flips = 1 + (int)(random() % 3); flips > 0; flips--)
            in[(size_t)random() % n] = "\r\n\0 :,\tA\xFFz"[random() % 10];
        struct hg_http_req req;
        const char *why, *why_at;
        ssize_t whole = parse(in, n, &req, &why);
        for (size_t at = 0; at < n; at++) {
            ssize_t got = parse(in, at, &req, &why_at);
            if (got != 0 && got != whole)
                fail_msg("%s damaged: %zd of %zu bytes, %zd of all", r->name, got, at, whole);
        }
    }
}

static int drop_copy(void **state)
{
    (void)state;
    free(last_copy), last_copy = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_at_every_prefix),
        cmocka_unit_test(a_head_is_limited_in_bytes),
        cmocka_unit_test(an_error_beyond_the_limit_is_still_the_limit),
        cmocka_unit_test(headers_are_found_in_any_case),
        cmocka_unit_test(every_error_has_a_status),
        cmocka_unit_test(answers_have_a_length_and_say_what_happens_next),
        cmocka_unit_test(damaged_heads_give_the_same_at_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, drop_copy);
}
