/*
 * headgate-produce: puts records into the topics a gateway reads: diffs, row events, envelopes of
 * broadcasts. The value is given (an argument, a file, a line of standard input each) or made up;
 * the key is given or made of tenant, table and hashId; the LSN goes into the header in either
 * encoding, rising by a step.
 *
 * 1. Order is kept: one request to the broker is in flight.
 * 2. It ends with 0 only when all that was asked for is sent and the broker has confirmed every
 *    record, and says how many it did. Told to stop, it waits 5 seconds for that.
 * 3. What no gateway would take (a row event without routingKey, an envelope of an unknown shape)
 *    is not sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/num.h"
#include "proto/route.h"
#include "tools/cli.h"
#include "tools/kafka.h"
#include "tools/produce_value.h"
#include "tools/tap_print.h"

enum { STOP_MS = 5000, PAUSE_MS = 100 };

enum lsn_as { LSN_TEXT, LSN_BINARY, LSN_NONE };

struct args { /* as they stand on the command line; "" or NULL: not given */
    const char *brokers, *topic, *kind, *key, *tenant, *table, *hash_id;
    const char *value, *file, *size;
    const char *channel, *room, *path, *id;
    const char *lsn, *lsn_start, *lsn_step, *count, *rate, *timeout;
    bool lines, all;
};

struct producer {
    rd_kafka_t *rk;
    const char *topic;
    struct hg_pv_spec spec;
    struct hg_buf key, file;
    struct hg_slice given; /* the one value of all records; none: lines, or made up */
    bool lines;
    enum lsn_as lsn_as;
    uint64_t lsn, step, count; /* count 0: no end */
    double rate;               /* 0: as fast as it goes */
    int64_t timeout_ms;
    bool all_sent; /* nothing was left to send when it stopped */
    uint64_t sent, delivered, failed;
    rd_kafka_resp_err_t first_error;
};

static int64_t clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- to Kafka ---- */

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct producer *p = opaque;
    (void)rk;
    if (!m->err) {
        p->delivered++;
        return;
    }
    if (p->failed++ == 0)
        p->first_error = m->err;
}

static rd_kafka_headers_t *headers_of(const struct producer *p)
{
    unsigned char be[8];
    char text[21];
    rd_kafka_headers_t *h = p->lsn_as == LSN_NONE ? NULL : rd_kafka_headers_new(1);
    if (p->lsn_as == LSN_TEXT)
        rd_kafka_header_add(h, "lsn", -1, text, (ssize_t)hg_num_u64_text(p->lsn, text));
    for (int i = 0; i < 8; i++)
        be[i] = (unsigned char)(p->lsn >> (56 - 8 * i));
    if (p->lsn_as == LSN_BINARY)
        rd_kafka_header_add(h, "lsn", -1, be, sizeof be);
    return h;
}

/* Waits while librdkafka's queue is full; false when told to stop. */
static bool send_record(struct producer *p, struct hg_slice value)
{
    for (;;) {
        rd_kafka_headers_t *h = headers_of(p);
        rd_kafka_resp_err_t err = rd_kafka_producev(
            p->rk, RD_KAFKA_V_TOPIC(p->topic), RD_KAFKA_V_KEY(p->key.p, p->key.n),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)value.p, value.n),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(h), RD_KAFKA_V_END);
        if (!err) { /* the headers are librdkafka's now */
            p->sent++;
            return true;
        }
        if (h)
            rd_kafka_headers_destroy(h);
        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            hg_cli_die("%s: %s", p->topic, rd_kafka_err2str(err));
        if (hg_cli_stopped())
            return false;
        rd_kafka_poll(p->rk, 50);
    }
}

/* Delivery reports come while it waits for the record's turn. */
static void pace(struct producer *p, int64_t started_us, uint64_t n)
{
    int64_t due = p->rate > 0 ? started_us + (int64_t)((double)n * 1e6 / p->rate) : 0;
    rd_kafka_poll(p->rk, 0);
    for (int64_t left; !hg_cli_stopped(); rd_kafka_poll(p->rk, (int)HG_MIN(left / 1000 + 1, 50))) {
        left = due - clock_us(CLOCK_MONOTONIC);
        if (left <= 0)
            return;
    }
}

