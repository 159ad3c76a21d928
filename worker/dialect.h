/* What differs between the protocols spoken on one core: a row per profile (dialect.def), read
 * only. */
#ifndef HG_WORKER_DIALECT_H
#define HG_WORKER_DIALECT_H

#include <stdbool.h>
#include "common/sys/conf.h"

struct hg_dialect {
    const char *name, *user;
    bool welcome, typed_errors, whole_session, late_b64, lenient, typed, presence;
};

const struct hg_dialect *hg_dialect(enum hg_profile p);
/* Profile by name ("v1"); -1 if there is none. */
int hg_dialect_find(struct hg_slice name);

#endif
