/*
 * Signatures by the published examples: each verifies with its key and with no other, not with one
 * bit of token or signature changed, and never by another algorithm than its key is for. Which key
 * a kid chooses; keys that are refused when read. What a verification costs is printed.
 */
#include "tests/support/hgtest.h"
#include <time.h>
#include "common/base/err.h"
#include "proto/base64.h"
#include "tests/support/jwt_vectors.h"
#include "worker/jwt_keys.h"

struct file {
    const char *text;
    size_t n;
};

static struct hg_buf secret; /* of RFC 7515 A.1 */

static struct hg_jwt_keys *make(const char *list, const struct file *files, size_t n,
                                struct hg_buf *report)
{
    struct hg_buf data = {0};
    struct hg_jwt_keys *keys;

    for (size_t i = 0; i < n; i++) {
        if (i)
            hg_buf_addc(&data, ',');
        for (size_t j = 0; j < files[i].n; j++)
            hg_buf_addf(&data, "%02x", (unsigned char)files[i].text[j]);
    }
    keys = hg_jwt_keys_new(list, hg_test_text(&data), report);
    hg_buf_fini(&data);
    return keys;
}

static int verify(const struct hg_jwt_keys *keys, struct hg_slice token, const char **why)
{
    struct hg_jwt t;
    int rc = hg_jwt_open(token, &t, why);

    if (rc == 0)
        rc = hg_jwt_keys_verify(keys, &t, why);
    hg_jwt_fini(&t);
    return rc;
}

#define FILE_LIT(s)                                                                                \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }
static struct {
    const char *alg;
    struct file key;
    struct hg_slice token;
} rows[] = {
    {"HS256", {NULL, 0}, HG_SLICE_LIT(HS256_TOKEN)}, /* key filled in by setup */
    {"RS256", FILE_LIT(RSA_PEM), HG_SLICE_LIT(RS256_TOKEN)},
    {"ES256", FILE_LIT(P256_PEM), HG_SLICE_LIT(ES256_TOKEN)},
    {"EdDSA", FILE_LIT(ED_PEM), HG_SLICE_LIT(EDDSA_TOKEN)},
};

static struct hg_jwt_keys *one_key(size_t i)
{
    struct hg_buf report = {0};
    struct hg_jwt_keys *keys;
    char list[32];

    snprintf(list, sizeof list, "%s:k", rows[i].alg);
    keys = make(list, &rows[i].key, 1, &report);
    if (!keys)
        fail_msg("%s", hg_test_text(&report));
    hg_buf_fini(&report);
    return keys;
}

static int setup(void **state)
{
    (void)state;
    if (hg_b64url_decode(&secret, HG_SLICE_LIT(HS256_KEY)) < 0)
        return -1;
    rows[0].key = (struct file){secret.p, secret.n};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hg_buf_fini(&secret);
    return 0;
}

static void each_example_verifies_with_its_own_key_alone(void **state)
{
    (void)state;
    for (size_t k = 0; k < HG_COUNTOF(rows); k++) {
        struct hg_jwt_keys *keys = one_key(k);

        for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
            const char *why = "";

            assert_int_equal(verify(keys, rows[i].token, &why), i == k ? 0 : -HG_E_UNAUTHORIZED);
            if (i != k)
                assert_non_null(strstr(why, "alg"));
        }
        hg_jwt_keys_free(keys);
    }
}

static void no_changed_character_verifies(void **state)
{
    (void)state;
    for (size_t k = 0; k < HG_COUNTOF(rows); k++) {
        struct hg_jwt_keys *keys = one_key(k);
        char *copy = malloc(rows[k].token.n);

        assert_non_null(copy);
        for (size_t i = 0; i < rows[k].token.n; i++) {
            const char *why;

            memcpy(copy, rows[k].token.p, rows[k].token.n);
            copy[i] = copy[i] == 'A' ? 'B' : 'A';
            if (verify(keys, hg_slice_of(copy, rows[k].token.n), &why) == 0)
                fail_msg("%s verifies with character %zu changed", rows[k].alg, i);
        }
        for (size_t cut = 0; cut < rows[k].token.n; cut++) {
            const char *why;

            if (verify(keys, hg_slice_of(rows[k].token.p, cut), &why) == 0)
                fail_msg("%s verifies when cut at %zu", rows[k].alg, cut);
        }
        free(copy);
        hg_jwt_keys_free(keys);
    }
}

/* A token with this header, the claims of nobody, and some signature. */
static int try_header(const struct hg_jwt_keys *keys, const char *header, const char *sig_of,
                      const char **why)
{
    struct hg_buf token = {0};
    int rc;

    hg_b64_add(&token, hg_slice_str(header));
    while (token.p[token.n - 1] == '=')
        token.n--;
    for (size_t i = 0; i < token.n; i++)
        token.p[i] = token.p[i] == '+' ? '-' : token.p[i] == '/' ? '_' : token.p[i];
    hg_buf_addf(&token, ".%s.%s", JOE, strrchr(sig_of, '.') + 1);
    rc = verify(keys, hg_buf_slice(&token), why);
    hg_buf_fini(&token);
    return rc;
}

