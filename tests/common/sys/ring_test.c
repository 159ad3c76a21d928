/* The ring's rules one by one, in one process. Death and races: ring_torture_test.c,
 * ring_threads_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/base/err.h"
#include "common/sys/ring.h"

enum { RING = 4096, W = 0, R = 1, R2 = 2 }; /* a record of at most 512 bytes */

struct log { /* what a reader was given */
    int64_t offsets[4096];
    unsigned n, holes, wants;
    uint64_t bits[HG_HOLE_BITS / 64];
    char bytes[600];
    size_t nbytes, nkey;
    struct hg_rec rec;
    bool no;                       /* wants nothing */
    void (*in_want)(struct log *); /* what happens between head and bytes */
    struct rig *rig;
};

struct rig {
    struct hg_host *h;
    struct hg_ring_writer w;
    struct hg_ring_walker r;
    struct log log;
    int64_t next;
};

static bool on_want(void *ctx, uint32_t seat, const struct hg_rec *rec)
{
    struct log *log = ctx;
    assert_int_equal(seat, W);
    log->wants++;
    log->rec = *rec;
    if (log->in_want)
        log->in_want(log);
    return !log->no;
}

static void on_record(void *ctx, uint32_t seat, const struct hg_rec *rec, struct hg_slice key,
                      struct hg_slice body)
{
    struct log *log = ctx;
    (void)seat;
    log->offsets[log->n++] = rec->offset;
    log->nkey = key.n;
    log->nbytes = key.n + body.n;
    memcpy(log->bytes, key.p, key.n);
    memcpy(log->bytes + key.n, body.p, body.n);
}

static void on_hole(void *ctx, uint32_t seat, const uint64_t bits[HG_HOLE_BITS / 64])
{
    struct log *log = ctx;
    (void)seat;
    log->holes++;
    for (unsigned i = 0; i < HG_HOLE_BITS / 64; i++)
        log->bits[i] |= bits[i];
}

static const struct hg_ring_ops ops = {on_want, on_record, on_hole};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct hg_host_spec spec = {.nslots = 1, .nseats = 4, .ring_size = RING, .topics = "t"};
    const char *why;
    assert_int_equal(hg_host_new(&spec, &rig->h, &why), 0);
    for (uint32_t s = 0; s < 2; s++)
        atomic_store(&rig->h->seats[s].state, HG_SEAT_SERVING);
    hg_ring_writer_init(&rig->w, rig->h, W);
    hg_ring_walker_init(&rig->r, rig->h, R, &ops, &rig->log);
    rig->log.rig = rig;
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    hg_ring_walker_fini(&rig->r);
    hg_host_free(rig->h);
    free(rig);
    return 0;
}

/* A record of total bytes in the ring (72..512), with the next offset, of the room with this
 * hash. */
static int append(struct rig *rig, uint64_t hash, size_t total, bool force)
{
    static const char bytes[600];
    struct hg_rec rec = {.kind = HG_REC_DIFF, .offset = rig->next, .hash = hash};
    int rc = hg_ring_append(&rig->w, &rec, HG_SLICE_LIT("k"),
                            hg_slice_of(bytes, total - sizeof rec - 8), force);
    if (rc >= 0) {
        assert_int_equal(rec.len, total);
        rig->next++;
    }
    return rc;
}

static void append_ok(struct rig *rig, uint64_t hash, size_t total)
{
    assert_int_equal(append(rig, hash, total, false), 0);
}

static bool has_bit(struct rig *rig, uint64_t hash)
{
    return rig->log.bits[hash % HG_HOLE_BITS / 64] >> hash % 64 & 1;
}

static bool is_awake(struct rig *rig, uint32_t seat)
{
    struct pollfd p = {.fd = rig->h->wake_fd[seat], .events = POLLIN};
    uint64_t n;
    return poll(&p, 1, 0) == 1 && read(p.fd, &n, sizeof n) == sizeof n;
}

static uint64_t head_of(struct rig *rig)
{
    return atomic_load(&rig->h->seats[W].ring.head);
}

