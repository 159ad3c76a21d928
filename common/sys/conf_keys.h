/*
 * The option jwt_keys: how an item is written, and the bytes of the files it names. Private to
 * conf*.c but for hg_conf_jwt_key, by which the worker reads the same list.
 */
#ifndef HG_COMMON_SYS_CONF_KEYS_H
#define HG_COMMON_SYS_CONF_KEYS_H

#include "common/base/slice.h"

enum { HG_JWT_KEYS_MAX = 16 }; /* a token without kid tries all of its algorithm */

struct hg_jwt_key_item { /* "kid=ALG:file" or "ALG:file" */
    struct hg_slice kid; /* p == NULL: any */
    struct hg_slice alg; /* a row of jwt_alg.def */
    struct hg_slice file;
};

struct hg_load;

bool hg_conf_jwt_key(struct hg_slice item, struct hg_jwt_key_item *out); /* false: it is none */
const char *hg_conf_jwt_keys_check(struct hg_slice list); /* NULL, or what is wrong (a constant) */
/* Fills jwt_key_data: each file in hex, comma between, in the order of the list; empty unless auth
 * is jwt. */
void hg_load_jwt_keys(struct hg_load *ld);

#endif
