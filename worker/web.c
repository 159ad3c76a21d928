#include "worker/web.h"

#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"
#include "proto/json.h"
#include "proto/op.h"
#include "proto/route.h"
#include "proto/ws_handshake.h"
#include "worker/channels.h"
#include "worker/console.h"
#include "worker/dialect.h"
#include "worker/identity.h"
#include "worker/publish.h"
#include "worker/typed.h"

#define BANNER "cladbe-ws-gateway"
#define CONSOLE "/console/"
/* Only what the page itself brings, and the socket it opens. */
#define CONSOLE_HEADERS                                                                            \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src "   \
    "'self' data:; connect-src 'self' ws: wss:; "                                                  \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                              \
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: "           \
    "no-cache\r\n"

enum { MAX_BODY = 65536 };

struct request {
    struct hg_worker *w;
    struct hg_conn *c;
    struct hg_http_req req;
    bool head, keep;
};

/* ---- plain answers ---- */

static void answer(struct request *r, int status, const char *type, struct hg_slice body,
                   const char *extra)
{
    struct hg_buf out = {0};

    HG_INC(r->w->m, http_requests);
    hg_http_respond(&out, status, type, body, r->keep, r->head, extra);
    hg_conn_send_raw(&r->w->conns, r->c, hg_buf_slice(&out));
    hg_buf_fini(&out);
    if (r->keep)
        hg_conn_answered(&r->w->conns, r->c);
    else
        hg_conn_finish(&r->w->conns, r->c);
}

static void refuse(struct request *r, int err, const char *why)
{
    int status = hg_http_status(err);
    char body[256];
    int n = snprintf(body, sizeof body, "%s\n", why ? why : hg_err_row(err)->text);

    HG_ERR_INC(r->w->m, err);
    r->keep = false;
    answer(r, status, "text/plain; charset=utf-8", hg_slice_of(body, (size_t)n),
           err == -HG_E_WS_VERSION     ? HG_WS_VERSION_HEADER
           : err == -HG_E_UNAUTHORIZED ? "WWW-Authenticate: Bearer\r\n"
                                       : "");
}

static uint64_t sum_connections(const struct hg_host *h)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < h->nseats; i++)
        n += HG_GET(&h->seats[i].metrics, connections);
    return n;
}

static void health(struct request *r)
{
    struct hg_buf b = {0};
    unsigned long long n = sum_connections(r->w->host);

    hg_buf_addf(&b,
                "{\"status\":\"healthy\",\"connections\":%llu,\"sessions\":%llu,\"uptime\":%.3f,"
                "\"slowSockets\":%llu,\"worker\":%u,\"host\":",
                n, n, (double)(hg_wall_ms() - r->w->host->start_wall_ms) / 1000.0,
                (unsigned long long)hg_slow_clients(r->w), r->w->boot->slot);
    hg_json_add_str(&b, hg_slice_str(r->w->host_name));
    hg_buf_adds(&b, "}");
    answer(r, 200, "application/json", hg_buf_slice(&b), "");
    hg_buf_fini(&b);
}

static const struct {
    const char *ending, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
};

