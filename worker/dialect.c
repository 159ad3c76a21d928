#include "worker/dialect.h"

#include "common/base/macros.h"

static const struct hg_dialect rows[HG_DIALECTS] = {
#define HG_DIALECT(profile, ...) [HG_DIALECT_##profile] = {#profile, __VA_ARGS__},
#include "worker/dialect.def"
#undef HG_DIALECT
};

_Static_assert((int)HG_DIALECT_V3 == (int)HG_PROFILE_V3, "rows stand in the order of the profiles");

const struct hg_dialect *hg_dialect(unsigned id)
{
    return &rows[id];
}

int hg_dialect_find(struct hg_slice name)
{
    for (int i = 0; i <= HG_PROFILE_V3; i++)
        if (name.n == strlen(rows[i].name) && strncasecmp(name.p, rows[i].name, name.n) == 0)
            return i;
    return -1;
}

int hg_dialect_named(struct hg_slice subprotocol)
{
    static const char own[] = "headgate.";
    size_t n = sizeof own - 1;

    if (subprotocol.n < n || memcmp(subprotocol.p, own, n) != 0)
        return -1;
    return hg_dialect_find(hg_slice_of(subprotocol.p + n, subprotocol.n - n));
}

enum hg_dialect_id hg_dialect_of(const struct hg_conf *conf, struct hg_slice path, bool subprotocol)
{
    struct hg_slice rest = hg_slice_str(conf->profile_paths), item;
    int best = conf->profile;
    size_t best_n = 0;

    while (hg_conf_list_next(&rest, &item)) {
        const char *eq = memchr(item.p, '=', item.n);
        size_t n = eq ? (size_t)(eq - item.p) : 0;

        if (n >= best_n && n > 0 && n <= path.n && memcmp(item.p, path.p, n) == 0) {
            int found = hg_dialect_find(hg_slice_of(eq + 1, item.n - n - 1));

            if (found >= 0)
                best = found;
            best_n = n;
        }
    }
    if (best == HG_PROFILE_AUTO && subprotocol)
        return HG_DIALECT_BEARER;
    return (enum hg_dialect_id)best;
}

bool hg_dialect_hears_bare(unsigned id, const struct hg_conf *conf, struct hg_slice tenant)
{
    if (!rows[id].bare)
        return false;
    if (conf->bare_keys == HG_BARE_ALL ||
        (conf->bare_keys == HG_BARE_AUTO && conf->auth == HG_AUTH_TRUST))
        return true;
    return hg_slice_is(tenant, conf->default_tenant);
}
