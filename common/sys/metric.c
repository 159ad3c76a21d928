/*
 * See metric.h. One descriptor per row of metric.def; scrape, docs and retirement are loops over
 * them. Each family is printed once, with # HELP and # TYPE before its first sample (Prometheus
 * text format 0.0.4).
 */
#include "common/sys/metric.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum kind { COUNTER, COUNTER_EACH, GAUGE, GAUGE_EACH, FLAG, MS_MAX, MS_EACH, HIST_US };

struct desc {
    enum kind kind;
    const char *name;
    const char *help;
    size_t at; /* in struct hg_metrics */
};

static const struct desc descs[] = {
#define HG_METRIC(kind, name, help) {kind, #name, help, offsetof(struct hg_metrics, name)},
#include "common/sys/metric.def"
#undef HG_METRIC
};

static const char counter_type[] = "counter", gauge_type[] = "gauge", hist_type[] = "histogram";

/* What a kind is. */
static const struct kind_row {
    const char *type;
    const char *suffix; /* of the printed name */
    bool survives;      /* its worker's death: kept in the retired row */
    bool each;          /* printed per worker too */
    bool is_ms;         /* printed in seconds */
} kinds[] = {
    [COUNTER] = {counter_type, "_total", true, false, false},
    [COUNTER_EACH] = {counter_type, "_total", true, true, false},
    [GAUGE] = {gauge_type, "", false, false, false},
    [GAUGE_EACH] = {gauge_type, "", false, true, false},
    [FLAG] = {gauge_type, "", false, false, false},
    [MS_MAX] = {gauge_type, "_seconds", false, false, true},
    [MS_EACH] = {gauge_type, "_seconds", false, true, true},
    [HIST_US] = {hist_type, "_seconds", true, false, false},
};

