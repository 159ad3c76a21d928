/*
 * Request heads of HTTP/1.0 and 1.1, and response heads. Pure: fed bytes, hands back facts. Never
 * allocates, reads a body, or decides what a path means.
 *
 *   used = hg_http_parse(in, n, &limits, &req, &why);
 *   used > 0: bytes of the head; 0: need more (nothing consumed, call again with all of it);
 *   used < 0: -HG_E_HTTP_SYNTAX, _VERSION, _HEAD_TOO_BIG; answer hg_http_status(used) and close
 *
 * 1. req's slices borrow from in, req->headers is the caller's array.
 * 2. Strict where laxness is a smuggling hole (RFC 9112): no bare CR or LF, no NUL, no blank before
 *    the colon, no folding, never two Host, one in 1.1, Transfer-Encoding together with
 *    Content-Length refused, equal repeated Content-Length refused too, no coding but chunked.
 * 3. A bad line is reported as soon as it is there, even if the head never ends. How the bytes were
 *    cut never changes what comes out.
 */
#ifndef HG_PROTO_HTTP1_H
#define HG_PROTO_HTTP1_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/buf.h"
#include "common/base/macros.h"

#define HG_HTTP_MAX_HEADERS 1000

struct hg_http_header {
    struct hg_slice name, value; /* value trimmed */
};

struct hg_http_req {
    struct hg_slice method;
    struct hg_slice target;      /* from the path on: path [ "?" query ] */
    struct hg_slice path, query; /* query.p == NULL: no question mark; "*" is a path */
    int minor;                   /* HTTP/1.minor: 0 or 1 */
    unsigned nheaders;
    struct hg_http_header *headers; /* the caller's array, see limits */
    int64_t content_length;         /* -1: none; INT64_MAX also for anything larger */
    bool chunked;                   /* Transfer-Encoding: chunked */
    bool keep_alive;
    bool expect_continue;
};

struct hg_http_limits {
    size_t max_head;
    unsigned max_headers; /* size of array */
    struct hg_http_header *array;
};

ssize_t hg_http_parse(const char *in, size_t n, const struct hg_http_limits *lim,
                      struct hg_http_req *req, const char **why) HG_MUST_CHECK;
/* First header of that name, case-insensitive; {NULL,0} if absent. */
struct hg_slice hg_http_get(const struct hg_http_req *req, const char *name);
/* How many lines have this name? */
unsigned hg_http_count(const struct hg_http_req *req, const char *name);
/* Does a comma list header (all its lines) have this token, case-insensitive? */
bool hg_http_has_token(const struct hg_http_req *req, const char *name, const char *token);
/* Next element of a comma list, trimmed, empty ones skipped; moves list on; false at its end. */
bool hg_http_list_next(struct hg_slice *list, struct hg_slice *item);
/* Is it a token of RFC 9110 5.6.2, at least one character? */
bool hg_http_is_token(struct hg_slice s);
/* HTTP status of an -HG_E_HTTP_x, WS_x, ORIGIN/UNAUTHORIZED/CONN_LIMIT code: 400, 401, 403, 408,
 * 413, 426, 431, 503, 505; 500 for what is no fault of the peer. */
int hg_http_status(int err);

/* Writes status line and Content-Type, Content-Length, Connection, Date-less head, extra ("X:
 * y\r\n..." or ""), then body unless head_only. content_type NULL: none. */
void hg_http_respond(struct hg_buf *out, int status, const char *content_type, struct hg_slice body,
                     bool keep_alive, bool head_only, const char *extra);

#endif
