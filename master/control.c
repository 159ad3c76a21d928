/* The commands of the control socket; its path, which headgate ctl works out the same way. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/base/num.h"
#include "common/sys/log.h"
#include "master/control.h"
#include "master/state.h"

static const char run_dir[] = "/run/headgate";

void hg_control_path(const struct hg_conf *conf, unsigned port, char *out, size_t n)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    if (conf->control_socket[0]) {
        snprintf(out, n, "%s", conf->control_socket);
        return;
    }
    if (!dir || !*dir)
        dir = access(run_dir, F_OK) == 0 ? run_dir : "/tmp";
    snprintf(out, n, "%s/headgate-%u.sock", dir, port);
}

static int do_reload(struct hg_master *m, struct hg_slice arg, struct hg_buf *reply)
{
    (void)arg;
    return hg_master_reload(m, reply) < 0 ? 409 : 200;
}

static int do_stop(struct hg_master *m, struct hg_slice arg, struct hg_buf *reply)
{
    bool now = hg_slice_is(arg, "now");
    if (arg.n && !now) {
        hg_buf_adds(reply, "stop takes nothing, or \"now\"\n");
        return 400;
    }
    hg_master_stop(m, now);
    hg_buf_adds(reply, now ? "stopping at once\n" : "draining, then stopping\n");
    return 200;
}

static int do_drain(struct hg_master *m, struct hg_slice arg, struct hg_buf *reply)
{
    const char *why = NULL;
    int64_t slot;
    if (hg_num_i64(arg, &slot, &why) < 0 || slot < 0 || slot >= m->host->nslots) {
        hg_buf_addf(reply, "drain which worker? 0 to %u (to drain all and end: stop)\n",
                    m->host->nslots - 1);
        return 400;
    }
    struct hg_worker_slot *w = &m->workers[slot];
    if (w->slot.state != HG_SLOT_SERVING) {
        hg_buf_addf(reply, "worker %u is %s\n", (unsigned)slot, hg_slot_state_name(w->slot.state));
        return 409;
    }
    hg_worker_event(m, (uint32_t)slot, HG_SLOT_EV_DRAIN,
                    hg_mono_add(m->now, m->conf->drain_timeout + HG_MASTER_MARGIN));
    hg_buf_addf(reply, "worker %u drains; a new one takes its place then\n", (unsigned)slot);
    return 200;
}

static int do_log_level(struct hg_master *m, struct hg_slice arg, struct hg_buf *reply)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < (int)HG_COUNTOF(names); i++) {
        if (!hg_slice_is(arg, names[i]))
            continue;
        hg_master_set_log_level(m, i);
        hg_buf_addf(reply, "log level is %s until the next reload or restart\n", names[i]);
        return 200;
    }
    hg_buf_adds(reply, "log-level takes error, warn, info or debug\n");
    return 400;
}

int hg_control_publish(void *master, struct hg_slice body, uint64_t *later, struct hg_buf *reply)
{
    struct hg_master *m = master;
    struct hg_ipc_publish p = {.id = ++m->publishes};
    if (!hg_workers_send_one(m, HG_IPC_PUBLISH, &p, sizeof p, body)) {
        hg_buf_adds(reply, "no worker serves now; nothing was sent\n");
        return 503;
    }
    *later = p.id;
    return 0;
}

int hg_control_command(void *master, struct hg_slice verb, struct hg_slice arg,
                       struct hg_buf *reply)
{
    static const struct {
        const char *verb;
        int (*fn)(struct hg_master *, struct hg_slice, struct hg_buf *);
    } commands[] = {
        {"reload", do_reload}, {"stop", do_stop}, {"drain", do_drain}, {"log-level", do_log_level}};
    for (size_t i = 0; i < HG_COUNTOF(commands); i++) {
        if (!hg_slice_is(verb, commands[i].verb))
            continue;
        hg_log(HG_LOG_INFO, NULL, "control", "command=%.*s argument=%.*s", HG_SLICE_ARG(verb),
               HG_SLICE_ARG(arg));
        return commands[i].fn(master, arg, reply);
    }
    return 404;
}
