/*
 * One link to a Redis server (redis.h), over hiredis' async side.
 *
 *            begin                on_found             all answered
 *   WAITING ───────▶ LOOKING UP ───────────▶ GREETING ──────────────▶ UP
 *      ▲                  │ no such name         │ refused, silent     │ lost, silent
 *      └──────────────────┴──────────────────────┴────────────────────┘   link_down: back-off,
 * begin
 *
 * hiredis frees its context itself, whatever the cause; its clean-up hook (on_cleanup) is where we
 * learn of that, after every pending callback has been called with NULL.
 */
#include "worker/redis.h"

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <hiredis/async.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "proto/sha1.h"

#define BACKOFF_FIRST (50 * HG_MS)
#define BACKOFF_MOST (5 * HG_S)
#define LASTING (10 * HG_S)       /* a link up for this long has earned a short back-off */
#define LOOKUP_EVERY (10 * HG_MS) /* the resolver's threads have no fd to wait for */

enum state { WAITING, LOOKING_UP, GREETING, UP };

/* A look-up that the resolver's threads work on; it cannot always be taken back, so it is not part
 * of the link. */
struct lookup {
    struct gaicb cb;
    struct addrinfo hints;
    char host[256];
    struct lookup *next; /* among the orphans */
};

/* Look-ups whose link was freed while a resolver's thread was at them. */
static struct lookup *orphans;

struct hg_redis {
    struct hg_redis_spec spec;
    enum state state;
    redisAsyncContext *ac; /* hiredis' own; NULL outside of GREETING and UP */
    struct hg_watch watch;
    struct hg_timer timer; /* WAITING: next attempt; LOOKING_UP: look again; GREETING: deadline; UP:
                              probe or its deadline */
    struct hg_mono deadline; /* of LOOKING_UP */
    struct hg_mono up_since;
    struct lookup *lookup; /* NULL: none under way */
    unsigned attempts;     /* since a link that lasted; doubles the ceiling and picks the address */
    unsigned greetings;    /* answers of the hand-shake still to come */
    bool probing;          /* a probe is not answered yet */
    bool was_up;           /* an on_up without its on_down */
    bool dead;             /* hg_redis_free runs */
    size_t inflight;
    char why[256];
    const char *const *channels; /* NULL: no subscriber */
    unsigned nchannels, awaited; /* awaited: subscriptions not confirmed yet */
    hg_redis_subscribed_fn on_subscribed;
    hg_redis_message_fn on_message;
    void *sub_ctx;
};

struct call { /* a command without a reply yet */
    struct hg_redis *r;
    size_t bytes;
    hg_redis_reply_fn fn;
    void *ctx;
    struct hg_redis_script *script; /* of an EVALSHA; NULL: nothing to send again */
    int argc;
    char nkeys[12];
    struct hg_slice argv[]; /* of an EVALSHA, its bytes behind it */
};

static void begin(void *arg, struct hg_mono now);
static void start_timer(struct hg_redis *r, int64_t us, hg_timer_fn fn)
{
    hg_timer_start(hg_loop_timers(r->spec.loop), &r->timer,
                   hg_mono_add(hg_loop_now(r->spec.loop), us), fn, r);
}

/* ---- going down ---- */

static int64_t backoff(struct hg_redis *r)
{
    int64_t most = BACKOFF_FIRST;
    for (unsigned i = 1; i < r->attempts && most < BACKOFF_MOST; i++)
        most *= 2;
    return 1 + arc4random_uniform((uint32_t)HG_MIN(most, BACKOFF_MOST));
}

/* The link is gone, hiredis' context too. */
static void link_down(struct hg_redis *r)
{
    struct hg_mono now = hg_loop_now(r->spec.loop);
    if (r->state == UP && hg_mono_sub(now, r->up_since) >= LASTING)
        r->attempts = 0;
    r->attempts++;
    r->state = WAITING;
    r->probing = false;
    r->channels = NULL;
    start_timer(r, backoff(r), begin);
    r->was_up = false;
    if (r->spec.on_down)
        r->spec.on_down(r->spec.ctx, r->why);
}

/* Gives the context up for a reason of our own; on_cleanup follows, at the latest when hiredis
 * leaves its callback. */
