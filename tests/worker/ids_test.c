/* Ids to connections: found while they are there and never after, however many share a home, and as
 * the table grows. Judged against a plain list. */
#include "tests/support/hgtest.h"
#include <stdlib.h>
#include "worker/ids.h"

enum { N = 300 };

static struct hg_conns cs;
static struct hg_conn *page[2];
static struct hg_ids ids;
static bool in[N];

/* Places without sockets: the table looks at nothing but index and id. */
struct hg_conn *hg_conn_at(const struct hg_conns *conns, uint32_t index)
{
    (void)conns;
    return &page[index / 256][index % 256];
}

static void set_id(struct hg_conn *c, uint32_t home)
{
    hg_session_id_new(c->s.id);
    memcpy(c->s.id, &home, sizeof home); /* few homes: long runs */
}

static void check(void)
{
    for (uint32_t i = 0; i < N; i++) {
        struct hg_conn *c = hg_conn_at(&cs, i);

        assert_ptr_equal(hg_ids_find(&ids, c->s.id), in[i] ? c : NULL);
    }
}

static void found_while_there(void **state)
{
    (void)state;
    ids.conns = &cs;
    for (int p = 0; p < 2; p++)
        page[p] = calloc(256, sizeof **page);
    for (uint32_t i = 0; i < N; i++) {
        hg_conn_at(&cs, i)->index = i;
        set_id(hg_conn_at(&cs, i), i % 7 ? (uint32_t)rand() : UINT32_MAX - i % 3);
    }
    check();
    hg_ids_drop(&ids, hg_conn_at(&cs, 0));
    for (int step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rand() % N;

        if (in[i])
            hg_ids_drop(&ids, hg_conn_at(&cs, i));
        else
            hg_ids_add(&ids, hg_conn_at(&cs, i));
        in[i] = !in[i];
        if (step % 50 == 0)
            check();
        if (!in[i])
            hg_ids_drop(&ids, hg_conn_at(&cs, i)); /* twice is once */
    }
    check();
    hg_ids_fini(&ids);
    free(page[0]);
    free(page[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(found_while_there)};

    srand(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
