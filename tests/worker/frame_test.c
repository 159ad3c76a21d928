/* Chunks: adjacent frames share one, what is read is written over, what is kept is not. */
#include "tests/support/hgtest.h"

#include "worker/frame.h"

static struct hg_span build(struct hg_frames *fr, struct hg_arena *a, char fill, size_t n)
{
    char *bytes = hg_malloc(n + 1);
    struct hg_slice part = hg_slice_of(bytes, n);
    struct hg_span s;

    memset(bytes, fill, n);
    s = hg_frame_build(fr, a, HG_WS_OP_TEXT, &part, 1);
    free(bytes);
    return s;
}

static void frames_lie_next_to_each_other(void **state)
{
    struct hg_frames fr = {0};
    struct hg_arena a = {0};
    struct hg_span x = build(&fr, &a, 'x', 10), y = build(&fr, &a, 'y', 10);

    (void)state;
    assert_ptr_equal(x.c, y.c);
    assert_int_equal(x.off + x.len, y.off);
    hg_span_unref(&fr, &x);
    hg_span_unref(&fr, &y);
    hg_arena_fini(&fr, &a);
    assert_int_equal(fr.live_bytes, 0);
}

static void a_quiet_room_stays_small(void **state)
{
    struct hg_frames fr = {0};
    struct hg_arena a = {0};

    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct hg_span s = build(&fr, &a, 'x', 100); /* and everybody has read it */

        hg_span_unref(&fr, &s);
    }
    assert_true(fr.live_bytes < 1024);
    hg_arena_fini(&fr, &a);
    assert_int_equal(fr.live_bytes, 0);
}

static void what_is_held_is_not_written_over(void **state)
{
    struct hg_frames fr = {0};
    struct hg_arena a = {0};
    struct hg_span held[64];

    (void)state;
    for (int i = 0; i < 64; i++) {
        struct hg_span s = build(&fr, &a, '.', (size_t)i * 7);

        held[i] = build(&fr, &a, (char)(' ' + i), (size_t)i * 40);
        hg_span_unref(&fr, &s);
    }
    for (int i = 0; i < 64; i++) {
        struct hg_slice p = hg_frame_payload(held[i]);

        assert_int_equal(p.n, i * 40);
        for (size_t k = 0; k < p.n; k++)
            assert_int_equal(p.p[k], ' ' + i);
        hg_span_unref(&fr, &held[i]);
    }
    hg_arena_fini(&fr, &a);
    assert_int_equal(fr.live_bytes, 0);
}

static void large_frames_have_a_chunk_of_their_own(void **state)
{
    struct hg_frames fr = {0};
    struct hg_arena a = {0}, g = {.gated = true};
    struct hg_span s = build(&fr, &a, 's', 10), big = build(&fr, &a, 'b', HG_FRAME_BIG),
                   gated = build(&fr, &g, 'g', HG_FRAME_BIG);

    (void)state;
    assert_ptr_not_equal(s.c, big.c);
    assert_false(big.c->gated);
    assert_true(gated.c->gated);
    hg_span_unref(&fr, &big);
    hg_span_unref(&fr, &gated);
    hg_span_unref(&fr, &s);
    hg_arena_fini(&fr, &a);
    hg_arena_fini(&fr, &g);
    assert_int_equal(fr.live_bytes, 0);
}

static void ends_of_frames_are_found(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 300, 65535, 65536};
    struct hg_frames fr = {0};
    struct hg_buf b = {0};

    (void)state;
    for (unsigned i = 0; i < HG_COUNTOF(sizes); i++) {
        struct hg_arena a = {0};
        struct hg_span s = build(&fr, &a, 'x', sizes[i]);

        hg_buf_add(&b, s.c->data + s.off, s.len);
        hg_span_unref(&fr, &s);
        hg_arena_fini(&fr, &a);
        assert_int_equal(hg_frame_end((unsigned char *)b.p, (uint32_t)b.n, (uint32_t)b.n), b.n);
        assert_int_equal(hg_frame_end((unsigned char *)b.p, (uint32_t)b.n, (uint32_t)b.n - 1), b.n);
    }
    assert_int_equal(hg_frame_end((unsigned char *)b.p, (uint32_t)b.n, 0), 0);
    assert_int_equal(hg_frame_end((unsigned char *)b.p, (uint32_t)b.n, 1), 2);
    hg_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_lie_next_to_each_other),
        cmocka_unit_test(a_quiet_room_stays_small),
        cmocka_unit_test(what_is_held_is_not_written_over),
        cmocka_unit_test(large_frames_have_a_chunk_of_their_own),
        cmocka_unit_test(ends_of_frames_are_found),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
