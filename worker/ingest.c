#include "worker/ingest.h"

#include <stdlib.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/log.h"
#include "proto/lsn_head.h"
#include "proto/op.h"
#include "proto/route.h"
#include "proto/rowevent.h"
#include "worker/publish.h"
#include "worker/relay.h"

enum {
    WALK_BUDGET = 20000, /* records of siblings per turn */
    WAIT_MS = 1,         /* how often a held-back record is offered to the ring again */
    SECOND_MS = 1000,
    KEY_MAX = HG_ROUTE_TENANT_MAX + HG_ROUTE_TABLE_MAX + HG_ROUTE_HASH_MAX +
              2, /* nobody can subscribe to a longer one */
};

/* ---- the door to the streams ---- */

struct arrival { /* a record at a new position, from wherever */
    enum hg_rec_kind kind;
    struct hg_slice key, body;
    struct hg_pos pos;
    struct hg_lsn lsn;
    int64_t stamp_ms;
};

static void row_event(struct hg_worker *w, const struct arrival *a)
{
    struct hg_rowevent ev;

    if (!hg_stream_wants(&w->streams, a->key))
        return;
    if (hg_rowevent_decode(a->body, &ev) == 0) {
        hg_buf_reset(&w->text);
        hg_op_put_row_event(&w->text, (enum hg_op_row_shape)w->conf->row_event_shape, &ev,
                            a->lsn.v);
        hg_stream_row(&w->streams, a->key, hg_buf_slice(&w->text));
    }
    hg_rowevent_fini(&ev);
}

static bool is_bare(const struct hg_worker *w, uint32_t part)
{
    return w->host->topics[part / HG_TOPIC_PARTS].kind == HG_TOPIC_BARE;
}

static void arrive_bare(struct hg_worker *w, const struct arrival *a)
{
    struct hg_stream_rec rec = {a->pos, a->lsn, a->body};

    if (a->kind == HG_REC_DIFF)
        hg_stream_bare_diff(&w->streams, a->key, &rec);
    else if (a->kind == HG_REC_STUB)
        hg_stream_bare_reset(&w->streams, a->key, "record_too_large");
}

static void arrive(struct hg_worker *w, const struct arrival *a)
{
    struct hg_stream_rec rec = {a->pos, a->lsn, a->body};

    if (is_bare(w, a->pos.part)) {
        arrive_bare(w, a);
        return;
    }
    switch (a->kind) {
    case HG_REC_DIFF:
        hg_stream_diff(&w->streams, a->key, &rec);
        break;
    case HG_REC_ROW:
        row_event(w, a);
        break;
    case HG_REC_STUB:
        hg_stream_reset_key(&w->streams, a->key, "record_too_large");
        break;
    case HG_REC_PUBLISH:
        hg_publish_record(w, a->body, a->stamp_ms);
        break;
    default:
        break;
    }
}

/* Is this position new here? Notes it if so. */
static bool is_new(struct hg_worker *w, struct hg_pos pos)
{
    if (pos.offset < w->in.next[pos.part]) {
        HG_INC(w->m, records_repeated);
        return false;
    }
    w->in.next[pos.part] = pos.offset + 1;
    return true;
}

static void begin_anew(struct hg_worker *w, struct hg_pos pos)
{
    w->in.next[pos.part] = pos.offset;
    w->in.resets[pos.part] = atomic_load(&w->host->parts[pos.part].resets);
}

/* What was lapped may have been the word that a log began anew: its records must not pass for
 * repeats. */
static void find_begun_anew(struct hg_worker *w)
{
    for (uint32_t part = 0; part < w->host->ntopics * HG_TOPIC_PARTS; part++)
        if (atomic_load_explicit(&w->host->parts[part].resets, memory_order_relaxed) !=
            w->in.resets[part])
            begin_anew(w, (struct hg_pos){part, 0});
}

static const struct hg_topic *topic_of(const struct hg_worker *w, uint32_t part)
{
    return &w->host->topics[part / HG_TOPIC_PARTS];
}

/* Does it carry changes of tables, which streams and snapshots are made of? */
static bool feeds_streams(const struct hg_worker *w, uint32_t part)
{
    return topic_of(w, part)->kind != HG_TOPIC_ENVELOPE;
}