static void drop(struct hg_redis *r, const char *why)
{
    strlcpy(r->why, why, sizeof r->why);
    redisAsyncFree(r->ac);
}

static void on_silence(void *arg, struct hg_mono now)
{
    struct hg_redis *r = arg;
    (void)now;
    drop(r, r->state == UP ? "no answer to a probe" : "no answer to the hand-shake");
}

/* ---- hiredis' six hooks ---- */

static void on_ready(void *arg, int fd, unsigned events)
{
    struct hg_redis *r = arg;
    (void)fd;
    /* An error shows when the socket is used: the side that waits gets to see it. */
    if (events & HG_HUP)
        events |= r->watch.events & (HG_IN | HG_OUT);
    if (events & HG_OUT && r->ac)
        redisAsyncHandleWrite(r->ac);
    if (events & (HG_IN | HG_HUP) && r->ac)
        redisAsyncHandleRead(r->ac);
}

static void want(struct hg_redis *r, unsigned events)
{
    if (r->watch.slot && r->watch.events != events)
        hg_watch_set(r->spec.loop, &r->watch, events);
}

static void add_read(void *arg)
{
    struct hg_redis *r = arg;
    want(r, r->watch.events | HG_IN);
}

static void del_read(void *arg)
{
    struct hg_redis *r = arg;
    want(r, r->watch.events & ~(unsigned)HG_IN);
}

static void add_write(void *arg)
{
    struct hg_redis *r = arg;
    want(r, r->watch.events | HG_OUT);
}

static void del_write(void *arg)
{
    struct hg_redis *r = arg;
    want(r, r->watch.events & ~(unsigned)HG_OUT);
}

static void on_cleanup(void *arg)
{
    struct hg_redis *r = arg;
    hg_watch_stop(r->spec.loop, &r->watch);
    if (!r->why[0])
        strlcpy(r->why, r->ac->err ? r->ac->errstr : "closed", sizeof r->why);
    r->ac = NULL;
    if (!r->dead)
        link_down(r);
}

/* ---- commands ---- */

static struct hg_redis_reply plain(const redisReply *reply)
{
    struct hg_redis_reply out = {.kind = HG_REDIS_NIL, .own = reply};
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        out.kind = HG_REDIS_INTEGER;
        out.integer = reply->integer;
        break;
    case REDIS_REPLY_ARRAY:
        out.kind = HG_REDIS_ARRAY;
        out.count = reply->elements;
        break;
    case REDIS_REPLY_NIL:
        break;
    default:
        out.is_error = reply->type == REDIS_REPLY_ERROR;
        out.kind = out.is_error ? HG_REDIS_ERROR : HG_REDIS_TEXT;
        out.text = hg_slice_of(reply->str, (size_t)reply->len);
    }
    return out;
}

struct hg_redis_reply hg_redis_item(const struct hg_redis_reply *array, size_t i)
{
    const redisReply *reply = array->own;
    if (array->kind != HG_REDIS_ARRAY || i >= array->count)
        return (struct hg_redis_reply){.kind = HG_REDIS_NIL};
    return plain(reply->element[i]);
}

static bool send_source(struct call *call);
static void on_silence(void *arg, struct hg_mono now);

/* A probe stands behind all that was sent before it: while the answers to that come it is not
 * late. */
static void sign_of_life(struct hg_redis *r)
{
    if (r->state == UP && r->probing)
        start_timer(r, r->spec.answer_timeout, on_silence);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
    struct call *call = arg;
    struct hg_redis_reply out;
    (void)ac;
    if (reply)
        out = plain(reply);
    if (reply && out.is_error && call->script && out.text.n >= 8 &&
        memcmp(out.text.p, "NOSCRIPT", 8) == 0 && send_source(call))
        return;
    call->r->inflight -= call->bytes;
    if (reply)
        sign_of_life(call->r);
    if (call->fn)
        call->fn(call->ctx, reply ? &out : NULL);
    free(call);
}

static size_t cost_of(const struct hg_slice *argv, int argc)
{
    size_t n = 16;
    for (int i = 0; i < argc; i++)
        n += argv[i].n + 16; /* about what the protocol adds */
    return n;
}

