/*
 * Kafka towards us: which partitions are read and from where, and the two message queues. See the
 * graph in kafka_priv.h. A partition is always started by begin() with an explicit offset;
 * librdkafka drops what an earlier start left in its queue, and the batch number in kpart.stale
 * drops what an earlier start left in ours.
 */
#include <stdlib.h>
#include "common/sys/log.h"
#include "worker/kafka_priv.h"

/* ---- small helpers ---- */

static uint32_t part_number(const struct ktopic *t, uint32_t i)
{
    return t->index * HG_TOPIC_PARTS + i;
}

static struct hg_part *stored(struct hg_kafka *k, const struct ktopic *t, uint32_t i)
{
    return &k->spec.host->parts[part_number(t, i)];
}

static bool is_reply(const struct ktopic *t)
{
    return t->index == UINT32_MAX;
}

static struct kbatch *batch_of(struct hg_kafka *k, const struct ktopic *t)
{
    return is_reply(t) ? &k->replies : &k->changes;
}

rd_kafka_topic_t *kafka_in_topic(struct hg_kafka *k, struct ktopic *t, const char *name)
{
    rd_kafka_topic_conf_t *c = rd_kafka_default_topic_conf_dup(k->cons);
    rd_kafka_topic_conf_set_opaque(c, t);
    t->rkt = rd_kafka_topic_new(k->cons, name, c);
    if (!t->rkt)
        rd_kafka_topic_conf_destroy(c);
    return t->rkt;
}

static void grow(struct ktopic *t, uint32_t count)
{
    if (count <= t->nparts)
        return;
    t->parts = hg_realloc(t->parts, count * sizeof *t->parts);
    memset(t->parts + t->nparts, 0, (count - t->nparts) * sizeof *t->parts);
    t->nparts = count;
}

/* ---- start and stop of one partition ---- */

static void halt(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    if (p->state != PART_OFF && p->state != PART_ASKING)
        (void)rd_kafka_consume_stop(t->rkt, (int32_t)i); /* fails only for what is not started */
    p->stale = batch_of(k, t)->number;
    p->state = PART_OFF;
    p->gen++;
}

static void begin(struct hg_kafka *k, struct ktopic *t, uint32_t i, int64_t offset,
                  enum kpart_state state)
{
    struct kpart *p = &t->parts[i];
    halt(k, t, i);
    if (rd_kafka_consume_start_queue(t->rkt, (int32_t)i, offset, batch_of(k, t)->q) != 0) {
        kafka_count_error(k, "kafka.start", rd_kafka_topic_name(t->rkt), rd_kafka_last_error(),
                          "partition not started");
        p->state = PART_ASKING; /* the tick tries again */
        p->asked = false;
        return;
    }
    p->state = (uint8_t)state;
    p->from = offset;
}

static void ask(struct hg_kafka *k, struct ktopic *t, uint32_t i, enum kpart_aim aim)
{
    struct kpart *p = &t->parts[i];
    halt(k, t, i);
    p->state = PART_ASKING;
    p->aim = (uint8_t)aim;
    p->asked = true;
    kafka_meta_ask(k, t, i, p->gen);
}

static void live_from(struct hg_kafka *k, struct ktopic *t, uint32_t i, int64_t next)
{
    begin(k, t, i, next, PART_LIVE);
    t->parts[i].aim = AIM_FIRST;
    t->parts[i].next = next;
    t->parts[i].eof = -1;
}

static void tell_position(struct hg_kafka *k, struct ktopic *t, uint32_t i, int64_t next)
{
    t->parts[i].next = next;
    k->spec.ev.on_position(k->spec.ev.ctx, part_number(t, i), next);
}

static struct kmark last_consumed(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    const struct hg_part *s = stored(k, t, i);
    int64_t next = atomic_load(&s->next);
    return (struct kmark){next - 1, next > 0 ? atomic_load(&s->stamp_ms) : 0};
}

static void verify(struct hg_kafka *k, struct ktopic *t, uint32_t i, int64_t next)
{
    begin(k, t, i, t->parts[i].mark[1].offset, PART_VERIFY);
    t->parts[i].next = next;
}

/* Goes on where somebody stopped. After the topic was away a record from before is looked at: is it
 * still the same log? */
