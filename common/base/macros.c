/* The end of a process that broke its own promise, and the heap that never says no. */
#include "common/base/macros.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void hg_bug(const char *file, int line, const char *expr)
{
    fprintf(stderr, "BUG %s:%d: %s\n", file, line, expr);
    fflush(stderr);
    abort();
}

static void *or_die(void *p, size_t n)
{
    if (HG_LIKELY(p != NULL))
        return p;
    fprintf(stderr, "BUG out of memory: %zu bytes\n", n);
    abort();
}

/* n + !n: malloc(0) may return NULL, and callers are promised a pointer. */
void *hg_malloc(size_t n)
{
    return or_die(malloc(n + !n), n);
}

void *hg_calloc(size_t count, size_t size)
{
    return or_die(calloc(count + !count, size + !size), size);
}

void *hg_realloc(void *p, size_t n)
{
    return or_die(realloc(p, n + !n), n);
}

char *hg_strdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(hg_malloc(n), s, n);
}
