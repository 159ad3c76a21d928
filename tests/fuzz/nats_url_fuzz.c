/* Any bytes as a nats:// URL: no overrun, a place within the text, no host that could say more than
 * its name. */
#include "worker/nats_url.c"

static bool is_clean(const char *s, size_t cap)
{
    size_t n = strnlen(s, cap);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= ' ' || s[i] == '@' || s[i] == ',')
            return false;
    return n > sizeof "nats://:1" - 1 && n < cap;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hg_nats_url u;
    const char *why = NULL;
    size_t at = 0;
    if (hg_nats_url_parse(hg_slice_of(data, size), &u, &why, &at) < 0) {
        HG_BUG_ON(!why || at > size);
        return 0;
    }
    HG_BUG_ON(u.hosts == 0 || u.hosts > HG_NATS_HOSTS_MAX || (u.password[0] && !u.user[0]));
    for (unsigned i = 0; i < u.hosts; i++)
        HG_BUG_ON(!is_clean(u.host[i], sizeof u.host[i]));
    return 0;
}
