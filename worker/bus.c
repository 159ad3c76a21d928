/* The backplane: state, counters and caps over one carrier. See bus.h. */
#include "worker/bus.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/sys/log.h"
#include "worker/bus_carrier.h"

static const struct hg_bus_carrier *const carriers[] = {
    &hg_bus_redis,
#if HG_HAVE_NATS
    &hg_bus_nats,
#endif
};

const char *const hg_bus_channels[HG_BUS_CHANNELS] = {
    [HG_BUS_SHARED] = "tina4:ws", [HG_BUS_PRIVATE] = "headgate:bus"};

struct hg_bus {
    struct hg_bus_spec spec;
    const struct hg_bus_carrier *row;
    void *carrier; /* NULL: the configuration is wrong, or it is being closed */
    bool half[2];  /* by enum hg_bus_half */
    bool listened; /* before now: coming back means a gap */
    bool was_up;   /* as last told */
};

static const struct hg_bus_carrier *find_carrier(const char *name)
{
    for (size_t i = 0; i < HG_COUNTOF(carriers); i++)
        if (strcmp(carriers[i]->name, name) == 0)
            return carriers[i];
    return NULL;
}

static void open_carrier(struct hg_bus *bus)
{
    const struct hg_conf *cf = bus->spec.conf;
    const char *why = "not a carrier";
    size_t at = 0;
    bus->row = find_carrier(cf->backplane);
    if (!bus->row) {
        hg_log(HG_LOG_ERROR, "bus", "backplane.config", "backplane=\"%s\" why=\"%s\"",
               cf->backplane, why);
        return;
    }
    const char *url =
        cf->backplane_url && *cf->backplane_url ? cf->backplane_url : bus->row->default_url;
    int rc = bus->row->open(bus, &bus->spec, hg_slice_str(url), &bus->carrier, &why, &at);
    if (rc < 0) /* the URL itself may hold a password */
        hg_log(HG_LOG_ERROR, "bus", "backplane.config", "option=backplane_url why=\"%s\" at=%zu",
               why, at + 1);
}

struct hg_bus *hg_bus_new(const struct hg_bus_spec *spec)
{
    if (!spec->conf->backplane || !*spec->conf->backplane)
        return NULL;
    struct hg_bus *bus = hg_calloc(1, sizeof *bus);
    bus->spec = *spec;
    HG_SET(spec->metrics, backplane_up, 0);
    open_carrier(bus);
    return bus;
}

void hg_bus_free(struct hg_bus *bus)
{
    if (!bus)
        return;
    void *carrier = bus->carrier;
    bus->carrier = NULL; /* nothing more is told */
    if (carrier)
        bus->row->close(carrier);
    HG_SET(bus->spec.metrics, backplane_up, 0);
    free(bus);
}

bool hg_bus_is_up(const struct hg_bus *bus)
{
    return bus && bus->was_up;
}

int hg_bus_publish(struct hg_bus *bus, enum hg_bus_channel channel, struct hg_slice text)
{
    if (!bus)
        return -HG_E_AGAIN;
    int rc = bus->carrier ? 0 : -HG_E_AGAIN;
    if (rc == 0) {
        size_t cap = (size_t)bus->spec.conf->backplane_inflight;
        size_t used = bus->row->inflight(bus->carrier);
        rc = used >= cap || text.n > cap - used ? -HG_E_FULL
                                                : bus->row->publish(bus->carrier, channel, text);
    }
    if (rc < 0)
        HG_INC(bus->spec.metrics, backplane_dropped);
    return rc;
}

/* ---- what the carrier tells ---- */

void hg_bus_heard(struct hg_bus *bus, enum hg_bus_channel channel, struct hg_slice text)
{
    HG_INC(bus->spec.metrics, backplane_received);
    bus->spec.on_message(bus->spec.ctx, channel, text);
}

void hg_bus_sent(struct hg_bus *bus, bool ok, struct hg_slice why)
{
    if (ok) {
        HG_INC(bus->spec.metrics, backplane_sent);
        return;
    }
    HG_INC(bus->spec.metrics, backplane_dropped);
    if (bus->carrier)
        hg_log_limited(HG_LOG_WARN, "bus", "backplane.drop", "why=\"%.*s\"", HG_SLICE_ARG(why));
}

static void tell_state(struct hg_bus *bus)
{
    bool up = bus->half[HG_BUS_PUBLISHING] && bus->half[HG_BUS_LISTENING];
    if (up == bus->was_up)
        return;
    bus->was_up = up;
    HG_SET(bus->spec.metrics, backplane_up, up);
    if (up)
        hg_log(HG_LOG_INFO, "bus", "backplane.up", "carrier=%s", bus->row->name);
    if (bus->spec.on_state)
        bus->spec.on_state(bus->spec.ctx, up);
}

void hg_bus_link(struct hg_bus *bus, enum hg_bus_half half, bool up, const char *why)
{
    if (!bus->carrier)
        return;
    bool back = up && half == HG_BUS_LISTENING && bus->listened;
    if (!up)
        hg_log_limited(HG_LOG_WARN, "bus", "backplane.down", "carrier=%s half=%s why=\"%s\"",
                       bus->row->name, half == HG_BUS_LISTENING ? "listen" : "publish", why);
    bus->half[half] = up;
    bus->listened |= up && half == HG_BUS_LISTENING;
    tell_state(bus);
    if (back && bus->spec.on_gap)
        bus->spec.on_gap(bus->spec.ctx);
}
