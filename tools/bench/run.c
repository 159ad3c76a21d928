#include "tools/bench/run.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/buf.h"
#include "common/base/macros.h"
#include "tools/bench/bare.h"
#include "tools/bench/clients.h"
#include "tools/cli.h"
#include "tools/kafka.h"

#define SECOND 1000000000ull
enum { STAMP = 20, OPEN_WITHIN = 120, READY_WITHIN = 120, STALL_WITHIN = 20 };

struct room {
    uint32_t members;
    uint64_t sent, delivered;
};

struct run {
    const struct hg_run_target *t;
    struct hg_run_load l;
    struct hg_crowd *crowd;
    struct room *rooms;
    uint32_t ready;
    bool measuring;
    uint64_t delivered, progress_ns;
    struct hg_hist *latency;
    struct hg_buf msg; /* the message that is sent, stamped each time */
    size_t stamp_at;
    rd_kafka_t *kafka;
    uint64_t lsn;
};

static bool has(struct hg_slice s, const char *word)
{
    return memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static uint64_t stamp_of(const char *p)
{
    uint64_t v = 0;
    for (int i = 4; i < STAMP; i++)
        v = v << 4 | (uint64_t)(p[i] <= '9' ? p[i] - '0' : p[i] - 'a' + 10);
    return v;
}

static void on_control(struct run *r, uint32_t conn, struct hg_slice m)
{
    if (has(m, "\"op\":\"joined\"") || has(m, "\"op\":\"snapshot\""))
        r->ready++;
    else if (has(m, "\"op\":\"error\"") || has(m, "\"type\":\"error\""))
        hg_cli_die("client %u was told: %.*s", conn, (int)HG_MIN(m.n, 300u), m.p);
}

static void on_message(void *arg, uint32_t conn, int opcode, struct hg_slice m)
{
    struct run *r = arg;
    (void)opcode;
    if (m.n < STAMP || memcmp(m.p, "HGB1", 4) != 0) {
        on_control(r, conn, m);
        return;
    }
    if (conn == 0)
        hg_cli_die("the publisher got a message of a room it is not in");
    r->rooms[(conn - 1) % r->l.rooms].delivered++;
    r->delivered++;
    if (r->measuring)
        hg_hist_add(r->latency, hg_now_ns() - stamp_of(m.p));
}

/* ---- into the rooms ---- */

static void path_of(void *arg, uint32_t i, char *path, size_t cap)
{
    const struct run *r = arg;
    if (r->t->feed != HG_FEED_BARE)
        return;
    if (i == 0)
        snprintf(path, cap, "/bare?feed");
    else
        snprintf(path, cap, "/bare?room=%u", (i - 1) % r->l.rooms);
}

static void ask_in(struct run *r, uint32_t i)
{
    struct hg_buf b = {0};
    uint32_t room = (i - 1) % r->l.rooms;
    if (r->t->feed == HG_FEED_ROOM)
        hg_buf_addf(&b, "{\"op\":\"join\",\"room\":\"b%u\"}", room);
    else
        hg_buf_addf(&b,
                    "{\"op\":\"subscribe\",\"table\":\"%s\",\"hashId\":\"b%u\",\"queryJson\":\"{"
                    "\\\"limit\\\":1}\"}",
                    r->t->table, room);
    hg_crowd_queue_text(r->crowd, i, hg_buf_slice(&b));
    hg_crowd_flush(r->crowd, i);
    hg_buf_fini(&b);
}

static void wait_ready(struct run *r)
{
    uint64_t until = hg_now_ns() + READY_WITHIN * SECOND;
    for (uint32_t asked = 0; r->ready < r->l.clients;) {
        /* Not all at once: 15,000 subscribes in one go are another test. */
        while (asked < r->l.clients && asked - r->ready < 1000)
            ask_in(r, ++asked);
        hg_crowd_poll(r->crowd, 100);
        if (hg_now_ns() > until || hg_cli_stopped())
            hg_cli_die("only %u of %u clients are in their rooms", r->ready, r->l.clients);
    }
}

/* ---- the message ---- */

static void server_frame_head(struct hg_buf *b, uint32_t n)
{
    unsigned char h[4] = {0x81, (unsigned char)n};
    if (n >= 126) {
        h[1] = 126;
        h[2] = (unsigned char)(n >> 8);
        h[3] = (unsigned char)n;
    }
    hg_buf_add(b, h, n < 126 ? 2 : 4);
}

static void put_payload(struct run *r)
{
    r->stamp_at = r->msg.n;
    hg_buf_adds(&r->msg, "HGB1");
    while (r->msg.n - r->stamp_at < r->l.size)
        hg_buf_addc(&r->msg, 'x');
}

static void stamp(struct run *r, uint64_t ns)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)ns);
    memcpy(r->msg.p + r->stamp_at + 4, hex, 16);
}

