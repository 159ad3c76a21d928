#include "proto/jwt.h"

#include "common/base/err.h"
#include "proto/base64.h"
#include "proto/http1.h"

/* Far below what JSON elsewhere may hold: a token is read before anybody is known. */
static const struct hg_json_limits limits = {HG_JWT_MAX, 16, 1024};

static int refuse(const char *text, const char **why)
{
    *why = text;
    return -HG_E_UNAUTHORIZED;
}

/* ---- the three parts ---- */

/* Part of *rest up to a dot; false without one. */
static bool take_part(struct hg_slice *rest, struct hg_slice *part)
{
    const char *dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;

    if (!dot)
        return false;
    *part = hg_slice_of(rest->p, (size_t)(dot - rest->p));
    *rest = hg_slice_of(dot + 1, rest->n - part->n - 1);
    return true;
}

/* Member of that name: 1, 0 without one, -1 when there are two (RFC 7519 4 leaves which counts to
 * the reader: two readers of one token would disagree). */
static int find_once(struct hg_json_val obj, struct hg_slice name, struct hg_json_val *out)
{
    int n = 0;

    for (struct hg_json_val v = hg_json_first(obj); v.node; v = hg_json_next(v))
        if (hg_slice_eq(hg_json_key(v), name)) {
            *out = v;
            n++;
        }
    return n > 1 ? -1 : n;
}

static int find_lit(struct hg_json_val obj, const char *name, struct hg_json_val *out)
{
    return find_once(obj, hg_slice_str(name), out);
}

static int read_header(struct hg_jwt *t, const char **why)
{
    struct hg_json_val head = hg_json_root(&t->header), v;
    int n;

    if (hg_json_type(head) != HG_JSON_OBJECT)
        return refuse("malformed: the header is no object", why);
    if (find_lit(head, "crit", &v) != 0) /* RFC 7515 4.1.11: we understand no extension */
        return refuse("header crit: an extension that is not understood", why);
    if (find_lit(head, "alg", &v) != 1 || !hg_json_text(v).n)
        return refuse("malformed: header alg", why);
    t->alg = hg_json_text(v);
    n = find_lit(head, "kid", &v);
    if (n < 0 || (n && !hg_json_text(v).p))
        return refuse("malformed: header kid", why);
    t->kid = n ? hg_json_text(v) : HG_SLICE_NONE;
    return 0;
}

int hg_jwt_open(struct hg_slice text, struct hg_jwt *t, const char **why)
{
    struct hg_slice rest = text, header, payload;
    size_t header_n, payload_n;

    *t = (struct hg_jwt){0};
    if (text.n > HG_JWT_MAX)
        return refuse("too large", why);
    if (!take_part(&rest, &header) || !take_part(&rest, &payload))
        return refuse("malformed: not three parts", why);
    t->signing_input = hg_slice_of(text.p, header.n + 1 + payload.n);
    hg_buf_reserve(&t->bytes, text.n); /* slices into it are kept: it must not move */
    if (hg_b64url_decode(&t->bytes, header) < 0)
        return refuse("malformed: base64url of the header", why);
    header_n = t->bytes.n;
    if (hg_b64url_decode(&t->bytes, payload) < 0)
        return refuse("malformed: base64url of the claims", why);
    payload_n = t->bytes.n - header_n;
    if (hg_b64url_decode(&t->bytes, rest) < 0) /* a fourth part's dot fails here, too */
        return refuse("malformed: base64url of the signature", why);
    t->payload = hg_slice_of(t->bytes.p + header_n, payload_n);
    t->signature =
        hg_slice_of(t->bytes.p + header_n + payload_n, t->bytes.n - header_n - payload_n);
    if (t->signature.n == 0)
        return refuse("no signature", why);
    if (hg_json_parse(hg_slice_of(t->bytes.p, header_n), &limits, &t->header) < 0)
        return refuse("malformed: the header is no JSON", why);
    return read_header(t, why);
}

