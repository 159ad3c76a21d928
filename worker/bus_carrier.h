/*
 * What carries the bus (bus.h) between hosts: one row per carrier. A carrier connects when it is
 * opened and for ever again, is subscribed to all of hg_bus_channels, and tells the bus what
 * happens; it counts, caps and decides nothing. In bus_x.c a carrier calls hg_bus_heard,
 * hg_bus_link and hg_bus_sent, never from inside open or close.
 */
#ifndef HG_WORKER_BUS_CARRIER_H
#define HG_WORKER_BUS_CARRIER_H

#include <stddef.h>
#include "worker/bus.h"

struct hg_bus_carrier {
    const char *name;        /* of the option backplane */
    const char *default_url; /* when backplane_url is empty */
    /* 0 and *out, or -HG_E_CONF_VALUE: why at byte at of the URL. */
    int (*open)(struct hg_bus *bus, const struct hg_bus_spec *spec, struct hg_slice url, void **out,
                const char **why, size_t *at);
    void (*close)(void *carrier); /* what is in flight is told as not sent */
    /* 0: hg_bus_sent will be called once for it; -HG_E_AGAIN not connected */
    int (*publish)(void *carrier, enum hg_bus_channel channel, struct hg_slice text);
    size_t (*inflight)(const void *carrier); /* bytes published that are not answered */
};

extern const struct hg_bus_carrier hg_bus_redis;
extern const struct hg_bus_carrier hg_bus_nats; /* if HG_HAVE_NATS */

/* The two halves of a carrier's connection; a gap is told when listening comes back. */
enum hg_bus_half { HG_BUS_PUBLISHING, HG_BUS_LISTENING };
void hg_bus_link(struct hg_bus *bus, enum hg_bus_half half, bool up, const char *why);
void hg_bus_heard(struct hg_bus *bus, enum hg_bus_channel channel, struct hg_slice text);
void hg_bus_sent(struct hg_bus *bus, bool ok, struct hg_slice why);

#endif
