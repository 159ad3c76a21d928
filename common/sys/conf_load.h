/*
 * One load of the configuration while it runs: what its two halves share. Private to conf.c (files,
 * flags, what must hold in the end) and conf_vars.c (the environment and .env).
 */
#ifndef HG_COMMON_SYS_CONF_LOAD_H
#define HG_COMMON_SYS_CONF_LOAD_H

#include "common/base/macros.h"
#include "common/sys/conf_origin.h"

#define HG_LOAD_PREFIX "HEADGATE_"
enum {
    HG_LOAD_MAX_FILE = 1 << 20,
    HG_LOAD_NAME = 128, /* of an option in any spelling */
    HG_LOAD_SHOWN = 88, /* of a value in a message */
    HG_LOAD_ORIGIN = 4200,
};

/* A variable of the environment (line 0) or of .env. */
struct hg_var {
    char *name, *value;
    unsigned line;
};

struct hg_vars {
    const char *path; /* of .env; NULL: the environment */
    struct hg_var *v;
    size_t n, cap;
};

struct hg_load {
    struct hg_conf_full *f;
    struct hg_buf *report;
    int rc; /* the first error */
    const char *file;
    unsigned line_of[HG_OPT_COUNT]; /* in file */
    struct hg_vars env, dotenv;
};

/* conf.c */
void hg_load_fail(struct hg_load *ld, int rc, const char *fmt, ...) HG_PRINTF(3, 4);
void hg_load_warn(struct hg_load *ld, const char *fmt, ...) HG_PRINTF(2, 3);
/* A value as a message shows it: no secrets, no control characters, not too long. */
const char *hg_load_shown(const struct hg_opt *o, struct hg_slice v, char out[HG_LOAD_SHOWN]);
/* "; did you mean ...", or nothing. */
const char *hg_load_hint(struct hg_slice name, bool flag, bool env, char out[HG_LOAD_NAME]);
void hg_load_set(struct hg_load *ld, const struct hg_opt *o, struct hg_slice text,
                 const char *origin);
/* 0; 1: not there; -HG_E_CONF_FILE with errno (EFBIG above max). */
int hg_load_read(const char *path, size_t max, struct hg_buf *out) HG_MUST_CHECK;

/* conf_vars.c */
void hg_load_vars_read(struct hg_load *ld, const struct hg_conf_in *in);
void hg_load_vars_fini(struct hg_load *ld);
const char *hg_load_env(const struct hg_load *ld,
                        const char *name); /* NULL: not in the environment */
/* Sets what the sources' names, then HEADGATE_X of .env, then of the environment say, and warns
 * about unknown HEADGATE_ names. */
void hg_load_vars_apply(struct hg_load *ld);

#endif
