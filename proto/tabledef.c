#include "proto/tabledef.h"

#include <stdlib.h>
#include "common/base/err.h"
#include "proto/query_tree.h"
#include "proto/sqlrpc_put.h"

struct reader {
    struct hg_fb fb;
    struct hg_query_path path;
    char *why;
};

#define FAULT(r, ...) hg_query_fault(&(r)->path, (r)->why, __VA_ARGS__)

static bool is_given(struct hg_json_val v)
{
    return v.node && hg_json_type(v) != HG_JSON_NULL;
}

static struct hg_json_val either(struct hg_json_val obj, const char *snake, const char *camel)
{
    struct hg_json_val v = hg_json_get(obj, snake);
    return is_given(v) ? v : hg_json_get(obj, camel);
}

/* ---- words ---- */

struct word {
    unsigned number;
    const char *name, *second;
};
#define HG_TABLE_TYPE(number, name, second) {number, name, second},
static const struct word types[] = {
#include "proto/tabledef.def"
};
#undef HG_TABLE_TYPE
#define HG_TABLE_CONSTRAINT(number, name, second) {number, name, second},
static const struct word constraints[] = {
#include "proto/tabledef.def"
};
#undef HG_TABLE_CONSTRAINT

static int find_word(const struct word *words, size_t n, struct hg_json_val v)
{
    struct hg_slice s = hg_json_text(v);
    for (size_t i = 0; i < n && s.n > 0; i++)
        if (hg_slice_is(s, words[i].name) || hg_slice_is(s, words[i].second))
            return (int)words[i].number;
    return -1;
}

/* ---- pieces: each gives a reference in *ref, 0 for absent ---- */

static int put_text(struct reader *r, struct hg_json_val obj, const char *key, bool needed,
                    uint32_t *ref)
{
    struct hg_json_val v = hg_json_get(obj, key);
    size_t mark = hg_query_enter(&r->path, key);
    if (needed && hg_json_text(v).n == 0)
        return FAULT(r, "expected a string of at least 1 character");
    if (is_given(v) && !hg_json_text(v).p)
        return FAULT(r, "expected a string");
    hg_query_leave(&r->path, mark);
    *ref = is_given(v) ? hg_fb_string(&r->fb, hg_json_text(v)) : 0;
    return 0;
}

/* KeyValuePair; a value that is no string goes as its JSON text. */
static uint32_t put_pair(struct reader *r, struct hg_json_val member)
{
    struct hg_fb_table t = {0};
    struct hg_slice text = hg_json_text(member);
    hg_fb_set_ref(&t, 0, hg_fb_string(&r->fb, hg_json_key(member)));
    hg_fb_set_ref(&t, 1, hg_fb_string(&r->fb, text.p ? text : hg_json_raw(member)));
    return hg_fb_end(&r->fb, &t);
}

/* CustomOptions and TableOptions look the same: a table around a vector of pairs. */
static int put_options(struct reader *r, struct hg_json_val obj, const char *snake,
                       const char *camel, uint32_t *ref)
{
    struct hg_json_val v = either(obj, snake, camel);
    uint32_t pairs[HG_TABLEDEF_MAX_OPTIONS];
    struct hg_fb_table t = {0};
    size_t n = 0, mark = hg_query_enter(&r->path, snake);
    *ref = 0;
    if (is_given(v) && hg_json_type(v) != HG_JSON_OBJECT)
        return FAULT(r, "expected an object");
    if (hg_json_count(v) > HG_TABLEDEF_MAX_OPTIONS)
        return FAULT(r, "more than %d options", HG_TABLEDEF_MAX_OPTIONS);
    hg_query_leave(&r->path, mark);
    for (struct hg_json_val m = hg_json_first(v); is_given(v) && m.node; m = hg_json_next(m))
        pairs[n++] = put_pair(r, m);
    if (n == 0)
        return 0;
    hg_fb_set_ref(&t, 0, hg_fb_refs(&r->fb, pairs, n));
    *ref = hg_fb_end(&r->fb, &t);
    return 0;
}

static int put_constraints(struct reader *r, struct hg_json_val col, uint32_t *ref)
{
    struct hg_json_val list = hg_json_get(col, "constraints");
    uint64_t numbers[2 * HG_COUNTOF(constraints)];
    size_t n = 0, mark = hg_query_enter(&r->path, "constraints");
    *ref = 0;
    if (is_given(list) && hg_json_type(list) != HG_JSON_ARRAY)
        return FAULT(r, "expected an array");
    if (hg_json_count(list) > HG_COUNTOF(numbers))
        return FAULT(r, "more than %zu constraints", HG_COUNTOF(numbers));
    for (struct hg_json_val v = hg_json_first(list); is_given(list) && v.node;
         v = hg_json_next(v), n++) {
        size_t at = hg_query_enter_at(&r->path, n);
        int found = find_word(constraints, HG_COUNTOF(constraints), v);
        if (found < 0)
            return FAULT(r, "unknown constraint %.*s", (int)HG_MIN(hg_json_raw(v).n, 40),
                         hg_json_raw(v).p);
        numbers[n] = (uint64_t)found;
        hg_query_leave(&r->path, at);
    }
    hg_query_leave(&r->path, mark);
    if (n > 0)
        *ref = hg_fb_scalars(&r->fb, numbers, n, 1);
    return 0;
}

