/* The host's shared memory: topics, positions, watermark, poison, wakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/err.h"
#include "common/sys/host.h"

static struct hg_host *make(const char *topics)
{
    struct hg_host_spec spec = {.nslots = 3, .ring_size = 100000, .topics = topics};
    struct hg_host *h;
    const char *why;
    assert_int_equal(hg_host_new(&spec, &h, &why), 0);
    return h;
}

static void test_shape(void **state)
{
    (void)state;
    struct hg_host *h = make("a");
    assert_int_equal(h->nseats, 8);
    assert_int_equal(h->ring_size, 131072);
    assert_int_equal(strlen(h->instance_id), 16);
    assert_int_not_equal(h->boot_id, 0);
    assert_ptr_equal(hg_host_ring_data(h, 7) + h->ring_size, (unsigned char *)h + h->map_size);
    hg_host_ring_data(h, 7)[h->ring_size - 1] = 1;
    for (uint32_t s = 0; s < HG_MAX_SLOTS; s++)
        assert_int_equal(h->shares[s].holder, HG_NO_SEAT);
    assert_int_equal(h->parts[HG_TOPIC_PARTS - 1].next, -1);
    assert_true(h->seats[3].ring.readers[5].cursor == HG_CURSOR_NONE);
    hg_host_free(h);
}

static void test_instance_id(void **state)
{
    (void)state;
    struct hg_host_spec spec = {.nslots = 1, .instance_id = "0123456789abcdef", .topics = ""};
    struct hg_host *h;
    const char *why;
    assert_int_equal(hg_host_new(&spec, &h, &why), 0);
    assert_string_equal(h->instance_id, "0123456789abcdef");
    hg_host_free(h);
    spec.instance_id = "0123456789ABCDEF";
    assert_int_equal(hg_host_new(&spec, &h, &why), -HG_E_CONF_VALUE);
    assert_null(h);
    spec.instance_id = "0123456789abcdef0";
    assert_int_equal(hg_host_new(&spec, &h, &why), -HG_E_CONF_VALUE);
}

static void test_topics(void **state)
{
    (void)state;
    struct hg_host *h =
        make(" server.page.diffs, server.row.events,x:diff:offset ,y:row:header,,z : row ");
    assert_int_equal(h->ntopics, 5);
    static const struct {
        const char *name;
        uint32_t kind;
        bool offset;
    } expect[] = {{"server.page.diffs", HG_TOPIC_DIFF, false},
                  {"server.row.events", HG_TOPIC_ROW, false},
                  {"x", HG_TOPIC_DIFF, true},
                  {"y", HG_TOPIC_ROW, false},
                  {"z", HG_TOPIC_ROW, false}};
    for (uint32_t t = 0; t < 5; t++) {
        assert_string_equal(h->topics[t].name, expect[t].name);
        assert_int_equal(h->topics[t].kind, expect[t].kind);
        assert_int_equal(h->topics[t].version_is_offset, expect[t].offset);
        assert_false(h->topics[t].seen);
    }
    hg_host_free(h);
}

/* Whose record keys are hashIds alone (C-6, C-7): the topic's kind, its name, the profile. */
static void test_bare_topics(void **state)
{
    static const char topics[] = "server.cdc.filtered,server.page.diffs,server.row.events,a,b:diff,"
                                 "c:bare,d:routed,e:row,server.page.diffs2:bare:offset";
    static const bool bare[2][9] = {
        {true, false, false, false, false, true, false, false, true},
        {true, false, false, true, true, true, false, false, true},
    };
    const char *why;
    (void)state;
    for (int v1 = 0; v1 < 2; v1++) {
        struct hg_host_spec spec = {.nslots = 1, .topics = topics, .bare = v1};
        struct hg_host *h;
        assert_int_equal(hg_host_new(&spec, &h, &why), 0);
        assert_true(h->has_bare);
        for (uint32_t t = 0; t < 9; t++)
            assert_int_equal(h->topics[t].kind == HG_TOPIC_BARE, bare[v1][t]);
        hg_host_free(h);
    }
    struct hg_host *h = make("server.page.diffs,server.row.events");
    assert_false(h->has_bare);
    hg_host_free(h);
}

static void test_the_same_topic_twice_is_one(void **state)
{
    (void)state;
    struct hg_host *h = make("a,b:row, a ,a:diff,b:row:header,a:routed");
    assert_int_equal(h->ntopics, 2);
    hg_host_free(h);
}

static void test_bad_topics(void **state)
{
    (void)state;
    static const struct {
        const char *topics, *why;
    } bad[] = {
        {"a,b:rows", "topic \"b:rows\": its kind must be diff, bare, routed, row or envelope"},
        {"a:diff:lsn", "topic \"a:diff:lsn\": its version must come from header or offset"},
        {"a:diff:offset:x",
         "topic \"a:diff:offset:x\": its version must come from header or offset"},
        {"a:", "topic \"a:\": its kind must be diff, bare, routed, row or envelope"},
        {"a,b,a:row", "topic \"a:row\": named twice"},
        {"a,b,a:diff:offset", "topic \"a:diff:offset\": named twice"},
        {"a b", "topic \"a b\": not a Kafka topic name"},
        {":row", "topic \":row\": not a Kafka topic name"},
        {"a,..", "topic \"..\": not a Kafka topic name"},
        {"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "topic \"17\": more than 16 topics"}};
    for (size_t i = 0; i < HG_COUNTOF(bad); i++) {
        struct hg_host_spec spec = {.nslots = 1, .topics = bad[i].topics};
        struct hg_host *h;
        const char *why;
        assert_int_equal(hg_host_new(&spec, &h, &why), -HG_E_CONF_VALUE);
        assert_string_equal(why, bad[i].why);
        assert_null(h);
    }
}

