/*
 * Keys that sign tokens, and whether one of them signed this token: the only door to OpenSSL's
 * signatures. Owns the keys. Never logs, never says which key it was.
 *
 *   keys = hg_jwt_keys_new(conf->jwt_keys, conf->jwt_key_data, &report)   NULL: report says why
 *   rc = hg_jwt_keys_verify(keys, &token, &why)
 *   hg_jwt_keys_free(keys)
 *
 * 1. How a signature is verified is a property of the key, as the option has it; a token that says
 *    another algorithm is not tried with it (RFC 8725 3.1). So no public key is ever an HMAC
 *    secret, and "none" is no algorithm.
 * 2. A token with a kid is tried with the keys of that kid and those without one; a token without a
 *    kid with all of its algorithm.
 * 3. Weak keys are refused when they are read: short secrets, RSA below 2048 bits, other curves, a
 *    PEM as a secret, a private key where the public half is enough.
 */
#ifndef HG_WORKER_JWT_KEYS_H
#define HG_WORKER_JWT_KEYS_H

#include "proto/jwt.h"

struct hg_jwt_keys;

/* list is the option jwt_keys, data what its files hold (conf_keys.h). */
struct hg_jwt_keys *hg_jwt_keys_new(const char *list, const char *data, struct hg_buf *report);
void hg_jwt_keys_free(struct hg_jwt_keys *keys); /* NULL is fine */
/* 0 or -HG_E_UNAUTHORIZED with a constant in *why. No keys at all (NULL): always refused. */
int hg_jwt_keys_verify(const struct hg_jwt_keys *keys, const struct hg_jwt *t,
                       const char **why) HG_MUST_CHECK;

#endif