static void take_over(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    int64_t next = atomic_load(&stored(k, t, i)->next);
    if (p->aim != AIM_LOST || p->mark[1].stamp == 0 || p->mark[1].offset >= next)
        p->mark[0] = p->mark[1] = last_consumed(k, t, i);
    if (p->aim == AIM_LOST && p->mark[1].stamp > 0) {
        verify(k, t, i, next);
        return;
    }
    live_from(k, t, i, next);
    tell_position(k, t, i, next);
}

static void take(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    const struct hg_topic *ht = &k->spec.host->topics[t->index];
    if (atomic_load(&stored(k, t, i)->known))
        take_over(k, t, i);
    else
        ask(k, t, i, i < atomic_load(&ht->start_count) ? AIM_LAST : AIM_FIRST);
}

/* ---- answers: where the log starts and ends ---- */

static void step_back(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    int64_t back = 2 * (p->hi - p->from);
    int64_t from = back > p->hi - p->lo ? p->lo : p->hi - back;
    begin(k, t, i, from, PART_SEEKING);
}

static void seek_last(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    if (p->hi <= p->lo) {
        live_from(k, t, i, p->hi);
        tell_position(k, t, i, p->hi);
        return;
    }
    p->found = false;
    begin(k, t, i, p->hi - 1, PART_SEEKING);
}

static void lost(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    hg_log(HG_LOG_DEBUG, NULL, "kafka.log_range",
           "topic=%s partition=%u position=%lld log_start=%lld log_end=%lld",
           rd_kafka_topic_name(t->rkt), i, (long long)atomic_load(&stored(k, t, i)->next),
           (long long)p->lo, (long long)p->hi); /* the loss itself is the callee's to log */
    live_from(k, t, i, p->lo);
    p->mark[0] = p->mark[1] = (struct kmark){0};
    k->spec.ev.on_position_lost(k->spec.ev.ctx, part_number(t, i), p->lo);
}

static void found_offsets(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    bool known = !is_reply(t) && atomic_load(&stored(k, t, i)->known);
    if (is_reply(t))
        live_from(k, t, i, p->hi);
    else if (known && (p->next < p->lo || p->next > p->hi))
        lost(k, t, i);
    else if (known)
        live_from(k, t, i, p->next); /* it is there after all */
    else if (p->aim == AIM_LAST)
        seek_last(k, t, i);
    else {
        live_from(k, t, i, p->lo);
        tell_position(k, t, i, p->lo);
    }
}

void kafka_in_offsets(struct hg_kafka *k, const struct kresult *r)
{
    struct ktopic *t = r->topic == UINT32_MAX ? &k->reply : &k->topics[r->topic];
    struct kpart *p = r->part < t->nparts ? &t->parts[r->part] : NULL;
    if (!p || p->state != PART_ASKING || p->gen != r->gen)
        return;
    p->asked = false;
    if (r->err) {
        kafka_count_error(k, "kafka.offsets", rd_kafka_topic_name(t->rkt),
                          (rd_kafka_resp_err_t)r->err,
                          "start and end of a partition not learned yet");
        return; /* the tick asks again */
    }
    p->lo = r->lo;
    p->hi = HG_MAX(r->hi, r->lo);
    found_offsets(k, t, r->part);
    if (is_reply(t))
        kafka_tell_state(k);
}

/* ---- messages ---- */