static struct hg_reader *reader(struct rig *rig, uint32_t seat)
{
    return &rig->h->seats[W].ring.readers[seat];
}

/* ---- records ---- */

static void test_bytes_come_through(void **state)
{
    struct rig *rig = *state;
    char text[450];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 31 + 1);
    for (size_t key = 0; key < 20; key++) {
        for (size_t body = 0; body < 400; body += 7) {
            struct hg_rec rec = {.kind = HG_REC_ROW,
                                 .part = 3,
                                 .offset = INT64_MAX - 1,
                                 .lsn = UINT64_MAX,
                                 .hash = 99,
                                 .stamp_ms = -5};
            assert_int_equal(hg_ring_append(&rig->w, &rec, hg_slice_of(text, key),
                                            hg_slice_of(text + key, body), false),
                             0);
            assert_int_equal(hg_ring_walk(&rig->r, 0), 1);
            assert_int_equal(rig->log.nkey, key);
            assert_int_equal(rig->log.nbytes, key + body);
            assert_memory_equal(rig->log.bytes, text, key + body);
            assert_memory_equal(&rig->log.rec, &rec, sizeof rec);
            rig->log.n = 0;
        }
    }
    assert_true(head_of(rig) > 20 * RING); /* it wrapped, with pads of many sizes */
    assert_int_equal(rig->log.holes, 0);
}

static void test_too_big(void **state)
{
    struct rig *rig = *state;
    static char big[70000];
    struct hg_rec rec = {.kind = HG_REC_DIFF};
    assert_int_equal(hg_ring_append(&rig->w, &rec, HG_SLICE_NONE, hg_slice_of(big, 448), false), 0);
    assert_int_equal(hg_ring_append(&rig->w, &rec, HG_SLICE_NONE, hg_slice_of(big, 449), true),
                     -HG_E_TOO_BIG);
    assert_int_equal(hg_ring_append(&rig->w, &rec, hg_slice_of(big, 65536), HG_SLICE_NONE, true),
                     -HG_E_TOO_BIG);
    assert_int_equal(
        hg_ring_append(&rig->w, &rec, HG_SLICE_NONE, hg_slice_of(big, SIZE_MAX - 8), true),
        -HG_E_TOO_BIG);
    assert_int_equal(rig->h->seats[W].ring.seq, 1);
}

/* Every distance to the end of the ring, so that pads of 0, 8 .. 504 bytes occur, those below a
 * head too. */
static void test_wrap_at_every_offset(void **state)
{
    struct rig *rig = *state;
    for (size_t total = 72; total <= 512; total += 8) {
        for (int i = 0; i < 100; i++) {
            append_ok(rig, 1, total);
            assert_int_equal(hg_ring_walk(&rig->r, 0), 1);
            assert_int_equal(rig->log.offsets[0], rig->next - 1);
            rig->log.n = 0;
        }
    }
    assert_int_equal(rig->log.holes, 0);
}

static void test_budget(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 10; i++)
        append_ok(rig, 1, 72);
    assert_int_equal(hg_ring_walk(&rig->r, 3), 3);
    assert_true(hg_ring_walk_pending(&rig->r));
    assert_int_equal(hg_ring_walk(&rig->r, 3), 3);
    assert_int_equal(hg_ring_walk(&rig->r, 0), 4);
    assert_false(hg_ring_walk_pending(&rig->r));
    assert_int_equal(rig->log.n, 10);
    assert_int_equal(rig->log.offsets[9], 9);
}

static void test_unwanted_heads_are_seen(void **state)
{
    struct rig *rig = *state;
    rig->log.no = true;
    append_ok(rig, 1, 100 / 8 * 8);
    append_ok(rig, 1, 72);
    assert_int_equal(hg_ring_walk(&rig->r, 0), 2);
    assert_int_equal(rig->log.wants, 2);
    assert_int_equal(rig->log.n, 0);
}

