#include "worker/typed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/num.h"
#include "common/sys/log.h"
#include "proto/typed.h"
#include "worker/dialect.h"
#include "worker/rate.h"
#include "worker/relay.h"

enum {
    COUNT_MS = 1000,
    COUNT_AGAIN_MS = 5000,
    COUNT_LOST_MS = 15000,
    MAX_PEERS = 4096, /* workers of other hosts; more are not counted */
    SRC_LEN = 16,
};

struct hg_presence { /* one who came or went */
    const struct hg_atom *tenant, *user;
    unsigned char id[16];
    bool left;
};

struct hg_peer_count { /* a worker of another host */
    char src[SRC_LEN];
    uint64_t seat, clients;
    struct hg_mono heard;
};

static void send_typed(struct hg_worker *w, struct hg_conn *c, const char *type,
                       struct hg_slice data)
{
    hg_buf_reset(&w->text);
    hg_op_put_typed(&w->text, type, data, hg_wall_ms());
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

/* ---- how many ---- */

uint64_t hg_typed_clients(const struct hg_worker *w)
{
    struct hg_mono now = hg_loop_now(w->loop);
    uint64_t n = 0;

    for (uint32_t i = 0; i < w->host->nseats; i++)
        n += HG_GET(&w->host->seats[i].metrics, connections);
    for (uint32_t i = 0; i < w->typed.npeers; i++)
        if (hg_mono_sub(now, w->typed.peers[i].heard) < COUNT_LOST_MS * HG_MS)
            n += w->typed.peers[i].clients;
    return n;
}

/* The entry of that worker, an outdated one, or a new one; NULL when there are too many. */
static struct hg_peer_count *peer_of(struct hg_worker *w, struct hg_slice src, uint64_t seat)
{
    struct hg_typed *t = &w->typed;
    struct hg_peer_count *stale = NULL;

