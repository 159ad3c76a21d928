/*
 * The opening handshake of RFC 6455 4.2: a parsed request in, a verdict out. Pure; never decides
 * who the peer is, only what it asks for.
 *
 *   if (hg_ws_is_upgrade(&req)) {
 *       err = hg_ws_handshake(&req, &offer, &why);      < 0: answer hg_http_status(err); with 426
 *                                                       the answer carries HG_WS_VERSION_HEADER
 *       look at offer.origin, offer.bearer; hg_ws_accept(&out, &offer);
 *   }
 *
 * 1. The request is whole and has no body: what follows its head is frames.
 * 2. Subprotocols: one that was offered is chosen, "headgate" before others, then the first that is
 *    no bearer token if there is one; none if none was offered (spec B-1).
 * 3. Extensions are never negotiated. offer's slices borrow from what req borrows from.
 */
#ifndef HG_PROTO_WS_HANDSHAKE_H
#define HG_PROTO_WS_HANDSHAKE_H

#include "proto/http1.h"

#define HG_WS_VERSION_HEADER "Sec-WebSocket-Version: 13\r\n"

struct hg_ws_offer {
    char accept[29];             /* Sec-WebSocket-Accept, NUL-terminated */
    struct hg_slice subprotocol; /* chosen, or p == NULL */
    struct hg_slice bearer;      /* what follows "bearer." in the first such token, or p == NULL */
    bool more_bearers;           /* there is another */
    bool has_json;               /* subprotocol "json" was offered */
    bool has_headgate;           /* and "headgate", which is chosen then */
    struct hg_slice named;       /* the first "headgate.<something>", or p == NULL */
    struct hg_slice origin;      /* p == NULL: none */
};

/* Does the request ask for a WebSocket at all (Upgrade header with token websocket)? */
bool hg_ws_is_upgrade(const struct hg_http_req *req);
/* 0, or -HG_E_WS_UPGRADE, _WS_KEY, _WS_VERSION, HTTP_SYNTAX (method, version, body), SYS (no SHA-1
 * in the crypto library). */
int hg_ws_handshake(const struct hg_http_req *req, struct hg_ws_offer *offer,
                    const char **why) HG_MUST_CHECK;
/* Is origin in the comma list (exact, case-sensitive, entries trimmed, empties dropped)? An empty
 * list allows all; an active one refuses none given. */
bool hg_ws_origin_allowed(const char *list, struct hg_slice origin);
/* Chooses none rather than a bearer token, which would come back in the answer. A client that
 * offers nothing else may refuse that answer: it is to offer "headgate" beside it. */
void hg_ws_hide_bearer(struct hg_ws_offer *offer);
/* The 101 response. */
void hg_ws_accept(struct hg_buf *out, const struct hg_ws_offer *offer);

#endif