static void test_own_ring_is_skipped(void **state)
{
    struct rig *rig = *state;
    struct hg_ring_walker own;
    struct log log = {0};
    hg_ring_walker_init(&own, rig->h, W, &ops, &log);
    hg_interest_set(rig->h, W, 1);
    for (int i = 0; i < 200; i++)
        append_ok(rig, 1, 72); /* and the writer never waits for itself */
    assert_int_equal(hg_ring_walk(&own, 0), 0);
    assert_false(hg_ring_walk_pending(&own));
    hg_ring_flush_wakes(&rig->w);
    assert_false(is_awake(rig, W));
    hg_ring_walker_fini(&own);
}

/* ---- lapping ---- */

static void test_unmeant_is_lapped_freely(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 200; i++)
        append_ok(rig, 1, 72);
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 0);
    assert_true(rig->log.n > 40 && rig->log.n <= RING / 72);
    assert_int_equal(rig->log.offsets[rig->log.n - 1],
                     199); /* it jumped to the tail and found the rest */
    assert_int_equal(rig->log.offsets[0], 200 - rig->log.n);
}

static void test_meant_holds_the_writer(void **state)
{
    struct rig *rig = *state;
    int n = 0;
    hg_interest_set(rig->h, R, 5);
    append_ok(rig, 5, 72);
    while (append(rig, 6, 72, false) == 0)
        n++;
    assert_true(n >= RING / 72 - 2 && n <= RING / 72);
    uint64_t head = head_of(rig);
    assert_int_equal(append(rig, 6, 72, false), -HG_E_AGAIN);
    assert_int_equal(head_of(rig), head);
    assert_true(hg_ring_flush_wakes(&rig->w) == 1 && is_awake(rig, R));
    assert_int_equal(hg_ring_walk(&rig->r, 1),
                     1); /* the meant one read: now it goes, though the rest is unread */
    append_ok(rig, 6, 72);
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 0);
}

static void test_forced_lap_flags_the_room(void **state)
{
    struct rig *rig = *state;
    int holes = 0, rc;
    hg_interest_set(rig->h, R, 5);
    append_ok(rig, 5, 72);
    while ((rc = append(rig, 6, 72, true)) == 0 && rig->next < 200)
        ;
    holes += rc;
    assert_int_equal(holes, 1);
    assert_int_equal(append(rig, 6, 72, true), 0);
    assert_true(hg_ring_walk_pending(&rig->r));
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 1);
    assert_true(has_bit(rig, 5));
    assert_false(has_bit(rig, 6));
    assert_int_equal(rig->log.offsets[rig->log.n - 1], rig->next - 1);
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 1);
}

static void test_hole_before_everything(void **state)
{
    struct rig *rig = *state;
    hg_interest_set(rig->h, R, 5);
    for (int i = 0; i < 300; i++)
        assert_true(append(rig, 5, 72, true) >= 0);
    assert_int_equal(hg_ring_walk(&rig->r, 1), 1);
    assert_int_equal(rig->log.holes, 1);
    assert_int_equal(rig->log.n, 1);
    assert_true(rig->log.offsets[0] > 200);
}

static void lap_twice(struct log *log)
{
    log->in_want = NULL;
    for (int i = 0; i < 130; i++)
        assert_true(append(log->rig, 6, 72, true) >= 0);
}

/* The writer laps between the head and the bytes of the record that is being read. */
static void test_lapped_while_copying(void **state)
{
    struct rig *rig = *state;
    append_ok(rig, 6, 512);
    rig->log.in_want = lap_twice;
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 0);
    assert_int_equal(rig->log.n, 0); /* the tail is beyond the head this walk began with */
    hg_ring_walk(&rig->r, 0);
    assert_int_not_equal(rig->log.offsets[0], 0);
    assert_int_equal(rig->log.offsets[rig->log.n - 1], 130);
}

static void test_meant_lapped_while_copying(void **state)
{
    struct rig *rig = *state;
    hg_interest_set(rig->h, R, 6);
    append_ok(rig, 6, 512);
    rig->log.in_want = lap_twice;
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 1);
    assert_true(has_bit(rig, 6));
    assert_int_equal(rig->log.n, 0);
}

static void flag_from_elsewhere(struct log *log)
{
    log->in_want = NULL;
    hg_ring_flag_unwalked(log->rig->h, W);
}

