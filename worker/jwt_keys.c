#include "worker/jwt_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/sys/conf.h"
#include "common/sys/conf_keys.h"

enum { SECRET_MIN = 32, RSA_MIN_BITS = 2048, P256_HALF = 32, SHA256_BYTES = 32 };

struct key {
    const struct alg *alg;
    char *kid; /* NULL: any */
    struct hg_buf secret;
    EVP_PKEY *pkey;
};

struct hg_jwt_keys {
    unsigned n;
    struct key key[HG_JWT_KEYS_MAX];
};

struct alg {
    const char *name;
    const char *(*read)(struct key *k, struct hg_slice file); /* NULL, or what is wrong with it */
    bool (*verify)(const struct key *k, struct hg_slice text, struct hg_slice sig);
};

/* ---- secret: HS256 ---- */

static bool has_pem(struct hg_slice s)
{
    return s.n && memmem(s.p, s.n, "-----BEGIN ", 11);
}

static const char *read_secret(struct key *k, struct hg_slice file)
{
    if (has_pem(file)) /* everybody may know a public key: it would make everybody an issuer */
        return "a PEM file is no secret";
    if (file.n && file.p[file.n - 1] == '\n')
        file.n--;
    if (file.n && file.p[file.n - 1] == '\r')
        file.n--;
    if (file.n < SECRET_MIN)
        return "a secret of less than 32 bytes (RFC 7518 3.2)";
    hg_buf_add_slice(&k->secret, file);
    return NULL;
}

static bool verify_secret(const struct key *k, struct hg_slice text, struct hg_slice sig)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    return sig.n == SHA256_BYTES &&
           HMAC(EVP_sha256(), k->secret.p, (int)k->secret.n, (const unsigned char *)text.p, text.n,
                mac, &n) &&
           n == sig.n && CRYPTO_memcmp(mac, sig.p, n) == 0;
}

/* ---- public keys ---- */

static EVP_PKEY *key_of_certificate(BIO *bio)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    EVP_PKEY *pkey = cert ? X509_get_pubkey(cert) : NULL;

    X509_free(cert);
    return pkey;
}

static const char *read_pem(struct key *k, struct hg_slice file)
{
    BIO *bio;

    if (file.n && memmem(file.p, file.n, "PRIVATE KEY-----", 16))
        return "a private key: give the public half, openssl pkey -pubout makes it";
    bio = BIO_new_mem_buf(file.n ? file.p : "", (int)file.n);
    HG_BUG_ON(!bio);
    k->pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    if (!k->pkey && BIO_reset(bio) == 1)
        k->pkey = key_of_certificate(bio);
    BIO_free(bio);
    ERR_clear_error();
    return k->pkey ? NULL : "no public key and no certificate in PEM";
}

static const char *read_rsa(struct key *k, struct hg_slice file)
{
    const char *why = read_pem(k, file);

    if (why)
        return why;
    if (!EVP_PKEY_is_a(k->pkey, "RSA"))
        return "no RSA key";
    return EVP_PKEY_get_bits(k->pkey) < RSA_MIN_BITS ? "an RSA key of less than 2048 bits" : NULL;
}

static const char *read_p256(struct key *k, struct hg_slice file)
{
    const char *why = read_pem(k, file);
    char group[32] = "";

    if (why)
        return why;
    if (!EVP_PKEY_is_a(k->pkey, "EC") ||
        !EVP_PKEY_get_utf8_string_param(k->pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                        NULL) ||
        strcmp(group, "prime256v1") != 0)
        return "no key of the curve P-256";
    return NULL;
}

static const char *read_ed25519(struct key *k, struct hg_slice file)
{
    const char *why = read_pem(k, file);

    if (why)
        return why;
    return EVP_PKEY_is_a(k->pkey, "ED25519") ? NULL : "no Ed25519 key";
}

static bool verify_digest(const struct key *k, const EVP_MD *md, struct hg_slice text,
                          struct hg_slice sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->pkey) == 1 &&
                EVP_DigestVerify(ctx, (const unsigned char *)sig.p, sig.n,
                                 (const unsigned char *)text.p, text.n) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); /* a bad signature is no news to whoever uses OpenSSL next */
    return good;
}

static bool verify_rsa(const struct key *k, struct hg_slice text, struct hg_slice sig)
{
    return verify_digest(k, EVP_sha256(), text, sig); /* PKCS #1 v1.5 unless told otherwise */
}

static bool verify_ed25519(const struct key *k, struct hg_slice text, struct hg_slice sig)
{
    return verify_digest(k, NULL, text, sig);
}

