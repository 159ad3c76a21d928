/*
 * JSON Web Tokens in compact form (RFC 7515, 7519): a token's text in, facts out. Pure; verifies no
 * signature, knows no key, reads no clock.
 *
 *   struct hg_jwt t;
 *   rc = hg_jwt_open(text, &t, &why);            what the signature covers, which key is meant
 *   if (rc == 0) ... somebody verifies t.signature of t.signing_input with a key ...
 *   rc = hg_jwt_claims(&t, &rules, &f, &why);    only of a token whose signature is good
 *   hg_jwt_fini(&t);                             also after a failure; t must not be moved before
 *
 * 1. t.alg is what the token says of itself: to be compared with what a key is for, never to choose
 *    how to verify (RFC 8725 3.1).
 * 2. Strict, for nothing here is worth guessing: base64url without padding and without stray bits,
 *    one JSON object each, no name twice that is looked at, "crit" refused, times that are numbers.
 * 3. *why is a constant for the log; it holds nothing of the token.
 */
#ifndef HG_PROTO_JWT_H
#define HG_PROTO_JWT_H

#include <stdbool.h>
#include "proto/json.h"

#define HG_JWT_MAX 8192 /* bytes of a token */
#define HG_JWT_NEVER INT64_MAX

struct hg_jwt {
    struct hg_slice signing_input;      /* borrows from the text */
    struct hg_slice alg, kid;           /* of the header; kid.p == NULL: none */
    struct hg_slice signature, payload; /* decoded */
    struct hg_buf bytes;                /* private, like the rest */
    struct hg_json header, claims;
};

struct hg_jwt_rules {
    int64_t now_us, leeway_us; /* wall clock since 1970 */
    bool require_exp;
    struct hg_slice audiences, issuers; /* comma lists; no issuers: any; no audiences: only tokens
                                           without aud (RFC 7519 4.1.3) */
    /* Names of claims: one of the top level, or else a path with dots into nested objects. Empty:
     * not asked for. */
    struct hg_slice tenant_claim, user_claim, permissions_claim;
};

struct hg_jwt_facts {
    struct hg_slice tenant, user;   /* live as long as the token; p == NULL: the token has none */
    int64_t expires_us;             /* leeway included; HG_JWT_NEVER: no exp */
    struct hg_json_val permissions; /* for hg_jwt_word; node == NULL: none stated */
};

struct hg_jwt_words { /* an iterator; zeroed after .in is set */
    struct hg_json_val in, at;
    struct hg_slice rest;
    bool begun;
};

/* Each: 0 or -HG_E_UNAUTHORIZED. */
int hg_jwt_open(struct hg_slice text, struct hg_jwt *t, const char **why) HG_MUST_CHECK;
int hg_jwt_claims(struct hg_jwt *t, const struct hg_jwt_rules *r, struct hg_jwt_facts *f,
                  const char **why) HG_MUST_CHECK;
void hg_jwt_fini(struct hg_jwt *t);
/* Next word of an array of strings, or of a string with blanks between (as "scope" is, RFC 8693
 * 4.2); false at the end. */
bool hg_jwt_word(struct hg_jwt_words *it, struct hg_slice *word);

#endif