enum { ARGC_FEW = 16 };

/* Hands the command to hiredis, which copies it. */
static int send_command(struct hg_redis *r, redisCallbackFn *fn, void *arg,
                        const struct hg_slice *argv, int argc)
{
    struct {
        const char *ptr[ARGC_FEW];
        size_t len[ARGC_FEW];
    } few;
    void *many =
        argc > ARGC_FEW ? hg_malloc((size_t)argc * (sizeof *few.ptr + sizeof *few.len)) : NULL;
    const char **ptr = many ? many : few.ptr;
    size_t *len = many ? (size_t *)(void *)(ptr + argc) : few.len;
    for (int i = 0; i < argc; i++) {
        ptr[i] = argv[i].p;
        len[i] = argv[i].n;
    }
    int rc = redisAsyncCommandArgv(r->ac, fn, arg, argc, ptr, len);
    free(many);
    return rc == REDIS_OK ? 0 : -HG_E_AGAIN;
}

static int send_call(struct call *call, const struct hg_slice *argv, int argc)
{
    struct hg_redis *r = call->r;
    call->bytes = cost_of(argv, argc);
    int rc = send_command(r, on_reply, call, argv, argc);
    if (rc < 0) {
        free(call), call = NULL;
        return rc;
    }
    r->inflight += call->bytes;
    return 0;
}

int hg_redis_command(struct hg_redis *r, const struct hg_slice *argv, int argc,
                     hg_redis_reply_fn fn, void *ctx)
{
    HG_BUG_ON(r->channels);
    if (r->state != UP || !r->ac)
        return -HG_E_AGAIN;
    struct call *call = hg_malloc(sizeof *call);
    *call = (struct call){.r = r, .fn = fn, .ctx = ctx};
    return send_call(call, argv, argc);
}

/* ---- scripts ---- */

/* A call that keeps its arguments, behind two places for EVALSHA and its SHA (or EVAL and the
 * source). */
static struct call *new_eval(int argc, const struct hg_slice *args, int nargs)
{
    size_t bytes = 0;
    for (int i = 0; i < nargs; i++)
        bytes += args[i].n;
    struct call *call = hg_calloc(1, sizeof *call + (size_t)argc * sizeof call->argv[0] + bytes);
    char *at = (char *)(call->argv + argc);
    call->argc = argc;
    for (int i = 0; i < nargs; i++) {
        if (args[i].n)
            memcpy(at, args[i].p, args[i].n);
        call->argv[argc - nargs + i] = hg_slice_of(at, args[i].n);
        at += args[i].n;
    }
    return call;
}

int hg_redis_eval(struct hg_redis *r, struct hg_redis_script *script, int nkeys,
                  const struct hg_slice *argv, int argc, hg_redis_reply_fn fn, void *ctx)
{
    enum { BEFORE = 3 }; /* EVALSHA, SHA, number of keys */
    HG_BUG_ON(r->channels);
    if (r->state != UP || !r->ac)
        return -HG_E_AGAIN;
    bool by_sha = script->sha[0] || hg_sha1_hex(hg_slice_str(script->source), script->sha) == 0;
    struct call *call = new_eval(BEFORE + argc, argv, argc);
    call->r = r, call->fn = fn, call->ctx = ctx, call->script = by_sha ? script : NULL;
    snprintf(call->nkeys, sizeof call->nkeys, "%d", nkeys);
    call->argv[0] = by_sha ? HG_SLICE_LIT("EVALSHA") : HG_SLICE_LIT("EVAL");
    call->argv[1] = hg_slice_str(by_sha ? script->sha : script->source);
    call->argv[2] = hg_slice_str(call->nkeys);
    return send_call(call, call->argv, call->argc);
}

/* The same once more, with the source. False: the link is on its way out. */
static bool send_source(struct call *call)
{
    struct hg_redis *r = call->r;
    if (r->state != UP || !r->ac)
        return false;
    call->argv[0] = HG_SLICE_LIT("EVAL");
    call->argv[1] = hg_slice_str(call->script->source);
    call->script = NULL; /* it is not sent a third time */
    return send_command(r, on_reply, call, call->argv, call->argc) == 0;
}