/* r and s side by side (RFC 7518 3.4), which OpenSSL wants as DER. */
static bool verify_p256(const struct key *k, struct hg_slice text, struct hg_slice sig)
{
    const unsigned char *p = (const unsigned char *)sig.p;
    unsigned char *der = NULL;
    ECDSA_SIG *pair = NULL;
    BIGNUM *r = NULL, *s = NULL;
    bool good = false;
    int n;

    if (sig.n != 2 * P256_HALF)
        return false;
    pair = ECDSA_SIG_new();
    r = BN_bin2bn(p, P256_HALF, NULL);
    s = BN_bin2bn(p + P256_HALF, P256_HALF, NULL);
    if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* pair has them */
        n = i2d_ECDSA_SIG(pair, &der);
        good = n > 0 && verify_digest(k, EVP_sha256(), text, hg_slice_of(der, (size_t)n));
    }
    BN_free(r);
    BN_free(s);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    return good;
}

/* ---- the list ---- */

static const struct alg algs[] = {
#define HG_JWT_ALG(name, kind, doc) {#name, read_##kind, verify_##kind},
#include "common/sys/jwt_alg.def"
#undef HG_JWT_ALG
};

static const struct alg *alg_find(struct hg_slice name)
{
    for (size_t i = 0; i < HG_COUNTOF(algs); i++)
        if (hg_slice_is(name, algs[i].name))
            return &algs[i];
    return NULL;
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The next file of data, decoded; conf_keys.c wrote it, so it is well-formed. */
static void next_file(const char **data, struct hg_buf *out)
{
    const char *p = *data;

    hg_buf_reset(out);
    for (; *p && *p != ',' && p[1]; p += 2)
        hg_buf_addc(out, (char)(nibble(p[0]) << 4 | nibble(p[1])));
    *data = p + (*p == ',');
}

static char *copy(struct hg_slice s)
{
    char *p = hg_malloc(s.n + 1);

    memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

static const char *add(struct hg_jwt_keys *keys, const struct hg_jwt_key_item *item,
                       struct hg_slice file)
{
    struct key *k = &keys->key[keys->n++];

    *k = (struct key){.alg = alg_find(item->alg), .kid = item->kid.p ? copy(item->kid) : NULL};
    HG_BUG_ON(!k->alg); /* the option's own check */
    return file.n ? k->alg->read(k, file) : "empty";
}

struct hg_jwt_keys *hg_jwt_keys_new(const char *list, const char *data, struct hg_buf *report)
{
    struct hg_jwt_keys *keys = hg_calloc(1, sizeof *keys);
    struct hg_slice rest = hg_slice_str(list), text;
    struct hg_jwt_key_item item;
    struct hg_buf file = {0};
    bool good = true;

    while (keys->n < HG_JWT_KEYS_MAX && hg_conf_list_next(&rest, &text)) {
        const char *why;

        next_file(&data, &file);
        HG_BUG_ON(!hg_conf_jwt_key(text, &item));
        why = add(keys, &item, hg_buf_slice(&file));
        if (why)
            hg_buf_addf(report, "error: jwt_keys: %.*s: %s\n", HG_SLICE_ARG(item.file), why);
        good = good && !why;
    }
    if (file.p)
        explicit_bzero(file.p, file.cap);
    hg_buf_fini(&file);
    if (good)
        return keys;
    hg_jwt_keys_free(keys);
    return NULL;
}

void hg_jwt_keys_free(struct hg_jwt_keys *keys)
{
    if (!keys)
        return;
    for (unsigned i = 0; i < keys->n; i++) {
        struct key *k = &keys->key[i];

        if (k->secret.p)
            explicit_bzero(k->secret.p, k->secret.n);
        hg_buf_fini(&k->secret);
        EVP_PKEY_free(k->pkey);
        free(k->kid);
    }
    free(keys);
}

int hg_jwt_keys_verify(const struct hg_jwt_keys *keys, const struct hg_jwt *t, const char **why)
{
    *why = "alg: no key is for this algorithm";
    for (unsigned i = 0; keys && i < keys->n; i++) {
        const struct key *k = &keys->key[i];

        if (!hg_slice_is(t->alg, k->alg->name))
            continue;
        if (t->kid.p && k->kid && !hg_slice_is(t->kid, k->kid)) {
            if (**why == 'a')
                *why = "kid: no key of that name";
            continue;
        }
        if (k->alg->verify(k, t->signing_input, t->signature))
            return 0;
        *why = "signature";
    }
    return -HG_E_UNAUTHORIZED;
}