static void test_hole_between_head_and_bytes(void **state)
{
    struct rig *rig = *state;
    append_ok(rig, 6, 72);
    rig->log.in_want = flag_from_elsewhere;
    assert_int_equal(hg_ring_walk(&rig->r, 0), 1);
    assert_int_equal(rig->log.holes, 1);
    assert_int_equal(rig->log.n, 1); /* the record itself is good */
}

static void append_kind(struct rig *rig, enum hg_rec_kind kind)
{
    struct hg_rec rec = {
        .kind = (uint16_t)kind, .part = UINT32_MAX, .offset = rig->next++, .hash = 5};
    assert_int_equal(hg_ring_append(&rig->w, &rec, HG_SLICE_NONE, HG_SLICE_NONE, false), 0);
}

static void test_marks_are_for_nobody(void **state)
{
    struct rig *rig = *state;
    hg_interest_set(rig->h, R, 5);
    for (int i = 0; i < 100; i++)
        append_kind(rig, HG_REC_MARK);
    hg_ring_writer_init(&rig->w, rig->h, W); /* "all unread is meant" is not for marks */
    for (int i = 0; i < 100; i++)
        append_kind(rig, HG_REC_MARK);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 1); /* only as one who is a quarter behind */
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 0);
    append_kind(rig, HG_REC_MARK);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 0);
}

static void test_part_reset_is_for_all(void **state)
{
    struct rig *rig = *state;
    append_kind(rig, HG_REC_PART_RESET);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 1);
    while (append(rig, 6, 72, false) == 0)
        ;
    assert_int_equal(append(rig, 6, 72, true), 1);
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 1);
    for (unsigned i = 0; i < HG_HOLE_BITS / 64; i++)
        assert_true(rig->log.bits[i] == UINT64_MAX);
}

/* ---- seats that come and go ---- */

static void test_dead_seats_hold_nobody(void **state)
{
    static const enum hg_seat_state dead[] = {HG_SEAT_DEAD, HG_SEAT_FREE};
    struct rig *rig = *state;
    hg_interest_set(rig->h, R, 5);
    for (size_t i = 0; i < HG_COUNTOF(dead); i++) {
        atomic_store(&rig->h->seats[R].state, dead[i]);
        for (int k = 0; k < 200; k++)
            append_ok(rig, 5, 72);
        assert_int_equal(hg_ring_flush_wakes(&rig->w), 0);
        assert_true(hg_ring_all_walked(rig->h, W));
        assert_int_equal(hg_ring_flag_unwalked(rig->h, W), 0);
    }
}

static void test_starting_and_draining_seats_read(void **state)
{
    static const enum hg_seat_state living[] = {HG_SEAT_STARTING, HG_SEAT_DRAINING};
    struct rig *rig = *state;
    hg_interest_set(rig->h, R, 5);
    for (size_t i = 0; i < HG_COUNTOF(living); i++) {
        atomic_store(&rig->h->seats[R].state, living[i]);
        append_ok(rig, 5, 72);
        assert_int_equal(hg_ring_flush_wakes(&rig->w), 1);
        while (append(rig, 6, 72, false) == 0)
            ;
        assert_int_equal(append(rig, 6, 72, false), -HG_E_AGAIN);
        hg_ring_walk(&rig->r, 0);
    }
}

static void test_sweep(void **state)
{
    struct rig *rig = *state;
    hg_interest_set(rig->h, R, 5);
    hg_interest_set(rig->h, R, UINT64_MAX);
    hg_interest_set(rig->h, R2, 5);
    append_ok(rig, 5, 72);
    atomic_store(&rig->h->seats[R].state, HG_SEAT_DEAD);
    hg_ring_sweep_seat(rig->h, R);
    assert_int_equal(rig->h->interest[5][0], 1u << R2);
    assert_int_equal(rig->h->interest[hg_interest_bucket(UINT64_MAX)][0], 0);
    /* A successor that has not come as far as its walker: nothing is unread for it. */
    atomic_store(&rig->h->seats[R].state, HG_SEAT_STARTING);
    assert_true(hg_ring_all_walked(rig->h, W));
    for (int i = 0; i < 200; i++)
        append_ok(rig, 6, 72);
}

