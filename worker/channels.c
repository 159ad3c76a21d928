#include "worker/channels.h"

#include "common/base/err.h"
#include "proto/typed.h"
#include "worker/dispatch.h"

static void send_status(struct hg_worker *w, struct hg_conn *c, const char *status,
                        struct hg_slice channel)
{
    hg_buf_reset(&w->text);
    hg_typed_put_channel(&w->text, status, channel);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

static bool name_ok(struct hg_worker *w, struct hg_conn *c, struct hg_slice channel)
{
    struct hg_buf detail = {0};
    const char *why;

    if (channel.n == 0) {
        hg_dispatch_error(w, c, -HG_E_BAD_OP, HG_SLICE_NONE,
                          HG_SLICE_LIT("channel: expected a string of at least 1 character"));
        return false;
    }
    if (hg_route_check_room(channel, &why) == 0)
        return true;
    hg_buf_addf(&detail, "channel: %s", why);
    hg_dispatch_error(w, c, -HG_E_BAD_NAME, HG_SLICE_NONE, hg_buf_slice(&detail));
    hg_buf_fini(&detail);
    return false;
}

static void subscribe(struct hg_worker *w, struct hg_conn *c, struct hg_slice channel)
{
    if (!(c->s.perms & HG_PERM_JOIN))
        hg_dispatch_error(w, c, -HG_E_FORBIDDEN, HG_SLICE_NONE, HG_SLICE_LIT("join"));
    else if (!hg_hub_join(&w->hub, c, HG_ROUTE_CHANNEL, hg_atom_text(c->s.tenant), channel,
                          (unsigned)w->conf->max_rooms))
        hg_dispatch_error(w, c, -HG_E_LIMIT_SUBS, HG_SLICE_NONE,
                          HG_SLICE_LIT("channel: max_rooms reached"));
    else
        send_status(w, c, "subscribed", channel);
}

static void unsubscribe(struct hg_worker *w, struct hg_conn *c, struct hg_slice channel)
{
    hg_hub_leave(&w->hub, c,
                 hg_hub_find(&w->hub, HG_ROUTE_CHANNEL, hg_atom_text(c->s.tenant), channel));
    send_status(w, c, "unsubscribed", channel);
}

bool hg_channels_message(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op)
{
    bool in = hg_slice_is(op->type, "subscribe");

    if ((!in && !hg_slice_is(op->type, "unsubscribe")) ||
        hg_json_get(hg_json_root(&op->doc), "op").node)
        return false;
    if (!name_ok(w, c, op->channel))
        return true;
    if (in)
        subscribe(w, c, op->channel);
    else
        unsubscribe(w, c, op->channel);
    return true;
}

void hg_channels_greet(struct hg_worker *w, struct hg_conn *c)
{
    char id[37];

    hg_session_id_text(c->s.id, id);
    hg_buf_reset(&w->text);
    hg_buf_addf(&w->text, "{\"status\":\"connected\",\"connectionId\":\"%s\"}", id);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}
