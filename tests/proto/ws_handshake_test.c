/*
 * The opening handshake: every condition of RFC 6455 4.2.1 and 4.2.2 as a row, the choice of a
 * subprotocol (spec B-1), the list of origins, the 101 answer. Cutting the request is http1's
 * matter and tested there.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/ws_handshake.h"

static struct hg_http_header headers[32];
static const struct hg_http_limits limits = {4096, HG_COUNTOF(headers), headers};

static struct hg_http_req parse(const char *text)
{
    struct hg_http_req req;
    const char *why;
    ssize_t used = hg_http_parse(text, strlen(text), &limits, &req, &why);
    if (used <= 0)
        fail_msg("not a request: %s", text);
    return req;
}

#define GET "GET /chat HTTP/1.1\r\nHost: h\r\n"
#define UP "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define GOOD GET UP KEY V13

static const struct {
    const char *name, *in;
    int err;
} rows[] = {
    {"1.3-sample", GOOD "\r\n", 0},
    {"4.2.1-1-post", "POST / HTTP/1.1\r\nHost: h\r\n" UP KEY V13 "\r\n", HG_E_HTTP_SYNTAX},
    {"4.2.1-1-head", "HEAD / HTTP/1.1\r\nHost: h\r\n" UP KEY V13 "\r\n", HG_E_HTTP_SYNTAX},
    {"4.2.1-1-http-1.0", "GET / HTTP/1.0\r\nHost: h\r\n" UP KEY V13 "\r\n", HG_E_HTTP_SYNTAX},
    {"4.2.1-1-absolute", "GET ws://h/ HTTP/1.1\r\nHost: h\r\n" UP KEY V13 "\r\n", -1},
    {"4.2.1-1-absolute-http", "GET http://h/ HTTP/1.1\r\nHost: h\r\n" UP KEY V13 "\r\n", 0},
    {"4.2.1-1-body", GOOD "Content-Length: 3\r\n\r\nabc", HG_E_HTTP_SYNTAX},
    {"4.2.1-1-empty-body", GOOD "Content-Length: 0\r\n\r\n", 0},
    {"4.2.1-1-chunked-body", GOOD "Transfer-Encoding: chunked\r\n\r\n", HG_E_HTTP_SYNTAX},
    {"4.2.1-3-no-upgrade", GET "Connection: Upgrade\r\n" KEY V13 "\r\n", HG_E_WS_UPGRADE},
    {"4.2.1-3-other-upgrade", GET "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY V13 "\r\n",
     HG_E_WS_UPGRADE},
    {"4.2.1-3-odd-case", GET "upgrade: WebSocket\r\nconnection: uPGRADE\r\n" KEY V13 "\r\n", 0},
    {"4.2.1-3-list", GET "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n" KEY V13 "\r\n", 0},
    {"4.2.1-3-part-of-a-word", GET "Upgrade: websockets\r\nConnection: Upgrade\r\n" KEY V13 "\r\n",
     HG_E_WS_UPGRADE},
    {"4.2.1-4-no-connection", GET "Upgrade: websocket\r\n" KEY V13 "\r\n", HG_E_WS_UPGRADE},
    {"4.2.1-4-other-connection",
     GET "Upgrade: websocket\r\nConnection: keep-alive\r\n" KEY V13 "\r\n", HG_E_WS_UPGRADE},
    {"4.2.1-4-list", GET "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" KEY V13 "\r\n",
     0},
    {"4.2.1-4-two-lines",
     GET "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n" KEY V13 "\r\n",
     0},
    {"4.2.1-5-no-key", GET UP V13 "\r\n", HG_E_WS_KEY},
    {"4.2.1-5-empty-key", GET UP V13 "Sec-WebSocket-Key:\r\n\r\n", HG_E_WS_KEY},
    {"4.2.1-5-key-of-23", GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n",
     HG_E_WS_KEY},
    {"4.2.1-5-key-of-25", GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ===\r\n\r\n",
     HG_E_WS_KEY},
    {"4.2.1-5-key-of-17-bytes", GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE=\r\n\r\n",
     HG_E_WS_KEY},
    {"4.2.1-5-key-of-18-bytes", GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWFh\r\n\r\n",
     HG_E_WS_KEY},
    {"4.2.1-5-key-not-base64", GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZS-ub25jZQ==\r\n\r\n",
     HG_E_WS_KEY},
    {"4.2.1-5-key-with-a-blank", GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBs SBub25jZQ==\r\n\r\n",
     HG_E_WS_KEY},
    {"11.3.1-two-keys", GOOD KEY "\r\n", HG_E_WS_KEY},
    {"4.2.1-6-no-version", GET UP KEY "\r\n", HG_E_WS_VERSION},
    {"4.2.2-4-version-8", GET UP KEY "Sec-WebSocket-Version: 8\r\n\r\n", HG_E_WS_VERSION},
    {"4.2.2-4-version-0", GET UP KEY "Sec-WebSocket-Version: 0\r\n\r\n", HG_E_WS_VERSION},
    {"4.2.2-4-version-14", GET UP KEY "Sec-WebSocket-Version: 14\r\n\r\n", HG_E_WS_VERSION},
    {"4.2.2-4-version-013", GET UP KEY "Sec-WebSocket-Version: 013\r\n\r\n", HG_E_WS_VERSION},
    {"4.2.2-4-version-before-key", GET UP "Sec-WebSocket-Version: 8\r\n\r\n", HG_E_WS_VERSION},
    {"11.3.5-two-versions", GOOD V13 "\r\n", HG_E_HTTP_SYNTAX},
    {"11.3.2-unknown-extension-is-ignored",
     GOOD "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", 0},
};

static void every_condition(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_http_req req;
        struct hg_ws_offer offer;
        const char *why = NULL;
        ssize_t used = hg_http_parse(rows[i].in, strlen(rows[i].in), &limits, &req, &why);
        int err = used < 0 ? (int)used : hg_ws_handshake(&req, &offer, &why);
        if (rows[i].err == -1 ? used >= 0 : err != -rows[i].err)
            fail_msg("%s: %s (%s)", rows[i].name, hg_err_row(err)->name, why ? why : "");
        if (err < 0)
            assert_non_null(why);
        else
            assert_string_equal(offer.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* 1.3 */
    }
}

