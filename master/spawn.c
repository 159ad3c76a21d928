#include "master/spawn.h"
#include <bsd/unistd.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/sys/sig.h"

static const int group_signals[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2};

static void set_signals(const struct hg_spawn *sp)
{
    hg_sig_reset();
    for (size_t i = 0; sp->is_worker && i < HG_COUNTOF(group_signals); i++)
        signal(group_signals[i], SIG_IGN);
    if (!sp->run)
        signal(SIGPIPE, SIG_DFL);
}

static _Noreturn void run_child(const struct hg_spawn *sp, pid_t master)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(1);
    if (sp->drop)
        sp->drop(sp->arg);
    if (!sp->is_worker)
        setpgid(0, 0);
    set_signals(sp);
    if (sp->run) {
        setproctitle("%s", sp->title);
        exit(sp->run(sp->arg));
    }
    execvp(sp->argv[0], sp->argv);
    fprintf(stderr, "headgate: cannot run %s: %s\n", sp->argv[0], strerror(errno));
    _exit(127);
}

pid_t hg_spawn(const struct hg_spawn *sp)
{
    sigset_t all, before;
    pid_t master = getpid();
    fflush(NULL); /* what is buffered here would be written twice */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        run_child(sp, master);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid < 0 ? -HG_E_SYS : pid;
}
