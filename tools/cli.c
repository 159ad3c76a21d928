#include "tools/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/nearest.h"
#include "common/base/num.h"

static volatile sig_atomic_t stopped;

static void print_help(const char *about, const struct hg_cli_opt *opts, size_t n)
{
    printf("Usage: %s [options]\n%s\n\n", program_invocation_short_name, about);
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", opts[i].name, opts[i].arg ? " " : "",
                 opts[i].arg ? opts[i].arg : "");
        printf("  %-22s %s", left, opts[i].help);
        if (opts[i].value && *opts[i].value && **opts[i].value)
            printf(" [%s]", *opts[i].value);
        printf("\n");
    }
    printf("  %-22s %s\n  %-22s %s\n", "--help", "this text", "--version", "the version");
}

_Noreturn static void wrong(const char *what, const char *arg)
{
    fprintf(stderr, "%s: %s: %s (try --help)\n", program_invocation_short_name, arg, what);
    exit(2);
}

static const struct hg_cli_opt *find(const struct hg_cli_opt *opts, size_t n, const char *name,
                                     size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(opts[i].name) == len && !memcmp(opts[i].name, name, len))
            return &opts[i];
    return NULL;
}

_Noreturn static void unknown(const struct hg_cli_opt *opts, size_t n, const char *arg, size_t len)
{
    struct hg_nearest near = hg_nearest(hg_slice_of(arg + 2, len));
    for (size_t i = 0; i < n; i++)
        hg_nearest_try(&near, opts[i].name);
    if (near.name)
        fprintf(stderr, "%s: %s: unknown option; the nearest is --%s (try --help)\n",
                program_invocation_short_name, arg, near.name);
    else
        wrong("unknown option", arg);
    exit(2);
}

/* One argument, "--name value" or "--name=value"; returns how many words it took. */
static int take(int left, char **argv, const struct hg_cli_opt *opts, size_t n)
{
    const char *arg = argv[0], *eq = strchr(arg, '=');
    if (strncmp(arg, "--", 2) != 0)
        wrong("not an option", arg);
    size_t len = eq ? (size_t)(eq - arg) - 2 : strlen(arg) - 2;
    const struct hg_cli_opt *o = find(opts, n, arg + 2, len);
    if (!o)
        unknown(opts, n, arg, len);
    if (!o->arg) {
        if (eq)
            wrong("takes no value", arg);
        *o->flag = true;
        return 1;
    }
    if (!eq && left < 2)
        wrong("needs a value", arg);
    *o->value = eq ? eq + 1 : argv[1];
    return eq ? 1 : 2;
}

void hg_cli_parse(int argc, char **argv, const char *about, const struct hg_cli_opt *opts, size_t n)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            print_help(about, opts, n);
            exit(0);
        }
        if (!strcmp(argv[i], "--version")) {
            printf("%s %s\n", program_invocation_short_name, HG_VERSION);
            exit(0);
        }
        i += take(argc - i, argv + i, opts, n) - 1;
    }
}

int64_t hg_cli_int(const char *name, const char *text, int64_t min, int64_t max)
{
    int64_t v;
    const char *why;
    char range[80];
    if (hg_num_i64(hg_slice_str(text), &v, &why) < 0)
        wrong(why, name);
    if (v < min || v > max) {
        snprintf(range, sizeof range, "out of range, %lld to %lld", (long long)min, (long long)max);
        wrong(range, name);
    }
    return v;
}

double hg_cli_double(const char *name, const char *text, double min, double max)
{
    double v;
    const char *why;
    if (hg_num_double(hg_slice_str(text), &v, &why) < 0)
        wrong(why, name);
    if (!(v >= min && v <= max))
        wrong("out of range", name);
    return v;
}

unsigned hg_cli_word(const char *name, const char *text, const char *const *words)
{
    struct hg_nearest near = hg_nearest(hg_slice_str(text));
    for (unsigned i = 0; words[i]; i++) {
        if (!strcmp(text, words[i]))
            return i;
        hg_nearest_try(&near, words[i]);
    }
    fprintf(stderr, "%s: %s: unknown \"%.80s\"", program_invocation_short_name, name, text);
    if (near.name)
        fprintf(stderr, "; the nearest is \"%s\"", near.name);
    else
        fprintf(stderr, "; expected %s", words[0]);
    for (unsigned i = 1; words[i] && !near.name; i++)
        fprintf(stderr, "%s%s", words[i + 1] ? ", " : " or ", words[i]);
    fprintf(stderr, " (try --help)\n");
    exit(2);
}

_Noreturn void hg_cli_wrong(const char *name, const char *what)
{
    wrong(what, name);
}

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

void hg_cli_catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);
}

bool hg_cli_stopped(void)
{
    return stopped != 0;
}

static void log_line(const char *fmt, va_list ap)
{
    char line[1024];
    vsnprintf(line, sizeof line, fmt, ap);
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

void hg_cli_log(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_line(fmt, ap);
    va_end(ap);
}

void hg_cli_die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_line(fmt, ap);
    va_end(ap);
    exit(1);
}
