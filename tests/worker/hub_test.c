/* Rooms: membership, limits, exclusion, tenants, interest, and members that go while a message is
 * under way. */
#include "tests/support/hgtest.h"

#include <fcntl.h>
#include <sys/socket.h>
#include "common/base/err.h"
#include "common/sys/ring.h"
#include "worker/hub.h"

enum { MEMBERS = 40 };
#define DEMO HG_SLICE_LIT("demo")
#define OTHER HG_SLICE_LIT("other")

struct world {
    struct hg_host *host;
    struct hg_loop *loop;
    struct hg_frames frames;
    struct hg_conf conf;
    struct hg_metrics *m;
    struct hg_conns cs;
    struct hg_interests interests;
    struct hg_hub hub;
    struct hg_conn *c[MEMBERS];
    int fd[MEMBERS];
};

static void on_gone(void *ctx, struct hg_conn *c)
{
    hg_hub_leave_all(&((struct world *)ctx)->hub, c);
}
static void on_writable(void *ctx, struct hg_conn *c)
{
    (void)ctx;
    (void)c;
}

static int setup(void **state)
{
    struct world *t = hg_calloc(1, sizeof *t);
    struct hg_conn_events ev = {.on_gone = on_gone, .on_writable = on_writable, .ctx = t};
    struct hg_host_spec spec = {.nslots = 1, .topics = "t"};
    struct hg_addr peer = {.v4 = {.sin_family = AF_INET}};
    const char *why;

    assert_int_equal(hg_host_new(&spec, &t->host, &why), 0);
    t->loop = hg_loop_new();
    t->m = hg_calloc(1, sizeof *t->m);
    t->conf = (struct hg_conf){.max_message = 1 << 20,
                               .out_hard = 32768,
                               .out_stall = 60 * HG_S,
                               .out_grace = 60 * HG_S,
                               .interest_linger = 0,
                               .handshake_timeout = 10 * HG_S};
    t->cs = (struct hg_conns){.loop = t->loop, .frames = &t->frames, .conf = &t->conf, .m = t->m};
    hg_conns_init(&t->cs, &ev);
    hg_interests_init(&t->interests, t->host, 0);
    t->hub = (struct hg_hub){.conns = &t->cs, .interests = &t->interests};
    for (int i = 0; i < MEMBERS; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        t->fd[i] = pair[0];
        assert_int_equal(hg_conn_accept(&t->cs, pair[1], &peer), 0);
        for (uint32_t it = 0; (t->c[i] = hg_conns_next(&t->cs, &it)) && t->c[i]->fd != pair[1];)
            ;
        hg_session_id_new(t->c[i]->s.id);
        hg_conn_upgraded(&t->cs, t->c[i]);
        hg_conn_feed_rest(&t->cs, t->c[i], HG_SLICE_NONE);
    }
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct world *t = *state;

    hg_conns_fini(&t->cs);
    assert_int_equal(t->hub.rooms.count, 0); /* a room lives while it has members */
    hg_hub_fini(&t->hub);
    for (int i = 0; i < MEMBERS; i++)
        close(t->fd[i]);
    hg_interests_fini(&t->interests);
    assert_int_equal(t->frames.live_bytes, 0);
    hg_loop_free(t->loop);
    free(t->m);
    hg_host_free(t->host);
    free(t);
    return 0;
}

static struct hg_room *join(struct world *t, int i, const char *room)
{
    return hg_hub_join(&t->hub, t->c[i], HG_ROUTE_ROOM, DEMO, hg_slice_str(room), 3);
}

static struct hg_room *find(struct world *t, const char *room)
{
    return hg_hub_find(&t->hub, HG_ROUTE_ROOM, DEMO, hg_slice_str(room));
}

/* Bytes that client i got. */
static size_t got(struct world *t, int i)
{
    static char b[1 << 20];
    ssize_t n;
    size_t all = 0;

    while ((n = recv(t->fd[i], b, sizeof b, 0)) > 0)
        all += (size_t)n;
    return all;
}

static void everybody_but_the_excluded_gets_it_once(void **state)
{
    struct world *t = *state;
    unsigned char ids[2][16];

    for (int i = 0; i < MEMBERS; i++)
        assert_non_null(join(t, i, "r"));
    memcpy(ids[0], t->c[3]->s.id, 16);
    memcpy(ids[1], t->c[7]->s.id, 16);
    assert_int_equal(
        hg_hub_send(&t->hub, find(t, "r"), HG_WS_OP_TEXT, HG_SLICE_LIT("hello"), ids, 2),
        MEMBERS - 2);
    hg_loop_turn(t->loop, 0);
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(got(t, i), i == 3 || i == 7 ? 0 : 7);
}

