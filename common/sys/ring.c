/*
 * The rings between siblings. ring.h has the rules; here is where each is kept:
 *
 *   append -> fence -> interest -> meant      hg_ring_append
 *   flag -> tail -> overwrite                 make_room, flag_hole; put_words
 *   copy -> fence -> tail, holes -> use       walk_record, look
 *   publish the cursors before any interest   hg_ring_walker_init
 *
 * The one writer of a ring moves head and tail; a reader moves its own cursor. Nothing here waits
 * for anybody.
 */
#include "common/sys/ring.h"

#include <stdlib.h>

/* The tests compile this file with a body for it: a place where they yield, spin or die. */
#ifndef HG_RING_POINT
#define HG_RING_POINT() ((void)0)
#endif

enum { HEAD_WORDS = sizeof(struct hg_rec) / 8, MEANT_WORD = offsetof(struct hg_rec, meant) / 8 };
_Static_assert(sizeof(struct hg_rec) == 64 && offsetof(struct hg_rec, meant) % 8 == 0, "words");
_Static_assert(HG_SEAT_WORDS * 64 == HG_MAX_SEATS, "one bit per seat");

#ifdef __has_feature
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* ThreadSanitizer does not know fences: it gets the same order from a locked instruction. */
static inline void full_fence(void)
{
#if defined(__SANITIZE_THREAD__)
    static _Atomic int dummy;
    atomic_fetch_add(&dummy, 0);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static inline void acquire_fence(void)
{
#if defined(__SANITIZE_THREAD__)
    full_fence();
#else
    atomic_thread_fence(memory_order_acquire);
#endif
}

/* ---- words ---- */

static _Atomic uint64_t *word_at(struct hg_host *h, uint32_t seat, uint64_t pos)
{
    return (_Atomic uint64_t *)(void *)(hg_host_ring_data(h, seat) + (pos & (h->ring_size - 1)));
}

static void put_words(_Atomic uint64_t *to, const void *from, size_t words)
{
    const unsigned char *p = from;
    for (size_t i = 0; i < words; i++) {
        uint64_t w;
        memcpy(&w, p + i * 8, 8);
        atomic_store_explicit(to + i, w, memory_order_relaxed);
    }
}

static void get_words(uint64_t *to, _Atomic uint64_t *from, size_t words)
{
    for (size_t i = 0; i < words; i++)
        to[i] = atomic_load_explicit(from + i, memory_order_relaxed);
}

static size_t words_of(size_t bytes)
{
    return (bytes + 7) / 8;
}

/* Returns where the next run of bytes goes. */
static _Atomic uint64_t *put_bytes(_Atomic uint64_t *to, struct hg_slice s)
{
    put_words(to, s.p, s.n / 8);
    if (s.n % 8) {
        uint64_t last = 0;
        memcpy(&last, s.p + s.n / 8 * 8, s.n % 8);
        atomic_store_explicit(to + s.n / 8, last, memory_order_relaxed);
    }
    return to + words_of(s.n);
}

static uint64_t rec_len(size_t key, size_t body)
{
    return sizeof(struct hg_rec) + 8 * (words_of(key) + words_of(body));
}

/* Bytes from pos to the end of the ring. */
static uint64_t room_at(const struct hg_host *h, uint64_t pos)
{
    return h->ring_size - (pos & (h->ring_size - 1));
}

/* Copies the head of the record at pos; where none fits before the end of the ring it is a PAD
 * without bytes. */
static void copy_head(struct hg_host *h, uint32_t seat, uint64_t pos, struct hg_rec *rec)
{
    uint64_t words[HEAD_WORDS];
    uint64_t room = room_at(h, pos);
    if (room < sizeof *rec) {
        *rec = (struct hg_rec){.len = (uint32_t)room, .kind = HG_REC_PAD};
        return;
    }
    get_words(words, word_at(h, seat, pos), HEAD_WORDS);
    memcpy(rec, words, sizeof *rec);
}

/* What a writer of this version can have written at pos. Anything else is a sibling that wrote
 * where it should not. */
static bool is_sound(const struct hg_host *h, uint64_t pos, const struct hg_rec *rec)
{
    if (rec->len == 0 || rec->len % 8 || rec->len > room_at(h, pos))
        return false;
    return rec->kind == HG_REC_PAD ||
           (rec->kind <= HG_REC_PART_RESET && rec->len <= h->ring_size / 8 &&
            rec->len == rec_len(rec->key_len, rec->body_len));
}

/* ---- seats ---- */

static bool is_living(struct hg_host *h, uint32_t seat)
{
    uint32_t s = atomic_load_explicit(&h->seats[seat].state, memory_order_acquire);
    return s == HG_SEAT_STARTING || s == HG_SEAT_SERVING || s == HG_SEAT_DRAINING;
}

static struct hg_ring_hdr *ring_of(struct hg_host *h, uint32_t seat)
{
    return &h->seats[seat].ring;
}

/* Has reader something to read in seat's ring before end? A seat without a worker never has. */
static bool is_behind(struct hg_host *h, uint32_t seat, uint32_t reader, uint64_t end)
{
    if (reader == seat || !is_living(h, reader))
        return false;
    return atomic_load_explicit(&ring_of(h, seat)->readers[reader].cursor, memory_order_acquire) <
           end;
}

static bool next_bit(uint64_t words[HG_SEAT_WORDS], uint32_t *seat)
{
    for (uint32_t w = 0; w < HG_SEAT_WORDS; w++) {
        if (words[w] == 0)
            continue;
        *seat = w * 64 + (uint32_t)__builtin_ctzll(words[w]);
        words[w] &= words[w] - 1;
        return true;
    }
    return false;
}

/* Of rule 3: bits, then the flag of this ring, then the one the reader looks at. rec NULL: any
 * room. */
static void flag_hole(struct hg_host *h, uint32_t seat, uint32_t reader, const struct hg_rec *rec)
{
    struct hg_reader *r = &ring_of(h, seat)->readers[reader];
    if (rec && rec->kind != HG_REC_PART_RESET) {
        uint32_t bit = (uint32_t)(rec->hash % HG_HOLE_BITS);
        atomic_fetch_or(&r->hole_bits[bit / 64], UINT64_C(1) << bit % 64);
    } else {
        for (unsigned i = 0; i < HG_HOLE_BITS / 64; i++)
            atomic_store(&r->hole_bits[i], UINT64_MAX);
    }
    HG_RING_POINT();
    atomic_store(&r->hole, 1);
    HG_RING_POINT();
    atomic_store(&h->seats[reader].holes, 1);
    HG_RING_POINT();
}

/* ---- writer ---- */

/* The old records in the way of an append, as far as somebody living has not read what was meant
 * for him. */
struct lap {
    struct hg_ring_writer *rw;
    bool flag; /* flag what is lost; else remember who is to be woken */
    unsigned lost;
};

static void lap_record(struct lap *lap, uint64_t pos, const struct hg_rec *rec)
{
    struct hg_ring_writer *rw = lap->rw;
    uint64_t left[HG_SEAT_WORDS];
    uint32_t reader;
    if (rec->kind == HG_REC_PAD || rec->kind == HG_REC_MARK)
        return;
    memcpy(left, rec->meant, sizeof left);
    while (next_bit(left, &reader)) {
        if (reader >= rw->host->nseats || !is_behind(rw->host, rw->seat, reader, pos + 1))
            continue;
        lap->lost++;
        if (lap->flag)
            flag_hole(rw->host, rw->seat, reader, rec);
        else
            rw->wake[reader / 64] |= UINT64_C(1) << reader % 64;
    }
}

/* Walks the records from tail until least bytes have been passed; returns where that is. */
static uint64_t lap_until(struct lap *lap, uint64_t tail, uint64_t head, uint64_t least)
{
    struct hg_rec rec;
    while (tail < least && tail < head) {
        copy_head(lap->rw->host, lap->rw->seat, tail, &rec);
        HG_BUG_ON(!is_sound(lap->rw->host, tail, &rec));
        lap_record(lap, tail, &rec);
        tail += rec.len;
    }
    return tail;
}

/* Moves the tail so that [head, end) may be written. Returns holes made, or -HG_E_AGAIN without
 * force. */
static int make_room(struct hg_ring_writer *rw, uint64_t end, bool force)
{
    struct hg_ring_hdr *ring = ring_of(rw->host, rw->seat);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (end - tail <= rw->host->ring_size)
        return 0;
    struct lap lap = {.rw = rw, .flag = force};
    uint64_t to = lap_until(&lap, tail, head, end - rw->host->ring_size);
    if (lap.lost && !force)
        return -HG_E_AGAIN;
    HG_RING_POINT();
    atomic_store_explicit(&ring->tail, to, memory_order_release);
    full_fence(); /* the new tail is seen by whoever sees a word of what overwrites the old */
    HG_RING_POINT();
    return (int)lap.lost;
}

/* Who is registered for the record's room now. Read after the record is there: who registers later
 * meets it in his walk. */
static void read_interest(struct hg_ring_writer *rw, struct hg_rec *rec)
{
    _Atomic uint64_t *bits = rw->host->interest[hg_interest_bucket(rec->hash)];
    for (uint32_t w = 0; w < HG_SEAT_WORDS; w++) {
        if (rec->kind == HG_REC_PART_RESET)
            rec->meant[w] = UINT64_MAX;
        else if (rec->kind != HG_REC_MARK)
            rec->meant[w] = atomic_load_explicit(&bits[w], memory_order_relaxed);
    }
    rec->meant[rw->seat / 64] &= ~(UINT64_C(1) << rw->seat % 64);
}

static void write_pad(struct hg_host *h, uint32_t seat, uint64_t pos, uint64_t len)
{
    struct hg_rec pad = {.len = (uint32_t)len, .kind = HG_REC_PAD};
    if (len >= sizeof pad)
        put_words(word_at(h, seat, pos), &pad, HEAD_WORDS);
}

int hg_ring_append(struct hg_ring_writer *rw, struct hg_rec *rec, struct hg_slice key,
                   struct hg_slice body, bool force)
{
    struct hg_host *h = rw->host;
    struct hg_ring_hdr *ring = ring_of(h, rw->seat);
    if (key.n > UINT16_MAX || body.n > h->ring_size / 8 ||
        rec_len(key.n, body.n) > h->ring_size / 8)
        return -HG_E_TOO_BIG;
    uint64_t at = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t len = rec_len(key.n, body.n);
    uint64_t pad = room_at(h, at) < len ? room_at(h, at) : 0;
    int holes = make_room(rw, at + pad + len, force);
    if (holes < 0)
        return holes;
    if (pad)
        write_pad(h, rw->seat, at, pad);
    rec->len = (uint32_t)len;
    rec->key_len = (uint16_t)key.n;
    rec->body_len = (uint32_t)body.n;
    memset(rec->meant, 0, sizeof rec->meant);
    _Atomic uint64_t *to = word_at(h, rw->seat, at + pad);
    put_words(to, rec, HEAD_WORDS);
    HG_RING_POINT();
    put_bytes(put_bytes(to + HEAD_WORDS, key), body);
    HG_RING_POINT();
    atomic_store_explicit(&ring->head, at + pad + len, memory_order_release);
    full_fence();
    HG_RING_POINT();
    read_interest(rw, rec);
    put_words(to + MEANT_WORD, rec->meant, HG_SEAT_WORDS);
    HG_RING_POINT();
    atomic_store_explicit(&ring->seq, atomic_load_explicit(&ring->seq, memory_order_relaxed) + 1,
                          memory_order_release);
    for (uint32_t w = 0; w < HG_SEAT_WORDS; w++)
        rw->wake[w] |= rec->meant[w];
    return holes;
}

/* A former writer scribbled over the ring (a killed one cannot have): nobody finds anything in it
 * any more. */
static void empty_broken(struct hg_host *h, uint32_t seat)
{
    struct hg_ring_hdr *ring = ring_of(h, seat);
    for (uint32_t r = 0; r < h->nseats; r++)
        if (r != seat)
            flag_hole(h, seat, r, NULL);
    atomic_store(&ring->tail, atomic_load(&ring->head));
}

void hg_ring_writer_init(struct hg_ring_writer *rw, struct hg_host *h, uint32_t seat)
{
    static const uint64_t all[HG_SEAT_WORDS] = {UINT64_MAX, UINT64_MAX};
    struct hg_ring_hdr *ring = ring_of(h, seat);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t pos = atomic_load_explicit(&ring->tail, memory_order_acquire);
    struct hg_rec rec;
    *rw = (struct hg_ring_writer){.host = h, .seat = seat, .turn_start = head};
    for (; pos < head; pos += rec.len) {
        copy_head(h, seat, pos, &rec);
        if (!is_sound(h, pos, &rec)) {
            empty_broken(h, seat);
            return;
        }
        if (rec.kind != HG_REC_PAD)
            put_words(word_at(h, seat, pos) + MEANT_WORD, all, HG_SEAT_WORDS);
    }
}

bool hg_ring_turn_is_full(const struct hg_ring_writer *rw)
{
    uint64_t head = atomic_load_explicit(&ring_of(rw->host, rw->seat)->head, memory_order_relaxed);
    return head - rw->turn_start >= rw->host->ring_size / 4;
}

unsigned hg_ring_flush_wakes(struct hg_ring_writer *rw)
{
    struct hg_host *h = rw->host;
    uint64_t head = atomic_load_explicit(&ring_of(h, rw->seat)->head, memory_order_relaxed);
    uint64_t quarter =
        head > h->ring_size / 4 && head != rw->turn_start ? head - h->ring_size / 4 + 1 : 0;
    unsigned woken = 0;
    for (uint32_t s = 0; s < h->nseats; s++) {
        bool meant = rw->wake[s / 64] >> s % 64 & 1;
        if (!is_behind(h, rw->seat, s, meant ? head : quarter))
            continue;
        hg_host_wake(h, s);
        woken++;
    }
    memset(rw->wake, 0, sizeof rw->wake);
    rw->turn_start = head;
    return woken;
}

/* ---- reader ---- */

void hg_ring_walker_init(struct hg_ring_walker *wk, struct hg_host *h, uint32_t seat,
                         const struct hg_ring_ops *ops, void *ctx)
{
    *wk = (struct hg_ring_walker){.host = h, .seat = seat, .ops = ops, .ctx = ctx};
    wk->copy = hg_malloc(h->ring_size / 8);
    /* Holes were a former sitter's. */
    atomic_store(&h->seats[seat].holes, 0);
    for (uint32_t s = 0; s < h->nseats; s++) {
        struct hg_reader *r = &ring_of(h, s)->readers[seat];
        atomic_store(&r->hole, 0);
        for (unsigned i = 0; i < HG_HOLE_BITS / 64; i++)
            atomic_store(&r->hole_bits[i], 0);
        /* The tail may move between load and store, over records not meant for us yet: no interest
         * is set before this has returned. Then the first walk jumps. Who sees our interest sees
         * the cursor too. */
        uint64_t tail = atomic_load(&ring_of(h, s)->tail);
        HG_RING_POINT();
        if (s != seat)
            atomic_store(&r->cursor, tail);
    }
    full_fence();
}

void hg_ring_walker_fini(struct hg_ring_walker *wk)
{
    free(wk->copy), wk->copy = NULL;
}

static void take_hole(struct hg_ring_walker *wk, uint32_t seat)
{
    struct hg_reader *r = &ring_of(wk->host, seat)->readers[wk->seat];
    uint64_t bits[HG_HOLE_BITS / 64], any = 0;
    if (!atomic_exchange(&r->hole, 0))
        return;
    for (unsigned i = 0; i < HG_HOLE_BITS / 64; i++) {
        bits[i] = atomic_exchange(&r->hole_bits[i], 0);
        any |= bits[i];
    }
    if (any) /* none: a flag that came while its bits were taken with the one before */
        wk->ops->hole(wk->ctx, seat, bits);
}

/* Tells of every hole flagged so far; true if there may have been one. */
static bool take_holes(struct hg_ring_walker *wk)
{
    if (HG_LIKELY(!atomic_load_explicit(&wk->host->seats[wk->seat].holes, memory_order_acquire)))
        return false;
    atomic_exchange(&wk->host->seats[wk->seat].holes, 0);
    for (uint32_t s = 0; s < wk->host->nseats; s++)
        if (s != wk->seat)
            take_hole(wk, s);
    return true;
}

enum look { LOOK_GOOD, LOOK_AGAIN, LOOK_LAPPED };

/* May what was copied from pos be used? tail first: who sees it moved over something meant for us
 * sees the hole too. */
static enum look look(struct hg_ring_walker *wk, struct hg_ring_hdr *ring, uint64_t pos)
{
    HG_RING_POINT();
    acquire_fence();
    bool lapped = atomic_load_explicit(&ring->tail, memory_order_acquire) > pos;
    HG_RING_POINT();
    if (take_holes(wk))
        return LOOK_AGAIN;
    return lapped ? LOOK_LAPPED : LOOK_GOOD;
}

static void move_cursor(struct hg_ring_walker *wk, struct hg_ring_hdr *ring, uint64_t to)
{
    atomic_store_explicit(&ring->readers[wk->seat].cursor, to, memory_order_release);
}

/* The verified record of a broken writer: nothing in this ring can be found any more up to its
 * head. */
static void skip_broken(struct hg_ring_walker *wk, uint32_t seat, struct hg_ring_hdr *ring)
{
    uint64_t bits[HG_HOLE_BITS / 64];
    memset(bits, 0xff, sizeof bits);
    move_cursor(wk, ring, atomic_load_explicit(&ring->head, memory_order_acquire));
    wk->ops->hole(wk->ctx, seat, bits);
}

/* The bytes of a record whose head was good. The cursor moves when they are ours, before they are
 * used: from here the writer may overwrite them. */
static enum look walk_body(struct hg_ring_walker *wk, uint32_t seat, uint64_t pos,
                           const struct hg_rec *rec)
{
    struct hg_ring_hdr *ring = ring_of(wk->host, seat);
    get_words(wk->copy, word_at(wk->host, seat, pos) + HEAD_WORDS, (rec->len - sizeof *rec) / 8);
    enum look l;
    /* A hole told here changes nothing about these bytes unless the tail has moved too. */
    do
        l = look(wk, ring, pos);
    while (l == LOOK_AGAIN);
    if (l != LOOK_GOOD)
        return l;
    move_cursor(wk, ring, pos + rec->len);
    wk->ops->record(wk->ctx, seat, rec, hg_slice_of(wk->copy, rec->key_len),
                    hg_slice_of(wk->copy + words_of(rec->key_len), rec->body_len));
    return l;
}

/* One step at the cursor; returns 1 if a record was walked. Whatever was copied is used only if
 * nothing happened to it. */
static unsigned walk_record(struct hg_ring_walker *wk, uint32_t seat, uint64_t pos)
{
    struct hg_ring_hdr *ring = ring_of(wk->host, seat);
    struct hg_rec rec;
    copy_head(wk->host, seat, pos, &rec);
    enum look l = look(wk, ring, pos);
    if (l == LOOK_GOOD && !is_sound(wk->host, pos, &rec)) {
        skip_broken(wk, seat, ring);
        return 0;
    }
    bool counts = l == LOOK_GOOD && rec.kind != HG_REC_PAD;
    if (counts && wk->ops->want(wk->ctx, seat, &rec))
        l = walk_body(wk, seat, pos, &rec);
    else if (l == LOOK_GOOD)
        move_cursor(wk, ring, pos + rec.len);
    if (l == LOOK_LAPPED)
        move_cursor(wk, ring, atomic_load_explicit(&ring->tail, memory_order_acquire));
    return counts;
}

/* To the head of the moment it began, unless the budget ends before. */
static uint64_t walk_ring(struct hg_ring_walker *wk, uint32_t seat, uint64_t budget)
{
    struct hg_ring_hdr *ring = ring_of(wk->host, seat);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t n = 0, pos;
    while (n < budget && (pos = atomic_load_explicit(&ring->readers[wk->seat].cursor,
                                                     memory_order_relaxed)) < head)
        n += walk_record(wk, seat, pos);
    return n;
}

uint64_t hg_ring_walk(struct hg_ring_walker *wk, uint64_t budget)
{
    uint64_t left = budget ? budget : UINT64_MAX, n = 0;
    uint32_t s = wk->next;
    HG_BUG_ON(wk->walking);
    wk->walking = true;
    take_holes(wk);
    for (uint32_t i = 0; i < wk->host->nseats && n < left; i++) {
        if (s != wk->seat)
            n += walk_ring(wk, s, left - n);
        s = (s + 1) % wk->host->nseats;
    }
    wk->next =
        s; /* not the ring in which the budget ended: a busy one must not starve the others */
    take_holes(wk);
    wk->walking = false;
    return n;
}

bool hg_ring_walk_pending(const struct hg_ring_walker *wk)
{
    struct hg_host *h = wk->host;
    if (atomic_load(&h->seats[wk->seat].holes))
        return true;
    for (uint32_t s = 0; s < h->nseats; s++)
        if (s != wk->seat && atomic_load(&ring_of(h, s)->readers[wk->seat].cursor) <
                                 atomic_load(&ring_of(h, s)->head))
            return true;
    return false;
}

/* ---- interest ---- */

void hg_interest_set(struct hg_host *h, uint32_t seat, uint64_t hash)
{
    atomic_fetch_or(&h->interest[hg_interest_bucket(hash)][seat / 64], UINT64_C(1) << seat % 64);
    full_fence(); /* before the walk reads any head */
}

void hg_interest_clear(struct hg_host *h, uint32_t seat, uint64_t hash)
{
    atomic_fetch_and(&h->interest[hg_interest_bucket(hash)][seat / 64],
                     ~(UINT64_C(1) << seat % 64));
}

/* ---- for the master ---- */

bool hg_ring_all_walked(struct hg_host *h, uint32_t seat)
{
    uint64_t head = atomic_load(&ring_of(h, seat)->head);
    for (uint32_t r = 0; r < h->nseats; r++)
        if (is_behind(h, seat, r, head))
            return false;
    return true;
}

unsigned hg_ring_flag_unwalked(struct hg_host *h, uint32_t seat)
{
    uint64_t head = atomic_load(&ring_of(h, seat)->head);
    unsigned n = 0;
    for (uint32_t r = 0; r < h->nseats; r++) {
        if (!is_behind(h, seat, r, head))
            continue;
        flag_hole(h, seat, r, NULL);
        n++;
    }
    return n;
}

void hg_ring_sweep_seat(struct hg_host *h, uint32_t seat)
{
    HG_BUG_ON(is_living(h, seat));
    uint64_t bit = UINT64_C(1) << seat % 64;
    for (uint32_t b = 0; b < HG_INTEREST_BUCKETS; b++) {
        if (atomic_load_explicit(&h->interest[b][seat / 64], memory_order_relaxed) & bit)
            atomic_fetch_and(&h->interest[b][seat / 64], ~bit);
        if (atomic_load_explicit(&h->queries[b][seat / 64], memory_order_relaxed) & bit)
            atomic_fetch_and(&h->queries[b][seat / 64], ~bit);
    }
    for (uint32_t s = 0; s < h->nseats; s++)
        atomic_store(&ring_of(h, s)->readers[seat].cursor, HG_CURSOR_NONE);
}