static void the_algorithm_is_the_keys(void **state)
{
    struct hg_jwt_keys *rsa = one_key(1);
    const char *why = "";

    (void)state;
    static const char *const others[] = {"none",  "None",  "HS256",  "HS512", "RS384",
                                         "PS256", "rs256", "RS256 ", "ES256", ""};
    for (size_t i = 0; i < HG_COUNTOF(others); i++) {
        char header[64];

        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", others[i]);
        assert_int_equal(try_header(rsa, header, RS256_TOKEN, &why), -HG_E_UNAUTHORIZED);
        assert_non_null(strstr(why, "alg"));
    }
    assert_int_equal(try_header(rsa, "{\"alg\":\"RS256\"}", RS256_TOKEN, &why), 0);
    assert_int_equal(try_header(rsa, "{\"alg\":\"RS256\",\"a\":1}", RS256_TOKEN, &why),
                     -HG_E_UNAUTHORIZED);
    assert_string_equal(why, "signature");
    hg_jwt_keys_free(rsa);
    assert_int_equal(try_header(NULL, "{\"alg\":\"RS256\"}", RS256_TOKEN, &why),
                     -HG_E_UNAUTHORIZED);
}

/* HS256 with a kid: the example's signature is over its own header, so a made one is compared by
 * the reason: "signature" means that a key was tried. */
static void a_kid_chooses_among_keys(void **state)
{
    static const char other[] = "another secret of more than thirty-two bytes";
    const struct file files[] = {rows[0].key, {other, sizeof other - 1}, rows[2].key};
    struct hg_buf report = {0};
    struct hg_jwt_keys *keys = make("a=HS256:x, b=HS256:y, c=ES256:z", files, 3, &report);
    const char *why = "";

    (void)state;
    assert_non_null(keys);
    assert_int_equal(verify(keys, rows[0].token, &why), 0); /* without kid: all of the algorithm */
    assert_int_equal(verify(keys, rows[2].token, &why), 0);
    assert_true(try_header(keys, "{\"alg\":\"HS256\",\"kid\":\"b\"}", HS256_TOKEN, &why) < 0);
    assert_string_equal(why, "signature");
    assert_true(try_header(keys, "{\"alg\":\"HS256\",\"kid\":\"c\"}", HS256_TOKEN, &why) < 0);
    assert_non_null(strstr(why, "kid"));
    assert_true(try_header(keys, "{\"alg\":\"HS256\",\"kid\":\"\"}", HS256_TOKEN, &why) < 0);
    assert_non_null(strstr(why, "kid"));
    assert_true(try_header(keys, "{\"alg\":\"RS256\",\"kid\":\"a\"}", RS256_TOKEN, &why) < 0);
    assert_non_null(strstr(why, "alg"));
    hg_jwt_keys_free(keys);
    hg_buf_fini(&report);
}

static void weak_and_wrong_keys_are_refused(void **state)
{
    static const char pem[] = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    static const char private[] = "-----BEGIN PRIVATE KEY-----\n";
    static const char c31[] = "0123456789012345678901234567890\n";
    static const char c32[] = "01234567890123456789012345678901\r\n";
    const struct {
        const char *list;
        struct file file;
        const char *why; /* NULL: good */
    } keys[] = {
        {"HS256:f", {"", 0}, "empty"},
        {"HS256:f", {c31, sizeof c31 - 1}, "32 bytes"},
        {"HS256:f", {c32, sizeof c32 - 1}, NULL},
        {"HS256:f", FILE_LIT(RSA_PEM), "PEM"},
        {"RS256:f", {"", 0}, "empty"},
        {"RS256:f", {pem, sizeof pem - 1}, "no public key"},
        {"RS256:f", {private, sizeof private - 1}, "private"},
        {"RS256:f", FILE_LIT(P256_PEM), "RSA"},
        {"ES256:f", FILE_LIT(RSA_PEM), "P-256"},
        {"ES256:f", FILE_LIT(ED_PEM), "P-256"},
        {"EdDSA:f", FILE_LIT(P256_PEM), "Ed25519"},
        {"EdDSA:f", FILE_LIT(ED_PEM), NULL},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(keys); i++) {
        struct hg_buf report = {0};
        struct hg_jwt_keys *made = make(keys[i].list, &keys[i].file, 1, &report);

        if (keys[i].why) {
            assert_null(made);
            hg_test_has(&report, keys[i].why);
            hg_test_has(&report, "error: jwt_keys: f: ");
        } else if (!made) {
            fail_msg("%s", hg_test_text(&report));
        }
        hg_jwt_keys_free(made);
        hg_buf_fini(&report);
    }
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* A figure, no verdict. */
static void what_a_verification_costs(void **state)
{
    enum { N = 200 };

    (void)state;
    for (size_t k = 0; k < HG_COUNTOF(rows); k++) {
        struct hg_jwt_keys *keys = one_key(k);
        const char *why;
        double start = now_us();

        for (int i = 0; i < N; i++)
            assert_int_equal(verify(keys, rows[k].token, &why), 0);
        print_message("%s: %.1f us of CPU for each token\n", rows[k].alg, (now_us() - start) / N);
        hg_jwt_keys_free(keys);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_example_verifies_with_its_own_key_alone),
        cmocka_unit_test(no_changed_character_verifies),
        cmocka_unit_test(the_algorithm_is_the_keys),
        cmocka_unit_test(a_kid_chooses_among_keys),
        cmocka_unit_test(weak_and_wrong_keys_are_refused),
        cmocka_unit_test(what_a_verification_costs),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
