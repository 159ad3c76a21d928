/*
 * The carrier "redis": two links, since a subscriber takes no other commands. One publishes; the
 * other is subscribed as soon as it is up. Each comes back on its own.
 */
#include <stdlib.h>
#include "common/base/err.h"
#include "worker/bus_carrier.h"
#include "worker/redis.h"

struct bus_redis {
    struct hg_bus *bus;
    struct hg_redis *pub, *sub;
};

static void on_pub_up(void *ctx)
{
    struct bus_redis *b = ctx;
    hg_bus_link(b->bus, HG_BUS_PUBLISHING, true, "");
}

static void on_pub_down(void *ctx, const char *why)
{
    struct bus_redis *b = ctx;
    hg_bus_link(b->bus, HG_BUS_PUBLISHING, false, why);
}

static void on_subscribed(void *ctx)
{
    struct bus_redis *b = ctx;
    hg_bus_link(b->bus, HG_BUS_LISTENING, true, "");
}

static void on_message(void *ctx, unsigned channel, struct hg_slice text)
{
    struct bus_redis *b = ctx;
    hg_bus_heard(b->bus, (enum hg_bus_channel)channel, text);
}

static void on_sub_up(void *ctx)
{
    struct bus_redis *b = ctx;
    int rc =
        hg_redis_subscribe(b->sub, hg_bus_channels, HG_BUS_CHANNELS, on_subscribed, on_message, b);
    if (rc < 0) /* lost again already */
        hg_bus_link(b->bus, HG_BUS_LISTENING, false, hg_err_row(rc)->text);
}

static void on_sub_down(void *ctx, const char *why)
{
    struct bus_redis *b = ctx;
    hg_bus_link(b->bus, HG_BUS_LISTENING, false, why);
}

static void on_published(void *ctx, const struct hg_redis_reply *reply)
{
    struct bus_redis *b = ctx;
    if (!reply)
        hg_bus_sent(b->bus, false, HG_SLICE_LIT("link lost"));
    else
        hg_bus_sent(b->bus, !reply->is_error, reply->text);
}

static int redis_open(struct hg_bus *bus, const struct hg_bus_spec *bus_spec, struct hg_slice url,
                      void **out, const char **why, size_t *at)
{
    struct hg_redis_spec spec = {.loop = bus_spec->loop,
                                 .probe_every = bus_spec->probe_every,
                                 .answer_timeout = bus_spec->answer_timeout};
    int rc = hg_redis_url_parse(url, &spec.url, why, at);
    if (rc < 0)
        return rc;
    struct bus_redis *b = hg_calloc(1, sizeof *b);
    b->bus = bus;
    spec.ctx = b;
    spec.on_up = on_pub_up;
    spec.on_down = on_pub_down;
    b->pub = hg_redis_new(&spec);
    spec.on_up = on_sub_up;
    spec.on_down = on_sub_down;
    b->sub = hg_redis_new(&spec);
    explicit_bzero(&spec.url, sizeof spec.url);
    *out = b;
    return 0;
}

static void redis_close(void *carrier)
{
    struct bus_redis *b = carrier;
    hg_redis_free(b->sub);
    hg_redis_free(b->pub);
    free(b);
}

static int redis_publish(void *carrier, enum hg_bus_channel channel, struct hg_slice text)
{
    struct bus_redis *b = carrier;
    struct hg_slice argv[] = {HG_SLICE_LIT("PUBLISH"), hg_slice_str(hg_bus_channels[channel]),
                              text};
    return hg_redis_command(b->pub, argv, 3, on_published, b);
}

static size_t redis_inflight(const void *carrier)
{
    const struct bus_redis *b = carrier;
    return hg_redis_inflight(b->pub);
}

const struct hg_bus_carrier hg_bus_redis = {
    .name = "redis",
    .default_url = "redis://localhost:6379",
    .open = redis_open,
    .close = redis_close,
    .publish = redis_publish,
    .inflight = redis_inflight,
};
