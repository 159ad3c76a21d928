/*
 * Line by line: request line, then fields until the empty line, then the rules that need all fields
 * (RFC 9112, 3.2 Host and 6.3 body length). The parser keeps no state between calls: a head is
 * small (max_head), nearly always whole, and starting again costs less than a state per connection.
 */
#include "proto/http1.h"
#include <string.h>
#include <strings.h>
#include "common/base/err.h"

/* -- characters ------------------------------------------------------------------------------- */

enum { C_TOKEN = 1, C_TARGET = 2, C_TEXT = 4, C_HOST = 8 };

#define ALNUM (C_TOKEN | C_TARGET | C_TEXT | C_HOST)
static const unsigned char chars[256] = {
    ['\t'] = C_TEXT,
    [' '] = C_TEXT,
    ['!'] = ALNUM,
    ['"'] =
        C_TEXT | C_TARGET, /* not in RFC 3986, but browsers send it and " < > cut nothing here */
    ['#'] = C_TOKEN | C_TEXT,
    ['$'] = ALNUM,
    ['%'] = ALNUM,
    ['&'] = ALNUM,
    ['\''] = ALNUM,
    ['('] = C_TARGET | C_TEXT | C_HOST,
    [')'] = C_TARGET | C_TEXT | C_HOST,
    ['*'] = ALNUM,
    ['+'] = ALNUM,
    [','] = C_TARGET | C_TEXT,
    ['-'] = ALNUM,
    ['.'] = ALNUM,
    ['/'] = C_TARGET | C_TEXT,
    ['0' ... '9'] = ALNUM,
    [':'] = C_TARGET | C_TEXT | C_HOST,
    [';'] = C_TARGET | C_TEXT | C_HOST,
    ['<'] = C_TARGET | C_TEXT,
    ['='] = C_TARGET | C_TEXT | C_HOST,
    ['>'] = C_TARGET | C_TEXT,
    ['?'] = C_TARGET | C_TEXT,
    ['@'] = C_TARGET | C_TEXT,
    ['A' ... 'Z'] = ALNUM,
    ['['] = C_TARGET | C_TEXT,
    ['\\'] = C_TARGET | C_TEXT,
    [']'] = C_TARGET | C_TEXT,
    ['^'] = C_TOKEN | C_TARGET | C_TEXT,
    ['_'] = ALNUM,
    ['`'] = C_TOKEN | C_TARGET | C_TEXT,
    ['a' ... 'z'] = ALNUM,
    ['{'] = C_TARGET | C_TEXT,
    ['|'] = C_TOKEN | C_TARGET | C_TEXT,
    ['}'] = C_TARGET | C_TEXT,
    ['~'] = ALNUM,
    [0x80 ... 0xFF] = C_TEXT,
};
#undef ALNUM

static bool all_are(struct hg_slice s, unsigned char class)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(chars[(unsigned char)s.p[i]] & class))
            return false;
    return true;
}

bool hg_http_is_token(struct hg_slice s)
{
    return s.n > 0 && all_are(s, C_TOKEN);
}

