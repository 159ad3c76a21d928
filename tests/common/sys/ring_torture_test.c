/*
 * Workers as processes over one mapping; the parent is their master and kills them with kill -9 at
 * random moments, and they kill themselves at random places inside the ring's steps. A dead
 * worker's share goes to its successor or a sibling by rule 4. Proves: no record of a joined room
 * is passed over without a hole, whoever dies where. Not proved here: wakes (ring_test.c).
 * HG_TORTURE_SECONDS lengthens it (10), HG_TORTURE_SEED repeats its choices.
 */
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
static void point(void);
#define HG_RING_POINT point
#include "common/sys/ring.c"
#include "tests/common/sys/ring_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

enum { SLOTS = 3, SEATS = 8, EXIT_FAIL = 3 };

struct shared {             /* beside the host: what the workers tell the test */
    _Atomic uint32_t phase; /* 0 work, 1 stop consuming, 2 check and leave */
    _Atomic uint64_t records, checked, holes, lost, waits, points;
    char fail[SEATS][200];
};
static struct shared *sh;
static uint64_t point_rnd;
static unsigned die_in; /* of so many points one kills; 0 none */

static void point(void)
{
    uint64_t r = view_mix(++point_rnd);
    if (die_in && r % die_in == 0)
        raise(SIGKILL);
    if (r % 16 == 1)
        sched_yield();
    if (r % 512 == 2)
        usleep(100);
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add(to, n);
}

static void report(struct view *v)
{
    add(&sh->records, v->records), v->records = 0;
    add(&sh->checked, v->checked), v->checked = 0;
    add(&sh->holes, v->holes), v->holes = 0;
    add(&sh->lost, v->lost), v->lost = 0;
    add(&sh->waits, v->again), v->again = 0;
}

static bool has_failed(struct view *v)
{
    if (v->fail[0])
        memcpy(sh->fail[v->seat], v->fail, sizeof v->fail);
    return v->fail[0];
}

/* A holder asked to release says so after its last append and store; it reads on until it is told
 * to go. */
static void answer_release(struct view *v)
{
    for (uint32_t s = 0; s < SLOTS; s++)
        if (atomic_load(&v->h->shares[s].holder) == v->seat &&
            atomic_load(&v->h->shares[s].release) == 1)
            atomic_store(&v->h->shares[s].release, 2);
}

_Noreturn static void worker(struct hg_host *h, uint32_t seat, uint64_t seed)
{
    static struct view v;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    point_rnd = seed;
    die_in = seed % 3 == 0 ? 0 : 20000;
    view_start(&v, h, seat, seed);
    while (atomic_load(&sh->phase) < 2 && !has_failed(&v)) {
        if (atomic_load(&sh->phase) == 0) {
            view_turn(&v);
            answer_release(&v);
        } else {
            die_in = 0;
            hg_ring_walk(&v.wk, 0);
            usleep(200);
        }
        report(&v);
    }
    view_end(&v);
    report(&v);
    _exit(has_failed(&v) ? EXIT_FAIL : 0);
}

/* ---- the master ---- */

struct boss {
    struct hg_host *h;
    uint64_t rnd, kills, deaths, releases, forced;
    pid_t pid[SEATS];
};

static uint64_t boss_rnd(struct boss *b)
{
    return view_mix(b->rnd += 0x51ed27);
}

static int free_seat(struct boss *b)
{
    uint32_t start = (uint32_t)(boss_rnd(b) % SEATS);
    for (uint32_t i = 0; i < SEATS; i++)
        if (!b->pid[(start + i) % SEATS])
            return (int)((start + i) % SEATS);
    return -1;
}

static void spawn(struct boss *b, uint32_t seat)
{
    atomic_store(&b->h->seats[seat].state, HG_SEAT_STARTING);
    uint64_t seed = boss_rnd(b);
    pid_t pid = fork();
    if (pid == 0)
        worker(b->h, seat, seed);
    assert_true(pid > 0);
    b->pid[seat] = pid;
    atomic_store(&b->h->seats[seat].state, HG_SEAT_SERVING);
}

static int random_living(struct boss *b)
{
    for (;;) {
        uint32_t s = (uint32_t)(boss_rnd(b) % SEATS);
        if (b->pid[s])
            return (int)s;
    }
}

/* Rule 4: from a ring that gets no more records; all have walked it, or have a hole. */
static void wait_walked(struct boss *b, uint32_t from)
{
    double until = seconds() + 0.001 * (double)(boss_rnd(b) % 6);
    while (!hg_ring_all_walked(b->h, from) && seconds() < until)
        usleep(100);
    b->forced += hg_ring_flag_unwalked(b->h, from);
}

static void give_share(struct boss *b, uint32_t slot, uint32_t to)
{
    atomic_store(&b->h->shares[slot].holder, HG_NO_SEAT);
    atomic_store(&b->h->shares[slot].release, 0);
    atomic_store(&b->h->shares[slot].holder, to);
    atomic_fetch_add(&b->h->share_epoch, 1);
}

