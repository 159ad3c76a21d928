/*
 * Small macros everyone uses. No state, no system call.
 *
 * HG_MUST_CHECK   the result says whether it worked; dropping it is a compile error
 * HG_BUG_ON(c)    a promise of our own code is broken: print and abort (the master starts the
 * worker again)
 */
#ifndef HG_COMMON_BASE_MACROS_H
#define HG_COMMON_BASE_MACROS_H

#include <stddef.h>

#define HG_MUST_CHECK __attribute__((warn_unused_result))
#define HG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HG_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define HG_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#define HG_LIKELY(x) __builtin_expect(!!(x), 1)
#define HG_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HG_TEXT_OF_(x) #x
#define HG_TEXT_OF(x) HG_TEXT_OF_(x) /* "256" of a macro whose value is 256 */
#define HG_MIN(a, b) ((a) < (b) ? (a) : (b))
#define HG_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Prints "BUG file:line: expr" to stderr and aborts. Stays in release builds. */
void hg_bug(const char *file, int line, const char *expr) __attribute__((noreturn));
#define HG_BUG_ON(cond)                                                                            \
    do {                                                                                           \
        if (HG_UNLIKELY(cond))                                                                     \
            hg_bug(__FILE__, __LINE__, #cond);                                                     \
    } while (0)

/* Heap for sizes of our own choosing: never NULL, aborts when memory is gone. */
void *hg_malloc(size_t n) __attribute__((malloc, returns_nonnull));
void *hg_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *hg_realloc(void *p, size_t n) __attribute__((returns_nonnull));
char *hg_strdup(const char *s) __attribute__((malloc, returns_nonnull));

#endif
