/* What strict mode lets through: operators each with a value it means something with. Whether a
 * SQL worker can carry one out is the worker's to say. */
#include <stdarg.h>
#include <stdio.h>
#include "common/base/err.h"
#include "common/base/nearest.h"
#include "proto/query_tree.h"
#include "proto/utf8.h"

/* ---- where we are ---- */

size_t hg_query_enter(struct hg_query_path *path, const char *key)
{
    size_t mark = path->n, left = sizeof(path->text) - path->n;
    int n = snprintf(path->text + path->n, left, ".%s", key);
    path->n += HG_MIN((size_t)n, left - 1);
    return mark;
}

size_t hg_query_enter_at(struct hg_query_path *path, size_t index)
{
    size_t mark = path->n, left = sizeof(path->text) - path->n;
    int n = snprintf(path->text + path->n, left, "[%zu]", index);
    path->n += HG_MIN((size_t)n, left - 1);
    return mark;
}

void hg_query_leave(struct hg_query_path *path, size_t mark)
{
    path->n = mark;
}

int hg_query_fault(const struct hg_query_path *path, char why[HG_QUERY_WHY_MAX], const char *fmt,
                   ...)
{
    va_list ap;
    int n = snprintf(why, HG_QUERY_WHY_MAX, "%.*s: ", (int)path->n, path->text);
    va_start(ap, fmt);
    vsnprintf(why + n, (size_t)(HG_QUERY_WHY_MAX - n), fmt, ap);
    va_end(ap);
    return -HG_E_BAD_QUERY;
}

/* ---- operators ---- */

enum wants {
    WANTS_EQUAL,
    WANTS_SCALAR,
    WANTS_TEXT,
    WANTS_LIST,
    WANTS_PAIR,
    WANTS_RANGE,
    WANTS_ANY,
    WANTS_NOTHING
};

static const struct op_row {
    const char *name, *second;
    enum wants wants;
} operators[HG_QUERY_OPS] = {
#define HG_QUERY_OP(number, name, second, value) [number] = {#name, second, WANTS_##value},
#include "proto/query.def"
#undef HG_QUERY_OP
};

int hg_query_op_find(struct hg_slice name)
{
    for (int i = 0; i < HG_QUERY_OPS && name.n > 0; i++)
        if (hg_slice_is(name, operators[i].name) || hg_slice_is(name, operators[i].second))
            return i;
    return -1;
}

const char *hg_query_op_name(unsigned op)
{
    return op < HG_QUERY_OPS ? operators[op].name : "";
}

const char *hg_query_op_nearest(struct hg_slice name)
{
    struct hg_nearest near = hg_nearest(name);
    for (int i = 0; i < HG_QUERY_OPS; i++) {
        hg_nearest_try(&near, operators[i].name);
        if (operators[i].second[0])
            hg_nearest_try(&near, operators[i].second);
    }
    return near.name;
}

bool hg_query_op_needs_value(unsigned op)
{
    return op < HG_QUERY_OPS && operators[op].wants < WANTS_ANY;
}

bool hg_query_op_takes_range(unsigned op)
{
    return op < HG_QUERY_OPS &&
           (operators[op].wants == WANTS_PAIR || operators[op].wants == WANTS_RANGE);
}

/* ---- values ---- */

static bool is_list(const struct hg_value *v)
{
    return v->kind >= HG_VALUE_STRINGS;
}

/* NULL, or what was expected instead. Nothing has an order with null, and nothing is in it. */
static const char *value_fault(enum wants wants, const struct hg_value *v)
{
    bool one = !is_list(v) && v->kind != HG_VALUE_NULL, pair = is_list(v) && v->n == 2;
    switch (wants) {
    case WANTS_EQUAL:
        return is_list(v) ? "one value" : NULL;
    case WANTS_SCALAR:
        return one ? NULL : "one value that is not null";
    case WANTS_TEXT:
        return v->kind == HG_VALUE_STRING ? NULL : "a StringValue";
    case WANTS_LIST:
        return is_list(v) && !v->is_range ? NULL : "a list";
    case WANTS_PAIR:
        return pair ? NULL : "a list of two, or a RangeValue";
    case WANTS_RANGE:
        return pair || one ? NULL : "one value, a list of two, or a RangeValue";
    case WANTS_ANY:
    case WANTS_NOTHING:
        break;
    }
    return NULL;
}

