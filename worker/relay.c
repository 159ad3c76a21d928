#include "worker/relay.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"
#include "proto/route.h"
#include "worker/publish.h"
#include "worker/typed.h"

enum {
    MAX_EXCLUDES = 256,
    PENDING_MAX =
        8 << 20, /* bytes that may wait for a slow sibling; above it the oldest go with a hole */
    RETRY_MS = 1,
};

static enum hg_route_kind room_kind(enum hg_envelope_kind k)
{
    static const enum hg_route_kind kinds[] = {
        [HG_ENVELOPE_ALL] = HG_ROUTE_ALL,           [HG_ENVELOPE_PATH] = HG_ROUTE_PATH,
        [HG_ENVELOPE_ROOM] = HG_ROUTE_ROOM,         [HG_ENVELOPE_CHANNEL] = HG_ROUTE_CHANNEL,
        [HG_ENVELOPE_PRESENCE] = HG_ROUTE_PRESENCE, [HG_ENVELOPE_CONN] = HG_ROUTE_ALL,
        [HG_ENVELOPE_TYPED] = HG_ROUTE_ALL,
    };

    return kinds[k];
}

/* A connection is looked for where its tenant has any. */
static struct hg_slice room_name(const struct hg_envelope *e)
{
    return e->kind == HG_ENVELOPE_CONN   ? HG_SLICE_NONE
           : e->kind == HG_ENVELOPE_PATH ? hg_route_path(e->path)
                                         : e->room;
}

static unsigned read_excludes(const struct hg_envelope *e, unsigned char (*ids)[16])
{
    unsigned n = 0;

    for (size_t i = 0; i < e->nexcludes && n < MAX_EXCLUDES; i++)
        if (hg_session_id_parse(e->excludes[i], ids[n]))
            n++;
    return n;
}

static struct hg_slice tenant_of(struct hg_worker *w, const struct hg_envelope *e)
{
    return e->tenant.p ? e->tenant : hg_slice_str(w->conf->default_tenant);
}

static unsigned opcode_of(const struct hg_envelope *e)
{
    return e->binary ? HG_WS_OP_BINARY : HG_WS_OP_TEXT;
}

static unsigned deliver_to_conn(struct hg_worker *w, const struct hg_envelope *e)
{
    unsigned char id[16];
    struct hg_conn *c = hg_session_id_parse(e->room, id) ? hg_ids_find(&w->ids, id) : NULL;

    if (!c || !hg_slice_eq(hg_atom_text(c->s.tenant), tenant_of(w, e)))
        return 0;
    return hg_hub_send_one(&w->hub, c, opcode_of(e), e->payload);
}

unsigned hg_relay_deliver(struct hg_worker *w, const struct hg_envelope *e)
{
    unsigned char ids[MAX_EXCLUDES][16];
    unsigned n = read_excludes(e, ids);
    struct hg_room *room;

    if (e->kind == HG_ENVELOPE_CONN)
        return deliver_to_conn(w, e);
    room = hg_hub_find(&w->hub, room_kind(e->kind), tenant_of(w, e), room_name(e));
    if (room && e->kind == HG_ENVELOPE_TYPED)
        return hg_hub_send_if(&w->hub, room, opcode_of(e), e->payload, hg_typed_has);
    return room ? hg_hub_send(&w->hub, room, opcode_of(e), e->payload, ids, n) : 0;
}

/* ---- ring ---- */

static int append(struct hg_worker *w, uint64_t hash, uint64_t ask, struct hg_slice key,
                  struct hg_slice body, bool force)
{
    struct hg_rec head = {.kind = HG_REC_ENVELOPE, .part = UINT32_MAX, .hash = hash, .lsn = ask};
    int rc = hg_ring_append(&w->in.writer, &head, key, body, force);
    unsigned meant = 0;

    for (unsigned i = 0; rc >= 0 && i < HG_SEAT_WORDS; i++)
        meant += (unsigned)__builtin_popcountll(head.meant[i]);
    hg_publish_asked(w, ask, meant, 0);
    return rc;
}

