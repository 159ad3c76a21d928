/* The tree of a query's JSON: filters, order, cursor, and what stands on top. See query_json.h. */
#include "proto/query_json.h"

#include "common/base/err.h"
#include "common/base/nearest.h"
#include "common/base/num.h"

#define FAULT HG_QUERY_FAULT
#define FAULT_AT HG_QUERY_FAULT_AT

/* The next word of " a b c ", as a C string; false at the end. */
static bool next_word(const char **list, char word[32])
{
    const char *from = *list + strspn(*list, " ");
    size_t n = strcspn(from, " ");
    *list = from + n;
    HG_BUG_ON(n >= 32);
    memcpy(word, from, n);
    word[n] = '\0';
    return n > 0;
}

static bool is_allowed(struct hg_slice key, const char *allowed)
{
    char word[32];
    while (next_word(&allowed, word))
        if (hg_slice_is(key, word))
            return true;
    return false;
}

static int unknown_member(struct hg_query_reader *r, struct hg_slice key, const char *allowed)
{
    char words[16][32];
    struct hg_nearest near = hg_nearest(key);
    for (unsigned i = 0; i < HG_COUNTOF(words) && next_word(&allowed, words[i]); i++)
        hg_nearest_try(&near, words[i]);
    return FAULT(r, "unknown member \"%.*s\"%s%s", (int)HG_MIN(key.n, 40u), key.p,
                 near.name ? "; nearest: " : "", near.name ? near.name : "");
}

int hg_query_check_keys(struct hg_query_reader *r, struct hg_json_val obj, const char *allowed)
{
    for (struct hg_json_val m = hg_json_first(obj); r->strict && m.node; m = hg_json_next(m))
        if (hg_query_given(m) && !is_allowed(hg_json_key(m), allowed))
            return unknown_member(r, hg_json_key(m), allowed);
    return 0;
}

/* A string member that may not be empty in strict mode; unless strict, whatever it is as text. */
static int read_name(struct hg_query_reader *r, struct hg_json_val obj, const char *key,
                     struct hg_slice *out)
{
    size_t mark = hg_query_enter(&r->path, key);
    int rc = hg_query_read_text(r, hg_json_get(obj, key), out);
    if (rc == 0 && r->strict && out->n == 0)
        rc = FAULT(r, "expected a name");
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}

/* ---- filters ---- */

/* Unknown is never a guess, in no mode: B-21. Missing is equals. */
static int read_operator(struct hg_query_reader *r, struct hg_json_val f, unsigned *op)
{
    struct hg_json_val v = hg_json_get(f, "filter_type");
    struct hg_slice text = hg_json_text(v);
    *op = 0;
    if (!hg_query_given(v))
        return 0;
    int found = hg_query_op_find(text);
    if (found < 0) {
        const char *near = hg_query_op_nearest(text);
        if (!text.p)
            return FAULT_AT(r, "filter_type", "expected a string");
        return FAULT_AT(r, "filter_type", "unknown \"%.*s\"%s%s", (int)HG_MIN(text.n, 40u), text.p,
                        near ? "; nearest: " : "", near ? near : "");
    }
    *op = (unsigned)found;
    return 0;
}

static int read_modifier(struct hg_query_reader *r, struct hg_json_val f, struct hg_filter *out)
{
    struct hg_json_val m = hg_json_get(f, "modifier");
    size_t mark = hg_query_enter(&r->path, "modifier");
    int rc = 0;
    if (hg_json_type(m) != HG_JSON_OBJECT) {
        if (r->strict && hg_query_given(m))
            return FAULT(r, "expected an object");
        hg_query_leave(&r->path, mark);
        return 0;
    }
    out->has_modifier = true;
    out->nulls = HG_NULLS_DEFAULT;
    rc = hg_query_check_keys(r, m, " distinct case_insensitive nulls_order ");
    if (rc == 0)
        rc = hg_query_read_flag(r, m, "distinct", &out->distinct);
    if (rc == 0)
        rc = hg_query_read_flag(r, m, "case_insensitive", &out->case_insensitive);
    if (rc == 0)
        rc = hg_query_read_word(r, m, "nulls_order", hg_query_nulls, HG_NULLS + 1, &out->nulls);
    out->nulls = HG_MIN(out->nulls, (unsigned)HG_NULLS_DEFAULT); /* two names of one */
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}

static int read_filter_value(struct hg_query_reader *r, struct hg_json_val f, struct hg_filter *out)
{
    struct hg_json_val v = hg_json_get(f, "value");
    size_t mark = hg_query_enter(&r->path, "value");
    if (r->strict && !hg_query_given(v) && hg_query_op_needs_value(out->op))
        return FAULT(r, "expected a value for %s", hg_query_op_name(out->op));
    int rc = hg_query_read_value(r, v, &out->value);
    if (rc < 0)
        return rc;
    if (out->value.is_range && !hg_query_op_takes_range(out->op)) {
        if (r->strict)
            return FAULT(r, "a RangeValue is for between, notBetween, rangeContains and "
                            "rangeContainedBy");
        /* Where an operator has no use for a range, the sources saw null. */
        out->value = (struct hg_value){.kind = HG_VALUE_NULL};
    }
    hg_query_leave(&r->path, mark);
    return 0;
}