void hg_jwt_fini(struct hg_jwt *t)
{
    hg_json_fini(&t->header);
    hg_json_fini(&t->claims);
    hg_buf_fini(&t->bytes);
    *t = (struct hg_jwt){0};
}

/* ---- claims ---- */

/* A claim by its name, or by its path; as find_once. A null is no claim. */
static int find_claim(struct hg_json_val obj, struct hg_slice name, struct hg_json_val *out)
{
    int n = find_once(obj, name, out);

    while (n == 0) {
        struct hg_slice step;
        struct hg_json_val inner;

        if (!take_part(&name, &step))
            return 0;
        n = find_once(obj, step, &inner);
        if (n != 1)
            return n;
        if (hg_json_type(inner) != HG_JSON_OBJECT)
            return 0;
        obj = inner;
        n = find_once(obj, name, out);
    }
    return n > 0 && hg_json_type(*out) == HG_JSON_NULL ? 0 : n;
}

/* NumericDate (RFC 7519 2): seconds, fractions allowed. 1, 0 when absent, -1 when it is none. */
static int find_time(struct hg_json_val claims, const char *name, int64_t *us)
{
    const double most = 1e12; /* 33,000 years: in microseconds well inside an int64 */
    struct hg_json_val v;
    double s;
    int n = find_lit(claims, name, &v);

    if (n != 1)
        return n;
    if (!hg_json_double(v, &s) || s > most || s < -most)
        return -1;
    *us = (int64_t)(s * 1e6);
    return 1;
}

static int check_times(struct hg_json_val claims, const struct hg_jwt_rules *r,
                       struct hg_jwt_facts *f, const char **why)
{
    int64_t exp = 0, nbf = 0;
    int n = find_time(claims, "exp", &exp);

    if (n < 0)
        return refuse("malformed: exp", why);
    if (n == 0 && r->require_exp)
        return refuse("no exp (jwt_require_exp)", why);
    f->expires_us = n ? exp + r->leeway_us : HG_JWT_NEVER;
    if (n && r->now_us >= f->expires_us)
        return refuse("expired", why);
    n = find_time(claims, "nbf", &nbf);
    if (n < 0)
        return refuse("malformed: nbf", why);
    if (n && r->now_us < nbf - r->leeway_us)
        return refuse("not valid yet (nbf)", why);
    return 0;
}

static bool is_one_of(struct hg_slice list, struct hg_slice s)
{
    struct hg_slice item;

    while (hg_http_list_next(&list, &item))
        if (s.p && hg_slice_eq(item, s))
            return true;
    return false;
}

static bool is_empty(struct hg_slice list)
{
    struct hg_slice item;

    return !hg_http_list_next(&list, &item);
}

static int check_audience(struct hg_json_val claims, struct hg_slice list, const char **why)
{
    struct hg_json_val v = {0};
    int n = find_lit(claims, "aud", &v);

    if (n < 0)
        return refuse("malformed: aud", why);
    if (is_empty(list))
        return n ? refuse("aud: the token is for somebody, and jwt_audience is empty", why) : 0;
    if (is_one_of(list, hg_json_text(v)))
        return 0;
    if (hg_json_type(v) == HG_JSON_ARRAY)
        for (v = hg_json_first(v); v.node; v = hg_json_next(v))
            if (is_one_of(list, hg_json_text(v)))
                return 0;
    return refuse("aud: none of jwt_audience", why);
}

static int check_issuer(struct hg_json_val claims, struct hg_slice list, const char **why)
{
    struct hg_json_val v = {0};

    if (is_empty(list))
        return 0;
    if (find_lit(claims, "iss", &v) == 1 && is_one_of(list, hg_json_text(v)))
        return 0;
    return refuse("iss: none of jwt_issuer", why);
}

/* Half a surrogate pair is read as U+FFFD: names that differ in it alone would be one. */
static bool is_mended(struct hg_slice s)
{
    return s.n && memmem(s.p, s.n, "\xef\xbf\xbd", 3);
}

