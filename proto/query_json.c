#include "proto/query_json.h"

#include <stdio.h>
#include "common/base/err.h"
#include "common/base/num.h"

struct reader {
    struct hg_query *q;
    bool strict;
    struct hg_query_path path;
    char *why;
    unsigned nodes;
};

#define FAULT(r, ...) hg_query_fault(&(r)->path, (r)->why, __VA_ARGS__)

static bool is_given(struct hg_json_val v)
{
    return v.node && hg_json_type(v) != HG_JSON_NULL;
}

/* In strict mode an unknown key is a fault: a misspelt "wrapper" must not become the whole table.
 * allowed: " a b c ". */
static int check_keys(struct reader *r, struct hg_json_val obj, const char *allowed)
{
    char padded[64];
    for (struct hg_json_val m = hg_json_first(obj); r->strict && m.node; m = hg_json_next(m)) {
        struct hg_slice key = hg_json_key(m);
        if (hg_json_type(m) == HG_JSON_NULL)
            continue;
        snprintf(padded, sizeof(padded), " %.40s ", key.p);
        if (key.n > 40 || strchr(key.p, ' ') || !strstr(allowed, padded))
            return FAULT(r, "unknown member \"%.40s\"", key.p);
    }
    return 0;
}

/* ---- scalars ---- */

/* JavaScript's String() of what can sensibly be one. */
static struct hg_slice as_text(struct hg_json_val v)
{
    if (hg_json_type(v) == HG_JSON_STRING)
        return hg_json_text(v);
    return is_given(v) ? hg_json_raw(v) : HG_SLICE_LIT("");
}

static int read_text(struct reader *r, struct hg_json_val v, union hg_value_item *out)
{
    out->text = as_text(v);
    if (r->strict && hg_json_type(v) != HG_JSON_STRING)
        return FAULT(r, "expected a string");
    return 0;
}

static int read_number(struct reader *r, struct hg_json_val v, union hg_value_item *out)
{
    const char *unused;
    if (hg_json_double(v, &out->number))
        return 0;
    if (!r->strict && hg_json_type(v) == HG_JSON_STRING &&
        hg_num_double(hg_json_text(v), &out->number, &unused) == 0)
        return 0;
    if (!r->strict && !is_given(v)) {
        out->number = 0;
        return 0;
    }
    return FAULT(r, "expected a number");
}

/* Decimal text or an integer, exact to 64 bits in both. */
static int read_integer(struct reader *r, struct hg_json_val v, union hg_value_item *out)
{
    const char *unused;
    struct hg_slice text = hg_json_text(v);
    if (text.p ? hg_num_i64(text, &out->integer, &unused) == 0 : hg_json_i64(v, &out->integer))
        return 0;
    if (!r->strict && !is_given(v)) {
        out->integer = 0;
        return 0;
    }
    return FAULT(r, "expected an integer of 64 bits, or its decimal text");
}

static int read_flag(struct reader *r, struct hg_json_val v, union hg_value_item *out)
{
    out->flag = hg_json_is_truthy(v);
    return r->strict && hg_json_type(v) != HG_JSON_BOOL ? FAULT(r, "expected true or false") : 0;
}

/* ---- tagged values ---- */

typedef int (*read_item_fn)(struct reader *r, struct hg_json_val v, union hg_value_item *out);

static const struct kind {
    const char *name;
    enum hg_value_kind kind;
    read_item_fn read;
    const char *member;
} kinds[] = {
    {"StringValue", HG_VALUE_STRING, read_text, "value"},
    {"NumberValue", HG_VALUE_NUMBER, read_number, "value"},
    {"BoolValue", HG_VALUE_BOOL, read_flag, "value"},
    {"NullValue", HG_VALUE_NULL, NULL, NULL},
    {"Int64Value", HG_VALUE_INT64, read_integer, "value"},
    {"TimestampValue", HG_VALUE_TIMESTAMP, read_integer, "epoch"},
    {"StringList", HG_VALUE_STRINGS, read_text, "values"},
    {"Int64List", HG_VALUE_INT64S, read_integer, "values"},
    {"Float64List", HG_VALUE_NUMBERS, read_number, "values"},
    {"BoolList", HG_VALUE_BOOLS, read_flag, "values"},
};

