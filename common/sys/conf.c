/*
 * See conf.h. Loading sets values place by place, the weakest first, so that what stands last
 * stands:
 *
 *   default < file < sources' names < HEADGATE_X of .env < HEADGATE_X of the environment < flag
 *
 * A source's name is looked for in the environment, then in .env, as after dotenv has filled what
 * the environment lacks; of several names of one option the first that is given counts. Then come
 * the defaults that follow other options, then what must hold between options. Everything that is
 * wrong is reported, not only the first.
 */
#include "common/sys/conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/sys/conf_origin.h"
#include "common/sys/conf_text.h"

#define DEFAULT_FILE "/etc/headgate/headgate.conf"
#define PREFIX "HEADGATE_"
enum { MAX_FILE = 1 << 20, MAX_SECRET_FILE = 64 << 10, MAX_NAME = 128, MAX_SHOWN = 80 };

/* A variable of the environment (line 0) or of .env. */
struct var {
    char *name, *value;
    unsigned line;
};

struct vars {
    const char *path; /* of .env; NULL: the environment */
    struct var *v;
    size_t n, cap;
};

struct load {
    struct hg_conf_full *f;
    struct hg_buf *report;
    int rc; /* the first error */
    const char *file;
    unsigned line_of[HG_OPT_COUNT]; /* in file */
    struct vars env, dotenv;
};

/* ---- report ---- */

static void line_start(struct load *ld, const char *kind)
{
    hg_buf_adds(ld->report, kind);
}

static void HG_PRINTF(3, 4) fail(struct load *ld, int rc, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    line_start(ld, "error: ");
    hg_buf_addf(ld->report, "%s\n", text);
    if (ld->rc == 0)
        ld->rc = rc;
}

static void HG_PRINTF(2, 3) warn(struct load *ld, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    line_start(ld, "warning: ");
    hg_buf_addf(ld->report, "%s\n", text);
}

/* A value as a message shows it: no secrets, no control characters, not too long. */
static const char *shown(const struct hg_opt *o, struct hg_slice v, char out[MAX_SHOWN + 8])
{
    size_t n = HG_MIN(v.n, (size_t)MAX_SHOWN);

    if (o && o->type == HG_OT_SECRET)
        return "***";
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)v.p[i] < ' ' || v.p[i] == 0x7f ? '?' : v.p[i];
    memcpy(out + n, n < v.n ? "..." : "", n < v.n ? 4 : 1);
    return out;
}

/* ---- one value ---- */

static void bad_value(struct load *ld, const struct hg_opt *o, struct hg_slice text,
                      const char *why, const char *origin)
{
    struct hg_buf range = {0};
    char v[MAX_SHOWN + 8];

    hg_opt_range(o, &range);
    fail(ld, -HG_E_CONF_VALUE, "%s: %s: bad value \"%s\": %s%s%.*s%s", origin, o->name,
         shown(o, text, v), why, range.n ? " (allowed: " : "", HG_SLICE_ARG(hg_buf_slice(&range)),
         range.n ? ")" : "");
    hg_buf_fini(&range);
}

static void set_origin(struct load *ld, const struct hg_opt *o, const char *origin)
{
    char **p = hg_conf_origin(&ld->f->cf, o);

    free(*p);
    *p = hg_strdup(origin);
}

static void set(struct load *ld, const struct hg_opt *o, struct hg_slice text, const char *origin)
{
    const char *why;

    if (hg_opt_set(&ld->f->cf, o, text, &why) < 0)
        bad_value(ld, o, text, why, origin);
    else
        set_origin(ld, o, origin);
}

static bool is_default(const struct load *ld, enum hg_opt_index i)
{
    return strcmp(ld->f->origin[i], "default") == 0;
}

/* "; did you mean ...", or nothing. */
static const char *hint(struct hg_slice name, bool flag, bool env, char out[MAX_NAME])
{
    const struct hg_opt *near = hg_opt_nearest(name);
    char text[MAX_NAME / 2];
    size_t i = 0;

    out[0] = '\0';
    if (!near)
        return out;
    for (; near->name[i] && i < sizeof text - 1; i++)
        text[i] = env                            ? (char)toupper((unsigned char)near->name[i])
                  : flag && near->name[i] == '_' ? '-'
                                                 : near->name[i];
    text[i] = '\0';
    snprintf(out, MAX_NAME, "; did you mean %s%s?", flag ? "--" : env ? PREFIX : "", text);
    return out;
}