static void joining_twice_is_joining_once(void **state)
{
    struct world *t = *state;

    assert_ptr_equal(join(t, 0, "r"), join(t, 0, "r"));
    assert_int_equal(hg_hub_send(&t->hub, find(t, "r"), HG_WS_OP_TEXT, HG_SLICE_LIT("x"), NULL, 0),
                     1);
    assert_true(hg_hub_leave(&t->hub, t->c[0], find(t, "r")));
    assert_null(find(t, "r"));
    assert_false(hg_hub_leave(&t->hub, t->c[0], NULL));
}

static void the_limit_counts_rooms_not_joins(void **state)
{
    struct world *t = *state;

    assert_non_null(join(t, 0, "a"));
    assert_non_null(join(t, 0, "b"));
    assert_non_null(join(t, 0, "c"));
    assert_null(join(t, 0, "d"));
    assert_null(find(t, "d"));
    assert_non_null(join(t, 0, "b"));
    assert_true(hg_hub_leave(&t->hub, t->c[0], find(t, "a")));
    assert_non_null(join(t, 0, "d"));
}

struct late { /* what was sent before somebody joins room "r" */
    struct world *t;
    int ends; /* this connection ends of it */
    bool held;
};

static void catch_up(void *ctx)
{
    struct late *l = ctx;
    uint64_t hash = hg_route_hub_hash(HG_ROUTE_ROOM, DEMO, HG_SLICE_LIT("r"));
    struct hg_room *room = find(l->t, "r");

    l->held = hg_interest_is_held(&l->t->interests, hash);
    if (room)
        hg_hub_send(&l->t->hub, room, HG_WS_OP_TEXT, HG_SLICE_LIT("old"), NULL, 0);
    if (l->ends >= 0)
        hg_conn_drop(&l->t->cs, l->t->c[l->ends]);
}

static void listen_late(struct world *t, struct late *l)
{
    *l = (struct late){t, -1, false};
    t->hub.catch_up = catch_up;
    t->hub.ctx = l;
}

static void who_joins_hears_nothing_older(void **state)
{
    struct world *t = *state;
    struct late l;

    listen_late(t, &l);
    assert_non_null(join(t, 0, "r"));
    assert_true(l.held); /* or what is sent during the look would be meant for nobody */
    assert_non_null(join(t, 1, "r"));
    hg_loop_turn(t->loop, 0);
    assert_int_equal(got(t, 0), 5); /* the "old" that came with the second */
    assert_int_equal(got(t, 1), 0);
}

static void catching_up_may_end_anybody(void **state)
{
    struct world *t = *state;
    struct late l;

    listen_late(t, &l);
    assert_non_null(join(t, 0, "r"));
    l.ends = 0; /* the last member, and the room with it */
    assert_non_null(join(t, 1, "r"));
    assert_int_equal(find(t, "r")->n, 1);
    l.ends = 2; /* who joins */
    assert_null(join(t, 2, "r"));
    assert_int_equal(find(t, "r")->n, 1);
    assert_null(join(t, 2, "q"));
    assert_null(find(t, "q"));
    t->hub.catch_up = NULL;
}

static void tenants_and_kinds_never_meet(void **state)
{
    struct world *t = *state;
    struct hg_slice r = HG_SLICE_LIT("r");

    join(t, 0, "r");
    hg_hub_join(&t->hub, t->c[1], HG_ROUTE_ROOM, OTHER, r, 3);
    hg_hub_join(&t->hub, t->c[2], HG_ROUTE_PATH, DEMO, r, 3);
    assert_int_equal(hg_hub_send(&t->hub, find(t, "r"), HG_WS_OP_TEXT, HG_SLICE_LIT("x"), NULL, 0),
                     1);
    hg_loop_turn(t->loop, 0);
    assert_int_equal(got(t, 0), 3);
    assert_int_equal(got(t, 1) + got(t, 2), 0);
}

/* Every third member reads nothing and is closed by a message of the flood; the others get each
 * message once. */
