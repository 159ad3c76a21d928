/*
 * What every cmocka test of this project includes first: cmocka's headers in the order it wants,
 * and a few helpers. hg_test_dies(fn, arg): fn runs in a child that must end by abort(), as
 * HG_BUG_ON does.
 */
#ifndef HG_TESTS_SUPPORT_HGTEST_H
#define HG_TESTS_SUPPORT_HGTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/macros.h"

static inline int hg_test_dies(void (*fn)(void *), void *arg)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        signal(SIGABRT, SIG_DFL);
        fn(arg);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 0;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* The text of a buffer as a C string; lives until the buffer changes. */
static inline const char *hg_test_text(struct hg_buf *b)
{
    hg_buf_addc(b, '\0');
    b->n--;
    return b->p;
}

static inline void hg_test_has(struct hg_buf *b, const char *part)
{
    if (!strstr(hg_test_text(b), part))
        fail_msg("\"%s\" is missing in:\n%s", part, hg_test_text(b));
}

static inline void hg_test_has_not(struct hg_buf *b, const char *part)
{
    if (strstr(hg_test_text(b), part))
        fail_msg("\"%s\" should not be in:\n%s", part, hg_test_text(b));
}

#endif
