#include "worker/worker.h"

#include <bsd/string.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/ipc.h"
#include "common/sys/log.h"
#include "worker/calls.h"
#include "worker/core.h"
#include "worker/dispatch.h"
#include "worker/identity.h"
#include "worker/ingest.h"
#include "worker/publish.h"
#include "worker/queries.h"
#include "worker/relay.h"
#include "worker/typed.h"
#include "worker/web.h"

enum {
    ACCEPT_BUDGET = 64,    /* per turn */
    ACCEPT_PAUSE_MS = 100, /* after running out of descriptors: a spinning accept helps nobody */
    SPARE_FDS = 128,       /* for Kafka, Redis, logs */
    DRAIN_TICK_MS = 10,
    DRAIN_PER_SECOND = 2000, /* paced: their clients come back somewhere (lessons 8) */
    TITLE_MS = 1000,
    SLOW_MS = 250,   /* as the sources looked */
    FLUSH_MS = 1000, /* with the next, well within the master's margin for an ending worker */
    CACHE_MS = 500,
};

static void set_ready(struct hg_worker *w, uint32_t bit, bool on)
{
    if (on)
        atomic_fetch_or(&w->seat->ready, bit);
    else
        atomic_fetch_and(&w->seat->ready, ~bit);
}

/* ---- accepting ---- */

static void on_accept_pause(void *arg, struct hg_mono now);

