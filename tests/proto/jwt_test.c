/*
 * Tokens as bytes: the examples of RFC 7515 and RFC 8037, every cut of them, base64url that is
 * none, headers and claims that mean harm; times, audience, issuer and names by the rules.
 * Signatures are the matter of worker/jwt_keys_test.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "proto/base64.h"
#include "proto/jwt.h"
#include "tests/support/jwt_vectors.h"

enum { NOW = 1000000 };

/* base64url without padding */
static void put_b64u(struct hg_buf *out, const char *text, size_t n)
{
    size_t from = out->n;

    hg_b64_add(out, hg_slice_of(text, n));
    while (out->n > from && out->p[out->n - 1] == '=')
        out->n--;
    for (size_t i = from; i < out->n; i++)
        out->p[i] = out->p[i] == '+' ? '-' : out->p[i] == '/' ? '_' : out->p[i];
}

static void put_token(struct hg_buf *out, const char *header, const char *claims)
{
    put_b64u(out, header, strlen(header));
    hg_buf_addc(out, '.');
    put_b64u(out, claims, strlen(claims));
    hg_buf_adds(out, ".c2ln");
}

/* ---- opening ---- */

static int open_text(const char *text, const char **why)
{
    struct hg_jwt t;
    int rc = hg_jwt_open(hg_slice_str(text), &t, why);

    hg_jwt_fini(&t);
    return rc;
}

static void the_examples_of_the_rfcs_open(void **state)
{
    static const struct {
        const char *token, *alg;
        size_t sig_n;
    } rows[] = {
        {HS256_TOKEN, "HS256", 32},
        {RS256_TOKEN, "RS256", 256},
        {ES256_TOKEN, "ES256", 64},
        {EDDSA_TOKEN, "EdDSA", 64},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_jwt t;
        const char *why = "";

        if (hg_jwt_open(hg_slice_str(rows[i].token), &t, &why) < 0)
            fail_msg("%s: %s", rows[i].alg, why);
        assert_true(hg_slice_is(t.alg, rows[i].alg));
        assert_null(t.kid.p);
        assert_int_equal(t.signature.n, rows[i].sig_n);
        assert_int_equal(t.signing_input.n, strrchr(rows[i].token, '.') - rows[i].token);
        hg_jwt_fini(&t);
    }
}

static void no_part_of_a_token_is_one(void **state)
{
    const char *token = ES256_TOKEN;
    size_t n = strlen(token), dot = (size_t)(strrchr(token, '.') - token);
    char *copy = malloc(n);
    const char *why;

    (void)state;
    assert_non_null(copy);
    for (size_t cut = 0; cut < n; cut++) { /* a copy of its own: reading past it is seen */
        char *part = cut ? malloc(cut) : NULL;
        struct hg_jwt t;
        int rc;

        if (cut)
            memcpy(part, token, cut);
        rc = hg_jwt_open(hg_slice_of(part, cut), &t, &why);
        /* Whole quartets of a signature are a shorter signature, which verifies with nothing. */
        if (cut <= dot + 1)
            assert_int_equal(rc, -HG_E_UNAUTHORIZED);
        else
            assert_true(rc < 0 || t.signature.n < 64);
        hg_jwt_fini(&t);
        free(part);
    }
    free(copy);
}