/* ---- files ---- */

/* 0; 1: not there; -HG_E_CONF_FILE with errno (EFBIG above max). */
static int read_file(const char *path, size_t max, struct hg_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 1 : -HG_E_CONF_FILE;
    while (hg_buf_try_reserve(out, 4096, max + 4096) == 0 &&
           (n = read(fd, out->p + out->n, 4096)) > 0)
        out->n += (size_t)n;
    if (n > 0 || out->n > max) {
        n = -1;
        errno = EFBIG;
    }
    int e = errno;
    close(fd);
    errno = e;
    return n < 0 ? -HG_E_CONF_FILE : 0;
}

static void on_file_pair(void *ctx, unsigned line, struct hg_slice key, struct hg_slice value,
                         const char *why)
{
    struct load *ld = ctx;
    const struct hg_opt *o = hg_opt_find(key);
    char origin[4096 + 16], v[MAX_SHOWN + 8], h[MAX_NAME];

    snprintf(origin, sizeof origin, "%.4000s:%u", ld->file, line);
    if (why) {
        fail(ld, -HG_E_CONF_FILE, "%s: %s", origin, why);
    } else if (!o) {
        fail(ld, -HG_E_CONF_UNKNOWN, "%s: unknown option \"%s\"%s", origin, shown(NULL, key, v),
             hint(key, false, false, h));
    } else if (ld->line_of[o - hg_opts]) {
        fail(ld, -HG_E_CONF_FILE, "%s: %s stands in line %u already", origin, o->name,
             ld->line_of[o - hg_opts]);
    } else {
        ld->line_of[o - hg_opts] = line;
        set(ld, o, value, origin);
    }
}

static const struct var *find_var(const struct vars *vs, const char *name)
{
    for (size_t i = 0; i < vs->n; i++)
        if (strcmp(vs->v[i].name, name) == 0)
            return &vs->v[i];
    return NULL;
}

static void load_file(struct load *ld, const char *named)
{
    struct hg_buf text = {0};
    int rc;

    const struct var *config = find_var(&ld->env, PREFIX "CONFIG");

    if (!named && config)
        named = config->value;
    ld->file = named ? named : DEFAULT_FILE;
    rc = read_file(ld->file, MAX_FILE, &text);
    if (rc == 0)
        hg_conf_text_each(hg_buf_slice(&text), on_file_pair, ld);
    else if (rc < 0 || named)
        fail(ld, -HG_E_CONF_FILE, "%s: %s", ld->file, strerror(rc > 0 ? ENOENT : errno));
    hg_buf_fini(&text);
}

/* ---- variables ---- */

static void vars_fini(struct vars *vs)
{
    for (size_t i = 0; i < vs->n; i++) {
        free(vs->v[i].name);
        free(vs->v[i].value);
    }
    free(vs->v);
}

