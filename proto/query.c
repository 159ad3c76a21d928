/* Making, freeing and writing of queries; the reading is in query_json.c and fb_read.cc, the
 * judging in query_check.c. */
#include "proto/query.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "common/base/map.h"
#include "proto/query_json.h"
#include "proto/request.h"
#include "proto/sqlrpc_put.h"

/* ---- making ---- */

static struct hg_query *new_query(void)
{
    struct hg_query *q = hg_calloc(1, sizeof(*q));
    q->hash = HG_SLICE_LIT("");
    q->schema_version = 1;
    q->strict_after = true;
    return q;
}

void hg_query_free(struct hg_query *q)
{
    if (!q)
        return;
    hg_pool_fini(&q->pool);
    if (q->source)
        q->source_free(q->source);
    free(q);
}

static int hand_over(struct hg_query *made, int rc, struct hg_query **q)
{
    if (rc < 0)
        hg_query_free(made), made = NULL;
    *q = made;
    return rc < 0 ? rc : 0;
}

static void free_doc(void *source)
{
    hg_json_fini(source);
    free(source);
}

static int refuse(char why[HG_QUERY_WHY_MAX], const char *text)
{
    const struct hg_query_path top = {.text = "$", .n = 1};
    return hg_query_fault(&top, why, "%s", text);
}

static int parse(struct hg_slice json, struct hg_json *doc, char why[HG_QUERY_WHY_MAX])
{
    /* A wrapper is two levels of JSON: itself and its filters; below the deepest hangs a value of
     * three more. */
    const struct hg_json_limits limits = {HG_QUERY_MAX_JSON, 2 * HG_QUERY_MAX_DEPTH + 8,
                                          HG_JSON_MAX_VALUES};
    switch (hg_json_parse(json, &limits, doc)) {
    case 0:
        return 0;
    case -HG_E_DEPTH:
        return refuse(why, "nested too deep");
    case -HG_E_TOO_BIG:
        return refuse(why, "too large");
    default:
        return refuse(why, "not JSON");
    }
}

/* Raw text (an Int64Value given as a number in lenient StringValue) borrows from the text, so that
 * is kept too. */
struct json_source {
    struct hg_json doc; /* first: free_doc frees by it */
    char text[];
};

int hg_query_from_json(struct hg_slice json, bool strict, struct hg_query **q,
                       char why[HG_QUERY_WHY_MAX])
{
    struct hg_query *made = new_query();
    why[0] = '\0';
    if (json.n > HG_QUERY_MAX_JSON)
        return hand_over(made, refuse(why, "too large"), q);
    struct json_source *src = hg_calloc(1, sizeof(*src) + json.n);
    if (json.n > 0)
        memcpy(src->text, json.p, json.n);
    made->source = src;
    made->source_free = free_doc;
    int rc = parse(hg_slice_of(src->text, json.n), &src->doc, why);
    if (rc == 0)
        rc = hg_query_read_json(hg_json_root(&src->doc), strict, made, why);
    if (rc == 0 && strict)
        rc = hg_query_check(made, why);
    return hand_over(made, rc, q);
}

/* The reader wants aligned bytes that stay. */
static void keep_bytes(struct hg_query *q, struct hg_slice bytes)
{
    q->source = hg_malloc(bytes.n);
    q->source_free = free;
    memcpy(q->source, bytes.p, bytes.n);
}

static int from_fb(struct hg_slice bytes, size_t max, bool strict, struct hg_query **q,
                   char why[HG_QUERY_WHY_MAX])
{
    struct hg_query *made = new_query();
    why[0] = '\0';
    if (bytes.n < 8)
        return hand_over(made, refuse(why, "not a StreamingSqlDataFilter"), q);
    if (bytes.n > max)
        return hand_over(made, refuse(why, "too large"), q);
    keep_bytes(made, bytes);
    int rc = hg_query_read_fb(made->source, bytes.n, made, why);
    if (rc == 0 && strict)
        rc = hg_query_check(made, why);
    return hand_over(made, rc, q);
}

int hg_query_from_fb(struct hg_slice bytes, bool strict, struct hg_query **q,
                     char why[HG_QUERY_WHY_MAX])
{
    return from_fb(bytes, HG_QUERY_MAX_FB, strict, q, why);
}

int hg_query_from_control(struct hg_slice bytes, struct hg_query **q, char why[HG_QUERY_WHY_MAX])
{
    return from_fb(bytes, HG_QUERY_MAX_BUILT, false, q, why);
}

int hg_request_decode(struct hg_slice bytes, struct hg_request *r, char why[HG_QUERY_WHY_MAX])
{
    memset(r, 0, sizeof(*r));
    why[0] = '\0';
    if (bytes.n < 8 || bytes.n > HG_REQUEST_MAX)
        return refuse(why, "not a RequestEnvelope");
    r->query = new_query();
    keep_bytes(r->query, bytes);
    return hg_query_read_request(r->query->source, bytes.n, r, why);
}