bool hg_kafka_record_header(const struct hg_kafka_record *r, const char *const *names,
                            struct hg_slice *value)
{
    rd_kafka_headers_t *h;
    if (rd_kafka_message_headers((const rd_kafka_message_t *)r->impl, &h) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    for (; *names; names++) {
        const void *v;
        size_t n;
        if (rd_kafka_header_get(h, 0, *names, &v, &n) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            *value = hg_slice_of(v, n);
            return true;
        }
    }
    return false;
}

static struct hg_kafka_record record_of(const struct ktopic *t, const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t stamp = rd_kafka_message_timestamp(m, &type);
    return (struct hg_kafka_record){
        .topic = t->index,
        .part = is_reply(t) ? UINT32_MAX : part_number(t, (uint32_t)m->partition),
        .offset = m->offset,
        .stamp_ms = stamp > 0 ? stamp : 0,
        .key = hg_slice_of(m->key, m->key ? m->key_len : 0),
        .value = hg_slice_of(m->payload, m->payload ? m->len : 0),
        .impl = m,
    };
}

static bool hand_on(struct hg_kafka *k, struct ktopic *t, struct kpart *p,
                    const rd_kafka_message_t *m, bool is_last)
{
    if (m->offset < p->next && !is_last)
        return true; /* each record once, whatever librdkafka does */
    struct hg_kafka_record r = record_of(t, m);
    r.is_last_at_start = is_last;
    uint32_t i = (uint32_t)m->partition;
    if (!k->spec.ev.on_record(k->spec.ev.ctx, &r))
        return false;
    p = &t->parts[i]; /* the callback may have seen partitions come */
    if (!is_last)
        p->next = m->offset + 1;
    return true;
}

/* After a callback, which may have given the partition away. */
static bool hand_on_live(struct hg_kafka *k, struct ktopic *t, const rd_kafka_message_t *m)
{
    struct kpart *p = &t->parts[m->partition];
    return p->state != PART_LIVE || hand_on(k, t, p, m, false);
}

/* The end that was there at the start is reached (offset is at or past it). */
static bool seek_is_over(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    if (!p->found && p->from > p->lo) {
        step_back(k, t, i);
        return false;
    }
    p->state = PART_LIVE;
    p->eof = -1;
    tell_position(k, t, i, p->hi);
    return true;
}

static bool seeking(struct hg_kafka *k, struct ktopic *t, struct kpart *p,
                    const rd_kafka_message_t *m)
{
    if (m->offset < p->hi) {
        p->found = true;
        return hand_on(k, t, p, m, true);
    }
    if (!seek_is_over(k, t, (uint32_t)m->partition))
        return true;
    return hand_on_live(k, t, m);
}

static void verified(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    bool starts = p->aim == AIM_LOST; /* otherwise it was being read all along */
    p->state = PART_LIVE;
    p->aim = AIM_FIRST;
    p->eof = -1;
    if (starts)
        tell_position(k, t, i, p->next);
}

/* A log made anew can be longer than the old one; then the time stamp of a record from before gives
 * it away. */
static bool verifying(struct hg_kafka *k, struct ktopic *t, struct kpart *p,
                      const rd_kafka_message_t *m)
{
    uint32_t i = (uint32_t)m->partition;
    if (m->offset == p->mark[1].offset && record_of(t, m).stamp_ms != p->mark[1].stamp) {
        p->next = INT64_MAX; /* above every end: lost for certain */
        ask(k, t, i, AIM_LOST);
        return true;
    }
    verified(k, t, i);
    return hand_on_live(k, t, m);
}

static void at_end(struct hg_kafka *k, struct ktopic *t, uint32_t i, int64_t end)
{
    struct kpart *p = &t->parts[i];
    if (p->state == PART_SEEKING && end >= p->hi)
        (void)seek_is_over(k, t, i);
    else if (p->state == PART_VERIFY && end < p->next)
        ask(k, t, i, AIM_LOST);
    else if (p->state == PART_VERIFY)
        verified(k, t, i);
    if (t->parts[i].state == PART_LIVE)
        t->parts[i].eof = end;
}

static void gone(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    if (is_reply(t)) /* made anew: nothing in it can be older than the loss. A shared one goes on at
                        its end. */
        live_from(k, t, i, k->reply_is_own ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END);
    else
        ask(k, t, i, p->state == PART_SEEKING ? (enum kpart_aim)p->aim : AIM_LOST);
}

static void on_error(struct hg_kafka *k, struct ktopic *t, const rd_kafka_message_t *m)
{
    uint32_t i = (uint32_t)m->partition;
    switch (m->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        at_end(k, t, i, m->offset);
        return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        gone(k, t, i);
        break;
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        kafka_meta_kick(k);
        break;
    default: /* librdkafka goes on by itself */
        break;
    }
    kafka_count_error(k, "kafka.consume", rd_kafka_topic_name(t->rkt), m->err,
                      rd_kafka_message_errstr(m));
}

/* False: keep it, offer it again. */
static bool dispatch(struct hg_kafka *k, struct kbatch *b, const rd_kafka_message_t *m)
{
    if (!m->rkt) {
        kafka_count_error(k, "kafka.consume", "", m->err, rd_kafka_message_errstr(m));
        return true;
    }
    struct ktopic *t = rd_kafka_topic_opaque(m->rkt);
    struct kpart *p =
        m->partition >= 0 && (uint32_t)m->partition < t->nparts ? &t->parts[m->partition] : NULL;
    if (!p || p->stale >= b->number || p->state == PART_OFF || p->state == PART_ASKING)
        return true;
    if (m->err) {
        on_error(k, t, m);
        return true;
    }
    if (is_reply(t)) {
        struct hg_kafka_record r = record_of(t, m);
        k->spec.ev.on_reply(k->spec.ev.ctx, &r);
        return true;
    }
    if (p->state == PART_SEEKING)
        return seeking(k, t, p, m);
    if (p->state == PART_VERIFY)
        return verifying(k, t, p, m);
    return hand_on(k, t, p, m, false);
}

/* ---- queues ---- */

static bool refill(struct kbatch *b)
{
    ssize_t n = rd_kafka_consume_batch_queue(b->q, 0, b->m, KAFKA_BATCH);
    b->i = 0;
    b->n = n > 0 ? (unsigned)n : 0;
    b->number++;
    return b->n > 0;
}

/* Until empty, refused, or the budget is used up; true: there may be more, come back next turn. */
static bool drain(struct hg_kafka *k, struct kbatch *b, bool can_refuse)
{
    for (unsigned done = 0; done < KAFKA_BUDGET; done++) {
        if (can_refuse && (k->paused || k->blocked))
            return false;
        if (b->i == b->n && !refill(b))
            return false;
        if (!dispatch(k, b, b->m[b->i])) {
            k->blocked = true;
            return false;
        }
        rd_kafka_message_destroy(b->m[b->i++]);
    }
    return true;
}

void kafka_in_serve(struct hg_kafka *k)
{
    bool more = drain(k, &k->replies, false);
    more = drain(k, &k->changes, true) || more;
    if (more)
        kafka_wake(k);
}

static void empty(struct kbatch *b)
{
    while (b->i < b->n)
        rd_kafka_message_destroy(b->m[b->i++]);
}

/* ---- which partitions ---- */

static void count_held(struct hg_kafka *k)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < k->spec.host->ntopics; t++)
        for (uint32_t i = 0; i < k->topics[t].nparts; i++)
            n += k->topics[t].parts[i].state != PART_OFF;
    k->held = n;
    HG_SET(k->spec.metrics, partitions, n);
    atomic_store(&k->spec.host->seats[k->spec.seat].nparts, n);
}

