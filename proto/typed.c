#include "proto/typed.h"

#include <inttypes.h>

static const struct {
    const char *type, *reply, *doc;
} rows[HG_TYPED_KINDS] = {
#define HG_TYPED(type, reply, doc) [HG_TYPED_##type] = {#type, reply, doc},
#include "proto/typed.def"
#undef HG_TYPED
};

enum hg_typed_kind hg_typed_find(struct hg_slice type)
{
    for (int k = HG_TYPED_NONE + 1; type.p && k < HG_TYPED_KINDS; k++)
        if (hg_slice_is(type, rows[k].type))
            return (enum hg_typed_kind)k;
    return HG_TYPED_NONE;
}

void hg_typed_docs(struct hg_buf *out)
{
    hg_buf_adds(out, "\n# Typed messages\n\n`{\"type\":\"<type>\", \"data\": ...}`, in profiles "
                     "auto, v2 and v3; a known type counts "
                     "even when the message has an `op`.\nEvery reply carries a `timestamp`. "
                     "Printed from proto/typed.def.\n");
    for (int k = HG_TYPED_NONE + 1; k < HG_TYPED_KINDS; k++)
        hg_buf_addf(out, "\n## %s\n\n%s\n\nReply: `%s`\n", rows[k].type, rows[k].doc,
                    rows[k].reply);
    hg_buf_adds(out, "\n# Channels\n\n`{\"type\":\"subscribe\",\"channel\":C}`, without `op`, on "
                     "any path, is answered by\n"
                     "`{\"status\":\"subscribed\",\"channel\":C}`; `unsubscribe` likewise by "
                     "`unsubscribed`, also when there was no\n"
                     "subscription. Events arrive as "
                     "`{\"type\":\"event\",\"channel\":C,\"data\":{...,\"timestamp\":MS}}`; back "
                     "ends send them\n"
                     "by `POST /publish` (docs/clients.md).\n");
}

void hg_typed_json(struct hg_buf *out)
{
    for (int k = HG_TYPED_NONE + 1; k < HG_TYPED_KINDS; k++)
        hg_buf_addf(out, "%s\"%s\"", k == HG_TYPED_NONE + 1 ? "[" : ",", rows[k].type);
    hg_buf_adds(out, "]");
}

void hg_typed_put_event(struct hg_buf *out, struct hg_slice channel, struct hg_json_val data,
                        int64_t timestamp_ms)
{
    struct hg_slice raw = hg_json_raw(data);

    hg_buf_adds(out, "{\"type\":\"event\",\"channel\":");
    hg_json_add_str(out, channel);
    hg_buf_adds(out, ",\"data\":");
    if (hg_json_get(data, "timestamp").node) {
        hg_buf_add_slice(out, raw);
    } else { /* in front of the closing brace */
        hg_buf_add(out, raw.p, raw.n - 1);
        hg_buf_addf(out, "%s\"timestamp\":%" PRId64 "}", hg_json_first(data).node ? "," : "",
                    timestamp_ms);
    }
    hg_buf_addc(out, '}');
}

void hg_typed_put_channel(struct hg_buf *out, const char *status, struct hg_slice channel)
{
    hg_buf_addf(out, "{\"status\":\"%s\",\"channel\":", status);
    hg_json_add_str(out, channel);
    hg_buf_addc(out, '}');
}