static const struct kind *find_kind(struct hg_slice name)
{
    for (size_t i = 0; i < HG_COUNTOF(kinds); i++)
        if (hg_slice_is(name, kinds[i].name))
            return &kinds[i];
    return NULL;
}

static int read_unit(struct reader *r, struct hg_json_val v, unsigned *out)
{
    static const char *const units[HG_UNITS] = {"SECONDS", "MILLIS", "MICROS", "NANOS"};
    *out = HG_UNIT_MICROS;
    for (unsigned i = 0; i < HG_UNITS; i++) {
        if (hg_slice_is(hg_json_text(v), units[i])) {
            *out = i;
            return 0;
        }
    }
    return r->strict && is_given(v) ? FAULT(r, "expected SECONDS, MILLIS, MICROS or NANOS") : 0;
}

static int read_list(struct reader *r, const struct kind *k, struct hg_json_val values,
                     struct hg_value *out)
{
    if (hg_json_type(values) != HG_JSON_ARRAY)
        return r->strict ? FAULT(r, "expected an array") : 0;
    size_t n = hg_json_count(values);
    out->list = n ? hg_pool_get(&r->q->pool, n * sizeof(*out->list)) : NULL;
    for (struct hg_json_val v = hg_json_first(values); v.node; v = hg_json_next(v), out->n++) {
        size_t mark = hg_query_enter_at(&r->path, out->n);
        int rc = k->read(r, v, &out->list[out->n]);
        if (rc < 0)
            return rc;
        hg_query_leave(&r->path, mark);
    }
    return 0;
}

static int read_kind(struct reader *r, const struct kind *k, struct hg_json_val payload,
                     struct hg_value *out)
{
    out->kind = k->kind;
    if (!k->member)
        return 0;
    struct hg_json_val member = hg_json_get(payload, k->member);
    size_t mark = hg_query_enter(&r->path, k->member);
    int rc =
        k->kind >= HG_VALUE_STRINGS ? read_list(r, k, member, out) : k->read(r, member, &out->one);
    if (rc < 0)
        return rc;
    hg_query_leave(&r->path, mark);
    return k->kind == HG_VALUE_TIMESTAMP ? read_unit(r, hg_json_get(payload, "unit"), &out->unit)
                                         : 0;
}

/* A range is no member of FilterValue (B-22): two ends of one kind, both inside, travel as a list
 * of two. */
static int read_range(struct reader *r, struct hg_json_val range, struct hg_value *out);

static int read_value(struct reader *r, struct hg_json_val v, struct hg_value *out)
{
    struct hg_json_val first = hg_json_first(v);
    out->kind = HG_VALUE_NULL;
    if (!is_given(v))
        return 0;
    if (hg_json_type(v) != HG_JSON_OBJECT || !first.node)
        return r->strict ? FAULT(r, "expected an object with one kind, as {\"StringValue\":{...}}")
                         : 0;
    const struct kind *k = find_kind(hg_json_key(first));
    bool range = hg_slice_is(hg_json_key(first), "RangeValue");
    if (!k && !range)
        return r->strict ? FAULT(r, "unknown kind \"%.40s\"", hg_json_key(first).p) : 0;
    if (r->strict && k != &kinds[HG_VALUE_NULL - 1] && hg_json_type(first) != HG_JSON_OBJECT)
        return FAULT(r, "expected an object in %s", hg_json_key(first).p);
    size_t mark = hg_query_enter(&r->path, range ? "RangeValue" : k->name);
    int rc = range ? read_range(r, first, out) : read_kind(r, k, first, out);
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}

static bool is_open(struct hg_json_val include)
{
    return is_given(include) && !hg_json_is_truthy(include);
}

