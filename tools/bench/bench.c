/*
 * headgate-bench: what the gateway costs, beside a loop that does nothing but send (bare.h), in the
 * same run.
 *
 *   headgate-bench                 the table of docs/benchmarks.md
 *   headgate-bench fanout ...      one room or many, closed loop (or --rate)
 *   headgate-bench lone ...        single messages at a rate: latency
 *   headgate-bench idle ...        memory of idle connections, and of subscribed ones
 *   headgate-bench accept ...      handshakes per second
 *
 * The server is a headgate it starts itself (one worker, pinned to one CPU, the clients to
 * another), or any WebSocket server with headgate's ops at --url. Runs of bare loop and server
 * alternate; ratios are medians over the repeats. Loopback only; everything ends by itself.
 */
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "tools/bench/bare.h"
#include "tools/bench/run.h"
#include "tools/bench/server.h"
#include "tools/cli.h"

enum { MAX_REPEAT = 15 };

struct bench {
    const char *headgate, *url, *pids, *brokers, *table, *json;
    bool kafka, no_bare;
    int repeat, workers, server_cpu;
    struct hg_run_load load;
    bool clients_given, rooms_given, size_given, inflight_given;
    struct hg_buf out; /* JSON results */
};

/* ---- the two sides ---- */

struct side {
    struct hg_bench_server own;
    struct hg_run_target target;
    pid_t bare;
};

static void parse_url(const struct bench *b, struct sockaddr_in *a)
{
    char host[64];
    int port;
    if (sscanf(b->url, "ws://%63[0-9.]:%d", host, &port) != 2 ||
        inet_pton(AF_INET, host, &a->sin_addr) != 1 || ntohl(a->sin_addr.s_addr) >> 24 != 127 ||
        port < 1 || port > 65535)
        hg_cli_die("--url: ws://127.x.x.x:PORT is wanted (loopback only): %s", b->url);
    a->sin_family = AF_INET;
    a->sin_port = htons((uint16_t)port);
}

static void open_server(const struct bench *b, bool kafka, int workers, struct side *s)
{
    *s = (struct side){0};
    if (!b->url) {
        hg_bench_server_start(&s->own, b->headgate, workers, kafka);
        s->target = s->own.target;
        if (workers == 1)
            hg_procs_pin(&s->target.procs, b->server_cpu);
        return;
    }
    s->target = (struct hg_run_target){.name = "server",
                                       .feed = kafka ? HG_FEED_KAFKA : HG_FEED_ROOM,
                                       .brokers = b->brokers,
                                       .table = b->table};
    parse_url(b, &s->target.addr);
    if (b->pids)
        hg_procs_parse(&s->target.procs, b->pids);
}