/* The next value given; false at the end of the lines. */
static bool next_given(struct producer *p, char **line, size_t *cap, struct hg_slice *given)
{
    *given = p->given;
    if (!p->lines)
        return true;
    ssize_t n = getline(line, cap, stdin);
    if (n < 0) {
        p->all_sent = feof(stdin);
        return false;
    }
    *given = hg_slice_of(*line, (size_t)(n - (n > 0 && (*line)[n - 1] == '\n')));
    return true;
}

/* An LSN that fell back to 0 would reset every stream. */
static bool next_lsn(struct producer *p)
{
    if (p->step > UINT64_MAX - p->lsn && p->lsn_as != LSN_NONE) {
        hg_cli_log("there is no LSN above %llu", (unsigned long long)p->lsn);
        p->failed++;
        return false;
    }
    p->lsn += p->step;
    return true;
}

static void produce(struct producer *p)
{
    char *line = NULL;
    size_t cap = 0;
    struct hg_buf value = {0}, why = {0};
    struct hg_slice given;
    int64_t started = clock_us(CLOCK_MONOTONIC);
    for (uint64_t n = 0; (p->count == 0 || n < p->count) && !hg_cli_stopped(); n++) {
        if (!next_given(p, &line, &cap, &given))
            break;
        if (n > 0 && !next_lsn(p))
            break;
        hg_buf_reset(&value);
        if (hg_pv_make(&value, &p->spec, n, p->lsn, given, &why) < 0) {
            hg_cli_log("record %llu is not sent: %.*s", (unsigned long long)n,
                       HG_SLICE_ARG(hg_buf_slice(&why)));
            p->failed++;
            break;
        }
        pace(p, started, n);
        if (hg_cli_stopped() || !send_record(p, hg_buf_slice(&value)))
            break;
    }
    p->all_sent |= p->count > 0 ? p->sent == p->count : !p->lines;
    free(line);
    hg_buf_fini(&value);
    hg_buf_fini(&why);
}

