/*
 * The one place that forks. Owns what a child closes, resets and keeps; remembers nothing: the
 * caller keeps the pid.
 *
 *   pid = hg_spawn(&sp);     in the child: sp.run(sp.arg), or sp.argv by exec; never returns there
 *
 * A child, whatever it runs:
 * 1. dies with the master (PR_SET_PDEATHSIG), also when the master died during the fork;
 * 2. has default signal handlers and no blocked signal; a worker ignores what a terminal sends to
 *    the whole group (INT, QUIT, HUP, TERM, USR1, USR2): the master decides and says so over its
 *    socketpair. Others get a process group of their own instead, so that Ctrl-C does not end a
 *    broker before those who still use it;
 * 3. keeps standard input, output and error, what it was given, and what is made to be shared
 *    (memory, the seats' eventfds, the log); sp.drop closes the rest of what the master has open.
 *    After exec nothing is left but the standard three: all else is CLOEXEC.
 */
#ifndef HG_MASTER_SPAWN_H
#define HG_MASTER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>
#include "common/base/macros.h"

struct hg_spawn {
    const char *title;       /* process title: "worker 0" */
    void (*drop)(void *arg); /* closes what belongs to the master; NULL: nothing */
    int (*run)(void *arg);   /* its result is the exit code; NULL: exec argv */
    void *arg;
    char *const *argv; /* looked up on PATH unless it has a slash */
    bool is_worker;
};

/* The pid, or -HG_E_SYS. */
pid_t hg_spawn(const struct hg_spawn *sp) HG_MUST_CHECK;

#endif
