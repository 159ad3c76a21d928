/*
 * The body of POST /publish: what a back end sends to whom. Never does I/O or logs.
 *
 *   {"channel":C,"data":{...}} or {"room":R | "path":P | "all":true, "text":T | "b64":B}, each with
 * an optional "tenant"
 *
 *   struct hg_publish p;
 *   if (hg_publish_decode(value, false, &p) < 0) ... p.detail              "<field>: expected ..."
 *
 * Slices borrow from the value's document.
 */
#ifndef HG_PROTO_PUBLISH_H
#define HG_PROTO_PUBLISH_H

#include "proto/envelope.h"
#include "proto/json.h"

struct hg_publish {
    enum hg_envelope_kind kind;
    struct hg_slice target;  /* channel, room or path; none for all */
    struct hg_slice tenant;  /* none: the default */
    struct hg_json_val data; /* of a channel: an object */
    struct hg_slice text;    /* of the others: this */
    struct hg_slice b64;     /* or this */
    char detail[96];
};

/* 0, or -HG_E_BAD_OP with detail. underscore: may a tenant have one? */
int hg_publish_decode(struct hg_json_val msg, bool underscore, struct hg_publish *p) HG_MUST_CHECK;

#endif
