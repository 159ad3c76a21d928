/*
 * The rows of conf.def as a table, and the values of one struct hg_conf by row: parse, print,
 * compare, copy, free. Private to conf*.c and their tests. No file, no environment, no log.
 *
 *   o = hg_opt_find(name)
 *   rc = hg_opt_set(cf, o, text, &why)    -HG_E_CONF_VALUE: cf keeps the old value, why is a
 * constant hg_opt_text(cf, o, &buf)              canonical: hg_opt_set of it gives the same value
 */
#ifndef HG_COMMON_SYS_CONF_VALUE_H
#define HG_COMMON_SYS_CONF_VALUE_H

#include "common/sys/conf.h"

enum hg_opt_type {
    HG_OT_STR,
    HG_OT_LIST,
    HG_OT_SECRET,
    HG_OT_INT,
    HG_OT_SIZE,
    HG_OT_DUR,
    HG_OT_BOOL,
    HG_OT_ENUM
};
enum hg_opt_reload { HG_OR_LIVE, HG_OR_RESTART };

struct hg_opt {
    enum hg_opt_type type;
    const char *name, *def, *min, *max; /* ENUM: min holds the words, "a|b|c" */
    enum hg_opt_reload reload;
    const char *sources, *doc;
    size_t at; /* of its field in struct hg_conf */
};

#define HG_OPT(type, name, def, min, max, reload, sources, doc) HG_OI_##name,
enum hg_opt_index {
#include "common/sys/conf.def"
    HG_OPT_COUNT
};
#undef HG_OPT

extern const struct hg_opt hg_opts[HG_OPT_COUNT];

const struct hg_opt *hg_opt_find(struct hg_slice name); /* NULL: none */
const struct hg_opt *
hg_opt_nearest(struct hg_slice name); /* the one probably meant; NULL: none is near */
int hg_opt_set(struct hg_conf *cf, const struct hg_opt *o, struct hg_slice text,
               const char **why) HG_MUST_CHECK;
void hg_opt_text(const struct hg_conf *cf, const struct hg_opt *o, struct hg_buf *out);
void hg_opt_range(const struct hg_opt *o, struct hg_buf *out); /* "4k to 1g", "text or json", "" */
bool hg_opt_same(const struct hg_conf *a, const struct hg_conf *b, const struct hg_opt *o);
/* The value of a source's variable as text of ours. false: it is no value, leave the option alone.
 * warning: a constant or as it was. */
bool hg_conf_adapt(const char *name, struct hg_slice text, struct hg_buf *out,
                   const char **warning);
void hg_opt_free(struct hg_conf *cf, const struct hg_opt *o);

#endif