static int read_basic(struct hg_query_reader *r, struct hg_json_val f, struct hg_filter *out)
{
    int rc = hg_query_check_keys(r, f, " field_name filter_type value modifier ");
    if (rc == 0)
        rc = read_name(r, f, "field_name", &out->field);
    if (rc == 0)
        rc = read_operator(r, f, &out->op);
    if (rc == 0)
        rc = read_modifier(r, f, out);
    return rc < 0 ? rc : read_filter_value(r, f, out);
}

static int read_wrapper(struct hg_query_reader *r, struct hg_json_val w, struct hg_filter *out,
                        unsigned depth);

static int read_child(struct hg_query_reader *r, struct hg_json_val v, struct hg_filter *out,
                      unsigned depth)
{
    struct hg_json_val type = hg_json_get(v, "filter_wrapper_type");
    if (hg_json_type(v) != HG_JSON_OBJECT)
        return FAULT(r, "expected an object");
    if (r->strict ? hg_query_given(type) : hg_json_is_truthy(type))
        return read_wrapper(r, v, out, depth + 1);
    return read_basic(r, v, out);
}

static int read_children(struct hg_query_reader *r, struct hg_json_val filters,
                         struct hg_filter *out, unsigned depth)
{
    size_t n = hg_json_count(filters);
    r->nodes += (unsigned)n;
    if (r->nodes > HG_QUERY_MAX_NODES)
        return FAULT(r, "more than %d filters", HG_QUERY_MAX_NODES);
    out->kids = n ? hg_pool_get(&r->q->pool, n * sizeof(*out->kids)) : NULL;
    for (struct hg_json_val v = hg_json_first(filters); out->nkids < n;
         v = hg_json_next(v), out->nkids++) {
        size_t mark = hg_query_enter_at(&r->path, out->nkids);
        int rc = read_child(r, v, &out->kids[out->nkids], depth);
        if (rc < 0)
            return rc;
        hg_query_leave(&r->path, mark);
    }
    return 0;
}

/* "or" is said, everything else is "and". */
static int read_wrapper_type(struct hg_query_reader *r, struct hg_json_val w, bool *all)
{
    static const char *const words[] = {"or", "and"};
    unsigned word = 1;
    int rc = hg_query_read_word(r, w, "filter_wrapper_type", words, HG_COUNTOF(words), &word);
    *all = word == 1;
    return rc;
}

static int read_wrapper(struct hg_query_reader *r, struct hg_json_val w, struct hg_filter *out,
                        unsigned depth)
{
    struct hg_json_val filters = hg_json_get(w, "filters");
    int rc = hg_query_check_keys(r, w, " filter_wrapper_type filters ");
    out->is_wrapper = true;
    if (rc == 0)
        rc = read_wrapper_type(r, w, &out->all);
    if (rc < 0)
        return rc;
    if (depth > HG_QUERY_MAX_DEPTH)
        return FAULT(r, "nested deeper than %d", HG_QUERY_MAX_DEPTH);
    size_t mark = hg_query_enter(&r->path, "filters");
    if (hg_json_type(filters) == HG_JSON_ARRAY)
        rc = read_children(r, filters, out, depth);
    else if (r->strict)
        rc = FAULT(r, "expected an array");
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}

/* ---- order and cursor ---- */

static int read_order_entry(struct hg_query_reader *r, struct hg_json_val v)
{
    struct hg_order *e = &r->q->order[r->q->norder];
    e->sort = HG_SORT_DEFAULT;
    int rc = hg_query_check_keys(r, v, " field sort is_pk ");
    if (rc == 0)
        rc = read_name(r, v, "field", &e->field);
    if (rc == 0)
        rc = hg_query_read_word(r, v, "sort", hg_query_sorts, HG_SORTS, &e->sort);
    if (rc == 0)
        rc = hg_query_read_flag(r, v, "is_pk", &e->is_pk);
    r->q->norder += rc == 0 && e->field.n > 0;
    return rc;
}

static int read_cursor_entry(struct hg_query_reader *r, struct hg_json_val v)
{
    struct hg_cursor *e = &r->q->cursor[r->q->ncursor];
    *e = (struct hg_cursor){0}; /* one without a field may have been here */
    int rc = hg_query_check_keys(r, v, " field value ");
    if (rc == 0)
        rc = read_name(r, v, "field", &e->field);
    if (rc < 0)
        return rc;
    size_t mark = hg_query_enter(&r->path, "value");
    rc = hg_query_read_value(r, hg_json_get(v, "value"), &e->value);
    if (rc < 0)
        return rc;
    hg_query_leave(&r->path, mark);
    r->q->ncursor += e->field.n > 0;
    return 0;
}