/* Offsets of different partitions are not comparable: as versions they order one stream, but a
 * watermark made of them would drop what a slower partition brings. So they fence nothing; what a
 * snapshot holds may come again. */
static bool fences(const struct hg_worker *w, uint32_t part)
{
    return feeds_streams(w, part) && !topic_of(w, part)->version_is_offset;
}

/* Nobody's diffs of that log can be trusted to be whole. Broadcasts that were lost are lost. */
static void log_lost(struct hg_worker *w, struct hg_pos pos)
{
    begin_anew(w, pos);
    if (feeds_streams(w, pos.part))
        hg_streams_reset(&w->streams, NULL, "position_lost");
}

static void note_lsn(struct hg_worker *w, uint32_t part, struct hg_lsn lsn)
{
    if (fences(w, part))
        w->in.watermark = hg_lsn_max(w->in.watermark, lsn);
}

/* ---- the siblings' rings ---- */

/* Whoever is asked whom it reached says so, also when interest only lingers. */
static bool wants_envelope(struct hg_worker *w, const struct hg_rec *head)
{
    uint32_t seat = w->boot->seat;
    uint64_t bits = atomic_load_explicit(
        &w->host->interest[hg_interest_bucket(head->hash)][seat / 64], memory_order_relaxed);

    return hg_interest_is_held(&w->interests, head->hash) ||
           (head->lsn != 0 && ((bits | head->meant[seat / 64]) >> seat % 64 & 1));
}

static bool ring_want(void *ctx, uint32_t seat, const struct hg_rec *head)
{
    struct hg_worker *w = ctx;
    struct hg_pos pos = {head->part, head->offset};

    (void)seat;
    HG_INC(w->m, ring_walked);
    if (head->kind == HG_REC_MARK)
        return false;
    if (head->part >= HG_MAX_PARTS)
        return head->kind == HG_REC_ENVELOPE && wants_envelope(w, head);
    if (head->kind == HG_REC_PART_RESET) {
        log_lost(w, pos);
        return false;
    }
    if (!is_new(w, pos))
        return false;
    note_lsn(w, head->part, hg_lsn(head->lsn));
    return hg_interest_is_held(&w->interests, head->hash);
}

static void ring_record(void *ctx, uint32_t seat, const struct hg_rec *head, struct hg_slice key,
                        struct hg_slice body)
{
    struct hg_worker *w = ctx;
    struct arrival a = {(enum hg_rec_kind)head->kind,
                        key,
                        body,
                        {head->part, head->offset},
                        hg_lsn(head->lsn),
                        head->stamp_ms};

    if (head->kind == HG_REC_ENVELOPE)
        hg_relay_from_ring(w, seat, head->lsn, body);
    else
        arrive(w, &a);
}

static void ring_hole(void *ctx, uint32_t seat, const uint64_t bits[HG_HOLE_BITS / 64])
{
    struct hg_worker *w = ctx;

    HG_INC(w->m, ring_holes);
    hg_log_limited(HG_LOG_WARN, NULL, "ring.hole", "seat=%u", seat);
    find_begun_anew(w);
    hg_streams_reset(&w->streams, bits, "hole");
}

static const struct hg_ring_ops ring_ops = {ring_want, ring_record, ring_hole};

static void walk(struct hg_worker *w, uint64_t budget)
{
    HG_BUG_ON(w->in.walking);
    w->in.walking = true;
    hg_ring_walk(&w->in.walker, budget);
    w->in.walking = false;
}

static void on_walk_more(void *arg)
{
    struct hg_worker *w = arg;

    hg_doing_set(w, HG_DOING_RING);
    walk(w, WALK_BUDGET);
    if (hg_ring_walk_pending(&w->in.walker))
        hg_loop_defer(w->loop, &w->in.walk_more, on_walk_more, w);
}

static void on_wake(void *arg, int fd, unsigned events)
{
    struct hg_worker *w = arg;
    uint64_t n;

    (void)events;
    if (read(fd, &n, sizeof n) < 0 &&
        hg_log_level() >= HG_LOG_DEBUG) /* a wake that somebody else took */
        hg_log(HG_LOG_DEBUG, NULL, "ring.idle_wake", "fd=%d", fd);
    on_walk_more(w);
    hg_ingest_shares(w);
    hg_publish_look(w);
}