static const char *type_of(const char *name)
{
    size_t n = strlen(name);

    for (unsigned i = 0; i < HG_COUNTOF(types); i++) {
        size_t e = strlen(types[i].ending);

        if (n > e && strcmp(name + n - e, types[i].ending) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

static void console_file(struct request *r, struct hg_slice name)
{
    if (name.n == 0)
        name = HG_SLICE_LIT("index.html");
    for (const struct hg_embedded *f = hg_console_files; f->name; f++)
        if (hg_slice_is(name, f->name)) {
            answer(r, 200, type_of(f->name), hg_slice_of(f->data, f->len), CONSOLE_HEADERS);
            return;
        }
    answer(r, 404, "text/plain; charset=utf-8", HG_SLICE_LIT("not found\n"), "");
}

static bool starts(struct hg_slice s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

static bool read_only(struct request *r)
{
    if (r->head || hg_slice_is(r->req.method, "GET"))
        return true;
    answer(r, 405, "text/plain; charset=utf-8", HG_SLICE_LIT("only GET and HEAD\n"),
           "Allow: GET, HEAD\r\n");
    return false;
}

/* Of v2 and v3 (spec 13.2); v1 says its banner there, and so does every other method. */
static bool is_health(const struct request *r)
{
    return hg_slice_is(r->req.path, "/health") && (r->head || hg_slice_is(r->req.method, "GET")) &&
           hg_dialect_of(r->w->conf, r->req.path, false) != HG_DIALECT_V1;
}

static void plain(struct request *r)
{
    struct hg_slice path = r->req.path;

    if (is_health(r)) {
        health(r);
    } else if (starts(path, CONSOLE)) {
        if (read_only(r)) {
            struct hg_slice name = hg_slice_of(path.p + strlen(CONSOLE), path.n - strlen(CONSOLE));

            if (r->w->conf->console)
                console_file(r, name);
            else
                answer(r, 404, "text/plain; charset=utf-8",
                       HG_SLICE_LIT("the console page is off (option console)\n"), "");
        }
    } else if (hg_slice_is(path, "/console") && r->w->conf->console) {
        answer(r, 301, "text/plain", HG_SLICE_LIT(""), "Location: " CONSOLE "\r\n");
    } else {
        answer(r, 200, "text/plain; charset=utf-8", HG_SLICE_LIT(BANNER), "");
    }
}

/* ---- publishing for back ends ---- */

static void publish_error(struct request *r, int status, const char *what, const char *extra)
{
    struct hg_buf json = {0};

    hg_buf_addf(&json, "{\"error\":\"%s\"}", what);
    answer(r, status, "application/json", hg_buf_slice(&json), extra);
    hg_buf_fini(&json);
}

/* In a time that depends on what was sent alone. */
static bool same_secret(struct hg_slice given, struct hg_slice secret)
{
    unsigned diff = given.n != secret.n;

    if (secret.n == 0)
        return false;
    for (size_t i = 0; i < given.n; i++)
        diff |= (unsigned char)given.p[i] ^ (unsigned char)secret.p[i % secret.n];
    return diff == 0;
}

static bool has_token(const struct request *r)
{
    static const char scheme[] = "Bearer ";
    struct hg_slice auth = hg_http_get(&r->req, "authorization"),
                    secret = hg_slice_str(r->w->conf->publish_token);
    size_t n = sizeof scheme - 1;

    return auth.n > n && strncasecmp(auth.p, scheme, n) == 0 &&
           same_secret(hg_slice_of(auth.p + n, auth.n - n), secret);
}

/* Who tries tokens is seen by the operator. */
static void refuse_token(struct request *r)
{
    char ip[HG_ADDR_TEXT];

    HG_ERR_INC(r->w->m, HG_E_UNAUTHORIZED);
    hg_log_limited(HG_LOG_WARN, NULL, "publish.refused",
                   "peer=%s why=\"the token is missing or wrong\"", hg_conn_peer_ip(r->c, ip));
    publish_error(r, 401, "the token is missing or wrong", "WWW-Authenticate: Bearer\r\n");
}

static void answer_json(struct request *r, int status, struct hg_slice json)
{
    answer(r, status, "application/json", json, "");
}

/* The connection may be gone, or even be another's by now. */
static void on_published(struct hg_worker *w, const struct hg_publish_asker *asker,
                         struct hg_slice json)
{
    struct hg_conn *c = hg_conn_find(&w->conns, (uint32_t)(asker->a >> 32), (uint32_t)asker->a);
    struct request r = {.w = w, .c = c, .keep = asker->b};

    if (!c || c->state != HG_CONN_HTTP || !c->awaiting)
        return;
    c->awaiting = false;
    r.keep &= !c->got_eof;
    answer_json(&r, 200, json);
    if (c->state == HG_CONN_HTTP)
        hg_web_on_http(w, c); /* what it has sent behind that request */
}

static void publish_body(struct request *r, struct hg_slice body)
{
    struct hg_publish_asker asker = {on_published, (uint64_t)r->c->index << 32 | r->c->gen,
                                     r->keep};
    struct hg_buf json = {0};
    int status = hg_publish_body(r->w, body, &asker, &json);

    if (status)
        answer_json(r, status, hg_buf_slice(&json));
    else
        r->c->awaiting = true;
    hg_buf_fini(&json);
}

/* Everything that can be said before the body is there. True: it is worth waiting for. */
static bool publish_head_ok(struct request *r)
{
    r->keep = false; /* a body that is not read must not be taken for the next request */
    if (!*r->w->conf->publish_token)
        publish_error(r, 404, "publishing is off (option publish_token)", "");
    else if (!hg_slice_is(r->req.method, "POST"))
        publish_error(r, 405, "only POST", "Allow: POST\r\n");
    else if (!has_token(r))
        refuse_token(r);
    else if (r->req.chunked || r->req.content_length < 0)
        publish_error(r, 411, "Content-Length is needed", "");
    else if (r->req.content_length > r->w->conf->max_message)
        publish_error(r, 413, "body above max_message", "");
    else
        return true;
    return false;
}

/* Bytes of the body that were used; -1: it is not all there yet. */
static ssize_t publish(struct request *r, struct hg_slice rest)
{
    size_t n;

    if (!publish_head_ok(r))
        return 0;
    n = (size_t)r->req.content_length;
    if (rest.n < n) {
        if (rest.n == 0 && r->req.expect_continue)
            hg_conn_send_raw(&r->w->conns, r->c, HG_SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
        return -1;
    }
    r->keep = r->req.keep_alive;
    publish_body(r, hg_slice_of(rest.p, n));
    return (ssize_t)n;
}

/* ---- upgrade ---- */

static void welcome(struct hg_worker *w, struct hg_conn *c)
{
    struct hg_buf data = {0};
    char id[37];

    hg_session_id_text(c->s.id, id);
    hg_buf_addf(&data,
                "{\"connectionId\":\"%s\",\"connectedClients\":%llu,\"worker\":%u,\"host\":", id,
                (unsigned long long)hg_typed_clients(w, c), w->boot->slot);
    hg_json_add_str(&data, hg_slice_str(w->host_name));
    hg_buf_adds(&data, "}");
    hg_buf_reset(&w->text);
    hg_op_put_typed(&w->text, "welcome", hg_buf_slice(&data), hg_wall_ms());
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
    hg_buf_fini(&data);
}

/* The path of the channels' own gateway greets as that one did, unless something says which profile
 * it is (C-12). */
static void greet(struct request *r, enum hg_dialect_id dialect)
{
    if (dialect == HG_DIALECT_AUTO && hg_slice_is(r->req.path, "/ws")) {
        hg_channels_greet(r->w, r->c);
        return;
    }
    hg_typed_attend(r->w, r->c);
    if (hg_dialect(dialect)->welcome)
        welcome(r->w, r->c);
    hg_typed_opened(r->w, r->c);
}

static void session_open(struct request *r, const struct hg_identity *id,
                         enum hg_dialect_id dialect)
{
    struct hg_session *s = &r->c->s;
    struct hg_slice tenant;

    hg_session_id_new(s->id);
    s->dialect = (uint8_t)dialect;
    s->perms = (uint8_t)id->perms;
    s->tenant = hg_atom_get(id->tenant);
    s->user = hg_atom_get(id->user.n ? id->user : hg_slice_str(hg_dialect(dialect)->user));
    s->path = hg_atom_get(r->req.path);
    tenant = hg_atom_text(s->tenant);
    hg_ids_add(&r->w->ids, r->c);
    hg_typed_enter(r->w, r->c);
    hg_hub_join(&r->w->hub, r->c, HG_ROUTE_ALL, tenant, HG_SLICE_NONE, UINT16_MAX);
    if (r->req.path.n <= HG_ROUTE_ROOM_MAX) /* nobody can publish to a longer one */
        hg_hub_join(&r->w->hub, r->c, HG_ROUTE_PATH, tenant, r->req.path, UINT16_MAX);
}

/* 0, or why the handshake is refused. */
static int check_upgrade(struct request *r, struct hg_ws_offer *offer, struct hg_identity *id,
                         const char **why)
{
    int rc = hg_ws_handshake(&r->req, offer, why);

    if (rc < 0)
        return rc;
    *why = NULL;
    if (hg_dialect_named(offer->named) >= 0)
        offer->subprotocol = offer->named;
    if (r->w->conf->auth == HG_AUTH_JWT) /* what is verified is worth stealing */
        hg_ws_hide_bearer(offer);
    if (!hg_ws_origin_allowed(r->w->conf->allowed_origins, offer->origin))
        return -HG_E_ORIGIN;
    return hg_identify(r->w, &(struct hg_asker){r->c, &r->req, offer}, id, why);
}

static enum hg_dialect_id dialect_of(const struct request *r, const struct hg_ws_offer *offer)
{
    int named = hg_dialect_named(offer->named);

    if (named >= 0)
        return (enum hg_dialect_id)named;
    return hg_dialect_of(r->w->conf, r->req.path,
                         !offer->has_headgate && (offer->bearer.p || offer->has_json));
}

static bool accept_upgrade(struct request *r, const struct hg_ws_offer *offer)
{
    struct hg_buf out = {0};

    hg_ws_accept(&out, offer);
    hg_conn_send_raw(&r->w->conns, r->c, hg_buf_slice(&out));
    hg_buf_fini(&out);
    /* Otherwise the answers of requests before this one filled it up, or it is gone. */
    return r->c->state == HG_CONN_HTTP;
}

static void open_websocket(struct request *r, const struct hg_identity *id,
                           enum hg_dialect_id dialect, struct hg_slice rest)
{
    struct hg_worker *w = r->w;
    struct hg_conn *c = r->c;

    HG_INC(w->m, handshakes);
    c->echo = *w->conf->echo_path && hg_slice_is(r->req.path, w->conf->echo_path);
    if (!c->echo)
        session_open(r, id, dialect);
    if (id->lasts_us)
        hg_conn_end_in(&w->conns, c, id->lasts_us);
    hg_conn_upgraded(&w->conns, c);
    if (!c->echo)
        greet(r, dialect);
    hg_conn_feed_rest(&w->conns, c, rest);
}

static void upgrade(struct request *r, struct hg_slice rest)
{
    struct hg_ws_offer offer;
    struct hg_identity id = {0};
    const char *why = NULL;
    int rc = check_upgrade(r, &offer, &id, &why);

    if (rc < 0) {
        HG_INC(r->w->m, handshakes_refused);
        refuse(r, rc, why);
    } else if (accept_upgrade(r, &offer)) {
        open_websocket(r, &id, dialect_of(r, &offer), rest);
    }
    hg_identity_fini(&id);
}

void hg_web_gone(struct hg_worker *w, struct hg_conn *c)
{
    (void)w;
    hg_atom_put(c->s.tenant);
    hg_atom_put(c->s.user);
    hg_atom_put(c->s.path);
    c->s.tenant = c->s.user = c->s.path = NULL;
}

/* ---- one request after the other ---- */

/* Bytes of a body that were used; -1: it is not all there yet. */
static ssize_t handle(struct request *r, struct hg_slice rest)
{
    r->head = hg_slice_is(r->req.method, "HEAD");
    r->keep = r->req.keep_alive && r->req.content_length <= 0 && !r->req.chunked;
    if (hg_ws_is_upgrade(&r->req))
        upgrade(r, rest);
    else if (hg_slice_is(r->req.path, "/publish"))
        return publish(r, rest);
    else if (r->req.content_length > MAX_BODY)
        refuse(r, -HG_E_HTTP_BODY_TOO_BIG, NULL);
    else
        plain(r);
    return 0;
}

void hg_web_on_http(void *ctx, struct hg_conn *c)
{
    struct hg_worker *w = ctx;
    struct hg_http_header headers[HG_HTTP_MAX_HEADERS];
    struct hg_http_limits lim = {(size_t)w->conf->max_head, (unsigned)w->conf->max_headers,
                                 headers};

    hg_doing_set(w, HG_DOING_HTTP);
    if (c->awaiting && c->in->n > 2 * (size_t)(w->conf->max_head + w->conf->max_message)) {
        /* it may send ahead, but not without end */
        HG_ERR_INC(w->m, HG_E_HTTP_BODY_TOO_BIG);
        hg_conn_drop(&w->conns, c);
        return;
    }
    while (c->state == HG_CONN_HTTP && !c->awaiting && c->in->n > 0) {
        struct request r = {.w = w, .c = c};
        const char *why = NULL;
        ssize_t used, body;

        if (c->in->p[0] > ' ' && !memchr(c->in->p, '\n', c->in->n) && c->in->n <= lim.max_head)
            return; /* not even one line: a trickle must not be parsed over and over; a TLS hello is
                       told at once */
        used = hg_http_parse(c->in->p, c->in->n, &lim, &r.req, &why);

        if (used == 0)
            return;
        if (used < 0) {
            refuse(&r, (int)used, why);
            return;
        }
        body = handle(&r, hg_slice_of(c->in->p + used, c->in->n - (size_t)used));
        if (body < 0)
            return;
        if (c->state == HG_CONN_HTTP)
            hg_buf_drop(c->in, (size_t)(used + body));
    }
}
