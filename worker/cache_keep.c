/* What the hot cache keeps of each partition until it is known to be written. Rules 3 to 5 of
 * cache.h. */
#include <stdlib.h>
#include <string.h>
#include "worker/cache_priv.h"

void hg_cache_part_touch(struct hg_cache_part *p)
{
    if (p->dirty)
        return;
    p->dirty = true;
    p->next_dirty = p->ca->dirty;
    p->ca->dirty = p;
}

void hg_cache_part_set_mine(struct hg_cache_part *p, bool mine)
{
    if (p->mine == mine)
        return;
    p->mine = mine;
    if (mine)
        HG_INC(p->ca->spec.metrics, cache_leases);
    else
        HG_DEC(p->ca->spec.metrics, cache_leases);
}

/* ---- kept records ---- */

static uint64_t cost_of(const struct hg_cache_kept *k)
{
    return sizeof *k + k->key_n + k->value_n;
}

static void pop(struct hg_cache_part *p)
{
    struct hg_cache_kept *k = p->first;

    p->before = p->before_known ? HG_MAX(p->before, k->lsn) : k->lsn;
    p->before_known |= k->lsn > 0;
    p->from = k->offset + 1;
    p->first = k->next;
    if (!p->first)
        p->end = &p->first;
    p->ca->kept_bytes -= cost_of(k);
    free(k);
}

void hg_cache_part_advance(struct hg_cache_part *p, uint64_t next)
{
    while (p->first && (uint64_t)p->first->offset < next)
        pop(p);
    p->from = HG_MAX(p->from, (int64_t)HG_MIN(next, (uint64_t)p->to));
}

void hg_cache_part_forget(struct hg_cache_part *p)
{
    while (p->first)
        pop(p);
    p->from = p->to;
}

/* ---- partitions ---- */

struct hg_cache_part *hg_cache_part_new(struct hg_cache *ca, uint32_t part, int64_t next,
                                        uint64_t before)
{
    struct hg_cache_part *p = hg_calloc(1, sizeof *p);

    p->ca = ca;
    p->part = part;
    p->end = &p->first;
    p->from = p->to = next;
    p->before = p->highest = before;
    p->before_known = before > 0 || next == 0;
    ca->parts[part] = p;
    return p;
}

void hg_cache_part_free(struct hg_cache_part *p)
{
    struct hg_cache_part **at = &p->ca->dirty;

    hg_cache_part_set_mine(p, false);
    hg_cache_part_forget(p);
    while (p->dirty && *at != p)
        at = &(*at)->next_dirty;
    if (p->dirty)
        *at = p->next_dirty;
    p->ca->parts[p->part] = NULL;
    free(p);
}

/* ---- what ingest says ---- */

static void keep(struct hg_cache_part *p, const struct hg_cache_rec *rec)
{
    struct hg_cache *ca = p->ca;
    size_t prefix_n = strlen(ca->prefix);
    bool is_diff = rec->kind == HG_CACHE_DIFF;
    uint32_t key_n = is_diff ? (uint32_t)(prefix_n + 5 + rec->key.n) : 0;
    uint32_t value_n = is_diff ? (uint32_t)rec->value.n : 0;
    struct hg_cache_kept *k = hg_malloc(sizeof *k + key_n + value_n);

    *k = (struct hg_cache_kept){.kind = rec->kind,
                                .offset = rec->pos.offset,
                                .lsn = rec->lsn.v,
                                .key_n = key_n,
                                .value_n = value_n};
    if (!is_diff)
        k->hole = HG_MAX(p->highest, rec->lsn.v);
    else if (rec->lsn.v < p->highest)
        k->hole = p->highest;
    if (is_diff) {
        memcpy(k->bytes, ca->prefix, prefix_n);
        memcpy(k->bytes + prefix_n, "diff:", 5);
        memcpy(k->bytes + prefix_n + 5, rec->key.p, rec->key.n);
        if (value_n)
            memcpy(k->bytes + key_n, rec->value.p, value_n);
    }
    *p->end = k;
    p->end = &k->next;
    p->highest = HG_MAX(p->highest, rec->lsn.v);
    ca->kept_bytes += cost_of(k);
}

/* Of the batch under way, whose answer will count it. */
static bool is_flying(const struct hg_cache_part *p, const struct hg_cache_kept *k)
{
    return p->flying && (uint64_t)k->offset < p->pos.next;
}

/* The oldest of the partition that wants more; a host that does not write loses nothing by it. */
static void keep_cap(struct hg_cache_part *p)
{
    struct hg_cache *ca = p->ca;

    while (ca->kept_bytes > (uint64_t)ca->spec.conf->hotcache_buffer && p->first) {
        if ((p->mine || !ca->up) && p->first->kind == HG_CACHE_DIFF && !is_flying(p, p->first))
            HG_INC(ca->spec.metrics, cache_dropped);
        pop(p);
    }
}

static bool is_cached_topic(const struct hg_cache *ca, uint32_t part)
{
    return ca->spec.host->topics[part / HG_TOPIC_PARTS].kind == HG_TOPIC_DIFF;
}

/* The share was away: what others of this host read meanwhile is not to be had here. It is not yet
 * said of this record that it was handed over. */
static void note_absence(struct hg_cache_part *p, const struct hg_cache_rec *rec)
{
    int64_t next = atomic_load(&p->ca->spec.host->parts[p->part].next);
    struct hg_cache_rec hole = {
        .kind = HG_CACHE_HOLE, .pos = {p->part, next - 1}, .lsn = rec->before};

    if (p->to >= next || next > rec->pos.offset)
        return;
    p->to = next;
    keep(p, &hole);
}

void hg_cache_record(struct hg_cache *ca, const struct hg_cache_rec *rec)
{
    struct hg_cache_part *p;

    if (!ca || !is_cached_topic(ca, rec->pos.part))
        return;
    p = ca->parts[rec->pos.part];
    if (!p)
        p = hg_cache_part_new(ca, rec->pos.part, rec->pos.offset, rec->before.v);
    if (rec->pos.offset < p->to)
        return;
    note_absence(p, rec);
    p->to = rec->pos.offset + 1;
    if (rec->kind != HG_CACHE_NOTHING)
        keep(p, rec);
    if (p->known && !p->anew)
        hg_cache_part_advance(p, p->pos.next); /* the one who writes is ahead of us */
    keep_cap(p);
    hg_cache_part_touch(p);
}

void hg_cache_begin_anew(struct hg_cache *ca, uint32_t part, int64_t next)
{
    struct hg_cache_part *p;

    if (!ca || !is_cached_topic(ca, part))
        return;
    p = ca->parts[part];
    if (!p) /* what stands in Redis is of the former log all the same */
        p = hg_cache_part_new(ca, part, next, atomic_load(&ca->spec.host->parts[part].lsn));
    hg_cache_part_forget(p);
    p->before = p->highest;
    p->from = p->to = next;
    p->anew = true;
    hg_cache_part_touch(p);
}
