/*
 * Who a client is, decided once, at its handshake, by the way that the option auth names (auth.def;
 * ARCHITECTURE.md "Trust"). Whatever the way, what comes out has passed the same checks: a tenant
 * that can be part of a key, a user that can stand in a frame. Owns nothing of the connection.
 *
 *   rc = hg_identify(w, &asker, &id, &why);     < 0: refuse with hg_http_status(rc); why may be
 *                                               said to the peer, NULL: it is told nothing
 *   take what is wanted of id                   its slices borrow from the request and from id
 *   hg_identity_fini(&id);                      also after a refusal
 *
 * 1. What a token says, and the token, never reach a log; why one was refused does, and does not
 *    reach the peer.
 */
#ifndef HG_WORKER_IDENTITY_H
#define HG_WORKER_IDENTITY_H

#include "proto/ws_handshake.h"
#include "worker/core.h"

struct hg_asker {
    struct hg_conn *c;
    const struct hg_http_req *req;
    const struct hg_ws_offer *offer;
};

struct hg_identity {
    struct hg_slice tenant;
    struct hg_slice user; /* n == 0: not named */
    unsigned perms;       /* enum hg_perm */
    int64_t lasts_us;     /* the session ends after this; 0: it does not */
    struct hg_jwt *token; /* private: what tenant and user borrow from */
};

enum { HG_IDENTITY_USER_MAX = 256 };

/* 0; -HG_E_UNAUTHORIZED; -HG_E_BAD_TENANT, -HG_E_HTTP_SYNTAX: a name that cannot be one. */
int hg_identify(struct hg_worker *w, const struct hg_asker *a, struct hg_identity *id,
                const char **why) HG_MUST_CHECK;
void hg_identity_fini(struct hg_identity *id);

/* Is what this configuration says of identity good? Keys are looked at. false: lines in report. */
bool hg_identity_check(const struct hg_conf *conf, struct hg_buf *report);
/* The keys of the configuration, at start and after each reload. A running worker keeps its old
 * ones until then; sessions made with a key that is gone live on. */
void hg_identity_load(struct hg_worker *w);
void hg_identity_unload(struct hg_worker *w);

/* The ways of auth.def. 0, or -HG_E_UNAUTHORIZED with a constant for the log in *why. */
#define HG_AUTH(NAME, word, doc)                                                                   \
    int hg_identity_##word(struct hg_worker *w, const struct hg_asker *a, struct hg_identity *id,  \
                           const char **why) HG_MUST_CHECK;
#include "worker/auth.def"
#undef HG_AUTH

#endif
