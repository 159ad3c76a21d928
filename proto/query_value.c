/* The tagged values of a query's JSON: {"Kind":{...}}. See query_json.h. */
#include "common/base/err.h"
#include "common/base/nearest.h"
#include "common/base/num.h"
#include "proto/query_json.h"

#define FAULT HG_QUERY_FAULT
#define FAULT_AT HG_QUERY_FAULT_AT

/* ---- scalars ---- */

/* JavaScript's String(), but for objects and arrays: those as written. */
static struct hg_slice text_of(struct hg_query_reader *r, struct hg_json_val v)
{
    char room[HG_NUM_JS_TEXT];
    struct hg_slice s = hg_json_number_text(v, room);

    if (!s.p)
        return hg_query_given(v) ? hg_json_raw(v) : HG_SLICE_LIT("");
    return s.p == room ? hg_slice_of(memcpy(hg_pool_get(&r->q->pool, s.n), room, s.n), s.n) : s;
}

int hg_query_read_text(struct hg_query_reader *r, struct hg_json_val v, struct hg_slice *out)
{
    bool is_text = hg_json_type(v) == HG_JSON_STRING;
    *out = is_text ? hg_json_text(v) : text_of(r, v);
    if (!r->strict)
        return 0;
    if (!is_text)
        return FAULT(r, "expected a string");
    return hg_json_is_mended(v) ? FAULT(r, "a surrogate without its partner") : 0;
}

static int read_text(struct hg_query_reader *r, struct hg_json_val v, union hg_value_item *out)
{
    return hg_query_read_text(r, v, &out->text);
}

/* Absent is "", but an element that is null is a text like any other. */
static int read_text_element(struct hg_query_reader *r, struct hg_json_val v,
                             union hg_value_item *out)
{
    int rc = read_text(r, v, out);
    if (rc == 0 && hg_json_type(v) == HG_JSON_NULL)
        out->text = HG_SLICE_LIT("null");
    return rc;
}

/* What JavaScript's Number() makes of it, as far as that is a number. */
static bool lenient_number(struct hg_json_val v, double *out)
{
    const char *unused;
    if (hg_json_type(v) == HG_JSON_STRING)
        return hg_num_double(hg_json_text(v), out, &unused) == 0;
    *out = hg_json_is_true(v);
    return !hg_query_given(v) || hg_json_type(v) == HG_JSON_BOOL;
}

static int read_number(struct hg_query_reader *r, struct hg_json_val v, union hg_value_item *out)
{
    if (hg_json_double(v, &out->number) || (!r->strict && lenient_number(v, &out->number)))
        return 0;
    return FAULT(r, "expected a number that a double can hold");
}

/* Decimal text or an integer, exact to 64 bits in both. */
static int read_integer(struct hg_query_reader *r, struct hg_json_val v, union hg_value_item *out)
{
    const char *unused;
    struct hg_slice text = hg_json_text(v);
    if (text.p ? hg_num_i64(text, &out->integer, &unused) == 0 : hg_json_i64(v, &out->integer))
        return 0;
    if (!r->strict && !hg_query_given(v)) {
        out->integer = 0;
        return 0;
    }
    return FAULT(r, "expected an integer of 64 bits, or its decimal text");
}

static int read_flag(struct hg_query_reader *r, struct hg_json_val v, union hg_value_item *out)
{
    out->flag = hg_json_is_truthy(v);
    return r->strict && hg_json_type(v) != HG_JSON_BOOL ? FAULT(r, "expected true or false") : 0;
}

int hg_query_read_flag(struct hg_query_reader *r, struct hg_json_val obj, const char *key,
                       bool *out)
{
    struct hg_json_val v = hg_json_get(obj, key);
    if (!hg_query_given(v))
        return 0;
    *out = hg_json_is_truthy(v);
    if (r->strict && hg_json_type(v) != HG_JSON_BOOL)
        return FAULT_AT(r, key, "expected true or false");
    return 0;
}

static int unknown_word(struct hg_query_reader *r, struct hg_slice given, const char *const *words,
                        unsigned n)
{
    struct hg_nearest near = hg_nearest(given);
    for (unsigned i = 0; i < n; i++)
        hg_nearest_try(&near, words[i]);
    return FAULT(r, "unknown \"%.*s\"%s%s", (int)HG_MIN(given.n, 40u), given.p,
                 near.name ? "; nearest: " : "", near.name ? near.name : "");
}

int hg_query_read_word(struct hg_query_reader *r, struct hg_json_val obj, const char *key,
                       const char *const *words, unsigned n, unsigned *out)
{
    struct hg_json_val v = hg_json_get(obj, key);
    struct hg_slice text = hg_json_text(v);
    for (unsigned i = 0; i < n; i++) {
        if (hg_slice_is(text, words[i])) {
            *out = i;
            return 0;
        }
    }
    if (!r->strict || !hg_query_given(v))
        return 0;
    hg_query_enter(&r->path, key);
    return text.p ? unknown_word(r, text, words, n) : FAULT(r, "expected a string");
}

/* ---- kinds ---- */

typedef int (*read_item_fn)(struct hg_query_reader *r, struct hg_json_val v,
                            union hg_value_item *out);