void hg_request_fini(struct hg_request *r)
{
    hg_query_free(r->query);
    memset(r, 0, sizeof(*r));
}

/* ---- writing ---- */

static uint64_t item_bits(enum hg_value_kind kind, const union hg_value_item *item)
{
    if (kind == HG_VALUE_NUMBER || kind == HG_VALUE_NUMBERS)
        return hg_fb_double(item->number);
    if (kind == HG_VALUE_BOOL || kind == HG_VALUE_BOOLS)
        return item->flag;
    return (uint64_t)item->integer;
}

static unsigned item_size(enum hg_value_kind kind)
{
    return kind == HG_VALUE_BOOL || kind == HG_VALUE_BOOLS ? 1 : 8;
}

static uint32_t put_list(struct hg_fb *fb, const struct hg_value *v)
{
    uint32_t ref;
    if (v->kind == HG_VALUE_STRINGS) {
        uint32_t *refs = hg_calloc(v->n + 1, sizeof(*refs));
        for (size_t i = 0; i < v->n; i++)
            refs[i] = hg_fb_string(fb, v->list[i].text);
        ref = hg_fb_refs(fb, refs, v->n);
        free(refs);
        return ref;
    }
    uint64_t *bits = hg_calloc(v->n + 1, sizeof(*bits));
    for (size_t i = 0; i < v->n; i++)
        bits[i] = item_bits(v->kind, &v->list[i]);
    ref = hg_fb_scalars(fb, bits, v->n, item_size(v->kind));
    free(bits);
    return ref;
}

/* Table of a FilterValue; scalars equal to the wire's default (0) are left out, as builders do. */
static uint32_t put_value(struct hg_fb *fb, const struct hg_value *v)
{
    struct hg_fb_table t = {0};
    if (v->kind >= HG_VALUE_STRINGS)
        hg_fb_set_ref(&t, 0, put_list(fb, v));
    else if (v->kind == HG_VALUE_STRING)
        hg_fb_set_ref(&t, 0, hg_fb_string(fb, v->one.text));
    else if (v->kind != HG_VALUE_NULL && item_bits(v->kind, &v->one) != 0)
        hg_fb_set(&t, 0, item_size(v->kind), item_bits(v->kind, &v->one));
    if (v->kind == HG_VALUE_TIMESTAMP && v->unit != HG_UNIT_MICROS)
        hg_fb_set(&t, 1, 1, v->unit);
    return hg_fb_end(fb, &t);
}

static uint32_t put_modifier(struct hg_fb *fb, const struct hg_filter *f)
{
    struct hg_fb_table t = {0};
    if (!f->has_modifier)
        return 0;
    if (f->distinct)
        hg_fb_set(&t, 0, 1, 1);
    if (f->case_insensitive)
        hg_fb_set(&t, 1, 1, 1);
    hg_fb_set(&t, 2, 1, f->nulls);
    return hg_fb_end(fb, &t);
}

static uint32_t put_basic(struct hg_fb *fb, const struct hg_filter *f)
{
    struct hg_fb_table t = {0};
    hg_fb_set_ref(&t, 0, hg_fb_string(fb, f->field));
    hg_fb_set(&t, 1, 1, f->value.kind);
    hg_fb_set_ref(&t, 2, put_value(fb, &f->value));
    if (f->op != 0)
        hg_fb_set(&t, 3, 1, f->op);
    hg_fb_set_ref(&t, 4, put_modifier(fb, f));
    return hg_fb_end(fb, &t);
}

/* The wire's zero is "or": "and" must be written. */
static uint32_t put_wrapper(struct hg_fb *fb, const struct hg_filter *w)
{
    uint32_t *refs = hg_calloc(w->nkids + 1, sizeof(*refs));
    uint64_t *types = hg_calloc(w->nkids + 1, sizeof(*types));
    struct hg_fb_table t = {0};
    for (size_t i = 0; i < w->nkids; i++) {
        const struct hg_filter *kid = &w->kids[i];
        types[i] = kid->is_wrapper ? 1 : 2;
        refs[i] = kid->is_wrapper ? put_wrapper(fb, kid) : put_basic(fb, kid);
    }
    if (w->all)
        hg_fb_set(&t, 0, 1, 1);
    hg_fb_set_ref(&t, 1, hg_fb_scalars(fb, types, w->nkids, 1));
    hg_fb_set_ref(&t, 2, hg_fb_refs(fb, refs, w->nkids));
    free(refs);
    free(types);
    return hg_fb_end(fb, &t);
}

static uint32_t put_order(struct hg_fb *fb, const struct hg_query *q)
{
    uint32_t *refs = hg_calloc(q->norder + 1, sizeof(*refs));
    for (size_t i = 0; i < q->norder; i++) {
        struct hg_fb_table t = {0};
        hg_fb_set_ref(&t, 0, hg_fb_string(fb, q->order[i].field));
        if (q->order[i].sort != HG_SORT_DEFAULT)
            hg_fb_set(&t, 1, 1, q->order[i].sort);
        if (q->order[i].is_pk)
            hg_fb_set(&t, 2, 1, 1);
        refs[i] = hg_fb_end(fb, &t);
    }
    uint32_t ref = hg_fb_refs(fb, refs, q->norder);
    free(refs);
    return ref;
}