/* Above the limit: a word before the door is shut, so that a balancer knows. */
static void admit(struct hg_worker *w, int client, const struct hg_addr *peer)
{
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: "
                               "1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    int rc = hg_conn_accept(&w->conns, client, peer);

    if (rc == 0) {
        HG_INC(w->m, accepted);
        return;
    }
    if (rc == -HG_E_CONN_LIMIT &&
        send(client, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        HG_INC(w->m, accept_errors);
    close(client);
}

static void on_listen(void *arg, int fd, unsigned events)
{
    struct hg_worker *w = arg;

    (void)events;
    for (int i = 0; i < ACCEPT_BUDGET; i++) {
        struct hg_addr peer;
        int client = hg_sock_accept(fd, &peer);

        if (client == -HG_E_AGAIN)
            return;
        if (client < 0) {
            HG_INC(w->m, accept_errors);
            hg_log_limited(HG_LOG_ERROR, NULL, "accept.failed", "err=%s errno=%d",
                           hg_err_row(client)->name, errno);
            hg_watch_set(w->loop, &w->listen, 0);
            hg_timer_start(hg_loop_timers(w->loop), &w->accept_pause,
                           hg_mono_add(hg_loop_now(w->loop), ACCEPT_PAUSE_MS * HG_MS),
                           on_accept_pause, w);
            return;
        }
        admit(w, client, &peer);
    }
}

static void on_accept_pause(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;

    (void)now;
    if (!w->draining)
        hg_watch_set(w->loop, &w->listen, HG_IN);
}

static void stop_accepting(struct hg_worker *w)
{
    set_ready(w, HG_READY_ACCEPT, false);
    hg_timer_stop(hg_loop_timers(w->loop), &w->accept_pause);
    hg_watch_stop(
        w->loop,
        &w->listen); /* the socket stays open: the master's successor accepts what waits in it */
}

/* ---- connections' events ---- */

static void on_message(void *ctx, struct hg_conn *c, bool binary, struct hg_slice data)
{
    struct hg_worker *w = ctx;

    hg_doing_set(w, HG_DOING_CLIENT);
    hg_dispatch_message(w, c, binary, data);
}

static void on_gone(void *ctx, struct hg_conn *c)
{
    struct hg_worker *w = ctx;

    hg_calls_gone(c);
    hg_typed_gone(w, c);
    hg_ids_drop(&w->ids, c);
    hg_subs_close_all(&w->streams, c);
    hg_hub_leave_all(&w->hub, c);
    hg_web_gone(w, c);
}

static void on_writable(void *ctx, struct hg_conn *c)
{
    struct hg_worker *w = ctx;

    hg_stream_writable(&w->streams, c);
}

static void on_stalled(void *ctx, struct hg_conn *c, int64_t stalled_us, uint64_t queued)
{
    struct hg_worker *w = ctx;

    (void)stalled_us;
    hg_stream_stalled(&w->streams, c, queued);
}

/* ---- Kafka's events ---- */

static void on_reply(void *ctx, const struct hg_kafka_record *r)
{
    struct hg_worker *w = ctx;

    hg_doing_set(w, HG_DOING_REPLY);
    hg_rpc_on_reply(&w->rpcs, r);
}

static void on_report(void *ctx, void *opaque, int err)
{
    struct hg_kafka_report *r = opaque;

    (void)ctx;
    r->fn(r, err);
}

static void on_kafka_state(void *ctx, bool up, bool replies_ready)
{
    struct hg_worker *w = ctx;

    set_ready(w, HG_READY_KAFKA, up);
    set_ready(w, HG_READY_RPC, replies_ready);
}

/* ---- stopping ---- */

static void finish_if_empty(struct hg_worker *w)
{
    if (w->conns.count == 0)
        hg_loop_stop(w->loop);
}

static void close_next(struct hg_worker *w, uint64_t budget)
{
    struct hg_conn *c;

    while (budget-- > 0 && (c = hg_conns_next(&w->conns, &w->drain_at))) {
        if (c->state == HG_CONN_OPEN)
            hg_calls_shutdown(w, c); /* whoever waits for an answer hears why none comes */
        hg_conn_close(&w->conns, c, w->drain_err);
    }
}

static void on_drain_tick(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;

    if (hg_mono_reached(now, w->drain_until)) {
        hg_loop_stop(w->loop);
        return;
    }
    close_next(w, HG_MAX(DRAIN_PER_SECOND * DRAIN_TICK_MS / 1000, w->conns.count / 500));
    finish_if_empty(w);
    hg_timer_start(hg_loop_timers(w->loop), &w->drain_timer,
                   hg_mono_add(now, DRAIN_TICK_MS * HG_MS), on_drain_tick, w);
}

static void drain(struct hg_worker *w, int err, int64_t within_us)
{
    struct hg_mono now = hg_loop_now(w->loop);

    hg_log(HG_LOG_INFO, NULL, "worker.drain", "connections=%u within_ms=%lld", w->conns.open,
           (long long)(within_us / HG_MS));
    if (!w->draining)
        stop_accepting(w);
    hg_publish_flush(w); /* before their connections end */
    w->draining = true;
    w->drain_err = err;
    w->drain_at = 0;
    w->drain_until = hg_mono_add(now, within_us);
    atomic_store(&w->seat->state, HG_SEAT_DRAINING);
    on_drain_tick(w, now);
}

static void stop_now(struct hg_worker *w)
{
    if (!w->draining)
        stop_accepting(w);
    hg_publish_flush(w);
    w->draining = true;
    w->drain_err = -HG_E_GOING_AWAY;
    w->drain_at = 0;
    close_next(w, UINT32_MAX);
    w->drain_until =
        hg_mono_add(hg_loop_now(w->loop), 500 * HG_MS); /* for the close frames to leave */
    on_drain_tick(w, hg_loop_now(w->loop));
}

/* ---- the master ---- */

static void limit_connections(struct hg_conf *conf)
{
    struct rlimit lim;

    if (conf->max_connections == 0 && getrlimit(RLIMIT_NOFILE, &lim) == 0 &&
        lim.rlim_cur > 2 * SPARE_FDS)
        conf->max_connections = (int64_t)(lim.rlim_cur - SPARE_FDS);
}

static void conf_live(struct hg_worker *w, struct hg_slice text)
{
    int rc = hg_conf_apply_live_text(w->conf, text);

    if (rc < 0)
        hg_log(HG_LOG_ERROR, NULL, "conf.live_refused", "err=%s", hg_err_row(rc)->name);
    else
        hg_log(HG_LOG_INFO, NULL, "conf.live", "applied=%d", rc);
    limit_connections(w->conf);
    hg_identity_load(w);
    hg_log_set_level((enum hg_log_level)w->conf->log_level);
}

/* Should the master not take it, it answers its asker itself. */
static void tell_published(struct hg_worker *w, uint64_t id, int status, struct hg_slice json)
{
    struct hg_ipc_publish p = {.id = id, .status = (uint32_t)status};

    if (hg_ipc_send(w->boot->ipc_fd, HG_IPC_PUBLISHED, &p, sizeof p, json) < 0)
        hg_log(HG_LOG_WARN, NULL, "publish.untold", "json=\"%.*s\"", HG_SLICE_ARG(json));
}

static void on_published(struct hg_worker *w, const struct hg_publish_asker *asker,
                         struct hg_slice json)
{
    tell_published(w, asker->a, 200, json);
}

static void publish_for_master(struct hg_worker *w, const struct hg_ipc_msg *m)
{
    struct hg_publish_asker asker = {on_published, m->publish.id, 0};
    struct hg_buf json = {0};
    int status = hg_publish_body(w, m->tail, &asker, &json);

    if (status)
        tell_published(w, m->publish.id, status, hg_buf_slice(&json));
    hg_buf_fini(&json);
}

static void on_master(struct hg_worker *w, const struct hg_ipc_msg *m)
{
    switch ((enum hg_ipc_type)m->type) {
    case HG_IPC_DRAIN:
        drain(w, -HG_E_DRAINING, m->drain.deadline_us);
        break;
    case HG_IPC_STOP_NOW:
        stop_now(w);
        break;
    case HG_IPC_CONF_LIVE:
        conf_live(w, m->tail);
        break;
    case HG_IPC_LOG_REOPEN:
        if (hg_log_reopen() < 0)
            hg_log(HG_LOG_ERROR, NULL, "log.reopen_failed", "errno=%d", errno);
        break;
    case HG_IPC_LOG_LEVEL:
        hg_log_set_level((enum hg_log_level)m->level.level);
        break;
    case HG_IPC_PUBLISH:
        publish_for_master(w, m);
        break;
    default:
        break;
    }
}

static void on_ipc(void *arg, int fd, unsigned events)
{
    struct hg_worker *w = arg;
    static struct hg_ipc_msg m; /* 64 KB: not for the stack */
    int rc;

    (void)events;
    while ((rc = hg_ipc_recv(fd, HG_IPC_TO_WORKER, &m)) > 0)
        on_master(w, &m);
    if (rc == -HG_E_PEER_GONE) {
        hg_log(HG_LOG_ERROR, NULL, "master.gone", "why=\"its end of the socket pair is closed\"");
        hg_watch_stop(w->loop, &w->ipc);
        stop_now(w);
    }
}

/* ---- turns ---- */

static void on_turn(void *arg)
{
    struct hg_worker *w = arg;

    hg_ingest_turn(w);
    hg_publish_turn(w);
    hg_cache_turn(w->cache);
    atomic_fetch_add_explicit(&w->seat->heartbeat, 1, memory_order_relaxed);
    HG_INC(w->m, loop_turns);
    hg_doing_set(w, HG_DOING_WAIT);
}

/* The last resort of the sources (spec 9): all workers stop reading Kafka while too many clients of
 * the host are slow. Kept by the door, so it holds for partitions that come meanwhile, too
 * (B-17). */
static void on_slow(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;
    uint64_t most = (uint64_t)w->conf->slow_socket_pause_threshold;

    hg_kafka_pause(w->kafka, most > 0 && hg_slow_clients(w) > most);
    if (most > 0)
        hg_timer_start(hg_loop_timers(w->loop), &w->slow_timer, hg_mono_add(now, SLOW_MS * HG_MS),
                       on_slow, w);
}

static void on_title(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;

    set_ready(w, HG_READY_POSITIONS, hg_host_positions_known(w->host));
    if (w->titled != w->conns.open) {
        w->titled = w->conns.open;
        setproctitle("worker %u (%u conns)", w->boot->slot, w->conns.open);
    }
    hg_log_tick();
    if (!hg_timer_is_running(&w->slow_timer)) /* the option may have come with HUP */
        on_slow(w, now);
    hg_timer_start(hg_loop_timers(w->loop), &w->title_timer, hg_mono_add(now, TITLE_MS * HG_MS),
                   on_title, w);
}

/* ---- start ---- */

static void catch_up(void *ctx)
{
    (void)hg_ingest_walk(ctx); /* the watermark is for streams */
}

static void wire(struct hg_worker *w)
{
    struct hg_conn_events ev = {hg_web_on_http, on_message, on_gone, on_writable, on_stalled, w};

    w->conns = (struct hg_conns){.loop = w->loop, .frames = &w->frames, .conf = w->conf, .m = w->m};
    hg_conns_init(&w->conns, &ev);
    hg_interests_init(&w->interests, w->host, w->boot->seat);
    w->ids.conns = &w->conns;
    w->hub = (struct hg_hub){
        .conns = &w->conns, .interests = &w->interests, .catch_up = catch_up, .ctx = w};
    w->streams = (struct hg_streams){.loop = w->loop,
                                     .frames = &w->frames,
                                     .conf = w->conf,
                                     .m = w->m,
                                     .ops = &hg_queries_ops,
                                     .ctx = w};
    hg_streams_init(&w->streams);
    hg_ingest_init(w);
}

static void open_cache(struct hg_worker *w)
{
    struct hg_cache_spec spec = {
        .loop = w->loop, .conf = w->conf, .metrics = w->m, .host = w->host, .seat = w->boot->seat};

    w->cache = hg_cache_new(&spec);
}

static void connect_kafka(struct hg_worker *w)
{
    struct hg_kafka_spec spec = {
        .loop = w->loop,
        .host = w->host,
        .conf = w->conf,
        .seat = w->boot->seat,
        .metrics = w->m,
        .nworkers = w->host->nslots,
        .ev = {hg_ingest_on_record, hg_ingest_on_position, hg_ingest_on_position_lost, on_reply,
               on_report, on_kafka_state, w},
    };

    w->kafka = hg_kafka_new(&spec);
    w->rpcs = (struct hg_rpcs){.loop = w->loop, .conf = w->conf, .m = w->m, .kafka = w->kafka};
}

static int start(struct hg_worker *w)
{
    wire(w);
    open_cache(w);
    connect_kafka(w);
    hg_queries_init(w);
    hg_relay_init(w);
    hg_typed_init(w);
    hg_loop_on_flush(
        w->loop, on_turn,
        w); /* after the connections' own hook: heartbeat says that everything of a turn is done */
    if (hg_watch_start(w->loop, &w->listen, w->boot->listen_fd, HG_IN, on_listen, w) < 0 ||
        hg_watch_start(w->loop, &w->ipc, w->boot->ipc_fd, HG_IN, on_ipc, w) < 0)
        return -HG_E_SYS;
    on_title(w, hg_loop_now(w->loop));
    setproctitle("worker %u (0 conns)", w->boot->slot);
    set_ready(w, HG_READY_ACCEPT, true);
    return hg_ipc_send(w->boot->ipc_fd, HG_IPC_READY, &(struct hg_ipc_empty){0},
                       sizeof(struct hg_ipc_empty), HG_SLICE_NONE);
}

/* In the order that lets every answer still find its asker. */
static void end(struct hg_worker *w)
{
    hg_doing_set(w, HG_DOING_STOP);
    hg_rpcs_fini(&w->rpcs);
    if (w->control)
        hg_control_stop(w->control); /* before the streams go, whose ends it would tell */
    hg_map_fini(&w->tenant_calls);   /* every call has ended */
    hg_publish_flush(w);
    hg_conns_fini(&w->conns);
    hg_streams_fini(&w->streams);
    hg_typed_fini(w);
    hg_relay_fini(w);
    hg_publish_fini(w);
    hg_hub_fini(&w->hub);
    hg_ids_fini(&w->ids);
    hg_kafka_free(w->kafka, hg_kafka_is_up(w->kafka) ? FLUSH_MS : 0); /* no broker takes it */
    hg_cache_stop(w->cache, CACHE_MS * HG_MS);
    hg_cache_free(w->cache);
    hg_control_free(w->control);
    hg_ingest_fini(w);
    hg_interests_fini(&w->interests);
    hg_identity_unload(w);
    hg_buf_fini(&w->text);
    hg_loop_free(w->loop);
}

int hg_worker_main(const struct hg_worker_boot *boot)
{
    struct hg_worker w = {
        .boot = boot,
        .host = boot->host,
        .conf = boot->conf,
        .seat = &boot->host->seats[boot->seat],
        .m = &boot->host->seats[boot->seat].metrics,
    };
    int rc;

    hg_doing_set(&w, HG_DOING_START);
    if (*w.conf->host_id || gethostname(w.host_name, sizeof w.host_name - 1) < 0)
        strlcpy(w.host_name, w.conf->host_id, sizeof w.host_name);
    limit_connections(w.conf);
    hg_identity_load(&w);
    w.loop = hg_loop_new();
    rc = start(&w);
    if (rc == 0)
        hg_loop_run(w.loop);
    else
        hg_log(HG_LOG_ERROR, NULL, "worker.start_failed", "err=%s", hg_err_row(rc)->name);
    end(&w);
    return rc == 0 ? 0 : 1;
}

bool hg_worker_check_conf(const struct hg_conf *conf, struct hg_buf *report)
{
    return hg_identity_check(conf, report);
}
