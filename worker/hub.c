#include "worker/hub.h"

#include <stdlib.h>
#include "common/base/macros.h"

struct hg_room *hg_hub_find_key(struct hg_hub *hub, struct hg_slice key)
{
    struct hg_map_node *node = hg_map_get(&hub->rooms, key);

    return node ? HG_CONTAINER_OF(node, struct hg_room, node) : NULL;
}

struct hg_room *hg_hub_find(struct hg_hub *hub, enum hg_route_kind kind, struct hg_slice tenant,
                            struct hg_slice name)
{
    struct hg_buf key = {0};
    struct hg_room *room;

    hg_route_put_hub(&key, kind, tenant, name);
    room = hg_hub_find_key(hub, hg_buf_slice(&key));
    hg_buf_fini(&key);
    return room;
}

static struct hg_room *room_new(struct hg_hub *hub, struct hg_slice key)
{
    struct hg_room *room = hg_calloc(1, sizeof *room + key.n);

    memcpy(room->key, key.p, key.n);
    room->node.key = hg_slice_of(room->key, key.n);
    room->hash = hg_hash_fixed(room->node.key);
    hg_map_put(&hub->rooms, &room->node);
    hg_interest_hold(hub->interests, room->hash);
    HG_INC(hub->conns->m, rooms);
    return room;
}

static void room_free(struct hg_hub *hub, struct hg_room *room)
{
    struct hg_mono when =
        hg_mono_add(hg_loop_now(hub->conns->loop), hub->conns->conf->interest_linger);

    hg_map_del(&hub->rooms, &room->node);
    hg_interest_drop(hub->interests, room->hash, when);
    hg_arena_fini(hub->conns->frames, &room->arena);
    HG_DEC(hub->conns->m, rooms);
    free(room->members);
    free(room);
}

static struct hg_member *member_of(struct hg_conn *c, const struct hg_room *room)
{
    for (unsigned i = 0; i < c->s.nrooms; i++)
        if (c->s.rooms[i].room == room)
            return &c->s.rooms[i];
    return NULL;
}

static void add_member(struct hg_room *room, struct hg_conn *c)
{
    struct hg_session *s = &c->s;

    if (room->n == room->cap) {
        room->cap = room->cap ? room->cap * 2 : 4;
        room->members = hg_realloc(room->members, room->cap * sizeof(struct hg_conn *));
    }
    if (s->nrooms == s->rooms_cap) {
        s->rooms_cap = (uint16_t)(s->rooms_cap ? s->rooms_cap * 2 : 2);
        s->rooms = hg_realloc(s->rooms, s->rooms_cap * sizeof *s->rooms);
    }
    s->rooms[s->nrooms++] = (struct hg_member){room, room->n};
    room->members[room->n++] = c;
}

static bool is_full(const struct hg_conn *c, unsigned max)
{
    return c->s.nrooms >= max || c->s.nrooms >= UINT16_MAX / 2;
}

/* Catching up may end c, or the room. Interest is held meanwhile, so that what is sent after the
 * look at the rings is meant for us. */
static struct hg_room *enter(struct hg_hub *hub, struct hg_conn *c, struct hg_slice key)
{
    uint64_t hash = hg_hash_fixed(key);
    struct hg_room *room = NULL;

    hg_interest_hold(hub->interests, hash);
    if (hub->catch_up)
        hub->catch_up(hub->ctx);
    if (!hg_conn_has_ended(c)) {
        room = hg_hub_find_key(hub, key);
        if (!room)
            room = room_new(hub, key);
        add_member(room, c);
    }
    hg_interest_drop(hub->interests, hash, hg_loop_now(hub->conns->loop));
    return room;
}

struct hg_room *hg_hub_join(struct hg_hub *hub, struct hg_conn *c, enum hg_route_kind kind,
                            struct hg_slice tenant, struct hg_slice name, unsigned max)
{
    struct hg_buf key = {0};
    struct hg_room *room;