static void members_that_go_under_way(void **state)
{
    struct world *t = *state;
    char body[4000];
    size_t all[MEMBERS] = {0};
    int sent = 0;

    memset(body, 'b', sizeof body);
    for (int i = 0; i < MEMBERS; i++)
        join(t, i, "r");
    for (; sent < 400 && find(t, "r")->n == MEMBERS; sent++) {
        hg_hub_send(&t->hub, find(t, "r"), HG_WS_OP_TEXT, hg_slice_of(body, sizeof body), NULL, 0);
        hg_loop_turn(t->loop, 0);
        for (int i = 0; i < MEMBERS; i++)
            if (i % 3)
                all[i] += got(t, i);
    }
    assert_int_equal(find(t, "r")->n,
                     MEMBERS - (MEMBERS + 2) / 3); /* all of them by the same message */
    hg_loop_turn(t->loop, 0);
    for (int i = 0; i < MEMBERS; i++) {
        if (i % 3 == 0)
            assert_int_equal(t->c[i]->state, HG_CONN_CLOSING);
        else
            assert_int_equal(all[i] + got(t, i), (size_t)sent * (sizeof body + 4));
    }
}

static void the_last_members_take_the_room_with_them(void **state)
{
    struct world *t = *state;
    char body[4000];

    memset(body, 'b', sizeof body);
    for (int i = 0; i < MEMBERS; i++)
        join(t, i, "r");
    for (int k = 0; k < 1000 && find(t, "r"); k++) {
        hg_hub_send(&t->hub, find(t, "r"), HG_WS_OP_TEXT, hg_slice_of(body, sizeof body), NULL, 0);
        hg_loop_turn(t->loop, 0);
    }
    assert_null(find(t, "r"));
}

static bool bit(struct world *t, uint64_t hash)
{
    return atomic_load(&t->host->interest[hg_interest_bucket(hash)][0]) & 1;
}

static void interest_lingers_and_goes(void **state)
{
    struct world *t = *state;
    struct hg_mono now = hg_loop_now(t->loop);
    uint64_t room, stream = 12345;

    t->conf.interest_linger = 60 * HG_S;
    room = join(t, 0, "r")->hash;
    hg_interest_hold(&t->interests, stream);
    assert_true(bit(t, room) && bit(t, stream));
    hg_hub_leave(&t->hub, t->c[0], find(t, "r"));
    hg_interest_drop(&t->interests, stream, now); /* without a delay, behind one that has */
    hg_interest_sweep(&t->interests, now);
    assert_true(bit(t, room));
    hg_interest_hold(&t->interests, stream); /* held again before its time is swept */
    hg_interest_sweep(&t->interests, hg_mono_add(now, 61 * HG_S));
    assert_false(bit(t, room));
    assert_true(bit(t, stream));
    hg_interest_drop(&t->interests, stream, now);
    hg_interest_sweep(&t->interests, now);
    assert_false(bit(t, stream));
}

/* One client that joins and leaves as fast as it can must not fill memory for a minute. */
static void a_room_that_comes_and_goes_lingers_once(void **state)
{
    struct world *t = *state;
    struct hg_mono now = hg_loop_now(t->loop);
    uint64_t room = 0;

    t->conf.interest_linger = 60 * HG_S;
    for (int i = 0; i < 100000; i++) {
        room = join(t, 0, "r")->hash;
        hg_hub_leave(&t->hub, t->c[0], find(t, "r"));
    }
    assert_int_equal(t->interests.n, 1);
    assert_true(bit(t, room));
    /* The delay is that of the last time: looked at when the first is over, it stays. */
    t->interests.buckets[hg_interest_bucket(room)].due = hg_mono_add(now, 100 * HG_S);
    hg_interest_sweep(&t->interests, hg_mono_add(now, 61 * HG_S));
    assert_true(bit(t, room));
    hg_interest_sweep(&t->interests, hg_mono_add(now, 101 * HG_S));
    assert_false(bit(t, room));
    assert_int_equal(t->interests.n, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(everybody_but_the_excluded_gets_it_once),
        T(joining_twice_is_joining_once),
        T(the_limit_counts_rooms_not_joins),
        T(who_joins_hears_nothing_older),
        T(catching_up_may_end_anybody),
        T(tenants_and_kinds_never_meet),
        T(members_that_go_under_way),
        T(the_last_members_take_the_room_with_them),
        T(interest_lingers_and_goes),
        T(a_room_that_comes_and_goes_lingers_once),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