struct hg_lsn hg_ingest_watermark(const struct hg_worker *w)
{
    return hg_lsn_max(w->in.watermark, hg_host_watermark(w->host));
}

struct hg_lsn hg_ingest_walk(struct hg_worker *w)
{
    walk(w, 0);
    return hg_ingest_watermark(w);
}

/* ---- Kafka ---- */

static void on_wait(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;

    (void)now;
    hg_kafka_resume(w->kafka);
}

static void on_go_on(void *arg)
{
    struct hg_worker *w = arg;

    hg_kafka_resume(w->kafka);
}

/* Into the ring, or false: not now. */
static bool relay(struct hg_worker *w, struct hg_rec *head, struct hg_slice key,
                  struct hg_slice body)
{
    struct hg_ingest *in = &w->in;
    struct hg_mono now = hg_loop_now(w->loop);
    bool force = in->waiting && hg_mono_sub(now, in->wait_since) >= w->conf->ring_wait;
    int rc;

    if (hg_ring_turn_is_full(&in->writer)) { /* rule 3: a quarter a turn */
        hg_loop_defer(w->loop, &in->go_on, on_go_on, w);
        return false;
    }
    rc = hg_ring_append(&in->writer, head, key, body, force);
    if (rc == -HG_E_AGAIN) {
        if (!in->waiting) {
            in->waiting = true;
            in->wait_since = now;
            HG_INC(w->m, ring_waits);
        }
        hg_timer_start(hg_loop_timers(w->loop), &in->wait_timer, hg_mono_add(now, WAIT_MS * HG_MS),
                       on_wait, w);
        return false;
    }
    HG_BUG_ON(rc < 0); /* TOO_BIG: classify has let nothing pass that does not fit */
    in->waiting = false;
    HG_INC(w->m, ring_records);
    return true;
}

static void poison_mark(struct hg_worker *w, const struct hg_kafka_record *r)
{
    atomic_store_explicit(&w->seat->poison_offset, r->offset, memory_order_relaxed);
    atomic_store_explicit(&w->seat->poison_part, r->part + 1, memory_order_release);
}

static void poison_clear(struct hg_worker *w)
{
    atomic_store_explicit(&w->seat->poison_part, 0, memory_order_release);
}

static void store_lsn(struct hg_worker *w, uint32_t part, struct hg_lsn lsn)
{
    struct hg_part *p = &w->host->parts[part];

    if (fences(w, part) && lsn.v > atomic_load(&p->lsn))
        atomic_store(&p->lsn, lsn.v);
}

/* Whoever sees the position must not see an older watermark: hand_on has stored it. */
static void store(struct hg_worker *w, const struct hg_kafka_record *r)
{
    struct hg_part *p = &w->host->parts[r->part];

    atomic_store(&p->next, r->offset + 1);
    atomic_store_explicit(&p->stamp_ms, r->stamp_ms, memory_order_relaxed);
    HG_INC(w->m, records);
    HG_ADD(w->m, record_bytes, r->key.n + r->value.n);
    HG_SET(w->m, last_progress_ms, hg_wall_ms());
}

static struct hg_lsn lsn_of(struct hg_worker *w, const struct hg_kafka_record *r)
{
    const struct hg_topic *t = &w->host->topics[r->topic];
    struct hg_slice value;
    struct hg_lsn lsn;

    if (!feeds_streams(w, r->part)) /* its headers do not matter */
        return hg_lsn(0);
    if (t->version_is_offset)
        return hg_lsn((uint64_t)r->offset + 1); /* 0 means none */
    if (hg_kafka_record_header(r, hg_lsn_head_names, &value) &&
        hg_lsn_head_decode(value, &lsn) == 0)
        return lsn;
    return hg_lsn(0);
}

/* Small enough for max_record, and with its head for an eighth of the ring? */
static bool fits(const struct hg_worker *w, const struct hg_kafka_record *r)
{
    uint64_t place =
        w->host->ring_size / 8 - sizeof(struct hg_rec) - KEY_MAX - 2 * sizeof(uint64_t);

    return r->value.n <= (size_t)w->conf->max_record && r->value.n <= place;
}

static enum hg_rec_kind stub_of(const struct hg_kafka_record *r)
{
    return r->key.n > 0 && r->key.n <= KEY_MAX ? HG_REC_STUB : HG_REC_PAD;
}

