/*
 * Variables: the environment and .env, under HEADGATE_ names, their _FILE twins, and the names of
 * the sources. See conf_load.h; which beats which stands at the head of conf.c.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/err.h"
#include "common/sys/conf_load.h"
#include "common/sys/conf_text.h"

enum { MAX_SECRET_FILE = 64 << 10 };

/* ---- reading ---- */

static void vars_fini(struct hg_vars *vs)
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
static void vars_add(struct hg_vars *vs, struct hg_slice name, struct hg_slice value, unsigned line)
{
    struct hg_var *x;

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
    *x = (struct hg_var){copy(name), copy(value), line};
}

static void load_environment(struct hg_load *ld, char **env)
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
    vars_add(&((struct hg_load *)ctx)->dotenv, key, value, line);
}

static void load_dotenv(struct hg_load *ld, const char *named)
{
    struct hg_buf text = {0};
    int rc;

    ld->dotenv.path = named ? named : ".env";
    rc = hg_load_read(ld->dotenv.path, HG_LOAD_MAX_FILE, &text);
    if (rc == 0)
        hg_dotenv_each(hg_buf_slice(&text), on_dotenv_pair, ld);
    else if (rc < 0 || named)
        hg_load_fail(ld, -HG_E_CONF_FILE, "%s: %s", ld->dotenv.path,
                     strerror(rc > 0 ? ENOENT : errno));
    hg_buf_fini(&text);
}

static const struct hg_var *find_var(const struct hg_vars *vs, const char *name)
{
    for (size_t i = 0; i < vs->n; i++)
        if (strcmp(vs->v[i].name, name) == 0)
            return &vs->v[i];
    return NULL;
}

static void var_origin(const struct hg_vars *vs, const struct hg_var *x, char *out, size_t size)
{
    if (vs->path)
        snprintf(out, size, "%s:%u %s", vs->path, x->line, x->name);
    else
        snprintf(out, size, "environment %s", x->name);
}

/* HEADGATE_ and the option's name in capitals. */
static void own_name(const struct hg_opt *o, const char *tail, char out[HG_LOAD_NAME])
{
    snprintf(out, HG_LOAD_NAME, HG_LOAD_PREFIX "%s%s", o->name, tail);
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
}

/* HEADGATE_X_FILE: the file's content without the line end that editors and echo leave. */
static void set_from_file(struct hg_load *ld, const struct hg_opt *o, const struct hg_var *x,
                          const char *origin)
{
    struct hg_buf text = {0};
    int rc = hg_load_read(x->value, MAX_SECRET_FILE, &text);

    if (rc != 0) {
        hg_load_fail(ld, -HG_E_CONF_FILE, "%s: %s: %s: %s", origin, o->name, x->value,
                     strerror(rc > 0 ? ENOENT : errno));
    } else {
        while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
            text.n--;
        hg_load_set(ld, o, hg_slice_of(text.n ? text.p : "", text.n), origin);
    }
    hg_buf_fini(&text);
}

/* Kubernetes sets HEADGATE_PORT=tcp://10.0.0.7:7000 and its like in pods beside a Service named
 * headgate. */
static bool is_service_link(const char *name, const char *value)
{
    if (strncmp(name, HG_LOAD_PREFIX "SERVICE_", 17) == 0 ||
        strncmp(name, HG_LOAD_PREFIX "PORT_", 14) == 0)
        return true;
    return strcmp(name, HG_LOAD_PREFIX "PORT") == 0 &&
           (strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0);
}

static void load_own_names(struct hg_load *ld, const struct hg_vars *vs)
{
    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        const struct hg_opt *o = &hg_opts[i];
        char name[HG_LOAD_NAME], file_name[HG_LOAD_NAME], origin[HG_LOAD_ORIGIN];
        const struct hg_var *x, *f;

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
            hg_load_fail(ld, -HG_E_CONF_VALUE, "%s: %s is given too; only one can count", origin,
                         f->name);
        else if (x)
            hg_load_set(ld, o, hg_slice_str(x->value), origin);
        else
            set_from_file(ld, o, f, origin);
    }
}

