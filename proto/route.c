#include "proto/route.h"

#include "common/base/err.h"
#include "common/base/map.h"
#include "proto/utf8.h"

/* NULL, or why s can't be a name. A control character is below 0x20 or DEL; refused always, as
 * names end up in logs. */
static const char *fault_of(struct hg_slice s, size_t max, const char *refused)
{
    if (s.n == 0)
        return "empty";
    if (s.n > max)
        return "too long";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f)
            return "control character";
        if (*refused && strchr(refused, c))
            return c == '|' ? "'|' is not allowed" : "'_' is not allowed (tenant_underscore)";
    }
    return NULL;
}

static int verdict(const char *fault, int err, const char **why)
{
    if (why)
        *why = fault ? fault : "";
    return fault ? -err : 0;
}

/* '|' and '_' separate the parts of a routing key: inside a part they would make two tenants' keys
 * equal (B-13). */
int hg_route_check_tenant(struct hg_slice s, bool underscore, const char **why)
{
    const char *fault = fault_of(s, HG_ROUTE_TENANT_MAX, underscore ? "|" : "|_");

    if (!fault && !hg_utf8_valid(s.p, s.n)) /* written as JSON two of them would be one */
        fault = "not UTF-8";
    return verdict(fault, HG_E_BAD_TENANT, why);
}

int hg_route_check_table(struct hg_slice s, const char **why)
{
    return verdict(fault_of(s, HG_ROUTE_TABLE_MAX, "|"), HG_E_BAD_NAME, why);
}

int hg_route_check_hash(struct hg_slice s, const char **why)
{
    return verdict(fault_of(s, HG_ROUTE_HASH_MAX, ""), HG_E_BAD_NAME, why);
}

int hg_route_check_room(struct hg_slice s, const char **why)
{
    return verdict(fault_of(s, HG_ROUTE_ROOM_MAX, ""), HG_E_BAD_NAME, why);
}

struct hg_slice hg_route_path(struct hg_slice path)
{
    const char *query = path.n ? memchr(path.p, '?', path.n) : NULL;

    return query ? hg_slice_of(path.p, (size_t)(query - path.p)) : path;
}

void hg_route_put_key(struct hg_buf *out, struct hg_slice tenant, struct hg_slice table,
                      struct hg_slice hash_id)
{
    hg_buf_add_slice(out, tenant);
    hg_buf_addc(out, '_');
    hg_buf_add_slice(out, table);
    hg_buf_addc(out, '|');
    hg_buf_add_slice(out, hash_id);
}

struct hg_slice hg_route_hash_of(struct hg_slice key)
{
    const char *bar = key.n ? memchr(key.p, '|', key.n) : NULL;
    if (!bar)
        return HG_SLICE_NONE;
    return hg_slice_of(bar + 1, (size_t)(key.p + key.n - bar - 1));
}

void hg_route_put_hub(struct hg_buf *out, enum hg_route_kind kind, struct hg_slice tenant,
                      struct hg_slice name)
{
    hg_buf_addc(out, (char)kind);
    hg_buf_addc(out, '\0');
    hg_buf_add_slice(out, tenant);
    hg_buf_addc(out, '\0');
    hg_buf_add_slice(out, name);
}

uint64_t hg_route_hub_hash(enum hg_route_kind kind, struct hg_slice tenant, struct hg_slice name)
{
    char small[1024];
    size_t n = 3 + tenant.n + name.n;
    if (n > sizeof(small)) {
        struct hg_buf key = {0};
        hg_route_put_hub(&key, kind, tenant, name);
        uint64_t h = hg_hash_fixed(hg_buf_slice(&key));
        hg_buf_fini(&key);
        return h;
    }
    char *p = small;
    *p++ = (char)kind;
    *p++ = '\0';
    p = (char *)mempcpy(p, tenant.n ? tenant.p : "", tenant.n);
    *p++ = '\0';
    memcpy(p, name.n ? name.p : "", name.n);
    return hg_hash_fixed(hg_slice_of(small, n));
}
