/* What time does to connections: pings, deadlines, and the slow ones. */
#include "worker/conn_priv.h"

#include "common/base/err.h"
#include "common/base/macros.h"
#include "proto/http1.h"

/* ---- wheel: one list per quarter second, looked at lazily ---- */

void hg_conn_unwheel(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->wheel_prev)
        hg_conn_at(cs, c->wheel_prev - 1)->wheel_next = c->wheel_next;
    else
        cs->wheel[c->wheel_slot] = c->wheel_next;
    if (c->wheel_next)
        hg_conn_at(cs, c->wheel_next - 1)->wheel_prev = c->wheel_prev;
    c->wheel_next = c->wheel_prev = 0;
}

static void wheel_insert(struct hg_conns *cs, struct hg_conn *c, uint32_t due)
{
    uint32_t ahead = due - cs->tick;

    if ((int32_t)ahead < 1)
        ahead = 1;
    if (ahead > HG_COUNTOF(cs->wheel) - 1)
        ahead = HG_COUNTOF(cs->wheel) - 1; /* looked at again then */
    c->wheel_slot = (uint16_t)((cs->tick + ahead) % HG_COUNTOF(cs->wheel));
    c->wheel_prev = 0;
    c->wheel_next = cs->wheel[c->wheel_slot];
    if (c->wheel_next)
        hg_conn_at(cs, c->wheel_next - 1)->wheel_prev = c->index + 1;
    cs->wheel[c->wheel_slot] = c->index + 1;
}

uint32_t hg_conn_ticks(int64_t us)
{
    return us <= 0 ? 0 : (uint32_t)((us + HG_CONN_TICK_MS * HG_MS - 1) / (HG_CONN_TICK_MS * HG_MS));
}

/* When this connection wants to be looked at. */
static uint32_t due_of(const struct hg_conns *cs, const struct hg_conn *c)
{
    uint32_t due = cs->tick + HG_COUNTOF(cs->wheel);

    if (c->state != HG_CONN_OPEN)
        return c->tick_limit;
    if (cs->conf->ping_interval > 0)
        due = c->tick_ping;
    if (cs->conf->idle_timeout > 0) {
        uint32_t idle = c->tick_in + hg_conn_ticks(cs->conf->idle_timeout);

        due = (int32_t)(idle - due) < 0 ? idle : due;
    }
    if (c->tick_end && (int32_t)(c->tick_end - due) < 0)
        due = c->tick_end;
    return due;
}

void hg_conn_wheel(struct hg_conns *cs, struct hg_conn *c)
{
    wheel_insert(cs, c, due_of(cs, c));
}

void hg_conn_rewheel(struct hg_conns *cs, struct hg_conn *c)
{
    hg_conn_unwheel(cs, c);
    hg_conn_wheel(cs, c);
}

/* Who has begun a request is told; who said nothing (an idle keep-alive, a bare connect) is not. */
static void http_timeout(struct hg_conns *cs, struct hg_conn *c)
{
    const struct hg_err_row *row = hg_err_row(HG_E_HTTP_TIMEOUT);
    struct hg_buf out = {0};

    if (c->in->n > 0 || !c->keep_alive)
        HG_ERR_INC(cs->m, HG_E_HTTP_TIMEOUT);
    if (c->in->n == 0) {
        hg_conn_drop(cs, c);
        return;
    }
    hg_http_respond(&out, hg_http_status(HG_E_HTTP_TIMEOUT), "text/plain; charset=utf-8",
                    hg_slice_str(row->text), false, false, "");
    hg_conn_send_raw(cs, c, hg_buf_slice(&out));
    hg_buf_fini(&out);
    hg_conn_finish(cs, c);
}

static void on_due(struct hg_conns *cs, struct hg_conn *c)
{
    if (c->state == HG_CONN_HTTP) {
        if ((int32_t)(cs->tick - c->tick_limit) >= 0)
            http_timeout(cs, c);
        return;
    }
    if (c->state != HG_CONN_OPEN) {
        if ((int32_t)(cs->tick - c->tick_limit) >= 0)
            hg_conn_drop(cs, c);
        return;
    }
    if (c->tick_end && (int32_t)(cs->tick - c->tick_end) >= 0) {
        hg_conn_close(cs, c, -HG_E_TOKEN_EXPIRED);
        return;
    }
    if (cs->conf->idle_timeout > 0 &&
        cs->tick - c->tick_in >= hg_conn_ticks(cs->conf->idle_timeout)) {
        hg_conn_close(cs, c, -HG_E_IDLE);
        return;
    }
    if (cs->conf->ping_interval > 0 && (int32_t)(cs->tick - c->tick_ping) >= 0) {
        c->tick_ping = cs->tick + hg_conn_ticks(cs->conf->ping_interval);
        if (!c->blocked) /* a ping behind a backlog would tell nothing */
            hg_out_control(cs, c, HG_WS_OP_PING, HG_SLICE_NONE);
    }
}

static void check_stalled(struct hg_conns *cs, struct hg_mono now)
{
    for (uint32_t i = cs->nslow; i-- > 0;) {
        struct hg_conn *c = cs->slow[i];
        int64_t stalled = hg_out_stalled(c, now);

        if (c->state != HG_CONN_OPEN)
            continue;
        if (stalled >= cs->conf->out_stall)
            hg_conn_close(cs, c, -HG_E_SLOW_CONSUMER);
        else if (stalled >= cs->conf->out_grace)
            cs->ev.on_stalled(cs->ev.ctx, c, stalled, hg_conn_queued(c));
    }
}

static void on_tick(void *arg, struct hg_mono now)
{
    struct hg_conns *cs = arg;
    uint32_t at;

    cs->tick++;
    hg_timer_start(hg_loop_timers(cs->loop), &cs->ticker, hg_mono_add(now, HG_CONN_TICK_MS * HG_MS),
                   on_tick, cs);
    /* One by one off the front: on_due may move or end any other. Nothing is put back here, the due
     * are at least a tick ahead. */
    while ((at = cs->wheel[cs->tick % HG_COUNTOF(cs->wheel)])) {
        struct hg_conn *c = hg_conn_at(cs, at - 1);

        hg_conn_unwheel(cs, c);
        wheel_insert(cs, c, cs->tick + 1); /* somewhere valid while on_due runs */
        if (c->state != HG_CONN_DEAD)
            on_due(cs, c);
        hg_conn_rewheel(cs, c);
    }
    check_stalled(cs, now);
    HG_SET(cs->m, frame_bytes, cs->frames->live_bytes);
    HG_SET(cs->m, slow_clients, cs->nslow);
}

void hg_conns_tick(struct hg_conns *cs)
{
    hg_timer_start(hg_loop_timers(cs->loop), &cs->ticker,
                   hg_mono_add(hg_loop_now(cs->loop), HG_CONN_TICK_MS * HG_MS), on_tick, cs);
}