/* An array whose entries go through read; entries without a field are left out unless strict. */
static int read_entries(struct hg_query_reader *r, struct hg_json_val root, const char *key,
                        void **to, size_t size,
                        int (*read)(struct hg_query_reader *, struct hg_json_val))
{
    struct hg_json_val list = hg_json_get(root, key);
    size_t mark = hg_query_enter(&r->path, key), n = hg_json_count(list), i = 0;
    if (hg_json_type(list) != HG_JSON_ARRAY) {
        if (r->strict && hg_query_given(list))
            return FAULT(r, "expected an array");
        n = 0;
    }
    if (n > HG_QUERY_MAX_NODES)
        return FAULT(r, "more than %d entries", HG_QUERY_MAX_NODES);
    *to = n ? hg_pool_get(&r->q->pool, n * size) : NULL;
    for (struct hg_json_val v = hg_json_first(list); i < n; v = hg_json_next(v), i++) {
        size_t at = hg_query_enter_at(&r->path, i);
        if (r->strict && hg_json_type(v) != HG_JSON_OBJECT)
            return FAULT(r, "expected an object");
        int rc = read(r, v);
        if (rc < 0)
            return rc;
        hg_query_leave(&r->path, at);
    }
    hg_query_leave(&r->path, mark);
    return 0;
}

/* ---- the top ---- */

/* Number(), cut to an integer, as the sources' builder does. */
static bool lenient_count(struct hg_json_val v, uint64_t *out)
{
    const char *unused;
    double d;
    if (!hg_json_double(v, &d) && hg_num_double(hg_json_text(v), &d, &unused) < 0)
        return false;
    if (d < 0 || d >= 0x1p53)
        return false;
    *out = (uint64_t)d;
    return true;
}

/* *given stays false for what is absent or, unless strict, unreadable. */
static int read_count(struct hg_query_reader *r, struct hg_json_val root, const char *key,
                      uint32_t max, bool *given, uint32_t *out)
{
    uint64_t n = 0;
    struct hg_json_val v = hg_json_get(root, key);
    if (!hg_query_given(v))
        return 0;
    bool readable = hg_json_u64(v, &n) || (!r->strict && lenient_count(v, &n));
    if (!readable && !r->strict)
        return 0;
    if (!readable || n > max)
        return FAULT_AT(r, key, "expected an integer from 0 to %u", max);
    *given = true;
    *out = (uint32_t)n;
    return 0;
}

static int read_top(struct hg_query_reader *r, struct hg_json_val root)
{
    struct hg_query *q = r->q;
    bool ignored = false;
    uint32_t version = q->schema_version;
    int rc = hg_query_check_keys(
        r, root, " hash schema_version limit offset strict_after wrapper order cursor ");
    if (rc == 0)
        rc = read_count(r, root, "limit", UINT32_MAX, &q->has_limit, &q->limit);
    if (rc == 0)
        rc = read_count(r, root, "offset", UINT32_MAX, &ignored, &q->offset);
    if (rc == 0)
        rc = read_count(r, root, "schema_version", UINT16_MAX, &ignored, &version);
    q->schema_version = version;
    return rc < 0 ? rc : hg_query_read_flag(r, root, "strict_after", &q->strict_after);
}

static int read_hash(struct hg_query_reader *r, struct hg_json_val root)
{
    struct hg_json_val hash = hg_json_get(root, "hash");
    size_t mark = hg_query_enter(&r->path, "hash");
    int rc = hg_query_given(hash) ? hg_query_read_text(r, hash, &r->q->hash) : 0;
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}

static int read_root_wrapper(struct hg_query_reader *r, struct hg_json_val root)
{
    struct hg_json_val wrapper = hg_json_get(root, "wrapper");
    size_t mark = hg_query_enter(&r->path, "wrapper");
    int rc = 0;
    if (hg_json_type(wrapper) == HG_JSON_OBJECT) {
        r->q->wrapper = hg_pool_get(&r->q->pool, sizeof(*r->q->wrapper));
        rc = read_wrapper(r, wrapper, r->q->wrapper, 1);
    } else if (r->strict && hg_query_given(wrapper)) {
        rc = FAULT(r, "expected an object");
    }
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}

int hg_query_read_json(struct hg_json_val root, bool strict, struct hg_query *q,
                       char why[HG_QUERY_WHY_MAX])
{
    struct hg_query_reader r = {
        .q = q, .strict = strict, .path = {.text = "$", .n = 1}, .why = why};
    if (hg_json_type(root) != HG_JSON_OBJECT)
        return FAULT(&r, "expected an object");
    int rc = read_top(&r, root);
    if (rc == 0)
        rc = read_hash(&r, root);
    if (rc == 0)
        rc = read_root_wrapper(&r, root);
    if (rc == 0)
        rc = read_entries(&r, root, "order", (void **)&q->order, sizeof(*q->order),
                          read_order_entry);
    if (rc == 0)
        rc = read_entries(&r, root, "cursor", (void **)&q->cursor, sizeof(*q->cursor),
                          read_cursor_entry);
    return rc;
}
