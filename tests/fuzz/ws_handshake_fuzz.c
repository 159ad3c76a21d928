/*
 * Upgrade requests of a hostile client. An accepted one gets an answer of exactly the lines we mean
 * to send, whatever was offered; any answer to a refused one has a status of ours.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "proto/ws_handshake.h"

#define MAX_HEADERS 24
static struct hg_http_header headers[MAX_HEADERS];
static const struct hg_http_limits limits = {4096, MAX_HEADERS, headers};

static unsigned lines(struct hg_slice s)
{
    unsigned found = 0;
    for (size_t i = 0; i < s.n; i++) {
        HG_BUG_ON(s.p[i] == '\0' || (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')));
        found += s.p[i] == '\n';
    }
    return found;
}

static void check_offer(const struct hg_http_req *req, const struct hg_ws_offer *offer)
{
    HG_BUG_ON(!hg_ws_is_upgrade(req) || req->chunked || req->content_length > 0);
    HG_BUG_ON(strlen(offer->accept) != 28);
    HG_BUG_ON(offer->subprotocol.p && !hg_http_is_token(offer->subprotocol));
    HG_BUG_ON(offer->has_json && !offer->subprotocol.p);
    struct hg_buf out = {0};
    hg_ws_accept(&out, offer);
    HG_BUG_ON(lines(hg_buf_slice(&out)) != (offer->subprotocol.p ? 6 : 5));
    hg_buf_fini(&out);
    (void)hg_ws_origin_allowed("https://a, https://b", offer->origin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_http_req req;
    struct hg_ws_offer offer;
    const char *why = NULL;
    char *own = malloc(n ? n : 1);
    memcpy(own, data, n);
    ssize_t used = hg_http_parse(own, n, &limits, &req, &why);
    if (used > 0) {
        int err = hg_ws_handshake(&req, &offer, &why);
        if (err == 0)
            check_offer(&req, &offer);
        else
            HG_BUG_ON(!why || hg_http_status(err) == 500);
    }
    free(own);
    return 0;
}
