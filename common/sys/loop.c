/*
 * See loop.h. epoll's 64 bits of user data hold id (32 bits), generation (24) and kind (8). Kind 0
 * is the loop's own: the id is an index into slots[], and the generation of a slot changes when its
 * watcher stops, so that an event already fetched for a stopped watcher finds nobody. Other kinds
 * are handed to their owner with id and generation as given.
 */
#include "common/sys/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include "common/base/err.h"

enum { BATCH = 512, MAX_KINDS = 16, MAX_HOOKS = 16, GEN_MASK = 0xffffff, WATCHERS = 0 };

struct slot {
    struct hg_watch *w; /* NULL: free */
    uint32_t gen;
    uint32_t next_free; /* index + 1 */
};

struct hook {
    hg_hook_fn fn;
    void *arg;
};

struct kind {
    hg_kind_fn fn;
    void *ctx;
};

struct defer_list {
    struct hg_defer *first, **end;
};

struct hg_loop {
    int epfd;
    bool stop;
    struct hg_mono now;
    struct hg_timers timers;
    struct slot *slots;
    uint32_t nslots, free_slot; /* free_slot: index + 1 */
    struct kind kinds[MAX_KINDS];
    uint8_t nkinds;
    struct hook flush[MAX_HOOKS], reap[MAX_HOOKS];
    unsigned nflush, nreap;
    struct defer_list deferred, running;
    struct epoll_event events[BATCH];
};

struct hg_mono hg_mono_read(void)
{
    struct timespec ts;

    HG_BUG_ON(clock_gettime(CLOCK_MONOTONIC, &ts) != 0);
    return (struct hg_mono){ts.tv_sec * HG_S + ts.tv_nsec / 1000};
}

int64_t hg_wall_ms(void)
{
    struct timespec ts;

    HG_BUG_ON(clock_gettime(CLOCK_REALTIME, &ts) != 0);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void list_clear(struct defer_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

struct hg_loop *hg_loop_new(void)
{
    struct hg_loop *l = hg_calloc(1, sizeof *l);

    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    HG_BUG_ON(l->epfd < 0); /* a process without a loop is none; the master starts another */
    l->nkinds = WATCHERS + 1;
    list_clear(&l->deferred);
    list_clear(&l->running);
    l->now = hg_mono_read();
    return l;
}

void hg_loop_free(struct hg_loop *l)
{
    if (!l)
        return;
    close(l->epfd);
    hg_timers_fini(&l->timers);
    free(l->slots);
    free(l);
}

void hg_loop_stop(struct hg_loop *l)
{
    l->stop = true;
}

struct hg_mono hg_loop_now(const struct hg_loop *l)
{
    return l->now;
}

struct hg_timers *hg_loop_timers(struct hg_loop *l)
{
    return &l->timers;
}

/* ---- registration ---- */

static uint32_t to_epoll(unsigned events)
{
    return (events & HG_IN ? EPOLLIN | EPOLLRDHUP : 0u) | (events & HG_OUT ? EPOLLOUT : 0u) |
           (events & HG_ET ? EPOLLET : 0u);
}

static unsigned from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? HG_IN : 0u) | (events & EPOLLOUT ? HG_OUT : 0u) |
           (events & (EPOLLERR | EPOLLHUP) ? HG_HUP : 0u) | (events & EPOLLRDHUP ? HG_END : 0u);
}

static int control(struct hg_loop *l, int op, int fd, uint8_t kind, uint32_t id, uint32_t gen,
                   unsigned events)
{
    struct epoll_event ev = {
        .events = to_epoll(events),
        .data.u64 = (uint64_t)kind << 56 | (uint64_t)(gen & GEN_MASK) << 32 | id,
    };

    return epoll_ctl(l->epfd, op, fd, &ev) == 0 ? 0 : -HG_E_SYS;
}

static void add_slots(struct hg_loop *l)
{
    uint32_t n = l->nslots ? l->nslots * 2 : 16;

    l->slots = hg_realloc(l->slots, n * sizeof *l->slots);
    for (uint32_t i = n; i-- > l->nslots;) {
        l->slots[i] = (struct slot){.next_free = l->free_slot};
        l->free_slot = i + 1;
    }
    l->nslots = n;
}

int hg_watch_start(struct hg_loop *l, struct hg_watch *w, int fd, unsigned events, hg_ready_fn fn,
                   void *arg)
{
    uint32_t i;
    int rc;

    HG_BUG_ON(w->slot != 0);
    if (!l->free_slot)
        add_slots(l);
    i = l->free_slot - 1;
    rc = control(l, EPOLL_CTL_ADD, fd, WATCHERS, i, l->slots[i].gen, events);
    if (rc < 0)
        return rc;
    l->free_slot = l->slots[i].next_free;
    l->slots[i].w = w;
    *w = (struct hg_watch){.fd = fd, .events = events, .fn = fn, .arg = arg, .slot = i + 1};
    return 0;
}

void hg_watch_set(struct hg_loop *l, struct hg_watch *w, unsigned events)
{
    HG_BUG_ON(w->slot == 0);
    if (w->events == events)
        return;
    w->events = events;
    HG_BUG_ON(control(l, EPOLL_CTL_MOD, w->fd, WATCHERS, w->slot - 1, l->slots[w->slot - 1].gen,
                      events) < 0);
}