static void test_long_topic(void **state)
{
    (void)state;
    char name[600];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 0;
    struct hg_host_spec spec = {.nslots = 1, .topics = name};
    struct hg_host *h;
    const char *why;
    assert_int_equal(hg_host_new(&spec, &h, &why), -HG_E_CONF_VALUE);
    name[249] = 0;
    assert_int_equal(hg_host_new(&spec, &h, &why), 0);
    assert_string_equal(h->topics[0].name, name);
    hg_host_free(h);
}

static void test_topic_seen(void **state)
{
    (void)state;
    struct hg_host *h = make("a,b");
    hg_host_topic_seen(h, 0, 3);
    hg_host_topic_seen(h, 0, 5);
    hg_host_topic_seen(h, 0, 4); /* stale metadata of a slower sibling */
    assert_int_equal(h->topics[0].start_count, 3);
    assert_int_equal(h->topics[0].count, 5);
    hg_host_topic_seen(h, 1, 0);
    hg_host_topic_seen(h, 1, 100000);
    assert_int_equal(h->topics[1].start_count, 0);
    assert_int_equal(h->topics[1].count, HG_TOPIC_PARTS);
    hg_host_free(h);
}

static void test_positions_known(void **state)
{
    (void)state;
    struct hg_host *h = make("a,b");
    assert_false(hg_host_positions_known(h));
    hg_host_topic_seen(h, 0, 2);
    hg_host_topic_seen(h, 1, 0);
    assert_false(hg_host_positions_known(h));
    h->parts[1].known = 1;
    assert_false(hg_host_positions_known(h));
    h->parts[0].known = 1;
    assert_true(hg_host_positions_known(h));
    assert_true(hg_host_positions_known(h));
    hg_host_topic_seen(h, 1, 1); /* a topic made later */
    assert_false(hg_host_positions_known(h));
    h->parts[HG_TOPIC_PARTS].known = 1;
    assert_true(hg_host_positions_known(h));
    hg_host_free(h);
}

static void test_no_topics_are_known(void **state)
{
    (void)state;
    struct hg_host *h = make("");
    assert_true(hg_host_positions_known(h));
    assert_int_equal(hg_host_watermark(h).v, 0);
    hg_host_free(h);
}

static void test_watermark(void **state)
{
    (void)state;
    struct hg_host *h = make("a,b");
    hg_host_topic_seen(h, 0, 2);
    hg_host_topic_seen(h, 1, 1);
    h->parts[1].lsn = 7;
    assert_int_equal(hg_host_watermark(h).v, 7);
    h->parts[HG_TOPIC_PARTS].lsn = UINT64_MAX;
    assert_true(hg_host_watermark(h).v == UINT64_MAX);
    hg_host_free(h);
}

static void test_shares(void **state)
{
    (void)state;
    struct hg_host *h = make("a,b");
    bool dealt[3] = {false};
    for (uint32_t p = 0; p < 3; p++)
        dealt[hg_host_part_slot(h, p)] = true;
    assert_true(dealt[0] && dealt[1] && dealt[2]);
    assert_false(hg_host_holds(h, 0, 1));
    h->shares[1].holder = 4;
    assert_true(hg_host_holds(h, 4, 1));
    h->shares[1].release = 1;
    assert_false(hg_host_holds(h, 4, 1));
    hg_host_free(h);
}

static void test_poison(void **state)
{
    (void)state;
    struct hg_host *h = make("a");
    assert_false(hg_host_is_poison(h, (struct hg_pos){0, 0}));
    h->poison_skip[HG_POISON_MAX - 1].offset = 9;
    h->poison_skip[HG_POISON_MAX - 1].part = 1;
    assert_true(hg_host_is_poison(h, (struct hg_pos){0, 9}));
    assert_false(hg_host_is_poison(h, (struct hg_pos){1, 9}));
    assert_false(hg_host_is_poison(h, (struct hg_pos){0, 8}));
    hg_host_free(h);
}

static bool is_awake(struct hg_host *h, uint32_t seat)
{
    struct pollfd p = {.fd = h->wake_fd[seat], .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void test_wake(void **state)
{
    (void)state;
    struct hg_host *h = make("a");
    uint64_t full = UINT64_MAX - 1;
    hg_host_wake(h, 2);
    assert_true(is_awake(h, 2));
    assert_false(is_awake(h, 1));
    assert_int_equal(write(h->wake_fd[1], &full, sizeof full), sizeof full);
    hg_host_wake(h, 1); /* a counter at its limit must not block */
    hg_host_wake_all(h);
    for (uint32_t s = 0; s < h->nseats; s++)
        assert_true(is_awake(h, s));
    hg_host_free(h);
}

static void test_children_share_it(void **state)
{
    (void)state;
    struct hg_host *h = make("a");
    pid_t pid = fork();
    if (pid == 0) {
        h->parts[0].next = 42;
        hg_host_wake(h, 0);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(h->parts[0].next, 42);
    assert_true(is_awake(h, 0));
    hg_host_free(h);
    hg_host_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_instance_id),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_the_same_topic_twice_is_one),
        cmocka_unit_test(test_bad_topics),
        cmocka_unit_test(test_bare_topics),
        cmocka_unit_test(test_long_topic),
        cmocka_unit_test(test_topic_seen),
        cmocka_unit_test(test_positions_known),
        cmocka_unit_test(test_no_topics_are_known),
        cmocka_unit_test(test_watermark),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_poison),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_children_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
