/*
 * What the files of jwt_keys hold: read with the configuration, by the master, so that a reload
 * finds a wrong file before anything is changed, and every worker, also one that is forked later,
 * has the very bytes that were found good. Knows nothing of keys themselves.
 */
#include <errno.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "common/sys/conf_load.h"
#include "common/sys/conf_keys.h"

enum { MAX_FILES = 24 << 10 }; /* together; they go to the workers in one message */

/* Part of *s up to sep; false when there is none. */
static bool cut(struct hg_slice *s, char sep, struct hg_slice *part)
{
    const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;

    if (!at)
        return false;
    *part = hg_slice_of(s->p, (size_t)(at - s->p));
    *s = hg_slice_of(at + 1, s->n - part->n - 1);
    return true;
}

static bool is_alg(struct hg_slice s)
{
    static const char *const words[] = {
#define HG_JWT_ALG(name, kind, doc) #name,
#include "common/sys/jwt_alg.def"
#undef HG_JWT_ALG
    };

    for (size_t i = 0; i < HG_COUNTOF(words); i++)
        if (hg_slice_is(s, words[i]))
            return true;
    return false;
}

bool hg_conf_jwt_key(struct hg_slice item, struct hg_jwt_key_item *out)
{
    struct hg_slice rest = item;

    *out = (struct hg_jwt_key_item){.kid = HG_SLICE_NONE};
    if (!cut(&rest, ':', &out->alg))
        return false;
    if (!is_alg(out->alg)) { /* a kid may hold a colon, an algorithm's name no "=" */
        rest = item;
        if (!cut(&rest, '=', &out->kid) || out->kid.n == 0 || !cut(&rest, ':', &out->alg))
            return false;
    }
    out->file = rest;
    return is_alg(out->alg) && out->file.n > 0;
}

const char *hg_conf_jwt_keys_check(struct hg_slice list)
{
    struct hg_jwt_key_item key;
    struct hg_slice item;
    unsigned n = 0;

    for (; hg_conf_list_next(&list, &item); n++)
        if (!hg_conf_jwt_key(item, &key))
            return "items are ALG:file or kid=ALG:file, ALG one of"
#define HG_JWT_ALG(name, kind, doc) " " #name
#include "common/sys/jwt_alg.def"
#undef HG_JWT_ALG
                ;
    return n > HG_JWT_KEYS_MAX ? "more than 16 keys" : NULL;
}

static void put_hex(struct hg_buf *out, struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        hg_buf_addc(out, "0123456789abcdef"[(unsigned char)s.p[i] >> 4]);
        hg_buf_addc(out, "0123456789abcdef"[s.p[i] & 15]);
    }
}

static void read_one(struct hg_load *ld, struct hg_slice file, struct hg_buf *data)
{
    struct hg_buf text = {0};
    char *path = hg_malloc(file.n + 1);
    int rc;

    memcpy(path, file.p, file.n);
    path[file.n] = '\0';
    rc = hg_load_read(path, MAX_FILES, &text);
    if (rc != 0)
        hg_load_fail(ld, -HG_E_CONF_FILE, "%s: jwt_keys: %s: %s", ld->f->origin[HG_OI_jwt_keys],
                     path, strerror(rc > 0 ? ENOENT : errno));
    put_hex(data, hg_buf_slice(&text));
    if (text.n)
        explicit_bzero(text.p, text.n);
    hg_buf_fini(&text);
    free(path);
}

void hg_load_jwt_keys(struct hg_load *ld)
{
    struct hg_conf *cf = &ld->f->cf;
    struct hg_slice rest = hg_slice_str(cf->jwt_keys), item;
    struct hg_buf data = {0};
    unsigned n = 0;

    free(cf->jwt_key_data);
    while (cf->auth == HG_AUTH_JWT && hg_conf_list_next(&rest, &item)) {
        struct hg_jwt_key_item key;

        if (n++)
            hg_buf_addc(&data, ',');
        if (hg_conf_jwt_key(item, &key))
            read_one(ld, key.file, &data);
    }
    if (data.n > 2 * MAX_FILES + HG_JWT_KEYS_MAX)
        hg_load_fail(ld, -HG_E_CONF_FILE, "jwt_keys: its files hold more than 24 KB together");
    hg_buf_addc(&data, '\0');
    cf->jwt_key_data = data.p;
}