static void open_bare(const struct bench *b, struct side *s)
{
    int port;
    *s = (struct side){.target = {.name = "bare loop", .feed = HG_FEED_BARE}};
    s->bare = hg_bare_start(&port);
    s->target.addr = (struct sockaddr_in){.sin_family = AF_INET,
                                          .sin_port = htons((uint16_t)port),
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    s->target.procs = (struct hg_procs){.at = {s->bare}, .n = 1};
    hg_procs_pin(&s->target.procs, b->server_cpu);
}

static void close_side(struct side *s)
{
    if (s->bare)
        hg_proc_stop(&s->bare);
    else if (s->own.master)
        hg_bench_server_stop(&s->own);
}

/* ---- results ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double us(const struct hg_hist *h, double q)
{
    return (double)hg_hist_quantile(h, q) / 1e3;
}

struct figures {
    double rate[MAX_REPEAT], cpu[MAX_REPEAT], p50[MAX_REPEAT], p99[MAX_REPEAT], p999[MAX_REPEAT];
    double client_cpu;
};

static void measure(const struct side *s, const struct hg_run_load *l, struct figures *f, int i)
{
    struct hg_run_result *r = hg_malloc(sizeof *r);
    hg_run(&s->target, l, r);
    f->rate[i] = r->deliveries_per_s;
    f->cpu[i] = r->cpu_s_per_million;
    f->p50[i] = us(&r->latency, 0.5);
    f->p99[i] = us(&r->latency, 0.99);
    f->p999[i] = us(&r->latency, 0.999);
    f->client_cpu = r->client_cpu;
    free(r);
}

static void json_start(struct bench *b, const char *what)
{
    hg_buf_addf(&b->out, "%s\n  {\"what\":\"%s\"", b->out.n ? "," : "", what);
}

static void json_end(struct bench *b)
{
    hg_buf_addc(&b->out, '}');
}

static void show_side(struct bench *b, const char *name, struct figures *f, int n)
{
    double rate = median(f->rate, n), cpu = median(f->cpu, n), p50 = median(f->p50, n),
           p99 = median(f->p99, n), p999 = median(f->p999, n);
    printf("  %-10s %10.0f /s  %8.3f CPU s per million  p50 %8.0f  p99 %8.0f  p99.9 %8.0f us  "
           "(clients %.2f CPU)\n",
           name, rate, cpu, p50, p99, p999, f->client_cpu);
    hg_buf_addf(&b->out,
                ",\"%s\":{\"deliveries_per_s\":%.0f,\"cpu_s_per_million\":%.4f,\"p50_us\":%.1f,"
                "\"p99_us\":%.1f,"
                "\"p999_us\":%.1f,\"client_cpu\":%.3f}",
                name, rate, cpu, p50, p99, p999, f->client_cpu);
}

/* The ratio of each pair of neighbours, then the median: what else the machine does hits both of a
 * pair. */
static double paired(const double *a, const double *b, int n)
{
    double v[MAX_REPEAT];
    for (int i = 0; i < n; i++)
        v[i] = b[i] > 0 ? a[i] / b[i] : 0;
    return median(v, n);
}

static void show_pair(struct bench *b, struct figures *bare, struct figures *server)
{
    double work = paired(bare->cpu, server->cpu, b->repeat);
    double p50 = paired(server->p50, bare->p50, b->repeat),
           p99 = paired(server->p99, bare->p99, b->repeat);
    show_side(b, "bare", bare, b->repeat);
    show_side(b, "server", server, b->repeat);
    printf("  work per CPU second: %.2f of the bare loop; latency p50 x %.2f, p99 x %.2f\n\n", work,
           p50, p99);
    hg_buf_addf(&b->out, ",\"per_cpu_ratio\":%.3f,\"p50_ratio\":%.3f,\"p99_ratio\":%.3f", work, p50,
                p99);
}

static void compare(struct bench *b, const char *what, const struct hg_run_load *l)
{
    struct figures bare = {0}, server = {0};
    struct side s;
    printf("%s: %u clients in %u %s, %u B, ", what, l->clients, l->rooms,
           b->kafka ? "live queries" : "rooms", l->size);
    if (l->rate > 0)
        printf("%.0f messages/s\n", l->rate);
    else
        printf("closed loop, %u in flight per client\n", l->inflight);
    fflush(stdout);
    for (int i = 0; i < b->repeat; i++) {
        if (!b->no_bare) {
            open_bare(b, &s);
            measure(&s, l, &bare, i);
            close_side(&s);
        }
        open_server(b, b->kafka, b->workers, &s);
        measure(&s, l, &server, i);
        close_side(&s);
    }
    json_start(b, what);
    hg_buf_addf(
        &b->out,
        ",\"clients\":%u,\"rooms\":%u,\"size\":%u,\"inflight\":%u,\"rate\":%.0f,\"source\":\"%s\"",
        l->clients, l->rooms, l->size, l->inflight, l->rate, b->kafka ? "kafka" : "room");
    if (b->no_bare)
        show_side(b, "server", &server, b->repeat);
    else
        show_pair(b, &bare, &server);
    json_end(b);
    fflush(stdout);
}

/* ---- modes ---- */

static struct hg_run_load with_defaults(const struct bench *b, uint32_t clients, uint32_t rooms,
                                        uint32_t size, uint32_t inflight)
{
    struct hg_run_load l = b->load;
    l.clients = b->clients_given ? l.clients : clients;
    l.rooms = b->rooms_given ? l.rooms : rooms;
    l.size = b->size_given ? l.size : size;
    l.inflight = b->inflight_given ? l.inflight : inflight;
    if (l.rooms > l.clients)
        hg_cli_die("more streams than clients");
    return l;
}

static void mode_fanout(struct bench *b)
{
    struct hg_run_load l = with_defaults(b, 1000, 1, 128, 32);
    compare(b, "fan-out", &l);
}

static void mode_lone(struct bench *b)
{
    struct hg_run_load l = with_defaults(b, 100, 100, 128, 32);
    l.rate = l.rate > 0 ? l.rate : 5000;
    compare(b, "lone messages", &l);
}

static void need_files(uint32_t n)
{
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_max != RLIM_INFINITY && r.rlim_max < n)
        hg_cli_die("%u open files are needed, the hard limit is %llu (ulimit -Hn)", n,
                   (unsigned long long)r.rlim_max);
    if (r.rlim_cur < n) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static void mode_idle(struct bench *b)
{
    struct hg_run_load l = with_defaults(b, 15000, 1000, 128, 1);
    struct hg_idle_result r;
    struct side s;
    need_files(l.clients + 1000);
    bool can_subscribe = !b->url || b->brokers;
    open_server(b, can_subscribe, b->workers, &s);
    if (!s.target.procs.n)
        hg_cli_die("--pids are needed to read memory");
    printf("idle: %u connections\n", l.clients);
    hg_run_idle(&s.target, l.clients, can_subscribe ? l.rooms : 0, &r);
    close_side(&s);
    printf("  %.0f B of user space per connection, %.1f ms CPU per second\n",
           r.bytes_per_connection, r.cpu_ms_per_s);
    if (can_subscribe)
        printf("  %.0f B per connection with one subscription (%u streams)\n",
               r.bytes_per_subscriber, l.rooms);
    printf("\n");
    json_start(b, "idle");
    hg_buf_addf(&b->out,
                ",\"clients\":%u,\"streams\":%u,\"bytes_per_connection\":%.0f,\"bytes_per_"
                "subscriber\":%.0f,"
                "\"cpu_ms_per_s\":%.2f",
                l.clients, l.rooms, r.bytes_per_connection, r.bytes_per_subscriber, r.cpu_ms_per_s);
    json_end(b);
    fflush(stdout);
}

static void mode_accept(struct bench *b)
{
    struct hg_run_load l = with_defaults(b, 10000, 1, 128, 1);
    int workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
    double rate[MAX_REPEAT];
    need_files(l.clients + 1000);
    hg_proc_unpin(); /* workers on all CPUs, and we among them */
    for (int i = 0; i < b->repeat; i++) {
        struct side s;
        open_server(b, false, workers, &s);
        rate[i] = hg_run_accept(&s.target, l.clients);
        close_side(&s);
    }
    double m = median(rate, b->repeat);
    printf("accept: %u connections, %d workers, clients on the same CPUs\n  %.0f handshakes/s\n\n",
           l.clients, workers, m);
    json_start(b, "accept");
    hg_buf_addf(&b->out, ",\"clients\":%u,\"workers\":%d,\"handshakes_per_s\":%.0f", l.clients,
                workers, m);
    json_end(b);
    fflush(stdout);
}

static void mode_all(struct bench *b)
{
    struct hg_run_load l = with_defaults(b, 1000, 1, 128, 32);
    compare(b, "fan-out", &l);
    l.size = 1024;
    compare(b, "fan-out", &l);
    l.size = 128;
    l.rooms = l.clients;
    l.inflight = 4;
    compare(b, "many rooms", &l);
    mode_lone(b);
    mode_idle(b);
    mode_accept(b);
}

static const struct {
    const char *name;
    void (*run)(struct bench *);
} modes[] = {{"all", mode_all},
             {"fanout", mode_fanout},
             {"lone", mode_lone},
             {"idle", mode_idle},
             {"accept", mode_accept}};

/* ---- life ---- */

static void pin_self(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        hg_cli_die("pinning to CPU %d: %m", cpu);
}

/* The first two CPUs that we may use, or false when there is but one. */
static bool two_cpus(int *server, int *client)
{
    cpu_set_t set;
    int found = 0;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return false;
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET(i, &set))
            *(found++ ? client : server) = i;
    return found == 2;
}