struct routed { /* where a record goes */
    struct hg_lsn lsn;
    struct hg_slice key;   /* of its stream */
    struct hg_rowevent ev; /* of topics of that kind; key is in there */
};

static bool read_row(struct hg_worker *w, const struct hg_kafka_record *r, struct hg_rowevent *ev)
{
    if (hg_rowevent_decode(r->value, ev) == 0 && ev->routing_key.n <= KEY_MAX)
        return true;
    HG_INC(w->m, row_events_bad);
    hg_log_limited(HG_LOG_WARN, NULL, "rowevent.bad", "topic=%s partition=%u offset=%lld",
                   w->host->topics[r->topic].name, r->part % HG_TOPIC_PARTS, (long long)r->offset);
    return false;
}

/* What each kind of topic makes of a record that is there, fits, and is no poison. */
static enum hg_rec_kind classify_diff(struct hg_worker *w, const struct hg_kafka_record *r,
                                      struct routed *to)
{
    if (to->lsn.v == 0) {
        HG_INC(w->m, records_no_lsn);
        hg_log_limited(HG_LOG_WARN, NULL, "record.no_lsn", "topic=%s partition=%u offset=%lld",
                       w->host->topics[r->topic].name, r->part % HG_TOPIC_PARTS,
                       (long long)r->offset);
        return HG_REC_PAD;
    }
    return r->key.n <= KEY_MAX ? HG_REC_DIFF : HG_REC_PAD;
}

/* Routed by the key inside; the record's own does not count. */
static enum hg_rec_kind classify_row(struct hg_worker *w, const struct hg_kafka_record *r,
                                     struct routed *to)
{
    if (!read_row(w, r, &to->ev))
        return HG_REC_PAD;
    to->key = to->ev.routing_key;
    return HG_REC_ROW;
}

/* May be for many rooms at once, so every worker looks into it. */
static enum hg_rec_kind classify_envelope(struct hg_worker *w, const struct hg_kafka_record *r,
                                          struct routed *to)
{
    char why[128];

    to->key = HG_SLICE_NONE;
    if (hg_publish_check(w, r->value, why))
        return HG_REC_PUBLISH;
    HG_INC(w->m, envelopes_bad);
    hg_log_limited(HG_LOG_WARN, NULL, "envelope.bad",
                   "topic=%s partition=%u offset=%lld why=\"%s\"", w->host->topics[r->topic].name,
                   r->part % HG_TOPIC_PARTS, (long long)r->offset, why);
    return HG_REC_PAD;
}

static const struct topic_kind {
    bool keyless;     /* a record without key is one all the same */
    bool has_streams; /* what cannot be handed on resets the stream of its key */
    enum hg_route_kind room;
    enum hg_rec_kind (*classify)(struct hg_worker *, const struct hg_kafka_record *,
                                 struct routed *);
} topic_kinds[] = {
    [HG_TOPIC_DIFF] = {false, true, HG_ROUTE_STREAM, classify_diff},
    [HG_TOPIC_BARE] = {false, true, HG_ROUTE_BARE, classify_diff},
    [HG_TOPIC_ROW] = {false, true, HG_ROUTE_STREAM, classify_row},
    [HG_TOPIC_ENVELOPE] = {true, false, HG_ROUTE_WORKERS, classify_envelope},
};

/* Kind and room of a record; PAD when it is not to be handed on. */
static enum hg_rec_kind classify(struct hg_worker *w, const struct hg_kafka_record *r,
                                 struct routed *to)
{
    const struct hg_topic *t = &w->host->topics[r->topic];
    const struct topic_kind *k = &topic_kinds[t->kind];
    bool poison = hg_host_is_poison(w->host, (struct hg_pos){r->part, r->offset});

    if (poison) {
        HG_INC(w->m, records_poison);
        return k->has_streams ? stub_of(r) : HG_REC_PAD;
    }
    if ((r->key.n == 0 && !k->keyless) || !r->value.p) {
        HG_INC(w->m, records_no_key);
        return HG_REC_PAD;
    }
    if (!fits(w, r)) {
        HG_INC(w->m, records_stub);
        hg_log_limited(HG_LOG_WARN, NULL, "record.too_large",
                       "topic=%s partition=%u offset=%lld bytes=%zu", t->name,
                       r->part % HG_TOPIC_PARTS, (long long)r->offset, r->value.n);
        return k->has_streams ? stub_of(r) : HG_REC_PAD;
    }
    return k->classify(w, r, to);
}

