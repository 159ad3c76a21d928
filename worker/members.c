/* Which way it is (members.h). */
#include "worker/members.h"

#include <bsd/string.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/sys/log.h"
#include "worker/cache.h"
#include "worker/redis_url.h"

struct hg_members {
    const struct hg_members_way *row;
    void *way;
};

/* Has somebody said where the hot cache is? Profile v3 alone turns it on, too, but then there may
 * be nobody at its default place, and without a registry that answers no end would ever be told. */
static bool cache_is_named(const struct hg_conf *cf)
{
    return hg_cache_wanted(cf) &&
           (cf->hot_cache == HG_HOT_CACHE_ON || hg_conf_is_given(cf, HG_SLICE_LIT("keydb_host")) ||
            hg_conf_is_given(cf, HG_SLICE_LIT("keydb_port")));
}

static bool parse(const char *option, const char *text, struct hg_redis_url *url)
{
    const char *why;
    size_t at;
    if (hg_redis_url_parse(hg_slice_str(text), url, &why, &at) == 0)
        return true;
    hg_log(HG_LOG_ERROR, "registry", "registry.config", "option=%s why=\"%s\" at=%zu", option, why,
           at + 1); /* the URL itself may hold a password */
    return false;
}

/* The Redis to ask; false: this host decides alone. */
static bool where(const struct hg_conf *cf, struct hg_redis_url *url)
{
    memset(url, 0, sizeof *url);
    if (*cf->registry_url)
        return parse("registry_url", cf->registry_url, url);
    if (strcmp(cf->backplane, "redis") == 0)
        return parse("backplane_url",
                     *cf->backplane_url ? cf->backplane_url : "redis://localhost:6379", url);
    if (!cache_is_named(cf))
        return false;
    strlcpy(url->host, cf->keydb_host, sizeof url->host);
    strlcpy(url->password, cf->keydb_password, sizeof url->password);
    url->port = (uint16_t)cf->keydb_port;
    return true;
}

struct hg_members *hg_members_new(const struct hg_members_spec *spec)
{
    struct hg_members *mb = hg_calloc(1, sizeof *mb);
    struct hg_redis_url url;
    if (where(spec->conf, &url)) {
        mb->row = &hg_members_registry;
        mb->way = hg_members_registry_new(spec, &url);
    } else {
        mb->row = &hg_members_alone;
        mb->way = hg_members_alone_new(spec);
    }
    explicit_bzero(&url, sizeof url);
    return mb;
}

void hg_members_free(struct hg_members *mb)
{
    if (!mb)
        return;
    mb->row->free(mb->way);
    free(mb);
}

int hg_members_join(struct hg_members *mb, const struct hg_member_item *items, unsigned n)
{
    return mb->row->join(mb->way, items, n);
}

void hg_members_leave(struct hg_members *mb, struct hg_slice key, uint64_t hash, bool told)
{
    mb->row->leave(mb->way, key, hash, told);
}

void hg_members_closed(struct hg_members *mb, struct hg_slice key, uint64_t hash, const char *token,
                       bool ok)
{
    mb->row->closed(mb->way, key, hash, token, ok);
}

bool hg_members_is_alone(const struct hg_members *mb)
{
    return mb->row == &hg_members_alone;
}