void hg_watch_stop(struct hg_loop *l, struct hg_watch *w)
{
    uint32_t i = w->slot - 1;

    if (w->slot == 0)
        return;
    hg_loop_del(l, w->fd);
    l->slots[i] = (struct slot){NULL, (l->slots[i].gen + 1) & GEN_MASK, l->free_slot};
    l->free_slot = i + 1;
    w->slot = 0;
}

uint8_t hg_loop_kind(struct hg_loop *l, hg_kind_fn fn, void *ctx)
{
    HG_BUG_ON(l->nkinds == MAX_KINDS);
    l->kinds[l->nkinds] = (struct kind){fn, ctx};
    return l->nkinds++;
}

int hg_loop_add(struct hg_loop *l, uint8_t kind, int fd, uint32_t id, uint32_t gen, unsigned events)
{
    return control(l, EPOLL_CTL_ADD, fd, kind, id, gen, events);
}

int hg_loop_mod(struct hg_loop *l, uint8_t kind, int fd, uint32_t id, uint32_t gen, unsigned events)
{
    return control(l, EPOLL_CTL_MOD, fd, kind, id, gen, events);
}

/* ENOENT and EBADF are what a closed or library-owned fd gives; either way it is no longer
 * watched. */
void hg_loop_del(struct hg_loop *l, int fd)
{
    struct epoll_event unused = {0};

    if (epoll_ctl(l->epfd, EPOLL_CTL_DEL, fd, &unused) != 0)
        HG_BUG_ON(errno != ENOENT && errno != EBADF && errno != EPERM);
}

void hg_loop_defer(struct hg_loop *l, struct hg_defer *d, hg_hook_fn fn, void *arg)
{
    if (d->queued)
        return;
    *d = (struct hg_defer){.fn = fn, .arg = arg, .queued = true};
    *l->deferred.end = d;
    l->deferred.end = &d->next;
}

static bool list_remove(struct defer_list *list, struct hg_defer *d)
{
    for (struct hg_defer **p = &list->first; *p; p = &(*p)->next)
        if (*p == d) {
            *p = d->next;
            if (!d->next)
                list->end = p;
            return true;
        }
    return false;
}

void hg_loop_defer_cancel(struct hg_loop *l, struct hg_defer *d)
{
    if (!d->queued)
        return;
    d->queued = false;
    HG_BUG_ON(!list_remove(&l->deferred, d) && !list_remove(&l->running, d));
}

static void add_hook(struct hook *hooks, unsigned *n, hg_hook_fn fn, void *arg)
{
    HG_BUG_ON(*n == MAX_HOOKS);
    hooks[(*n)++] = (struct hook){fn, arg};
}

void hg_loop_on_flush(struct hg_loop *l, hg_hook_fn fn, void *arg)
{
    add_hook(l->flush, &l->nflush, fn, arg);
}

void hg_loop_on_reap(struct hg_loop *l, hg_hook_fn fn, void *arg)
{
    add_hook(l->reap, &l->nreap, fn, arg);
}

/* ---- a turn ---- */

/* Milliseconds to wait: rounded up, so that a timer is due when we wake and the loop does not spin
 * before it. */
static int wait_ms(struct hg_loop *l, int max_wait_ms)
{
    struct hg_mono when;
    int64_t ms;

    if (l->deferred.first || l->stop)
        return 0;
    if (!hg_timers_next(&l->timers, &when))
        return max_wait_ms;
    ms = (hg_mono_sub(when, hg_mono_read()) + HG_MS - 1) / HG_MS;
    ms = HG_MAX(ms, 0);
    if (max_wait_ms >= 0)
        ms = HG_MIN(ms, max_wait_ms);
    return (int)HG_MIN(ms, INT_MAX);
}

static void dispatch(struct hg_loop *l, const struct epoll_event *ev)
{
    uint8_t kind = (uint8_t)(ev->data.u64 >> 56);
    uint32_t gen = (uint32_t)(ev->data.u64 >> 32) & GEN_MASK, id = (uint32_t)ev->data.u64;
    struct hg_watch *w;

    if (kind != WATCHERS) {
        l->kinds[kind].fn(l->kinds[kind].ctx, id, gen, from_epoll(ev->events));
        return;
    }
    w = l->slots[id].w;
    if (w && l->slots[id].gen == gen)
        w->fn(w->arg, w->fd, from_epoll(ev->events));
}

static void run_deferred(struct hg_loop *l)
{
    struct hg_defer *d;

    if (!l->deferred.first)
        return;
    l->running.first = l->deferred.first;
    l->running.end = l->deferred.end;
    list_clear(&l->deferred);
    while ((d = l->running.first)) {
        l->running.first = d->next;
        d->queued = false;
        d->fn(d->arg);
    }
    list_clear(&l->running);
}

static void run_hooks(const struct hook *hooks, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        hooks[i].fn(hooks[i].arg);
}

void hg_loop_turn(struct hg_loop *l, int max_wait_ms)
{
    int n = epoll_wait(l->epfd, l->events, BATCH, wait_ms(l, max_wait_ms));

    HG_BUG_ON(n < 0 && errno != EINTR);
    l->now = hg_mono_read();
    for (int i = 0; i < n; i++)
        dispatch(l, &l->events[i]);
    run_deferred(l);
    hg_timers_run(&l->timers, l->now);
    run_hooks(l->flush, l->nflush);
    run_hooks(l->reap, l->nreap);
}

void hg_loop_run(struct hg_loop *l)
{
    while (!l->stop)
        hg_loop_turn(l, -1);
    l->stop = false;
}
