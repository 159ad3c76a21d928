/* The word: turn (14 bits) | answers (18) | reached (32). An ask: turn * HG_TALLIES + slot, above
 * it a one. */
#include "common/sys/tally.h"

enum { TURN_SHIFT = 50, ANSWERS_SHIFT = 32 };
#define TURN_MASK UINT64_C(0x3fff)
#define ANSWERS_MASK UINT64_C(0x3ffff)
#define REACHED_MASK UINT64_C(0xffffffff)
#define ASKED (UINT64_C(1) << 63)

static uint64_t turn_of(uint64_t ask)
{
    return ask / HG_TALLIES & TURN_MASK;
}

uint64_t hg_tally_open(struct hg_host *h, uint32_t seat, uint32_t slot)
{
    _Atomic uint64_t *word = &h->seats[seat].tallies[slot];
    uint64_t turn = ((atomic_load(word) >> TURN_SHIFT) + 1) & TURN_MASK;

    atomic_store(word, turn << TURN_SHIFT);
    return ASKED | turn * HG_TALLIES | slot;
}

static uint64_t add_capped(uint64_t a, uint64_t b, uint64_t max)
{
    return a > max - b ? max : a + b;
}

void hg_tally_add(struct hg_host *h, uint32_t seat, uint64_t ask, uint32_t reached)
{
    _Atomic uint64_t *word = &h->seats[seat].tallies[hg_tally_slot(ask)];
    uint64_t old = atomic_load(word), answers, sum;

    do {
        if (old >> TURN_SHIFT != turn_of(ask))
            return;
        answers = add_capped(old >> ANSWERS_SHIFT & ANSWERS_MASK, 1, ANSWERS_MASK);
        sum = add_capped(old & REACHED_MASK, reached, REACHED_MASK);
    } while (!atomic_compare_exchange_weak(
        word, &old, turn_of(ask) << TURN_SHIFT | answers << ANSWERS_SHIFT | sum));
}

struct hg_tally hg_tally_read(const struct hg_host *h, uint32_t seat, uint64_t ask)
{
    uint64_t v = atomic_load(&h->seats[seat].tallies[hg_tally_slot(ask)]);

    if (v >> TURN_SHIFT != turn_of(ask))
        return (struct hg_tally){0, 0};
    return (struct hg_tally){(uint32_t)(v >> ANSWERS_SHIFT & ANSWERS_MASK), (uint32_t)v};
}
