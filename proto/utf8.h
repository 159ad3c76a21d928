/*
 * UTF-8 checked while it arrives (RFC 3629): no overlong form, no surrogate, nothing above
 * U+10FFFF. Never allocates; the state is one number that its owner keeps between two pieces of a
 * text.
 *
 *   uint32_t st = HG_UTF8_START;
 *   st = hg_utf8_feed(st, p, n);      as often as bytes come
 *   st == HG_UTF8_BAD                 some byte so far can't be part of any text; stays so
 *   st == HG_UTF8_START               everything so far is whole characters
 *   anything else                     the last character is cut
 */
#ifndef HG_PROTO_UTF8_H
#define HG_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HG_UTF8_START 0u
#define HG_UTF8_BAD UINT32_MAX

uint32_t hg_utf8_feed(uint32_t state, const void *p, size_t n);

static inline bool hg_utf8_valid(const void *p, size_t n)
{
    return hg_utf8_feed(HG_UTF8_START, p, n) == HG_UTF8_START;
}

#endif
