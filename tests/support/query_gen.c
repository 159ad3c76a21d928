#include "tests/support/query_gen.h"

#include <stdlib.h>
#include "proto/request.h"

/* ---- choices ---- */

static uint64_t bits(struct query_gen *g, size_t want)
{
    uint64_t v = 0;
    for (; want > 0 && g->n > 0; want--, g->n--)
        v = v << 8 | *g->p++;
    return v;
}

static unsigned pick(struct query_gen *g, unsigned n)
{
    return (unsigned)(bits(g, n > 256 ? 2 : 1) % n);
}

static struct hg_slice text(struct query_gen *g, struct hg_pool *pool)
{
    static const char *const pieces[] = {"",
                                         "a",
                                         "\xc3\xa9",
                                         "\"",
                                         "x\ny",
                                         "\xf0\x9f\x98\x80",
                                         "\xef\xbf\xbd",
                                         "\\u0000",
                                         "long text that needs more than a word of eight bytes",
                                         "%_",
                                         "\x7f"};
    struct hg_buf b = {0};
    for (unsigned n = pick(g, 4); n > 0; n--)
        hg_buf_adds(&b, pieces[pick(g, HG_COUNTOF(pieces))]);
    if (pick(g, 16) == 0)
        hg_buf_addc(&b, '\0');
    for (unsigned n = g->plain ? 0 : pick(g, 4); n > 0; n--)
        hg_buf_addc(&b, (char)bits(g, 1));
    char *own = hg_pool_get(pool, b.n + 1);
    if (b.n > 0)
        memcpy(own, b.p, b.n);
    struct hg_slice s = hg_slice_of(own, b.n);
    hg_buf_fini(&b);
    return s;
}

static struct hg_slice name(struct query_gen *g, struct hg_pool *pool)
{
    struct hg_slice s = text(g, pool);
    return s.n > 0 ? s : HG_SLICE_LIT("f");
}

static int64_t integer(struct query_gen *g)
{
    static const int64_t edges[] = {
        0, 1, -1, INT64_MAX, INT64_MIN, 9007199254740993, -9007199254740993};
    unsigned k = pick(g, HG_COUNTOF(edges) + 4);
    return k < HG_COUNTOF(edges) ? edges[k] : (int64_t)bits(g, 8);
}

static double number(struct query_gen *g)
{
    static const double edges[] = {
        0.0, -0.0, 1.5, 1e-300, -2.5e10, 0.1, 9007199254740992.0, 5e-324, 1.7976931348623157e308};
    unsigned k = pick(g, HG_COUNTOF(edges) + 4);
    if (k < HG_COUNTOF(edges))
        return edges[k];
    uint64_t v = bits(g, 8);
    double d;
    memcpy(&d, &v, sizeof(d));
    bool finite = (v >> 52 & 0x7ff) != 0x7ff;
    return finite || !g->plain ? d : 7;
}

static void item(struct query_gen *g, struct hg_pool *pool, enum hg_value_kind kind,
                 union hg_value_item *out)
{
    switch (kind) {
    case HG_VALUE_STRING:
    case HG_VALUE_STRINGS:
        out->text = text(g, pool);
        break;
    case HG_VALUE_NUMBER:
    case HG_VALUE_NUMBERS:
        out->number = number(g);
        break;
    case HG_VALUE_BOOL:
    case HG_VALUE_BOOLS:
        out->flag = pick(g, 2);
        break;
    case HG_VALUE_INT64:
    case HG_VALUE_INT64S:
    case HG_VALUE_TIMESTAMP:
        out->integer = integer(g);
        break;
    case HG_VALUE_NULL:
        break;
    }
}

static void value(struct query_gen *g, struct hg_pool *pool, struct hg_value *v)
{
    v->kind = (enum hg_value_kind)(HG_VALUE_STRING + pick(g, HG_VALUE_BOOLS));
    if (v->kind == HG_VALUE_TIMESTAMP)
        v->unit = pick(g, HG_UNITS);
    if (v->kind < HG_VALUE_STRINGS) {
        item(g, pool, v->kind, &v->one);
        return;
    }
    v->n = pick(g, 6);
    v->list = v->n ? hg_pool_get(pool, v->n * sizeof(*v->list)) : NULL;
    for (size_t i = 0; i < v->n; i++)
        item(g, pool, v->kind, &v->list[i]);
}

/* ---- the tree ---- */

enum { MOST_NODES = 200 };

static void basic(struct query_gen *g, struct hg_pool *pool, struct hg_filter *f)
{
    f->field = name(g, pool);
    f->op = pick(g, HG_QUERY_OPS);
    value(g, pool, &f->value);
    f->has_modifier = pick(g, 3) == 0;
    if (!f->has_modifier)
        return;
    f->distinct = pick(g, 2);
    f->case_insensitive = pick(g, 2);
    f->nulls = pick(g, HG_NULLS);
}

