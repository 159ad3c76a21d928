/*
 * auth = jwt: the token a client brings, verified. Where it may stand, the first place that holds
 * one counts, and no other is looked at when that one is bad:
 *
 *   Authorization: Bearer <token>
 *   Sec-WebSocket-Protocol: ..., bearer.<token>       browsers cannot set headers
 *   Cookie: <jwt_cookie>=<token>                      comes by itself, so it counts least
 */
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"
#include "worker/identity.h"
#include "worker/jwt_keys.h"

#define SCHEME "Bearer "

/* ---- where it stands; each: 1 found, 0 not there, -1 two of them ---- */

static int in_authorization(const struct hg_http_req *req, struct hg_slice *token)
{
    size_t n = sizeof SCHEME - 1;
    struct hg_slice v = hg_http_get(req, "authorization");

    if (hg_http_count(req, "authorization") > 1) /* whoever stands before us may read the other */
        return -1;
    if (v.n < n || strncasecmp(v.p, SCHEME, n) != 0) /* a proxy's own, or none */
        return 0;
    *token = hg_slice_of(v.p + n, v.n - n);
    return 1;
}

static int in_subprotocol(const struct hg_ws_offer *offer, struct hg_slice *token)
{
    if (!offer->bearer.p)
        return 0;
    *token = offer->bearer;
    return offer->more_bearers ? -1 : 1;
}

static bool is_named(struct hg_slice pair, const char *name, struct hg_slice *value)
{
    size_t n = strlen(name);

    if (pair.n <= n || memcmp(pair.p, name, n) != 0 || pair.p[n] != '=')
        return false;
    *value = hg_slice_of(pair.p + n + 1, pair.n - n - 1);
    return true;
}

/* Next "name=value" of a Cookie line (RFC 6265 4.2.1). */
static bool next_pair(struct hg_slice *line, struct hg_slice *pair)
{
    const char *end;

    while (line->n && (*line->p == ' ' || *line->p == ';'))
        *line = hg_slice_of(line->p + 1, line->n - 1);
    if (line->n == 0)
        return false;
    end = memchr(line->p, ';', line->n);
    *pair = hg_slice_of(line->p, end ? (size_t)(end - line->p) : line->n);
    *line = hg_slice_of(line->p + pair->n, line->n - pair->n);
    return true;
}

/* Two of the name: one may have been planted from a neighbouring domain. */
static int in_cookie(const struct hg_http_req *req, const char *name, struct hg_slice *token)
{
    int found = 0;

    for (unsigned i = 0; *name && i < req->nheaders; i++) {
        const struct hg_http_header *h = &req->headers[i];
        struct hg_slice line = h->value, pair;

        if (h->name.n != 6 || strncasecmp(h->name.p, "cookie", 6) != 0)
            continue;
        while (next_pair(&line, &pair))
            found += is_named(pair, name, token);
    }
    return found > 1 ? -1 : found;
}

/* Without a list of origins any site's page could open a WebSocket with its visitor's cookie. The
 * options are checked for that together, but a reload may apply one and keep the other. */
static const char *cookie_name(const struct hg_conf *cf)
{
    return *cf->allowed_origins ? cf->jwt_cookie : "";
}

static int find_token(struct hg_worker *w, const struct hg_asker *a, struct hg_slice *token,
                      const char **why)
{
    int n = in_authorization(a->req, token);

    if (n == 0)
        n = in_subprotocol(a->offer, token);
    if (n == 0)
        n = in_cookie(a->req, cookie_name(w->conf), token);
    *why = n < 0 ? "two tokens in one place" : "no token";
    return n > 0 ? 0 : -HG_E_UNAUTHORIZED;
}

/* ---- what it says ---- */

static int verify(struct hg_worker *w, struct hg_slice text, struct hg_jwt *t,
                  struct hg_jwt_facts *f, const char **why)
{
    const struct hg_conf *cf = w->conf;
    struct hg_jwt_rules rules = {
        .now_us = hg_wall_ms() * 1000,
        .leeway_us = cf->jwt_leeway,
        .require_exp = cf->jwt_require_exp,
        .audiences = hg_slice_str(cf->jwt_audience),
        .issuers = hg_slice_str(cf->jwt_issuer),
        .tenant_claim = hg_slice_str(cf->jwt_tenant_claim),
        .user_claim = hg_slice_str(cf->jwt_user_claim),
        .permissions_claim = hg_slice_str(cf->jwt_permissions_claim),
    };
    int rc = hg_jwt_open(text, t, why);

    if (rc == 0)
        rc = hg_jwt_keys_verify(w->jwt_keys, t, why);
    return rc < 0 ? rc : hg_jwt_claims(t, &rules, f, why);
}

static unsigned permissions_of(struct hg_json_val stated)
{
    struct hg_jwt_words it = {.in = stated};
    struct hg_slice word;
    unsigned perms = 0;

    while (hg_jwt_word(&it, &word))
        perms |= hg_perm_find(word);
    return perms;
}

static bool is_printable(struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static int take(struct hg_worker *w, const struct hg_jwt_facts *f, struct hg_identity *id,
                const char **why)
{
    id->user = f->user;
    if (f->tenant.p)
        id->tenant = f->tenant;
    if (f->permissions.node)
        id->perms = permissions_of(f->permissions);
    if (w->conf->jwt_close_on_exp && f->expires_us != HG_JWT_NEVER)
        id->lasts_us = HG_MAX(1, f->expires_us - hg_wall_ms() * 1000);
    *why = "the user's claim cannot be a name";
    return id->user.n <= HG_IDENTITY_USER_MAX && is_printable(id->user) ? 0 : -HG_E_UNAUTHORIZED;
}

int hg_identity_jwt(struct hg_worker *w, const struct hg_asker *a, struct hg_identity *id,
                    const char **why)
{
    struct hg_jwt_facts facts;
    struct hg_slice text;
    int rc = find_token(w, a, &text, why);

    if (rc < 0)
        return rc;
    id->token = hg_calloc(1, sizeof *id->token);
    rc = verify(w, text, id->token, &facts, why);
    return rc < 0 ? rc : take(w, &facts, id, why);
}

/* ---- keys ---- */

bool hg_identity_check(const struct hg_conf *conf, struct hg_buf *report)
{
    struct hg_jwt_keys *keys = NULL;

    if (conf->auth != HG_AUTH_JWT)
        return true;
    keys = hg_jwt_keys_new(conf->jwt_keys, conf->jwt_key_data, report);
    hg_jwt_keys_free(keys);
    return keys != NULL;
}

void hg_identity_load(struct hg_worker *w)
{
    struct hg_buf report = {0};
    struct hg_jwt_keys *keys;

    if (w->conf->auth != HG_AUTH_JWT)
        return;
    keys = hg_jwt_keys_new(w->conf->jwt_keys, w->conf->jwt_key_data, &report);
    if (keys) {
        hg_jwt_keys_free(w->jwt_keys);
        w->jwt_keys = keys;
    } else { /* the master found these bytes good: something is very wrong here */
        hg_log(HG_LOG_ERROR, NULL, "identity.keys", "why=\"%.*s\"",
               HG_SLICE_ARG(hg_buf_slice(&report)));
    }
    hg_buf_fini(&report);
}

void hg_identity_unload(struct hg_worker *w)
{
    hg_jwt_keys_free(w->jwt_keys);
    w->jwt_keys = NULL;
}
