/*
 * The state between two bytes says what may come next: how many continuation bytes are missing and
 * the range of the very next one. Only the second byte of a character ever has a narrower range
 * (E0, ED, F0, F4: overlong forms, surrogates, the end of Unicode), so a lead byte's row is the
 * whole grammar of RFC 3629, section 4.
 */
#include "proto/utf8.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define NEXT(missing, lo, hi) ((uint32_t)(missing) | (uint32_t)(lo) << 8 | (uint32_t)(hi) << 16)
#define ANY_TAIL(missing) NEXT(missing, 0x80, 0xBF)

/* What follows a lead byte; 0 in rows that can't lead (80-C1, F5-FF), and unused below 80. */
static const uint32_t
    lead[256] =
        {
            [0xC2 ... 0xDF] = ANY_TAIL(1), [0xE0] = NEXT(2, 0xA0, 0xBF),
            [0xE1 ... 0xEC] = ANY_TAIL(2), [0xED] = NEXT(2, 0x80, 0x9F),
            [0xEE ... 0xEF] = ANY_TAIL(2), [0xF0] = NEXT(3, 0x90, 0xBF),
            [0xF1 ... 0xF3] = ANY_TAIL(3), [0xF4] = NEXT(3, 0x80, 0x8F),
};

/* Most text is ASCII: step over it in words and leave the rest, down to single bytes, to the
 * caller. */
static const unsigned char *skip_ascii(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
    while (end - p >= 16) {
        if (_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p)))
            break;
        p += 16;
    }
#endif
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (word & 0x8080808080808080u)
            break;
        p += 8;
    }
    while (p < end && *p < 0x80)
        p++;
    return p;
}

static uint32_t tail_byte(uint32_t state, unsigned char c)
{
    uint32_t lo = state >> 8 & 0xFF, hi = state >> 16, missing = (state & 0xFF) - 1;
    if (c < lo || c > hi)
        return HG_UTF8_BAD;
    return missing ? ANY_TAIL(missing) : HG_UTF8_START;
}

uint32_t hg_utf8_feed(uint32_t state, const void *bytes, size_t n)
{
    const unsigned char *p = bytes, *end = n ? p + n : p;
    if (state == HG_UTF8_BAD)
        return HG_UTF8_BAD;
    while (p < end) {
        if (state == HG_UTF8_START) {
            p = skip_ascii(p, end);
            if (p == end)
                break;
            state = lead[*p++];
            if (state == 0)
                return HG_UTF8_BAD;
        } else {
            state = tail_byte(state, *p++);
            if (state == HG_UTF8_BAD)
                return HG_UTF8_BAD;
        }
    }
    return state;
}
