/*
 * See map.h. Chained buckets, a power of two of them, at most one node per bucket on average; never
 * shrinks. The hash is SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): one
 * round per word and three at the end, which is enough against chosen keys in a table and half the
 * cost of 2-4.
 */
#include "common/base/map.h"

#include <stdlib.h>
#include "common/base/macros.h"

enum { FIRST_BUCKETS = 16 };

struct sip_key {
    uint64_t k0, k1;
};

/* Until hg_hash_seed is called maps work, but with a key that everybody knows. */
static struct sip_key process_key = {0x9ae16a3b2f90404full, 0xc949d7c7509e6557ull};
static const struct sip_key fixed_key = {0x6865616467617465ull, 0x2d666978656420ull};

static uint64_t load64(const unsigned char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v); /* little-endian machines only, as all we run on; the ring shares
                                hashes within a host */
    return v;
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
}

static uint64_t sip13(struct sip_key k, struct hg_slice s)
{
    uint64_t v[4] = {k.k0 ^ 0x736f6d6570736575ull, k.k1 ^ 0x646f72616e646f6dull,
                     k.k0 ^ 0x6c7967656e657261ull, k.k1 ^ 0x7465646279746573ull};
    const unsigned char *p = (const unsigned char *)s.p;
    uint64_t tail = (uint64_t)s.n << 56;
    size_t left = s.n;

    for (; left >= 8; left -= 8, p += 8)
        sip_word(v, load64(p));
    for (size_t i = 0; i < left; i++)
        tail |= (uint64_t)p[i] << (8 * i);
    sip_word(v, tail);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void hg_hash_seed(const unsigned char key[16])
{
    process_key = (struct sip_key){load64(key), load64(key + 8)};
}

uint64_t hg_hash(struct hg_slice s)
{
    return sip13(process_key, s);
}

uint64_t hg_hash_fixed(struct hg_slice s)
{
    return sip13(fixed_key, s);
}

static struct hg_map_node **bucket_of(const struct hg_map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->nbuckets - 1)];
}

static struct hg_map_node *find(const struct hg_map *m, struct hg_slice key, uint64_t hash)
{
    struct hg_map_node *x;

    if (m->nbuckets == 0)
        return NULL;
    for (x = *bucket_of(m, hash); x; x = x->next)
        if (x->hash == hash && hg_slice_eq(x->key, key))
            return x;
    return NULL;
}

static void rehash(struct hg_map *m, size_t nbuckets)
{
    struct hg_map bigger = {hg_calloc(nbuckets, sizeof *m->buckets), nbuckets, m->count};

    for (size_t i = 0; i < m->nbuckets; i++) {
        struct hg_map_node *x = m->buckets[i];

        while (x) {
            struct hg_map_node *next = x->next;
            struct hg_map_node **head = bucket_of(&bigger, x->hash);

            x->next = *head;
            *head = x;
            x = next;
        }
    }
    free(m->buckets);
    *m = bigger;
}

void hg_map_fini(struct hg_map *m)
{
    free(m->buckets);
    *m = (struct hg_map){0};
}

struct hg_map_node *hg_map_get(const struct hg_map *m, struct hg_slice key)
{
    return m->count ? find(m, key, hg_hash(key)) : NULL;
}

void hg_map_put(struct hg_map *m, struct hg_map_node *node)
{
    struct hg_map_node **head;

    node->hash = hg_hash(node->key);
    HG_BUG_ON(find(m, node->key, node->hash) != NULL);
    if (m->count >= m->nbuckets)
        rehash(m, m->nbuckets ? m->nbuckets * 2 : FIRST_BUCKETS);
    head = bucket_of(m, node->hash);
    node->next = *head;
    *head = node;
    m->count++;
}

void hg_map_del(struct hg_map *m, struct hg_map_node *node)
{
    struct hg_map_node **p = bucket_of(m, node->hash);

    while (*p != node) {
        HG_BUG_ON(*p == NULL); /* not in this map */
        p = &(*p)->next;
    }
    *p = node->next;
    node->next = NULL;
    m->count--;
}

/* it->next is the node after the one handed out, so that this one may be removed and freed. */
struct hg_map_node *hg_map_next(const struct hg_map *m, struct hg_map_iter *it)
{
    struct hg_map_node *x = it->next;

    while (!x && it->bucket < m->nbuckets)
        x = m->buckets[it->bucket++];
    it->next = x ? x->next : NULL;
    return x;
}
