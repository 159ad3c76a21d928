/*
 * The host of a group of tests that need nothing but its shared memory: two slots, one topic.
 *
 *   host                                                               the group's
 *   cmocka_run_group_tests(tests, hg_test_host_up, hg_test_host_down)  makes it, frees it
 */
#ifndef HG_TESTS_SUPPORT_SMALLHOST_H
#define HG_TESTS_SUPPORT_SMALLHOST_H

#include "common/sys/host.h"

static struct hg_host *host;

static inline int hg_test_host_up(void **state)
{
    struct hg_host_spec spec = {.nslots = 2, .ring_size = 65536, .topics = "t"};
    const char *why;

    (void)state;
    return hg_host_new(&spec, &host, &why);
}

static inline int hg_test_host_down(void **state)
{
    (void)state;
    hg_host_free(host);
    return 0;
}

#endif
