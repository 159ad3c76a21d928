/*
 * What a back end sends to whom: the body of POST /publish, of headgate ctl publish, and of the
 * records of an envelope topic. Never does I/O or logs.
 *
 *   {"channel":C, "data":{...}}
 *   {"room":R | "path":P | "id":ID | "all":true, "text":T | "b64":B}
 *
 * each with an optional "tenant" and, but for "id", "exclude":ID | [ID,...]; or an array of at most
 * HG_PUBLISH_BATCH of them.
 *
 *   struct hg_publish_list l;
 *   struct hg_publish_scratch sc = {0};
 *   if (hg_publish_read(body, false, &l) == 0)        all of them are right, or none counts
 *       for (i < l.n) hg_publish_put(&l.items[i], now, &sc, &e);
 *   else l.detail                                     "[1].text: expected a string"
 *   hg_publish_list_fini(&l);                             after every read
 *   hg_buf_fini(&sc.body);
 *
 * A list owns its document; items borrow from it and from the body given.
 */
#ifndef HG_PROTO_PUBLISH_H
#define HG_PROTO_PUBLISH_H

#include "proto/envelope.h"
#include "proto/json.h"

struct hg_publish {
    enum hg_envelope_kind kind;
    struct hg_slice target;  /* channel, room, path or connection id; none for all */
    struct hg_slice tenant;  /* none: the default */
    struct hg_json_val data; /* of a channel: an object */
    struct hg_slice text;    /* of the others: this */
    struct hg_slice b64;     /* or this */
    struct hg_json_val exclude;
    char detail[96];
};

enum { HG_PUBLISH_BATCH = 1000, HG_PUBLISH_EXCLUDES = 256 };

struct hg_publish_scratch { /* what an envelope borrows that is not in the document as it goes out
                             */
    struct hg_buf body;     /* an event, or decoded bytes */
    struct hg_slice excludes[HG_PUBLISH_EXCLUDES];
};

struct hg_publish_list {
    struct hg_publish *items;
    size_t n;
    char detail[128];
    /* private to publish.c */
    struct hg_json doc;
};

/* 0, or -HG_E_BAD_OP with detail. underscore: may a tenant have one? */
int hg_publish_decode(struct hg_json_val msg, bool underscore, struct hg_publish *p) HG_MUST_CHECK;
int hg_publish_read(struct hg_slice body, bool underscore,
                    struct hg_publish_list *l) HG_MUST_CHECK; /* the same results */
void hg_publish_list_fini(struct hg_publish_list *l);
/* The envelope of p, good until sc is used again; tenant stays none when p has none, an event gets
 * this timestamp unless it has one. */
void hg_publish_put(const struct hg_publish *p, int64_t timestamp_ms, struct hg_publish_scratch *sc,
                    struct hg_envelope *e);

#endif
