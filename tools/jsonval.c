#include "tools/jsonval.h"

#include <math.h>

/* Containment of arrays tries each with each; what would take longer than this contains nothing. */
enum { MAX_STEPS = 1000000 };

static bool as_int(struct hg_json_val v, bool like_wire, int64_t *out)
{
    if (like_wire && hg_json_type(v) == HG_JSON_BOOL) {
        *out = hg_json_is_true(v);
        return true;
    }
    return hg_json_i64(v, out);
}

static bool is_number(struct hg_json_val v, bool like_wire)
{
    enum hg_json_type t = hg_json_type(v);

    return t == HG_JSON_NUMBER || (like_wire && t == HG_JSON_BOOL);
}

static double as_double(struct hg_json_val v, bool like_wire)
{
    struct hg_slice raw = hg_json_raw(v);
    int64_t i;
    double d;

    if (hg_json_double(v, &d))
        return d;
    if (as_int(v, like_wire, &i))
        return (double)i;
    return raw.n && raw.p[0] == '-' ? -HUGE_VAL : HUGE_VAL; /* 1e999 */
}

static int number_order(struct hg_json_val a, struct hg_json_val b, bool like_wire)
{
    int64_t i, k;
    double x, y;

    if (as_int(a, like_wire, &i) && as_int(b, like_wire, &k))
        return (i > k) - (i < k);
    x = as_double(a, like_wire);
    y = as_double(b, like_wire);
    return (x > y) - (x < y);
}

static bool members_equal(struct hg_json_val a, struct hg_json_val b, bool like_wire);
static bool elements_equal(struct hg_json_val a, struct hg_json_val b, bool like_wire)
{
    struct hg_json_val x = hg_json_first(a), y = hg_json_first(b);

    if (hg_json_count(a) != hg_json_count(b))
        return false;
    for (; x.node && y.node; x = hg_json_next(x), y = hg_json_next(y))
        if (!hg_jsonval_equal(x, y, like_wire))
            return false;
    return true;
}

bool hg_jsonval_equal(struct hg_json_val a, struct hg_json_val b, bool like_wire)
{
    if (is_number(a, like_wire) && is_number(b, like_wire))
        return number_order(a, b, like_wire) == 0;
    if (hg_json_type(a) != hg_json_type(b))
        return false;
    switch (hg_json_type(a)) {
    case HG_JSON_STRING:
        return hg_slice_eq(hg_json_text(a), hg_json_text(b));
    case HG_JSON_BOOL:
        return hg_json_is_true(a) == hg_json_is_true(b);
    case HG_JSON_ARRAY:
        return elements_equal(a, b, like_wire);
    case HG_JSON_OBJECT:
        return members_equal(a, b, like_wire) && members_equal(b, a, like_wire);
    case HG_JSON_NULL:
        return true;
    case HG_JSON_ABSENT:
    case HG_JSON_NUMBER:
        break;
    }
    return false;
}

/* The member that counts: hg_json_get wants a C string, and a key may be any text. */
static struct hg_json_val member(struct hg_json_val object, struct hg_slice key)
{
    struct hg_json_val found = {0};

    for (struct hg_json_val m = hg_json_first(object); m.node; m = hg_json_next(m))
        if (hg_slice_eq(hg_json_key(m), key))
            found = m;
    return found;
}

/* Every member of b is in a and equal there. */
static bool members_equal(struct hg_json_val a, struct hg_json_val b, bool like_wire)
{
    for (struct hg_json_val m = hg_json_first(b); m.node; m = hg_json_next(m)) {
        struct hg_json_val x = member(a, hg_json_key(m));

        if (!x.node || !hg_jsonval_equal(x, member(b, hg_json_key(m)), like_wire))
            return false;
    }
    return true;
}

bool hg_jsonval_has_element(struct hg_json_val array, struct hg_json_val v, bool like_wire)
{
    for (struct hg_json_val e = hg_json_first(array); e.node; e = hg_json_next(e))
        if (hg_jsonval_equal(e, v, like_wire))
            return true;
    return false;
}

/* ---- containment ---- */

static bool contains(struct hg_json_val a, struct hg_json_val b, unsigned *steps);

static bool array_contains(struct hg_json_val a, struct hg_json_val b, unsigned *steps)
{
    for (struct hg_json_val want = hg_json_first(b); want.node; want = hg_json_next(want)) {
        struct hg_json_val e = hg_json_first(a);

        while (e.node && !contains(e, want, steps))
            e = hg_json_next(e);
        if (!e.node)
            return false;
    }
    return true;
}

static bool object_contains(struct hg_json_val a, struct hg_json_val b, unsigned *steps)
{
    for (struct hg_json_val want = hg_json_first(b); want.node; want = hg_json_next(want)) {
        struct hg_json_val have = member(a, hg_json_key(want));

        if (!have.node || !contains(have, member(b, hg_json_key(want)), steps))
            return false;
    }
    return true;
}

static bool contains(struct hg_json_val a, struct hg_json_val b, unsigned *steps)
{
    enum hg_json_type t = hg_json_type(b);

    if ((*steps)++ > MAX_STEPS || hg_json_type(a) != t)
        return false;
    if (t == HG_JSON_ARRAY)
        return array_contains(a, b, steps);
    if (t == HG_JSON_OBJECT)
        return object_contains(a, b, steps);
    return hg_jsonval_equal(a, b, false);
}

bool hg_jsonval_contains(struct hg_json_val a, struct hg_json_val b)
{
    enum hg_json_type t = hg_json_type(b);
    unsigned steps = 0;

    /* At the top only, as in PostgreSQL: '[1,2]' @> '1'. */
    if (hg_json_type(a) == HG_JSON_ARRAY && t != HG_JSON_ARRAY && t != HG_JSON_OBJECT)
        return hg_jsonval_has_element(a, b, false);
    return contains(a, b, &steps);
}

bool hg_jsonval_has(struct hg_json_val v, struct hg_slice key)
{
    if (hg_json_type(v) == HG_JSON_OBJECT)
        return member(v, key).node != NULL;
    if (hg_json_type(v) == HG_JSON_STRING)
        return hg_slice_eq(hg_json_text(v), key);
    if (hg_json_type(v) != HG_JSON_ARRAY)
        return false;
    for (struct hg_json_val e = hg_json_first(v); e.node; e = hg_json_next(e))
        if (hg_json_type(e) == HG_JSON_STRING && hg_slice_eq(hg_json_text(e), key))
            return true;
    return false;
}

int hg_jsonval_order(struct hg_json_val a, struct hg_json_val b, bool *known)
{
    struct hg_slice x = hg_json_text(a), y = hg_json_text(b);
    int rc;

    *known = true;
    if (is_number(a, true) && is_number(b, true))
        return number_order(a, b, true);
    *known = x.p && y.p;
    if (!*known)
        return 0;
    rc = memcmp(x.p, y.p, HG_MIN(x.n, y.n));
    return rc ? rc : (x.n > y.n) - (x.n < y.n);
}
