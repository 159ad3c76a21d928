/* See buf.h. Grows by doubling; sizes are compared with what is left, never added first. */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"

enum { FIRST_CAP = 64 };

/* Smallest doubling of cap that holds need; need itself when doubling would overflow. */
static size_t grown(size_t cap, size_t need)
{
    size_t c = cap ? cap : FIRST_CAP;

    while (c < need) {
        if (c > SIZE_MAX / 2)
            return need;
        c *= 2;
    }
    return c;
}

void hg_buf_fini(struct hg_buf *b)
{
    free(b->p);
    *b = (struct hg_buf){0};
}

void hg_buf_reserve(struct hg_buf *b, size_t more)
{
    if (more <= b->cap - b->n)
        return;
    HG_BUG_ON(more > SIZE_MAX - b->n);
    b->cap = grown(b->cap, b->n + more);
    b->p = hg_realloc(b->p, b->cap);
}

int hg_buf_try_reserve(struct hg_buf *b, size_t more, size_t max)
{
    size_t cap;
    char *p;

    if (b->n > max || more > max - b->n)
        return -HG_E_TOO_BIG;
    if (more <= b->cap - b->n)
        return 0;
    cap = HG_MIN(grown(b->cap, b->n + more), HG_MAX(max, b->cap));
    p = realloc(b->p, cap);
    if (!p)
        return -HG_E_NOMEM;
    b->p = p;
    b->cap = cap;
    return 0;
}

void hg_buf_add(struct hg_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    hg_buf_reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void hg_buf_add_slice(struct hg_buf *b, struct hg_slice s)
{
    hg_buf_add(b, s.p, s.n);
}

void hg_buf_adds(struct hg_buf *b, const char *s)
{
    hg_buf_add(b, s, strlen(s));
}

void hg_buf_addc(struct hg_buf *b, char c)
{
    hg_buf_reserve(b, 1);
    b->p[b->n++] = c;
}

void hg_buf_addf(struct hg_buf *b, const char *fmt, ...)
{
    va_list ap;
    int need;

    hg_buf_reserve(b, FIRST_CAP);
    va_start(ap, fmt);
    need = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
    va_end(ap);
    HG_BUG_ON(need < 0);
    if ((size_t)need >= b->cap - b->n) { /* once more with room for the NUL that printf writes */
        hg_buf_reserve(b, (size_t)need + 1);
        va_start(ap, fmt);
        vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
        va_end(ap);
    }
    b->n += (size_t)need;
}

void hg_buf_drop(struct hg_buf *b, size_t n)
{
    HG_BUG_ON(n > b->n);
    b->n -= n;
    if (b->n && n)
        memmove(b->p, b->p + n, b->n);
}