static bool is_word(struct hg_slice s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts s at the first c: before goes to *left, the rest behind c stays in s. False: no c in s. */
static bool cut(struct hg_slice *s, char c, struct hg_slice *left)
{
    const char *at = s->n ? memchr(s->p, c, s->n) : NULL;
    if (!at)
        return false;
    *left = hg_slice_of(s->p, (size_t)(at - s->p));
    *s = hg_slice_of(at + 1, s->n - left->n - 1);
    return true;
}

/* -- lines ------------------------------------------------------------------------------------ */

static int bad(const char **why, const char *text)
{
    *why = text;
    return -HG_E_HTTP_SYNTAX;
}

/*
 * One line of at most n bytes at p. Returns its length with CRLF, 0 when its end is not there yet,
 * or an error for a byte that no line may hold: RFC 9112 2.2 lets nobody else read a bare CR or LF
 * as something different from what we read.
 */
static ssize_t next_line(const char *p, size_t n, struct hg_slice *line, const char **why)
{
    size_t i = 0;
    while (i < n && chars[(unsigned char)p[i]])
        i++;
    if (i == n || (p[i] == '\r' && i + 1 == n))
        return 0;
    if (p[i] == '\r' && p[i + 1] == '\n') {
        *line = hg_slice_of(p, i);
        return (ssize_t)i + 2;
    }
    if (p[i] == '\r' || p[i] == '\n')
        return bad(why, "bare CR or LF");
    return bad(why, "control character");
}

static int parse_version(struct hg_slice s, struct hg_http_req *req, const char **why)
{
    bool shaped = s.n == 8 && memcmp(s.p, "HTTP/", 5) == 0 && s.p[6] == '.';
    if (!shaped || s.p[5] < '0' || s.p[5] > '9' || s.p[7] < '0' || s.p[7] > '9')
        return bad(why, "malformed request line");
    req->minor = s.p[7] - '0';
    if (s.p[5] == '1' && req->minor <= 1)
        return 0;
    *why = "HTTP version is not 1.0 or 1.1";
    return -HG_E_HTTP_VERSION;
}

/* absolute-form (RFC 9112 3.2.2): what is before the path decides nothing here. */
static bool drop_authority(struct hg_slice *target)
{
    size_t skip = 0;
    if (target->n >= 7 && strncasecmp(target->p, "http://", 7) == 0)
        skip = 7;
    else if (target->n >= 8 && strncasecmp(target->p, "https://", 8) == 0)
        skip = 8;
    if (skip == 0)
        return false;
    struct hg_slice rest = hg_slice_of(target->p + skip, target->n - skip);
    size_t host = 0;
    while (host < rest.n && rest.p[host] != '/' && rest.p[host] != '?')
        host++;
    *target = hg_slice_of(rest.p + host, rest.n - host);
    return host > 0;
}

static int parse_target(struct hg_slice s, struct hg_http_req *req, const char **why)
{
    if (s.n == 0 || !all_are(s, C_TARGET))
        return bad(why, "malformed request target");
    bool star = hg_slice_is(s, "*") && hg_slice_is(req->method, "OPTIONS");
    if (s.p[0] != '/' && !star && !drop_authority(&s))
        return bad(why, "request target is neither a path nor a URL");
    if (s.n == 0) /* http://host is the path / (RFC 9110 4.2.3) */
        s = HG_SLICE_LIT("/");
    req->target = s;
    req->query = s;
    if (!cut(&req->query, '?', &req->path)) {
        req->path = s;
        req->query = HG_SLICE_NONE;
    }
    if (req->path.n == 0)
        req->path = HG_SLICE_LIT("/");
    return 0;
}

static int parse_request_line(struct hg_slice line, struct hg_http_req *req, const char **why)
{
    struct hg_slice target;
    if (!cut(&line, ' ', &req->method) || !cut(&line, ' ', &target))
        return bad(why, "malformed request line");
    if (!hg_http_is_token(req->method))
        return bad(why, "malformed method");
    int err = parse_version(line, req, why);
    return err < 0 ? err : parse_target(target, req, why);
}

static int parse_field(struct hg_slice line, const struct hg_http_limits *lim,
                       struct hg_http_req *req, const char **why)
{
    if (is_blank(line.p[0]))
        return bad(why, "folded header line");
    struct hg_http_header h;
    if (!cut(&line, ':', &h.name) || !hg_http_is_token(h.name))
        return bad(why, "malformed header name");
    if (req->nheaders == lim->max_headers) {
        *why = "too many header fields";
        return -HG_E_HTTP_HEAD_TOO_BIG;
    }
    h.value = hg_slice_trim(line, HG_BLANKS);
    req->headers[req->nheaders++] = h;
    return 0;
}

/* -- rules over all fields -------------------------------------------------------------------- */

/* uri-host [ ":" port ], where an IPv6 literal keeps its colons inside brackets. */
static bool is_host(struct hg_slice s)
{
    struct hg_slice name = s, port = HG_SLICE_NONE;
    if (s.n > 0 && s.p[0] == '[') {
        s = hg_slice_of(s.p + 1, s.n - 1);
        if (!cut(&s, ']', &name) || name.n == 0 || (s.n > 0 && s.p[0] != ':'))
            return false;
        port = s.n > 0 ? hg_slice_of(s.p + 1, s.n - 1) : HG_SLICE_NONE;
    } else if (cut(&s, ':', &name)) {
        port = s;
    }
    for (size_t i = 0; i < port.n; i++)
        if (port.p[i] < '0' || port.p[i] > '9')
            return false;
    return all_are(name, C_HOST);
}

static int check_host(const struct hg_http_req *req, const char **why)
{
    unsigned hosts = hg_http_count(req, "host");
    if (hosts > 1)
        return bad(why, "more than one Host");
    if (hosts == 0)
        return req->minor == 0 ? 0 : bad(why, "no Host");
    return is_host(hg_http_get(req, "host")) ? 0 : bad(why, "malformed Host");
}

static int64_t parse_length(struct hg_slice s) /* -1: not a number */
{
    int64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        int digit = s.p[i] - '0';
        v = v > (INT64_MAX - digit) / 10 ? INT64_MAX : v * 10 + digit;
    }
    return s.n ? v : -1;
}

