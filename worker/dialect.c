#include "worker/dialect.h"

#include "common/base/macros.h"

static const struct hg_dialect rows[] = {
#define HG_DIALECT(profile, user, welcome, typed_errors, whole_session, late_b64, lenient, typed,  \
                   presence)                                                                       \
    [HG_PROFILE_##profile] = {#profile, user,    welcome, typed_errors, whole_session,             \
                              late_b64, lenient, typed,   presence},
#include "worker/dialect.def"
#undef HG_DIALECT
};

const struct hg_dialect *hg_dialect(enum hg_profile p)
{
    return &rows[p];
}

int hg_dialect_find(struct hg_slice name)
{
    for (unsigned i = 0; i < HG_COUNTOF(rows); i++)
        if (name.n == strlen(rows[i].name) && strncasecmp(name.p, rows[i].name, name.n) == 0)
            return (int)i;
    return -1;
}