static void wrapper(struct query_gen *g, struct hg_pool *pool, struct hg_filter *w, unsigned depth)
{
    w->is_wrapper = true;
    w->all = pick(g, 2);
    size_t n = pick(g, 5);
    if (n > MOST_NODES - g->nodes)
        n = 0;
    g->nodes += (unsigned)n;
    w->kids = n ? hg_pool_get(pool, n * sizeof(*w->kids)) : NULL;
    for (; w->nkids < n; w->nkids++) {
        if (depth < HG_QUERY_MAX_DEPTH && pick(g, 3) == 0)
            wrapper(g, pool, &w->kids[w->nkids], depth + 1);
        else
            basic(g, pool, &w->kids[w->nkids]);
    }
}

struct hg_query *query_make(struct query_gen *g)
{
    struct hg_query *q = hg_calloc(1, sizeof(*q));
    q->hash = text(g, &q->pool);
    q->schema_version = pick(g, 3) ? 1 : (unsigned)bits(g, 2);
    q->has_limit = pick(g, 4) > 0;
    q->limit = !q->has_limit ? 0 : pick(g, 3) ? pick(g, 200) : (uint32_t)bits(g, 4);
    q->offset = pick(g, 3) ? 0 : (uint32_t)bits(g, 4);
    q->strict_after = pick(g, 3) > 0;
    if (pick(g, 5) > 0) {
        q->wrapper = hg_pool_get(&q->pool, sizeof(*q->wrapper));
        wrapper(g, &q->pool, q->wrapper, 1);
    }
    size_t n = pick(g, 4);
    q->order = hg_pool_get(&q->pool, (n + 1) * sizeof(*q->order));
    for (; q->norder < n; q->norder++)
        q->order[q->norder] = (struct hg_order){name(g, &q->pool), pick(g, HG_SORTS), pick(g, 2)};
    n = pick(g, 4);
    q->cursor = hg_pool_get(&q->pool, (n + 1) * sizeof(*q->cursor));
    for (; q->ncursor < n; q->ncursor++) {
        q->cursor[q->ncursor].field = name(g, &q->pool);
        value(g, &q->pool, &q->cursor[q->ncursor].value);
    }
    return q;
}

/* ---- equality ---- */

static bool same_item(enum hg_value_kind kind, const union hg_value_item *a,
                      const union hg_value_item *b)
{
    switch (kind) {
    case HG_VALUE_STRING:
    case HG_VALUE_STRINGS:
        return hg_slice_eq(a->text, b->text);
    case HG_VALUE_NUMBER:
    case HG_VALUE_NUMBERS: /* to the bit: -0 and each NaN, too */
        return memcmp(&a->number, &b->number, sizeof(double)) == 0;
    case HG_VALUE_BOOL:
    case HG_VALUE_BOOLS:
        return a->flag == b->flag;
    case HG_VALUE_INT64:
    case HG_VALUE_INT64S:
    case HG_VALUE_TIMESTAMP:
        return a->integer == b->integer;
    case HG_VALUE_NULL:
        break;
    }
    return true;
}

static bool same_value(const struct hg_value *a, const struct hg_value *b)
{
    if (a->kind != b->kind || a->n != b->n || (a->kind == HG_VALUE_TIMESTAMP && a->unit != b->unit))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same_item(a->kind, &a->list[i], &b->list[i]))
            return false;
    return a->kind >= HG_VALUE_STRINGS || same_item(a->kind, &a->one, &b->one);
}

static const char *same_filter(const struct hg_filter *a, const struct hg_filter *b)
{
    if (a->is_wrapper != b->is_wrapper || a->all != b->all || a->nkids != b->nkids)
        return "a wrapper";
    for (size_t i = 0; i < a->nkids; i++) {
        const char *what = same_filter(&a->kids[i], &b->kids[i]);
        if (what)
            return what;
    }
    if (a->is_wrapper)
        return NULL;
    if (!hg_slice_eq(a->field, b->field))
        return "a field_name";
    if (a->op != b->op)
        return "an operator";
    if (a->has_modifier != b->has_modifier || a->distinct != b->distinct ||
        a->case_insensitive != b->case_insensitive || (a->has_modifier && a->nulls != b->nulls))
        return "a modifier";
    return same_value(&a->value, &b->value) ? NULL : "a value";
}

