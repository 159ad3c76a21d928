#include "proto/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/base64.h"
#include "proto/route.h"
#include "proto/typed.h"

static const struct target {
    const char *field;
    enum hg_envelope_kind kind;
} targets[] = {
    {"channel", HG_ENVELOPE_CHANNEL}, {"room", HG_ENVELOPE_ROOM}, {"path", HG_ENVELOPE_PATH},
    {"id", HG_ENVELOPE_CONN},         {"all", HG_ENVELOPE_ALL},
};

static int refuse(struct hg_publish *p, const char *field, const char *expected)
{
    snprintf(p->detail, sizeof p->detail, "%s: expected %s", field, expected);
    return -HG_E_BAD_OP;
}

/* The one target that is given; NULL: none, or more than one. */
static const struct target *find_target(struct hg_json_val msg)
{
    const struct target *found = NULL;

    for (size_t i = 0; i < HG_COUNTOF(targets); i++) {
        if (!hg_json_get(msg, targets[i].field).node)
            continue;
        if (found)
            return NULL;
        found = &targets[i];
    }
    return found;
}

static int read_target(struct hg_json_val msg, struct hg_publish *p)
{
    const struct target *t = find_target(msg);
    struct hg_json_val v;
    const char *why;

    if (!t)
        return refuse(p, "channel", "this, or one of room, path, id, all");
    p->kind = t->kind;
    v = hg_json_get(msg, t->field);
    if (t->kind == HG_ENVELOPE_ALL)
        return hg_json_is_true(v) ? 0 : refuse(p, t->field, "true");
    p->target = hg_json_text(v);
    if (!p->target.p)
        return refuse(p, t->field, "a string");
    if (hg_route_check_room(p->target, &why) < 0) {
        snprintf(p->detail, sizeof p->detail, "%s: %s", t->field, why);
        return -HG_E_BAD_OP;
    }
    return 0;
}

static int read_message(struct hg_json_val msg, struct hg_publish *p)
{
    struct hg_json_val text = hg_json_get(msg, "text"), b64 = hg_json_get(msg, "b64");

    if (p->kind == HG_ENVELOPE_CHANNEL) {
        p->data = hg_json_get(msg, "data");
        return hg_json_type(p->data) == HG_JSON_OBJECT ? 0 : refuse(p, "data", "an object");
    }
    if (!text.node == !b64.node)
        return refuse(p, "text", "this or b64");
    p->text = hg_json_text(text);
    p->b64 = hg_json_text(b64);
    if (text.node && !p->text.p)
        return refuse(p, "text", "a string");
    if (b64.node && (!p->b64.p || !hg_b64_is_clean(p->b64)))
        return refuse(p, "b64", "base64");
    return 0;
}

/* An id, or an array of them. */
static int read_exclude(struct hg_json_val msg, struct hg_publish *p)
{
    struct hg_json_val v = hg_json_get(msg, "exclude");
    bool many = hg_json_type(v) == HG_JSON_ARRAY;

    if (!v.node)
        return 0;
    if (p->kind == HG_ENVELOPE_CONN)
        return refuse(p, "exclude", "none together with id");
    if (hg_json_count(v) > HG_PUBLISH_EXCLUDES)
        return refuse(p, "exclude", "at most 256 connection ids");
    for (struct hg_json_val id = many ? hg_json_first(v) : v; id.node;
         id = many ? hg_json_next(id) : (struct hg_json_val){0})
        if (hg_json_text(id).n == 0)
            return refuse(p, "exclude", "a connection id or an array of them");
    p->exclude = v;
    return 0;
}

static int read_tenant(struct hg_json_val msg, bool underscore, struct hg_publish *p)
{
    struct hg_json_val v = hg_json_get(msg, "tenant");
    const char *why;

    p->tenant = hg_json_text(v);
    if (!v.node)
        return 0;
    if (!p->tenant.p)
        return refuse(p, "tenant", "a string");
    if (hg_route_check_tenant(p->tenant, underscore, &why) == 0)
        return 0;
    snprintf(p->detail, sizeof p->detail, "tenant: %s", why);
    return -HG_E_BAD_OP;
}

int hg_publish_decode(struct hg_json_val msg, bool underscore, struct hg_publish *p)
{
    int rc;

    *p = (struct hg_publish){0};
    if (hg_json_type(msg) != HG_JSON_OBJECT)
        return refuse(p, "body", "an object, or an array of objects");
    rc = read_tenant(msg, underscore, p);
    if (rc == 0)
        rc = read_target(msg, p);
    if (rc == 0)
        rc = read_exclude(msg, p);
    return rc < 0 ? rc : read_message(msg, p);
}

/* ---- a body: one, or an array ---- */

static int fail(struct hg_publish_list *l, const char *place, const char *detail)
{
    snprintf(l->detail, sizeof l->detail, "%s%s", place, detail);
    return -HG_E_BAD_OP;
}

int hg_publish_read(struct hg_slice body, bool underscore, struct hg_publish_list *l)
{
    struct hg_json_val root, v;
    const char *most;
    bool many;
    int rc;

    *l = (struct hg_publish_list){0};
    rc = hg_json_parse(body, &hg_json_of_rows, &l->doc);
    most = hg_json_of_rows_most(rc);
    if (rc < 0)
        return fail(l, "body: expected ", most ? most : "JSON");
    root = hg_json_root(&l->doc);
    many = hg_json_type(root) == HG_JSON_ARRAY;
    if (many && hg_json_count(root) > HG_PUBLISH_BATCH)
        return fail(l, "", "body: expected at most 1000 messages");
    l->items = hg_calloc(many ? hg_json_count(root) + 1 : 1, sizeof *l->items);
    for (v = many ? hg_json_first(root) : root; v.node;
         v = many ? hg_json_next(v) : (struct hg_json_val){0}) {
        struct hg_publish *p = &l->items[l->n];
        char place[24] = "";

        if (many)
            snprintf(place, sizeof place, "[%zu].", l->n);
        if (hg_publish_decode(v, underscore, p) < 0)
            return fail(l, place, p->detail);
        l->n++;
    }
    return 0;
}

void hg_publish_list_fini(struct hg_publish_list *l)
{
    free(l->items), l->items = NULL;
    l->n = 0;
    hg_json_fini(&l->doc);
}

static void put_excludes(const struct hg_publish *p, struct hg_slice *list, struct hg_envelope *e)
{
    struct hg_json_val v = p->exclude;

    e->excludes = list;
    if (hg_json_type(v) != HG_JSON_ARRAY) {
        list[0] = hg_json_text(v);
        e->nexcludes = list[0].p ? 1 : 0;
        return;
    }
    for (v = hg_json_first(v); v.node; v = hg_json_next(v))
        list[e->nexcludes++] = hg_json_text(v);
}

void hg_publish_put(const struct hg_publish *p, int64_t timestamp_ms, struct hg_publish_scratch *sc,
                    struct hg_envelope *e)
{
    struct hg_buf *body = &sc->body;

    *e = (struct hg_envelope){.kind = p->kind, .tenant = p->tenant, .payload = p->text};
    put_excludes(p, sc->excludes, e);
    hg_buf_reset(body);
    if (p->kind == HG_ENVELOPE_PATH)
        e->path = p->target;
    else
        e->room = p->target;
    if (p->kind == HG_ENVELOPE_CHANNEL) {
        hg_typed_put_event(body, p->target, p->data, timestamp_ms);
        e->payload = hg_buf_slice(body);
    } else if (p->b64.p) {
        hg_b64_decode_lenient(body, p->b64);
        e->binary = true;
        e->payload = hg_slice_of(body->p ? body->p : "", body->n);
    }
}