/* ---- the watchdog ---- */

static void answered(struct hg_redis *r);

static void on_pong(redisAsyncContext *ac, void *reply, void *arg)
{
    (void)ac;
    if (reply)
        answered(arg);
}

static void on_channel(redisAsyncContext *ac, void *reply, void *arg);

/* A subscriber may PING, but hiredis 0.14 keeps the callback of it for ever: subscribing again is
 * its probe. */
static void send_subscribe(struct hg_redis *r)
{
    struct hg_slice argv[1 + HG_REDIS_CHANNELS] = {HG_SLICE_LIT("SUBSCRIBE")};
    for (unsigned i = 0; i < r->nchannels; i++)
        argv[1 + i] = hg_slice_str(r->channels[i]);
    /* Refused only by a context on its way out: on_cleanup is coming. */
    send_command(r, on_channel, r, argv, (int)(1 + r->nchannels));
}

static void probe(void *arg, struct hg_mono now)
{
    struct hg_redis *r = arg;
    struct hg_slice ping = HG_SLICE_LIT("PING");
    (void)now;
    r->probing = true;
    start_timer(r, r->spec.answer_timeout, on_silence);
    if (r->channels)
        send_subscribe(r);
    else
        send_command(r, on_pong, r, &ping, 1);
}

static void answered(struct hg_redis *r)
{
    if (r->state != UP || !r->probing)
        return;
    r->probing = false;
    start_timer(r, r->spec.probe_every, probe);
}

/* ---- subscriber ---- */

/* The place of a channel's name in the list; nchannels when it is none of ours. */
static unsigned find_channel(const struct hg_redis *r, const redisReply *name)
{
    unsigned i = 0;
    while (i < r->nchannels &&
           !(name->type == REDIS_REPLY_STRING && strcmp(name->str, r->channels[i]) == 0))
        i++;
    return i;
}

static void on_channel(redisAsyncContext *ac, void *data, void *arg)
{
    struct hg_redis *r = arg;
    redisReply *reply = data;
    (void)ac;
    if (!reply || r->state != UP || !r->channels)
        return;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3) {
        drop(r, reply->type == REDIS_REPLY_ERROR ? reply->str : "no answer of a subscription");
        return;
    }
    answered(r); /* whatever comes is a sign of life */
    redisReply *body = reply->element[2];
    unsigned channel = find_channel(r, reply->element[1]);
    if (strcmp(reply->element[0]->str, "subscribe") == 0) {
        if (r->awaited > 0 && --r->awaited == 0)
            r->on_subscribed(r->sub_ctx);
    } else if (strcmp(reply->element[0]->str, "message") == 0 && body->type == REDIS_REPLY_STRING &&
               channel < r->nchannels) {
        r->on_message(r->sub_ctx, channel, hg_slice_of(body->str, (size_t)body->len));
    }
}

int hg_redis_subscribe(struct hg_redis *r, const char *const *channels, unsigned n,
                       hg_redis_subscribed_fn on_subscribed, hg_redis_message_fn on_message,
                       void *ctx)
{
    HG_BUG_ON(r->channels);
    if (r->state != UP || !r->ac)
        return -HG_E_AGAIN;
    HG_BUG_ON(n == 0 || n > HG_REDIS_CHANNELS);
    r->channels = channels;
    r->nchannels = r->awaited = n;
    r->on_subscribed = on_subscribed;
    r->on_message = on_message;
    r->sub_ctx = ctx;
    /* Its answer is waited for as any probe's. */
    r->probing = true;
    start_timer(r, r->spec.answer_timeout, on_silence);
    send_subscribe(r);
    return 0;
}

/* ---- coming up ---- */

static void on_greeting(redisAsyncContext *ac, void *data, void *arg)
{
    struct hg_redis *r = arg;
    redisReply *reply = data;
    (void)ac;
    if (!reply || r->why[0])
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        drop(r, reply->str);
        return;
    }
    if (--r->greetings > 0)
        return;
    r->state = UP;
    r->was_up = true;
    r->up_since = hg_loop_now(r->spec.loop);
    start_timer(r, r->spec.probe_every, probe);
    if (r->spec.on_up)
        r->spec.on_up(r->spec.ctx);
}