/* "S,C": the server's CPU and ours; "no": wherever they run. Children start unpinned and are pinned
 * one by one. */
static void pin(struct bench *b, const char *text)
{
    int server, client;
    b->server_cpu = -1;
    if (!strcmp(text, "no"))
        return;
    if (!strcmp(text, "auto")) {
        if (!two_cpus(&server, &client))
            return;
    } else if (sscanf(text, "%d,%d", &server, &client) != 2 || server < 0 || client < 0) {
        hg_cli_die("--pin: SERVER,CLIENT, auto or no");
    }
    b->server_cpu = server;
    pin_self(client);
}

static void write_json(const struct bench *b)
{
    FILE *f = strcmp(b->json, "-") ? fopen(b->json, "w") : stdout;
    if (!f)
        hg_cli_die("%s: %m", b->json);
    fprintf(f, "[%.*s\n]\n", HG_SLICE_ARG(hg_buf_slice(&b->out)));
    if (f != stdout && fclose(f))
        hg_cli_die("%s: %m", b->json);
}

/* The command line before it is understood. */
struct words {
    const char *mode, *clients, *streams, *size, *inflight, *rate, *seconds, *repeat, *workers,
        *source, *pinning;
};

static void read_words(int argc, char **argv, struct bench *b, struct words *w)
{
    const struct hg_cli_opt opts[] = {
        {"clients", "N", "connections", &w->clients, NULL},
        {"streams", "N", "rooms or live queries they are spread over", &w->streams, NULL},
        {"size", "BYTES", "bytes of a message, 20 to 60000", &w->size, NULL},
        {"inflight", "N", "closed loop: messages on their way per client", &w->inflight, NULL},
        {"rate", "R", "open loop: R messages per second over all streams; 0 is the closed loop",
         &w->rate, NULL},
        {"seconds", "S", "measure for so long, each time", &w->seconds, NULL},
        {"repeat", "N", "runs of each side; medians are shown", &w->repeat, NULL},
        {"source", "room|kafka", "what feeds the clients: broadcasts to rooms, or diffs from Kafka",
         &w->source, NULL},
        {"headgate", "FILE", "the gateway to start; default: the one beside this program",
         &b->headgate, NULL},
        {"workers", "N", "its workers (fanout, lone, idle)", &w->workers, NULL},
        {"url", "ws://127...", "measure a server that runs already", &b->url, NULL},
        {"pids", "LIST", "its processes whose CPU time and memory count", &b->pids, NULL},
        {"brokers", "LIST", "its Kafka (with --url and --source kafka, or idle)", &b->brokers,
         NULL},
        {"table", "NAME", "a table its SQL worker has", &b->table, NULL},
        {"pin", "S,C|auto|no", "CPU of the server and of the clients", &w->pinning, NULL},
        {"no-bare", NULL, "leave out the bare loop", NULL, &b->no_bare},
        {"json", "FILE", "write the figures there too; - is standard output", &b->json, NULL},
    };
    if (argc > 1 && argv[1][0] != '-') {
        w->mode = argv[1];
        argv[1] = argv[0];
        argc--;
        argv++;
    }
    hg_cli_parse(argc, argv,
                 "Measures the gateway beside a bare send() loop. Modes (first word): all, fanout, "
                 "lone, idle, accept.",
                 opts, HG_COUNTOF(opts));
}