/* RFC 9112 6.1, 6.3: two answers to "where does the body end" are what smuggling is made of. */
static int check_body(struct hg_http_req *req, const char **why)
{
    unsigned lengths = hg_http_count(req, "content-length");
    unsigned codings = hg_http_count(req, "transfer-encoding");
    if (lengths + codings > 1)
        return bad(why, "more than one body length");
    if (codings) {
        if (req->minor == 0)
            return bad(why, "Transfer-Encoding in HTTP/1.0");
        req->chunked = is_word(hg_http_get(req, "transfer-encoding"), "chunked");
        return req->chunked ? 0 : bad(why, "transfer coding is not chunked");
    }
    if (lengths) {
        req->content_length = parse_length(hg_http_get(req, "content-length"));
        return req->content_length >= 0 ? 0 : bad(why, "malformed Content-Length");
    }
    return 0;
}

static int check_fields(struct hg_http_req *req, const char **why)
{
    int err = check_host(req, why);
    if (err == 0)
        err = check_body(req, why);
    req->keep_alive = !hg_http_has_token(req, "connection", "close") &&
                      (req->minor > 0 || hg_http_has_token(req, "connection", "keep-alive"));
    req->expect_continue = req->minor > 0 && is_word(hg_http_get(req, "expect"), "100-continue");
    return err;
}

/* One line more of the head. Returns 1 at its end, 0 when more lines follow. */
static int take_line(struct hg_slice line, const struct hg_http_limits *lim,
                     struct hg_http_req *req, const char **why)
{
    if (!req->method.p)
        return parse_request_line(line, req, why);
    if (line.n > 0)
        return parse_field(line, lim, req, why);
    int err = check_fields(req, why);
    return err < 0 ? err : 1;
}

static ssize_t need_more(size_t n, const struct hg_http_limits *lim, const char **why)
{
    if (n < lim->max_head)
        return 0;
    *why = "head above max_head";
    return -HG_E_HTTP_HEAD_TOO_BIG;
}