static int read_range(struct reader *r, struct hg_json_val range, struct hg_value *out)
{
    static const enum hg_value_kind lists[] = {[HG_VALUE_STRING] = HG_VALUE_STRINGS,
                                               [HG_VALUE_NUMBER] = HG_VALUE_NUMBERS,
                                               [HG_VALUE_INT64] = HG_VALUE_INT64S};
    struct hg_json_val ends[2] = {hg_json_get(range, "low"), hg_json_get(range, "high")};
    struct hg_value read[2] = {0};
    if (is_open(hg_json_get(range, "include_low")) || is_open(hg_json_get(range, "include_high")))
        return FAULT(
            r,
            "an end that is not included cannot be expressed; use and with lessThan, greaterThan");
    for (int i = 0; i < 2; i++) {
        if (hg_slice_is(hg_json_key(hg_json_first(ends[i])), "RangeValue"))
            return FAULT(r, "a range inside a range");
        int rc = read_value(r, ends[i], &read[i]);
        if (rc < 0)
            return rc;
    }
    if (read[0].kind != read[1].kind || read[0].kind >= HG_COUNTOF(lists) || !lists[read[0].kind])
        return FAULT(r, "expected two ends of one kind: StringValue, NumberValue or Int64Value");
    out->kind = lists[read[0].kind];
    out->is_range = true;
    out->n = 2;
    out->list = hg_pool_get(&r->q->pool, 2 * sizeof(*out->list));
    out->list[0] = read[0].one;
    out->list[1] = read[1].one;
    return 0;
}

/* ---- filters ---- */

static int read_operator(struct reader *r, struct hg_json_val v, unsigned *op)
{
    *op = 0; /* a missing type is equals */
    if (!is_given(v))
        return 0;
    int found = hg_query_op_find(hg_json_text(v));
    if (found < 0) /* never a guess, in no mode: B-21 */
        return FAULT(r, "unknown filter_type %.*s", (int)HG_MIN(hg_json_raw(v).n, 40),
                     hg_json_raw(v).p);
    *op = (unsigned)found;
    return 0;
}

static int read_nulls(struct reader *r, struct hg_json_val v, unsigned *out)
{
    static const char *const words[] = {"first", "last", "default", "default_"};
    *out = HG_NULLS_DEFAULT;
    for (unsigned i = 0; i < HG_COUNTOF(words); i++) {
        if (hg_slice_is(hg_json_text(v), words[i])) {
            *out = HG_MIN(i, (unsigned)HG_NULLS_DEFAULT);
            return 0;
        }
    }
    return r->strict && is_given(v) ? FAULT(r, "expected first, last or default in nulls_order")
                                    : 0;
}

static int read_modifier(struct reader *r, struct hg_json_val m, struct hg_filter *out)
{
    if (hg_json_type(m) != HG_JSON_OBJECT)
        return r->strict && is_given(m) ? FAULT(r, "expected an object in modifier") : 0;
    int rc = check_keys(r, m, " distinct case_insensitive nulls_order ");
    if (rc < 0)
        return rc;
    out->has_modifier = true;
    out->distinct = hg_json_is_truthy(hg_json_get(m, "distinct"));
    out->case_insensitive = hg_json_is_truthy(hg_json_get(m, "case_insensitive"));
    return read_nulls(r, hg_json_get(m, "nulls_order"), &out->nulls);
}

/* Where an operator has no use for a range, the sources saw null. */
static bool takes_range(unsigned op)
{
    return op >= 29 && op <= 32;
}

