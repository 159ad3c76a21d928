#include "worker/typed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/num.h"
#include "common/sys/census.h"
#include "common/sys/log.h"
#include "proto/typed.h"
#include "worker/dialect.h"
#include "worker/rate.h"
#include "worker/relay.h"

enum {
    COUNT_MS = 1000,
    COUNT_AGAIN_MS = 5000,
    COUNT_LOST_MS = 15000,
    COUNT_BYTES = 16384, /* of one message that tells them */
    MAX_FAR = 65536,     /* counts of other hosts' workers that are kept, by tenant */
    SRC_LEN = 16,
};

struct hg_presence { /* one who came or went */
    const struct hg_atom *tenant, *user;
    unsigned char id[16];
    bool left;
};

struct far_count { /* what a worker of another host has of a tenant */
    char src[SRC_LEN];
    uint64_t seat;
    uint32_t clients;
    struct hg_mono heard;
};

struct hg_tenant_count {
    struct hg_map_node node;
    uint32_t here, told; /* clients of this worker, now and as last told */
    struct far_count *far;
    uint32_t nfar;
    char name[];
};

/* One room for all tenants, or one for each. */
static struct hg_slice scope_of(const struct hg_worker *w, struct hg_slice tenant)
{
    return w->conf->typed_scope == HG_SCOPE_ALL ? HG_SLICE_LIT("") : tenant;
}

static void send_typed(struct hg_worker *w, struct hg_conn *c, const char *type,
                       struct hg_slice data)
{
    hg_buf_reset(&w->text);
    hg_op_put_typed(&w->text, type, data, hg_wall_ms());
    hg_conn_send_text(&w->conns, c, hg_buf_slice(&w->text));
}

/* ---- how many ---- */

static struct hg_tenant_count *count_find(const struct hg_worker *w, struct hg_slice name)
{
    struct hg_map_node *node = hg_map_get(&w->typed.counts, name);

    return node ? HG_CONTAINER_OF(node, struct hg_tenant_count, node) : NULL;
}

static struct hg_tenant_count *count_get(struct hg_worker *w, struct hg_slice name)
{
    struct hg_tenant_count *t = count_find(w, name);

    if (t)
        return t;
    t = hg_calloc(1, sizeof *t + name.n + 1);
    if (name.n)
        memcpy(t->name, name.p, name.n);
    t->node.key = hg_slice_of(t->name, name.n);
    hg_map_put(&w->typed.counts, &t->node);
    return t;
}

static void count_free(struct hg_worker *w, struct hg_tenant_count *t)
{
    hg_map_del(&w->typed.counts, &t->node);
    w->typed.nfar -= t->nfar;
    free(t->far);
    free(t);
}

static void count_here(struct hg_worker *w, const struct hg_conn *c, int change)
{
    struct hg_slice name = scope_of(w, hg_atom_text(c->s.tenant));
    struct hg_tenant_count *t = count_get(w, name);

    t->here = (uint32_t)((int64_t)t->here + change);
    if (!hg_census_set(w->host, w->boot->seat, hg_hash_fixed(name), t->here))
        hg_log_limited(HG_LOG_WARN, NULL, "typed.uncounted",
                       "why=\"more tenants than one worker counts\" most=%d", HG_CENSUS);
}

static bool is_fresh(const struct far_count *f, struct hg_mono now)
{
    return hg_mono_sub(now, f->heard) < COUNT_LOST_MS * HG_MS;
}

uint64_t hg_typed_clients(const struct hg_worker *w, const struct hg_conn *c)
{
    struct hg_slice name = scope_of(w, hg_atom_text(c->s.tenant));
    const struct hg_tenant_count *t = count_find(w, name);
    /* Its own are known even when the table has no place for this tenant. */
    uint64_t n =
        (t ? t->here : 0) + hg_census_count_others(w->host, w->boot->seat, hg_hash_fixed(name));

    for (uint32_t i = 0; t && i < t->nfar; i++)
        if (is_fresh(&t->far[i], hg_loop_now(w->loop)))
            n += t->far[i].clients;
    return n;
}

/* ---- what the hosts tell each other of it ---- */

static void far_drop(struct hg_worker *w, struct hg_tenant_count *t, uint32_t i)
{
    t->far[i] = t->far[--t->nfar];
    w->typed.nfar--;
}

static struct far_count *far_find(struct hg_tenant_count *t, struct hg_slice src, uint64_t seat)
{
    for (uint32_t i = 0; i < t->nfar; i++)
        if (t->far[i].seat == seat && memcmp(t->far[i].src, src.p, SRC_LEN) == 0)
            return &t->far[i];
    return NULL;
}