static char *copy(struct hg_slice s)
{
    char *p = hg_malloc(s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

/* A later line of .env replaces an earlier one. */
static void vars_add(struct vars *vs, struct hg_slice name, struct hg_slice value, unsigned line)
{
    struct var *x;

    for (size_t i = 0; line && i < vs->n; i++)
        if (hg_slice_is(name, vs->v[i].name)) {
            free(vs->v[i].value);
            vs->v[i].value = copy(value);
            vs->v[i].line = line;
            return;
        }
    if (vs->n == vs->cap) {
        vs->cap = HG_MAX(64u, vs->cap * 2);
        vs->v = hg_realloc(vs->v, vs->cap * sizeof *vs->v);
    }
    x = &vs->v[vs->n++];
    *x = (struct var){copy(name), copy(value), line};
}

static void load_environment(struct load *ld, char **env)
{
    for (; env && *env; env++) {
        const char *eq = strchr(*env, '=');

        if (eq)
            vars_add(&ld->env, hg_slice_of(*env, (size_t)(eq - *env)), hg_slice_str(eq + 1), 0);
    }
}

static void on_dotenv_pair(void *ctx, unsigned line, struct hg_slice key, struct hg_slice value,
                           const char *why)
{
    (void)why;
    vars_add(&((struct load *)ctx)->dotenv, key, value, line);
}

static void load_dotenv(struct load *ld, const char *named)
{
    struct hg_buf text = {0};
    int rc;

    ld->dotenv.path = named ? named : ".env";
    rc = read_file(ld->dotenv.path, MAX_FILE, &text);
    if (rc == 0)
        hg_dotenv_each(hg_buf_slice(&text), on_dotenv_pair, ld);
    else if (rc < 0 || named)
        fail(ld, -HG_E_CONF_FILE, "%s: %s", ld->dotenv.path, strerror(rc > 0 ? ENOENT : errno));
    hg_buf_fini(&text);
}

static void var_origin(const struct vars *vs, const struct var *x, char *out, size_t size)
{
    if (vs->path)
        snprintf(out, size, "%s:%u %s", vs->path, x->line, x->name);
    else
        snprintf(out, size, "environment %s", x->name);
}

/* HEADGATE_ and the option's name in capitals. */
static void own_name(const struct hg_opt *o, const char *tail, char out[MAX_NAME])
{
    snprintf(out, MAX_NAME, PREFIX "%s%s", o->name, tail);
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
}

/* HEADGATE_X_FILE: the file's content without the line end that editors and echo leave. */
static void set_from_file(struct load *ld, const struct hg_opt *o, const struct var *x,
                          const char *origin)
{
    struct hg_buf text = {0};
    int rc = read_file(x->value, MAX_SECRET_FILE, &text);

    if (rc != 0) {
        fail(ld, -HG_E_CONF_FILE, "%s: %s: %s: %s", origin, o->name, x->value,
             strerror(rc > 0 ? ENOENT : errno));
    } else {
        while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
            text.n--;
        set(ld, o, hg_slice_of(text.n ? text.p : "", text.n), origin);
    }
    hg_buf_fini(&text);
}

/* Kubernetes sets HEADGATE_PORT=tcp://10.0.0.7:7000 and its like in pods beside a Service named
 * headgate. */
static bool is_service_link(const char *name, const char *value)
{
    if (strncmp(name, PREFIX "SERVICE_", 17) == 0 || strncmp(name, PREFIX "PORT_", 14) == 0)
        return true;
    return strcmp(name, PREFIX "PORT") == 0 &&
           (strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0);
}

static void load_own_names(struct load *ld, const struct vars *vs)
{
    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        const struct hg_opt *o = &hg_opts[i];
        char name[MAX_NAME], file_name[MAX_NAME], origin[4200];
        const struct var *x, *f;

        own_name(o, "", name);
        own_name(o, "_FILE", file_name);
        x = find_var(vs, name);
        f = find_var(vs, file_name);
        if (x && is_service_link(x->name, x->value))
            x = NULL;
        if (!x && !f)
            continue;
        var_origin(vs, x ? x : f, origin, sizeof origin);
        if (x && f)
            fail(ld, -HG_E_CONF_VALUE, "%s: %s is given too; only one can count", origin, f->name);
        else if (x)
            set(ld, o, hg_slice_str(x->value), origin);
        else
            set_from_file(ld, o, f, origin);
    }
}

static const struct hg_opt *own_option(const char *name, bool *is_file)
{
    char key[MAX_NAME];
    const struct hg_opt *o;
    size_t n;

    snprintf(key, sizeof key, "%s", name + strlen(PREFIX));
    for (char *p = key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    o = hg_opt_find(hg_slice_str(key));
    n = strlen(key);
    *is_file = !o && n > 5 && strcmp(key + n - 5, "_file") == 0;
    return *is_file ? hg_opt_find(hg_slice_of(key, n - 5)) : o;
}

static void warn_unknown(struct load *ld, const struct vars *vs)
{
    for (size_t i = 0; i < vs->n; i++) {
        const struct var *x = &vs->v[i];
        char origin[4200], key[MAX_NAME], h[MAX_NAME];
        bool is_file;

        if (strncmp(x->name, PREFIX, strlen(PREFIX)) != 0 ||
            strcmp(x->name, PREFIX "CONFIG") == 0 || is_service_link(x->name, x->value) ||
            own_option(x->name, &is_file))
            continue;
        snprintf(key, sizeof key, "%s", x->name + strlen(PREFIX));
        for (char *p = key; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        var_origin(vs, x, origin, sizeof origin);
        warn(ld, "%s: no such option%s", origin, hint(hg_slice_str(key), false, true, h));
    }
}

/* ---- names of the sources ---- */

static void set_from_source(struct load *ld, const struct hg_opt *o, const struct var *x,
                            const char *origin)
{
    struct hg_slice raw = hg_slice_str(x->value);
    struct hg_buf text = {0};
    const char *warning = NULL;
    char v[MAX_SHOWN + 8];
    bool counts = hg_conf_adapt(x->name, raw, &text, &warning);

    if (warning)
        warn(ld, "%s: \"%s\": %s", origin, shown(o, raw, v), warning);
    if (counts)
        set(ld, o, hg_slice_of(text.n ? text.p : "", text.n), origin);
    hg_buf_fini(&text);
}

/* An empty value is none, as with "||" in the sources. */
static const struct var *given(const struct vars *vs, const char *name)
{
    const struct var *x = find_var(vs, name);

    return x && x->value[0] ? x : NULL;
}

static void load_source_names(struct load *ld)
{
    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        struct hg_slice rest = hg_slice_str(hg_opts[i].sources), item;

        while (hg_conf_list_next(&rest, &item)) {
            char name[MAX_NAME], origin[4200];
            const struct vars *vs = &ld->env;
            const struct var *x;

            snprintf(name, sizeof name, "%.*s", HG_SLICE_ARG(item));
            x = given(vs, name);
            if (!x)
                x = given(vs = &ld->dotenv, name);
            if (!x)
                continue;
            var_origin(vs, x, origin, sizeof origin);
            set_from_source(ld, &hg_opts[i], x, origin);
            break;
        }
    }
}

/* ---- flags ---- */

/* "--out-soft" as "out_soft"; "no-console" is left to the caller. */
static struct hg_slice flag_name(const char *arg, char out[MAX_NAME])
{
    size_t n = strcspn(arg, "=");

    n = HG_MIN(n, (size_t)MAX_NAME - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = arg[i] == '-' ? '_' : arg[i];
    out[n] = '\0';
    return hg_slice_of(out, n);
}

/* Returns how many arguments it took. */
static int load_flag(struct load *ld, int argc, char **argv)
{
    const char *arg = argv[0], *eq = strchr(arg, '=');
    char buf[MAX_NAME], origin[MAX_NAME + 16], v[MAX_SHOWN + 8], h[MAX_NAME];
    const struct hg_opt *o;
    struct hg_slice name;
    bool no;

    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0' || arg[2] == '=') {
        fail(ld, -HG_E_CONF_UNKNOWN, "unexpected argument \"%s\"",
             shown(NULL, hg_slice_str(arg), v));
        return 1;
    }
    name = flag_name(arg + 2, buf);
    o = hg_opt_find(name);
    no = !o && !eq && name.n > 3 && memcmp(name.p, "no_", 3) == 0;
    if (no)
        o = hg_opt_find(hg_slice_of(name.p + 3, name.n - 3));
    if (!o || (no && o->type != HG_OT_BOOL)) {
        fail(ld, -HG_E_CONF_UNKNOWN, "unknown flag \"%s\"%s",
             shown(NULL, hg_slice_of(arg, strcspn(arg, "=")), v), hint(name, true, false, h));
        return 1;
    }
    snprintf(origin, sizeof origin, "flag %.*s", (int)HG_MIN(strcspn(arg, "="), (size_t)MAX_NAME),
             arg);
    if (eq)
        set(ld, o, hg_slice_str(eq + 1), origin);
    else if (o->type == HG_OT_BOOL)
        set(ld, o, hg_slice_str(no ? "no" : "yes"), origin);
    else if (argc < 2)
        fail(ld, -HG_E_CONF_VALUE, "%s: its value is missing", origin);
    else
        set(ld, o, hg_slice_str(argv[1]), origin);
    return eq || o->type == HG_OT_BOOL || argc < 2 ? 1 : 2;
}

/* ---- between options ---- */

static void follow(struct load *ld, enum hg_opt_index i, const char *value, const char *origin)
{
    if (is_default(ld, i))
        set(ld, &hg_opts[i], hg_slice_str(value), origin);
}

/* Defaults that other options change. */
static void derive(struct load *ld)
{
    const struct hg_conf *cf = &ld->f->cf;
    char text[32];

    if (cf->profile == HG_PROFILE_V1)
        follow(ld, HG_OI_port, "8080", "profile");
    if (cf->profile == HG_PROFILE_V1 || cf->profile == HG_PROFILE_V2)
        follow(ld, HG_OI_kafka_topics, "server.cdc.filtered", "profile");
    if (cf->dev) {
        follow(ld, HG_OI_console, "yes", "dev");
        follow(ld, HG_OI_default_permissions, "join,publish,publish_all", "dev");
        follow(ld, HG_OI_kafka_fetch_wait, "10ms", "dev"); /* the mock cluster has no long poll */
    }
    if (cf->max_record > cf->ring_size / 8) {
        snprintf(text, sizeof text, "%lld", (long long)(cf->ring_size / 8));
        follow(ld, HG_OI_max_record, text, "ring_size");
    }
    if (cf->out_soft > cf->out_hard) {
        snprintf(text, sizeof text, "%lld", (long long)cf->out_hard);
        follow(ld, HG_OI_out_soft, text, "out_hard");
    }
}

static void check_between(struct load *ld)
{
    const struct hg_conf *cf = &ld->f->cf;
    char **from = ld->f->origin;

    if (cf->max_record > cf->ring_size / 8)
        fail(ld, -HG_E_CONF_VALUE,
             "%s: max_record: bad value %lld: above an eighth of ring_size (%lld, %s)",
             from[HG_OI_max_record], (long long)cf->max_record, (long long)cf->ring_size,
             from[HG_OI_ring_size]);
    if (cf->out_soft > cf->out_hard)
        fail(ld, -HG_E_CONF_VALUE, "%s: out_soft: bad value %lld: above out_hard (%lld, %s)",
             from[HG_OI_out_soft], (long long)cf->out_soft, (long long)cf->out_hard,
             from[HG_OI_out_hard]);
    if (strchr(cf->default_tenant, '_') && cf->tenant_underscore == HG_REFUSE)
        fail(ld, -HG_E_CONF_VALUE,
             "%s: default_tenant: bad value \"%s\": \"_\" needs tenant_underscore = allow",
             from[HG_OI_default_tenant], cf->default_tenant);
    if (cf->auth == HG_AUTH_TRUST)
        warn(ld, "%s: auth = trust: every client's tenant and user are believed", from[HG_OI_auth]);
    if (cf->tenant_underscore == HG_ALLOW)
        warn(ld,
             "%s: tenant_underscore = allow: tenant a_b with table c and tenant a with table b_c "
             "share their streams",
             from[HG_OI_tenant_underscore]);
    if (cf->idle_timeout && (!cf->ping_interval || cf->ping_interval >= cf->idle_timeout))
        warn(
            ld,
            "%s: idle_timeout is not above ping_interval (%s): clients that only listen are closed",
            from[HG_OI_idle_timeout], from[HG_OI_ping_interval]);
}

/* ---- the whole ---- */

static void set_defaults(struct load *ld)
{
    const char *why = NULL;

    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        HG_BUG_ON(hg_opt_set(&ld->f->cf, &hg_opts[i], hg_slice_str(hg_opts[i].def), &why) < 0);
        set_origin(ld, &hg_opts[i], "default");
    }
}

struct hg_conf *hg_conf_defaults(void)
{
    struct load ld = {.f = hg_calloc(1, sizeof *ld.f)};

    set_defaults(&ld);
    return &ld.f->cf;
}

int hg_conf_load(const struct hg_conf_in *in, struct hg_conf **out, struct hg_buf *report)
{
    struct load ld = {.f = hg_calloc(1, sizeof *ld.f), .report = report};

    set_defaults(&ld);
    load_environment(&ld, in->env);
    load_dotenv(&ld, in->dotenv);
    load_file(&ld, in->file);
    load_source_names(&ld);
    load_own_names(&ld, &ld.dotenv);
    load_own_names(&ld, &ld.env);
    warn_unknown(&ld, &ld.dotenv);
    warn_unknown(&ld, &ld.env);
    for (int i = 0; i < in->argc;)
        i += load_flag(&ld, in->argc - i, in->argv + i);
    derive(&ld);
    if (ld.rc == 0)
        check_between(&ld);
    vars_fini(&ld.env);
    vars_fini(&ld.dotenv);
    if (ld.rc < 0) {
        hg_conf_free(&ld.f->cf);
        return ld.rc;
    }
    *out = &ld.f->cf;
    return 0;
}

void hg_conf_free(struct hg_conf *cf)
{
    if (!cf)
        return;
    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        hg_opt_free(cf, &hg_opts[i]);
        free(*hg_conf_origin(cf, &hg_opts[i]));
    }
    free(cf);
}

bool hg_conf_get(const struct hg_conf *cf, struct hg_slice name, struct hg_buf *value,
                 const char **origin)
{
    const struct hg_opt *o = hg_opt_find(name);

    if (!o)
        return false;
    hg_opt_text(cf, o, value);
    *origin = *hg_conf_origin(cf, o);
    return true;
}
