/* What differs between the protocols spoken on one core: a row per profile (dialect.def), read
 * only. */
#ifndef HG_WORKER_DIALECT_H
#define HG_WORKER_DIALECT_H

#include <stdbool.h>
#include "common/sys/conf.h"

/* Of sessions: the profiles, and one more that no option names. */
enum hg_dialect_id {
#define HG_DIALECT(profile, ...) HG_DIALECT_##profile,
#include "worker/dialect.def"
#undef HG_DIALECT
    HG_DIALECTS
};

struct hg_dialect {
    const char *name, *user;
    bool welcome, typed_errors, whole_session, late_b64, lenient, typed, presence, v3, bare, empty;
};

const struct hg_dialect *hg_dialect(unsigned id);
/* Profile by name ("v1"); -1 if there is none. */
int hg_dialect_find(struct hg_slice name);
/* "headgate.v2", a subprotocol by which a client says it itself; -1 if it is none. */
int hg_dialect_named(struct hg_slice subprotocol);
/* The dialect of a path: the longest prefix in profile_paths, else the option; subprotocol says
 * that json or bearer.* was offered, which counts where the profile is auto (spec 14, C-3,
 * C-12). */
enum hg_dialect_id hg_dialect_of(const struct hg_conf *conf, struct hg_slice path,
                                 bool subprotocol);
/* Does it hear bare keys as a client of this tenant? Their records name none, so they are
 * default_tenant's unless the operator says otherwise (B-29, C-13). */
bool hg_dialect_hears_bare(unsigned id, const struct hg_conf *conf, struct hg_slice tenant);

#endif