static void what_is_no_token_is_refused(void **state)
{
    static const struct {
        const char *token, *why;
    } rows[] = {
        {"", "three parts"},
        {".", "three parts"},
        {"..", "signature"},
        {"a.b", "three parts"},
        {"eyJhbGciOiJFUzI1NiJ9.e30.", "no signature"},
        {"eyJhbGciOiJFUzI1NiJ9.e30.c2ln.c2ln", "base64url of the signature"},
        {"eyJhbGciOiJFUzI1NiJ9.e30.c2ln.", "base64url of the signature"},
        {"a.b.c.d.e", "base64url of the header"}, /* an encrypted token has five parts */
        {"eyJhbGciOiJFUzI1NiJ9.e30.c2ln=", "base64url of the signature"},
        {"eyJhbGciOiJFUzI1NiJ9.e30=.c2ln", "base64url of the claims"},
        {"eyJhbGciOiJFUzI1NiJ9\n.e30.c2ln", "base64url of the header"},
        {"eyJhbGciOiJFUzI1NiJ9. e30.c2ln", "base64url of the claims"},
        {"eyJhbGciOiJFUzI1NiJ9.e30.+/+/", "base64url of the signature"},
        {"eyJhbGciOiJFUzI1NiJ9.e30.c2k", ""}, /* two bytes: fine as text */
        {"eyJhbGciOiJFUzI1NiJ9.e30.c2l", "base64url of the signature"}, /* stray bits */
        {"eyJhbGciOiJFUzI1NiJ9.e31.c2ln", "base64url of the claims"},
        {"eyJhbGciOiJFUzI1NiJ9.e30.c", "base64url of the signature"},
        {"e30x.e30.c2ln", "base64url|JSON|alg"},
        {"!.e30.c2ln", "base64url of the header"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        const char *why = "";
        int rc = open_text(rows[i].token, &why);

        if (rows[i].why[0] == '\0') {
            assert_int_equal(rc, 0);
            continue;
        }
        if (rc != -HG_E_UNAUTHORIZED || (!strchr(rows[i].why, '|') && !strstr(why, rows[i].why)))
            fail_msg("%s: %d %s", rows[i].token, rc, why);
    }
}

static void headers_that_mean_harm_are_refused(void **state)
{
    static const struct {
        const char *header, *why; /* why NULL: it opens */
    } rows[] = {
        {"{\"alg\":\"ES256\",\"kid\":\"a\",\"jku\":\"https://evil.example\",\"jwk\":{}}", NULL},
        {"{\"alg\":\"ES256\",\"kid\":\"\"}", NULL},
        {"{\"kid\":\"a\"}", "alg"},
        {"{\"alg\":null}", "alg"},
        {"{\"alg\":[\"HS256\"]}", "alg"},
        {"{\"alg\":\"\"}", "alg"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "alg"},
        {"{\"alg\":\"HS256\",\"a\\u006cg\":\"none\"}", "alg"},
        {"{\"alg\":\"ES256\",\"kid\":1}", "kid"},
        {"{\"alg\":\"ES256\",\"kid\":\"a\",\"kid\":\"b\"}", "kid"},
        {"{\"alg\":\"ES256\",\"crit\":[\"exp\"]}", "crit"},
        {"{\"alg\":\"ES256\",\"crit\":[]}", "crit"},
        {"{\"alg\":\"ES256\",\"crit\":null}", "crit"},
        {"[]", "object"},
        {"\"alg\"", "object"},
        {"", "JSON"},
        {"{\"alg\":\"ES256\"", "JSON"},
        {"{\"alg\":\"ES256\"}{}", "JSON"},
        {"{\"alg\":\"ES256\",\"a\\u0000\":1}", "JSON"},
        {"\xef\xbb\xbf{\"alg\":\"ES256\"}", "JSON"},
        {"{\"alg\":\"ES256\",\"x\":\"\xff\"}", "JSON"},
        {"{\"x\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]],\"alg\":\"ES256\"}", "JSON"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_buf token = {0};
        const char *why = "";
        int rc;

        put_token(&token, rows[i].header, "{}");
        rc = open_text(hg_test_text(&token), &why);
        if (rows[i].why ? rc != -HG_E_UNAUTHORIZED || !strstr(why, rows[i].why) : rc != 0)
            fail_msg("%s: %d %s", rows[i].header, rc, why);
        hg_buf_fini(&token);
    }
}

static void a_huge_token_is_refused_unread(void **state)
{
    struct hg_buf token = {0};
    const char *why = "";

    (void)state;
    hg_buf_adds(&token, "eyJhbGciOiJFUzI1NiJ9.e30.");
    while (token.n < HG_JWT_MAX)
        hg_buf_addc(&token, 'A');
    token.n -= token.n % 4 == 1; /* whatever the length, the limit is the limit */
    assert_int_equal(open_text(hg_test_text(&token), &why), 0);
    while (token.n <= HG_JWT_MAX)
        hg_buf_addc(&token, 'A');
    assert_int_equal(open_text(hg_test_text(&token), &why), -HG_E_UNAUTHORIZED);
    assert_string_equal(why, "too large");
    hg_buf_fini(&token);
}

/* ---- claims ---- */

static const struct hg_jwt_rules plain = {.now_us = NOW * 1000000LL,
                                          .leeway_us = 30 * 1000000LL,
                                          .tenant_claim = {"tenant", 6},
                                          .user_claim = {"sub", 3},
                                          .permissions_claim = {"permissions", 11}};

static int claims(const char *text, const struct hg_jwt_rules *r, struct hg_jwt *t,
                  struct hg_jwt_facts *f, const char **why)
{
    struct hg_buf token = {0};
    int rc;

    put_token(&token, "{\"alg\":\"HS256\"}", text);
    assert_int_equal(hg_jwt_open(hg_buf_slice(&token), t, why), 0);
    hg_buf_fini(&token); /* what the claims say does not borrow from it */
    rc = hg_jwt_claims(t, r, f, why);
    return rc;
}

/* why NULL: accepted. */
static void judge(const char *text, const struct hg_jwt_rules *r, const char *expected)
{
    struct hg_jwt t;
    struct hg_jwt_facts f;
    const char *why = "";
    int rc = claims(text, r, &t, &f, &why);

    if (expected ? rc != -HG_E_UNAUTHORIZED || !strstr(why, expected) : rc != 0)
        fail_msg("%s: %d %s", text, rc, why);
    hg_jwt_fini(&t);
}

static void times_are_numbers_within_the_leeway(void **state)
{
    static const struct {
        const char *times, *why;
    } rows[] = {
        {"\"exp\":1000001", NULL},
        {"\"exp\":1000000", NULL},
        {"\"exp\":999971", NULL},
        {"\"exp\":999970.5", NULL},
        {"\"exp\":999970", "expired"},
        {"\"exp\":0", "expired"},
        {"\"exp\":-1", "expired"},
        {"\"exp\":-1e11", "expired"},
        {"\"exp\":1e9", NULL},
        {"\"exp\":1e12", NULL},
        {"\"exp\":1e13", "exp"},
        {"\"exp\":1e309", "exp"},
        {"\"exp\":-1e309", "exp"},
        {"\"exp\":18446744073709551616", "exp"},
        {"\"exp\":\"1000001\"", "exp"},
        {"\"exp\":[1000001]", "exp"},
        {"\"exp\":true", "exp"},
        {"\"exp\":null", "exp"},
        {"\"exp\":1000001,\"exp\":1000001", "exp"},
        {"\"exp\":1,\"\\u0065xp\":1000001", "exp"},
        {"\"nbf\":1000030", NULL},
        {"\"nbf\":1000031", "nbf"},
        {"\"nbf\":-5", NULL},
        {"\"nbf\":\"0\"", "nbf"},
        {"\"nbf\":1e400", "nbf"},
        {"\"nbf\":0,\"nbf\":0", "nbf"},
    };
    struct hg_jwt_rules strict = plain;

    (void)state;
    strict.require_exp = true;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        char text[160];
        bool has_exp = strstr(rows[i].times, "xp\"") != NULL;

        snprintf(text, sizeof text, "{\"tenant\":\"a\",%s}", rows[i].times);
        judge(text, &plain, rows[i].why);
        judge(text, &strict, has_exp ? rows[i].why : "exp");
    }
    judge("{\"tenant\":\"a\"}", &plain, NULL);
    judge("{\"tenant\":\"a\"}", &strict, "jwt_require_exp");
}

static void when_it_ends_has_the_leeway_in_it(void **state)
{
    struct hg_jwt t;
    struct hg_jwt_facts f;
    const char *why;

    (void)state;
    assert_int_equal(claims("{\"tenant\":\"a\",\"exp\":1000001.25}", &plain, &t, &f, &why), 0);
    assert_int_equal(f.expires_us, 1000031250000LL);
    hg_jwt_fini(&t);
    assert_int_equal(claims("{\"tenant\":\"a\"}", &plain, &t, &f, &why), 0);
    assert_int_equal(f.expires_us, HG_JWT_NEVER);
    hg_jwt_fini(&t);
}

static void audience_and_issuer_are_exact(void **state)
{
    static const struct {
        const char *claims, *audiences, *issuers, *why;
    } rows[] = {
        {"", "", "", NULL},
        {"\"aud\":\"x\"", "", "", "jwt_audience is empty"},
        {"\"aud\":[]", "", "", "jwt_audience is empty"},
        {"\"aud\":null", "", "", "jwt_audience is empty"},
        {"", "x", "", "aud"},
        {"\"aud\":\"x\"", "y, x", "", NULL},
        {"\"aud\":\"X\"", "x", "", "aud"},
        {"\"aud\":\"x \"", "x", "", "aud"},
        {"\"aud\":\"\"", "x", "", "aud"},
        {"\"aud\":[1,null,[\"x\"],{\"x\":\"x\"}]", "x", "", "aud"},
        {"\"aud\":[1,\"x\"]", "x", "", NULL},
        {"\"aud\":{\"a\":\"x\"}", "x", "", "aud"},
        {"\"aud\":\"y\",\"aud\":\"x\"", "x", "", "aud"},
        {"\"iss\":\"i\"", "", "", NULL},
        {"\"iss\":\"i\"", "", "j, i", NULL},
        {"\"iss\":\"k\"", "", "j, i", "iss"},
        {"\"iss\":[\"i\"]", "", "i", "iss"},
        {"\"iss\":\"i\",\"iss\":\"i\"", "", "i", "iss"},
        {"", "", "i", "iss"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_jwt_rules r = plain;
        char text[160];

        r.audiences = hg_slice_str(rows[i].audiences);
        r.issuers = hg_slice_str(rows[i].issuers);
        snprintf(text, sizeof text, "{\"tenant\":\"a\"%s%s}", rows[i].claims[0] ? "," : "",
                 rows[i].claims);
        judge(text, &r, rows[i].why);
    }
}

static void names_come_from_claims_and_paths(void **state)
{
    static const struct {
        const char *claims, *claim, *tenant; /* tenant NULL: refused */
    } rows[] = {
        {"{\"tenant\":\"a\"}", "tenant", "a"},
        {"{\"tenant\":\"\"}", "tenant", ""},
        {"{\"tenant\":42}", "tenant", "42"},
        {"{\"tenant\":18446744073709551617}", "tenant", "18446744073709551617"},
        {"{\"tenant\":4.2}", "tenant", NULL},
        {"{\"tenant\":1e3}", "tenant", NULL},
        {"{\"tenant\":-1}", "tenant", NULL},
        {"{\"tenant\":true}", "tenant", NULL},
        {"{\"tenant\":[\"a\"]}", "tenant", NULL},
        {"{\"tenant\":{\"a\":\"b\"}}", "tenant", NULL},
        {"{\"tenant\":null}", "tenant", NULL},
        {"{\"tenant\":\"a\\ud800\"}", "tenant", NULL},
        {"{\"tenant\":\"a\\udc00b\"}", "tenant", NULL},
        {"{\"tenant\":\"\\ud83d\\ude00\"}", "tenant", "\xf0\x9f\x98\x80"},
        {"{\"Tenant\":\"a\"}", "tenant", NULL},
        {"{\"tenant\":\"a\",\"tenant\":\"b\"}", "tenant", NULL},
        {"{\"org\":{\"id\":\"a\"}}", "org.id", "a"},
        {"{\"org.id\":\"b\",\"org\":{\"id\":\"a\"}}", "org.id", "b"},
        {"{\"org\":{\"id\":\"a\"},\"org\":{\"id\":\"b\"}}", "org.id", NULL},
        {"{\"org\":{\"id\":\"a\",\"id\":\"b\"}}", "org.id", NULL},
        {"{\"org\":[{\"id\":\"a\"}]}", "org.id", NULL},
        {"{\"org\":\"a\"}", "org.id", NULL},
        {"{\"a\":{\"b\":{\"c\":\"x\"}}}", "a.b.c", "x"},
        {"{\"https://x.example/t\":\"a\"}", "https://x.example/t", "a"},
        {"{\"a\":[\"x\"]}", "a.", NULL},
        {"{}", ".", NULL},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_jwt_rules r = plain;
        struct hg_jwt t;
        struct hg_jwt_facts f;
        const char *why = "";
        int rc;

        r.tenant_claim = hg_slice_str(rows[i].claim);
        rc = claims(rows[i].claims, &r, &t, &f, &why);
        if (rows[i].tenant ? rc != 0 || !hg_slice_is(f.tenant, rows[i].tenant) || !f.tenant.p
                           : rc != -HG_E_UNAUTHORIZED)
            fail_msg("%s: %d %s", rows[i].claims, rc, why);
        hg_jwt_fini(&t);
    }
}

static void a_claim_that_is_not_asked_for_is_not_read(void **state)
{
    struct hg_jwt_rules r = {.now_us = plain.now_us};
    struct hg_jwt t;
    struct hg_jwt_facts f;
    const char *why;

    (void)state;
    assert_int_equal(claims("{\"tenant\":1.5,\"sub\":[],\"permissions\":7}", &r, &t, &f, &why), 0);
    assert_null(f.tenant.p);
    assert_null(f.user.p);
    assert_null(f.permissions.node);
    hg_jwt_fini(&t);
}

static void permissions_are_words(void **state)
{
    static const struct {
        const char *value, *words; /* NULL: refused */
    } rows[] = {
        {"\"a b\"", "a|b|"},
        {"\"  a   bc \"", "a|bc|"},
        {"\"\"", ""},
        {"\" \"", ""},
        {"\"a,b\\tc\"", "a,b\tc|"},
        {"[]", ""},
        {"[\"a\",\"b c\"]", "a|b c|"},
        {"[1,\"a\",null,[\"x\"],{\"y\":\"z\"},\"\",\"b\"]", "a||b|"},
        {"7", NULL},
        {"{\"a\":\"b\"}", NULL},
        {"true", NULL},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_jwt t;
        struct hg_jwt_facts f;
        struct hg_buf got = {0};
        struct hg_slice word;
        const char *why = "";
        char text[160];
        int rc;

        snprintf(text, sizeof text, "{\"tenant\":\"a\",\"permissions\":%s}", rows[i].value);
        rc = claims(text, &plain, &t, &f, &why);
        assert_int_equal(rc, rows[i].words ? 0 : -HG_E_UNAUTHORIZED);
        if (rc == 0) {
            assert_non_null(f.permissions.node);
            for (struct hg_jwt_words it = {.in = f.permissions}; hg_jwt_word(&it, &word);) {
                hg_buf_add_slice(&got, word);
                hg_buf_addc(&got, '|');
            }
            assert_string_equal(hg_test_text(&got), rows[i].words);
        }
        hg_buf_fini(&got);
        hg_jwt_fini(&t);
    }
    judge("{\"tenant\":\"a\",\"permissions\":[],\"permissions\":[\"x\"]}", &plain, "permissions");
    judge("{\"tenant\":\"a\",\"permissions\":null}", &plain, NULL);
}

static void claims_that_are_no_object_are_refused(void **state)
{
    static const char *const rows[] = {"",
                                       "[]",
                                       "\"x\"",
                                       "null",
                                       "{",
                                       "{}{}",
                                       "{\"a\":\"\xc3\"}",
                                       "{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}"};

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        judge(rows[i], &plain, "claims");
}

static void the_example_of_the_rfc_has_its_claims(void **state)
{
    struct hg_jwt_rules r = {.now_us = JOE_EXP * 1000000LL - 1,
                             .require_exp = true,
                             .issuers = HG_SLICE_LIT("joe"),
                             .user_claim = HG_SLICE_LIT("iss")};
    struct hg_jwt t;
    struct hg_jwt_facts f;
    const char *why;

    (void)state;
    assert_int_equal(hg_jwt_open(HG_SLICE_LIT(ES256_TOKEN), &t, &why), 0);
    assert_int_equal(hg_jwt_claims(&t, &r, &f, &why), 0);
    assert_true(hg_slice_is(f.user, "joe"));
    hg_jwt_fini(&t);
    r.now_us++;
    assert_int_equal(hg_jwt_open(HG_SLICE_LIT(ES256_TOKEN), &t, &why), 0);
    assert_int_equal(hg_jwt_claims(&t, &r, &f, &why), -HG_E_UNAUTHORIZED);
    hg_jwt_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfcs_open),
        cmocka_unit_test(no_part_of_a_token_is_one),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(headers_that_mean_harm_are_refused),
        cmocka_unit_test(a_huge_token_is_refused_unread),
        cmocka_unit_test(times_are_numbers_within_the_leeway),
        cmocka_unit_test(when_it_ends_has_the_leeway_in_it),
        cmocka_unit_test(audience_and_issuer_are_exact),
        cmocka_unit_test(names_come_from_claims_and_paths),
        cmocka_unit_test(a_claim_that_is_not_asked_for_is_not_read),
        cmocka_unit_test(permissions_are_words),
        cmocka_unit_test(claims_that_are_no_object_are_refused),
        cmocka_unit_test(the_example_of_the_rfc_has_its_claims),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