static void an_upgrade_is_seen(void **state)
{
    (void)state;
    struct hg_http_req req = parse(GOOD "\r\n");
    assert_true(hg_ws_is_upgrade(&req));
    req = parse(GET "\r\n");
    assert_false(hg_ws_is_upgrade(&req));
    req = parse(GET "Upgrade: h2c\r\n\r\n");
    assert_false(hg_ws_is_upgrade(&req));
}

static void text_of(struct hg_slice s, char out[64])
{
    snprintf(out, 64, "%.*s", s.p ? (int)s.n : 1, s.p ? s.p : "-");
}

static void one_offered_subprotocol_is_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *chosen, *bearer;
        bool json;
    } want[] = {
        {"", "-", "-", false},
        {"Sec-WebSocket-Protocol: json\r\n", "json", "-", true},
        {"Sec-WebSocket-Protocol: chat, json\r\n", "chat", "-", true},
        {"Sec-WebSocket-Protocol: bearer.abc, json\r\n", "json", "abc", true},
        {"Sec-WebSocket-Protocol: json, bearer.abc\r\n", "json", "abc", true},
        {"Sec-WebSocket-Protocol: bearer.abc\r\n", "bearer.abc", "abc", false},
        {"Sec-WebSocket-Protocol: bearer.a, bearer.b\r\n", "bearer.a", "a", false},
        {"Sec-WebSocket-Protocol: bearer.\r\n", "bearer.", "", false},
        {"Sec-WebSocket-Protocol: bearer.a\r\nsec-websocket-protocol: json\r\n", "json", "a", true},
        {"Sec-WebSocket-Protocol: JSON\r\n", "JSON", "-", false},
        {"Sec-WebSocket-Protocol: ,, ,json,\r\n", "json", "-", true},
        {"Sec-WebSocket-Protocol: a b, json\r\n", "json", "-", true},
        {"Sec-WebSocket-Protocol: \"x\"\r\n", "-", "-", false},
        {"Sec-WebSocket-Protocol:\r\n", "-", "-", false},
        {"Sec-WebSocket-Protocol: bearer.a/b==, json\r\n", "json", "a/b==", true},
        {"Sec-WebSocket-Protocol: bearerx\r\n", "bearerx", "-", false},
        {"Sec-WebSocket-Protocol: headgate, bearer.a\r\n", "headgate", "a", false},
        {"Sec-WebSocket-Protocol: bearer.a, json, headgate, x\r\n", "headgate", "a", true},
    };
    for (size_t i = 0; i < HG_COUNTOF(want); i++) {
        char in[512], got[3][64];
        snprintf(in, sizeof in, GOOD "%s\r\n", want[i].offer);
        struct hg_http_req req = parse(in);
        struct hg_ws_offer offer;
        const char *why;
        assert_int_equal(hg_ws_handshake(&req, &offer, &why), 0);
        text_of(offer.subprotocol, got[0]);
        text_of(offer.bearer, got[1]);
        if (strcmp(got[0], want[i].chosen) || strcmp(got[1], want[i].bearer) ||
            offer.has_json != want[i].json)
            fail_msg("%s: chosen %s, bearer %s, json %d", want[i].offer, got[0], got[1],
                     offer.has_json);
    }
}

