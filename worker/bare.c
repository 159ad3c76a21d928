#include "worker/bare.h"

#include "common/base/macros.h"

struct hg_bare *hg_bare_first(const struct hg_map *m, struct hg_slice hash_id)
{
    struct hg_map_node *node = hg_map_get(m, hash_id);

    return node ? HG_CONTAINER_OF(node, struct hg_bare, node) : NULL;
}

void hg_bare_add(struct hg_map *m, struct hg_bare *b)
{
    struct hg_bare *first = hg_bare_first(m, b->node.key);

    b->next = NULL;
    if (!first) {
        hg_map_put(m, &b->node);
        return;
    }
    b->next = first->next;
    first->next = b;
}

void hg_bare_del(struct hg_map *m, struct hg_bare *b)
{
    struct hg_bare *first = hg_bare_first(m, b->node.key);

    if (first == b) {
        hg_map_del(m, &b->node);
        if (b->next)
            hg_map_put(m, &b->next->node); /* the key of the next is equal, and its own */
        return;
    }
    while (first->next != b)
        first = first->next;
    first->next = b->next;
}