static void apply_topic(struct hg_kafka *k, struct ktopic *t)
{
    for (uint32_t i = 0; i < t->nparts; i++) {
        bool want = !t->gone && hg_host_holds(k->spec.host, k->spec.seat, part_number(t, i));
        bool have = t->parts[i].state != PART_OFF;
        if (want && !have)
            take(k, t, i);
        else if (!want && have)
            halt(k, t, i);
    }
}

void hg_kafka_changes_apply(struct hg_kafka *k)
{
    for (uint32_t t = 0; t < k->spec.host->ntopics; t++)
        apply_topic(k, &k->topics[t]);
    count_held(k);
}

/* A topic that is away is not read; when it is back each partition looks whether it is still the
 * same log. */
static void note_presence(struct hg_kafka *k, struct ktopic *t, uint32_t count)
{
    if (count == 0 && t->nparts > 0 && !t->gone) {
        hg_log(HG_LOG_WARN, NULL, "kafka.topic_gone", "topic=%s", rd_kafka_topic_name(t->rkt));
        HG_INC(k->spec.metrics, kafka_errors);
        t->gone = true;
    } else if (count > 0 && t->gone) {
        hg_log(HG_LOG_WARN, NULL, "kafka.topic_back", "topic=%s partitions=%u",
               rd_kafka_topic_name(t->rkt), count);
        t->gone = false;
        for (uint32_t i = 0; i < t->nparts; i++)
            t->parts[i].aim = AIM_LOST;
    }
}

void kafka_in_topic_count(struct hg_kafka *k, uint32_t topic, uint32_t count)
{
    struct ktopic *t = &k->topics[topic];
    bool was_gone = t->gone;
    if (count > HG_TOPIC_PARTS) {
        hg_log_limited(HG_LOG_ERROR, NULL, "kafka.too_many_partitions",
                       "topic=%s partitions=%u read=%d", rd_kafka_topic_name(t->rkt), count,
                       HG_TOPIC_PARTS);
        count = HG_TOPIC_PARTS;
    }
    note_presence(k, t, count);
    hg_host_topic_seen(k->spec.host, topic, count);
    if (count <= t->nparts && was_gone == t->gone)
        return;
    grow(t, count);
    apply_topic(k, t);
    count_held(k);
}