static void a_second_bearer_token_is_noticed(void **state)
{
    static const struct {
        const char *offer;
        bool more;
    } want[] = {{"bearer.a", false},
                {"bearer.a, json", false},
                {"bearer.a, bearer.b", true},
                {"bearer., bearer.b", true},
                {"bearer.a\r\nSec-WebSocket-Protocol: json, bearer.a", true}};

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(want); i++) {
        char in[512];
        snprintf(in, sizeof in, GOOD "Sec-WebSocket-Protocol: %s\r\n\r\n", want[i].offer);
        struct hg_http_req req = parse(in);
        struct hg_ws_offer offer;
        const char *why;
        assert_int_equal(hg_ws_handshake(&req, &offer, &why), 0);
        if (offer.more_bearers != want[i].more)
            fail_msg("%s", want[i].offer);
    }
}

static void a_bearer_token_can_be_kept_out_of_the_answer(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *chosen;
    } want[] = {{"bearer.abc", "-"},
                {"bearer.a, bearer.b", "-"},
                {"bearer.a, json", "json"},
                {"bearer.a, headgate", "headgate"}};
    for (size_t i = 0; i < HG_COUNTOF(want); i++) {
        struct hg_ws_offer offer;
        struct hg_buf text = {0}, out = {0};
        const char *why;
        hg_buf_addf(&text, GOOD "Sec-WebSocket-Protocol: %s\r\n\r\n", want[i].offer);
        struct hg_http_req req = parse(hg_test_text(&text));
        assert_int_equal(hg_ws_handshake(&req, &offer, &why), 0);
        hg_ws_hide_bearer(&offer);
        assert_true(hg_slice_is(offer.subprotocol.p ? offer.subprotocol : HG_SLICE_LIT("-"),
                                want[i].chosen));
        hg_ws_accept(&out, &offer);
        hg_test_has_not(&out, "bearer");
        hg_buf_fini(&text);
        hg_buf_fini(&out);
    }
}

static void origins_are_compared_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *list, *origin;
        bool allowed;
    } want[] = {
        {"", NULL, true},
        {"", "https://a", true},
        {" , ,", NULL, true},
        {"https://a", "https://a", true},
        {"https://a", "https://A", false},
        {"https://a", "https://a:443", false},
        {"https://a", "https://", false},
        {"https://a", "", false},
        {"https://a", NULL, false},
        {" https://b ,, https://a ", "https://a", true},
        {"https://b,https://a", "https://b,https://a", false},
    };
    for (size_t i = 0; i < HG_COUNTOF(want); i++)
        if (hg_ws_origin_allowed(want[i].list, hg_slice_str(want[i].origin)) != want[i].allowed)
            fail_msg("row %zu: %s", i, want[i].list);
}

static void origin_is_handed_out(void **state)
{
    (void)state;
    struct hg_ws_offer offer;
    const char *why;
    struct hg_http_req req = parse(GOOD "Origin: https://a\r\n\r\n");
    assert_int_equal(hg_ws_handshake(&req, &offer, &why), 0);
    assert_true(hg_slice_is(offer.origin, "https://a"));
    req = parse(GOOD "\r\n");
    assert_int_equal(hg_ws_handshake(&req, &offer, &why), 0);
    assert_null(offer.origin.p);
}

static void the_answer_is_a_101(void **state)
{
    (void)state;
    struct hg_ws_offer offer = {.accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="};
    struct hg_buf out = {0};
    hg_ws_accept(&out, &offer);
    assert_true(hg_slice_is(hg_buf_slice(&out),
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
    offer.subprotocol = HG_SLICE_LIT("json");
    hg_buf_reset(&out);
    hg_ws_accept(&out, &offer);
    assert_true(hg_slice_is(hg_buf_slice(&out),
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                            "Sec-WebSocket-Protocol: json\r\n\r\n"));
    hg_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_condition),
        cmocka_unit_test(an_upgrade_is_seen),
        cmocka_unit_test(one_offered_subprotocol_is_chosen),
        cmocka_unit_test(a_second_bearer_token_is_noticed),
        cmocka_unit_test(a_bearer_token_can_be_kept_out_of_the_answer),
        cmocka_unit_test(origins_are_compared_exactly),
        cmocka_unit_test(origin_is_handed_out),
        cmocka_unit_test(the_answer_is_a_101),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