static uint32_t put_cursor(struct hg_fb *fb, const struct hg_query *q)
{
    uint32_t *refs = hg_calloc(q->ncursor + 1, sizeof(*refs));
    for (size_t i = 0; i < q->ncursor; i++) {
        struct hg_fb_table t = {0};
        hg_fb_set_ref(&t, 0, hg_fb_string(fb, q->cursor[i].field));
        hg_fb_set(&t, 1, 1, q->cursor[i].value.kind);
        hg_fb_set_ref(&t, 2, put_value(fb, &q->cursor[i].value));
        refs[i] = hg_fb_end(fb, &t);
    }
    uint32_t ref = hg_fb_refs(fb, refs, q->ncursor);
    free(refs);
    return ref;
}

void hg_query_put_control(struct hg_buf *out, const struct hg_query *q)
{
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0};
    uint32_t limit = q->has_limit ? q->limit : HG_QUERY_DEFAULT_LIMIT;
    hg_fb_set_ref(&t, 0, hg_fb_string(&fb, q->hash));
    if (q->wrapper)
        hg_fb_set_ref(&t, 1, put_wrapper(&fb, q->wrapper));
    if (limit != HG_QUERY_DEFAULT_LIMIT)
        hg_fb_set(&t, 2, 4, limit);
    hg_fb_set_ref(&t, 3, put_order(&fb, q)); /* vectors even when empty: as the sources' encoder */
    hg_fb_set_ref(&t, 4, put_cursor(&fb, q));
    if (q->schema_version != 1)
        hg_fb_set(&t, 5, 2, q->schema_version);
    hg_fb_finish(&fb, hg_fb_end(&fb, &t), out);
}

static void put_query_fields(struct hg_fb *fb, const struct hg_query *q, struct hg_fb_table *t)
{
    if (q->wrapper)
        hg_fb_set_ref(t, 2, put_wrapper(fb, q->wrapper));
    if (q->offset != 0)
        hg_fb_set(t, 4, 4, q->offset);
    if (q->norder > 0)
        hg_fb_set_ref(t, 5, put_order(fb, q));
    if (q->ncursor > 0)
        hg_fb_set_ref(t, 6, put_cursor(fb, q));
    if (!q->strict_after)
        hg_fb_set(t, 7, 1, 0);
}

void hg_query_put_get_data(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                           const struct hg_query *q, uint32_t default_limit)
{
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0};
    uint32_t limit = q && q->has_limit ? q->limit : default_limit;
    hg_fb_set_ref(&t, 0, hg_fb_string(&fb, call->company));
    hg_fb_set_ref(&t, 1, hg_fb_string(&fb, call->table));
    if (limit != 0)
        hg_fb_set(&t, 3, 4, limit);
    if (q)
        put_query_fields(&fb, q, &t);
    hg_sqlrpc_finish(&fb, call, HG_SQLRPC_GET_DATA, hg_fb_end(&fb, &t), out);
}

static uint32_t put_names(struct hg_fb *fb, const struct hg_slice *names, size_t n)
{
    uint32_t *refs = hg_calloc(n + 1, sizeof(*refs));
    for (size_t i = 0; i < n; i++)
        refs[i] = hg_fb_string(fb, names[i]);
    uint32_t ref = n ? hg_fb_refs(fb, refs, n) : 0;
    free(refs);
    return ref;
}

void hg_query_put_aggregation(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              const struct hg_query *q, const struct hg_query_agg *agg)
{
    struct hg_fb fb = {0};
    struct hg_fb_table t = {0};
    hg_fb_set_ref(&t, 0, hg_fb_string(&fb, call->company));
    hg_fb_set_ref(&t, 1, hg_fb_string(&fb, call->table));
    if (agg->count)
        hg_fb_set(&t, 2, 1, 1);
    for (unsigned i = 0; i < 4; i++)
        hg_fb_set_ref(&t, 3 + i, put_names(&fb, agg->of[i].fields, agg->of[i].n));
    if (q && q->wrapper)
        hg_fb_set_ref(&t, 7, put_wrapper(&fb, q->wrapper));
    hg_sqlrpc_finish(&fb, call, HG_SQLRPC_RUN_AGGREGATION, hg_fb_end(&fb, &t), out);
}

/* Two queries that make the same call are the same; the builder has one way to write each. */
uint64_t hg_query_fingerprint(const struct hg_query *q)
{
    const struct hg_sqlrpc_call nobody = {0};
    struct hg_buf b = {0};
    hg_query_put_get_data(&b, &nobody, q, 0);
    uint64_t h = hg_hash_fixed(hg_buf_slice(&b));
    hg_buf_fini(&b);
    return h;
}
