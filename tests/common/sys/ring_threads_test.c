/* The ring's core among threads, so that ThreadSanitizer can look at it (preset tsan). Nobody dies
 * here: see ring_torture_test.c. */
#include <sched.h>
#include <stdlib.h>
#include <time.h>
static void point(void);
#define HG_RING_POINT point
#include "common/sys/ring.c"
#include "tests/common/sys/ring_view.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SEATS = 4 };
static _Atomic bool stop;
static pthread_barrier_t stopped;
static _Thread_local bool straight; /* no detours at the points */

/* Widens the windows between two steps of the protocol. */
static void point(void)
{
    static _Thread_local uint64_t rnd;
    if (!straight && view_mix(++rnd ^ (uintptr_t)&rnd) % 32 == 0)
        sched_yield();
}

static void *worker(void *arg)
{
    struct view *v = arg;
    while (!atomic_load(&stop) && !v->fail[0])
        view_turn(v);
    pthread_barrier_wait(&stopped);
    view_end(v);
    return NULL;
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void test_writers_and_readers(void **state)
{
    (void)state;
    const char *env = getenv("HG_TORTURE_SECONDS");
    double end = seconds() + (env ? atof(env) : 4);
    struct hg_host *h = view_host(3, SEATS, 16384);
    static struct view v[SEATS];
    pthread_t t[SEATS];
    uint64_t records = 0, checked = 0, holes = 0, again = 0;
    pthread_barrier_init(&stopped, NULL, SEATS);
    for (uint32_t s = 0; s < SEATS; s++) {
        atomic_store(&h->seats[s].state, HG_SEAT_SERVING);
        if (s < 3)
            atomic_store(&h->shares[s].holder, s); /* the fourth only reads */
    }
    atomic_store(&h->share_epoch, 1);
    for (uint32_t s = 0; s < SEATS; s++)
        view_start(&v[s], h, s, s + 1);
    for (uint32_t s = 0; s < SEATS; s++)
        pthread_create(&t[s], NULL, worker, &v[s]);
    while (seconds() < end)
        usleep(10000);
    atomic_store(&stop, true);
    for (uint32_t s = 0; s < SEATS; s++) {
        pthread_join(t[s], NULL);
        assert_string_equal(v[s].fail, "");
        records += v[s].records, checked += v[s].checked, holes += v[s].holes, again += v[s].again;
    }
    print_message("records %" PRIu64 " checked %" PRIu64 " holes %" PRIu64 " waits %" PRIu64 "\n",
                  records, checked, holes, again);
    assert_true(records > 1000 && checked > 1000 && holes > 0 && again > 0);
    hg_host_free(h);
}

/* ---- rule 2 as a litmus test: two cores, two fences ---- */

struct litmus {
    struct hg_host *h;
    _Atomic uint64_t go, done; /* rounds begun and ended */
    uint64_t rounds;
    _Atomic bool walked;
};

static bool met(void *ctx, uint32_t seat, const struct hg_rec *rec)
{
    struct litmus *l = ctx;
    (void)seat, (void)rec;
    atomic_store_explicit(&l->walked, true, memory_order_relaxed);
    return false;
}

static const struct hg_ring_ops litmus_ops = {.want = met};

static void wait_for(_Atomic uint64_t *what, uint64_t n)
{
    for (unsigned spins = 0; atomic_load_explicit(what, memory_order_acquire) < n; spins++)
        if (spins > 2000) /* one core only */
            sched_yield();
}

static void *joiner(void *arg)
{
    struct litmus *l = arg;
    struct hg_ring_walker wk;
    straight = true;
    hg_ring_walker_init(&wk, l->h, 1, &litmus_ops, l);
    atomic_store(&l->done, 1);
    for (uint64_t i = 1; i <= l->rounds; i++) {
        wait_for(&l->go, i);
        hg_interest_set(l->h, 1, 5);
        hg_ring_walk(&wk, 0);
        atomic_store_explicit(&l->done, i + 1, memory_order_release);
    }
    hg_ring_walker_fini(&wk);
    return NULL;
}

static void test_walked_or_meant(void **state)
{
    (void)state;
    static struct litmus l;
    struct hg_ring_writer rw;
    pthread_t t;
    uint64_t met_by_walk = 0, met_by_bit = 0;
    unsigned wait = 0; /* grows and shrinks so that the two steps keep meeting */
    l.h = view_host(1, 2, 1 << 20);
    l.rounds = 100000;
    atomic_store(&l.h->seats[0].state, HG_SEAT_SERVING);
    atomic_store(&l.h->seats[1].state, HG_SEAT_SERVING);
    straight = true;
    hg_ring_writer_init(&rw, l.h, 0);
    pthread_create(&t, NULL, joiner, &l);
    for (uint64_t i = 1; i <= l.rounds; i++) {
        struct hg_rec rec = {.kind = HG_REC_DIFF, .hash = 5};
        wait_for(&l.done, i);
        hg_interest_clear(l.h, 1, 5);
        atomic_store(&l.walked, false);
        atomic_store_explicit(&l.go, i, memory_order_release);
        for (volatile unsigned pause = 0; pause < wait + i % 8; pause++)
            ;
        assert_true(hg_ring_append(&rw, &rec, HG_SLICE_NONE, HG_SLICE_NONE, true) >= 0);
        wait_for(&l.done, i + 1);
        bool meant = rec.meant[0] >> 1 & 1, walked = atomic_load(&l.walked);
        if (!meant && !walked)
            fail_msg("round %" PRIu64 ": neither walked nor meant", i);
        met_by_bit += meant, met_by_walk += walked;
        if (!meant)
            wait += 1;
        else if (wait > 0)
            wait -= 1;
    }
    pthread_join(t, NULL);
    print_message("walked %" PRIu64 " meant %" PRIu64 "\n", met_by_walk, met_by_bit);
    assert_true(met_by_walk > 100 && met_by_bit > 100);
    hg_host_free(l.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walked_or_meant),
                                       cmocka_unit_test(test_writers_and_readers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
