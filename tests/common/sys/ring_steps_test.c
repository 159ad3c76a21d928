/*
 * Every single interruption of the ring's steps, one after the other: at the n-th point inside an
 * append the reader walks or joins, or the writer dies; at the n-th point inside a walk the writer
 * appends, laps, or dies. After each: nothing meant is lost untold. The torture test does this at
 * random and with real processes; here no interleaving of this kind can be missed.
 */
static void point(void);
#define HG_RING_POINT point
#include "common/sys/ring.c"
#include "tests/common/sys/ring_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { WRITER = 0, READER = 1, RING_SIZE = 16384 };

struct scene {
    struct hg_host *h;
    struct view w, r;
    void (*interrupt)(struct scene *);
    unsigned at; /* of the points passed, the one to interrupt */
    unsigned passed;
};
static struct scene *scene;
static jmp_buf died;

static void point(void)
{
    struct scene *s = scene;
    if (!s || !s->interrupt || s->passed++ != s->at)
        return;
    void (*f)(struct scene *) = s->interrupt;
    s->interrupt = NULL;
    f(s);
}

static void consume(struct scene *s, unsigned n)
{
    while (n-- > 0)
        view_consume(&s->w, (uint32_t)(s->w.records % VIEW_PARTS), 0); /* forced: laps and flags */
}

/* A ring with a reader of half the rooms somewhere in it; behind: not a record read since the ring
 * was filled. */
static void set_scene(struct scene *s, bool behind, unsigned filled)
{
    memset(s, 0, sizeof *s);
    scene = s;
    s->h = view_host(1, 2, RING_SIZE);
    atomic_store(&s->h->seats[WRITER].state, HG_SEAT_SERVING);
    atomic_store(&s->h->seats[READER].state, HG_SEAT_SERVING);
    view_start(&s->w, s->h, WRITER, 1);
    view_start(&s->r, s->h, READER, 2);
    for (uint32_t room = 0; room < VIEW_ROOMS; room += 2)
        view_join(&s->r, room);
    consume(s, filled);
    if (!behind)
        hg_ring_walk(&s->r.wk, 0);
}

static void end_scene(struct scene *s)
{
    s->interrupt = NULL;
    view_end(&s->r);
    hg_ring_walker_fini(&s->w.wk);
    assert_string_equal(s->r.fail, "");
    assert_string_equal(s->w.fail, "");
    hg_host_free(s->h);
    scene = NULL;
}

static void walk(struct scene *s)
{
    hg_ring_walk(&s->r.wk, 0);
}

/* Joins every room there is; what is not walked now must come, so it must be meant: lap it all and
 * see. */
static void join_and_sleep(struct scene *s)
{
    for (uint32_t room = 0; room < VIEW_ROOMS; room++)
        if (!s->r.joined[room])
            view_join(&s->r, room);
}

static void die(struct scene *s)
{
    (void)s;
    longjmp(died, 1);
}

static void lap_a_little(struct scene *s)
{
    consume(s, 1);
}

static void lap_all(struct scene *s)
{
    consume(s, 100);
}

/* The successor in the seat goes on from the stored positions. */
static void succeed(struct scene *s)
{
    hg_ring_walker_fini(&s->w.wk);
    view_start(&s->w, s->h, WRITER, 3);
    for (uint32_t p = 0; p < VIEW_PARTS; p++)
        s->w.last[p] = atomic_load(&s->h->parts[p].next) - 1;
}

/* Interrupts an append at each point; then goes on for after records before the reader looks again.
 * True while points are left. */
static bool interrupted_append(void (*interrupt)(struct scene *), unsigned at, bool behind,
                               unsigned filled, unsigned after)
{
    static struct scene s;
    set_scene(&s, behind, filled);
    s.interrupt = interrupt;
    s.at = at;
    s.passed = 0;
    if (setjmp(died) == 0)
        consume(&s, 1);
    else
        succeed(&s);
    bool more = !s.interrupt;
    s.interrupt = NULL;
    consume(&s, after);
    end_scene(&s);
    return more;
}

