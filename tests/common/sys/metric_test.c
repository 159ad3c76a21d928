/* Metrics: the text as Prometheus wants it, sums over workers, and what is left of a dead one. */
#include "tests/support/hgtest.h"
#include "common/sys/metric.h"

static struct hg_metrics w0, w1, retired;

static int setup(void **state)
{
    (void)state;
    memset(&w0, 0, sizeof w0);
    memset(&w1, 0, sizeof w1);
    memset(&retired, 0, sizeof retired);
    return 0;
}

static struct hg_buf scrape(void)
{
    const struct hg_metrics_row rows[] = {{"0", &w0}, {"1", &w1}, {NULL, &retired}};
    struct hg_buf b = {0};

    hg_metrics_print(rows, HG_COUNTOF(rows), &b);
    return b;
}

static void values_become_one_figure_for_the_host(void **state)
{
    struct hg_buf b;

    (void)state;
    HG_ADD(&w0, accepted, 5);
    HG_INC(&w1, accepted);
    HG_ADD(&retired, accepted, 100);
    HG_SET(&w0, connections, 3);
    HG_SET(&w1, connections, 4);
    HG_DEC(&w1, connections);
    HG_SET(&w0, kafka_up, 1);
    HG_SET(&w0, lag_ms, 1500);
    HG_SET(&w1, lag_ms, 20);
    HG_ERR_INC(&w0, -HG_E_TEXT_NOT_UTF8);
    HG_ERR_INC(&w1, HG_E_TEXT_NOT_UTF8);
    HG_ADD(&w0, closes[12], 2);
    b = scrape();
    hg_test_has(&b, "# HELP headgate_accepted_total Connections accepted.\n# TYPE "
                    "headgate_accepted_total counter\nheadgate_accepted_total 106\n");
    hg_test_has(&b, "# TYPE headgate_connections gauge\nheadgate_connections 6\n");
    hg_test_has(
        &b, "# TYPE headgate_worker_connections gauge\nheadgate_worker_connections{worker=\"0\"} "
            "3\nheadgate_worker_connections{worker=\"1\"} 3\n");
    hg_test_has(&b, "\nheadgate_kafka_up 0\n"); /* one worker has no broker */
    hg_test_has(&b, "\nheadgate_lag_seconds 1.500\n");
    hg_test_has(&b, "\nheadgate_worker_lag_seconds{worker=\"1\"} 0.020\n");
    hg_test_has(&b, "\nheadgate_worker_loop_turns_total{worker=\"1\"} 0\n");
    hg_test_has(&b, "\nheadgate_errors_total{code=\"TEXT_NOT_UTF8\"} 2\n");
    hg_test_has(&b, "\nheadgate_errors_total{code=\"BUG\"} 0\n");
    hg_test_has(&b, "\nheadgate_closes_total{code=\"1012\"} 2\n");
    hg_test_has(&b, "\nheadgate_closes_total{code=\"1001\"} 0\n");
    hg_test_has_not(&b, "{code=\"1006\"}");
    hg_test_has(&b, "\nheadgate_build_info{version=\"" HG_VERSION "\"} 1\n");
    hg_buf_fini(&b);
    HG_SET(&w1, kafka_up, 1);
    b = scrape();
    hg_test_has(&b, "\nheadgate_kafka_up 1\n");
    hg_buf_fini(&b);
}

static void histogram_buckets(void **state)
{
    static const struct {
        int64_t us;
        int bucket;
    } rows[] = {{-5, 0},        {0, 0},  {16, 0},       {17, 1},
                {32, 1},        {33, 2}, {1 << 24, 20}, {(1 << 24) + 1, 21},
                {INT64_MAX, 21}};

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_hist h;

        memset(&h, 0, sizeof h);
        hg_hist_observe(&h, rows[i].us);
        assert_int_equal(atomic_load(&h.bucket[rows[i].bucket]), 1);
        assert_int_equal(atomic_load(&h.count), 1);
    }
}