/* Every position of this worker's share, so that the cache knows how far it is whole. before: the
 * partition's watermark without this record. */
static void to_cache(struct hg_worker *w, const struct arrival *a, struct hg_lsn before)
{
    struct hg_cache_rec rec = {.kind = a->kind == HG_REC_DIFF   ? HG_CACHE_DIFF
                                       : a->kind == HG_REC_STUB ? HG_CACHE_HOLE
                                                                : HG_CACHE_NOTHING,
                               .pos = a->pos,
                               .lsn = a->lsn,
                               .before = before,
                               .key = a->key,
                               .value = a->body};

    hg_cache_record(w->cache, &rec);
}

static bool hand_on(struct hg_worker *w, const struct hg_kafka_record *r, struct hg_lsn lsn)
{
    struct routed to = {.lsn = lsn, .key = r->key};
    enum hg_rec_kind kind = classify(w, r, &to);
    struct hg_slice body = kind == HG_REC_STUB ? HG_SLICE_NONE : r->value;
    struct hg_rec head = {.kind = (uint16_t)kind,
                          .part = r->part,
                          .offset = r->offset,
                          .lsn = lsn.v,
                          .stamp_ms = r->stamp_ms};
    struct arrival a = {kind, to.key, body, {r->part, r->offset}, lsn, r->stamp_ms};
    bool done = true;

    if (kind != HG_REC_PAD) {
        head.hash = hg_route_hub_hash(topic_kinds[w->host->topics[r->topic].kind].room,
                                      HG_SLICE_NONE, to.key);
        done = relay(w, &head, to.key, body);
    }
    if (done) {
        struct hg_lsn before = hg_lsn(atomic_load(&w->host->parts[r->part].lsn));

        note_lsn(w, r->part, lsn);
        store_lsn(w, r->part, lsn);
        to_cache(w, &a, before);
        if (is_new(w, a.pos) && kind != HG_REC_PAD)
            arrive(w, &a);
    }
    hg_rowevent_fini(&to.ev);
    return done;
}

bool hg_ingest_on_record(void *ctx, const struct hg_kafka_record *r)
{
    struct hg_worker *w = ctx;
    struct hg_lsn lsn;
    bool done = true;

    if (!hg_host_holds(w->host, w->boot->seat, r->part))
        return true; /* the share moved: its new holder handles it */
    hg_doing_set(w, HG_DOING_RECORD);
    poison_mark(w, r);
    lsn = lsn_of(w, r);
    if (r->is_last_at_start) {
        note_lsn(w, r->part, lsn);
        store_lsn(w, r->part, lsn);
    } else {
        done = hand_on(w, r, lsn);
        if (done)
            store(w, r);
    }
    poison_clear(w);
    return done;
}

void hg_ingest_on_position(void *ctx, uint32_t part, int64_t next)
{
    struct hg_worker *w = ctx;
    struct hg_part *p = &w->host->parts[part];

    if (!hg_host_holds(w->host, w->boot->seat, part))
        return;
    atomic_store(&p->next, next);
    atomic_store(&p->known, 1);
    if (w->in.next[part] < next)
        w->in.next[part] = next;
}

/* The log was made anew, or what we had not read yet is gone: nobody's diffs of it can be trusted
 * to be whole. */
void hg_ingest_on_position_lost(void *ctx, uint32_t part, int64_t next)
{
    struct hg_worker *w = ctx;
    struct hg_part *p = &w->host->parts[part];
    struct hg_rec head = {.kind = HG_REC_PART_RESET, .part = part, .offset = next};

    if (!hg_host_holds(w->host, w->boot->seat, part))
        return;
    hg_log(HG_LOG_WARN, NULL, "kafka.position_lost", "topic=%s partition=%u next=%lld",
           w->host->topics[part / HG_TOPIC_PARTS].name, part % HG_TOPIC_PARTS, (long long)next);
    atomic_fetch_add(&p->resets,
                     1); /* before the word of it: who meets a hole in its place looks here */
    if (hg_ring_append(&w->in.writer, &head, HG_SLICE_NONE, HG_SLICE_NONE, true) < 0)
        HG_BUG_ON("a head fits every ring");
    log_lost(w, (struct hg_pos){part, next});
    hg_cache_begin_anew(w->cache, part, next);
    atomic_store(&p->next, next);
    atomic_store(&p->known, 1);
}

