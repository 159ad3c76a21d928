/*
 * A row event: a JSON record that says which row entered, changed in or left a live query
 * (spec 7.3). Pure.
 *
 *   struct hg_rowevent ev;
 *   if (hg_rowevent_decode(text, &ev) == 0)    text must stay: raw values borrow from it
 *       route by ev.routing_key; hg_op_put_row_event(out, shape, &ev, lsn);
 *   hg_rowevent_fini(&ev);                     after every decode
 */
#ifndef HG_PROTO_ROWEVENT_H
#define HG_PROTO_ROWEVENT_H

#include "proto/json.h"

struct hg_rowevent {
    struct hg_slice routing_key;
    struct hg_slice hash_id; /* what clients know it by: after the key's '|', else the envelope's
                                hashId, else "" */
    struct hg_slice raw;     /* the whole envelope as it came */
    /* the flat shape's fields as raw JSON text, {NULL, 0} when absent */
    struct hg_slice lsn, kind, pk, pos, from, need_fetch, row;
    struct hg_json doc; /* private */
};

int hg_rowevent_decode(struct hg_slice text,
                       struct hg_rowevent *ev) HG_MUST_CHECK; /* 0 or -HG_E_ROW_EVENT */
void hg_rowevent_fini(struct hg_rowevent *ev);

#endif
