#include "common/base/nearest.h"

#include "common/base/macros.h"

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

unsigned hg_distance(struct hg_slice a, struct hg_slice b)
{
    unsigned char rows[3][64];
    unsigned char *two = rows[0], *one = rows[1], *now = rows[2], *t;

    if (a.n > 63 || b.n > 63)
        return 100;
    for (size_t j = 0; j <= b.n; j++)
        one[j] = (unsigned char)j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = (unsigned char)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned same = a.p[i - 1] == b.p[j - 1];
            unsigned d = min3(one[j] + 1u, now[j - 1] + 1u, one[j - 1] + !same);

            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                d = HG_MIN(d, two[j - 2] + 1u);
            now[j] = (unsigned char)d;
        }
        t = two, two = one, one = now, now = t;
    }
    return one[b.n];
}

struct hg_nearest hg_nearest(struct hg_slice given)
{
    /* A name that shares no letter is not near, however short. */
    return (struct hg_nearest){.given = given,
                               .limit = (unsigned)HG_MIN(HG_MAX(2u, given.n / 3) + 1, given.n)};
}

void hg_nearest_try(struct hg_nearest *near, const char *name)
{
    unsigned d = hg_distance(near->given, hg_slice_str(name));

    if (d < near->limit) {
        near->limit = d;
        near->name = name;
    }
}
