/* The table of ways, what they have in common, and the two that believe headers. */
#include "worker/identity.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"
#include "proto/jwt.h"
#include "proto/route.h"

static int (*const ways[])(struct hg_worker *, const struct hg_asker *, struct hg_identity *,
                           const char **) = {
#define HG_AUTH(NAME, word, doc) [HG_AUTH_##NAME] = hg_identity_##word,
#include "worker/auth.def"
#undef HG_AUTH
};

/* ---- headers ---- */

static struct hg_slice first_of(struct hg_slice a, struct hg_slice b)
{
    return a.n ? a : b;
}

static bool is_trusted_proxy(struct hg_worker *w, const struct hg_asker *a)
{
    struct hg_addr peer;

    if (!*w->conf->trusted_proxies)
        return false;
    hg_conn_peer(a->c, &peer);
    return hg_cidr_list_has(hg_slice_str(w->conf->trusted_proxies), &peer);
}

static void tell_ignored(struct hg_worker *w, const struct hg_asker *a)
{
    char ip[HG_ADDR_TEXT];

    HG_INC(w->m, identity_ignored);
    hg_conn_peer_ip(a->c, ip);
    hg_log_limited(HG_LOG_WARN, NULL, "identity.ignored",
                   "peer=%s why=\"x-tenant or x-user from a peer that is not listed\" "
                   "accept=\"trusted_proxies = %s, or auth = trust\"",
                   ip, ip);
}

/* Given twice: a proxy that adds its field behind the client's own, instead of replacing it, must
 * not let the client say who it is. */
static bool is_said_twice(const struct hg_http_req *req)
{
    return hg_http_count(req, "x-tenant") > 1 || hg_http_count(req, "x-user-id") > 1 ||
           hg_http_count(req, "x-user") > 1;
}

/* Takes the headers, or says that they were not believed. */
static int from_headers(struct hg_worker *w, const struct hg_asker *a, bool believed,
                        struct hg_identity *id, const char **why)
{
    struct hg_slice tenant = hg_http_get(a->req, "x-tenant");
    struct hg_slice user =
        first_of(hg_http_get(a->req, "x-user-id"), hg_http_get(a->req, "x-user"));

    *why = "x-tenant, x-user-id or x-user is there twice";
    if (believed && is_said_twice(a->req))
        return -HG_E_HTTP_SYNTAX;
    if (believed) {
        id->tenant = first_of(tenant, id->tenant);
        id->user = user;
    } else if (tenant.n || user.n) {
        tell_ignored(w, a);
    }
    return 0;
}

int hg_identity_headers(struct hg_worker *w, const struct hg_asker *a, struct hg_identity *id,
                        const char **why)
{
    return from_headers(w, a, is_trusted_proxy(w, a), id, why);
}

/* B-29 as an option: everyone is believed, an unverified token too. */
int hg_identity_trust(struct hg_worker *w, const struct hg_asker *a, struct hg_identity *id,
                      const char **why)
{
    int rc = from_headers(w, a, true, id, why);

    id->user = first_of(a->offer->bearer, id->user);
    return rc;
}

/* ---- all ---- */

static int check_names(struct hg_worker *w, const struct hg_identity *id, const char **why)
{
    *why = "the user's name is too long";
    if (id->user.n > HG_IDENTITY_USER_MAX)
        return -HG_E_HTTP_SYNTAX;
    return hg_route_check_tenant(id->tenant, w->conf->tenant_underscore == HG_ALLOW, why);
}

/* The reason is the operator's to know: to the peer it would tell what to try next. */
static void tell_refused(struct hg_worker *w, const struct hg_asker *a, const char *why)
{
    char ip[HG_ADDR_TEXT];

    HG_INC(w->m, tokens_refused);
    hg_log_limited(HG_LOG_WARN, NULL, "identity.refused", "peer=%s why=\"%s\"",
                   hg_conn_peer_ip(a->c, ip), why);
}

int hg_identify(struct hg_worker *w, const struct hg_asker *a, struct hg_identity *id,
                const char **why)
{
    int rc;

    *why = NULL;
    *id = (struct hg_identity){.tenant = hg_slice_str(w->conf->default_tenant),
                               .perms = hg_perm_list(w->conf->default_permissions)};
    rc = ways[w->conf->auth](w, a, id, why);
    if (rc == 0)
        rc = check_names(w, id, why);
    if (rc == 0 || w->conf->auth != HG_AUTH_JWT)
        return rc;
    tell_refused(w, a, *why);
    *why = NULL;
    return -HG_E_UNAUTHORIZED;
}

void hg_identity_fini(struct hg_identity *id)
{
    if (id->token)
        hg_jwt_fini(id->token);
    free(id->token);
    id->token = NULL;
}
