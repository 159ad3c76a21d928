/*
 * Signals as events: a table of (signal, function), read through a signalfd from a loop or poll(2).
 * No handler ever runs asynchronously. SIGPIPE is ignored from the first open on: writes answer
 * EPIPE.
 *
 *   static const struct hg_sig table[] = {{SIGTERM, on_term}, {SIGHUP, on_hup}};
 *   fd = hg_sig_open(table, HG_COUNTOF(table));    blocks them, also for threads made later
 *   when fd is readable: hg_sig_dispatch(fd, table, HG_COUNTOF(table), arg)
 *   a child: close(fd); hg_sig_reset(); then its own hg_sig_open
 *
 * Several deliveries of one signal may arrive as one (that is what signals do): a reader of SIGCHLD
 * reaps until none is left.
 */
#ifndef HG_COMMON_SYS_SIG_H
#define HG_COMMON_SYS_SIG_H

#include <signal.h>
#include <stddef.h>
#include "common/base/macros.h"

struct hg_sig {
    int signo;
    void (*fn)(void *arg, int signo);
};

int hg_sig_open(const struct hg_sig *table, size_t n) HG_MUST_CHECK;           /* fd; -HG_E_SYS */
void hg_sig_dispatch(int fd, const struct hg_sig *table, size_t n, void *arg); /* all that wait */
void hg_sig_reset(void); /* every signal back to its default and unblocked, SIGPIPE ignored still */

#endif
