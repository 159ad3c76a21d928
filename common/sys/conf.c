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
#include "common/sys/conf_keys.h"
#include "common/sys/conf_load.h"
#include "common/sys/conf_text.h"

#define DEFAULT_FILE "/etc/headgate/headgate.conf"

/* ---- report ---- */

void hg_load_fail(struct hg_load *ld, int rc, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    hg_buf_addf(ld->report, "error: %s\n", text);
    if (ld->rc == 0)
        ld->rc = rc;
}

void hg_load_warn(struct hg_load *ld, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    hg_buf_addf(ld->report, "warning: %s\n", text);
}

const char *hg_load_shown(const struct hg_opt *o, struct hg_slice v, char out[HG_LOAD_SHOWN])
{
    size_t n = HG_MIN(v.n, (size_t)HG_LOAD_SHOWN - 8);

    if (o && o->type == HG_OT_SECRET)
        return "***";
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)v.p[i] < ' ' || v.p[i] == 0x7f ? '?' : v.p[i];
    memcpy(out + n, n < v.n ? "..." : "", n < v.n ? 4 : 1);
    return out;
}

/* ---- one value ---- */

static void bad_value(struct hg_load *ld, const struct hg_opt *o, struct hg_slice text,
                      const char *why, const char *origin)
{
    struct hg_buf range = {0};
    char v[HG_LOAD_SHOWN];

    hg_opt_range(o, &range);
    hg_load_fail(ld, -HG_E_CONF_VALUE, "%s: %s: bad value \"%s\": %s%s%.*s%s", origin, o->name,
                 hg_load_shown(o, text, v), why, range.n ? " (allowed: " : "",
                 HG_SLICE_ARG(hg_buf_slice(&range)), range.n ? ")" : "");
    hg_buf_fini(&range);
}

static void set_origin(struct hg_load *ld, const struct hg_opt *o, const char *origin)
{
    char **p = hg_conf_origin(&ld->f->cf, o);

    free(*p);
    *p = hg_strdup(origin);
}

void hg_load_set(struct hg_load *ld, const struct hg_opt *o, struct hg_slice text,
                 const char *origin)
{
    const char *why;

    if (hg_opt_set(&ld->f->cf, o, text, &why) < 0)
        bad_value(ld, o, text, why, origin);
    else
        set_origin(ld, o, origin);
}

const char *hg_load_hint(struct hg_slice name, bool flag, bool env, char out[HG_LOAD_NAME])
{
    const struct hg_opt *near = hg_opt_nearest(name);
    char text[HG_LOAD_NAME / 2];
    size_t i = 0;

    out[0] = '\0';
    if (!near)
        return out;
    for (; near->name[i] && i < sizeof text - 1; i++)
        text[i] = env                            ? (char)toupper((unsigned char)near->name[i])
                  : flag && near->name[i] == '_' ? '-'
                                                 : near->name[i];
    text[i] = '\0';
    snprintf(out, HG_LOAD_NAME, "; did you mean %s%s?",
             flag  ? "--"
             : env ? HG_LOAD_PREFIX
                   : "",
             text);
    return out;
}

/* ---- the file ---- */

int hg_load_read(const char *path, size_t max, struct hg_buf *out)
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
    struct hg_load *ld = ctx;
    const struct hg_opt *o = hg_opt_find(key);
    char origin[4096 + 16], v[HG_LOAD_SHOWN], h[HG_LOAD_NAME];

    snprintf(origin, sizeof origin, "%.4000s:%u", ld->file, line);
    if (why) {
        hg_load_fail(ld, -HG_E_CONF_FILE, "%s: %s", origin, why);
    } else if (!o) {
        hg_load_fail(ld, -HG_E_CONF_UNKNOWN, "%s: unknown option \"%s\"%s", origin,
                     hg_load_shown(NULL, key, v), hg_load_hint(key, false, false, h));
    } else if (ld->line_of[o - hg_opts]) {
        hg_load_fail(ld, -HG_E_CONF_FILE, "%s: %s stands in line %u already", origin, o->name,
                     ld->line_of[o - hg_opts]);
    } else {
        ld->line_of[o - hg_opts] = line;
        hg_load_set(ld, o, value, origin);
    }
}