const char *query_same(const struct hg_query *a, const struct hg_query *b)
{
    if (!hg_slice_eq(a->hash, b->hash) || a->schema_version != b->schema_version)
        return "hash or schema_version";
    if (a->has_limit != b->has_limit || (a->has_limit && a->limit != b->limit))
        return "the limit";
    if (a->offset != b->offset || a->strict_after != b->strict_after)
        return "offset or strict_after";
    if (!a->wrapper != !b->wrapper || a->norder != b->norder || a->ncursor != b->ncursor)
        return "how much there is of it";
    for (size_t i = 0; i < a->norder; i++)
        if (!hg_slice_eq(a->order[i].field, b->order[i].field) ||
            a->order[i].sort != b->order[i].sort || a->order[i].is_pk != b->order[i].is_pk)
            return "the order";
    for (size_t i = 0; i < a->ncursor; i++)
        if (!hg_slice_eq(a->cursor[i].field, b->cursor[i].field) ||
            !same_value(&a->cursor[i].value, &b->cursor[i].value))
            return "the cursor";
    return a->wrapper ? same_filter(a->wrapper, b->wrapper) : NULL;
}

/* ---- there and back ---- */

/* What StreamingSqlDataFilter can hold of q: no offset, no strict_after, always a limit. */
static struct hg_query as_control(const struct hg_query *q)
{
    struct hg_query c = *q;
    c.limit = q->has_limit ? q->limit : HG_QUERY_DEFAULT_LIMIT;
    c.has_limit = c.strict_after = true;
    c.offset = 0;
    return c;
}

static const char *through_control(const struct hg_query *q)
{
    struct hg_buf b = {0}, again = {0};
    struct hg_query *back = NULL;
    char why[HG_QUERY_WHY_MAX];
    const struct hg_query expected = as_control(q);
    const char *fault = NULL;
    hg_query_put_control(&b, q);
    if (!fb_verify_query(b.p, b.n))
        fault = "the StreamingSqlDataFilter does not verify";
    else if (b.n > HG_QUERY_MAX_FB) /* of a client it would be refused */
        fault = NULL;
    else if (hg_query_from_fb(hg_buf_slice(&b), false, &back, why) != 0)
        fault = "the StreamingSqlDataFilter is refused";
    else
        fault = query_same(&expected, back);
    if (back) {
        hg_query_put_control(&again, back);
        if (!fault && !hg_slice_eq(hg_buf_slice(&b), hg_buf_slice(&again)))
            fault = "written again it has other bytes";
    }
    hg_query_free(back);
    hg_buf_fini(&b);
    hg_buf_fini(&again);
    return fault;
}

/* What GET_DATA can hold of q: no hash, no schema_version; 0 is no limit. */
static struct hg_query as_get_data(const struct hg_query *q)
{
    struct hg_query g = *q;
    g.hash = HG_SLICE_LIT("");
    g.schema_version = 1;
    g.has_limit = q->has_limit && q->limit != 0;
    return g;
}

static const char *through_get_data(const struct hg_query *q)
{
    const struct hg_sqlrpc_call call = {HG_SLICE_LIT("id"), HG_SLICE_LIT("replies"),
                                        HG_SLICE_LIT("demo"), HG_SLICE_LIT("items")};
    const struct hg_query expected = as_get_data(q);
    struct hg_buf b = {0};
    struct hg_request r = {0};
    char why[HG_QUERY_WHY_MAX];
    const char *fault = NULL;
    hg_query_put_get_data(&b, &call, q, 0);
    if (!fb_verify_request(b.p, b.n))
        fault = "the request does not verify";
    else if (hg_request_decode(hg_buf_slice(&b), &r, why) < 0)
        fault = "the request is refused";
    else if (r.method != HG_SQLRPC_GET_DATA || !hg_slice_is(r.call.table, "items") ||
             !hg_slice_is(r.call.company, "demo") || !hg_slice_is(r.call.correlation_id, "id"))
        fault = "the request's envelope is another";
    else
        fault = query_same(&expected, r.query);
    hg_request_fini(&r);
    hg_buf_fini(&b);
    return fault;
}

static const char *through_json(const struct hg_query *q)
{
    struct hg_buf b = {0};
    struct hg_query *back;
    char why[HG_QUERY_WHY_MAX];
    const char *fault;
    hg_query_put_json(&b, q);
    if (hg_query_from_json(hg_buf_slice(&b), false, &back, why) != 0)
        fault = "its JSON is refused";
    else
        fault = query_same(q, back);
    hg_query_free(back);
    hg_buf_fini(&b);
    return fault;
}

const char *query_survives(const struct hg_query *q, bool plain)
{
    const char *fault = through_control(q);
    if (!fault)
        fault = through_get_data(q);
    return !fault && plain ? through_json(q) : fault;
}