struct check {
    struct hg_query_path path;
    char *why;
};

/* Of JSON every text is; of FlatBuffers nobody has looked yet. */
static int check_text(struct check *c, const char *key, struct hg_slice text)
{
    if (hg_utf8_valid(text.p, text.n))
        return 0;
    hg_query_enter(&c->path, key);
    return hg_query_fault(&c->path, c->why, "not UTF-8");
}

static int check_name(struct check *c, const char *key, struct hg_slice name)
{
    if (name.n > 0)
        return check_text(c, key, name);
    hg_query_enter(&c->path, key);
    return hg_query_fault(&c->path, c->why, "expected a name");
}

static int check_value(struct check *c, const struct hg_value *v)
{
    if (v->kind == HG_VALUE_STRING)
        return check_text(c, "value", v->one.text);
    for (size_t i = 0; v->kind == HG_VALUE_STRINGS && i < v->n; i++) {
        int rc = check_text(c, "value", v->list[i].text);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_basic(struct check *c, const struct hg_filter *f)
{
    const struct op_row *op = &operators[f->op];
    int rc = check_name(c, "field_name", f->field);
    if (rc == 0)
        rc = check_value(c, &f->value);
    if (rc < 0)
        return rc;
    const char *expected = value_fault(op->wants, &f->value);
    if (!expected)
        return 0;
    hg_query_enter(&c->path, "value");
    return hg_query_fault(&c->path, c->why, "expected %s for %s", expected, op->name);
}

static int check_filter(struct check *c, const struct hg_filter *f)
{
    if (!f->is_wrapper)
        return check_basic(c, f);
    size_t mark = hg_query_enter(&c->path, "filters");
    if (f->nkids == 0 && !f->all) /* nothing of nothing is false, but who writes SQL leaves it out,
                                     which is everything */
        return hg_query_fault(&c->path, c->why, "expected at least one filter in an \"or\"");
    for (size_t i = 0; i < f->nkids; i++) {
        size_t at = hg_query_enter_at(&c->path, i);
        int rc = check_filter(c, &f->kids[i]);
        if (rc < 0)
            return rc;
        hg_query_leave(&c->path, at);
    }
    hg_query_leave(&c->path, mark);
    return 0;
}

/* A place in the order is one value per column; a list has no place. */
static int check_cursor_entry(struct check *c, const struct hg_cursor *e)
{
    int rc = check_name(c, "field", e->field);
    if (rc == 0)
        rc = check_value(c, &e->value);
    if (rc < 0 || !is_list(&e->value))
        return rc;
    hg_query_enter(&c->path, "value");
    return hg_query_fault(&c->path, c->why, "expected one value");
}

static int check_cursor(struct check *c, const struct hg_query *q)
{
    size_t mark = hg_query_enter(&c->path, "cursor");
    for (size_t i = 0; i < q->ncursor; i++) {
        size_t at = hg_query_enter_at(&c->path, i);
        int rc = check_cursor_entry(c, &q->cursor[i]);
        if (rc < 0)
            return rc;
        hg_query_leave(&c->path, at);
    }
    hg_query_leave(&c->path, mark);
    return 0;
}

static int check_order(struct check *c, const struct hg_query *q)
{
    size_t mark = hg_query_enter(&c->path, "order");
    for (size_t i = 0; i < q->norder; i++) {
        size_t at = hg_query_enter_at(&c->path, i);
        int rc = check_name(c, "field", q->order[i].field);
        if (rc < 0)
            return rc;
        hg_query_leave(&c->path, at);
    }
    hg_query_leave(&c->path, mark);
    return 0;
}

int hg_query_check(const struct hg_query *q, char why[HG_QUERY_WHY_MAX])
{
    struct check c = {.path = {.text = "$", .n = 1}, .why = why};
    int rc = check_text(&c, "hash", q->hash);
    size_t mark = hg_query_enter(&c.path, "wrapper");
    if (rc == 0 && q->wrapper)
        rc = check_filter(&c, q->wrapper);
    if (rc < 0)
        return rc;
    hg_query_leave(&c.path, mark);
    rc = check_order(&c, q);
    return rc < 0 ? rc : check_cursor(&c, q);
}
