/* The command line: what was asked for, and the one place that knows both the master and the
 * worker. */
#include <bsd/unistd.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/sys/conf.h"
#include "common/sys/metric.h"
#include "master/control.h"
#include "master/ctl_publish.h"
#include "master/dev.h"
#include "master/master.h"
#include "proto/op.h"
#include "worker/devbroker.h"
#include "worker/worker.h"

extern char **environ;

struct command {
    const char *config, *print;
    bool check, version, help, json;
    int argc; /* what is left: options of conf.def */
    char **argv;
};

/* ---- what is printed ---- */

static void put(struct hg_buf *b)
{
    fwrite(b->n ? b->p : "", 1, b->n, stdout);
    hg_buf_fini(b);
}

static void put_err(struct hg_buf *b)
{
    fwrite(b->n ? b->p : "", 1, b->n, stderr);
    hg_buf_fini(b);
}

static const char usage[] =
    "headgate " HG_VERSION ": ordered changes from Kafka to WebSocket clients\n"
    "\n"
    "usage:\n"
    "  headgate [options]               run the gateway in the foreground\n"
    "  headgate --dev                   try it out: embedded broker, SQL worker, console page\n"
    "  headgate --check [options]       read the configuration, report errors, exit 0 or 2\n"
    "  headgate --print=WHAT            effective: each option, its value and where it came from;\n"
    "                                   example: a configuration file; docs, metrics, codes, ops: "
    "the references;\n"
    "                                   ops-json: the last one for programs; version\n"
    "  headgate ctl status [--json]     workers, connections, partitions, lag of the running "
    "gateway\n"
    "  headgate ctl reload              read the configuration again (as SIGHUP does)\n"
    "  headgate ctl log-level LEVEL     error, warn, info or debug\n"
    "  headgate ctl publish ...         send a message to a room, channel, path, connection or "
    "everyone\n"
    "                                   (see headgate ctl publish --help)\n"
    "  headgate ctl drain WORKER        replace one worker gracefully\n"
    "  headgate ctl stop [now]          drain all and end (as SIGTERM does); now: at once "
    "(SIGINT)\n"
    "  headgate bench [options]         measure it (see headgate bench --help)\n"
    "  headgate --version | --help\n"
    "\n"
    "signals: TERM drains and ends, twice or INT or QUIT ends at once, HUP reloads, USR1 opens the "
    "log again\n"
    "\n"
    "options (flag, default, meaning); each is HEADGATE_NAME in the environment and a line of the "
    "file too:\n"
    "  --config FILE                    configuration file\n";

static void print_option(struct hg_buf *out, const char *name, const char *def, const char *doc)
{
    size_t start = out->n;
    hg_buf_adds(out, "  --");
    for (const char *p = name; *p; p++)
        hg_buf_addc(out, *p == '_' ? '-' : *p);
    if (def[0])
        hg_buf_addf(out, "=%s", def);
    do
        hg_buf_addc(out, ' ');
    while (out->n - start < 35);
    hg_buf_addf(out, "%s\n", doc);
}

static void print_help(struct hg_buf *out)
{
    hg_buf_adds(out, usage);
#define HG_OPT_GROUP(title) hg_buf_adds(out, "\n" title ":\n");
#define HG_OPT(type, name, def, min, max, reload, sources, doc) print_option(out, #name, def, doc);
#include "common/sys/conf.def"
#undef HG_OPT
#undef HG_OPT_GROUP
}

static void print_example(struct hg_buf *out)
{
    hg_conf_print(NULL, HG_CONF_EXAMPLE, out);
}

static void print_docs(struct hg_buf *out)
{
    hg_conf_print(NULL, HG_CONF_DOCS, out);
}

static void print_metrics(struct hg_buf *out)
{
    hg_metrics_docs(out);
    hg_master_metrics_docs(out);
}

static void print_version(struct hg_buf *out)
{
    hg_buf_adds(out, "headgate " HG_VERSION "\n");
}

static const struct {
    const char *name;
    void (*fn)(struct hg_buf *out);
} pages[] = {{"example", print_example}, {"docs", print_docs}, {"metrics", print_metrics},
             {"codes", hg_err_docs},     {"ops", hg_op_docs},  {"ops-json", hg_op_json},
             {"version", print_version}};

static int print_page(const char *name)
{
    struct hg_buf out = {0};
    for (size_t i = 0; i < HG_COUNTOF(pages); i++) {
        if (strcmp(name, pages[i].name) != 0)
            continue;
        pages[i].fn(&out);
        put(&out);
        return 0;
    }
    fprintf(stderr,
            "headgate: --print=%s: effective, example, docs, metrics, codes, ops, ops-json or "
            "version\n",
            name);
    return 2;
}

/* ---- configuration ---- */

static struct hg_conf_in conf_in(const struct command *cmd)
{
    return (struct hg_conf_in){
        .file = cmd->config, .env = environ, .argc = cmd->argc, .argv = cmd->argv};
}

/* NULL after having said why; warnings are said too, but for ctl. */
static struct hg_conf *load(const struct command *cmd, bool quiet)
{
    struct hg_conf_in in = conf_in(cmd);
    struct hg_conf *conf = NULL;
    struct hg_buf report = {0};
    int rc = hg_conf_load(&in, &conf, &report);
    if (rc < 0 || !quiet)
        put_err(&report);
    hg_buf_fini(&report);
    return rc < 0 ? NULL : conf;
}