ssize_t hg_http_parse(const char *in, size_t n, const struct hg_http_limits *lim,
                      struct hg_http_req *req, const char **why)
{
    *req = (struct hg_http_req){.headers = lim->array, .content_length = -1};
    size_t view = HG_MIN(n, lim->max_head), at = 0;
    if (view >= 2 && memcmp(in, "\r\n", 2) == 0) /* RFC 9112 2.2: one empty line before */
        at = 2;
    for (;;) {
        struct hg_slice line;
        ssize_t used = next_line(in + at, view - at, &line, why);
        if (used <= 0)
            return used < 0 ? used : need_more(n, lim, why);
        at += (size_t)used;
        int end = take_line(line, lim, req, why);
        if (end != 0)
            return end < 0 ? end : (ssize_t)at;
    }
}

/* -- asking ----------------------------------------------------------------------------------- */

struct hg_slice hg_http_get(const struct hg_http_req *req, const char *name)
{
    for (unsigned i = 0; i < req->nheaders; i++)
        if (is_word(req->headers[i].name, name))
            return req->headers[i].value;
    return HG_SLICE_NONE;
}

unsigned hg_http_count(const struct hg_http_req *req, const char *name)
{
    unsigned found = 0;
    for (unsigned i = 0; i < req->nheaders; i++)
        found += is_word(req->headers[i].name, name);
    return found;
}

bool hg_http_list_next(struct hg_slice *list, struct hg_slice *item)
{
    while (list->n > 0) {
        if (!cut(list, ',', item)) {
            *item = *list;
            list->n = 0;
        }
        *item = hg_slice_trim(*item, HG_BLANKS);
        if (item->n > 0)
            return true;
    }
    return false;
}

bool hg_http_has_token(const struct hg_http_req *req, const char *name, const char *token)
{
    for (unsigned i = 0; i < req->nheaders; i++) {
        if (!is_word(req->headers[i].name, name))
            continue;
        struct hg_slice list = req->headers[i].value, item;
        while (hg_http_list_next(&list, &item))
            if (is_word(item, token))
                return true;
    }
    return false;
}

/* -- answering -------------------------------------------------------------------------------- */

int hg_http_status(int err)
{
    static const short status[HG_E_COUNT] = {
        [HG_E_HTTP_SYNTAX] = 400,
        [HG_E_HTTP_HEAD_TOO_BIG] = 431,
        [HG_E_HTTP_BODY_TOO_BIG] = 413,
        [HG_E_HTTP_VERSION] = 505,
        [HG_E_HTTP_TIMEOUT] = 408,
        [HG_E_WS_KEY] = 400,
        [HG_E_WS_VERSION] = 426,
        [HG_E_WS_UPGRADE] = 400,
        [HG_E_ORIGIN] = 403,
        [HG_E_UNAUTHORIZED] = 401,
        [HG_E_BAD_TENANT] = 400,
        [HG_E_CONN_LIMIT] = 503,
        [HG_E_DRAINING] = 503,
        [HG_E_NOMEM] = 503,
        [HG_E_FORBIDDEN] = 403,
        [HG_E_NOT_FOUND] = 404,
    };
    unsigned row = (unsigned)(err < 0 ? -err : err);
    return row < HG_E_COUNT && status[row] ? status[row] : 500;
}

static const char *reason_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } rows[] = {
        {200, "OK"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        if (rows[i].status == status)
            return rows[i].phrase;
    return "Unknown";
}

void hg_http_respond(struct hg_buf *out, int status, const char *content_type, struct hg_slice body,
                     bool keep_alive, bool head_only, const char *extra)
{
    hg_buf_addf(out, "HTTP/1.1 %d %s\r\n", status, reason_phrase(status));
    if (content_type)
        hg_buf_addf(out, "Content-Type: %s\r\n", content_type);
    if (status != 204 && status != 304) /* RFC 9110 8.6 */
        hg_buf_addf(out, "Content-Length: %zu\r\n", body.n);
    hg_buf_addf(out, "Connection: %s\r\n%s\r\n", keep_alive ? "keep-alive" : "close", extra);
    if (!head_only && status != 204 && status != 304)
        hg_buf_add_slice(out, body);
}
