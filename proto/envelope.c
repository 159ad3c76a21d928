#include "proto/envelope.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "proto/base64.h"

static const char *const kinds[] = {
    [HG_ENVELOPE_ALL] = "all",           [HG_ENVELOPE_PATH] = "path",
    [HG_ENVELOPE_ROOM] = "room",         [HG_ENVELOPE_CHANNEL] = "channel",
    [HG_ENVELOPE_PRESENCE] = "presence", [HG_ENVELOPE_CONN] = "conn",
    [HG_ENVELOPE_TYPED] = "typed",       [HG_ENVELOPE_COUNT] = "count"};

static bool needs_room(enum hg_envelope_kind kind)
{
    return kind == HG_ENVELOPE_ROOM || kind == HG_ENVELOPE_CHANNEL || kind == HG_ENVELOPE_CONN ||
           kind == HG_ENVELOPE_COUNT;
}

/* ---- decoding ---- */

static bool read_kind(struct hg_json_val env, enum hg_envelope_kind *kind)
{
    struct hg_slice name;
    if (!hg_json_str(env, "kind", &name))
        return false;
    for (unsigned k = 0; k < HG_COUNTOF(kinds); k++) {
        if (hg_slice_is(name, kinds[k])) {
            *kind = (enum hg_envelope_kind)k;
            return true;
        }
    }
    return false;
}

/* The name the kind asks for must be there; another one that came along (tina4 writes null) is
 * dropped. */
static bool read_target(struct hg_json_val env, struct hg_envelope *e)
{
    struct hg_slice room, path;
    bool has_room = hg_json_str(env, "room", &room), has_path = hg_json_str(env, "path", &path);
    if (needs_room(e->kind))
        e->room = room;
    if (e->kind == HG_ENVELOPE_PATH)
        e->path = path;
    return (!needs_room(e->kind) || has_room) && (e->kind != HG_ENVELOPE_PATH || has_path);
}

/* text if it is a string, else b64 if it is one, else nothing (spec 6). */
static bool read_payload(struct hg_json_val env, struct hg_envelope *e)
{
    struct hg_slice b64;
    if (hg_json_str(env, "text", &e->payload))
        return true;
    if (!hg_json_str(env, "b64", &b64))
        return false;
    hg_b64_decode_lenient(&e->bytes, b64);
    e->binary = true;
    e->payload = hg_slice_of(e->bytes.p, e->bytes.n);
    return true;
}

/* Of another type it names nobody's tenant: not the default one's either. */
static bool read_tenant(struct hg_json_val env, struct hg_envelope *e)
{
    struct hg_json_val v = hg_json_get(env, "tenant");
    e->tenant = hg_json_text(v);
    return e->tenant.p || !v.node || hg_json_type(v) == HG_JSON_NULL;
}

static void read_excludes(struct hg_json_val env, struct hg_envelope *e)
{
    struct hg_slice first = hg_json_text(hg_json_get(env, "exclude"));
    struct hg_json_val more = hg_json_get(env, "excludes");
    if (hg_json_type(more) != HG_JSON_ARRAY)
        more.node = NULL;
    size_t room = hg_json_count(more) + 1;
    if (!first.p && room == 1)
        return;
    e->list = hg_calloc(room, sizeof(*e->list));
    if (first.p)
        e->list[e->nexcludes++] = first;
    for (struct hg_json_val id = hg_json_first(more); id.node; id = hg_json_next(id)) {
        struct hg_slice text = hg_json_text(id);
        if (text.p && !(first.p && hg_slice_eq(text, first)))
            e->list[e->nexcludes++] = text;
    }
    e->excludes = e->list;
}

int hg_envelope_decode(struct hg_slice text, struct hg_envelope *e)
{
    memset(e, 0, sizeof(*e));
    if (hg_json_parse(text, NULL, &e->doc) < 0)
        return -HG_E_ENVELOPE;
    struct hg_json_val env = hg_json_root(&e->doc);
    if (!read_kind(env, &e->kind) || !read_target(env, e) || !read_tenant(env, e) ||
        !read_payload(env, e))
        return -HG_E_ENVELOPE;
    if (!hg_json_str(env, "src", &e->src))
        e->src = HG_SLICE_LIT("");
    read_excludes(env, e);
    return 0;
}

void hg_envelope_fini(struct hg_envelope *e)
{
    free(e->list), e->list = NULL;
    e->excludes = NULL;
    e->nexcludes = 0;
    hg_buf_fini(&e->bytes);
    hg_json_fini(&e->doc);
}

bool hg_envelope_is_excluded(const struct hg_envelope *e, struct hg_slice id)
{
    for (size_t i = 0; i < e->nexcludes; i++)
        if (hg_slice_eq(e->excludes[i], id))
            return true;
    return false;
}

/* ---- encoding ---- */

static void add_or_null(struct hg_buf *out, const char *key, struct hg_slice s)
{
    hg_buf_addf(out, ",\"%s\":", key);
    if (s.p)
        hg_json_add_str(out, s);
    else
        hg_buf_adds(out, "null");
}

static void add_excludes(struct hg_buf *out, const struct hg_envelope *e)
{
    hg_buf_adds(out, ",\"excludes\":[");
    for (size_t i = 0; i < e->nexcludes; i++) {
        if (i > 0)
            hg_buf_addc(out, ',');
        hg_json_add_str(out, e->excludes[i]);
    }
    hg_buf_addc(out, ']');
}

void hg_envelope_put(struct hg_buf *out, const struct hg_envelope *e)
{
    hg_buf_adds(out, "{\"src\":");
    hg_json_add_str(out, e->src);
    hg_buf_addf(out, ",\"kind\":\"%s\"", kinds[e->kind]);
    add_or_null(out, "exclude", e->nexcludes > 0 ? e->excludes[0] : HG_SLICE_NONE);
    add_or_null(out, "room", e->room);
    add_or_null(out, "path", e->path);
    if (e->binary) {
        hg_buf_adds(out, ",\"b64\":\"");
        hg_b64_add(out, e->payload);
        hg_buf_addc(out, '"');
    } else {
        hg_buf_adds(out, ",\"text\":");
        hg_json_add_str(out, e->payload);
    }
    if (e->nexcludes > 1)
        add_excludes(out, e);
    if (e->tenant.p)
        add_or_null(out, "tenant", e->tenant);
    hg_buf_addc(out, '}');
}
