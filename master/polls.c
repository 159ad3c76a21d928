#include "master/polls.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include "common/base/err.h"
#include "common/base/mono.h"

void hg_polls_reset(struct hg_polls *ps)
{
    ps->n = 0;
}

void hg_polls_add(struct hg_polls *ps, int fd, short events, hg_polls_fn fn, void *arg)
{
    if (ps->n == ps->cap) {
        ps->cap = ps->cap ? ps->cap * 2 : 32;
        ps->fds = hg_realloc(ps->fds, ps->cap * sizeof *ps->fds);
        ps->calls = hg_realloc(ps->calls, ps->cap * sizeof *ps->calls);
    }
    ps->fds[ps->n] = (struct pollfd){.fd = fd, .events = events};
    ps->calls[ps->n].fn = fn;
    ps->calls[ps->n].arg = arg;
    ps->n++;
}

int hg_polls_wait(struct hg_polls *ps, int64_t timeout_us)
{
    struct timespec ts = {timeout_us / HG_S, timeout_us % HG_S * 1000};
    int ready = ppoll(ps->fds, ps->n, timeout_us < 0 ? NULL : &ts, NULL);
    if (ready < 0)
        return errno == EINTR ? 0 : -HG_E_SYS;
    for (nfds_t i = 0; i < ps->n && ready > 0; i++) {
        if (ps->fds[i].revents == 0)
            continue;
        ready--;
        ps->calls[i].fn(ps->calls[i].arg, ps->fds[i].fd, ps->fds[i].revents);
    }
    return 0;
}

void hg_polls_fini(struct hg_polls *ps)
{
    free(ps->fds);
    free(ps->calls);
    *ps = (struct hg_polls){0};
}
