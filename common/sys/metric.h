/*
 * Counters and gauges of one seat, in shared memory: single writer (the seat's worker), everyone
 * reads. Grown from metric.def. Each error of err.def has a counter too (errors[]). When a worker
 * dies the master adds its counters to the "retired" row and drops its gauges, so that sums never
 * fall.
 *
 *   HG_INC(m, accepted);  HG_ADD(m, bytes_in, n);  HG_SET(m, connections, n);
 *   HG_OBSERVE(m, rpc, us);  HG_ERR_INC(m, -HG_E_X);      m: struct hg_metrics of the own seat
 */
#ifndef HG_COMMON_SYS_METRIC_H
#define HG_COMMON_SYS_METRIC_H

#include <stdatomic.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"

#define HG_HIST_BUCKETS 22 /* upper bounds 1 us * 2^i for i in 4..24, then +Inf */
struct hg_hist {
    _Atomic uint64_t bucket[HG_HIST_BUCKETS];
    _Atomic uint64_t sum_us, count;
};

#define HG_MT_COUNTER _Atomic uint64_t
#define HG_MT_COUNTER_EACH _Atomic uint64_t
#define HG_MT_GAUGE _Atomic uint64_t
#define HG_MT_GAUGE_EACH _Atomic uint64_t
#define HG_MT_FLAG _Atomic uint64_t
#define HG_MT_MS_MAX _Atomic uint64_t
#define HG_MT_MS_EACH _Atomic uint64_t
#define HG_MT_HIST_US struct hg_hist

struct hg_metrics {
#define HG_METRIC(kind, name, help) HG_MT_##kind name;
#include "common/sys/metric.def"
#undef HG_METRIC
    _Atomic uint64_t errors[HG_E_COUNT];
    _Atomic uint64_t closes[16]; /* WebSocket closes sent, by code - 1000 */
};

/* Plain relaxed load and store: one writer. */
#define HG_ADD(m, name, k)                                                                         \
    atomic_store_explicit(&(m)->name,                                                              \
                          atomic_load_explicit(&(m)->name, memory_order_relaxed) + (uint64_t)(k),  \
                          memory_order_relaxed)
#define HG_INC(m, name) HG_ADD(m, name, 1)
#define HG_SUB(m, name, k) HG_ADD(m, name, -(uint64_t)(k))
#define HG_DEC(m, name) HG_SUB(m, name, 1)
#define HG_SET(m, name, v) atomic_store_explicit(&(m)->name, (uint64_t)(v), memory_order_relaxed)
#define HG_GET(m, name) atomic_load_explicit(&(m)->name, memory_order_relaxed)
#define HG_OBSERVE(m, name, us) hg_hist_observe(&(m)->name, us)
#define HG_ERR_INC(m, err) HG_ADD(m, errors[(err) < 0 ? -(err) : (err)], 1)

void hg_hist_observe(struct hg_hist *h, int64_t us);
/* Adds counters and histograms of from to the retired row into, then zeroes all of from. */
void hg_metrics_retire(struct hg_metrics *into, struct hg_metrics *from);

/* One row of a scrape: label is the worker's slot ("0"), NULL for the retired row. */
struct hg_metrics_row {
    const char *worker;
    const struct hg_metrics *m;
};
/* Prometheus text (0.0.4). Each metric is one figure for the host, as its kind in metric.def says;
 * those of kind _EACH are printed per worker too, under a name of their own (headgate_worker_*), so
 * that sum() over either counts nothing twice. */
void hg_metrics_print(const struct hg_metrics_row *rows, size_t nrows, struct hg_buf *out);
void hg_metrics_docs(struct hg_buf *out); /* docs/METRICS.md */

#endif