static void check_exit(struct boss *b, uint32_t seat, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAIL)
        fail_msg("%s", sh->fail[seat]);
    fail_msg("seat %u pid %d ended with status 0x%x", seat, (int)b->pid[seat], (unsigned)status);
}

/* What the master does with a death: sweep, then move the shares, to the successor in the same
 * seat, in another, or a sibling. */
static void on_death(struct boss *b, uint32_t seat, int status)
{
    check_exit(b, seat, status);
    b->deaths++;
    b->pid[seat] = 0;
    atomic_store(&b->h->seats[seat].state, HG_SEAT_DEAD);
    hg_ring_sweep_seat(b->h, seat);
    hg_host_wake_all(b->h);
    bool same = boss_rnd(b) % 3 == 0;
    if (same)
        spawn(b, seat);
    else
        wait_walked(b, seat);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (atomic_load(&b->h->shares[slot].holder) == seat)
            give_share(b, slot, same ? seat : (uint32_t)random_living(b));
    if (!same)
        spawn(b, (uint32_t)free_seat(b));
}

static void reap(struct boss *b)
{
    for (uint32_t s = 0; s < SEATS; s++) {
        int status;
        if (b->pid[s] && waitpid(b->pid[s], &status, WNOHANG) == b->pid[s])
            on_death(b, s, status);
    }
}

/* A living holder gives its share away, as in a reload. It may die while it is asked. */
static void move_share(struct boss *b)
{
    uint32_t slot = (uint32_t)(boss_rnd(b) % SLOTS);
    uint32_t from = atomic_load(&b->h->shares[slot].holder);
    double until = seconds() + 0.05;
    atomic_store(&b->h->shares[slot].release, 1);
    while (atomic_load(&b->h->shares[slot].release) != 2 && seconds() < until)
        usleep(50);
    if (atomic_load(&b->h->shares[slot].release) != 2) {
        assert_true(b->pid[from] > 0);
        kill(b->pid[from], SIGKILL); /* hangs or is dead: reaped like any other */
        return;
    }
    wait_walked(b, from);
    give_share(b, slot, (uint32_t)random_living(b));
    b->releases++;
}

static void torture(struct boss *b, double end)
{
    while (seconds() < end) {
        usleep((unsigned)(boss_rnd(b) % 5000));
        reap(b);
        uint64_t r = boss_rnd(b);
        if (r % 4 == 0) {
            kill(b->pid[random_living(b)], SIGKILL);
            b->kills++;
        } else if (r % 8 == 1) {
            move_share(b);
        }
    }
}

static bool all_rings_walked(struct boss *b)
{
    for (uint32_t s = 0; s < SEATS; s++)
        if (!hg_ring_all_walked(b->h, s))
            return false;
    return true;
}

/* A death that came late is no failure; what a survivor found is. */
static void finish(struct boss *b)
{
    atomic_store(&sh->phase, 1);
    double until = seconds() + 60;
    do {
        usleep(20000);
        reap(b);
    } while (!all_rings_walked(b) && seconds() < until);
    assert_true(all_rings_walked(b));
    atomic_store(&sh->phase, 2);
    for (uint32_t s = 0; s < SEATS; s++) {
        int status;
        if (!b->pid[s])
            continue;
        assert_int_equal(waitpid(b->pid[s], &status, 0), b->pid[s]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            check_exit(b, s, status);
        b->pid[s] = 0;
    }
}

static void test_torture(void **state)
{
    (void)state;
    const char *env = getenv("HG_TORTURE_SECONDS"), *seed = getenv("HG_TORTURE_SEED");
    static struct boss b;
    sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(sh, MAP_FAILED);
    b.rnd = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    print_message("HG_TORTURE_SEED=%" PRIu64 "\n", b.rnd);
    b.h = view_host(SLOTS, SEATS, 16384);
    for (uint32_t s = 0; s < SLOTS + 1; s++)
        spawn(&b, s);
    for (uint32_t s = 0; s < SLOTS; s++)
        give_share(&b, s, s);
    torture(&b, seconds() + (env ? atof(env) : 10));
    finish(&b);
    print_message("records %" PRIu64 " checked %" PRIu64 " holes %" PRIu64 " (lost %" PRIu64
                  ", flagged by master %" PRIu64 ") waits %" PRIu64 " kills %" PRIu64
                  " deaths %" PRIu64 " moves %" PRIu64 "\n",
                  sh->records, sh->checked, sh->holes, sh->lost, b.forced, sh->waits, b.kills,
                  b.deaths, b.releases);
    /* It must have been a torture. */
    assert_true(sh->records > 2000 && sh->checked > 1000 && sh->holes > 0 && sh->lost > 0 &&
                b.deaths > 20 && b.releases > 0);
    hg_host_free(b.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_torture)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