static int read_basic(struct reader *r, struct hg_json_val f, struct hg_filter *out)
{
    struct hg_json_val name = hg_json_get(f, "field_name");
    int rc = check_keys(r, f, " field_name filter_type value modifier filter_wrapper_type ");
    if (rc < 0)
        return rc;
    out->field = as_text(name);
    if (r->strict && hg_json_text(name).n == 0)
        return FAULT(r, "expected a field_name");
    rc = read_operator(r, hg_json_get(f, "filter_type"), &out->op);
    if (rc == 0)
        rc = read_modifier(r, hg_json_get(f, "modifier"), out);
    if (rc < 0)
        return rc;
    size_t mark = hg_query_enter(&r->path, "value");
    rc = read_value(r, hg_json_get(f, "value"), &out->value);
    if (rc < 0)
        return rc;
    if (out->value.is_range && !takes_range(out->op)) {
        if (r->strict)
            return FAULT(r, "a RangeValue is for between and notBetween");
        out->value = (struct hg_value){.kind = HG_VALUE_NULL};
    }
    hg_query_leave(&r->path, mark);
    return 0;
}

static int read_wrapper(struct reader *r, struct hg_json_val w, struct hg_filter *out,
                        unsigned depth);

static int read_child(struct reader *r, struct hg_json_val v, struct hg_filter *out, unsigned depth)
{
    if (hg_json_type(v) != HG_JSON_OBJECT)
        return FAULT(r, "expected an object");
    if (hg_json_is_truthy(hg_json_get(v, "filter_wrapper_type")))
        return read_wrapper(r, v, out, depth + 1);
    return read_basic(r, v, out);
}

static int read_children(struct reader *r, struct hg_json_val filters, struct hg_filter *out,
                         unsigned depth)
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

