/*
 * A growing byte buffer owned by its struct. Never does I/O. A size that a peer can influence goes
 * through try_ with a cap; the other appends abort when memory is gone.
 *
 *   struct hg_buf b = {0};            zeroed is empty and valid
 *   hg_buf_add(&b, p, n); hg_buf_addf(&b, "%d", 7);
 *   use b.p, b.n;                     b.p is NULL until something was added; no NUL at the end
 *   hg_buf_fini(&b);
 */
#ifndef HG_COMMON_BASE_BUF_H
#define HG_COMMON_BASE_BUF_H

#include <stdint.h>
#include "common/base/macros.h"
#include "common/base/slice.h"

struct hg_buf {
    char *p;
    size_t n;   /* bytes used */
    size_t cap; /* bytes allocated */
};

void hg_buf_fini(struct hg_buf *b);                 /* frees and zeroes */
void hg_buf_reserve(struct hg_buf *b, size_t more); /* room for more bytes after n */
int hg_buf_try_reserve(struct hg_buf *b, size_t more,
                       size_t max) HG_MUST_CHECK; /* -HG_E_TOO_BIG above max in all, -HG_E_NOMEM */
void hg_buf_add(struct hg_buf *b, const void *p, size_t n);
void hg_buf_add_slice(struct hg_buf *b, struct hg_slice s);
void hg_buf_adds(struct hg_buf *b, const char *s);
void hg_buf_addc(struct hg_buf *b, char c);
void hg_buf_addf(struct hg_buf *b, const char *fmt, ...) HG_PRINTF(2, 3);
void hg_buf_drop(struct hg_buf *b, size_t n); /* removes n bytes from the front */

static inline struct hg_slice hg_buf_slice(const struct hg_buf *b)
{
    return (struct hg_slice){b->p, b->n};
}

static inline void hg_buf_reset(struct hg_buf *b) /* keeps the memory */
{
    b->n = 0;
}

#endif