/* message.timeout.ms ends the waiting, or a signal, soon. */
static void await_reports(struct producer *p)
{
    int64_t stop = 0;
    while (rd_kafka_outq_len(p->rk) > 0) {
        rd_kafka_poll(p->rk, PAUSE_MS);
        if (hg_cli_stopped() && stop == 0)
            stop = clock_us(CLOCK_MONOTONIC) + STOP_MS * 1000;
        if (stop != 0 && clock_us(CLOCK_MONOTONIC) > stop)
            rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
    hg_cli_log("%llu of %llu records delivered to %s (librdkafka %s)",
               (unsigned long long)p->delivered, (unsigned long long)p->sent, p->topic,
               rd_kafka_version_str());
    if (p->first_error)
        hg_cli_log("%llu failed, the first: %s", (unsigned long long)p->failed,
                   rd_kafka_err2str(p->first_error));
}

static void await_topic(struct producer *p)
{
    int64_t until = clock_us(CLOCK_MONOTONIC) + p->timeout_ms * 1000;
    int n, ask_ms = (int)HG_MIN(p->timeout_ms, 1000);
    bool said = false;
    while ((n = hg_tk_partitions(p->rk, p->topic, ask_ms)) <= 0 && !hg_cli_stopped()) {
        if (!said && n == -1)
            hg_cli_log("waiting for a Kafka broker");
        said |= n == -1;
        if (clock_us(CLOCK_MONOTONIC) > until)
            hg_cli_die(n == -1 ? "%s: no Kafka broker answers" : "%s: there is no such topic",
                       p->topic);
        rd_kafka_poll(p->rk, PAUSE_MS);
    }
}

/* ---- the command line ---- */

static bool is_set(const char *s)
{
    return s && *s;
}

static void read_kind(struct producer *p, const struct args *a)
{
    static const char *const kinds[] = {"diff", "row", "envelope", NULL};
    if (is_set(a->kind))
        p->spec.kind = (enum hg_pv_kind)hg_cli_word("--kind", a->kind, kinds);
    else if (hg_tap_kind_of(a->topic) == HG_TAP_ROW)
        p->spec.kind = HG_PV_ROW;
    else if (hg_tap_kind_of(a->topic) == HG_TAP_ENVELOPE)
        p->spec.kind = HG_PV_ENVELOPE;
}

static void check_names(const char *tenant, const char *table, const char *hash_id)
{
    const char *why = "";
    if (hg_route_check_tenant(hg_slice_str(tenant), true, &why) < 0)
        hg_cli_wrong("--tenant", why);
    if (hg_route_check_table(hg_slice_str(table), &why) < 0)
        hg_cli_wrong("--table", why);
    if (hg_route_check_hash(hg_slice_str(hash_id), &why) < 0)
        hg_cli_wrong("--hash-id", why);
}

static void read_key(struct producer *p, const struct args *a)
{
    const char *tenant = is_set(a->tenant) ? a->tenant : "demo";
    bool named = is_set(a->table) || is_set(a->hash_id);
    if (is_set(a->key) && named)
        hg_cli_wrong("--key", "not together with --table, --hash-id");
    if (is_set(a->key)) {
        hg_buf_adds(&p->key, a->key);
    } else if (named) {
        check_names(tenant, a->table, a->hash_id);
        hg_route_put_key(&p->key, hg_slice_str(tenant), hg_slice_str(a->table),
                         hg_slice_str(a->hash_id));
    } else if (p->spec.kind != HG_PV_ENVELOPE) {
        hg_cli_wrong("--key", "say it, or --table and --hash-id (and --tenant)");
    }
    p->spec.key = hg_buf_slice(&p->key);
}

static void read_target(struct producer *p, const struct args *a)
{
    const struct {
        const char *name, *value;
    } ways[] = {{"channel", a->channel},
                {"room", a->room},
                {"path", a->path},
                {"id", a->id},
                {"all", a->all ? "all" : ""}};
    for (size_t i = 0; i < HG_COUNTOF(ways); i++) {
        char option[16];
        if (!is_set(ways[i].value))
            continue;
        snprintf(option, sizeof option, "--%s", ways[i].name);
        if (p->spec.kind != HG_PV_ENVELOPE)
            hg_cli_wrong(option, "is for envelopes (--kind envelope)");
        if (p->spec.target_key)
            hg_cli_wrong(option, "one of --channel, --room, --path, --id, --all is enough");
        p->spec.target_key = ways[i].name;
        p->spec.target = ways[i].value;
    }
    p->spec.tenant = is_set(a->tenant) ? a->tenant : NULL;
}

static void read_file(struct hg_buf *to, const char *path)
{
    char piece[65536];
    FILE *f = fopen(path, "rb");
    size_t n;
    if (!f)
        hg_cli_die("%s: %s", path, strerror(errno));
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        hg_buf_add(to, piece, n);
    if (ferror(f))
        hg_cli_die("%s: %s", path, strerror(errno));
    fclose(f);
}

static void read_value(struct producer *p, const struct args *a)
{
    if ((a->value != NULL) + is_set(a->file) + a->lines > 1)
        hg_cli_wrong("--value", "one of --value, --file, --lines is enough");
    p->lines = a->lines;
    if (a->value)
        p->given = hg_slice_str(a->value);
    if (is_set(a->file)) {
        read_file(&p->file, a->file);
        p->given = hg_slice_of(p->file.p ? p->file.p : "", p->file.n);
    }
    p->spec.size = (size_t)hg_cli_int("--size", a->size, 0, 1 << 26);
    if (p->spec.kind == HG_PV_ENVELOPE && !p->spec.target_key && !p->given.p && !p->lines)
        hg_cli_wrong("--kind", "an envelope is for whom? --channel, --room, --path, --id or --all, "
                               "or a whole one as --value");
}

static uint64_t read_u64(const char *name, const char *text)
{
    uint64_t v = 0;
    const char *why;
    if (hg_num_u64(hg_slice_str(text), &v, &why) < 0)
        hg_cli_wrong(name, why);
    return v;
}

static void read_numbers(struct producer *p, const struct args *a)
{
    static const char *const words[] = {"text", "binary", "none", NULL};
    bool envelope = p->spec.kind == HG_PV_ENVELOPE;
    p->lsn_as = is_set(a->lsn) ? (enum lsn_as)hg_cli_word("--lsn", a->lsn, words)
                : envelope     ? LSN_NONE
                               : LSN_TEXT;
    /* The clock rises from run to run, as an LSN must. */
    p->lsn = is_set(a->lsn_start) ? read_u64("--lsn-start", a->lsn_start)
                                  : (uint64_t)clock_us(CLOCK_REALTIME);
    p->step = read_u64("--lsn-step", a->lsn_step);
    p->count =
        is_set(a->count) ? (uint64_t)hg_cli_int("--count", a->count, 0, INT64_MAX) : !p->lines;
    p->rate = hg_cli_double("--rate", a->rate, 0, 1e6);
    if (p->rate > 0 && p->rate < 1e-3)
        hg_cli_wrong("--rate", "less than one in 1000 seconds");
    p->timeout_ms = (int64_t)(1000 * hg_cli_double("--timeout", a->timeout, 0.1, 86400));
}

static void parse(int argc, char **argv, struct args *a)
{
    const struct hg_cli_opt opts[] = {
        {"brokers", "LIST", "Kafka brokers, host:port,... (KAFKA_BROKERS)", &a->brokers, NULL},
        {"topic", "NAME", "topic", &a->topic, NULL},
        {"kind", "KIND", "diff, row or envelope (guessed from the topic's name)", &a->kind, NULL},
        {"key", "KEY", "key of the records", &a->key, NULL},
        {"tenant", "NAME",
         "makes the key, with table and hash-id (demo); of an envelope: its tenant", &a->tenant,
         NULL},
        {"table", "NAME", "makes the key", &a->table, NULL},
        {"hash-id", "ID", "makes the key", &a->hash_id, NULL},
        {"value", "TEXT", "value of every record (otherwise made up)", &a->value, NULL},
        {"file", "FILE", "the same, from a file", &a->file, NULL},
        {"lines", NULL, "a value a line of standard input", NULL, &a->lines},
        {"size", "BYTES", "at least so long is what is made up", &a->size, NULL},
        {"channel", "NAME", "envelope: to a channel; the value is its data", &a->channel, NULL},
        {"room", "NAME", "envelope: to a room; the value is its text", &a->room, NULL},
        {"path", "PATH", "envelope: to who connected there", &a->path, NULL},
        {"id", "ID", "envelope: to a connection", &a->id, NULL},
        {"all", NULL, "envelope: to everyone of the tenant", NULL, &a->all},
        {"lsn", "HOW", "header lsn: text, binary or none (text; none for envelopes)", &a->lsn,
         NULL},
        {"lsn-start", "N", "the first LSN (the clock's microseconds)", &a->lsn_start, NULL},
        {"lsn-step", "N", "how much it rises by", &a->lsn_step, NULL},
        {"count", "N", "records; 0 goes on (1; with --lines all)", &a->count, NULL},
        {"rate", "N", "records per second; 0 is as fast as it goes", &a->rate, NULL},
        {"timeout", "SECONDS", "wait so long for a broker, for a topic, for delivery", &a->timeout,
         NULL},
    };
    hg_cli_parse(argc, argv, "Puts diffs, row events or envelopes into a topic of headgate's.",
                 opts, HG_COUNTOF(opts));
}

static rd_kafka_t *new_producer(struct producer *p, const char *brokers)
{
    char timeout[24];
    snprintf(timeout, sizeof timeout, "%lld", (long long)p->timeout_ms);
    const char *const props[][2] = {{"client.id", "headgate-produce"},
                                    {"acks", "all"},
                                    {"max.in.flight.requests.per.connection", "1"},
                                    {"message.timeout.ms", timeout},
                                    {"message.max.bytes", "104857600"},
                                    {"partitioner", "murmur2_random"}, /* that of Kafka's own */
                                    {"linger.ms", "5"},
                                    {NULL, NULL}};
    rd_kafka_conf_t *conf = hg_tk_conf(brokers, props);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, p);
    return hg_tk_new(RD_KAFKA_PRODUCER, conf);
}

int main(int argc, char **argv)
{
    const char *brokers = getenv("KAFKA_BROKERS");
    struct producer p = {0};
    struct args a = {.brokers = is_set(brokers) ? brokers : "localhost:9092",
                     .topic = "server.page.diffs",
                     .size = "0",
                     .lsn_step = "1",
                     .rate = "0",
                     .timeout = "30"};
    parse(argc, argv, &a);
    p.topic = a.topic;
    read_kind(&p, &a);
    read_target(&p, &a);
    read_value(&p, &a);
    read_key(&p, &a);
    read_numbers(&p, &a);
    hg_cli_catch_signals();
    p.rk = new_producer(&p, a.brokers);
    await_topic(&p);
    produce(&p);
    await_reports(&p);
    rd_kafka_destroy(p.rk);
    hg_buf_fini(&p.key);
    hg_buf_fini(&p.file);
    return p.all_sent && p.failed == 0 && p.delivered == p.sent ? 0 : 1;
}
