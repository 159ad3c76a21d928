#include "worker/publish.h"

#include <inttypes.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/tally.h"
#include "proto/publish.h"
#include "worker/relay.h"

struct hg_publish_wait { /* an answer under way; free while ask is 0 */
    uint64_t ask;
    uint64_t reached; /* here */
    uint32_t asked;   /* records times siblings */
    int32_t waiting;  /* records that wait for room in the ring: nobody was asked yet */
    bool relayed;
    struct hg_mono until;
    struct hg_publish_asker asker;
};

static void on_late(void *arg, struct hg_mono now);

static bool underscore(const struct hg_worker *w)
{
    return w->conf->tenant_underscore == HG_ALLOW;
}

/* ---- answers ---- */

static void put_error(struct hg_buf *json, const char *what)
{
    hg_buf_adds(json, "{\"error\":");
    hg_json_add_str(json, hg_slice_str(what));
    hg_buf_addc(json, '}');
}

static struct hg_tally answers_of(const struct hg_worker *w, const struct hg_publish_wait *p)
{
    return hg_tally_read(w->host, w->boot->seat, p->ask);
}

static bool is_complete(const struct hg_worker *w, const struct hg_publish_wait *p)
{
    return p->waiting == 0 && answers_of(w, p).answers >= p->asked;
}

static void put_answer(const struct hg_worker *w, const struct hg_publish_wait *p,
                       struct hg_buf *json)
{
    struct hg_tally t = answers_of(w, p);
    uint64_t silent = t.answers < p->asked ? p->asked - t.answers : 0;

    hg_buf_addf(json, "{\"delivered\":%" PRIu64 ",\"relayed\":%s", p->reached + t.reached,
                p->relayed ? "true" : "false");
    silent += (uint64_t)p->waiting;
    if (silent > 0)
        hg_buf_addf(json, ",\"unanswered\":%" PRIu64, silent);
    hg_buf_addc(json, '}');
}

static void finish(struct hg_worker *w, struct hg_publish_wait *p)
{
    struct hg_publish_asker asker = p->asker;
    struct hg_buf json = {0};

    put_answer(w, p, &json);
    p->ask = 0;
    w->publish.open--;
    asker.fn(w, &asker, hg_buf_slice(&json));
    hg_buf_fini(&json);
}

static void finish_those(struct hg_worker *w,
                         bool (*due)(const struct hg_worker *, const struct hg_publish_wait *))
{
    for (uint32_t i = 0; w->publish.open > 0 && i < HG_TALLIES; i++)
        if (w->publish.waits[i].ask && due(w, &w->publish.waits[i]))
            finish(w, &w->publish.waits[i]);
}

void hg_publish_look(struct hg_worker *w)
{
    finish_those(w, is_complete);
}

static bool is_late(const struct hg_worker *w, const struct hg_publish_wait *p)
{
    return hg_mono_reached(hg_loop_now(w->loop), p->until) || is_complete(w, p);
}

/* One timer for all: every answer waits for the same time, so the first is due first. */
static void start_timer(struct hg_worker *w)
{
    struct hg_mono first = {INT64_MAX};

    for (uint32_t i = 0; i < HG_TALLIES; i++)
        if (w->publish.waits[i].ask && w->publish.waits[i].until.us < first.us)
            first = w->publish.waits[i].until;
    if (w->publish.open > 0)
        hg_timer_start(hg_loop_timers(w->loop), &w->publish.late, first, on_late, w);
}

static void on_late(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;

    (void)now;
    finish_those(w, is_late);
    start_timer(w);
}

static bool is_any(const struct hg_worker *w, const struct hg_publish_wait *p)
{
    (void)w;
    (void)p;
    return true;
}

void hg_publish_flush(struct hg_worker *w)
{
    finish_those(w, is_any);
}

/* ---- counting with the siblings ---- */

static struct hg_publish_wait *wait_new(struct hg_worker *w)
{
    struct hg_publishing *pb = &w->publish;

    if (!pb->waits)
        pb->waits = hg_calloc(HG_TALLIES, sizeof *pb->waits);
    for (uint32_t i = 0; i < HG_TALLIES; i++) {
        uint32_t slot = pb->next++ % HG_TALLIES;

        if (pb->waits[slot].ask)
            continue;
        pb->waits[slot] = (struct hg_publish_wait){
            .ask = hg_tally_open(w->host, w->boot->seat, slot), .relayed = true};
        pb->open++;
        return &pb->waits[slot];
    }
    return NULL;
}

