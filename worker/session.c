#include "worker/session.h"

#include <stdlib.h>
#include <bsd/stdlib.h>
#include "common/base/macros.h"
#include "common/base/map.h"

static const char hex[] = "0123456789abcdef";
static const unsigned char dash_after[16] = {[3] = 1, [5] = 1, [7] = 1, [9] = 1};

void hg_session_id_new(unsigned char id[16])
{
    arc4random_buf(id, 16);
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x40); /* version 4, RFC 9562 5.4 */
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
}

void hg_session_id_text(const unsigned char id[16], char out[37])
{
    for (int i = 0; i < 16; i++) {
        *out++ = hex[id[i] >> 4];
        *out++ = hex[id[i] & 15];
        if (dash_after[i])
            *out++ = '-';
    }
    *out = 0;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20; /* ASCII lower case */
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hg_session_id_parse(struct hg_slice text, unsigned char id[16])
{
    const char *p = text.p;

    if (text.n != 36)
        return false;
    for (int i = 0; i < 16; i++) {
        int hi = nibble(p[0]), lo = nibble(p[1]);

        if (hi < 0 || lo < 0)
            return false;
        id[i] = (unsigned char)(hi << 4 | lo);
        p += 2;
        if (dash_after[i] && *p++ != '-')
            return false;
    }
    return true;
}

struct hg_atom {
    struct hg_map_node node;
    uint32_t refs;
    char text[];
};

/* Of this process: the worker's loop is the only thread that has sessions. */
static struct hg_map atoms;

const struct hg_atom *hg_atom_get(struct hg_slice text)
{
    struct hg_map_node *node = hg_map_get(&atoms, text);
    struct hg_atom *a = node ? HG_CONTAINER_OF(node, struct hg_atom, node) : NULL;

    if (!a) {
        a = hg_calloc(1, sizeof *a + text.n);
        if (text.n)
            memcpy(a->text, text.p, text.n);
        a->node.key = hg_slice_of(a->text, text.n);
        hg_map_put(&atoms, &a->node);
    }
    a->refs++;
    return a;
}

void hg_atom_put(const struct hg_atom *atom)
{
    struct hg_atom *a = (struct hg_atom *)(uintptr_t)atom;

    if (!a || --a->refs > 0)
        return;
    hg_map_del(&atoms, &a->node);
    free(a);
    if (atoms.count == 0)
        hg_map_fini(&atoms);
}

struct hg_slice hg_atom_text(const struct hg_atom *a)
{
    return a ? a->node.key : HG_SLICE_NONE;
}