static int put_column(struct reader *r, struct hg_json_val col, uint32_t *ref)
{
    struct hg_json_val type = either(col, "data_type", "dataType");
    int number = find_word(types, HG_COUNTOF(types), type);
    uint32_t name = 0, list = 0, options = 0;
    struct hg_fb_table t = {0};
    int rc = hg_json_type(col) == HG_JSON_OBJECT ? 0 : FAULT(r, "expected an object");
    if (rc == 0)
        rc = put_text(r, col, "name", true, &name);
    if (rc == 0 && number < 0) {
        hg_query_enter(&r->path, "data_type");
        return FAULT(r, "expected the name of a type, as text or bigInt");
    }
    if (rc == 0)
        rc = put_constraints(r, col, &list);
    if (rc == 0)
        rc = put_options(r, col, "custom_options", "customOptions", &options);
    if (rc < 0)
        return rc;
    hg_fb_set_ref(&t, 0, name);
    if (number != 0)
        hg_fb_set(&t, 1, 1, (unsigned)number);
    if (hg_json_is_truthy(either(col, "is_nullable", "isNullable")))
        hg_fb_set(&t, 2, 1, 1);
    hg_fb_set_ref(&t, 3, list);
    hg_fb_set_ref(&t, 4, options);
    *ref = hg_fb_end(&r->fb, &t);
    return 0;
}

static int put_columns(struct reader *r, struct hg_json_val def, uint32_t *ref)
{
    struct hg_json_val list = hg_json_get(def, "columns");
    size_t n = hg_json_count(list), i = 0, mark = hg_query_enter(&r->path, "columns");
    if (hg_json_type(list) != HG_JSON_ARRAY || n == 0)
        return FAULT(r, "expected an array of at least one column");
    if (n > HG_TABLEDEF_MAX_COLUMNS)
        return FAULT(r, "more than %d columns", HG_TABLEDEF_MAX_COLUMNS);
    uint32_t *refs = hg_calloc(n, sizeof(*refs));
    int rc = 0;
    for (struct hg_json_val v = hg_json_first(list); rc == 0 && i < n; v = hg_json_next(v), i++) {
        size_t at = hg_query_enter_at(&r->path, i);
        rc = put_column(r, v, &refs[i]);
        if (rc == 0)
            hg_query_leave(&r->path, at);
    }
    if (rc == 0) {
        hg_query_leave(&r->path, mark);
        *ref = hg_fb_refs(&r->fb, refs, n);
    }
    free(refs);
    return rc;
}

static int put_definition(struct reader *r, struct hg_json_val def, uint32_t *ref)
{
    uint32_t name = 0, columns = 0, comment = 0, options = 0;
    struct hg_fb_table t = {0};
    int rc = hg_json_type(def) == HG_JSON_OBJECT ? 0 : FAULT(r, "expected an object");
    if (rc == 0)
        rc = put_text(r, def, "name", true, &name);
    if (rc == 0)
        rc = put_columns(r, def, &columns);
    if (rc == 0)
        rc = put_text(r, def, "comment", false, &comment);
    if (rc == 0)
        rc = put_options(r, def, "table_options", "tableOptions", &options);
    if (rc < 0)
        return rc;
    hg_fb_set_ref(&t, 0, name);
    hg_fb_set_ref(&t, 1, columns);
    hg_fb_set_ref(&t, 2, comment);
    hg_fb_set_ref(&t, 3, options);
    *ref = hg_fb_end(&r->fb, &t);
    return 0;
}

int hg_tabledef_put_create(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                           struct hg_json_val definition, char why[HG_QUERY_WHY_MAX])
{
    struct reader r = {.path = {.text = "$", .n = 1}, .why = why};
    struct hg_fb_table t = {0};
    uint32_t ref;
    int rc = put_definition(&r, definition, &ref);
    if (rc < 0) {
        free(r.fb.mem);
        return rc;
    }
    hg_fb_set_ref(&t, 0, hg_fb_string(&r.fb, call->company));
    hg_fb_set_ref(&t, 1, ref);
    hg_sqlrpc_finish(&r.fb, call, HG_SQLRPC_CREATE_TABLE, hg_fb_end(&r.fb, &t), out);
    return 0;
}