static struct far_count *far_new(struct hg_worker *w, struct hg_tenant_count *t,
                                 struct hg_slice src, uint64_t seat)
{
    struct far_count *f;

    if (w->typed.nfar >= MAX_FAR) {
        hg_log_limited(HG_LOG_WARN, NULL, "typed.uncounted",
                       "why=\"other hosts tell of more tenants than are kept\" most=%d", MAX_FAR);
        return NULL;
    }
    t->far = hg_realloc(t->far, (t->nfar + 1) * sizeof *t->far);
    f = &t->far[t->nfar++];
    w->typed.nfar++;
    memcpy(f->src, src.p, SRC_LEN);
    f->seat = seat;
    return f;
}

static void heard_one(struct hg_worker *w, struct hg_slice src, uint64_t seat,
                      struct hg_slice tenant, uint64_t clients)
{
    struct hg_tenant_count *t = clients > 0 ? count_get(w, tenant) : count_find(w, tenant);
    struct far_count *f = t ? far_find(t, src, seat) : NULL;

    if (!f && clients > 0)
        f = far_new(w, t, src, seat);
    if (!f)
        return;
    f->clients = (uint32_t)clients;
    f->heard = hg_loop_now(w->loop);
}

/* That worker is gone. */
static void heard_gone(struct hg_worker *w, struct hg_slice src, uint64_t seat)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    while ((node = hg_map_next(&w->typed.counts, &it))) {
        struct hg_tenant_count *t = HG_CONTAINER_OF(node, struct hg_tenant_count, node);
        struct far_count *f = far_find(t, src, seat);

        if (f)
            far_drop(w, t, (uint32_t)(f - t->far));
    }
}

/* {"tenant":clients, ...}, of worker room of src; without any: it is gone. */
static bool heard_list(struct hg_worker *w, const struct hg_envelope *e, struct hg_json_val list)
{
    uint64_t seat, clients;
    const char *why;

    if (e->src.n != SRC_LEN || hg_num_u64(e->room, &seat, &why) < 0 ||
        hg_json_type(list) != HG_JSON_OBJECT)
        return false;
    if (hg_json_count(list) == 0)
        heard_gone(w, e->src, seat);
    for (struct hg_json_val v = hg_json_first(list); v.node; v = hg_json_next(v))
        if (hg_json_key(v).n > HG_ROUTE_TENANT_MAX || !hg_json_u64(v, &clients) ||
            clients > UINT32_MAX)
            return false;
        else
            heard_one(w, e->src, seat, hg_json_key(v), clients);
    return true;
}

void hg_typed_heard_count(struct hg_worker *w, const struct hg_envelope *e)
{
    struct hg_json doc;

    if (hg_json_parse(e->payload, NULL, &doc) < 0 || !heard_list(w, e, hg_json_root(&doc)))
        HG_INC(w->m, backplane_malformed);
    hg_json_fini(&doc);
}

static void tell_of(struct hg_worker *w, uint32_t seat, struct hg_slice list)
{
    struct hg_envelope e = {.kind = HG_ENVELOPE_COUNT, .payload = list};
    char text[16];

    e.room = hg_slice_of(text, (size_t)snprintf(text, sizeof text, "%u", seat));
    hg_relay_tell_hosts(w, &e);
}

static void tell_list(struct hg_worker *w, struct hg_buf *list)
{
    if (list->n == 0)
        return;
    hg_buf_addc(list, '}');
    tell_of(w, w->boot->seat, hg_buf_slice(list));
    hg_buf_reset(list);
}

static bool is_living(const struct hg_host *h, uint32_t seat)
{
    uint32_t state = atomic_load_explicit(&h->seats[seat].state, memory_order_relaxed);

    return state != HG_SEAT_FREE && state != HG_SEAT_DEAD;
}

/* A killed worker says nothing: the first of those that live says that it is gone. */
static void tell_gone(struct hg_worker *w)
{
    bool first = true;

    for (uint32_t i = 0; i < w->boot->seat; i++)
        first &= !is_living(w->host, i);
    for (uint32_t i = 0; i < w->host->nseats; i++) {
        uint64_t bit = UINT64_C(1) << i % 64, *word = &w->typed.living[i / 64];
        bool was = *word & bit, is = is_living(w->host, i);

        if (was != is)
            *word ^= bit;
        if (was && !is && first)
            tell_of(w, i, HG_SLICE_LIT("{}"));
    }
}