static void load_file(struct hg_load *ld, const char *named)
{
    struct hg_buf text = {0};
    int rc;

    if (!named)
        named = hg_load_env(ld, HG_LOAD_PREFIX "CONFIG");
    ld->file = named ? named : DEFAULT_FILE;
    rc = hg_load_read(ld->file, HG_LOAD_MAX_FILE, &text);
    if (rc == 0)
        hg_conf_text_each(hg_buf_slice(&text), on_file_pair, ld);
    else if (rc < 0 || named)
        hg_load_fail(ld, -HG_E_CONF_FILE, "%s: %s", ld->file, strerror(rc > 0 ? ENOENT : errno));
    hg_buf_fini(&text);
}

/* ---- flags ---- */

/* "--out-soft" as "out_soft"; "no-console" is left to the caller. */
static struct hg_slice flag_name(const char *arg, char out[HG_LOAD_NAME])
{
    size_t n = strcspn(arg, "=");

    n = HG_MIN(n, (size_t)HG_LOAD_NAME - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = arg[i] == '-' ? '_' : arg[i];
    out[n] = '\0';
    return hg_slice_of(out, n);
}

/* Returns how many arguments it took. */
static int load_flag(struct hg_load *ld, int argc, char **argv)
{
    const char *arg = argv[0], *eq = strchr(arg, '=');
    char buf[HG_LOAD_NAME], origin[HG_LOAD_NAME + 16], v[HG_LOAD_SHOWN], h[HG_LOAD_NAME];
    const struct hg_opt *o;
    struct hg_slice name;
    bool no;

    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0' || arg[2] == '=') {
        hg_load_fail(ld, -HG_E_CONF_UNKNOWN, "unexpected argument \"%s\"",
                     hg_load_shown(NULL, hg_slice_str(arg), v));
        return 1;
    }
    name = flag_name(arg + 2, buf);
    o = hg_opt_find(name);
    no = !o && !eq && name.n > 3 && memcmp(name.p, "no_", 3) == 0;
    if (no)
        o = hg_opt_find(hg_slice_of(name.p + 3, name.n - 3));
    if (!o || (no && o->type != HG_OT_BOOL)) {
        hg_load_fail(ld, -HG_E_CONF_UNKNOWN, "unknown flag \"%s\"%s",
                     hg_load_shown(NULL, hg_slice_of(arg, strcspn(arg, "=")), v),
                     hg_load_hint(name, true, false, h));
        return 1;
    }
    snprintf(origin, sizeof origin, "flag %.*s",
             (int)HG_MIN(strcspn(arg, "="), (size_t)HG_LOAD_NAME), arg);
    if (eq)
        hg_load_set(ld, o, hg_slice_str(eq + 1), origin);
    else if (o->type == HG_OT_BOOL)
        hg_load_set(ld, o, hg_slice_str(no ? "no" : "yes"), origin);
    else if (argc < 2)
        hg_load_fail(ld, -HG_E_CONF_VALUE, "%s: its value is missing", origin);
    else
        hg_load_set(ld, o, hg_slice_str(argv[1]), origin);
    return eq || o->type == HG_OT_BOOL || argc < 2 ? 1 : 2;
}

/* ---- between options ---- */

static bool is_default(const struct hg_load *ld, enum hg_opt_index i)
{
    return strcmp(ld->f->origin[i], "default") == 0;
}

static void follow(struct hg_load *ld, enum hg_opt_index i, const char *value, const char *origin)
{
    if (is_default(ld, i))
        hg_load_set(ld, &hg_opts[i], hg_slice_str(value), origin);
}

/* Defaults that other options change. */
static void derive(struct hg_load *ld)
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

/* A name that says nothing about its records is taken for diffs, as in v1 and v2; v3 dropped it
 * (C-6). */
static void warn_of_bare_names(struct hg_load *ld)
{
    struct hg_slice rest = hg_slice_str(ld->f->cf.kafka_topics), item;

    while (hg_conf_list_next(&rest, &item))
        if (!memchr(item.p, ':', item.n) && !hg_slice_is(item, "server.page.diffs") &&
            !hg_slice_is(item, "server.cdc.filtered") && !hg_slice_is(item, "server.row.events"))
            hg_load_warn(ld, "%s: kafka_topics: %.*s has no kind and is read as diffs",
                         ld->f->origin[HG_OI_kafka_topics], HG_SLICE_ARG(item));
}

