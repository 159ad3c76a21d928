/* A token from anybody: refused with a reason, or facts that stand in its own bytes. The input is
 * the token as text; what comes behind a first NUL is taken as claims instead, so that the claims'
 * rules are reached without base64. */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/base64.h"
#include "proto/jwt.h"

static const struct hg_jwt_rules rules[] = {
    {.now_us = 1000000000000,
     .leeway_us = 30000000,
     .tenant_claim = {"tenant", 6},
     .user_claim = {"sub", 3},
     .permissions_claim = {"permissions", 11}},
    {.now_us = 1000000000000,
     .require_exp = true,
     .audiences = {"a, b", 4},
     .issuers = {"i", 1},
     .tenant_claim = {"org.id", 6},
     .user_claim = {"a.b.c", 5},
     .permissions_claim = {"scope", 5}},
};

static void check_claims(struct hg_jwt *t, const struct hg_jwt_rules *r)
{
    struct hg_jwt_facts f;
    const char *why = NULL;
    struct hg_slice word;
    int rc = hg_jwt_claims(t, r, &f, &why);

    HG_BUG_ON(rc != 0 && (rc != -HG_E_UNAUTHORIZED || !why));
    if (rc < 0)
        return;
    HG_BUG_ON(!f.tenant.p || f.expires_us <= r->now_us);
    for (struct hg_jwt_words it = {.in = f.permissions}; hg_jwt_word(&it, &word);)
        HG_BUG_ON(!word.p);
}

static void check(struct hg_slice text, const struct hg_jwt_rules *r)
{
    struct hg_jwt t;
    const char *why = NULL;
    int rc = hg_jwt_open(text, &t, &why);

    HG_BUG_ON(rc != 0 && (rc != -HG_E_UNAUTHORIZED || !why));
    if (rc == 0) {
        HG_BUG_ON(t.alg.n == 0 || t.signature.n == 0 || t.signing_input.n >= text.n);
        check_claims(&t, r);
    }
    hg_jwt_fini(&t);
}

static void put_claims(struct hg_buf *out, struct hg_slice claims)
{
    hg_buf_adds(out, "eyJhbGciOiJIUzI1NiJ9.");
    hg_b64_add(out, claims);
    while (out->p[out->n - 1] == '=')
        out->n--;
    for (size_t i = 0; i < out->n; i++)
        out->p[i] = out->p[i] == '+' ? '-' : out->p[i] == '/' ? '_' : out->p[i];
    hg_buf_adds(out, ".c2ln");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;

    for (size_t i = 0; i < HG_COUNTOF(rules); i++) {
        struct hg_buf token = {0};

        if (nul)
            put_claims(&token, hg_slice_of(nul + 1, n - (size_t)(nul + 1 - data)));
        else
            hg_buf_add(&token, data, n);
        check(hg_buf_slice(&token), &rules[i]);
        hg_buf_fini(&token);
    }
    return 0;
}