    hg_route_put_hub(&key, kind, tenant, name);
    room = hg_hub_find_key(hub, hg_buf_slice(&key));
    if (!room || !member_of(c, room))
        room = is_full(c, max) ? NULL : enter(hub, c, hg_buf_slice(&key));
    hg_buf_fini(&key);
    return room;
}

static void remove_member(struct hg_hub *hub, struct hg_conn *c, struct hg_member *m)
{
    struct hg_room *room = m->room;
    struct hg_conn *moved = room->members[--room->n];

    if (moved != c) {
        room->members[m->at] = moved;
        member_of(moved, room)->at = m->at;
    }
    *m = c->s.rooms[--c->s.nrooms];
    if (room->n == 0)
        room_free(hub, room);
}

bool hg_hub_leave(struct hg_hub *hub, struct hg_conn *c, struct hg_room *room)
{
    struct hg_member *m = room ? member_of(c, room) : NULL;

    if (m)
        remove_member(hub, c, m);
    return m != NULL;
}

void hg_hub_leave_all(struct hg_hub *hub, struct hg_conn *c)
{
    while (c->s.nrooms > 0)
        remove_member(hub, c, &c->s.rooms[c->s.nrooms - 1]);
    free(c->s.rooms);
    c->s.rooms = NULL;
    c->s.rooms_cap = 0;
}

static bool is_excluded(const struct hg_conn *c, const unsigned char (*exclude)[16], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(c->s.id, exclude[i], 16) == 0)
            return true;
    return false;
}

struct audience {
    const unsigned char (*exclude)[16];
    unsigned nexclude;
    bool (*may)(const struct hg_conn *);
};

static bool is_in(const struct audience *a, const struct hg_conn *c)
{
    return (a->nexclude == 0 || !is_excluded(c, a->exclude, a->nexclude)) && (!a->may || a->may(c));
}

static unsigned send_to(struct hg_hub *hub, struct hg_room *room, unsigned opcode,
                        struct hg_slice body, const struct audience *to)
{
    struct hg_span s = hg_frame_build(hub->conns->frames, &room->arena, opcode, &body, 1);
    unsigned sent = 0;

    /* Backwards: a send that closes its connection takes that member out, and the last one moves
     * into its place. A closed connection may be the room's last member and free it, so the room is
     * not touched after its count was seen. */
    for (uint32_t i = room->n; i-- > 0;) {
        struct hg_conn *c = room->members[i];
        bool last = i == 0;

        if (is_in(to, c)) {
            hg_conn_send(hub->conns, c, s);
            sent++;
        }
        if (last)
            break;
    }
    hg_span_unref(hub->conns->frames, &s);
    HG_ADD(hub->conns->m, broadcasts_delivered, sent);
    return sent;
}

unsigned hg_hub_send(struct hg_hub *hub, struct hg_room *room, unsigned opcode,
                     struct hg_slice body, const unsigned char (*exclude)[16], unsigned nexclude)
{
    return send_to(hub, room, opcode, body, &(struct audience){exclude, nexclude, NULL});
}

unsigned hg_hub_send_if(struct hg_hub *hub, struct hg_room *room, unsigned opcode,
                        struct hg_slice body, bool (*may)(const struct hg_conn *))
{
    return send_to(hub, room, opcode, body, &(struct audience){.may = may});
}

unsigned hg_hub_send_one(struct hg_hub *hub, struct hg_conn *c, unsigned opcode,
                         struct hg_slice body)
{
    struct hg_span s = hg_frame_build(hub->conns->frames, &hub->conns->arena, opcode, &body, 1);

    hg_conn_send(hub->conns, c, s);
    hg_span_unref(hub->conns->frames, &s);
    HG_INC(hub->conns->m, broadcasts_delivered);
    return 1;
}

void hg_hub_fini(struct hg_hub *hub)
{
    struct hg_map_iter it = {0};
    struct hg_map_node *node;

    while ((node = hg_map_next(&hub->rooms, &it)))
        room_free(hub, HG_CONTAINER_OF(node, struct hg_room, node));
    hg_map_fini(&hub->rooms);
}