static void test_new_reader_starts_at_the_tail(void **state)
{
    struct rig *rig = *state;
    struct hg_ring_walker wk;
    for (int i = 0; i < 200; i++)
        append_ok(rig, 6, 72);
    hg_ring_walk(&rig->r, 0);
    memset(&rig->log, 0, sizeof rig->log);
    hg_ring_flag_unwalked(rig->h, W);
    atomic_store(&reader(rig, R)->hole, 1); /* a former sitter's */
    atomic_store(&rig->h->seats[R].holes, 1);
    hg_ring_walker_init(&wk, rig->h, R, &ops, &rig->log);
    assert_false(hg_ring_all_walked(rig->h, W));
    hg_ring_walk(&wk, 0);
    assert_int_equal(rig->log.holes, 0);
    assert_true(rig->log.n > 40);
    assert_int_equal(rig->log.offsets[rig->log.n - 1], 199);
    hg_ring_walker_fini(&wk);
}

static void test_new_writer_takes_all_as_meant(void **state)
{
    struct rig *rig = *state;
    int rc;
    for (int i = 0; i < 20; i++)
        append_ok(rig, 7, 72); /* nobody registered */
    hg_ring_walk(&rig->r, 3);
    hg_ring_writer_init(&rig->w, rig->h, W);
    while ((rc = append(rig, 6, 72, false)) == 0)
        ;
    assert_int_equal(rc, -HG_E_AGAIN);
    assert_int_equal(append(rig, 6, 72, true), 1);
    hg_ring_walk(&rig->r, 0);
    assert_true(has_bit(rig, 7) && !has_bit(rig, 6));
}

static void test_new_writer_ignores_what_is_beyond_the_head(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 50; i++)
        append_ok(rig, 7, 72);
    hg_ring_walk(&rig->r, 0);
    /* Died in the midst of an append: tail moved, bytes half written. */
    uint64_t head = head_of(rig), tail = head - 30 * 72;
    atomic_store(&rig->h->seats[W].ring.tail, tail);
    for (uint64_t p = head; p < tail + RING; p++)
        hg_host_ring_data(rig->h, W)[p % RING] = 0xee;
    hg_ring_writer_init(&rig->w, rig->h, W);
    rig->log.n = 0;
    append_ok(rig, 7, 72);
    assert_int_equal(hg_ring_walk(&rig->r, 0), 1);
    assert_int_equal(rig->log.offsets[0], 50);
    assert_int_equal(rig->log.holes, 0);
}

static void scribble(struct rig *rig, uint64_t pos)
{
    memset(hg_host_ring_data(rig->h, W) + pos % RING, 0x5a, 16);
}

static void test_scribbled_ring_is_a_hole(void **state)
{
    struct rig *rig = *state;
    append_ok(rig, 7, 72);
    append_ok(rig, 7, 72);
    scribble(rig, 72);
    append_ok(rig, 7, 72);
    assert_int_equal(hg_ring_walk(&rig->r, 0), 1);
    assert_int_equal(rig->log.holes, 1);
    append_ok(rig, 7, 72);
    assert_int_equal(hg_ring_walk(&rig->r, 0), 1);
    assert_int_equal(rig->log.offsets[1], 3);
}

static void test_new_writer_empties_a_scribbled_ring(void **state)
{
    struct rig *rig = *state;
    append_ok(rig, 7, 72);
    append_ok(rig, 7, 72);
    scribble(rig, 72);
    hg_ring_writer_init(&rig->w, rig->h, W);
    append_ok(rig, 7, 72);
    assert_int_equal(hg_ring_walk(&rig->r, 0), 1);
    assert_int_equal(rig->log.holes, 1);
    assert_int_equal(rig->log.offsets[0], 2);
}

/* ---- interest and wakes ---- */

