/* See sig.h. */
#include "common/sys/sig.h"

#include <sys/signalfd.h>
#include <unistd.h>
#include "common/base/err.h"

int hg_sig_open(const struct hg_sig *table, size_t n)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    for (size_t i = 0; i < n; i++)
        sigaddset(&set, table[i].signo);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -HG_E_SYS;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -HG_E_SYS : fd;
}

void hg_sig_dispatch(int fd, const struct hg_sig *table, size_t n, void *arg)
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof info) == sizeof info)
        for (size_t i = 0; i < n; i++)
            if ((uint32_t)table[i].signo == info.ssi_signo)
                table[i].fn(arg, table[i].signo);
}

void hg_sig_reset(void)
{
    sigset_t none;

    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL); /* KILL, STOP and the C library's own refuse, which is as well */
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