/* ---- shares, turns, seconds ---- */

void hg_ingest_shares(struct hg_worker *w)
{
    uint64_t epoch = atomic_load(&w->host->share_epoch);

    if (epoch == w->in.share_epoch)
        return;
    w->in.share_epoch = epoch;
    hg_kafka_changes_apply(w->kafka);
    /* What the former holder of a share appended, or the hole in it, comes before our first record
     * of that share (ring.h). */
    walk(w, 0);
    for (uint32_t i = 0; i < w->host->nslots; i++) {
        struct hg_slot_share *s = &w->host->shares[i];

        /* Everything of the share was appended and stored, or dropped unhandled: it may move. */
        if (atomic_load(&s->holder) == w->boot->seat && atomic_load(&s->release) == 1)
            atomic_store(&s->release, 2);
    }
    atomic_store(&w->seat->nparts, hg_kafka_held(w->kafka));
    HG_SET(w->m, partitions, hg_kafka_held(w->kafka));
}

void hg_ingest_turn(struct hg_worker *w)
{
    HG_ADD(w->m, wakes, hg_ring_flush_wakes(&w->in.writer));
    /* Not here, behind the flush of the connections: a change of shares walks, and walking queues
     * output. */
    if (atomic_load(&w->host->share_epoch) != w->in.share_epoch)
        hg_host_wake(w->host, w->boot->seat);
}

static void on_second(void *arg, struct hg_mono now)
{
    struct hg_worker *w = arg;
    struct hg_rec head = {.kind = HG_REC_MARK, .part = UINT32_MAX};
    uint64_t seq = atomic_load(&w->seat->ring.seq);

    /* How far this seat is, also when idle (rule 5 and the marks of the design). */
    if (seq == w->in.marked &&
        hg_ring_append(&w->in.writer, &head, HG_SLICE_NONE, HG_SLICE_NONE, false) == 0)
        seq = atomic_load(&w->seat->ring.seq);
    w->in.marked = seq;
    on_walk_more(w);
    hg_interest_sweep(&w->interests, now);
    HG_SET(w->m, partitions, hg_kafka_held(w->kafka));
    atomic_store(&w->seat->nparts, hg_kafka_held(w->kafka));
    hg_timer_start(hg_loop_timers(w->loop), &w->in.second, hg_mono_add(now, SECOND_MS * HG_MS),
                   on_second, w);
}

void hg_ingest_init(struct hg_worker *w)
{
    struct hg_ingest *in = &w->in;

    in->next = hg_calloc(HG_MAX_PARTS, sizeof *in->next);
    in->resets = hg_calloc(HG_MAX_PARTS, sizeof *in->resets);
    for (uint32_t part = 0; part < w->host->ntopics * HG_TOPIC_PARTS; part++)
        in->resets[part] = atomic_load(&w->host->parts[part].resets);
    hg_ring_writer_init(&in->writer, w->host, w->boot->seat);
    hg_ring_walker_init(&in->walker, w->host, w->boot->seat, &ring_ops, w);
    in->watermark = hg_host_watermark(w->host);
    hg_interest_hold(&w->interests,
                     hg_route_hub_hash(HG_ROUTE_WORKERS, HG_SLICE_NONE, HG_SLICE_NONE));
    if (hg_watch_start(w->loop, &in->wake, w->host->wake_fd[w->boot->seat], HG_IN, on_wake, w) < 0)
        HG_BUG_ON("the wake eventfd can be watched");
    hg_timer_start(hg_loop_timers(w->loop), &in->second,
                   hg_mono_add(hg_loop_now(w->loop), SECOND_MS * HG_MS), on_second, w);
}

void hg_ingest_fini(struct hg_worker *w)
{
    hg_timer_stop(hg_loop_timers(w->loop), &w->in.second);
    hg_timer_stop(hg_loop_timers(w->loop), &w->in.wait_timer);
    hg_watch_stop(w->loop, &w->in.wake);
    hg_ring_walker_fini(&w->in.walker);
    free(w->in.next), w->in.next = NULL;
    free(w->in.resets), w->in.resets = NULL;
}