static void build(struct run *r, uint32_t room)
{
    hg_buf_reset(&r->msg);
    if (r->t->feed == HG_FEED_BARE) {
        struct hg_bare_record rec = {room, r->l.size + (r->l.size < 126 ? 2 : 4)};
        hg_buf_add(&r->msg, &rec, sizeof rec);
        server_frame_head(&r->msg, r->l.size);
        put_payload(r);
    } else if (r->t->feed == HG_FEED_ROOM) {
        hg_buf_addf(&r->msg, "{\"op\":\"publish\",\"room\":\"b%u\",\"text\":\"", room);
        put_payload(r);
        hg_buf_adds(&r->msg, "\"}");
    } else {
        put_payload(r);
    }
}

static void produce(struct run *r, uint32_t room)
{
    char key[300];
    unsigned char be[8];
    int n = snprintf(key, sizeof key, "demo_%s|b%u", r->t->table, room);
    r->lsn++;
    for (int i = 0; i < 8; i++)
        be[i] = (unsigned char)(r->lsn >> (56 - 8 * i));
    while (rd_kafka_producev(r->kafka, RD_KAFKA_V_TOPIC("server.page.diffs"),
                             RD_KAFKA_V_KEY(key, n), RD_KAFKA_V_VALUE(r->msg.p, r->msg.n),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_HEADER("lsn", be, sizeof be),
                             RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(r->kafka, 1);
}

static void publish(struct run *r, uint32_t room, uint64_t due_ns)
{
    build(r, room);
    stamp(r, due_ns);
    r->rooms[room].sent++;
    if (r->t->feed == HG_FEED_BARE)
        hg_crowd_queue_raw(r->crowd, 0, hg_buf_slice(&r->msg));
    else if (r->t->feed == HG_FEED_ROOM)
        hg_crowd_queue_text(r->crowd, 0, hg_buf_slice(&r->msg));
    else
        produce(r, room);
}

/* ---- loops ---- */

/* Half the window at a time: while the clients read one half, the server has the other. */
static void refill(struct run *r)
{
    uint32_t batch = HG_MAX(r->l.inflight / 2, 1u);
    for (uint32_t i = 0; i < r->l.rooms; i++) {
        struct room *m = &r->rooms[i];
        while (m->sent * m->members - m->delivered <=
               (uint64_t)(r->l.inflight - batch) * m->members)
            for (uint32_t k = 0; k < batch; k++)
                publish(r, i, hg_now_ns());
    }
    hg_crowd_flush(r->crowd, 0);
}

static void check_progress(struct run *r, uint64_t now, uint64_t before)
{
    if (r->delivered != before)
        r->progress_ns = now;
    if (now - r->progress_ns > STALL_WITHIN * SECOND)
        hg_cli_die("%s: nothing was delivered for %d s", r->t->name, STALL_WITHIN);
    if (hg_cli_stopped())
        hg_cli_die("interrupted");
}

static void closed_loop(struct run *r, uint64_t until)
{
    uint64_t now;
    while ((now = hg_now_ns()) < until) {
        uint64_t before = r->delivered;
        refill(r);
        hg_crowd_poll(r->crowd, 20);
        if (r->kafka)
            rd_kafka_poll(r->kafka, 0);
        check_progress(r, now, before);
    }
}

/* Sends what is due; latency counts from when it was due, so that a stall is seen in all that it
 * delayed. */
static void open_loop(struct run *r, uint64_t start, uint64_t until, uint64_t *sent)
{
    uint64_t now;
    while ((now = hg_now_ns()) < until) {
        uint64_t before = r->delivered, due;
        while ((due = start + (uint64_t)((double)*sent * 1e9 / r->l.rate)) <= now) {
            publish(r, (uint32_t)(*sent % r->l.rooms), due);
            ++*sent;
        }
        hg_crowd_flush(r->crowd, 0);
        hg_crowd_poll(r->crowd, due - now > 2000000 ? 1 : 0);
        if (r->kafka)
            rd_kafka_poll(r->kafka, 0);
        check_progress(r, now, before);
    }
}

static uint64_t own_cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void drive(struct run *r, struct hg_run_result *res)
{
    uint64_t start = hg_now_ns(), sent = 0;
    uint64_t warm = start + (uint64_t)(r->l.warm * 1e9),
             end = warm + (uint64_t)(r->l.seconds * 1e9);
    r->progress_ns = start;
    for (int phase = 0; phase < 2; phase++) {
        uint64_t cpu = hg_procs_cpu_ns(&r->t->procs), own = own_cpu_ns(), from = hg_now_ns(),
                 had = r->delivered;
        r->measuring = phase == 1;
        if (r->l.rate > 0)
            open_loop(r, start, phase ? end : warm, &sent);
        else
            closed_loop(r, phase ? end : warm);
        double took = (double)(hg_now_ns() - from) / 1e9;
        res->deliveries = r->delivered - had;
        res->deliveries_per_s = (double)res->deliveries / took;
        res->client_cpu = (double)(own_cpu_ns() - own) / 1e9 / took;
        if (res->deliveries && r->t->procs.n)
            res->cpu_s_per_million =
                (double)(hg_procs_cpu_ns(&r->t->procs) - cpu) / 1e3 / (double)res->deliveries;
    }
}

static void open_kafka(struct run *r)
{
    const char *const props[][2] = {
        {"client.id", "headgate-bench"}, {"linger.ms", "0"}, {NULL, NULL}};
    struct timespec ts;
    r->kafka = hg_tk_new(RD_KAFKA_PRODUCER, hg_tk_conf(r->t->brokers, props));
    if (hg_tk_topic(r->kafka, "server.page.diffs") < 0)
        hg_cli_die("interrupted");
    clock_gettime(CLOCK_REALTIME, &ts);
    r->lsn = (uint64_t)ts.tv_sec * 1000000000u; /* above whatever an earlier run used */
}

static void start(struct run *r, const struct hg_run_target *t, const struct hg_run_load *l)
{
    *r = (struct run){.t = t, .l = *l};
    r->rooms = hg_calloc(l->rooms, sizeof(*r->rooms));
    for (uint32_t i = 0; i < l->clients; i++)
        r->rooms[i % l->rooms].members++;
    if (t->feed == HG_FEED_KAFKA)
        open_kafka(r);
    r->crowd = hg_crowd_new(&t->addr, on_message, r);
    hg_crowd_open(r->crowd, l->clients + 1, path_of, hg_now_ns() + OPEN_WITHIN * SECOND);
}

static void stop(struct run *r)
{
    if (r->kafka) {
        rd_kafka_purge(r->kafka, RD_KAFKA_PURGE_F_QUEUE);
        rd_kafka_flush(r->kafka, 2000);
        rd_kafka_destroy(r->kafka);
    }
    hg_crowd_free(r->crowd);
    hg_buf_fini(&r->msg);
    free(r->rooms);
}

void hg_run(const struct hg_run_target *t, const struct hg_run_load *l, struct hg_run_result *res)
{
    struct run r;
    *res = (struct hg_run_result){0};
    start(&r, t, l);
    r.latency = &res->latency;
    if (t->feed != HG_FEED_BARE)
        wait_ready(&r);
    drive(&r, res);
    stop(&r);
}

/* ---- idle, accept ---- */

static void rest(struct run *r, double seconds)
{
    uint64_t until = hg_now_ns() + (uint64_t)(seconds * 1e9);
    while (hg_now_ns() < until && !hg_cli_stopped())
        hg_crowd_poll(r->crowd, 50);
}

void hg_run_idle(const struct hg_run_target *t, uint32_t clients, uint32_t streams,
                 struct hg_idle_result *res)
{
    struct hg_run_load l = {.clients = clients, .rooms = HG_MAX(streams, 1u), .size = STAMP};
    struct run r;
    *res = (struct hg_idle_result){0};
    double before = (double)hg_procs_anon_bytes(&t->procs);
    start(&r, t, &l);
    rest(&r, 2);
    res->bytes_per_connection = ((double)hg_procs_anon_bytes(&t->procs) - before) / (clients + 1);
    uint64_t cpu = hg_procs_cpu_ns(&t->procs);
    rest(&r, 5);
    res->cpu_ms_per_s = (double)(hg_procs_cpu_ns(&t->procs) - cpu) / 1e6 / 5;
    if (streams) {
        wait_ready(&r);
        rest(&r, 2);
        res->bytes_per_subscriber =
            ((double)hg_procs_anon_bytes(&t->procs) - before) / (clients + 1);
    }
    stop(&r);
}

double hg_run_accept(const struct hg_run_target *t, uint32_t clients)
{
    struct hg_run_load l = {.clients = clients, .rooms = 1, .size = STAMP};
    struct run r;
    uint64_t from = hg_now_ns();
    start(&r, t, &l);
    double took = (double)(hg_now_ns() - from) / 1e9;
    stop(&r);
    return (clients + 1) / took;
}
