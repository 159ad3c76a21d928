/* A reload: what of a new configuration applies at once, in the master and, as text, in its
 * workers. */
#include <stddef.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/sys/conf_origin.h"
#include "common/sys/conf_text.h"

#define KEY_DATA "jwt_key_data"

static void copy_option(struct hg_conf *to, const struct hg_conf *from, const struct hg_opt *o)
{
    struct hg_buf text = {0};
    const char *why;
    char **origin = hg_conf_origin(to, o);

    hg_opt_text(from, o, &text);
    HG_BUG_ON(hg_opt_set(to, o, hg_slice_of(text.n ? text.p : "", text.n), &why) < 0);
    free(*origin);
    *origin = hg_strdup(*hg_conf_origin(from, o));
    hg_buf_fini(&text);
}

/* Keys are read for the way that auth names; where it changes, which needs a restart, they wait for
 * it. */
static bool waits_for_auth(const struct hg_conf *to, const struct hg_conf *from,
                           const struct hg_opt *o)
{
    return to->auth != from->auth && o->at == offsetof(struct hg_conf, jwt_keys);
}

static bool copy_key_data(struct hg_conf *to, const char *data)
{
    if (strcmp(to->jwt_key_data, data) == 0)
        return false;
    free(to->jwt_key_data);
    to->jwt_key_data = hg_strdup(data);
    return true;
}

int hg_conf_apply_live(struct hg_conf *to, const struct hg_conf *from, struct hg_buf *report)
{
    int applied = 0;

    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        const struct hg_opt *o = &hg_opts[i];

        if (hg_opt_same(to, from, o))
            continue;
        if (o->reload == HG_OR_LIVE && !waits_for_auth(to, from, o)) {
            copy_option(to, from, o);
            applied++;
        } else {
            hg_buf_addf(report, "%s: needs a restart\n", o->name);
        }
    }
    /* Other bytes in the same files are a change of jwt_keys, too. */
    if (to->auth == from->auth && copy_key_data(to, from->jwt_key_data))
        applied++;
    return applied;
}

void hg_conf_live_text(const struct hg_conf *cf, struct hg_buf *out)
{
    struct hg_buf text = {0};

    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        if (hg_opts[i].reload != HG_OR_LIVE)
            continue;
        hg_buf_reset(&text);
        hg_opt_text(cf, &hg_opts[i], &text);
        hg_buf_addf(out, "%s = ", hg_opts[i].name);
        hg_conf_text_value(out, hg_slice_of(text.n ? text.p : "", text.n));
        hg_buf_addc(out, '\n');
    }
    hg_buf_addf(out, KEY_DATA " = %s\n", cf->jwt_key_data);
    hg_buf_fini(&text);
}

struct live {
    struct hg_conf *cf;
    int rc;
};

static void set_key_data(struct hg_conf *cf, struct hg_slice hex)
{
    char *text = hg_malloc(hex.n + 1);

    if (hex.n)
        memcpy(text, hex.p, hex.n);
    text[hex.n] = '\0';
    (void)copy_key_data(cf, text);
    free(text);
}

static void on_live_pair(void *ctx, unsigned line, struct hg_slice key, struct hg_slice value,
                         const char *why)
{
    const struct hg_opt *o = hg_opt_find(key);
    struct live *live = ctx;

    (void)line;
    if (live->rc < 0)
        return;
    if (why)
        live->rc = -HG_E_CONF_FILE;
    else if (hg_slice_is(key, KEY_DATA))
        set_key_data(live->cf, value);
    else if (!o || o->reload != HG_OR_LIVE)
        live->rc = -HG_E_CONF_UNKNOWN;
    else
        live->rc = hg_opt_set(live->cf, o, value, &why);
}

/* First into a copy, so that a text with an error in it changes nothing. */
int hg_conf_apply_live_text(struct hg_conf *to, struct hg_slice text)
{
    struct live live = {.cf = hg_conf_defaults()};
    struct hg_buf ignored = {0};

    for (size_t i = 0; i < HG_OPT_COUNT; i++)
        copy_option(live.cf, to, &hg_opts[i]);
    (void)copy_key_data(live.cf, to->jwt_key_data);
    hg_conf_text_each(text, on_live_pair, &live);
    if (live.rc == 0)
        (void)hg_conf_apply_live(to, live.cf, &ignored);
    hg_conf_free(live.cf);
    hg_buf_fini(&ignored);
    return live.rc;
}
