/*
 * A borrowed run of bytes: pointer and length, not NUL-terminated, owned by somebody else.
 * Whoever hands one out says how long it lives. {NULL, 0} is the absent slice; {"", 0} is an empty
 * one.
 */
#ifndef HG_COMMON_BASE_SLICE_H
#define HG_COMMON_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct hg_slice {
    const char *p;
    size_t n;
};

#define HG_SLICE_LIT(s) ((struct hg_slice){(s), sizeof(s) - 1})
#define HG_SLICE_NONE ((struct hg_slice){NULL, 0})
#define HG_BLANKS " \t"
#define HG_SPACES " \t\n\v\f\r"                        /* isspace() of the C locale */
#define HG_SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : "" /* for "%.*s" */

static inline struct hg_slice hg_slice_of(const void *p, size_t n)
{
    return (struct hg_slice){(const char *)p, n};
}

static inline struct hg_slice hg_slice_str(const char *s)
{
    return (struct hg_slice){s, s ? strlen(s) : 0};
}

static inline bool hg_slice_eq(struct hg_slice a, struct hg_slice b)
{
    return a.n == b.n && (a.n == 0 || (a.p && b.p && memcmp(a.p, b.p, a.n) == 0));
}

static inline bool hg_slice_is(struct hg_slice a, const char *s)
{
    return hg_slice_eq(a, hg_slice_str(s));
}

/* Without the characters of the string blanks at either end. */
static inline struct hg_slice hg_slice_trim(struct hg_slice s, const char *blanks)
{
    while (s.n > 0 && s.p[0] && strchr(blanks, s.p[0]))
        s.p++, s.n--;
    while (s.n > 0 && s.p[s.n - 1] && strchr(blanks, s.p[s.n - 1]))
        s.n--;
    return s;
}

#endif
