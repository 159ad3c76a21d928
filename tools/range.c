#include "tools/range.h"

#include "tools/jsonval.h"

struct end {
    bool open; /* no end on this side */
    bool in;   /* the end belongs to the range */
    struct hg_json_val v;
};

struct range {
    bool empty;
    struct end lo, hi;
    struct hg_json lo_doc, hi_doc; /* of ends that stood in a text */
};

/* A number as it is; anything else becomes a JSON text. buf keeps what doc borrows. */
static bool end_read(struct hg_slice s, struct end *e, struct hg_json *doc, struct hg_buf *buf)
{
    s = hg_slice_trim(s, HG_BLANKS);
    e->open = s.n == 0;
    if (e->open)
        return true;
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        s = hg_slice_of(s.p + 1, s.n - 2);
    hg_buf_add_slice(buf, s);
    if (hg_json_parse(hg_buf_slice(buf), NULL, doc) < 0 ||
        hg_json_type(hg_json_root(doc)) != HG_JSON_NUMBER) {
        hg_json_fini(doc);
        hg_buf_reset(buf);
        hg_json_add_str(buf, s);
        if (hg_json_parse(hg_buf_slice(buf), NULL, doc) < 0)
            return false;
    }
    e->v = hg_json_root(doc);
    return true;
}

/* The comma between the ends, outside of quotes; n when there is not exactly one. */
static size_t comma_of(struct hg_slice s)
{
    size_t at = s.n;
    bool quoted = false;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            quoted = !quoted;
        if (s.p[i] != ',' || quoted)
            continue;
        if (at < s.n)
            return s.n;
        at = i;
    }
    return at;
}

struct texts {
    struct hg_buf lo, hi;
};

/* false: no range in text form. */
static bool text_read(struct hg_slice s, struct range *r, struct texts *t)
{
    struct hg_slice in;
    size_t comma;

    s = hg_slice_trim(s, HG_BLANKS);
    if (hg_slice_is(s, "empty")) {
        r->empty = true;
        return true;
    }
    if (s.n < 3 || (s.p[0] != '[' && s.p[0] != '(') || (s.p[s.n - 1] != ']' && s.p[s.n - 1] != ')'))
        return false;
    in = hg_slice_of(s.p + 1, s.n - 2);
    comma = comma_of(in);
    if (comma == in.n)
        return false;
    r->lo.in = s.p[0] == '[';
    r->hi.in = s.p[s.n - 1] == ']';
    return end_read(hg_slice_of(in.p, comma), &r->lo, &r->lo_doc, &t->lo) &&
           end_read(hg_slice_of(in.p + comma + 1, in.n - comma - 1), &r->hi, &r->hi_doc, &t->hi);
}

static struct end end_of(struct hg_json_val v)
{
    return (struct end){.open = hg_json_type(v) == HG_JSON_NULL, .in = true, .v = v};
}

static bool range_read(struct hg_json_val v, struct range *r, struct texts *t)
{
    if (hg_json_type(v) == HG_JSON_ARRAY) {
        if (hg_json_count(v) != 2)
            return false;
        r->lo = end_of(hg_json_first(v));
        r->hi = end_of(hg_json_next(hg_json_first(v)));
        return true;
    }
    if (hg_json_type(v) == HG_JSON_OBJECT)
        return false;
    if (hg_json_text(v).p && text_read(hg_json_text(v), r, t))
        return true;
    hg_json_fini(&r->lo_doc);
    hg_json_fini(&r->hi_doc);
    *r = (struct range){.lo = {.in = true, .v = v}, .hi = {.in = true, .v = v}};
    return true;
}

/* Does an end of the outer range leave room for the same end of the inner one? dir: 1 low, -1
 * high. */
static int end_holds(const struct end *outer, const struct end *inner, int dir)
{
    bool known;
    int order;

    if (outer->open)
        return 1;
    if (inner->open)
        return 0;
    order = dir * hg_jsonval_order(inner->v, outer->v, &known);
    if (!known)
        return -1;
    return order > 0 || (order == 0 && (outer->in || !inner->in));
}

static int contains(const struct range *outer, const struct range *inner)
{
    int lo, hi;

    if (inner->empty)
        return 1;
    if (outer->empty)
        return 0;
    lo = end_holds(&outer->lo, &inner->lo, 1);
    hi = end_holds(&outer->hi, &inner->hi, -1);
    return lo < 0 || hi < 0 ? -1 : lo && hi;
}

int hg_range_contains(struct hg_json_val outer, struct hg_json_val inner)
{
    struct range a = {0}, b = {0};
    struct texts ta = {0}, tb = {0};
    bool good = range_read(outer, &a, &ta);
    int rc = range_read(inner, &b, &tb) && good ? contains(&a, &b) : -1;

    hg_json_fini(&a.lo_doc);
    hg_json_fini(&a.hi_doc);
    hg_json_fini(&b.lo_doc);
    hg_json_fini(&b.hi_doc);
    hg_buf_fini(&ta.lo);
    hg_buf_fini(&ta.hi);
    hg_buf_fini(&tb.lo);
    hg_buf_fini(&tb.hi);
    return rc;
}