static const struct hg_opt *own_option(const char *name, bool *is_file)
{
    char key[HG_LOAD_NAME];
    const struct hg_opt *o;
    size_t n;

    snprintf(key, sizeof key, "%s", name + strlen(HG_LOAD_PREFIX));
    for (char *p = key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    o = hg_opt_find(hg_slice_str(key));
    n = strlen(key);
    *is_file = !o && n > 5 && strcmp(key + n - 5, "_file") == 0;
    return *is_file ? hg_opt_find(hg_slice_of(key, n - 5)) : o;
}

static void warn_unknown(struct hg_load *ld, const struct hg_vars *vs)
{
    for (size_t i = 0; i < vs->n; i++) {
        const struct hg_var *x = &vs->v[i];
        char origin[HG_LOAD_ORIGIN], key[HG_LOAD_NAME], h[HG_LOAD_NAME];
        bool is_file;

        if (strncmp(x->name, HG_LOAD_PREFIX, strlen(HG_LOAD_PREFIX)) != 0 ||
            strcmp(x->name, HG_LOAD_PREFIX "CONFIG") == 0 || is_service_link(x->name, x->value) ||
            own_option(x->name, &is_file))
            continue;
        snprintf(key, sizeof key, "%s", x->name + strlen(HG_LOAD_PREFIX));
        for (char *p = key; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        var_origin(vs, x, origin, sizeof origin);
        hg_load_warn(ld, "%s: no such option%s", origin,
                     hg_load_hint(hg_slice_str(key), false, true, h));
    }
}

/* ---- names of the sources ---- */

static void set_from_source(struct hg_load *ld, const struct hg_opt *o, const struct hg_var *x,
                            const char *origin)
{
    struct hg_slice raw = hg_slice_str(x->value);
    struct hg_buf text = {0};
    const char *warning = NULL;
    char v[HG_LOAD_SHOWN];
    bool counts = hg_conf_adapt(x->name, raw, &text, &warning);

    if (warning)
        hg_load_warn(ld, "%s: \"%s\": %s", origin, hg_load_shown(o, raw, v), warning);
    if (counts)
        hg_load_set(ld, o, hg_slice_of(text.n ? text.p : "", text.n), origin);
    hg_buf_fini(&text);
}

/* An empty value is none, as with "||" in the sources. */
static const struct hg_var *given(const struct hg_vars *vs, const char *name)
{
    const struct hg_var *x = find_var(vs, name);

    return x && x->value[0] ? x : NULL;
}

static void load_source_names(struct hg_load *ld)
{
    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        struct hg_slice rest = hg_slice_str(hg_opts[i].sources), item;

        while (hg_conf_list_next(&rest, &item)) {
            char name[HG_LOAD_NAME], origin[HG_LOAD_ORIGIN];
            const struct hg_vars *vs = &ld->env;
            const struct hg_var *x;

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

/* ---- for conf.c ---- */

void hg_load_vars_read(struct hg_load *ld, const struct hg_conf_in *in)
{
    load_environment(ld, in->env);
    load_dotenv(ld, in->dotenv);
}

void hg_load_vars_fini(struct hg_load *ld)
{
    vars_fini(&ld->env);
    vars_fini(&ld->dotenv);
}

const char *hg_load_env(const struct hg_load *ld, const char *name)
{
    const struct hg_var *x = find_var(&ld->env, name);

    return x ? x->value : NULL;
}

void hg_load_vars_apply(struct hg_load *ld)
{
    load_source_names(ld);
    load_own_names(ld, &ld->dotenv);
    load_own_names(ld, &ld->env);
    warn_unknown(ld, &ld->dotenv);
    warn_unknown(ld, &ld->env);
}