/* ---- replies ---- */

static void stop_replies(struct hg_kafka *k)
{
    for (uint32_t i = 0; i < k->reply.nparts; i++)
        halt(k, &k->reply, i);
}

void kafka_in_reply_count(struct hg_kafka *k, uint32_t count)
{
    if (count == 0)
        stop_replies(k);
    grow(&k->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        if (k->reply.parts[i].state != PART_OFF)
            continue;
        if (k->reply_is_own)
            live_from(k, &k->reply, i,
                      0); /* nobody knew its name before us: nothing in it is too old */
        else
            ask(k, &k->reply, i, AIM_FIRST);
    }
    kafka_tell_state(k);
}

/* ---- lag ---- */

static void ask_again(struct hg_kafka *k, struct ktopic *t)
{
    for (uint32_t i = 0; i < t->nparts; i++)
        if (t->parts[i].state == PART_ASKING && !t->parts[i].asked)
            ask(k, t, i, (enum kpart_aim)t->parts[i].aim);
}

/* Ends come with each fetch answer. eof counts as consumed: the tail may be transaction markers
 * only. */
static int64_t part_lag(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    int64_t lo, hi;
    if (p->state == PART_OFF || p->state == PART_ASKING)
        return 0;
    if (rd_kafka_get_watermark_offsets(k->cons, rd_kafka_topic_name(t->rkt), (int32_t)i, &lo,
                                       &hi) ||
        hi < 0)
        return 0;
    atomic_store(&stored(k, t, i)->end, hi);
    int64_t at = HG_MAX(p->next, p->eof);
    return p->state == PART_LIVE && hi > at ? hi - at : 0;
}

static void renew_mark(struct hg_kafka *k, struct ktopic *t, uint32_t i)
{
    struct kpart *p = &t->parts[i];
    if (p->state != PART_LIVE || p->next != atomic_load(&stored(k, t, i)->next))
        return;
    p->mark[1] = p->mark[0];
    p->mark[0] = last_consumed(k, t, i);
}

/* A position was lost somewhere on this host. If the topic was made anew, a partition of it whose
 * new log is already longer than our position would go on in the middle, and nothing would tell. */
static void suspect(struct hg_kafka *k, struct ktopic *t)
{
    uint64_t resets = 0;
    for (uint32_t i = 0; i < t->nparts; i++)
        resets += atomic_load(&stored(k, t, i)->resets);
    for (uint32_t i = 0; resets != t->resets && i < t->nparts; i++) {
        struct kpart *p = &t->parts[i];
        if (p->state == PART_LIVE && p->mark[1].stamp > 0 && p->mark[1].offset < p->next)
            verify(k, t, i, p->next);
    }
    t->resets = resets;
}

static void look_after(struct hg_kafka *k, struct ktopic *t)
{
    suspect(k, t);
    ask_again(k, t);
    for (uint32_t i = 0; k->ticks % KAFKA_MARK_TICKS == 0 && i < t->nparts; i++)
        renew_mark(k, t, i);
}

void kafka_in_tick(struct hg_kafka *k)
{
    int64_t records = 0, oldest_ms = 0, now = hg_wall_ms();
    for (uint32_t t = 0; t < k->spec.host->ntopics; t++) {
        look_after(k, &k->topics[t]);
        for (uint32_t i = 0; i < k->topics[t].nparts; i++) {
            int64_t lag = part_lag(k, &k->topics[t], i);
            int64_t stamp = atomic_load(&stored(k, &k->topics[t], i)->stamp_ms);
            records += lag;
            if (lag > 0 && stamp > 0)
                oldest_ms = HG_MAX(oldest_ms, now - stamp);
        }
    }
    ask_again(k, &k->reply);
    k->ticks++;
    HG_SET(k->spec.metrics, lag_records, records);
    HG_SET(k->spec.metrics, lag_ms, oldest_ms);
}

void kafka_in_stop_all(struct hg_kafka *k)
{
    for (uint32_t t = 0; t < k->spec.host->ntopics; t++)
        for (uint32_t i = 0; i < k->topics[t].nparts; i++)
            halt(k, &k->topics[t], i);
    stop_replies(k);
    empty(&k->changes);
    empty(&k->replies);
}