static uint32_t count_or_0(const char *name, const char *text, int64_t min, int64_t max)
{
    return text ? (uint32_t)hg_cli_int(name, text, min, max) : 0;
}

static void apply_words(struct bench *b, const struct words *w)
{
    b->clients_given = w->clients != NULL;
    b->rooms_given = w->streams != NULL;
    b->size_given = w->size != NULL;
    b->inflight_given = w->inflight != NULL;
    b->load = (struct hg_run_load){.clients = count_or_0("--clients", w->clients, 1, 500000),
                                   .rooms = count_or_0("--streams", w->streams, 1, 500000),
                                   .size = count_or_0("--size", w->size, 20, 60000),
                                   .inflight = count_or_0("--inflight", w->inflight, 1, 10000),
                                   .rate = hg_cli_double("--rate", w->rate, 0, 10e6),
                                   .warm = 0.5,
                                   .seconds = hg_cli_double("--seconds", w->seconds, 0.1, 3600)};
    b->repeat = (int)hg_cli_int("--repeat", w->repeat, 1, MAX_REPEAT);
    b->workers = (int)hg_cli_int("--workers", w->workers, 1, HG_PROC_MAX);
    b->kafka = strcmp(w->source, "kafka") == 0;
    if (!b->kafka && strcmp(w->source, "room") != 0)
        hg_cli_die("--source: room or kafka");
    if (b->kafka && b->url && !b->brokers)
        hg_cli_die("--url with --source kafka needs --brokers");
}

int main(int argc, char **argv)
{
    struct bench b = {.headgate = "", .table = "tasks"};
    struct words w = {.mode = "all",
                      .rate = "0",
                      .seconds = "3",
                      .repeat = "3",
                      .workers = "1",
                      .source = "room",
                      .pinning = "auto"};
    read_words(argc, argv, &b, &w);
    apply_words(&b, &w);
    hg_cli_catch_signals();
    for (size_t i = 0; i < HG_COUNTOF(modes); i++) {
        if (strcmp(modes[i].name, w.mode) != 0)
            continue;
        pin(&b, w.pinning);
        modes[i].run(&b);
        if (b.json)
            write_json(&b);
        hg_buf_fini(&b.out);
        return 0;
    }
    hg_cli_die("%s: no such mode (try --help)", w.mode);
}
