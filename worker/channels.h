/*
 * Channels (spec 5): {"type":"subscribe","channel":C} without op, on any path. A channel is a room
 * with a kind of its own; events come from POST /publish by way of the relay. Owns nothing.
 */
#ifndef HG_WORKER_CHANNELS_H
#define HG_WORKER_CHANNELS_H

#include "proto/op.h"
#include "worker/core.h"

void hg_channels_greet(struct hg_worker *w, struct hg_conn *c); /* instead of welcome */
/* False: not a channel message. op is as decoded, whatever the result was. */
bool hg_channels_message(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op);

#endif
