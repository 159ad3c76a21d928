/*
 * RFC 6455 4.2.1, one condition after the other; then the key, the subprotocol and who is asking.
 */
#include "proto/ws_handshake.h"
#include <openssl/evp.h>
#include <string.h>
#include "common/base/err.h"
#include "proto/sha1.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 1.3 */
#define BEARER "bearer."
#define OWN "headgate"
enum { KEY_LEN = 24 }; /* 16 bytes in base64 */

bool hg_ws_is_upgrade(const struct hg_http_req *req)
{
    return hg_http_has_token(req, "upgrade", "websocket");
}

static int refuse(int err, const char *text, const char **why)
{
    *why = text;
    return -err;
}

static int check_request(const struct hg_http_req *req, const char **why)
{
    if (!hg_slice_is(req->method, "GET"))
        return refuse(HG_E_HTTP_SYNTAX, "a WebSocket opens with GET", why);
    if (req->minor < 1)
        return refuse(HG_E_HTTP_SYNTAX, "a WebSocket opens with HTTP/1.1", why);
    if (req->chunked || req->content_length > 0)
        return refuse(HG_E_HTTP_SYNTAX, "a WebSocket request has no body", why);
    if (!hg_ws_is_upgrade(req))
        return refuse(HG_E_WS_UPGRADE, "Upgrade is not websocket", why);
    if (!hg_http_has_token(req, "connection", "upgrade"))
        return refuse(HG_E_WS_UPGRADE, "Connection does not say Upgrade", why);
    return 0;
}

static int check_version(const struct hg_http_req *req, const char **why)
{
    if (hg_http_count(req, "sec-websocket-version") > 1) /* 11.3.5: at most once */
        return refuse(HG_E_HTTP_SYNTAX, "more than one Sec-WebSocket-Version", why);
    if (!hg_slice_is(hg_http_get(req, "sec-websocket-version"), "13"))
        return refuse(HG_E_WS_VERSION, "Sec-WebSocket-Version is not 13", why);
    return 0;
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

static int check_key(const struct hg_http_req *req, struct hg_slice *key, const char **why)
{
    *key = hg_http_get(req, "sec-websocket-key");
    if (hg_http_count(req, "sec-websocket-key") != 1) /* 11.3.1: exactly once */
        return refuse(HG_E_WS_KEY, "not exactly one Sec-WebSocket-Key", why);
    bool good = key->n == KEY_LEN && memcmp(key->p + KEY_LEN - 2, "==", 2) == 0;
    for (size_t i = 0; good && i < KEY_LEN - 2; i++)
        good = is_base64(key->p[i]);
    return good ? 0 : refuse(HG_E_WS_KEY, "Sec-WebSocket-Key is not 16 bytes of base64", why);
}

static int make_accept(struct hg_slice key, char out[29], const char **why)
{
    char text[KEY_LEN + sizeof GUID];
    unsigned char sha[HG_SHA1_SIZE];
    memcpy(text, key.p, KEY_LEN);
    memcpy(text + KEY_LEN, GUID, sizeof GUID);
    if (hg_sha1(hg_slice_of(text, sizeof text - 1), sha) < 0)
        return refuse(HG_E_SYS, "the crypto library has no SHA-1", why);
    EVP_EncodeBlock((unsigned char *)out, sha, sizeof sha);
    return 0;
}

static bool starts(struct hg_slice token, const char *with)
{
    size_t n = strlen(with);

    return token.n >= n && memcmp(token.p, with, n) == 0;
}

static bool is_bearer(struct hg_slice token)
{
    return starts(token, BEARER);
}

static void note_subprotocol(struct hg_slice token, struct hg_ws_offer *offer)
{
    bool bearer = is_bearer(token);
    if (bearer && offer->bearer.p)
        offer->more_bearers = true;
    else if (bearer)
        offer->bearer = hg_slice_of(token.p + sizeof BEARER - 1, token.n - (sizeof BEARER - 1));
    if (hg_slice_is(token, "json"))
        offer->has_json = true;
    if (starts(token, OWN ".") && !offer->named.p)
        offer->named = token;
    if (hg_slice_is(token, OWN)) {
        offer->has_headgate = true;
        offer->subprotocol = token;
        return;
    }
    if (!hg_http_is_token(token)) /* not ours to echo */
        return;
    if (!offer->subprotocol.p || (!offer->has_headgate && !bearer && is_bearer(offer->subprotocol)))
        offer->subprotocol = token;
}

static void read_subprotocols(const struct hg_http_req *req, struct hg_ws_offer *offer)
{
    struct hg_slice name = HG_SLICE_LIT("sec-websocket-protocol");
    for (unsigned i = 0; i < req->nheaders; i++) {
        const struct hg_http_header *h = &req->headers[i];
        if (h->name.n != name.n || strncasecmp(h->name.p, name.p, name.n) != 0)
            continue;
        struct hg_slice list = h->value, token;
        while (hg_http_list_next(&list, &token))
            note_subprotocol(token, offer);
    }
}

int hg_ws_handshake(const struct hg_http_req *req, struct hg_ws_offer *offer, const char **why)
{
    struct hg_slice key;
    *offer = (struct hg_ws_offer){0};
    int err = check_request(req, why);
    if (err == 0)
        err = check_version(req, why);
    if (err == 0)
        err = check_key(req, &key, why);
    if (err < 0)
        return err;
    if (hg_http_count(req, "origin") == 1) /* of two, none is the one */
        offer->origin = hg_http_get(req, "origin");
    read_subprotocols(req, offer);
    return make_accept(key, offer->accept, why);
}

bool hg_ws_origin_allowed(const char *list, struct hg_slice origin)
{
    struct hg_slice rest = hg_slice_str(list), entry;
    bool active = false;
    while (hg_http_list_next(&rest, &entry)) {
        if (origin.p && hg_slice_eq(entry, origin))
            return true;
        active = true;
    }
    return !active;
}

void hg_ws_hide_bearer(struct hg_ws_offer *offer)
{
    if (is_bearer(offer->subprotocol))
        offer->subprotocol = HG_SLICE_NONE;
}

void hg_ws_accept(struct hg_buf *out, const struct hg_ws_offer *offer)
{
    hg_buf_adds(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    hg_buf_adds(out, offer->accept);
    if (offer->subprotocol.p) {
        hg_buf_adds(out, "\r\nSec-WebSocket-Protocol: ");
        hg_buf_add_slice(out, offer->subprotocol);
    }
    hg_buf_adds(out, "\r\n\r\n");
}
