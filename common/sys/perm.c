#include "common/sys/perm.h"

#include "common/base/macros.h"
#include "common/sys/conf.h"

static const char *const words[] = {
#define HG_PERM(name, word, doc) #word,
#include "common/sys/perm.def"
#undef HG_PERM
};

_Static_assert(HG_PERM_COUNT <= 8, "struct hg_session keeps them in a byte");

unsigned hg_perm_find(struct hg_slice word)
{
    for (unsigned i = 0; i < HG_COUNTOF(words); i++)
        if (hg_slice_is(word, words[i]))
            return 1u << i;
    return 0;
}

unsigned hg_perm_list(const char *list)
{
    struct hg_slice rest = hg_slice_str(list), item;
    unsigned perms = 0;

    while (hg_conf_list_next(&rest, &item))
        perms |= hg_perm_find(item);
    return perms;
}