/* A string, or a whole number as it is written, for issuers whose users are numbered. */
static struct hg_slice name_of(struct hg_json_val v)
{
    struct hg_slice raw = hg_json_raw(v);

    if (hg_json_type(v) == HG_JSON_STRING)
        return is_mended(hg_json_text(v)) ? HG_SLICE_NONE : hg_json_text(v);
    if (hg_json_type(v) != HG_JSON_NUMBER)
        return HG_SLICE_NONE;
    for (size_t i = 0; i < raw.n; i++)
        if (raw.p[i] < '0' || raw.p[i] > '9')
            return HG_SLICE_NONE;
    return raw;
}

static int read_name(struct hg_json_val claims, struct hg_slice claim, struct hg_slice *out)
{
    struct hg_json_val v;
    int n = claim.n ? find_claim(claims, claim, &v) : 0;

    *out = HG_SLICE_NONE;
    if (n == 1) {
        *out = name_of(v);
        return out->p ? 1 : -1;
    }
    return n;
}

static int read_names(struct hg_json_val claims, const struct hg_jwt_rules *r,
                      struct hg_jwt_facts *f, const char **why)
{
    int n = read_name(claims, r->tenant_claim, &f->tenant);

    if (n < 0)
        return refuse("malformed: the tenant's claim", why);
    if (n == 0 && r->tenant_claim.n)
        return refuse("no tenant (jwt_tenant_claim)", why);
    if (read_name(claims, r->user_claim, &f->user) < 0)
        return refuse("malformed: the user's claim", why);
    n = r->permissions_claim.n ? find_claim(claims, r->permissions_claim, &f->permissions) : 0;
    if (n == 0)
        f->permissions = (struct hg_json_val){0};
    if (n < 0 || (n && hg_json_type(f->permissions) != HG_JSON_ARRAY &&
                  hg_json_type(f->permissions) != HG_JSON_STRING))
        return refuse("malformed: the permissions' claim", why);
    return 0;
}

int hg_jwt_claims(struct hg_jwt *t, const struct hg_jwt_rules *r, struct hg_jwt_facts *f,
                  const char **why)
{
    struct hg_json_val claims;
    int rc;

    *f = (struct hg_jwt_facts){.expires_us = HG_JWT_NEVER};
    if (hg_json_parse(t->payload, &limits, &t->claims) < 0)
        return refuse("malformed: the claims are no JSON", why);
    claims = hg_json_root(&t->claims);
    if (hg_json_type(claims) != HG_JSON_OBJECT)
        return refuse("malformed: the claims are no object", why);
    rc = check_times(claims, r, f, why);
    if (rc == 0)
        rc = check_audience(claims, r->audiences, why);
    if (rc == 0)
        rc = check_issuer(claims, r->issuers, why);
    return rc < 0 ? rc : read_names(claims, r, f, why);
}

/* ---- permissions ---- */

static bool next_of_text(struct hg_slice *rest, struct hg_slice *word)
{
    size_t n = 0;

    while (rest->n && *rest->p == ' ')
        *rest = hg_slice_of(rest->p + 1, rest->n - 1);
    while (n < rest->n && rest->p[n] != ' ')
        n++;
    if (n == 0) /* rest may be no text at all */
        return false;
    *word = hg_slice_of(rest->p, n);
    *rest = hg_slice_of(rest->p + n, rest->n - n);
    return true;
}

bool hg_jwt_word(struct hg_jwt_words *it, struct hg_slice *word)
{
    if (hg_json_type(it->in) != HG_JSON_ARRAY) {
        if (!it->begun)
            it->rest = hg_json_text(it->in);
        it->begun = true;
        return next_of_text(&it->rest, word);
    }
    do { /* what is no string is no word */
        it->at = it->begun ? hg_json_next(it->at) : hg_json_first(it->in);
        it->begun = true;
        *word = hg_json_text(it->at);
    } while (it->at.node && !word->p);
    return it->at.node != NULL;
}
