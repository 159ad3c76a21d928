/* The map against a plain array as its model, removal while iterating, and SipHash-1-3 against
 * another implementation. */
#include "tests/support/hgtest.h"
#include "common/base/map.h"

struct item {
    struct hg_map_node node;
    char key[16];
    int seen;
};

static void fill(struct item *it, unsigned i)
{
    int n = snprintf(it->key, sizeof it->key, "k%u", i);

    it->node.key = hg_slice_of(it->key, (size_t)n);
    it->seen = 0;
}

static struct item *get(struct hg_map *m, const char *key)
{
    struct hg_map_node *x = hg_map_get(m, hg_slice_str(key));

    return x ? HG_CONTAINER_OF(x, struct item, node) : NULL;
}

static void what_is_put_is_found_until_removed(void **state)
{
    enum { N = 5000 };
    struct item *items = calloc(N, sizeof *items);
    struct hg_map m = {0};

    (void)state;
    assert_null(get(&m, "k1"));
    for (unsigned i = 0; i < N; i++) {
        fill(&items[i], i);
        hg_map_put(&m, &items[i].node);
    }
    assert_int_equal(m.count, N);
    for (unsigned i = 0; i < N; i += 2)
        hg_map_del(&m, &items[i].node);
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(get(&m, items[i].key), i % 2 ? &items[i] : NULL);
    assert_int_equal(m.count, N / 2);
    hg_map_fini(&m);
    free(items);
}

static void iteration_meets_each_once_and_may_remove(void **state)
{
    enum { N = 300 };
    static struct item items[N];
    struct hg_map m = {0};
    struct hg_map_iter it = {0};
    struct hg_map_node *x;
    unsigned met = 0;

    (void)state;
    assert_null(hg_map_next(&m, &it));
    for (unsigned i = 0; i < N; i++) {
        fill(&items[i], i);
        hg_map_put(&m, &items[i].node);
    }
    for (it = (struct hg_map_iter){0}; (x = hg_map_next(&m, &it)); met++) {
        struct item *i = HG_CONTAINER_OF(x, struct item, node);

        assert_int_equal(i->seen++, 0);
        hg_map_del(&m, x);
        memset(x, 0xee, sizeof *x); /* as if freed */
    }
    assert_int_equal(met, N);
    assert_int_equal(m.count, 0);
    hg_map_fini(&m);
}

static void keys_are_bytes(void **state)
{
    struct item a = {.node.key = HG_SLICE_LIT("a\0b")}, b = {.node.key = HG_SLICE_LIT("a\0c")},
                e = {.node.key = HG_SLICE_LIT("")};
    struct hg_map m = {0};

    (void)state;
    hg_map_put(&m, &a.node);
    hg_map_put(&m, &b.node);
    hg_map_put(&m, &e.node);
    assert_ptr_equal(hg_map_get(&m, HG_SLICE_LIT("a\0c")), &b.node);
    assert_ptr_equal(hg_map_get(&m, HG_SLICE_LIT("")), &e.node);
    assert_null(hg_map_get(&m, HG_SLICE_LIT("a")));
    hg_map_fini(&m);
}

static void put_twice(void *arg)
{
    struct item a = {.node.key = HG_SLICE_LIT("x")}, b = a;
    struct hg_map m = {0};

    (void)arg;
    hg_map_put(&m, &a.node);
    hg_map_put(&m, &b.node);
}

static void remove_stranger(void *arg)
{
    struct item a = {.node.key = HG_SLICE_LIT("x")}, b = a;
    struct hg_map m = {0};

    (void)arg;
    hg_map_put(&m, &a.node);
    b.node.hash = a.node.hash;
    hg_map_del(&m, &b.node);
}

static void broken_promises_die(void **state)
{
    (void)state;
    assert_true(hg_test_dies(put_twice, NULL));
    assert_true(hg_test_dies(remove_stranger, NULL));
}

/* From CPython 3.11 (siphash13, PYTHONHASHSEED=0, which is the all-zero key). */
static void hash_is_siphash13(void **state)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } vec[] = {
        {"a", 0x407448d2b89b1813u},
        {"headgate", 0xde36473c872b72adu},
        {"0123456789abcdef", 0x1d42b30f7e060c24u},
        {"demo_orders|q1", 0xfdf8234716006694u},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0x1c308a9f11b6a742u},
    };
    static const unsigned char zero[16], other[16] = {1};

    (void)state;
    hg_hash_seed(zero);
    for (size_t i = 0; i < HG_COUNTOF(vec); i++)
        assert_true(hg_hash(hg_slice_str(vec[i].text)) == vec[i].hash);
    hg_hash_seed(other);
    assert_true(hg_hash(HG_SLICE_LIT("a")) != vec[0].hash);
}

/* Hosts and processes of different age must agree on this one for ever. */
static void fixed_hash_ignores_the_seed(void **state)
{
    static const unsigned char seed[16] = {7};
    uint64_t before = hg_hash_fixed(HG_SLICE_LIT("demo_orders|q1"));

    (void)state;
    hg_hash_seed(seed);
    assert_true(hg_hash_fixed(HG_SLICE_LIT("demo_orders|q1")) == before);
    assert_true(before == 0x62ac3c57cb9a5139u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found_until_removed),
        cmocka_unit_test(iteration_meets_each_once_and_may_remove),
        cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test(broken_promises_die),
        cmocka_unit_test(hash_is_siphash13),
        cmocka_unit_test(fixed_hash_ignores_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
