/* redis://[user][:password]@host[:port][/db]: see redis_url.h. */
#include "worker/redis_url.h"

#include "common/base/err.h"
#include "common/base/num.h"

struct parse {
    struct hg_slice text;
    const char **why;
    size_t *at;
};

static int fail(struct parse *p, const char *place, const char *why)
{
    *p->why = why;
    *p->at = (size_t)(place - p->text.p);
    return -HG_E_CONF_VALUE;
}

static struct hg_slice before(struct hg_slice s, const char *end)
{
    return hg_slice_of(s.p, (size_t)(end - s.p));
}

static struct hg_slice from(struct hg_slice s, const char *start)
{
    return hg_slice_of(start, s.n - (size_t)(start - s.p));
}

static const char *find(struct hg_slice s, char c)
{
    return s.n ? memchr(s.p, c, s.n) : NULL;
}

static const char *find_last(struct hg_slice s, char c)
{
    return s.n ? memrchr(s.p, c, s.n) : NULL;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return -1;
}

/* Percent-decodes s into out (cap bytes with the NUL). */
static int decode(struct parse *p, struct hg_slice s, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int c = (unsigned char)s.p[i];
        if (c == '%') {
            int high = s.n - i > 2 ? hex(s.p[i + 1]) : -1, low = high >= 0 ? hex(s.p[i + 2]) : -1;
            if (low < 0)
                return fail(p, s.p + i, "% without two hex digits");
            c = high << 4 | low;
            i += 2;
        }
        if (c == 0)
            return fail(p, s.p + i, "a NUL byte");
        if (n + 1 >= cap)
            return fail(p, s.p, "too long");
        out[n++] = (char)c;
    }
    out[n] = 0;
    return 0;
}

static int parse_user(struct parse *p, struct hg_slice s, struct hg_redis_url *out)
{
    const char *colon = find(s, ':');
    int rc = decode(p, colon ? before(s, colon) : s, out->user, sizeof out->user);
    if (rc == 0 && colon)
        rc = decode(p, from(s, colon + 1), out->password, sizeof out->password);
    if (rc == 0 && out->user[0] && !out->password[0])
        return fail(p, s.p, "a user without a password (a password alone is written :password@)");
    return rc;
}

static int parse_number(struct parse *p, struct hg_slice s, const char *what, uint64_t max,
                        uint64_t *out)
{
    const char *why;
    if (hg_num_u64(s, out, &why) < 0 || *out > max)
        return fail(p, s.p, what);
    return 0;
}

static int parse_host(struct parse *p, struct hg_slice s, struct hg_redis_url *out)
{
    struct hg_slice host = s, port = HG_SLICE_NONE;
    const char *end = s.n && s.p[0] == '[' ? find(s, ']') : NULL;
    const char *colon = find(end ? from(s, end) : s, ':');
    uint64_t number = HG_REDIS_PORT;
    if (s.n && s.p[0] == '[' && !end)
        return fail(p, s.p, "[ without ]");
    if (colon) {
        host = before(s, colon);
        port = from(s, colon + 1);
    }
    if (end) {
        if (host.p + host.n != end + 1)
            return fail(p, end + 1, "something behind the ]");
        host = before(from(s, s.p + 1), end);
    }
    if (host.n == 0)
        return fail(p, s.p, "no host");
    if (port.p &&
        (parse_number(p, port, "not a port (1..65535)", 65535, &number) < 0 || number == 0))
        return fail(p, port.p, "not a port (1..65535)");
    out->port = (uint16_t)number;
    for (size_t i = 0; i < host.n; i++)
        if ((unsigned char)host.p[i] <= ' ' || host.p[i] == 127 || (!end && host.p[i] == '['))
            return fail(p, host.p + i, "not a host name");
    return decode(p, host, out->host, sizeof out->host);
}

static int parse_db(struct parse *p, struct hg_slice s, struct hg_redis_url *out)
{
    uint64_t db = 0;
    if (s.n == 0) /* redis://host/ */
        return 0;
    int rc = parse_number(p, s, "not a database number", HG_REDIS_DB_MAX, &db);
    out->db = (uint32_t)db;
    return rc;
}

int hg_redis_url_parse(struct hg_slice text, struct hg_redis_url *out, const char **why, size_t *at)
{
    static const char scheme[] = "redis://";
    struct parse p = {text, why, at};
    size_t n = sizeof scheme - 1;
    *out = (struct hg_redis_url){.port = HG_REDIS_PORT};
    if (text.n >= 9 && memcmp(text.p, "rediss://", 9) == 0)
        return fail(&p, text.p, "TLS (rediss://) is not supported");
    if (text.n < n || memcmp(text.p, scheme, n) != 0)
        return fail(&p, text.p, "not redis://[:password@]host:port[/db]");
    struct hg_slice s = from(text, text.p + n);
    const char *mark = find_last(s, '@'); /* passwords may hold an @ that nobody encoded */
    struct hg_slice host = mark ? from(s, mark + 1) : s;
    const char *slash = find(host, '/');
    int rc = mark ? parse_user(&p, before(s, mark), out) : 0;
    if (rc == 0)
        rc = parse_host(&p, slash ? before(host, slash) : host, out);
    if (rc == 0 && slash)
        rc = parse_db(&p, from(host, slash + 1), out);
    return rc;
}
