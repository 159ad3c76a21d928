/*
 * What the master waits for: one poll(2) set, built anew each round, with a function per
 * descriptor. Owns the array only. (The master has no epoll: what is made before fork would be
 * shared with the workers.)
 *
 *   hg_polls_reset(&ps);
 *   hg_polls_add(&ps, fd, POLLIN, on_ready, arg);      for each
 *   rc = hg_polls_wait(&ps, timeout_us);               calls what is ready, in order of adding
 *
 * A function may close descriptors of others that were added: whoever owns them must see for
 * himself that he is closed.
 */
#ifndef HG_MASTER_POLLS_H
#define HG_MASTER_POLLS_H

#include <poll.h>
#include <stdint.h>
#include "common/base/macros.h"

typedef void (*hg_polls_fn)(void *arg, int fd, short revents);

struct hg_polls {
    struct pollfd *fds; /* zeroed struct is empty and valid */
    struct {
        hg_polls_fn fn;
        void *arg;
    } * calls;
    nfds_t n, cap;
};

void hg_polls_reset(struct hg_polls *ps);
void hg_polls_add(struct hg_polls *ps, int fd, short events, hg_polls_fn fn, void *arg);
/* timeout_us < 0 waits for ever. 0, or -HG_E_SYS; a signal that interrupts is 0. */
int hg_polls_wait(struct hg_polls *ps, int64_t timeout_us) HG_MUST_CHECK;
void hg_polls_fini(struct hg_polls *ps);

#endif
