/* Any bytes as a redis:// URL: no overrun, a place within the text, nothing half filled taken as
 * good. */
#include "worker/redis_url.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hg_redis_url u;
    const char *why = NULL;
    size_t at = 0;
    if (hg_redis_url_parse(hg_slice_of(data, size), &u, &why, &at) == 0)
        HG_BUG_ON(!u.host[0] || !u.port || u.db > HG_REDIS_DB_MAX ||
                  strnlen(u.host, sizeof u.host) == sizeof u.host);
    else
        HG_BUG_ON(!why || at > size);
    return 0;
}
