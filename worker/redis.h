/*
 * One link to a Redis server: hiredis' one door. Owns the connection, its back-off and its
 * watchdog; never gives up. Knows nothing of what the commands are for. Logs nothing: on_down says
 * why. Made after fork; loop thread only.
 *
 *   r = hg_redis_new(&spec);             connects; on_up when AUTH, SELECT and PING were answered
 *   hg_redis_command(r, argv, 2, fn, ctx);        while up; fn comes once, with NULL if the link
 *                                                 is lost before
 *   hg_redis_eval(r, &script, nkeys, argv, n, fn, ctx);         the same for a Lua script
 *   hg_redis_subscribe(r, channels, n, on_sub, on_msg, ctx);    in on_up: the link is then a
 *                                                 subscriber's and takes no commands
 *   hg_redis_free(r);            NULL is fine; pending fn get NULL. Not from inside a callback of r
 *
 * 1. A name is looked up beside the loop; addresses are tried in turn, IPv4 first.
 * 2. Whatever does not answer within answer_timeout (a connect, the hand-shake, a probe each
 *    probe_every) is a lost link: a server that accepts and says nothing is seen. One that still
 *    answers what was sent before the probe is none.
 * 3. Retries: full jitter below a ceiling that doubles from 50 ms to 5 s, and starts anew after a
 *    link that lasted.
 * 4. on_up and on_down alternate; while there never was an on_up, on_down comes with each failed
 *    attempt too.
 */
#ifndef HG_WORKER_REDIS_H
#define HG_WORKER_REDIS_H

#include <stdbool.h>
#include "common/sys/loop.h"
#include "worker/redis_url.h"

struct hg_redis;

struct hg_redis_spec {
    struct hg_loop *loop;
    struct hg_redis_url url;
    int64_t probe_every;    /* microseconds; 0: 5 s */
    int64_t answer_timeout; /* microseconds; 0: 5 s */
    void (*on_up)(void *ctx);
    void (*on_down)(void *ctx, const char *why); /* why lives until the call returns */
    void *ctx;
};

enum hg_redis_kind {
    HG_REDIS_NIL,
    HG_REDIS_ERROR,
    HG_REDIS_INTEGER,
    HG_REDIS_TEXT,
    HG_REDIS_ARRAY
};
struct hg_redis_reply { /* lives, with all it names, until the call returns */
    enum hg_redis_kind kind;
    bool is_error;   /* kind ERROR: text is the server's message */
    int64_t integer; /* of INTEGER */
    struct hg_slice
        text;        /* of TEXT (string or status) and ERROR; else {NULL}, so that nil is not "" */
    size_t count;    /* elements of ARRAY */
    const void *own; /* private to redis.c */
};
typedef void (*hg_redis_reply_fn)(void *ctx, const struct hg_redis_reply *reply);
/* channel: its place in the list given to hg_redis_subscribe. */
typedef void (*hg_redis_message_fn)(void *ctx, unsigned channel, struct hg_slice message);
typedef void (*hg_redis_subscribed_fn)(void *ctx);

struct hg_redis *hg_redis_new(const struct hg_redis_spec *spec);
void hg_redis_free(struct hg_redis *r);
bool hg_redis_is_up(const struct hg_redis *r);

/* 0; -HG_E_AGAIN while down. argv is copied. fn may be NULL. */
int hg_redis_command(struct hg_redis *r, const struct hg_slice *argv, int argc,
                     hg_redis_reply_fn fn, void *ctx) HG_MUST_CHECK;
/* Element i < count of an ARRAY, which may be one itself; anything else gives NIL. */
struct hg_redis_reply hg_redis_item(const struct hg_redis_reply *array, size_t i);

/* A Lua script: source is set, the rest zeroed; one per program, not per link. */
struct hg_redis_script {
    const char *source;
    char sha[41]; /* made when first needed */
};
/* Runs it by its SHA; a server that does not know it (restarted, SCRIPT FLUSH) is sent the source
 * then, and fn hears of that answer only. argv: the keys, nkeys of them, and the arguments. Copied.
 * A command sent in between may then be run before it. */
int hg_redis_eval(struct hg_redis *r, struct hg_redis_script *script, int nkeys,
                  const struct hg_slice *argv, int argc, hg_redis_reply_fn fn,
                  void *ctx) HG_MUST_CHECK;
/* For the one who ends, beside the loop: waits for the socket once, at most until then, and calls
 * what has its reply. False: down. */
bool hg_redis_wait(struct hg_redis *r, struct hg_mono until);
/* Bytes of commands, as sent, whose reply has not come. */
size_t hg_redis_inflight(const struct hg_redis *r);
/* on_subscribed when the server has said so of all n channels, then on_message for each message.
 * The list is kept, not copied; n is at most HG_REDIS_CHANNELS. -HG_E_AGAIN while down. */
enum { HG_REDIS_CHANNELS = 4 };
int hg_redis_subscribe(struct hg_redis *r, const char *const *channels, unsigned n,
                       hg_redis_subscribed_fn on_subscribed, hg_redis_message_fn on_message,
                       void *ctx) HG_MUST_CHECK;

#endif