static void greet(struct hg_redis *r, const struct hg_slice *argv, int argc)
{
    if (send_command(r, on_greeting, r, argv, argc) == 0)
        r->greetings++;
}

/* AUTH, SELECT, PING in one go: the first error ends it, and the PING finds those who want a
 * password or still load. */
static void greet_all(struct hg_redis *r)
{
    const struct hg_redis_url *u = &r->spec.url;
    struct hg_slice ping = HG_SLICE_LIT("PING");
    char db[21];
    r->greetings = 0;
    if (u->password[0]) {
        struct hg_slice auth[] = {HG_SLICE_LIT("AUTH"), hg_slice_str(u->user),
                                  hg_slice_str(u->password)};
        if (u->user[0])
            greet(r, auth, 3);
        else
            greet(r, (struct hg_slice[]){auth[0], auth[2]}, 2);
    }
    snprintf(db, sizeof db, "%u", (unsigned)u->db);
    if (u->db)
        greet(r, (struct hg_slice[]){HG_SLICE_LIT("SELECT"), hg_slice_str(db)}, 2);
    greet(r, &ping, 1);
}

static void fail_to_connect(struct hg_redis *r, const char *why)
{
    strlcpy(r->why, why, sizeof r->why);
    link_down(r);
}

/* address is numeric: hiredis, which would look a name up and wait for it, does not have to. */
static void connect_to(struct hg_redis *r, const char *address)
{
    redisAsyncContext *ac = redisAsyncConnect(address, r->spec.url.port);
    if (!ac || ac->err) {
        fail_to_connect(r, ac ? ac->errstr : "no memory");
        if (ac)
            redisAsyncFree(ac);
        return;
    }
    if (hg_watch_start(r->spec.loop, &r->watch, ac->c.fd, HG_OUT, on_ready, r) < 0) {
        fail_to_connect(r, "cannot watch the socket");
        redisAsyncFree(ac);
        return;
    }
    r->ac = ac;
    ac->ev.data = r;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = on_cleanup;
    r->state = GREETING;
    r->why[0] = 0;
    start_timer(r, r->spec.answer_timeout, on_silence);
    greet_all(r);
}

/* ---- names ---- */

static void address_text(const struct addrinfo *a, char out[INET6_ADDRSTRLEN])
{
    const void *p =
        a->ai_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr;
    if (!inet_ntop(a->ai_family, p, out, INET6_ADDRSTRLEN))
        out[0] = 0;
}

/* The n-th address, counted around, IPv4 first: Redis listens there by default and "localhost" has
 * both. */
static void pick_address(const struct addrinfo *list, unsigned n, char out[INET6_ADDRSTRLEN])
{
    static const int families[] = {AF_INET, AF_INET6};
    unsigned count = 0;
    out[0] = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        count += a->ai_family == AF_INET || a->ai_family == AF_INET6;
    n = count ? n % count : 0;
    for (size_t f = 0; f < HG_COUNTOF(families); f++)
        for (const struct addrinfo *a = list; a; a = a->ai_next)
            if (a->ai_family == families[f] && n-- == 0)
                address_text(a, out);
}

static void free_lookup(struct lookup *l)
{
    if (l->cb.ar_result)
        freeaddrinfo(l->cb.ar_result);
    free(l);
}

static void free_orphans(void)
{
    struct lookup **at = &orphans;
    while (*at) {
        struct lookup *l = *at;
        if (gai_error(&l->cb) == EAI_INPROGRESS) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        free_lookup(l), l = NULL;
    }
}

static void end_lookup(struct hg_redis *r)
{
    free_lookup(r->lookup), r->lookup = NULL;
}

static void look_again(void *arg, struct hg_mono now)
{
    struct hg_redis *r = arg;
    char address[INET6_ADDRSTRLEN];
    int rc = gai_error(&r->lookup->cb);
    if (rc == EAI_INPROGRESS && !hg_mono_reached(now, r->deadline)) {
        start_timer(r, LOOKUP_EVERY, look_again);
        return;
    }
    if (rc == EAI_INPROGRESS) { /* the next attempt waits for this same look-up */
        fail_to_connect(r, "looking up the name takes too long");
        return;
    }
    pick_address(rc == 0 ? r->lookup->cb.ar_result : NULL, r->attempts, address);
    end_lookup(r);
    if (address[0])
        connect_to(r, address);
    else
        fail_to_connect(r, rc ? gai_strerror(rc) : "the name has no address");
}

