/* nats://[user:password@]host[:port][,host2...]: see nats_url.h. */
#include "worker/nats_url.h"

#include <ctype.h>
#include <stdio.h>
#include "common/base/err.h"
#include "common/base/num.h"

struct parse {
    const char *start;
    const char **why;
    size_t *at;
};

static int fail(struct parse *p, const char *place, const char *why)
{
    *p->why = why;
    *p->at = (size_t)(place - p->start);
    return -HG_E_CONF_VALUE;
}

/* What stands before c goes from the front of s, with the c; all of it if there is none. */
static struct hg_slice take(struct hg_slice *s, char c)
{
    const char *mark = s->n ? memchr(s->p, c, s->n) : NULL;
    size_t n = mark ? (size_t)(mark - s->p) : s->n, skip = n + (mark != NULL);
    struct hg_slice part = hg_slice_of(s->p, n);
    *s = hg_slice_of(s->p + skip, s->n - skip);
    return part;
}

static int hex(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    return isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 : -1;
}

/* Percent-decodes s into out (cap bytes with the NUL). */
static int decode(struct parse *p, struct hg_slice s, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *place = s.p + i;
        int c = (unsigned char)*place;
        if (c == '%') {
            int hi = s.n - i < 3 ? -1 : hex(s.p[i + 1]);
            int lo = hi < 0 ? -1 : hex(s.p[i + 2]);
            if (lo < 0)
                return fail(p, place, "% without two hex digits");
            c = hi * 16 + lo;
            i += 2;
        }
        if (c == 0)
            return fail(p, place, "a NUL byte");
        if (n + 1 >= cap)
            return fail(p, s.p, "too long");
        out[n++] = (char)c;
    }
    out[n] = 0;
    return 0;
}

static int parse_user(struct parse *p, struct hg_slice s, struct hg_nats_url *out)
{
    struct hg_slice whole = s, user = take(&s, ':');
    int rc = decode(p, user, out->user, sizeof out->user);
    if (rc == 0)
        rc = decode(p, s, out->password, sizeof out->password);
    if (rc == 0 && !out->user[0])
        return fail(p, whole.p, "no user before the @");
    return rc;
}

/* Brackets only around an IPv6 address; nothing that ends a URL or a line of the protocol. */
static bool is_host(struct hg_slice s)
{
    bool bracket = s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';
    struct hg_slice others = hg_slice_str(bracket ? ":." : "-._");
    for (size_t i = bracket; i + bracket < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !memchr(others.p, s.p[i], others.n))
            return false;
    return s.n > 0 && s.n < 256;
}

static int parse_host(struct parse *p, struct hg_slice s, struct hg_nats_url *out)
{
    const char *end = s.n && s.p[0] == '[' ? memchr(s.p, ']', s.n) : NULL;
    struct hg_slice rest = end ? hg_slice_of(end + 1, s.n - (size_t)(end + 1 - s.p)) : s;
    const char *colon = rest.n ? memchr(rest.p, ':', rest.n) : NULL;
    struct hg_slice host = hg_slice_of(s.p, colon ? (size_t)(colon - s.p) : s.n);
    uint64_t port = HG_NATS_PORT;
    const char *why;
    if (!is_host(host))
        return fail(p, s.p, "not a host name");
    if (colon && (hg_num_u64(hg_slice_of(colon + 1, s.n - host.n - 1), &port, &why) < 0 ||
                  port == 0 || port > 65535))
        return fail(p, colon + 1, "not a port (1..65535)");
    if (out->hosts == HG_NATS_HOSTS_MAX)
        return fail(p, s.p, "more than 16 hosts");
    char *to = out->host[out->hosts++];
    snprintf(to, sizeof out->host[0], "nats://%.*s:%u", HG_SLICE_ARG(host), (unsigned)port);
    return 0;
}

int hg_nats_url_parse(struct hg_slice text, struct hg_nats_url *out, const char **why, size_t *at)
{
    static const char scheme[] = "nats://";
    struct parse p = {text.p, why, at};
    size_t n = sizeof scheme - 1;
    *out = (struct hg_nats_url){.hosts = 0};
    if (text.n < n || memcmp(text.p, scheme, n) != 0)
        return fail(&p, text.p, "not nats://[user:password@]host:port[,host2:port]");
    struct hg_slice s = hg_slice_of(text.p + n, text.n - n);
    const char *mark = s.n ? memrchr(s.p, '@', s.n) : NULL; /* passwords may hold an @ */
    int rc = 0;
    if (mark) {
        size_t used = (size_t)(mark - s.p);
        rc = parse_user(&p, hg_slice_of(s.p, used), out);
        s = hg_slice_of(mark + 1, s.n - used - 1);
    }
    if (s.n && s.p[s.n - 1] == '/')
        s.n--;
    do {
        struct hg_slice host = take(&s, ',');
        if (rc == 0)
            rc = parse_host(&p, host, out);
    } while (rc == 0 && s.n);
    return rc;
}