static void on_retry(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;
    struct hg_relay *rl = &w->relay;

    while (rl->first) {
        struct hg_pending *p = rl->first;
        bool force =
            rl->pending_bytes > PENDING_MAX || hg_mono_sub(now, p->since) >= w->conf->ring_wait;

        if (append(w, p->hash, p->ask, p->key, p->body, force) == -HG_E_AGAIN) {
            hg_timer_start(hg_loop_timers(w->loop), &rl->retry, hg_mono_add(now, RETRY_MS * HG_MS),
                           on_retry, w);
            return;
        }
        rl->first = p->next;
        if (!rl->first)
            rl->end = &rl->first;
        rl->pending_bytes -= p->key.n + p->body.n;
        hg_publish_asked(w, p->ask, 0, -1);
        free(p);
    }
}

static void wait_for_room(struct hg_worker *w, uint64_t hash, uint64_t ask, struct hg_slice key,
                          struct hg_slice body)
{
    struct hg_relay *rl = &w->relay;
    struct hg_pending *p = hg_malloc(sizeof *p + key.n + body.n);
    struct hg_mono now = hg_loop_now(w->loop);

    *p = (struct hg_pending){.since = now, .hash = hash, .ask = ask};
    hg_publish_asked(w, ask, 0, 1);
    memcpy(p->bytes, key.p, key.n);
    memcpy(p->bytes + key.n, body.p, body.n);
    p->key = hg_slice_of(p->bytes, key.n);
    p->body = hg_slice_of(p->bytes + key.n, body.n);
    *rl->end = p;
    rl->end = &p->next;
    rl->pending_bytes += key.n + body.n;
    if (!hg_timer_is_running(
            &rl->retry)) /* publishing without end must not put it off without end */
        hg_timer_start(hg_loop_timers(w->loop), &rl->retry, hg_mono_add(now, RETRY_MS * HG_MS),
                       on_retry, w);
}

static bool fits(const struct hg_worker *w, struct hg_slice key, struct hg_slice body)
{
    return key.n + body.n <= w->host->ring_size / 8 - sizeof(struct hg_rec) - 2 * sizeof(uint64_t);
}

static int to_siblings(struct hg_worker *w, const struct hg_envelope *e, uint64_t ask,
                       struct hg_slice text)
{
    struct hg_buf key = {0};
    uint64_t hash;
    int rc;

    hg_route_put_hub(&key, room_kind(e->kind), tenant_of(w, e), room_name(e));
    hash = hg_hash_fixed(hg_buf_slice(&key));
    if (!fits(w, hg_buf_slice(&key),
              text)) /* said now: those that wait are not to find out later */
        rc = -HG_E_TOO_BIG;
    else
        rc = w->relay.first ? -HG_E_AGAIN : append(w, hash, ask, hg_buf_slice(&key), text, false);
    if (rc == -HG_E_AGAIN) {
        wait_for_room(w, hash, ask, hg_buf_slice(&key), text);
        rc = 0;
    }
    hg_buf_fini(&key);
    return rc < 0 ? rc : 0;
}

void hg_relay_from_ring(struct hg_worker *w, uint32_t seat, uint64_t ask, struct hg_slice text)
{
    struct hg_envelope e;
    unsigned reached = 0;

    if (hg_envelope_decode(text, &e) == 0 && e.kind != HG_ENVELOPE_COUNT)
        reached = hg_relay_deliver(w, &e);
    hg_envelope_fini(&e);
    if (ask)
        hg_publish_answer(w, seat, ask, reached);
}

/* ---- backplane ---- */

static void on_bus_message(void *ctx, enum hg_bus_channel channel, struct hg_slice text)
{
    struct hg_worker *w = ctx;
    struct hg_envelope e;

    hg_doing_set(w, HG_DOING_ENVELOPE);
    if (hg_envelope_decode(text, &e) < 0 ||
        (channel == HG_BUS_SHARED && hg_envelope_is_ours(e.kind))) {
        HG_INC(w->m, backplane_malformed);
        hg_log_limited(HG_LOG_WARN, NULL, "backplane.malformed", "bytes=%zu", text.n);
    } else if (hg_slice_is(e.src, w->host->instance_id)) {
        HG_INC(w->m, backplane_own);
    } else if (e.kind == HG_ENVELOPE_COUNT) {
        hg_typed_heard_count(w, &e);
    } else {
        hg_relay_deliver(w, &e);
    }
    hg_envelope_fini(&e);
}