static void test_wakes_once_per_turn(void **state)
{
    struct rig *rig = *state;
    append_ok(rig, 5, 72);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 0);
    assert_false(is_awake(rig, R));
    hg_interest_set(rig->h, R, 5);
    append_ok(rig, 5, 72);
    append_ok(rig, 5, 72);
    assert_false(is_awake(rig, R));
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 1);
    assert_true(is_awake(rig, R));
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 0);
    hg_interest_clear(rig->h, R, 5);
    append_ok(rig, 5, 72);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 0);
}

static void test_who_has_read_is_not_woken(void **state)
{
    struct rig *rig = *state;
    hg_interest_set(rig->h, R, 5);
    append_ok(rig, 5, 72);
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 0);
}

static void test_a_quarter_behind_is_woken(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 8; i++)
        append_ok(rig, 5, 128);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 0); /* exactly a quarter */
    append_ok(rig, 5, 72);
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 1);
    assert_true(is_awake(rig, R));
    assert_int_equal(hg_ring_flush_wakes(&rig->w), 0); /* nothing new */
}

static void test_turn_is_full(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 7; i++)
        append_ok(rig, 5, 128);
    assert_false(hg_ring_turn_is_full(&rig->w));
    append_ok(rig, 5, 128);
    assert_true(hg_ring_turn_is_full(&rig->w));
    hg_ring_flush_wakes(&rig->w);
    assert_false(hg_ring_turn_is_full(&rig->w));
}

/* ---- the master's part ---- */

static void test_flag_unwalked(void **state)
{
    struct rig *rig = *state;
    append_ok(rig, 5, 72);
    assert_false(hg_ring_all_walked(rig->h, W));
    assert_int_equal(hg_ring_flag_unwalked(rig->h, W), 1);
    hg_ring_walk(&rig->r, 0);
    assert_int_equal(rig->log.holes, 1);
    assert_int_equal(rig->log.n, 1); /* what is still there is read all the same */
    assert_true(rig->log.bits[3] == UINT64_MAX);
    assert_true(hg_ring_all_walked(rig->h, W));
    assert_int_equal(hg_ring_flag_unwalked(rig->h, W), 0);
}

/* A hole in one ring is told before a record of another that was appended after it, whichever comes
 * first in the walk. */
static void test_hole_of_any_ring_comes_first(void **state)
{
    struct rig *rig = *state;
    atomic_store(&rig->h->seats[3].state, HG_SEAT_SERVING);
    append_ok(rig, 5, 72);
    atomic_store(&rig->h->seats[R].holes, 1);
    atomic_store(&rig->h->seats[3].ring.readers[R].hole_bits[2], 8);
    atomic_store(&rig->h->seats[3].ring.readers[R].hole, 1);
    hg_ring_walk(&rig->r, 1);
    assert_int_equal(rig->log.holes, 1);
    assert_int_equal(rig->log.bits[2], 8);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_bytes_come_through),
        T(test_too_big),
        T(test_wrap_at_every_offset),
        T(test_budget),
        T(test_unwanted_heads_are_seen),
        T(test_own_ring_is_skipped),
        T(test_unmeant_is_lapped_freely),
        T(test_meant_holds_the_writer),
        T(test_forced_lap_flags_the_room),
        T(test_hole_before_everything),
        T(test_lapped_while_copying),
        T(test_meant_lapped_while_copying),
        T(test_hole_between_head_and_bytes),
        T(test_marks_are_for_nobody),
        T(test_part_reset_is_for_all),
        T(test_dead_seats_hold_nobody),
        T(test_starting_and_draining_seats_read),
        T(test_sweep),
        T(test_new_reader_starts_at_the_tail),
        T(test_new_writer_takes_all_as_meant),
        T(test_new_writer_ignores_what_is_beyond_the_head),
        T(test_scribbled_ring_is_a_hole),
        T(test_new_writer_empties_a_scribbled_ring),
        T(test_wakes_once_per_turn),
        T(test_who_has_read_is_not_woken),
        T(test_a_quarter_behind_is_woken),
        T(test_turn_is_full),
        T(test_flag_unwalked),
        T(test_hole_of_any_ring_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
