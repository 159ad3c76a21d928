/*
 * A text is walked twice: first by a scanner of our own, strict and without recursion, which notes
 * where each value stands; then by cJSON, which builds the tree. Both meet the values in the same
 * order, so that the n-th node and the n-th span are the same value; a node keeps n in its
 * valueint, a field that says nothing true about 64-bit numbers anyway.
 */
#include "proto/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"

static const struct hg_json_limits default_limits = {HG_JSON_MAX_BYTES, HG_JSON_MAX_DEPTH,
                                                     HG_JSON_MAX_VALUES};
const struct hg_json_limits hg_json_of_rows = {HG_JSON_MAX_BYTES, HG_JSON_ROW_DEPTH,
                                               HG_JSON_MAX_VALUES};

const char *hg_json_of_rows_most(int rc)
{
    return rc == -HG_E_DEPTH     ? "at most " HG_TEXT_OF(HG_JSON_ROW_DEPTH) " levels of nesting"
           : rc == -HG_E_TOO_BIG ? "at most " HG_TEXT_OF(HG_JSON_MAX_VALUES) " values"
                                 : NULL;
}

/* ---- the scanner ---- */

struct scan {
    const char *start, *p, *end;
    struct hg_json *doc; /* NULL: only checking */
    unsigned max_depth;
    unsigned max_values;
    unsigned depth;
    unsigned values;
    struct {
        uint32_t span;
        char close; /* ']' or '}' */
    } open[HG_JSON_ROW_DEPTH];
};

