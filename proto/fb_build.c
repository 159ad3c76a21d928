#include "proto/fb_build.h"

#include <stdlib.h>
#include "common/base/macros.h"

/* Positions are distances from the end of the buffer: they stay true while it grows at the
 * front. */

static char *make_room(struct hg_fb *fb, size_t more)
{
    if (more > fb->cap - fb->n) {
        size_t cap = HG_MAX(fb->cap * 2, fb->n + more + 256);
        char *mem = hg_malloc(cap);
        if (fb->n > 0)
            memcpy(mem + cap - fb->n, fb->mem + fb->cap - fb->n, fb->n);
        free(fb->mem);
        fb->mem = mem;
        fb->cap = cap;
    }
    fb->n += more;
    return fb->mem + fb->cap - fb->n;
}

/* Pads so that after `after` more bytes the position is a multiple of size. */
static void align(struct hg_fb *fb, size_t size, size_t after)
{
    fb->align = HG_MAX(fb->align, size);
    size_t pad = (0 - (fb->n + after)) & (size - 1);
    if (pad > 0)
        memset(make_room(fb, pad), 0, pad);
}

static void put_le(char *p, uint64_t v, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        p[i] = (char)(v >> (8 * i));
}

static void push(struct hg_fb *fb, uint64_t v, unsigned size)
{
    put_le(make_room(fb, size), v, size);
}

static void push_ref(struct hg_fb *fb, uint32_t target)
{
    push(fb, fb->n + 4 - target, 4);
}

uint32_t hg_fb_string(struct hg_fb *fb, struct hg_slice s)
{
    align(fb, 4, s.n + 1);
    char *p = make_room(fb, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    push(fb, s.n, 4);
    return (uint32_t)fb->n;
}

uint32_t hg_fb_refs(struct hg_fb *fb, const uint32_t *refs, size_t n)
{
    align(fb, 4, 0);
    for (size_t i = n; i-- > 0;)
        push_ref(fb, refs[i]);
    push(fb, n, 4);
    return (uint32_t)fb->n;
}

uint32_t hg_fb_scalars(struct hg_fb *fb, const uint64_t *values, size_t n, unsigned size)
{
    align(fb, 4, n * size); /* for the length, which stands before the elements */
    align(fb, size, n * size);
    for (size_t i = n; i-- > 0;)
        push(fb, values[i], size);
    push(fb, n, 4);
    return (uint32_t)fb->n;
}

void hg_fb_set(struct hg_fb_table *t, unsigned slot, unsigned size, uint64_t value)
{
    HG_BUG_ON(t->n == HG_FB_MAX_FIELDS);
    t->fields[t->n].v = value;
    t->fields[t->n].slot = (uint16_t)slot;
    t->fields[t->n].size = (uint8_t)size;
    t->fields[t->n++].is_ref = false;
}

void hg_fb_set_ref(struct hg_fb_table *t, unsigned slot, uint32_t ref)
{
    if (ref == 0)
        return;
    hg_fb_set(t, slot, 4, ref);
    t->fields[t->n - 1].is_ref = true;
}

static void push_field(struct hg_fb *fb, const struct hg_fb_table *t, unsigned i)
{
    unsigned size = t->fields[i].size;
    align(fb, size, 0);
    if (t->fields[i].is_ref)
        push_ref(fb, (uint32_t)t->fields[i].v);
    else
        push(fb, t->fields[i].v, size);
}

/* Fields by falling size from the table's start, so that only its end needs padding: here,
 * backwards, by rising size. */
uint32_t hg_fb_end(struct hg_fb *fb, const struct hg_fb_table *t)
{
    size_t at[HG_FB_MAX_FIELDS] = {0}, start = fb->n;
    unsigned slots = 0;
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned i = 0; i < t->n; i++) {
            if (t->fields[i].size != size)
                continue;
            push_field(fb, t, i);
            at[i] = fb->n;
            slots = HG_MAX(slots, t->fields[i].slot + 1u);
        }
    }
    align(fb, 4, 0);
    push(fb, 4 + 2 * slots,
         4); /* the vtable stands right before the table: so far back it begins */
    size_t table = fb->n;
    char *vtable = make_room(fb, 4 + 2 * slots);
    memset(vtable, 0, 4 + 2 * slots);
    put_le(vtable, 4 + 2 * slots, 2);
    put_le(vtable + 2, table - start, 2);
    for (unsigned i = 0; i < t->n; i++)
        put_le(vtable + 4 + 2 * t->fields[i].slot, table - at[i], 2);
    return (uint32_t)table;
}

void hg_fb_finish(struct hg_fb *fb, uint32_t root, struct hg_buf *out)
{
    align(fb, HG_MAX(fb->align, 4), 4);
    push_ref(fb, root);
    hg_buf_add(out, fb->mem + fb->cap - fb->n, fb->n);
    free(fb->mem);
    memset(fb, 0, sizeof(*fb));
}
