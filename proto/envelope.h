/*
 * The envelope of a broadcast between hosts (spec 6): JSON on tina4:ws, understood by tina4 and by
 * headgate. Never does I/O; who publishes and who drops its own src is the bus's business.
 *
 *   struct hg_envelope e;
 *   if (hg_envelope_decode(bytes, &e) == 0) ... e.payload, hg_envelope_is_excluded(&e, id)
 *   hg_envelope_fini(&e);             after every decode; never for one that was filled to encode
 *
 * The kinds from CHANNEL on are headgate's own: they travel on the ring and on headgate:bus, never
 * on tina4:ws (whoever hears one there drops it).
 *
 * 1. A decoded envelope owns all its slices: nothing borrows from the bytes given.
 * 2. Unknown kinds are refused, never everyone's (B-33); a room envelope without room, or path
 *    without path, likewise.
 * 3. excludes[] (ours) and exclude (everyone's) are one list here; the first goes out as exclude.
 */
#ifndef HG_PROTO_ENVELOPE_H
#define HG_PROTO_ENVELOPE_H

#include "proto/json.h"

enum hg_envelope_kind {
    HG_ENVELOPE_ALL,
    HG_ENVELOPE_PATH,
    HG_ENVELOPE_ROOM,
    HG_ENVELOPE_CHANNEL,  /* to the subscribers of channel room */
    HG_ENVELOPE_PRESENCE, /* to those who want to know who comes and goes */
    HG_ENVELOPE_TYPED,    /* to everyone who has the typed channel */
    HG_ENVELOPE_CONN,     /* to the connection whose id room is, and nobody else */
    HG_ENVELOPE_COUNT     /* no message: text says how many clients worker room of src has */
};
static inline bool hg_envelope_is_ours(enum hg_envelope_kind kind)
{
    return kind >= HG_ENVELOPE_CHANNEL;
}

struct hg_envelope {
    struct hg_slice src; /* "" when the sender gave none */
    enum hg_envelope_kind kind;
    struct hg_slice room;   /* of kinds room, channel, conn and count, else none */
    struct hg_slice path;   /* of kind path, else none */
    struct hg_slice tenant; /* none: a sender that knows no tenants */
    const struct hg_slice *excludes;
    size_t nexcludes;
    bool binary;
    struct hg_slice payload;
    /* private to envelope.c */
    struct hg_json doc;
    struct hg_slice *list;
    struct hg_buf bytes;
};

int hg_envelope_decode(struct hg_slice text,
                       struct hg_envelope *e) HG_MUST_CHECK; /* 0 or -HG_E_ENVELOPE */
void hg_envelope_fini(struct hg_envelope *e);
bool hg_envelope_is_excluded(const struct hg_envelope *e, struct hg_slice id);
/* Appends the JSON text; excludes[] only when there are two or more, tenant only when there is
 * one. */
void hg_envelope_put(struct hg_buf *out, const struct hg_envelope *e);

#endif
