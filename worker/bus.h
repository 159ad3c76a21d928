/*
 * The backplane between hosts: bytes of envelopes on two channels: "tina4:ws", shared with tina4,
 * and "headgate:bus", which only headgates read. A table of carriers (redis, nats), one of which is
 * connected at start, not at first use, and for ever again after a failure. Knows no envelope, no
 * room, no origin.
 *
 *   bus = hg_bus_new(&spec);      NULL: no backplane is configured; a wrong one is logged and is
 *                                 never up
 *   rc = hg_bus_publish(bus, HG_BUS_SHARED, text);
 *                                 0; -HG_E_AGAIN: not connected (bus may be NULL); -HG_E_FULL
 *   hg_bus_free(bus);             NULL is fine; what was published last still leaves, if the
 *                                 server takes it soon
 *
 * publish while configured but not connected, and above the cap, is dropped and counted; what was
 * sent counts when the server has answered. hg_bus_free is not called from inside the callbacks.
 *
 * on_message: whatever arrives on a channel, our own included. on_state(up): subscribed and
 * publishing works. on_gap: a connection was lost and is back: messages of others may be missing.
 */
#ifndef HG_WORKER_BUS_H
#define HG_WORKER_BUS_H

#include <stdbool.h>
#include "common/base/slice.h"
#include "common/sys/conf.h"
#include "common/sys/loop.h"
#include "common/sys/metric.h"

/* Where a message goes, and where it was heard. */
enum hg_bus_channel {
    HG_BUS_SHARED,  /* tina4's: nothing but what tina4 understands (spec 6) */
    HG_BUS_PRIVATE, /* between headgates */
    HG_BUS_CHANNELS
};
extern const char *const hg_bus_channels[HG_BUS_CHANNELS]; /* their names */

struct hg_bus;

struct hg_bus_spec {
    struct hg_loop *loop;
    const struct hg_conf *conf; /* backplane, backplane_url, backplane_inflight */
    struct hg_metrics *metrics; /* backplane_up, _sent, _received, _dropped */
    void (*on_message)(void *ctx, enum hg_bus_channel channel, struct hg_slice text);
    void (*on_state)(void *ctx, bool up);
    void (*on_gap)(void *ctx); /* may be NULL */
    void *ctx;
    int64_t probe_every, answer_timeout; /* microseconds, of each link; 0: 5 s */
};

struct hg_bus *hg_bus_new(const struct hg_bus_spec *spec);
void hg_bus_free(struct hg_bus *bus);
int hg_bus_publish(struct hg_bus *bus, enum hg_bus_channel channel,
                   struct hg_slice text) HG_MUST_CHECK;
bool hg_bus_is_up(const struct hg_bus *bus);

#endif