/* Those that changed, or all that there are. */
static void tell_counts(struct hg_worker *w, bool all)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;
    struct hg_buf list = {0};

    while ((node = hg_map_next(&w->typed.counts, &it))) {
        struct hg_tenant_count *t = HG_CONTAINER_OF(node, struct hg_tenant_count, node);

        if (t->here == t->told && (!all || t->here == 0))
            continue;
        hg_buf_addc(&list, list.n ? ',' : '{');
        hg_json_add_str(&list, node->key);
        hg_buf_addf(&list, ":%u", t->here);
        t->told = t->here;
        if (list.n >= COUNT_BYTES)
            tell_list(w, &list);
    }
    tell_list(w, &list);
    hg_buf_fini(&list);
}

/* Hosts that say nothing any more leave the counts; tenants without clients anywhere are
 * forgotten. */
static void sweep(struct hg_worker *w, struct hg_mono now)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    while ((node = hg_map_next(&w->typed.counts, &it))) {
        struct hg_tenant_count *t = HG_CONTAINER_OF(node, struct hg_tenant_count, node);

        for (uint32_t i = t->nfar; i-- > 0;)
            if (t->far[i].clients == 0 || !is_fresh(&t->far[i], now))
                far_drop(w, t, i);
        if (t->here == 0 && t->told == 0 && t->nfar == 0)
            count_free(w, t);
    }
}

static void on_count(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;
    bool again = hg_mono_sub(now, w->typed.told_at) >= COUNT_AGAIN_MS * HG_MS;

    tell_gone(w);
    tell_counts(w, again);
    if (again) {
        sweep(w, now);
        w->typed.told_at = now;
    }
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
    *p = (struct hg_presence){hg_atom_get(scope_of(w, hg_atom_text(c->s.tenant))),
                              hg_atom_get(hg_atom_text(c->s.user)),
                              {0},
                              left};
    memcpy(p->id, c->s.id, sizeof p->id);
    hg_loop_defer(w->loop, &t->publish, publish_queue, w);
}

void hg_typed_enter(struct hg_worker *w, struct hg_conn *c)
{
    publish_queue(w);
    count_here(w, c, 1);
    if (w->conf->typed_scope == HG_SCOPE_ALL) /* beside the room of its tenant */
        hg_hub_join(&w->hub, c, HG_ROUTE_ALL, HG_SLICE_LIT(""), HG_SLICE_NONE, UINT16_MAX);
}

void hg_typed_attend(struct hg_worker *w, struct hg_conn *c)
{
    const struct hg_dialect *d = hg_dialect(c->s.dialect);

    if (!d->typed || w->conf->typed_presence == HG_PRESENCE_NO ||
        (w->conf->typed_presence == HG_PRESENCE_AUTO && !d->presence))
        return;
    c->s.presence =
        hg_hub_join(&w->hub, c, HG_ROUTE_PRESENCE, scope_of(w, hg_atom_text(c->s.tenant)),
                    HG_SLICE_NONE, UINT16_MAX) != NULL;
}

void hg_typed_opened(struct hg_worker *w, struct hg_conn *c)
{
    if (!c->s.presence)
        return;
    note(w, c, false);
    publish_queue(w);
}

void hg_typed_gone(struct hg_worker *w, struct hg_conn *c)
{
    if (c->s.tenant) /* a raw echo resource has no session */
        count_here(w, c, -1);
    if (c->s.presence)
        note(w, c, true);
    c->s.presence = false;
}

bool hg_typed_has(const struct hg_conn *c)
{
    return hg_dialect(c->s.dialect)->typed;
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
    struct hg_envelope e = {.kind = HG_ENVELOPE_TYPED,
                            .tenant = scope_of(w, hg_atom_text(c->s.tenant))};
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
    uint64_t n = hg_typed_clients(w, c);
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
    enum hg_typed_kind kind = hg_typed_has(c) ? hg_typed_find(op->type) : HG_TYPED_NONE;

    if (kind != HG_TYPED_NONE)
        handlers[kind](w, c, op->data);
    return kind != HG_TYPED_NONE;
}

/* ---- life ---- */

void hg_typed_init(struct hg_worker *w)
{
    hg_census_clear(w->host, w->boot->seat);
    on_count(w, hg_loop_now(w->loop));
}

void hg_typed_fini(struct hg_worker *w)
{
    struct hg_typed *t = &w->typed;
    struct hg_map_node *node;

    publish_queue(w);      /* of those who were still there at the end */
    tell_counts(w, false); /* nobody is here any more */
    hg_loop_defer_cancel(w->loop, &t->publish);
    hg_timer_stop(hg_loop_timers(w->loop), &t->timer);
    free(t->queue);
    for (struct hg_map_iter it = {0}; (node = hg_map_next(&t->counts, &it));)
        count_free(w, HG_CONTAINER_OF(node, struct hg_tenant_count, node));
    hg_map_fini(&t->counts);
    *t = (struct hg_typed){0};
}
