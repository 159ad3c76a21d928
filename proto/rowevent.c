#include "proto/rowevent.h"

#include "common/base/err.h"
#include "proto/route.h"

static struct hg_slice raw_of(struct hg_json_val env, const char *key)
{
    return hg_json_raw(hg_json_get(env, key));
}

int hg_rowevent_decode(struct hg_slice text, struct hg_rowevent *ev)
{
    memset(ev, 0, sizeof(*ev));
    if (hg_json_parse(text, &hg_json_of_rows, &ev->doc) < 0)
        return -HG_E_ROW_EVENT;
    struct hg_json_val env = hg_json_root(&ev->doc);
    if (!hg_json_str(env, "routingKey", &ev->routing_key) || ev->routing_key.n == 0)
        return -HG_E_ROW_EVENT;
    ev->hash_id = hg_route_hash_of(ev->routing_key);
    if (ev->hash_id.n == 0 && !hg_json_str(env, "hashId", &ev->hash_id))
        ev->hash_id = HG_SLICE_LIT("");
    ev->raw = hg_json_raw(env);
    ev->lsn = raw_of(env, "lsn");
    ev->kind = raw_of(env, "kind");
    ev->pk = raw_of(env, "pk");
    ev->pos = raw_of(env, "pos");
    ev->from = raw_of(env, "from");
    ev->need_fetch = raw_of(env, "needFetch");
    ev->row = raw_of(env, "row");
    return 0;
}

void hg_rowevent_fini(struct hg_rowevent *ev)
{
    hg_json_fini(&ev->doc);
}
