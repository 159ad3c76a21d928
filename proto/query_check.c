/* What strict mode lets through: operators SQLite carries out exactly, each with a value it means
 * something with. */
#include <stdarg.h>
#include <stdio.h>
#include "common/base/err.h"
#include "proto/query_tree.h"

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

enum wants { WANTS_SCALAR, WANTS_TEXT, WANTS_LIST, WANTS_PAIR, WANTS_NOTHING, WANTS_ANY };
enum fate { FATE_KEPT, FATE_LATER };

static const struct op_row {
    const char *name, *second;
    enum wants wants;
    enum fate fate;
} operators[HG_QUERY_OPS] = {
#define HG_QUERY_OP(number, name, second, value, fate)                                             \
    [number] = {#name, second, WANTS_##value, FATE_##fate},
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

static bool is_list(const struct hg_value *v)
{
    return v->kind >= HG_VALUE_STRINGS;
}

/* NULL, or what was expected instead. */
static const char *value_fault(enum wants wants, const struct hg_value *v)
{
    switch (wants) {
    case WANTS_SCALAR: /* = NULL is never true in SQL: whoever means it says isNull */
        return is_list(v) || v->kind == HG_VALUE_NULL
                   ? "one value that is not null (for null: isNull, isNotNull)"
                   : NULL;
    case WANTS_TEXT:
        return v->kind == HG_VALUE_STRING ? NULL : "a StringValue";
    case WANTS_LIST:
        return is_list(v) && !v->is_range ? NULL : "a list";
    case WANTS_PAIR:
        return is_list(v) && v->n == 2 && v->kind != HG_VALUE_BOOLS
                   ? NULL
                   : "a list of two, or a RangeValue";
    case WANTS_NOTHING:
    case WANTS_ANY:
        break;
    }
    return NULL;
}

struct check {
    struct hg_query_path path;
    char *why;
};

static int check_basic(struct check *c, const struct hg_filter *f)
{
    const struct op_row *op = &operators[f->op];
    if (f->field.n == 0)
        return hg_query_fault(&c->path, c->why, "field_name is empty");
    if (op->fate == FATE_LATER)
        return hg_query_fault(&c->path, c->why, "operator %s is not supported by this version",
                              op->name);
    if (f->has_modifier && f->distinct)
        return hg_query_fault(&c->path, c->why,
                              "modifier distinct is not supported by this version");
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
static int check_cursor(struct check *c, const struct hg_query *q)
{
    hg_query_enter(&c->path, "cursor");
    for (size_t i = 0; i < q->ncursor; i++) {
        hg_query_enter_at(&c->path, i);
        if (q->cursor[i].field.n == 0)
            return hg_query_fault(&c->path, c->why, "field is empty");
        if (is_list(&q->cursor[i].value))
            return hg_query_fault(&c->path, c->why, "expected one value");
        hg_query_leave(&c->path, strlen("$.cursor"));
    }
    return 0;
}

static int check_order(struct check *c, const struct hg_query *q)
{
    for (size_t i = 0; i < q->norder; i++) {
        if (q->order[i].field.n > 0)
            continue;
        hg_query_enter(&c->path, "order");
        hg_query_enter_at(&c->path, i);
        return hg_query_fault(&c->path, c->why, "field is empty");
    }
    return 0;
}

int hg_query_check(const struct hg_query *q, char why[HG_QUERY_WHY_MAX])
{
    struct check c = {.path = {.text = "$", .n = 1}, .why = why};
    if (q->schema_version != 1) {
        hg_query_enter(&c.path, "schema_version");
        return hg_query_fault(&c.path, why, "expected 1");
    }
    size_t mark = hg_query_enter(&c.path, "wrapper");
    int rc = q->wrapper ? check_filter(&c, q->wrapper) : 0;
    if (rc < 0)
        return rc;
    hg_query_leave(&c.path, mark);
    rc = check_order(&c, q);
    return rc < 0 ? rc : check_cursor(&c, q);
}