static const struct kind {
    enum hg_value_kind kind;
    read_item_fn read;
    const char *member;
    const char *members; /* all there are */
    enum hg_value_kind
        list; /* what two of it make: the ends of a range; 0: there is no such list */
} kinds[] = {
    {HG_VALUE_STRING, read_text, "value", " value ", HG_VALUE_STRINGS},
    {HG_VALUE_NUMBER, read_number, "value", " value ", HG_VALUE_NUMBERS},
    {HG_VALUE_BOOL, read_flag, "value", " value ", HG_VALUE_BOOLS},
    {HG_VALUE_NULL, NULL, NULL, " ", 0},
    {HG_VALUE_INT64, read_integer, "value", " value ", HG_VALUE_INT64S},
    {HG_VALUE_TIMESTAMP, read_integer, "epoch", " epoch unit ", 0},
    {HG_VALUE_STRINGS, read_text_element, "values", " values ", 0},
    {HG_VALUE_INT64S, read_integer, "values", " values ", 0},
    {HG_VALUE_NUMBERS, read_number, "values", " values ", 0},
    {HG_VALUE_BOOLS, read_flag, "values", " values ", 0},
};

static const struct kind *find_kind(struct hg_slice name)
{
    for (size_t i = 0; i < HG_COUNTOF(kinds); i++)
        if (hg_slice_is(name, hg_query_kind_names[kinds[i].kind]))
            return &kinds[i];
    return NULL;
}

static int unknown_kind(struct hg_query_reader *r, struct hg_slice given)
{
    return unknown_word(r, given, hg_query_kind_names + 1, HG_VALUE_KINDS);
}

static int read_list(struct hg_query_reader *r, const struct kind *k, struct hg_json_val values,
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

static int read_unit(struct hg_query_reader *r, struct hg_json_val payload, unsigned *out)
{
    *out = HG_UNIT_MICROS;
    return hg_query_read_word(r, payload, "unit", hg_query_units, HG_UNITS, out);
}

static int read_kind(struct hg_query_reader *r, const struct kind *k, struct hg_json_val payload,
                     struct hg_value *out)
{
    int rc = hg_query_check_keys(r, payload, k->members);
    out->kind = k->kind;
    if (rc < 0 || !k->member)
        return rc;
    struct hg_json_val member = hg_json_get(payload, k->member);
    size_t mark = hg_query_enter(&r->path, k->member);
    rc = k->kind >= HG_VALUE_STRINGS ? read_list(r, k, member, out) : k->read(r, member, &out->one);
    if (rc < 0)
        return rc;
    hg_query_leave(&r->path, mark);
    return k->kind == HG_VALUE_TIMESTAMP ? read_unit(r, payload, &out->unit) : 0;
}

/* ---- ranges ---- */

static int read_included(struct hg_query_reader *r, struct hg_json_val range, const char *key)
{
    bool included = true;
    int rc = hg_query_read_flag(r, range, key, &included);
    if (rc == 0 && !included)
        rc = FAULT_AT(r, key,
                      "an end that is not included cannot be expressed; use and with lessThan, "
                      "greaterThan");
    return rc;
}

static int read_end(struct hg_query_reader *r, struct hg_json_val range, const char *key,
                    struct hg_value *out)
{
    struct hg_json_val end = hg_json_get(range, key);
    size_t mark = hg_query_enter(&r->path, key);
    if (hg_slice_is(hg_json_key(hg_json_first(end)), "RangeValue"))
        return FAULT(r, "a range inside a range");
    int rc = hg_query_read_value(r, end, out);
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}

/* A range is no member of FilterValue (B-22): two ends of one kind, both inside, travel as a list
 * of two. */
static int read_range(struct hg_query_reader *r, struct hg_json_val range, struct hg_value *out)
{
    struct hg_value low = {0}, high = {0};
    int rc = hg_query_check_keys(r, range, " low high include_low include_high ");
    if (rc == 0)
        rc = read_included(r, range, "include_low");
    if (rc == 0)
        rc = read_included(r, range, "include_high");
    if (rc == 0)
        rc = read_end(r, range, "low", &low);
    if (rc == 0)
        rc = read_end(r, range, "high", &high);
    if (rc < 0)
        return rc;
    out->kind = kinds[low.kind - 1].list;
    if (low.kind != high.kind || !out->kind)
        return FAULT(r,
                     "expected two ends of one kind: StringValue, NumberValue, BoolValue or "
                     "Int64Value; for others use and with greaterThanOrEquals, lessThanOrEquals");
    out->is_range = true;
    out->n = 2;
    out->list = hg_pool_get(&r->q->pool, 2 * sizeof(*out->list));
    out->list[0] = low.one;
    out->list[1] = high.one;
    return 0;
}

/* ---- all ---- */

int hg_query_read_value(struct hg_query_reader *r, struct hg_json_val v, struct hg_value *out)
{
    struct hg_json_val first = hg_json_first(v);
    out->kind = HG_VALUE_NULL;
    if (!hg_query_given(v))
        return 0;
    if (hg_json_type(v) != HG_JSON_OBJECT || !first.node)
        return r->strict ? FAULT(r, "expected an object with one kind, as {\"StringValue\":{...}}")
                         : 0;
    struct hg_slice name = hg_json_key(first);
    const struct kind *k = find_kind(name);
    bool range = hg_slice_is(name, hg_query_kind_names[HG_VALUE_KINDS]);
    if (!k && !range)
        return r->strict ? unknown_kind(r, name) : 0;
    const char *tag = hg_query_kind_names[range ? (unsigned)HG_VALUE_KINDS : k->kind];
    struct hg_json_val payload = hg_json_get(v, tag); /* the last of that name, as everywhere */
    size_t mark = hg_query_enter(&r->path, tag);
    if (r->strict && hg_json_type(payload) != HG_JSON_OBJECT &&
        (!k || k->member || hg_query_given(payload))) /* {"NullValue":null} is as good as any */
        return FAULT(r, "expected an object");
    int rc = range ? read_range(r, payload, out) : read_kind(r, k, payload, out);
    if (rc == 0)
        hg_query_leave(&r->path, mark);
    return rc;
}
