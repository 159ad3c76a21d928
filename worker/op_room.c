/* Handlers of ping, join, leave, publish, sendTo. */
#include "common/base/err.h"
#include "proto/base64.h"
#include "proto/route.h"
#include "worker/dispatch.h"
#include "worker/relay.h"

void hg_op_do_ping(struct hg_worker *w, struct hg_conn *c, const struct hg_op *o)
{
    (void)o;
    hg_buf_reset(&w->text);
    hg_op_put_pong(&w->text);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

static bool may(struct hg_worker *w, struct hg_conn *c, unsigned perm, const char *detail)
{
    if ((c->s.perms & perm) == perm)
        return true;
    hg_dispatch_error(w, c, -HG_E_FORBIDDEN, HG_SLICE_NONE, hg_slice_str(detail));
    return false;
}

static bool name_ok(struct hg_worker *w, struct hg_conn *c, const char *field, struct hg_slice name)
{
    const char *why;
    struct hg_buf detail = {0};

    if (hg_route_check_room(name, &why) == 0)
        return true;
    hg_buf_addf(&detail, "%s: %s", field, why);
    hg_dispatch_error(w, c, -HG_E_BAD_NAME, HG_SLICE_NONE, hg_buf_slice(&detail));
    hg_buf_fini(&detail);
    return false;
}

void hg_op_do_join(struct hg_worker *w, struct hg_conn *c, const struct hg_op *o)
{
    if (!may(w, c, HG_PERM_JOIN, "join") || !name_ok(w, c, "room", o->join.room))
        return;
    if (!hg_hub_join(&w->hub, c, HG_ROUTE_ROOM, hg_atom_text(c->s.tenant), o->join.room,
                     (unsigned)w->conf->max_rooms)) {
        hg_dispatch_error(w, c, -HG_E_LIMIT_SUBS, HG_SLICE_NONE,
                          HG_SLICE_LIT("room: max_rooms reached"));
        return;
    }
    hg_buf_reset(&w->text);
    hg_op_put_joined(&w->text, o->join.room);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

void hg_op_do_leave(struct hg_worker *w, struct hg_conn *c, const struct hg_op *o)
{
    if (!name_ok(w, c, "room", o->leave.room))
        return;
    hg_hub_leave(&w->hub, c,
                 hg_hub_find(&w->hub, HG_ROUTE_ROOM, hg_atom_text(c->s.tenant), o->leave.room));
    hg_buf_reset(&w->text);
    hg_op_put_left(&w->text, o->leave.room);
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

enum { MAX_EXCLUDES = 256 };

/* Ids to leave out into list; -1 when there are too many. tina4 reads the first alone: its sender is
 * the last, whom no other host has. */
static int read_excludes(const struct hg_op *o, const char *self,
                         struct hg_slice list[MAX_EXCLUDES])
{
    size_t n = 0;

    if (o->publish.exclude.n + o->publish.exclude_self > MAX_EXCLUDES)
        return -1;
    for (size_t i = 0; i < o->publish.exclude.n; i++)
        list[n++] = hg_op_id(&o->publish.exclude, i);
    if (o->publish.exclude_self)
        list[n++] = hg_slice_str(self);
    return (int)n;
}

static void set_target(struct hg_envelope *e, const struct hg_op *o)
{
    if (o->publish.room.p) {
        e->kind = HG_ENVELOPE_ROOM;
        e->room = o->publish.room;
    } else if (o->publish.path.p) {
        e->kind = HG_ENVELOPE_PATH;
        e->path = o->publish.path;
    } else {
        e->kind = HG_ENVELOPE_ALL;
    }
}

static void set_message(struct hg_envelope *e, struct hg_slice text, struct hg_slice b64,
                        struct hg_buf *bytes)
{
    e->payload = text;
    if (!b64.p)
        return;
    hg_b64_decode_lenient(bytes, b64);
    e->binary = true;
    e->payload = hg_slice_of(bytes->p ? bytes->p : "", bytes->n);
}

static void publish(struct hg_worker *w, struct hg_conn *c, struct hg_envelope *e)
{
    if (hg_relay_publish(w, e) < 0)
        hg_dispatch_error(w, c, -HG_E_TOO_BIG, HG_SLICE_NONE, HG_SLICE_NONE);
}

void hg_op_do_publish(struct hg_worker *w, struct hg_conn *c, const struct hg_op *o)
{
    struct hg_envelope e = {.tenant = hg_atom_text(c->s.tenant)};
    struct hg_slice list[MAX_EXCLUDES];
    struct hg_buf bytes = {0};
    char self[37];
    int n;

    set_target(&e, o);
    if (!may(w, c, e.kind == HG_ENVELOPE_ALL ? HG_PERM_PUBLISH_ALL : HG_PERM_PUBLISH,
             e.kind == HG_ENVELOPE_ALL ? "publish_all" : "publish"))
        return;
    if (e.kind != HG_ENVELOPE_ALL && !name_ok(w, c, e.kind == HG_ENVELOPE_ROOM ? "room" : "path",
                                              e.kind == HG_ENVELOPE_ROOM ? e.room : e.path))
        return;
    hg_session_id_text(c->s.id, self);
    n = read_excludes(o, self, list);
    if (n < 0) {
        hg_dispatch_error(w, c, -HG_E_BAD_OP, HG_SLICE_NONE,
                          HG_SLICE_LIT("exclude: expected at most 255 ids"));
        return;
    }
    e.excludes = list;
    e.nexcludes = (size_t)n;
    set_message(&e, o->publish.text, o->publish.b64, &bytes);
    publish(w, c, &e);
    hg_buf_fini(&bytes);
}

/* Whether the other is there is not told: ids of strangers must not be probed with it. */
void hg_op_do_sendTo(struct hg_worker *w, struct hg_conn *c, const struct hg_op *o)
{
    struct hg_envelope e = {
        .kind = HG_ENVELOPE_CONN, .tenant = hg_atom_text(c->s.tenant), .room = o->sendTo.id};
    struct hg_buf bytes = {0};
    unsigned char id[16];

    if (!may(w, c, HG_PERM_PUBLISH, "publish") || !hg_session_id_parse(o->sendTo.id, id))
        return;
    set_message(&e, o->sendTo.text, o->sendTo.b64, &bytes);
    publish(w, c, &e);
    hg_buf_fini(&bytes);
}