    for (uint32_t i = 0; i < t->npeers; i++) {
        struct hg_peer_count *p = &t->peers[i];

        if (p->seat == seat && memcmp(p->src, src.p, SRC_LEN) == 0)
            return p;
        if (hg_mono_sub(hg_loop_now(w->loop), p->heard) >= COUNT_LOST_MS * HG_MS)
            stale = p;
    }
    if (!stale && t->npeers < MAX_PEERS) {
        t->peers = hg_realloc(t->peers, (t->npeers + 1) * sizeof *t->peers);
        stale = &t->peers[t->npeers++];
    }
    if (stale) {
        memcpy(stale->src, src.p, SRC_LEN);
        stale->seat = seat;
    }
    return stale;
}

void hg_typed_heard_count(struct hg_worker *w, const struct hg_envelope *e)
{
    struct hg_peer_count *p;
    uint64_t seat, clients;
    const char *why;

    if (e->src.n != SRC_LEN || hg_num_u64(e->room, &seat, &why) < 0 ||
        hg_num_u64(e->payload, &clients, &why) < 0 || clients > UINT32_MAX) {
        HG_INC(w->m, backplane_malformed);
        return;
    }
    p = peer_of(w, e->src, seat);
    if (!p)
        return;
    p->clients = clients;
    p->heard = hg_loop_now(w->loop);
}

static void tell_count(struct hg_worker *w, struct hg_mono now)
{
    struct hg_typed *t = &w->typed;
    char seat[16], clients[16];
    struct hg_envelope e = {.kind = HG_ENVELOPE_COUNT};

    if (t->told == w->conns.open && hg_mono_sub(now, t->told_at) < COUNT_AGAIN_MS * HG_MS)
        return;
    e.room = hg_slice_of(seat, (size_t)snprintf(seat, sizeof seat, "%u", w->boot->seat));
    e.payload =
        hg_slice_of(clients, (size_t)snprintf(clients, sizeof clients, "%u", w->conns.open));
    hg_relay_tell_hosts(w, &e);
    t->told = w->conns.open;
    t->told_at = now;
}

static void on_count(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;

    tell_count(w, now);
    hg_timer_start(hg_loop_timers(w->loop), &w->typed.timer, hg_mono_add(now, COUNT_MS * HG_MS),
                   on_count, w);
}

/* ---- who comes and goes ---- */

static void publish_presence(struct hg_worker *w, const struct hg_presence *p)
{
    struct hg_envelope e = {
        .kind = HG_ENVELOPE_PRESENCE, .tenant = hg_atom_text(p->tenant), .nexcludes = 1};
    struct hg_buf data = {0}, text = {0};
    char id[37];
    struct hg_slice self = {id, 36};

    hg_session_id_text(p->id, id);
    hg_buf_adds(&data, "{\"userId\":");
    hg_json_add_str(&data, hg_atom_text(p->user));
    hg_buf_addf(&data, ",\"connectionId\":\"%s\"}", id);
    hg_op_put_typed(&text, p->left ? "user_left" : "user_joined", hg_buf_slice(&data),
                    hg_wall_ms());
    e.excludes = &self;
    e.payload = hg_buf_slice(&text);
    if (hg_relay_publish_private(w, &e) < 0)
        hg_log_limited(HG_LOG_WARN, NULL, "presence.lost", "why=\"larger than the ring takes\"");
    hg_buf_fini(&data);
    hg_buf_fini(&text);
}

/* What publishing makes happen (a slow client is closed) may queue more: it is met too. */
static void publish_queue(void *arg)
{
    struct hg_worker *w = arg;
    struct hg_typed *t = &w->typed;

    for (uint32_t i = 0; i < t->nqueue; i++) {
        struct hg_presence p = t->queue[i];

        publish_presence(w, &p);
        hg_atom_put(p.tenant);
        hg_atom_put(p.user);
    }
    t->nqueue = 0;
}

static void note(struct hg_worker *w, const struct hg_conn *c, bool left)
{
    struct hg_typed *t = &w->typed;
    struct hg_presence *p;

    if (t->nqueue == t->queue_cap) {
        t->queue_cap = t->queue_cap ? t->queue_cap * 2 : 16;
        t->queue = hg_realloc(t->queue, t->queue_cap * sizeof *t->queue);
    }
    p = &t->queue[t->nqueue++];
    *p = (struct hg_presence){
        hg_atom_get(hg_atom_text(c->s.tenant)), hg_atom_get(hg_atom_text(c->s.user)), {0}, left};
    memcpy(p->id, c->s.id, sizeof p->id);
    hg_loop_defer(w->loop, &t->publish, publish_queue, w);
}

void hg_typed_opened(struct hg_worker *w, struct hg_conn *c)
{
    const struct hg_dialect *d = hg_dialect(c->s.dialect);

    if (!d->typed || w->conf->typed_presence == HG_PRESENCE_NO ||
        (w->conf->typed_presence == HG_PRESENCE_AUTO && !d->presence))
        return;
    c->s.presence = hg_hub_join(&w->hub, c, HG_ROUTE_PRESENCE, hg_atom_text(c->s.tenant),
                                HG_SLICE_NONE, UINT16_MAX) != NULL;
    if (c->s.presence)
        note(w, c, false);
}

void hg_typed_gone(struct hg_worker *w, struct hg_conn *c)
{
    if (c->s.presence)
        note(w, c, true);
    c->s.presence = false;
}

/* ---- messages ---- */

static void do_ping(struct hg_worker *w, struct hg_conn *c, struct hg_slice data)
{
    (void)data;
    send_typed(w, c, "pong", HG_SLICE_NONE);
}

static void do_echo(struct hg_worker *w, struct hg_conn *c, struct hg_slice data)
{
    send_typed(w, c, "echo_response", data);
}

static void refuse(struct hg_worker *w, struct hg_conn *c, int err)
{
    struct hg_buf data = {0};

    HG_ERR_INC(w->m, err);
    hg_buf_addf(&data, "{\"message\":\"%s\",\"code\":\"%s\"}", hg_err_row(err)->text,
                hg_err_row(err)->wire);
    send_typed(w, c, "error", hg_buf_slice(&data));
    hg_buf_fini(&data);
}

/* Why this client may not broadcast now; 0 if it may. */
static int check_broadcast(struct hg_worker *w, struct hg_conn *c)
{
    const struct hg_conf *cf = w->conf;

    if (cf->typed_broadcast == HG_BROADCAST_PERMISSION && !(c->s.perms & HG_PERM_PUBLISH_ALL))
        return -HG_E_FORBIDDEN;
    return hg_rate_take(&c->s.rate, hg_loop_now(w->loop).us, cf->typed_rate, cf->typed_burst)
               ? 0
               : -HG_E_FLOOD;
}

static void do_broadcast(struct hg_worker *w, struct hg_conn *c, struct hg_slice data)
{
    struct hg_envelope e = {.kind = HG_ENVELOPE_ALL, .tenant = hg_atom_text(c->s.tenant)};
    struct hg_buf body = {0}, text = {0};
    int rc = check_broadcast(w, c);

    if (rc < 0) {
        refuse(w, c, rc);
        return;
    }
    hg_buf_adds(&body, "{\"from\":");
    hg_json_add_str(&body, hg_atom_text(c->s.user));
    if (data.p) {
        hg_buf_adds(&body, ",\"message\":");
        hg_buf_add_slice(&body, data);
    }
    hg_buf_addc(&body, '}');
    hg_op_put_typed(&text, "broadcast_message", hg_buf_slice(&body), hg_wall_ms());
    e.payload = hg_buf_slice(&text);
    rc = hg_relay_publish_private(w, &e);
    if (rc < 0)
        refuse(w, c, rc);
    hg_buf_fini(&body);
    hg_buf_fini(&text);
}

static void do_get_status(struct hg_worker *w, struct hg_conn *c, struct hg_slice data)
{
    uint64_t n = hg_typed_clients(w);
    struct hg_buf b = {0};

    (void)data;
    hg_buf_addf(&b, "{\"connectedClients\":%" PRIu64 ",\"sessions\":%" PRIu64 ",\"uptime\":%.3f}",
                n, n, (double)(hg_wall_ms() - w->host->start_wall_ms) / 1000.0);
    send_typed(w, c, "status", hg_buf_slice(&b));
    hg_buf_fini(&b);
}

static void (*const handlers[HG_TYPED_KINDS])(struct hg_worker *, struct hg_conn *,
                                              struct hg_slice) = {
#define HG_TYPED(type, reply, doc) [HG_TYPED_##type] = do_##type,
#include "proto/typed.def"
#undef HG_TYPED
};

bool hg_typed_message(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op)
{
    enum hg_typed_kind kind =
        hg_dialect(c->s.dialect)->typed ? hg_typed_find(op->type) : HG_TYPED_NONE;

    if (kind != HG_TYPED_NONE)
        handlers[kind](w, c, op->data);
    return kind != HG_TYPED_NONE;
}

/* ---- life ---- */

void hg_typed_init(struct hg_worker *w)
{
    on_count(w, hg_loop_now(w->loop));
}

void hg_typed_fini(struct hg_worker *w)
{
    struct hg_typed *t = &w->typed;

    publish_queue(w); /* of those who were still there at the end */
    hg_loop_defer_cancel(w->loop, &t->publish);
    hg_timer_stop(hg_loop_timers(w->loop), &t->timer);
    free(t->queue);
    free(t->peers);
    *t = (struct hg_typed){0};
}