static void check_jwt(struct hg_load *ld)
{
    const struct hg_conf *cf = &ld->f->cf;
    char **from = ld->f->origin;

    if (cf->auth != HG_AUTH_JWT) {
        if (cf->jwt_keys[0])
            hg_load_warn(ld, "%s: jwt_keys: not used without auth = jwt", from[HG_OI_jwt_keys]);
        return;
    }
    if (!cf->jwt_keys[0])
        hg_load_fail(ld, -HG_E_CONF_VALUE, "%s: auth = jwt needs jwt_keys", from[HG_OI_auth]);
    if (cf->jwt_cookie[0] && !cf->allowed_origins[0])
        hg_load_fail(ld, -HG_E_CONF_VALUE,
                     "%s: jwt_cookie needs allowed_origins: a browser sends the cookie with a "
                     "WebSocket that any site opens",
                     from[HG_OI_jwt_cookie]);
}

static void check_between(struct hg_load *ld)
{
    const struct hg_conf *cf = &ld->f->cf;
    char **from = ld->f->origin;

    if (cf->max_record > cf->ring_size / 8)
        hg_load_fail(ld, -HG_E_CONF_VALUE,
                     "%s: max_record: bad value %lld: above an eighth of ring_size (%lld, %s)",
                     from[HG_OI_max_record], (long long)cf->max_record, (long long)cf->ring_size,
                     from[HG_OI_ring_size]);
    if (cf->out_soft > cf->out_hard)
        hg_load_fail(ld, -HG_E_CONF_VALUE,
                     "%s: out_soft: bad value %lld: above out_hard (%lld, %s)",
                     from[HG_OI_out_soft], (long long)cf->out_soft, (long long)cf->out_hard,
                     from[HG_OI_out_hard]);
    if (strchr(cf->default_tenant, '_') && cf->tenant_underscore == HG_REFUSE)
        hg_load_fail(ld, -HG_E_CONF_VALUE,
                     "%s: default_tenant: bad value \"%s\": \"_\" needs tenant_underscore = allow",
                     from[HG_OI_default_tenant], cf->default_tenant);
    warn_of_bare_names(ld);
    check_jwt(ld);
    if (cf->auth == HG_AUTH_TRUST)
        hg_load_warn(ld, "%s: auth = trust: every client's tenant and user are believed",
                     from[HG_OI_auth]);
    if (cf->tenant_underscore == HG_ALLOW)
        hg_load_warn(
            ld,
            "%s: tenant_underscore = allow: tenant a_b with table c and tenant a with table b_c "
            "share their streams",
            from[HG_OI_tenant_underscore]);
    if (cf->idle_timeout && (!cf->ping_interval || cf->ping_interval >= cf->idle_timeout))
        hg_load_warn(
            ld,
            "%s: idle_timeout is not above ping_interval (%s): clients that only listen are closed",
            from[HG_OI_idle_timeout], from[HG_OI_ping_interval]);
}

/* ---- the whole ---- */

static void set_defaults(struct hg_load *ld)
{
    const char *why = NULL;

    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        HG_BUG_ON(hg_opt_set(&ld->f->cf, &hg_opts[i], hg_slice_str(hg_opts[i].def), &why) < 0);
        set_origin(ld, &hg_opts[i], "default");
    }
    ld->f->cf.jwt_key_data = hg_strdup("");
}

struct hg_conf *hg_conf_defaults(void)
{
    struct hg_load ld = {.f = hg_calloc(1, sizeof *ld.f)};

    set_defaults(&ld);
    return &ld.f->cf;
}

int hg_conf_load(const struct hg_conf_in *in, struct hg_conf **out, struct hg_buf *report)
{
    struct hg_load ld = {.f = hg_calloc(1, sizeof *ld.f), .report = report};

    set_defaults(&ld);
    hg_load_vars_read(&ld, in);
    load_file(&ld, in->file);
    hg_load_vars_apply(&ld);
    for (int i = 0; i < in->argc;)
        i += load_flag(&ld, in->argc - i, in->argv + i);
    derive(&ld);
    hg_load_jwt_keys(&ld);
    if (ld.rc == 0)
        check_between(&ld);
    hg_load_vars_fini(&ld);
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
    free(cf->jwt_key_data);
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

bool hg_conf_is_given(const struct hg_conf *cf, struct hg_slice name)
{
    const struct hg_opt *o = hg_opt_find(name);

    return o && strcmp(*hg_conf_origin(cf, o), "default") != 0;
}
