/*
 * Request heads of a hostile client: whole and at growing prefixes. Whatever is accepted borrows
 * from the input and holds nothing that another reader of the same bytes could take for the end of
 * a line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "proto/http1.h"

#define MAX_HEADERS 24
static struct hg_http_header headers[MAX_HEADERS];
static const struct hg_http_limits limits = {2048, MAX_HEADERS, headers};

static ssize_t parse(const uint8_t *data, size_t n, struct hg_http_req *req, char **own)
{
    const char *why = NULL;
    *own = malloc(n ? n : 1);
    memcpy(*own, data, n);
    ssize_t used = hg_http_parse(*own, n, &limits, req, &why);
    HG_BUG_ON(used > (ssize_t)n || (used < 0) != (why != NULL));
    return used;
}

static void check_slice(struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        HG_BUG_ON(s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0');
}

static void check_facts(const struct hg_http_req *req)
{
    unsigned hosts = hg_http_count(req, "HOST");
    HG_BUG_ON(hosts > 1 || (hosts == 0 && req->minor > 0));
    HG_BUG_ON(!hg_http_is_token(req->method) || req->path.n == 0 || req->minor > 1);
    HG_BUG_ON(req->chunked && req->content_length >= 0);
    check_slice(req->method);
    check_slice(req->target);
    for (unsigned i = 0; i < req->nheaders; i++) {
        HG_BUG_ON(!hg_http_is_token(req->headers[i].name));
        check_slice(req->headers[i].value);
    }
    (void)hg_http_has_token(req, "connection", "upgrade");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_http_req req;
    char *own;
    if (n > 4096)
        return 0;
    ssize_t whole = parse(data, n, &req, &own);
    if (whole > 0)
        check_facts(&req);
    free(own);
    for (size_t at = n ? data[0] % 7 : 0; at < n; at += 1 + n / 16) {
        ssize_t some = parse(data, at, &req, &own);
        free(own);
        HG_BUG_ON(some != 0 && some != whole);
        HG_BUG_ON(some == 0 && whole > 0 && (size_t)whole <= at);
    }
    return 0;
}
