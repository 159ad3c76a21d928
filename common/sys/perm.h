/*
 * Permissions of a session as bits, grown from perm.def. Words come from the option
 * default_permissions and from claims; what is allowed by a bit is asked where it is done.
 */
#ifndef HG_COMMON_SYS_PERM_H
#define HG_COMMON_SYS_PERM_H

#include "common/base/slice.h"

enum hg_perm_index {
#define HG_PERM(name, word, doc) HG_PERM_##name##_INDEX,
#include "common/sys/perm.def"
#undef HG_PERM
    HG_PERM_COUNT
};

enum hg_perm {
#define HG_PERM(name, word, doc) HG_PERM_##name = 1 << HG_PERM_##name##_INDEX,
#include "common/sys/perm.def"
#undef HG_PERM
};

unsigned hg_perm_find(struct hg_slice word); /* its bit; 0: no such permission */
/* Of a comma list as options have it; words that are none are passed over. */
unsigned hg_perm_list(const char *list);

#endif