static int start_lookup(struct hg_redis *r)
{
    struct lookup *l = hg_calloc(1, sizeof *l);
    struct gaicb *list[] = {&l->cb};
    free_orphans();
    strlcpy(l->host, r->spec.url.host, sizeof l->host);
    l->hints.ai_socktype = SOCK_STREAM;
    l->cb.ar_name = l->host;
    l->cb.ar_request = &l->hints;
    int rc = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
    if (rc == 0)
        r->lookup = l;
    else
        free(l);
    return rc;
}

static void look_up(struct hg_redis *r)
{
    r->state = LOOKING_UP;
    r->deadline = hg_mono_add(hg_loop_now(r->spec.loop), r->spec.answer_timeout);
    int rc = r->lookup ? 0 : start_lookup(r);
    if (rc != 0)
        fail_to_connect(r, gai_strerror(rc));
    else
        start_timer(r, 0, look_again);
}

static bool is_address(const char *host)
{
    unsigned char buf[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, buf) == 1 || inet_pton(AF_INET6, host, buf) == 1;
}

static void begin(void *arg, struct hg_mono now)
{
    struct hg_redis *r = arg;
    (void)now;
    if (is_address(r->spec.url.host))
        connect_to(r, r->spec.url.host);
    else
        look_up(r);
}

/* ---- life ---- */

struct hg_redis *hg_redis_new(const struct hg_redis_spec *spec)
{
    struct hg_redis *r = hg_calloc(1, sizeof *r);
    r->spec = *spec;
    signal(SIGPIPE, SIG_IGN); /* hiredis writes with write(2) */
    if (!r->spec.probe_every)
        r->spec.probe_every = 5 * HG_S;
    if (!r->spec.answer_timeout)
        r->spec.answer_timeout = 5 * HG_S;
    start_timer(r, 0, begin);
    return r;
}

/* The last words of a worker that ends, as far as the socket takes them; the rest is lost with the
 * link, as its callbacks are told. */
static void write_rest(struct hg_redis *r)
{
    int done;

    if (r->state == UP)
        (void)redisBufferWrite(&r->ac->c, &done);
}

void hg_redis_free(struct hg_redis *r)
{
    if (!r)
        return;
    r->dead = true;
    hg_timer_stop(hg_loop_timers(r->spec.loop), &r->timer);
    if (r->ac) {
        HG_BUG_ON(r->ac->c.flags & REDIS_IN_CALLBACK);
        write_rest(r);
        redisAsyncFree(r->ac);
    }
    if (r->lookup && gai_cancel(&r->lookup->cb) == EAI_NOTCANCELED) {
        r->lookup->next = orphans;
        orphans = r->lookup, r->lookup = NULL;
    }
    if (r->lookup)
        end_lookup(r);
    explicit_bzero(&r->spec.url, sizeof r->spec.url);
    free(r);
}

bool hg_redis_is_up(const struct hg_redis *r)
{
    return r->state == UP;
}

bool hg_redis_wait(struct hg_redis *r, struct hg_mono until)
{
    int64_t left = hg_mono_sub(until, hg_mono_read());
    struct pollfd fd;

    if (r->state != UP || !r->ac)
        return false;
    fd = (struct pollfd){.fd = r->ac->c.fd,
                         .events = (short)(POLLIN | (r->watch.events & HG_OUT ? POLLOUT : 0))};
    if (poll(&fd, 1, left > 0 ? (int)((left + HG_MS - 1) / HG_MS) : 0) > 0)
        on_ready(r, fd.fd,
                 (fd.revents & POLLIN ? HG_IN : 0) | (fd.revents & POLLOUT ? HG_OUT : 0) |
                     (fd.revents & (POLLERR | POLLHUP) ? HG_HUP : 0));
    return r->state == UP;
}

size_t hg_redis_inflight(const struct hg_redis *r)
{
    return r->inflight;
}