static void on_bus_state(void *ctx, bool up)
{
    struct hg_worker *w = ctx;

    if (up)
        atomic_fetch_or(&w->seat->ready, HG_READY_BACKPLANE);
    else
        atomic_fetch_and(&w->seat->ready, ~(uint32_t)HG_READY_BACKPLANE);
}

/* Does anybody else read our ring? */
static bool has_siblings(const struct hg_worker *w)
{
    for (uint32_t i = 0; i < w->host->nseats; i++) {
        uint32_t state = atomic_load_explicit(&w->host->seats[i].state, memory_order_relaxed);

        if (i != w->boot->seat && state != HG_SEAT_FREE && state != HG_SEAT_DEAD)
            return true;
    }
    return false;
}

/* Others on tina4:ws know no tenants and hand what they hear to everyone: they are of
 * default_tenant, and hear of no other. */
static enum hg_bus_channel channel_of(struct hg_worker *w, const struct hg_envelope *e)
{
    bool shared =
        !hg_envelope_is_ours(e->kind) && hg_slice_is(tenant_of(w, e), w->conf->default_tenant);

    return shared ? HG_BUS_SHARED : HG_BUS_PRIVATE;
}

static int publish_on(struct hg_worker *w, enum hg_bus_channel channel, struct hg_envelope *e,
                      struct hg_relay_told *told)
{
    struct hg_buf *text = &w->relay.text;
    bool siblings = has_siblings(w);
    int rc;

    e->src = hg_slice_str(w->host->instance_id);
    hg_buf_reset(text);
    if (siblings || w->relay.bus)
        hg_envelope_put(text, e);
    if (siblings) { /* only appended: they hear of it at the end of the turn */
        rc = to_siblings(w, e, told->ask, hg_buf_slice(text));
        if (rc < 0)
            return rc;
    }
    HG_INC(w->m, broadcasts);
    told->relayed = w->relay.bus && hg_bus_publish(w->relay.bus, channel, hg_buf_slice(text)) == 0;
    if (w->relay.bus && !told->relayed) /* counted there; local delivery stands */
        hg_log_limited(HG_LOG_DEBUG, NULL, "backplane.local_only", "bytes=%zu", text->n);
    return (int)hg_relay_deliver(w, e);
}

int hg_relay_publish_told(struct hg_worker *w, struct hg_envelope *e, struct hg_relay_told *told)
{
    told->relayed = false;
    if (e->kind == HG_ENVELOPE_CONN && hg_relay_deliver(w, e) > 0) {
        HG_INC(w->m, broadcasts);
        return 1;
    }
    return publish_on(w, channel_of(w, e), e, told);
}

int hg_relay_publish(struct hg_worker *w, struct hg_envelope *e)
{
    struct hg_relay_told told = {0};

    return hg_relay_publish_told(w, e, &told);
}

int hg_relay_publish_private(struct hg_worker *w, struct hg_envelope *e)
{
    struct hg_relay_told told = {0};

    return publish_on(w, HG_BUS_PRIVATE, e, &told);
}

void hg_relay_tell_hosts(struct hg_worker *w, struct hg_envelope *e)
{
    struct hg_buf *text = &w->relay.text;

    if (!hg_bus_is_up(w->relay.bus))
        return;
    e->src = hg_slice_str(w->host->instance_id);
    hg_buf_reset(text);
    hg_envelope_put(text, e);
    if (hg_bus_publish(w->relay.bus, HG_BUS_PRIVATE, hg_buf_slice(text)) < 0)
        hg_log_limited(HG_LOG_DEBUG, NULL, "backplane.local_only", "bytes=%zu", text->n);
}

void hg_relay_init(struct hg_worker *w)
{
    struct hg_bus_spec spec = {
        .loop = w->loop,
        .conf = w->conf,
        .metrics = w->m,
        .on_message = on_bus_message,
        .on_state = on_bus_state,
        .ctx = w,
    };

    w->relay.end = &w->relay.first;
    w->relay.bus = hg_bus_new(&spec);
}

void hg_relay_fini(struct hg_worker *w)
{
    hg_bus_free(w->relay.bus);
    w->relay.bus = NULL;
    hg_timer_stop(hg_loop_timers(w->loop), &w->relay.retry);
    hg_buf_fini(&w->relay.text);
    while (w->relay.first) {
        struct hg_pending *p = w->relay.first;

        w->relay.first = p->next;
        free(p);
    }
}