static void skip_blank(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

/* Length of the UTF-8 sequence at p (RFC 3629: no overlong form, no surrogate, at most U+10FFFF), 0
 * if there is none. */
static unsigned utf8_at(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    if (u[0] < 0x80)
        return 1;
    if (u[0] < 0xc2 || u[0] > 0xf4)
        return 0;
    unsigned n = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    unsigned lo = u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
    unsigned hi = u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
    if (u[1] < lo || u[1] > hi)
        return 0;
    for (unsigned i = 2; i < n; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* First byte at or after p that a string cannot just pass over: quote, backslash, control, above
 * ASCII. */
static const char *plain_run(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    for (; end - p >= 8; p += 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        /* The borrow trick may also report a byte above a true hit; the loop below looks again
         * anyway. */
        if ((w | (w - ones * 0x20) | (quote - ones) | (slash - ones)) & tops)
            break;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i], low = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v * 16 + (low - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* The copy of the text that cJSON gets instead, when there is something in it that it refuses. */
static char *mended_at(struct scan *s, const char *place)
{
    size_t n = (size_t)(s->end - s->start);
    if (!s->doc->mended) {
        s->doc->mended = hg_malloc(n);
        memcpy(s->doc->mended, s->start, n);
    }
    return s->doc->mended + (place - s->start);
}

/* Half a surrogate pair becomes \ufffd: as long as what it replaces. */
static void mend_surrogate(struct scan *s, const char *escape)
{
    static const char replacement[6] = {'\\', 'u', 'f', 'f', 'f', 'd'};
    if (s->doc)
        memcpy(mended_at(s, escape), replacement, sizeof(replacement));
}

enum { LONGEST_NUMBER = 63 }; /* of cJSON's buffer */

/* A longer number becomes a short one of the same double, and blanks. */
static void mend_number(struct scan *s, const char *number)
{
    size_t n = (size_t)(s->p - number);
    char text[32], *copy;
    if (!s->doc || n <= LONGEST_NUMBER)
        return;
    copy = hg_malloc(n + 1);
    memcpy(copy, number, n);
    copy[n] = '\0';
    double d = strtod(copy, NULL);
    free(copy);
    int used = isfinite(d) ? snprintf(text, sizeof(text), "%.17g", d)
                           : snprintf(text, sizeof(text), d < 0 ? "-1e999" : "1e999");
    char *to = mended_at(s, number);
    memset(to, ' ', n);
    memcpy(to, text, (size_t)used);
}

/* p stands on \u. Adds the bytes the character takes in UTF-8 to *decoded; false: malformed, or NUL
 * where it may not be. */
static bool scan_unicode(struct scan *s, bool is_key, uint32_t *decoded)
{
    const char *escape = s->p;
    int c = hex4(s->p + 2, s->end);
    if (c < 0 || (c == 0 && is_key && s->doc))
        return false;
    s->p += 6;
    if (c < 0xd800 || c > 0xdfff) {
        *decoded += c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
        return true;
    }
    bool pair = c < 0xdc00 && s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' &&
                (hex4(s->p + 2, s->end) & ~0x3ff) == 0xdc00;
    if (pair)
        s->p += 6;
    else
        mend_surrogate(s, escape);
    *decoded += pair ? 4 : 3;
    return true;
}

/* p stands behind the opening quote; leaves it behind the closing one. */
static bool scan_string(struct scan *s, bool is_key, uint32_t *decoded)
{
    uint32_t n = 0;
    for (;;) {
        const char *q = plain_run(s->p, s->end);
        n += (uint32_t)(q - s->p);
        s->p = q;
        if (q == s->end)
            return false;
        if (*q == '"') {
            s->p++;
            *decoded = n;
            return true;
        }
        if (*q != '\\') {
            unsigned len = (unsigned char)*q < 0x20 ? 0 : utf8_at(q, s->end);
            if (len == 0)
                return false;
            s->p += len;
            n += len;
        } else if (s->end - q >= 2 && q[1] == 'u') {
            if (!scan_unicode(s, is_key, &n))
                return false;
        } else if (s->end - q >= 2 && q[1] && strchr("\"\\/bfnrt", q[1])) {
            s->p += 2;
            n++;
        } else {
            return false;
        }
    }
}

static bool scan_digits(struct scan *s)
{
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > from;
}

static bool scan_number(struct scan *s)
{
    if (*s->p == '-')
        s->p++;
    const char *first = s->p;
    if (!scan_digits(s) || (*first == '0' && s->p - first > 1))
        return false;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p | 0x20) == 'e') {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word, size_t n)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    return true;
}

static bool scan_scalar(struct scan *s, uint32_t *decoded)
{
    switch (*s->p) {
    case '"':
        s->p++;
        return scan_string(s, false, decoded);
    case 't':
        return scan_word(s, "true", 4);
    case 'f':
        return scan_word(s, "false", 5);
    case 'n':
        return scan_word(s, "null", 4);
    default: {
        const char *number = s->p;
        if (!scan_number(s))
            return false;
        mend_number(s, number);
        return true;
    }
    }
}

/* Notes that a value starts at p; returns its number. */
static uint32_t note_start(struct scan *s)
{
    struct hg_json *doc = s->doc;
    if (!doc)
        return 0;
    if (doc->nspans == doc->cap) {
        struct hg_json_span *bigger = hg_malloc(sizeof(*bigger) * doc->cap * 2);
        memcpy(bigger, doc->spans, sizeof(*bigger) * doc->nspans);
        if (doc->spans != doc->few)
            free(doc->spans);
        doc->spans = bigger;
        doc->cap *= 2;
    }
    doc->spans[doc->nspans] = (struct hg_json_span){.at = (uint32_t)(s->p - s->start)};
    return doc->nspans++;
}

static void note_end(struct scan *s, uint32_t span, uint32_t decoded)
{
    if (!s->doc)
        return;
    struct hg_json_span *at = &s->doc->spans[span];
    at->n = (uint32_t)(s->p - s->start) - at->at;
    at->decoded = decoded;
}

static bool scan_key(struct scan *s)
{
    uint32_t ignored;
    if (s->p == s->end || *s->p++ != '"' || !scan_string(s, true, &ignored))
        return false;
    skip_blank(s);
    if (s->p == s->end || *s->p++ != ':')
        return false;
    skip_blank(s);
    return true;
}

enum next { NEXT_VALUE, NEXT_KEY, NEXT_AFTER, NEXT_DONE };

/* Each step returns what the grammar wants next, or a negative error. */
static int step_value(struct scan *s)
{
    if (s->p == s->end)
        return -HG_E_BAD_JSON;
    if (++s->values > s->max_values)
        return -HG_E_TOO_BIG;
    uint32_t span = note_start(s), decoded = 0;
    if (*s->p != '{' && *s->p != '[') {
        if (!scan_scalar(s, &decoded))
            return -HG_E_BAD_JSON;
        note_end(s, span, decoded);
        return NEXT_AFTER;
    }
    if (s->depth == s->max_depth)
        return -HG_E_DEPTH;
    char close = *s->p == '{' ? '}' : ']';
    s->open[s->depth].span = span;
    s->open[s->depth++].close = close;
    s->p++;
    skip_blank(s);
    if (s->p < s->end && *s->p == close)
        return NEXT_AFTER;
    return close == '}' ? NEXT_KEY : NEXT_VALUE;
}

/* A value has ended, or an empty container has begun: closing bracket, comma, or the end. */
static int step_after(struct scan *s)
{
    skip_blank(s);
    if (s->depth == 0)
        return s->p == s->end ? NEXT_DONE : -HG_E_BAD_JSON;
    if (s->p == s->end)
        return -HG_E_BAD_JSON;
    char close = s->open[s->depth - 1].close;
    if (*s->p == close) {
        s->p++;
        note_end(s, s->open[--s->depth].span, 0);
        return NEXT_AFTER;
    }
    if (*s->p++ != ',')
        return -HG_E_BAD_JSON;
    skip_blank(s);
    return close == '}' ? NEXT_KEY : NEXT_VALUE;
}

static int scan_all(struct scan *s)
{
    int next = NEXT_VALUE;
    skip_blank(s);
    while (next >= 0 && next != NEXT_DONE) {
        if (next == NEXT_KEY)
            next = scan_key(s) ? NEXT_VALUE : -HG_E_BAD_JSON;
        else if (next == NEXT_VALUE)
            next = step_value(s);
        else
            next = step_after(s);
    }
    return next < 0 ? next : 0;
}

bool hg_json_is_valid(struct hg_slice text)
{
    struct scan s;
    s.start = s.p = text.p;
    s.end = text.p + text.n;
    s.doc = NULL;
    s.max_depth = HG_JSON_ROW_DEPTH;
    s.max_values = UINT32_MAX;
    s.depth = s.values = 0; /* open[] is a stack: nothing of it is read before it was written */
    return text.n > 0 && scan_all(&s) == 0;
}

bool hg_json_is_object(struct hg_slice text)
{
    struct scan s = {.p = text.p, .end = text.p + text.n};
    skip_blank(&s);
    return s.p < s.end && *s.p == '{' && hg_json_is_valid(text);
}

/* ---- the tree ---- */

static void number_nodes(cJSON *node, int *at)
{
    for (; node; node = node->next) {
        node->valueint = (*at)++;
        number_nodes(node->child, at);
    }
}

static int build_tree(struct hg_json *doc)
{
    int nodes = 0;
    const char *text = doc->mended ? doc->mended : doc->text.p;
    doc->root = cJSON_ParseWithLength(text, doc->text.n);
    if (!doc->root) /* no memory */
        return -HG_E_BAD_JSON;
    number_nodes(doc->root, &nodes);
    HG_BUG_ON((uint32_t)nodes != doc->nspans);
    return 0;
}

int hg_json_parse(struct hg_slice text, const struct hg_json_limits *limits, struct hg_json *doc)
{
    if (!limits)
        limits = &default_limits;
    doc->root = NULL;
    doc->mended = NULL;
    doc->text = text;
    doc->spans = doc->few;
    doc->nspans = 0;
    doc->cap = HG_COUNTOF(doc->few);
    if (text.n == 0)
        return -HG_E_BAD_JSON;
    if (text.n > limits->max_bytes || text.n > UINT32_MAX / 2)
        return -HG_E_TOO_BIG;
    struct scan s;
    s.start = s.p = text.p;
    s.end = text.p + text.n;
    s.doc = doc;
    s.max_depth = HG_MIN(limits->max_depth, HG_JSON_ROW_DEPTH);
    s.max_values = limits->max_values;
    s.depth = s.values = 0;
    int rc = scan_all(&s);
    return rc < 0 ? rc : build_tree(doc);
}

void hg_json_fini(struct hg_json *doc)
{
    cJSON_Delete(doc->root), doc->root = NULL;
    free(doc->mended), doc->mended = NULL;
    if (doc->spans != doc->few)
        free(doc->spans);
    doc->spans = NULL;
    doc->nspans = doc->cap = 0;
}

/* ---- reading ---- */

struct hg_json_val hg_json_root(const struct hg_json *doc)
{
    return (struct hg_json_val){doc, doc->root};
}

enum hg_json_type hg_json_type(struct hg_json_val v)
{
    switch (v.node ? v.node->type & 0xff : cJSON_Invalid) {
    case cJSON_NULL:
        return HG_JSON_NULL;
    case cJSON_False:
    case cJSON_True:
        return HG_JSON_BOOL;
    case cJSON_Number:
        return HG_JSON_NUMBER;
    case cJSON_String:
        return HG_JSON_STRING;
    case cJSON_Array:
        return HG_JSON_ARRAY;
    case cJSON_Object:
        return HG_JSON_OBJECT;
    default:
        return HG_JSON_ABSENT;
    }
}

static bool is_type(struct hg_json_val v, int type)
{
    return v.node && (v.node->type & 0xff) == type;
}

/* From the back, because of equal keys the last counts; the first child's prev is the last. */
struct hg_json_val hg_json_get(struct hg_json_val obj, const char *key)
{
    struct hg_json_val none = {obj.doc, NULL};
    if (!is_type(obj, cJSON_Object) || !obj.node->child)
        return none;
    const cJSON *first = obj.node->child;
    for (const cJSON *m = first->prev;; m = m->prev) {
        if (strcmp(m->string, key) == 0)
            return (struct hg_json_val){obj.doc, m};
        if (m == first)
            return none;
    }
}

struct hg_json_val hg_json_first(struct hg_json_val v)
{
    return (struct hg_json_val){v.doc, v.node ? v.node->child : NULL};
}

struct hg_json_val hg_json_next(struct hg_json_val v)
{
    return (struct hg_json_val){v.doc, v.node ? v.node->next : NULL};
}

size_t hg_json_count(struct hg_json_val v)
{
    size_t n = 0;
    for (v = hg_json_first(v); v.node; v = hg_json_next(v))
        n++;
    return n;
}

struct hg_slice hg_json_key(struct hg_json_val v)
{
    return hg_slice_str(v.node ? v.node->string : NULL);
}

static const struct hg_json_span *span_of(struct hg_json_val v)
{
    return &v.doc->spans[v.node->valueint];
}

struct hg_slice hg_json_text(struct hg_json_val v)
{
    if (!is_type(v, cJSON_String))
        return HG_SLICE_NONE;
    return hg_slice_of(v.node->valuestring, span_of(v)->decoded);
}

struct hg_slice hg_json_raw(struct hg_json_val v)
{
    if (!v.node)
        return HG_SLICE_NONE;
    return hg_slice_of(v.doc->text.p + span_of(v)->at, span_of(v)->n);
}

bool hg_json_is_mended(struct hg_json_val v)
{
    if (!is_type(v, cJSON_String) || !v.doc->mended)
        return false;
    struct hg_slice raw = hg_json_raw(v);
    return memcmp(raw.p, v.doc->mended + span_of(v)->at, raw.n) != 0;
}

bool hg_json_str(struct hg_json_val obj, const char *key, struct hg_slice *out)
{
    *out = hg_json_text(hg_json_get(obj, key));
    return out->p != NULL;
}

bool hg_json_is_true(struct hg_json_val v)
{
    return is_type(v, cJSON_True);
}

bool hg_json_is_truthy(struct hg_json_val v)
{
    switch (hg_json_type(v)) {
    case HG_JSON_BOOL:
        return hg_json_is_true(v);
    case HG_JSON_NUMBER:
        return v.node->valuedouble != 0;
    case HG_JSON_STRING:
        return hg_json_text(v).n > 0;
    case HG_JSON_ARRAY:
    case HG_JSON_OBJECT:
        return true;
    default:
        return false;
    }
}

bool hg_json_double(struct hg_json_val v, double *out)
{
    if (!is_type(v, cJSON_Number) || !isfinite(v.node->valuedouble))
        return false;
    *out = v.node->valuedouble;
    return true;
}

/* Magnitude and sign of a number. Plain digits are exact to 64 bits; 1.0 and 1e3 go through the
 * double, exact to 2^53. */
static bool integer_of(struct hg_json_val v, bool *negative, uint64_t *out)
{
    const double exact = 9007199254740992.0;
    if (!is_type(v, cJSON_Number))
        return false;
    struct hg_slice s = hg_json_raw(v);
    *negative = s.p[0] == '-';
    uint64_t n = 0;
    for (size_t i = *negative; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            double d = fabs(v.node->valuedouble);
            if (d > exact || (double)(uint64_t)d != d)
                return false;
            *out = (uint64_t)d;
            return true;
        }
        if (__builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n))
            return false;
    }
    *out = n;
    return true;
}

bool hg_json_u64(struct hg_json_val v, uint64_t *out)
{
    bool negative;
    uint64_t n;
    if (!integer_of(v, &negative, &n) || (negative && n > 0))
        return false;
    *out = n;
    return true;
}

bool hg_json_i64(struct hg_json_val v, int64_t *out)
{
    bool negative;
    uint64_t n;
    if (!integer_of(v, &negative, &n) || n > (uint64_t)INT64_MAX + negative)
        return false;
    *out = (int64_t)(negative ? 0 - n : n);
    return true;
}

static bool is_plain_integer(struct hg_slice raw)
{
    for (size_t i = 0; i < raw.n; i++)
        if ((raw.p[i] < '0' || raw.p[i] > '9') && !(i == 0 && raw.p[i] == '-'))
            return false;
    return !hg_slice_is(raw, "-0");
}

struct hg_slice hg_json_number_text(struct hg_json_val v, char room[HG_NUM_JS_TEXT])
{
    struct hg_slice raw = hg_json_raw(v);
    double d;

    if (hg_json_type(v) != HG_JSON_NUMBER)
        return HG_SLICE_NONE;
    if (is_plain_integer(raw))
        return raw;
    if (!hg_json_double(v, &d)) /* 1e999 */
        d = raw.p[0] == '-' ? -HUGE_VAL : HUGE_VAL;
    return hg_slice_of(room, hg_num_js_text(d, room));
}

/* ---- writing ---- */

static void add_escape(struct hg_buf *out, unsigned char c)
{
    static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    static const char digits[] = "0123456789abcdef";
    for (const char *p = short_form; *p; p += 2) {
        if ((unsigned char)p[0] == c) {
            hg_buf_add(out, (char[]){'\\', p[1]}, 2);
            return;
        }
    }
    hg_buf_add(out, (char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
}

void hg_json_add_str(struct hg_buf *out, struct hg_slice s)
{
    const char *p = s.p ? s.p : "", *end = p + s.n;
    hg_buf_reserve(out, s.n + 2);
    hg_buf_addc(out, '"');
    while (p < end) {
        const char *q = plain_run(p, end);
        if (q > p)
            hg_buf_add(out, p, (size_t)(q - p));
        p = q;
        if (p == end)
            break;
        if ((unsigned char)*p < 0x80) {
            add_escape(out, (unsigned char)*p++);
            continue;
        }
        unsigned n = utf8_at(p, end);
        if (n > 0)
            hg_buf_add(out, p, n);
        else
            hg_buf_adds(out, "\xef\xbf\xbd");
        p += n > 0 ? n : 1;
    }
    hg_buf_addc(out, '"');
}