static int check(const struct command *cmd)
{
    struct hg_conf *conf = load(cmd, false);
    if (!conf)
        return 2;
    struct hg_buf report = {0};
    int rc = hg_worker_check_conf(conf, &report) ? hg_master_check(conf) : -HG_E_CONF_VALUE;
    put_err(&report);
    hg_conf_free(conf);
    if (rc == 0)
        puts("headgate: the configuration is good");
    return rc < 0 ? 2 : 0;
}

static int print_effective(const struct command *cmd)
{
    struct hg_buf out = {0};
    struct hg_conf *conf = load(cmd, false);
    if (!conf)
        return 2;
    hg_conf_print(conf, HG_CONF_EFFECTIVE, &out);
    hg_conf_free(conf);
    put(&out);
    return 0;
}

/* ---- running ---- */

static int run_worker(const struct hg_master_worker *w)
{
    struct hg_worker_boot boot = {.host = w->host,
                                  .conf = w->conf,
                                  .seat = w->seat,
                                  .slot = w->slot,
                                  .listen_fd = w->listen_fd,
                                  .ipc_fd = w->ipc_fd};
    return hg_worker_main(&boot);
}

static int run_master(const struct command *cmd)
{
    struct hg_master_in in = {
        .conf_in = conf_in(cmd),
        .worker = run_worker,
        .devbroker = hg_devbroker_main,
        .check = hg_worker_check_conf,
    };
    setproctitle("master");
    return hg_master_run(&in);
}

static bool is_ctl_publish(const struct command *cmd)
{
    return cmd->argc > 0 && strcmp(cmd->argv[0], "publish") == 0;
}

static int run_ctl_publish(struct command *cmd)
{
    struct hg_buf body = {0};
    int left = hg_ctl_publish_body(cmd->argc - 1, cmd->argv + 1, &body),
        code = left < 0 ? -left : 2;
    struct hg_conf *conf = NULL;

    if (left >= 0) {
        cmd->argc = left;
        cmd->argv++;
        conf = load(cmd, true);
    }
    if (conf)
        code = hg_ctl_publish(conf, hg_buf_slice(&body), cmd->json);
    hg_conf_free(conf);
    hg_buf_fini(&body);
    return code;
}

static int run_ctl(struct command *cmd)
{
    if (is_ctl_publish(cmd))
        return run_ctl_publish(cmd);
    char *words[4] = {NULL};
    int n = 0;
    while (n < 3 && n < cmd->argc && strncmp(cmd->argv[n], "--", 2) != 0) {
        words[n] = cmd->argv[n];
        n++;
    }
    cmd->argc -= n;
    cmd->argv += n;
    struct hg_conf *conf = load(cmd, true);
    if (!conf)
        return 2;
    int code = hg_ctl_main(conf, words, cmd->json);
    hg_conf_free(conf);
    return code;
}

static int run_bench(char **argv)
{
    char path[PATH_MAX];
    if (!hg_dev_find_tool("headgate-bench", path)) {
        fprintf(stderr, "headgate: headgate-bench is neither beside headgate nor on PATH\n");
        return 1;
    }
    argv[0] = path;
    execv(path, argv);
    fprintf(stderr, "headgate: %s: %s\n", path, strerror(errno));
    return 1;
}

/* ---- arguments ---- */

/* Is argv[*i] this option with a value, "--x=v" or "--x v"? */
static bool take_value(const char *name, int argc, char **argv, int *i, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n) != 0)
        return false;
    if (argv[*i][n] == '=') {
        *value = argv[*i] + n + 1;
        return true;
    }
    if (argv[*i][n] != '\0' || *i + 1 >= argc)
        return false;
    *value = argv[++*i];
    return true;
}

static bool take_flag(struct command *cmd, const char *arg)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--check", &cmd->check}, {"--version", &cmd->version}, {"-V", &cmd->version},
                 {"--help", &cmd->help},   {"-h", &cmd->help},           {"--json", &cmd->json}};
    for (size_t i = 0; i < HG_COUNTOF(flags); i++) {
        if (strcmp(arg, flags[i].name) != 0)
            continue;
        *flags[i].flag = true;
        return true;
    }
    return false;
}

/* Takes out what is not an option of conf.def; the rest stays, in order, in cmd->argv. */
static void parse(struct command *cmd, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (take_value("--config", argc, argv, &i, &cmd->config) ||
            take_value("--print", argc, argv, &i, &cmd->print) || take_flag(cmd, argv[i]))
            continue;
        cmd->argv[cmd->argc++] = argv[i];
    }
}

static void print_about(const struct command *cmd, bool ctl, struct hg_buf *out)
{
    if (!cmd->help)
        print_version(out);
    else if (ctl && is_ctl_publish(cmd))
        hg_ctl_publish_help(out);
    else
        print_help(out);
}

static int answer(struct command *cmd, bool ctl)
{
    struct hg_buf out = {0};
    if (cmd->help || cmd->version) {
        print_about(cmd, ctl, &out);
        put(&out);
        return 0;
    }
    if (ctl)
        return run_ctl(cmd);
    if (cmd->print)
        return strcmp(cmd->print, "effective") == 0 ? print_effective(cmd) : print_page(cmd->print);
    return cmd->check ? check(cmd) : run_master(cmd);
}

int main(int argc, char **argv)
{
    setproctitle_init(argc, argv, environ);
    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        return run_bench(argv + 1);
    bool ctl = argc > 1 && strcmp(argv[1], "ctl") == 0;
    int skip = ctl ? 2 : HG_MIN(argc, 1);
    char **rest = hg_calloc((size_t)argc + 1, sizeof *rest);
    struct command cmd = {.argv = rest};
    parse(&cmd, argc - skip, argv + skip);
    int code = answer(&cmd, ctl);
    free(rest);
    return fflush(stdout) == 0 ? code : 1;
}
