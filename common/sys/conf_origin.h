/*
 * struct hg_conf as it is really allocated: with the place each value came from beside it. Private
 * to conf*.c.
 */
#ifndef HG_COMMON_SYS_CONF_ORIGIN_H
#define HG_COMMON_SYS_CONF_ORIGIN_H

#include "common/sys/conf_value.h"

struct hg_conf_full {
    struct hg_conf cf; /* first: a struct hg_conf is one of these */
    char *origin[HG_OPT_COUNT];
};

static inline char **hg_conf_origin(const struct hg_conf *cf, const struct hg_opt *o)
{
    return &((struct hg_conf_full *)(uintptr_t)cf)->origin[o - hg_opts];
}

#endif