static uint64_t get(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void add(_Atomic uint64_t *p, uint64_t k)
{
    atomic_store_explicit(p, get(p) + k, memory_order_relaxed);
}

static const _Atomic uint64_t *value_of(const struct hg_metrics *m, const struct desc *d)
{
    return (const _Atomic uint64_t *)(const void *)((const char *)m + d->at);
}

static const struct hg_hist *hist_of(const struct hg_metrics *m, const struct desc *d)
{
    return (const struct hg_hist *)(const void *)((const char *)m + d->at);
}

/* Bucket i ends at 2^(i+4) us; the last has no end. */
static unsigned bucket_of(int64_t us)
{
    unsigned bits;

    if (us <= 16)
        return 0;
    bits =
        64 - (unsigned)__builtin_clzll((unsigned long long)us - 1); /* smallest k with us <= 2^k */
    return bits - 4 < HG_HIST_BUCKETS ? bits - 4 : HG_HIST_BUCKETS - 1;
}

void hg_hist_observe(struct hg_hist *h, int64_t us)
{
    us = us < 0 ? 0 : us;
    add(&h->bucket[bucket_of(us)], 1);
    add(&h->sum_us, (uint64_t)us);
    add(&h->count, 1);
}

/* ---- retirement ---- */

static void move(_Atomic uint64_t *into, _Atomic uint64_t *from)
{
    add(into, get(from));
    atomic_store_explicit(from, 0, memory_order_relaxed);
}

static void move_hist(struct hg_hist *into, struct hg_hist *from)
{
    for (int i = 0; i < HG_HIST_BUCKETS; i++)
        move(&into->bucket[i], &from->bucket[i]);
    move(&into->sum_us, &from->sum_us);
    move(&into->count, &from->count);
}

void hg_metrics_retire(struct hg_metrics *into, struct hg_metrics *from)
{
    for (size_t i = 0; i < HG_COUNTOF(descs); i++) {
        char *a = (char *)into + descs[i].at, *b = (char *)from + descs[i].at;

        if (descs[i].kind == HIST_US)
            move_hist((struct hg_hist *)(void *)a, (struct hg_hist *)(void *)b);
        else if (kinds[descs[i].kind].survives)
            move((_Atomic uint64_t *)(void *)a, (_Atomic uint64_t *)(void *)b);
        else
            atomic_store_explicit((_Atomic uint64_t *)(void *)b, 0, memory_order_relaxed);
    }
    for (size_t i = 0; i < HG_COUNTOF(into->errors); i++)
        move(&into->errors[i], &from->errors[i]);
    for (size_t i = 0; i < HG_COUNTOF(into->closes); i++)
        move(&into->closes[i], &from->closes[i]);
}

/* ---- the text ---- */

/* "headgate_" prefix name suffix; "_ms" at the end of name gives way to "_seconds". */
static void full_name(const struct desc *d, const char *prefix, char *out, size_t size)
{
    size_t n = strlen(d->name);

    if (kinds[d->kind].is_ms && n > 3 && strcmp(d->name + n - 3, "_ms") == 0)
        n -= 3;
    snprintf(out, size, "headgate_%s%.*s%s", prefix, (int)n, d->name, kinds[d->kind].suffix);
}

static void family(struct hg_buf *out, const char *name, const char *type, const char *help)
{
    hg_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(struct hg_buf *out, const struct desc *d, const char *name, const char *worker,
                   uint64_t v)
{
    hg_buf_adds(out, name);
    if (worker)
        hg_buf_addf(out, "{worker=\"%s\"}", worker);
    if (kinds[d->kind].is_ms)
        hg_buf_addf(out, " %llu.%03u\n", (unsigned long long)(v / 1000), (unsigned)(v % 1000));
    else
        hg_buf_addf(out, " %llu\n", (unsigned long long)v);
}

static uint64_t combine(enum kind kind, uint64_t all, uint64_t v, bool first)
{
    if (kind == MS_MAX || kind == MS_EACH)
        return HG_MAX(all, v);
    if (kind == FLAG)
        return (first || all) && v;
    return all + v;
}

/* One figure for the host. The retired row has counters only. */
static uint64_t host_value(const struct desc *d, const struct hg_metrics_row *rows, size_t nrows)
{
    uint64_t all = 0;
    bool first = true;

    for (size_t i = 0; i < nrows; i++) {
        if (!rows[i].worker && !kinds[d->kind].survives)
            continue;
        all = combine(d->kind, all, get(value_of(rows[i].m, d)), first);
        first = false;
    }
    return all;
}

static void print_each(const struct desc *d, const struct hg_metrics_row *rows, size_t nrows,
                       struct hg_buf *out)
{
    char name[128];

    full_name(d, "worker_", name, sizeof name);
    family(out, name, kinds[d->kind].type, d->help);
    for (size_t i = 0; i < nrows; i++)
        if (rows[i].worker)
            sample(out, d, name, rows[i].worker, get(value_of(rows[i].m, d)));
}

static void print_value(const struct desc *d, const char *name, const struct hg_metrics_row *rows,
                        size_t nrows, struct hg_buf *out)
{
    family(out, name, kinds[d->kind].type, d->help);
    sample(out, d, name, NULL, host_value(d, rows, nrows));
    if (kinds[d->kind].each)
        print_each(d, rows, nrows, out);
}

/* Buckets are cumulative, and _count is the last of them, so that a scrape in the middle of an
 * observation is consistent. */
static void print_hist(const struct desc *d, const char *name, const struct hg_metrics_row *rows,
                       size_t nrows, struct hg_buf *out)
{
    uint64_t all = 0, sum_us = 0;

    family(out, name, hist_type, d->help);
    for (int b = 0; b < HG_HIST_BUCKETS; b++) {
        for (size_t i = 0; i < nrows; i++)
            all += get(&hist_of(rows[i].m, d)->bucket[b]);
        hg_buf_addf(out, "%s_bucket{le=\"", name);
        if (b == HG_HIST_BUCKETS - 1)
            hg_buf_adds(out, "+Inf");
        else
            hg_buf_addf(out, "%.6f", (double)(16LL << b) / 1e6);
        hg_buf_addf(out, "\"} %llu\n", (unsigned long long)all);
    }
    for (size_t i = 0; i < nrows; i++)
        sum_us += get(&hist_of(rows[i].m, d)->sum_us);
    hg_buf_addf(out, "%s_sum %llu.%06u\n%s_count %llu\n", name,
                (unsigned long long)(sum_us / 1000000), (unsigned)(sum_us % 1000000), name,
                (unsigned long long)all);
}

static const char errors_help[] = "Errors by their name in CODES.md.";
static const char closes_help[] = "WebSocket connections closed by the gateway, by close code.";
static const char build_help[] = "1; the label says which version runs.";

static void print_errors(const struct hg_metrics_row *rows, size_t nrows, struct hg_buf *out)
{
    family(out, "headgate_errors_total", counter_type, errors_help);
    for (int e = 1; e < HG_E_COUNT; e++) {
        uint64_t all = 0;

        for (size_t i = 0; i < nrows; i++)
            all += get(&rows[i].m->errors[e]);
        hg_buf_addf(out, "headgate_errors_total{code=\"%s\"} %llu\n", hg_err_row(e)->name,
                    (unsigned long long)all);
    }
}

/* RFC 6455 7.4.1: these never stand in a close frame; shown only if they ever were counted. */
static bool is_reserved(size_t low)
{
    return low == 4 || low == 5 || low == 6 || low == 15;
}

static void print_closes(const struct hg_metrics_row *rows, size_t nrows, struct hg_buf *out)
{
    family(out, "headgate_closes_total", counter_type, closes_help);
    for (size_t c = 0; c < HG_COUNTOF(rows->m->closes); c++) {
        uint64_t all = 0;

        for (size_t i = 0; i < nrows; i++)
            all += get(&rows[i].m->closes[c]);
        if (all || !is_reserved(c))
            hg_buf_addf(out, "headgate_closes_total{code=\"%zu\"} %llu\n", 1000 + c,
                        (unsigned long long)all);
    }
}

void hg_metrics_print(const struct hg_metrics_row *rows, size_t nrows, struct hg_buf *out)
{
    char name[128];

    family(out, "headgate_build_info", gauge_type, build_help);
    hg_buf_adds(out, "headgate_build_info{version=\"" HG_VERSION "\"} 1\n");
    for (size_t i = 0; i < HG_COUNTOF(descs); i++) {
        full_name(&descs[i], "", name, sizeof name);
        if (descs[i].kind == HIST_US)
            print_hist(&descs[i], name, rows, nrows, out);
        else
            print_value(&descs[i], name, rows, nrows, out);
    }
    print_errors(rows, nrows, out);
    print_closes(rows, nrows, out);
}

/* ---- docs ---- */

static void docs_row(struct hg_buf *out, const char *name, const char *type, const char *labels,
                     const char *help)
{
    hg_buf_addf(out, "| `%s` | %s | %s | %s |\n", name, type, labels, help);
}

void hg_metrics_docs(struct hg_buf *out)
{
    char name[128];

    hg_buf_adds(
        out, "# Metrics\n\nPrinted by `headgate --print=metrics`. The master answers `/metrics` on "
             "`admin_listen` for all workers of the host; a dead worker's\ncounters are kept, its "
             "gauges dropped. Names `headgate_worker_*` are the same figures per worker.\n\n"
             "| name | type | labels | meaning |\n|---|---|---|---|\n");
    docs_row(out, "headgate_build_info", gauge_type, "version", build_help);
    for (size_t i = 0; i < HG_COUNTOF(descs); i++) {
        const struct kind_row *k = &kinds[descs[i].kind];

        full_name(&descs[i], "", name, sizeof name);
        docs_row(out, name, k->type, descs[i].kind == HIST_US ? "le" : "", descs[i].help);
        if (k->each) {
            full_name(&descs[i], "worker_", name, sizeof name);
            docs_row(out, name, k->type, "worker", descs[i].help);
        }
    }
    docs_row(out, "headgate_errors_total", counter_type, "code", errors_help);
    docs_row(out, "headgate_closes_total", counter_type, "code", closes_help);
}
