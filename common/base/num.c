/* See num.h. Everything is computed in integers with checks before each step, so nothing wraps and
 * nothing is rounded twice. */
#include "common/base/num.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"

static const char not_number[] = "not a number";
static const char out_of_range[] = "out of range";
static const char unknown_unit[] = "unknown unit";

static int bad(const char **why, const char *text)
{
    *why = text;
    return -HG_E_CONF_VALUE;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits at the front of *s into *v, which they leave. */
static int take_digits(struct hg_slice *s, uint64_t *v, const char **why)
{
    if (s->n == 0 || !is_digit(s->p[0]))
        return bad(why, not_number);
    for (*v = 0; s->n && is_digit(s->p[0]); s->p++, s->n--) {
        unsigned d = (unsigned)(s->p[0] - '0');

        if (*v > (UINT64_MAX - d) / 10)
            return bad(why, out_of_range);
        *v = *v * 10 + d;
    }
    return 0;
}

int hg_num_u64(struct hg_slice s, uint64_t *out, const char **why)
{
    uint64_t v;
    int rc = take_digits(&s, &v, why);

    if (rc < 0)
        return rc;
    if (s.n)
        return bad(why, not_number);
    *out = v;
    return 0;
}

int hg_num_i64(struct hg_slice s, int64_t *out, const char **why)
{
    bool minus = s.n && s.p[0] == '-';
    uint64_t v, limit = (uint64_t)INT64_MAX + minus;
    int rc;

    if (minus) {
        s.p++;
        s.n--;
    }
    rc = hg_num_u64(s, &v, why);
    if (rc < 0)
        return rc;
    if (v > limit)
        return bad(why, out_of_range);
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

/* strtod alone would take blanks, hex, "inf" and "nan"; the process never calls setlocale, so the
 * point is a point. */
int hg_num_double(struct hg_slice s, double *out, const char **why)
{
    char text[64], *end;
    double v;

    if (s.n == 0 || s.n >= sizeof text)
        return bad(why, not_number);
    for (size_t i = 0; i < s.n; i++)
        if (!is_digit(s.p[i]) && !(s.p[i] && strchr("+-.eE", s.p[i])))
            return bad(why, not_number);
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    v = strtod(text, &end);
    if (end != text + s.n)
        return bad(why, not_number);
    if (!isfinite(v))
        return bad(why, out_of_range);
    *out = v;
    return 0;
}

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {{"", 1},         {"b", 1},        {"k", 1 << 10},
                                         {"kb", 1 << 10}, {"m", 1 << 20},  {"mb", 1 << 20},
                                         {"g", 1 << 30},  {"gb", 1 << 30}, {NULL, 0}};
static const struct unit time_units[] = {
    {"us", 1},           {"ms", 1000},         {"s", 1000000}, {"m", 60000000},
    {"h", 3600000000LL}, {"d", 86400000000LL}, {NULL, 0},
};

static const struct unit *find_unit(const struct unit *u, struct hg_slice s)
{
    for (; u->name; u++) {
        size_t i = 0;

        while (i < s.n && u->name[i] && tolower((unsigned char)s.p[i]) == u->name[i])
            i++;
        if (i == s.n && u->name[i] == '\0')
            return u;
    }
    return NULL;
}

/* ".25" of one unit, to the nearest step. *s begins at the point. */
static int take_fraction(struct hg_slice *s, double *frac, const char **why)
{
    double step = 0.1;

    s->p++;
    s->n--;
    if (s->n == 0 || !is_digit(s->p[0]))
        return bad(why, not_number);
    for (; s->n && is_digit(s->p[0]); s->p++, s->n--, step /= 10)
        *frac += (s->p[0] - '0') * step;
    return 0;
}

/* number[.fraction]unit */
static int parse_with_unit(struct hg_slice s, const struct unit *units, bool fractions,
                           int64_t *out, const char **why)
{
    const struct unit *u;
    double frac = 0;
    uint64_t whole;
    int64_t part;
    int rc = take_digits(&s, &whole, why);

    if (rc < 0)
        return rc;
    if (fractions && s.n && s.p[0] == '.') {
        rc = take_fraction(&s, &frac, why);
        if (rc < 0)
            return rc;
    }
    u = find_unit(units, s);
    if (!u && s.n == 0 && whole == 0 && frac == 0) /* "0" is none in every unit */
        u = &units[0];
    if (!u)
        return bad(why, unknown_unit);
    part = (int64_t)(frac * (double)u->factor + 0.5);
    if (whole > (uint64_t)((INT64_MAX - part) / u->factor))
        return bad(why, out_of_range);
    *out = (int64_t)whole * u->factor + part;
    return 0;
}

int hg_num_size(struct hg_slice s, int64_t *bytes, const char **why)
{
    return parse_with_unit(s, size_units, false, bytes, why);
}

int hg_num_duration(struct hg_slice s, int64_t *us, const char **why)
{
    return parse_with_unit(s, time_units, true, us, why);
}

unsigned hg_num_u64_text(uint64_t v, char out[21])
{
    char rev[20];
    unsigned n = 0;

    do {
        rev[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (unsigned i = 0; i < n; i++)
        out[i] = rev[n - 1 - i];
    out[n] = '\0';
    return n;
}

/* The fewest digits that read back as d, without a point; *exp: of the first one. */
static unsigned shortest(double d, char digits[18], int *exp)
{
    char text[HG_NUM_JS_TEXT];
    unsigned n = 0;

    for (int more = 0; more < 17; more++) {
        snprintf(text, sizeof text, "%.*e", more, d);
        if (strtod(text, NULL) == d)
            break;
    }
    for (const char *p = text; *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    *exp = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    return n;
}

static unsigned js_finite(double d, char *out, unsigned room)
{
    static const char zeros[] = "00000000000000000000";
    char digits[18];
    int exp, rc, n = (int)shortest(d, digits, &exp), whole = exp + 1;

    if (whole >= n && whole <= 21)
        rc = snprintf(out, room, "%s%.*s", digits, whole - n, zeros);
    else if (whole > 0 && whole <= 21)
        rc = snprintf(out, room, "%.*s.%s", whole, digits, digits + whole);
    else if (whole > -6 && whole <= 0)
        rc = snprintf(out, room, "0.%.*s%s", -whole, zeros, digits);
    else
        rc = snprintf(out, room, "%c%s%se%+d", digits[0], n > 1 ? "." : "", digits + 1, exp);
    return (unsigned)rc;
}

unsigned hg_num_js_text(double d, char out[HG_NUM_JS_TEXT])
{
    unsigned sign = d < 0;

    if (isnan(d))
        return (unsigned)snprintf(out, HG_NUM_JS_TEXT, "NaN");
    if (isinf(d))
        return (unsigned)snprintf(out, HG_NUM_JS_TEXT, "%sInfinity", sign ? "-" : "");
    if (d == 0) /* -0 too */
        return (unsigned)snprintf(out, HG_NUM_JS_TEXT, "0");
    if (sign)
        out[0] = '-';
    return sign + js_finite(sign ? -d : d, out + sign, HG_NUM_JS_TEXT - sign);
}