void hg_publish_asked(struct hg_worker *w, uint64_t ask, unsigned siblings, int waiting)
{
    struct hg_publish_wait *p =
        ask && w->publish.waits ? &w->publish.waits[hg_tally_slot(ask)] : NULL;

    if (!p || p->ask != ask) /* answered long ago */
        return;
    p->asked += siblings;
    p->waiting += waiting;
}

void hg_publish_answer(struct hg_worker *w, uint32_t seat, uint64_t ask, unsigned reached)
{
    hg_tally_add(w->host, seat, ask, reached);
    w->publish.wake[seat / 64] |= UINT64_C(1) << seat % 64;
}

void hg_publish_turn(struct hg_worker *w)
{
    for (uint32_t i = 0; i < HG_SEAT_WORDS; i++)
        for (; w->publish.wake[i]; w->publish.wake[i] &= w->publish.wake[i] - 1)
            hg_host_wake(w->host, i * 64 + (uint32_t)__builtin_ctzll(w->publish.wake[i]));
}

/* ---- a body ---- */

/* Those before one that is too large were sent. */
static int send_all(struct hg_worker *w, const struct hg_publish_list *l, struct hg_publish_wait *p)
{
    struct hg_publish_scratch sc;
    int rc = 0;

    sc.body = (struct hg_buf){0};
    for (size_t i = 0; i < l->n && rc >= 0; i++) {
        struct hg_envelope e;
        struct hg_relay_told told = {.ask = p->ask};

        hg_publish_put(&l->items[i], hg_wall_ms(), &sc, &e);
        if (!e.tenant.p)
            e.tenant = hg_slice_str(w->conf->default_tenant);
        rc = hg_relay_publish_told(w, &e, &told);
        p->relayed &= told.relayed;
        p->reached += rc > 0 ? (unsigned)rc : 0;
    }
    hg_buf_fini(&sc.body);
    return rc < 0 ? rc : 0;
}

static int answer_now(struct hg_worker *w, struct hg_publish_wait *p, int status,
                      struct hg_buf *json)
{
    if (status == 200)
        put_answer(w, p, json);
    else
        put_error(json, "a message is larger than the ring takes; those before it were sent");
    p->ask = 0;
    w->publish.open--;
    return status;
}

static int publish_list(struct hg_worker *w, const struct hg_publish_list *l,
                        const struct hg_publish_asker *asker, struct hg_buf *json)
{
    struct hg_publish_wait *p = wait_new(w);

    if (!p) {
        put_error(json, "too many publishes wait for their counts; nothing was sent");
        return 503;
    }
    if (send_all(w, l, p) < 0)
        return answer_now(w, p, 413, json);
    p->relayed &= l->n > 0;
    if (is_complete(w, p))
        return answer_now(w, p, 200, json);
    p->asker = *asker;
    p->until = hg_mono_add(hg_loop_now(w->loop), HG_PUBLISH_WAIT);
    if (!hg_timer_is_running(&w->publish.late)) /* else it is due before this one */
        start_timer(w);
    return 0;
}

int hg_publish_body(struct hg_worker *w, struct hg_slice body, const struct hg_publish_asker *asker,
                    struct hg_buf *json)
{
    struct hg_publish_list l;
    int status = 400;

    if (hg_publish_read(body, underscore(w), &l) < 0)
        put_error(json, l.detail);
    else
        status = publish_list(w, &l, asker, json);
    hg_publish_list_fini(&l);
    return status;
}

/* ---- records ---- */

bool hg_publish_check(const struct hg_worker *w, struct hg_slice body, char why[128])
{
    struct hg_publish_list l;
    bool good = hg_publish_read(body, underscore(w), &l) == 0;

    memcpy(why, l.detail, sizeof l.detail);
    hg_publish_list_fini(&l);
    return good;
}

void hg_publish_record(struct hg_worker *w, struct hg_slice body, int64_t stamp_ms)
{
    struct hg_publish_list l;
    struct hg_publish_scratch sc;

    sc.body = (struct hg_buf){0};
    if (hg_publish_read(body, underscore(w), &l) == 0)
        for (size_t i = 0; i < l.n; i++) {
            struct hg_envelope e;

            hg_publish_put(&l.items[i], stamp_ms > 0 ? stamp_ms : hg_wall_ms(), &sc, &e);
            hg_relay_deliver(w, &e);
        }
    hg_buf_fini(&sc.body);
    hg_publish_list_fini(&l);
}

void hg_publish_fini(struct hg_worker *w)
{
    hg_timer_stop(hg_loop_timers(w->loop), &w->publish.late);
    free(w->publish.waits), w->publish.waits = NULL;
    w->publish.open = 0;
}