static void histogram_text_is_cumulative(void **state)
{
    struct hg_buf b;

    (void)state;
    HG_OBSERVE(&w0, rpc, 10);
    HG_OBSERVE(&w1, rpc, 100);
    HG_OBSERVE(&w1, rpc, 20000000);
    b = scrape();
    hg_test_has(&b, "# TYPE headgate_rpc_seconds histogram\n"
                    "headgate_rpc_seconds_bucket{le=\"0.000016\"} 1\n"
                    "headgate_rpc_seconds_bucket{le=\"0.000032\"} 1\n"
                    "headgate_rpc_seconds_bucket{le=\"0.000064\"} 1\n"
                    "headgate_rpc_seconds_bucket{le=\"0.000128\"} 2\n");
    hg_test_has(&b, "headgate_rpc_seconds_bucket{le=\"16.777216\"} 2\n"
                    "headgate_rpc_seconds_bucket{le=\"+Inf\"} 3\n"
                    "headgate_rpc_seconds_sum 20.000110\n"
                    "headgate_rpc_seconds_count 3\n");
    hg_buf_fini(&b);
}

static void a_dead_workers_counters_stay_and_its_gauges_go(void **state)
{
    struct hg_buf b;

    (void)state;
    HG_ADD(&w1, accepted, 7);
    HG_SET(&w1, connections, 7);
    HG_SET(&w1, lag_ms, 7000);
    HG_OBSERVE(&w1, rpc, 1000000);
    HG_ERR_INC(&w1, -HG_E_IDLE);
    HG_INC(&w1, closes[1]);
    hg_metrics_retire(&retired, &w1);
    hg_metrics_retire(&retired, &w1); /* nothing is counted twice */
    b = scrape();
    hg_test_has(&b, "\nheadgate_accepted_total 7\n");
    hg_test_has(&b, "\nheadgate_connections 0\n");
    hg_test_has(&b, "\nheadgate_lag_seconds 0.000\n");
    hg_test_has(&b, "\nheadgate_rpc_seconds_count 1\n");
    hg_test_has(&b, "\nheadgate_rpc_seconds_sum 1.000000\n");
    hg_test_has(&b, "\nheadgate_errors_total{code=\"IDLE\"} 1\n");
    hg_test_has(&b, "\nheadgate_closes_total{code=\"1001\"} 1\n");
    hg_buf_fini(&b);
}

/* A small reader of the format: every sample belongs to the family announced just before it, once,
 * and reads as a number. */
static void every_line_is_of_the_format(void **state)
{
    struct hg_buf b = scrape();
    char *text = strdup(hg_test_text(&b)), *save, family[128] = "", seen[16384] = " ";
    unsigned families = 0;

    (void)state;
    assert_int_equal(b.p[b.n - 1], '\n');
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[128], needle[140], *end;
        size_t n;

        if (sscanf(line, "# HELP %127s", family) == 1) {
            snprintf(needle, sizeof needle, " %s ", family);
            assert_null(strstr(seen, needle));
            strncat(seen, needle + 1, sizeof seen - strlen(seen) - 1);
            families++;
            continue;
        }
        if (sscanf(line, "# TYPE %127s", name) == 1) {
            assert_string_equal(name, family);
            continue;
        }
        n = strcspn(line, "{ ");
        assert_memory_equal(line, family, strlen(family));
        if (n != strlen(family))
            assert_true(line[strlen(family)] == '_'); /* _bucket, _sum, _count */
        strtod(strrchr(line, ' ') + 1, &end);
        assert_int_equal(*end, '\0');
    }
    assert_true(families > 60);
    free(text);
    hg_buf_fini(&b);
}

static void docs_name_what_is_printed(void **state)
{
    struct hg_buf b = scrape(), docs = {0};
    char *text = strdup(hg_test_text(&b)), *save, name[128], cell[140];

    (void)state;
    hg_metrics_docs(&docs);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (sscanf(line, "# HELP %127s", name) == 1) {
            snprintf(cell, sizeof cell, "\n| `%s` | ", name);
            hg_test_has(&docs, cell);
        }
    free(text);
    hg_buf_fini(&b);
    hg_buf_fini(&docs);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
    const struct CMUnitTest tests[] = {
        T(values_become_one_figure_for_the_host), T(histogram_buckets),
        T(histogram_text_is_cumulative),          T(a_dead_workers_counters_stay_and_its_gauges_go),
        T(every_line_is_of_the_format),           T(docs_name_what_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
