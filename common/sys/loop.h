/*
 * One epoll loop; the only file that knows epoll. Knows fds, times and functions, no connection and
 * no protocol. A turn: wait -> now is read once -> readiness callbacks -> deferred calls -> due
 * timers -> flush hooks -> reap hooks. A call deferred by a deferred call, a timer or a hook runs
 * in the next turn, which then does not wait.
 *
 *   struct hg_loop *l = hg_loop_new();                  after fork, never before
 *   hg_watch_start(l, &w, fd, HG_IN, on_ready, arg);    a watcher of one's own: listeners, eventfds
 *   k = hg_loop_kind(l, on_conn, worker);               or a class of many: no struct per fd, 8
 *   hg_loop_add(l, k, fd, id, gen, HG_IN | HG_ET);      bytes in the kernel
 *   hg_loop_run(l);  ... hg_loop_stop(l) ... hg_loop_free(l);
 *
 * 1. now is the same for the whole turn: hg_loop_now.
 * 2. A stopped watcher gets no further call, not even in this turn.
 * 3. Of a class, the callback gets (id, gen) as given; a stale gen is the owner's to see.
 * 4. Nothing reachable from a callback may be freed before the reap hooks.
 */
#ifndef HG_COMMON_SYS_LOOP_H
#define HG_COMMON_SYS_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/macros.h"
#include "common/base/mono.h"
#include "common/base/timers.h"

enum {
    HG_IN = 1,
    HG_OUT = 2,
    HG_HUP = 4 /* error or hang-up; always reported */,
    HG_ET = 8 /* edge-triggered */,
    HG_END = 16 /* with HG_IN: the peer sends no more */
};

struct hg_loop;
typedef void (*hg_ready_fn)(void *arg, int fd, unsigned events);
typedef void (*hg_kind_fn)(void *ctx, uint32_t id, uint32_t gen, unsigned events);
typedef void (*hg_hook_fn)(void *arg);

struct hg_watch { /* caller's storage; zeroed is stopped */
    int fd;
    unsigned events;
    hg_ready_fn fn;
    void *arg;
    uint32_t slot; /* private */
};

struct hg_defer { /* caller's storage; zeroed is idle */
    struct hg_defer *next;
    hg_hook_fn fn;
    void *arg;
    bool queued;
};

struct hg_loop *hg_loop_new(void);
void hg_loop_free(struct hg_loop *l);
void hg_loop_run(struct hg_loop *l);                   /* until hg_loop_stop */
void hg_loop_turn(struct hg_loop *l, int max_wait_ms); /* one turn; for tests and tools */
void hg_loop_stop(struct hg_loop *l);
struct hg_mono hg_loop_now(const struct hg_loop *l);
struct hg_timers *hg_loop_timers(struct hg_loop *l);
int64_t hg_wall_ms(void);          /* wall clock, for time stamps on the wire only */
struct hg_mono hg_mono_read(void); /* the clock itself; loop code uses hg_loop_now */

int hg_watch_start(struct hg_loop *l, struct hg_watch *w, int fd, unsigned events, hg_ready_fn fn,
                   void *arg) HG_MUST_CHECK;
void hg_watch_set(struct hg_loop *l, struct hg_watch *w, unsigned events); /* applied at once */
void hg_watch_stop(struct hg_loop *l,
                   struct hg_watch *w); /* does not close the fd: stop first, close then */

/* gen: 24 bits are kept. */
uint8_t hg_loop_kind(struct hg_loop *l, hg_kind_fn fn, void *ctx);
int hg_loop_add(struct hg_loop *l, uint8_t kind, int fd, uint32_t id, uint32_t gen,
                unsigned events) HG_MUST_CHECK;
int hg_loop_mod(struct hg_loop *l, uint8_t kind, int fd, uint32_t id, uint32_t gen,
                unsigned events) HG_MUST_CHECK;
void hg_loop_del(struct hg_loop *l, int fd); /* closing the fd does the same */

void hg_loop_defer(struct hg_loop *l, struct hg_defer *d, hg_hook_fn fn,
                   void *arg); /* once, later in this turn; queued twice runs once */
void hg_loop_defer_cancel(struct hg_loop *l,
                          struct hg_defer *d); /* before d's memory goes; idle is fine */
void hg_loop_on_flush(struct hg_loop *l, hg_hook_fn fn,
                      void *arg); /* every turn, in order of registration */
void hg_loop_on_reap(struct hg_loop *l, hg_hook_fn fn, void *arg);

#endif
