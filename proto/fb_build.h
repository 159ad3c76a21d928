/*
 * Writes FlatBuffers, in C and without the official library (its builder wants libstdc++). Pure.
 * Built back to front, as the format wants: children first, then the table that refers to them.
 *
 *   struct hg_fb fb = {0};
 *   uint32_t name = hg_fb_string(&fb, s);
 *   struct hg_fb_table t = {0};
 *   hg_fb_set_ref(&t, 0, name); hg_fb_set(&t, 1, 4, limit);      leave out what equals its default
 *   hg_fb_finish(&fb, hg_fb_end(&fb, &t), out);                  appends the buffer to out and
 * frees fb
 *
 * 1. A reference is a number above 0; 0 is "absent" and leaves a field out.
 * 2. Slots are the ids of the .fbs files; a union takes two, its type at the lower one.
 */
#ifndef HG_PROTO_FB_BUILD_H
#define HG_PROTO_FB_BUILD_H

#include <stdint.h>
#include "common/base/buf.h"

struct hg_fb { /* private to fb_build.c: used bytes are the last n of cap */
    char *mem;
    size_t cap, n;
    size_t align;
};

enum { HG_FB_MAX_FIELDS = 8 };
struct hg_fb_table {
    struct {
        uint64_t v;
        uint16_t slot;
        uint8_t size; /* 1, 2, 4, 8 */
        bool is_ref;
    } fields[HG_FB_MAX_FIELDS];
    unsigned n;
};

uint32_t hg_fb_string(struct hg_fb *fb, struct hg_slice s);
uint32_t hg_fb_refs(struct hg_fb *fb, const uint32_t *refs,
                    size_t n); /* vector of tables or strings */
/* Vector of scalars; each value's low bytes are taken. */
uint32_t hg_fb_scalars(struct hg_fb *fb, const uint64_t *values, size_t n, unsigned size);
void hg_fb_set(struct hg_fb_table *t, unsigned slot, unsigned size, uint64_t value);
void hg_fb_set_ref(struct hg_fb_table *t, unsigned slot, uint32_t ref);
uint32_t hg_fb_end(struct hg_fb *fb, const struct hg_fb_table *t);
void hg_fb_finish(struct hg_fb *fb, uint32_t root, struct hg_buf *out);

static inline uint64_t hg_fb_double(double d)
{
    uint64_t v;
    memcpy(&v, &d, sizeof(v));
    return v;
}

#endif
