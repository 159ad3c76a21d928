#include "worker/frame.h"

#include <stdlib.h>
#include "common/base/macros.h"
#include "proto/ws_msg.h"

static struct hg_chunk *chunk_new(struct hg_frames *fr, uint32_t cap)
{
    struct hg_chunk *c = hg_malloc(sizeof *c + cap);

    *c = (struct hg_chunk){.refs = 1, .cap = cap};
    fr->live_bytes += sizeof *c + cap;
    return c;
}

void hg_chunk_unref(struct hg_frames *fr, struct hg_chunk *c)
{
    HG_BUG_ON(c->refs == 0);
    if (--c->refs > 0)
        return;
    fr->live_bytes -= sizeof *c + c->cap;
    free(c);
}

void hg_arena_fini(struct hg_frames *fr, struct hg_arena *a)
{
    if (a->cur)
        hg_chunk_unref(fr, a->cur);
    *a = (struct hg_arena){0};
}

/* Room for n bytes in a row; what is large gets a chunk of its own and leaves the current one in
 * place. */
static struct hg_span reserve(struct hg_frames *fr, struct hg_arena *a, uint32_t n)
{
    struct hg_chunk *c = a->cur;

    if (c && c->refs == 1) /* everybody has read it: written over, so that a quiet room's chunk
                              neither grows nor gets cold */
        c->used = 0;
    if (c && c->cap - c->used >= n) {
        struct hg_span s = {c, c->used, n};

        c->used += n;
        c->refs++;
        return s;
    }
    if (n > HG_FRAME_BIG) {
        c = chunk_new(fr, n);
        c->used = n;
        c->gated = a->gated;
        return (struct hg_span){c, 0, n};
    }
    if (a->next_cap < HG_CHUNK_MIN)
        a->next_cap = HG_CHUNK_MIN;
    while (a->next_cap < n)
        a->next_cap *= 2;
    if (a->cur)
        hg_chunk_unref(fr, a->cur);
    a->cur = c = chunk_new(fr, a->next_cap);
    if (a->next_cap < HG_CHUNK_MAX)
        a->next_cap *= 2;
    c->used = n;
    c->refs++;
    return (struct hg_span){c, 0, n};
}

struct hg_span hg_frame_build(struct hg_frames *fr, struct hg_arena *a, unsigned opcode,
                              const struct hg_slice *parts, unsigned nparts)
{
    unsigned char head[HG_WS_HEAD_MAX];
    uint64_t len = 0;
    unsigned char *p;
    unsigned n;

    for (unsigned i = 0; i < nparts; i++)
        len += parts[i].n;
    HG_BUG_ON(len > UINT32_MAX - HG_WS_HEAD_MAX);
    n = hg_ws_head(head, opcode, len);
    struct hg_span s = reserve(fr, a, n + (uint32_t)len);
    p = s.c->data + s.off;
    memcpy(p, head, n);
    p += n;
    for (unsigned i = 0; i < nparts; i++) {
        if (parts[i].n)
            memcpy(p, parts[i].p, parts[i].n);
        p += parts[i].n;
    }
    return s;
}

struct hg_span hg_frame_raw(struct hg_frames *fr, struct hg_arena *a, struct hg_slice bytes)
{
    struct hg_span s = reserve(fr, a, (uint32_t)bytes.n);

    if (bytes.n)
        memcpy(s.c->data + s.off, bytes.p, bytes.n);
    return s;
}

/* Length of the head of a server frame, and of its payload. */
static uint32_t head_of(const unsigned char *p, uint64_t *payload)
{
    uint32_t n = p[1] & 127;

    if (n < 126) {
        *payload = n;
        return 2;
    }
    if (n == 126) {
        *payload = (uint64_t)p[2] << 8 | p[3];
        return 4;
    }
    *payload = 0;
    for (int i = 2; i < 10; i++)
        *payload = *payload << 8 | p[i];
    return 10;
}

struct hg_slice hg_frame_payload(struct hg_span s)
{
    uint64_t n;
    const unsigned char *p = s.c->data + s.off;
    uint32_t h = head_of(p, &n);

    return hg_slice_of(p + h, s.len - h);
}

uint32_t hg_frame_end(const unsigned char *bytes, uint32_t len, uint32_t at)
{
    uint32_t pos = 0;

    while (pos < at) {
        uint64_t n;
        uint32_t h = head_of(bytes + pos, &n);

        pos += h + (uint32_t)n;
        HG_BUG_ON(pos > len);
    }
    return pos;
}