static bool interrupted_walk(void (*interrupt)(struct scene *), unsigned at, bool behind,
                             unsigned filled, unsigned after)
{
    static struct scene s;
    set_scene(&s, behind, filled);
    if (!behind)
        consume(&s, 3);
    s.interrupt = interrupt;
    s.at = at;
    s.passed = 0;
    hg_ring_walk(&s.r.wk, 0);
    bool more = !s.interrupt;
    s.interrupt = NULL;
    consume(&s, after);
    end_scene(&s);
    return more;
}

typedef bool (*play_fn)(void (*interrupt)(struct scene *), unsigned at, bool behind,
                        unsigned filled, unsigned after);

static void every_point(play_fn play, void (*interrupt)(struct scene *), unsigned least)
{
    static const unsigned afters[] = {0, 1, 100};
    unsigned most = 0;
    for (unsigned filled = 1; filled < 120; filled += 1 + filled / 3)
        for (unsigned behind = 0; behind < 2; behind++)
            for (size_t i = 0; i < HG_COUNTOF(afters); i++) {
                unsigned at = 0;
                while (play(interrupt, at, behind, filled, afters[i]))
                    at++;
                most = HG_MAX(most, at);
            }
    assert_true(most >= least);
}

static void test_walk_inside_append(void **state)
{
    (void)state;
    every_point(interrupted_append, walk, 8);
}

static void test_join_inside_append(void **state)
{
    (void)state;
    every_point(interrupted_append, join_and_sleep, 8);
}

static void test_death_inside_append(void **state)
{
    (void)state;
    every_point(interrupted_append, die, 8);
}

static void test_append_inside_walk(void **state)
{
    (void)state;
    every_point(interrupted_walk, lap_a_little, 50);
}

static void test_lap_inside_walk(void **state)
{
    (void)state;
    every_point(interrupted_walk, lap_all, 50);
}

/* ---- rule 2 exactly: walked by the join, or meant by the writer ---- */

static bool joined_at(unsigned at)
{
    static struct scene s;
    set_scene(&s, false, 3);
    for (uint32_t room = 0; room < VIEW_ROOMS; room++)
        view_leave(&s.r, room);
    uint64_t walked = s.r.walked;
    struct hg_rec rec = {
        .kind = HG_REC_DIFF, .hash = room_hash(log_room(0, 1)), .part = 0, .offset = 1};
    s.interrupt = join_and_sleep;
    s.at = at;
    s.passed = 0;
    assert_int_equal(hg_ring_append(&s.w.rw, &rec, HG_SLICE_NONE, HG_SLICE_NONE, false), 0);
    bool more = !s.interrupt;
    s.interrupt = NULL;
    if (more)
        assert_true(s.r.walked > walked || (rec.meant[0] >> READER & 1));
    hg_ring_walker_fini(&s.r.wk);
    hg_ring_walker_fini(&s.w.wk);
    hg_host_free(s.h);
    return more;
}

static void test_walked_or_meant(void **state)
{
    (void)state;
    unsigned at = 0;
    while (joined_at(at))
        at++;
    assert_true(at >= 4);
}

/* ---- a reader that starts while the writer laps: what it joins afterwards is complete ---- */

static bool starts_while(void (*interrupt)(struct scene *), unsigned at, unsigned filled)
{
    static struct scene s;
    set_scene(&s, true, filled);
    hg_ring_walker_fini(&s.r.wk);
    atomic_store(&s.h->seats[READER].state, HG_SEAT_DEAD);
    hg_ring_sweep_seat(s.h, READER);
    atomic_store(&s.h->seats[READER].state, HG_SEAT_STARTING);
    s.interrupt = interrupt;
    s.at = at;
    s.passed = 0;
    view_start(&s.r, s.h, READER, 9);
    bool more = !s.interrupt;
    s.interrupt = NULL;
    join_and_sleep(&s);
    consume(&s, 60);
    end_scene(&s);
    return more;
}

static void test_start_while_lapped(void **state)
{
    (void)state;
    for (unsigned filled = 1; filled < 100; filled += 9) {
        unsigned at = 0;
        while (starts_while(lap_a_little, at, filled) | starts_while(lap_all, at, filled))
            at++;
        assert_true(at >= 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk_inside_append),  cmocka_unit_test(test_join_inside_append),
        cmocka_unit_test(test_death_inside_append), cmocka_unit_test(test_append_inside_walk),
        cmocka_unit_test(test_lap_inside_walk),     cmocka_unit_test(test_walked_or_meant),
        cmocka_unit_test(test_start_while_lapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
