/*
 * Random queries, thousands a run: whatever tree there is, what is built of it passes the official
 * verifier, and read back it is the same tree, through FlatBuffers and through JSON.
 * HG_TEST_SEED=n repeats a run whose seed was printed.
 */
#include "tests/support/hgtest.h"
#include <bsd/stdlib.h>
#include "tests/support/query_gen.h"

enum { CASES = 4000, BYTES = 2000 };

static uint64_t seed;

static void fill(unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (unsigned char)(seed >> 56);
    }
}

static void survive(unsigned i, bool plain)
{
    unsigned char bytes[BYTES];
    uint64_t of_case = seed;
    fill(bytes, sizeof(bytes));
    struct query_gen g = {
        .p = bytes, .n = bytes[0] % 16 ? sizeof(bytes) : bytes[1], .plain = plain};
    struct hg_query *q = query_make(&g);
    const char *fault = query_survives(q, plain);
    if (fault) {
        struct hg_buf b = {0};
        hg_query_put_json(&b, q);
        fail_msg("case %u (HG_TEST_SEED=%llu begins with it): %s\n%s", i,
                 (unsigned long long)of_case, fault, hg_test_text(&b));
    }
    hg_query_free(q);
}

static void any_query_survives(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CASES; i++)
        survive(i, false);
}

static void plain_queries_survive_json_too(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CASES; i++)
        survive(i, true);
}

/* The comparison must be able to fail: one changed byte of a built query is another query, or
 * none. */
static void a_changed_byte_is_seen(void **state)
{
    (void)state;
    unsigned char bytes[BYTES];
    unsigned seen = 0, read = 0;
    for (int i = 0; i < 200; i++) {
        fill(bytes, sizeof(bytes));
        struct query_gen g = {.p = bytes, .n = sizeof(bytes), .plain = true};
        struct hg_query *q = query_make(&g), *back;
        struct hg_buf b = {0};
        char why[HG_QUERY_WHY_MAX];
        hg_query_put_control(&b, q);
        hg_query_free(q);
        if (hg_query_from_fb(hg_buf_slice(&b), false, &q, why) == 0) {
            b.p[seed % b.n] ^= 1;
            if (hg_query_from_fb(hg_buf_slice(&b), false, &back, why) == 0) {
                read++;
                seen += query_same(q, back) != NULL;
                hg_query_free(back);
            } else {
                seen++;
            }
            hg_query_free(q);
        }
        hg_buf_fini(&b);
    }
    assert_true(read > 20 && seen > 100); /* the rest is padding and vtables */
}

int main(void)
{
    const char *given = getenv("HG_TEST_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_query_survives),
        cmocka_unit_test(plain_queries_survive_json_too),
        cmocka_unit_test(a_changed_byte_is_seen),
    };
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)arc4random() << 32 | arc4random();
    printf("HG_TEST_SEED=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