static int read_wrapper(struct reader *r, struct hg_json_val w, struct hg_filter *out,
                        unsigned depth)
{
    struct hg_json_val type = hg_json_get(w, "filter_wrapper_type"),
                       filters = hg_json_get(w, "filters");
    int rc = check_keys(r, w, " filter_wrapper_type filters ");
    if (rc < 0)
        return rc;
    out->is_wrapper = true;
    out->all = !hg_slice_is(hg_json_text(type), "or");
    if (r->strict && out->all && is_given(type) && !hg_slice_is(hg_json_text(type), "and"))
        return FAULT(r, "expected \"and\" or \"or\" in filter_wrapper_type");
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

/* ---- the rest ---- */

static int read_sort(struct reader *r, struct hg_json_val v, unsigned *out)
{
    static const char *const sorts[HG_SORTS] = {"ASC_DEFAULT",      "ASC_NULLS_FIRST",
                                                "ASC_NULLS_LAST",   "DESC_DEFAULT",
                                                "DESC_NULLS_FIRST", "DESC_NULLS_LAST"};
    *out = HG_SORT_DEFAULT;
    for (unsigned i = 0; i < HG_SORTS; i++) {
        if (hg_slice_is(hg_json_text(v), sorts[i])) {
            *out = i;
            return 0;
        }
    }
    return r->strict && is_given(v)
               ? FAULT(r, "expected one of ASC_DEFAULT ... DESC_NULLS_LAST in sort")
               : 0;
}

static int read_order_entry(struct reader *r, struct hg_json_val v)
{
    struct hg_order *e = &r->q->order[r->q->norder];
    e->field = hg_json_text(hg_json_get(v, "field"));
    if (e->field.n == 0)
        return r->strict ? FAULT(r, "expected an object with a field") : 0;
    e->is_pk = hg_json_is_truthy(hg_json_get(v, "is_pk"));
    r->q->norder++;
    return read_sort(r, hg_json_get(v, "sort"), &e->sort);
}

static int read_cursor_entry(struct reader *r, struct hg_json_val v)
{
    struct hg_cursor *e = &r->q->cursor[r->q->ncursor];
    e->field = hg_json_text(hg_json_get(v, "field"));
    if (e->field.n == 0)
        return r->strict ? FAULT(r, "expected an object with a field") : 0;
    r->q->ncursor++;
    return read_value(r, hg_json_get(v, "value"), &e->value);
}

/* An array whose entries go through read; entries without a field are left out unless strict. */
static int read_entries(struct reader *r, struct hg_json_val root, const char *key, void **to,
                        size_t size, int (*read)(struct reader *, struct hg_json_val))
{
    struct hg_json_val list = hg_json_get(root, key);
    size_t mark = hg_query_enter(&r->path, key), n = hg_json_count(list), i = 0;
    if (hg_json_type(list) != HG_JSON_ARRAY) {
        if (r->strict && is_given(list))
            return FAULT(r, "expected an array");
        n = 0;
    }
    if (n > HG_QUERY_MAX_NODES)
        return FAULT(r, "more than %d entries", HG_QUERY_MAX_NODES);
    *to = n ? hg_pool_get(&r->q->pool, n * size) : NULL;
    for (struct hg_json_val v = hg_json_first(list); i < n; v = hg_json_next(v), i++) {
        size_t at = hg_query_enter_at(&r->path, i);
        int rc = read(r, v);
        if (rc < 0)
            return rc;
        hg_query_leave(&r->path, at);
    }
    hg_query_leave(&r->path, mark);
    return 0;
}

/* *given stays false for what is absent or, unless strict, unreadable. */
static int read_count(struct reader *r, struct hg_json_val root, const char *key, uint32_t max,
                      bool *given, uint32_t *out)
{
    uint64_t n = 0;
    const char *unused;
    struct hg_json_val v = hg_json_get(root, key);
    if (!is_given(v))
        return 0;
    bool ok = hg_json_u64(v, &n) || (!r->strict && hg_num_u64(hg_json_text(v), &n, &unused) == 0);
    if (ok && n <= max) {
        *given = true;
        *out = (uint32_t)n;
        return 0;
    }
    hg_query_enter(&r->path, key);
    return r->strict || ok ? FAULT(r, "expected an integer from 0 to %u", max) : 0;
}

static int read_top(struct reader *r, struct hg_json_val root)
{
    struct hg_query *q = r->q;
    bool ignored = false;
    uint32_t version = 1;
    int rc =
        check_keys(r, root, " hash schema_version limit offset strict_after wrapper order cursor ");
    if (rc == 0)
        rc = read_count(r, root, "limit", UINT32_MAX, &q->has_limit, &q->limit);
    if (rc == 0)
        rc = read_count(r, root, "offset", UINT32_MAX, &ignored, &q->offset);
    if (rc == 0)
        rc = read_count(r, root, "schema_version", UINT16_MAX, &ignored, &version);
    q->schema_version = version;
    q->hash = as_text(hg_json_get(root, "hash"));
    struct hg_json_val after = hg_json_get(root, "strict_after");
    q->strict_after = !is_given(after) || hg_json_is_truthy(after);
    return rc;
}

int hg_query_read_json(struct hg_json_val root, bool strict, struct hg_query *q,
                       char why[HG_QUERY_WHY_MAX])
{
    struct reader r = {.q = q, .strict = strict, .path = {.text = "$", .n = 1}, .why = why};
    if (hg_json_type(root) != HG_JSON_OBJECT)
        return FAULT(&r, "expected an object");
    int rc = read_top(&r, root);
    if (rc < 0)
        return rc;
    struct hg_json_val wrapper = hg_json_get(root, "wrapper");
    if (hg_json_type(wrapper) == HG_JSON_OBJECT) {
        size_t mark = hg_query_enter(&r.path, "wrapper");
        q->wrapper = hg_pool_get(&q->pool, sizeof(*q->wrapper));
        rc = read_wrapper(&r, wrapper, q->wrapper, 1);
        if (rc < 0)
            return rc;
        hg_query_leave(&r.path, mark);
    } else if (strict && is_given(wrapper)) {
        hg_query_enter(&r.path, "wrapper");
        return FAULT(&r, "expected an object");
    }
    rc = read_entries(&r, root, "order", (void **)&q->order, sizeof(*q->order), read_order_entry);
    return rc < 0 ? rc
                  : read_entries(&r, root, "cursor", (void **)&q->cursor, sizeof(*q->cursor),
                                 read_cursor_entry);
}
