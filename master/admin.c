#include "master/admin.h"

static const char text_plain[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json";

static bool wants_json(const struct hg_http_req *req)
{
    return hg_http_has_token(req, "accept", json_type) || hg_slice_is(req->query, "json");
}

static void get_livez(const struct hg_admin *ad, const struct hg_http_req *req,
                      struct hg_httpd_answer *a)
{
    (void)ad;
    (void)req;
    hg_buf_adds(&a->body, "alive\n");
}

static void get_readyz(const struct hg_admin *ad, const struct hg_http_req *req,
                       struct hg_httpd_answer *a)
{
    struct hg_status st;
    ad->status(ad->ctx, &st);
    bool ready = hg_status_ready(&st, &a->body);
    if (ready)
        hg_buf_adds(&a->body, "ready\n");
    if (wants_json(req)) {
        hg_buf_reset(&a->body);
        hg_status_ready_json(&st, &a->body);
        a->content_type = json_type;
    }
    a->status = ready ? 200 : 503;
}

static void get_metrics(const struct hg_admin *ad, const struct hg_http_req *req,
                        struct hg_httpd_answer *a)
{
    (void)req;
    ad->metrics(ad->ctx, &a->body);
    a->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

static void get_status(const struct hg_admin *ad, const struct hg_http_req *req,
                       struct hg_httpd_answer *a)
{
    struct hg_status st;
    ad->status(ad->ctx, &st);
    if (hg_slice_is(req->query, "table")) {
        hg_status_table(&st, &a->body);
        return;
    }
    hg_status_json(&st, &a->body);
    a->content_type = json_type;
}

static void post_command(const struct hg_admin *ad, const struct hg_http_req *req,
                         struct hg_httpd_answer *a)
{
    struct hg_slice verb = {req->path.p + 1, req->path.n - 1};
    const char *eq = req->query.n ? memchr(req->query.p, '=', req->query.n) : NULL;
    struct hg_slice arg = HG_SLICE_NONE;
    if (eq)
        arg = hg_slice_of(eq + 1, (size_t)(req->query.p + req->query.n - eq - 1));
    a->status = ad->command(ad->ctx, verb, arg, &a->body);
}

static void post_publish(const struct hg_admin *ad, const struct hg_http_req *req,
                         struct hg_httpd_answer *a)
{
    (void)req;
    a->status = ad->publish(ad->ctx, a->request, &a->later, &a->body);
}

typedef void (*route_fn)(const struct hg_admin *, const struct hg_http_req *,
                         struct hg_httpd_answer *);
static const struct route {
    const char *path;
    bool changes; /* POST on the control socket only; else GET and HEAD */
    route_fn fn;
} routes[] = {
    {"/livez", false, get_livez},     {"/readyz", false, get_readyz},
    {"/metrics", false, get_metrics}, {"/status", false, get_status},
    {"/reload", true, post_command},  {"/stop", true, post_command},
    {"/drain", true, post_command},   {"/log-level", true, post_command},
    {"/publish", true, post_publish},
};

static const struct route *find(struct hg_slice path, bool control)
{
    for (size_t i = 0; i < HG_COUNTOF(routes); i++)
        if (hg_slice_is(path, routes[i].path) && (control || !routes[i].changes))
            return &routes[i];
    return NULL;
}

static void respond(const struct hg_admin *ad, const struct hg_http_req *req,
                    struct hg_httpd_answer *a, bool control)
{
    const struct route *r = find(req->path, control);
    a->content_type = text_plain;
    if (!r) {
        a->status = 404;
        hg_buf_adds(&a->body, "not found\n");
        return;
    }
    bool reads = hg_slice_is(req->method, "GET") || hg_slice_is(req->method, "HEAD");
    if (r->changes ? !hg_slice_is(req->method, "POST") : !reads) {
        a->status = 405;
        a->extra = r->changes ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
        hg_buf_adds(&a->body, "method not allowed\n");
        return;
    }
    a->status = 200;
    a->extra = "Cache-Control: no-store\r\n";
    r->fn(ad, req, a);
}

void hg_admin_answer(void *admin, const struct hg_http_req *req, struct hg_httpd_answer *a)
{
    respond(admin, req, a, false);
}

void hg_control_answer(void *admin, const struct hg_http_req *req, struct hg_httpd_answer *a)
{
    respond(admin, req, a, true);
}
