/*
 * The configuration: one struct grown from conf.def, filled in the order default < file < .env <
 * environment < flags. Owns the strings of the struct. Logs nothing: errors and warnings are handed
 * back as text.
 *
 *   struct hg_conf *cf;
 *   rc = hg_conf_load(&in, &cf, &report);       report: lines of errors (rc < 0) and warnings, each
 * with its place cf->idle_timeout                            DUR in microseconds, SIZE in bytes,
 * LIST as the text given hg_conf_print(cf, HG_CONF_EFFECTIVE, &buf) hg_conf_free(cf);
 *
 * Names: HEADGATE_IDLE_TIMEOUT, --idle-timeout, idle_timeout (file "key = value", # comments). Each
 * option has a HEADGATE_X_FILE twin that reads the value from a file (secrets). Unknown keys are
 * errors with file:line and the nearest name; unknown HEADGATE_* names are warnings. A bad value
 * names value, range and source.
 * ".env" in the working directory is read as dotenv does: below the environment, above the file.
 * "HEADGATE_X" beats the sources' names wherever either stands (.env's HEADGATE_X beats the
 * environment's WS_X). Some defaults follow others: port and kafka_topics the profile, console,
 * default_permissions and kafka_fetch_wait dev.
 */
#ifndef HG_COMMON_SYS_CONF_H
#define HG_COMMON_SYS_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"

enum hg_profile { HG_PROFILE_AUTO, HG_PROFILE_V1, HG_PROFILE_V2, HG_PROFILE_V3 };
enum hg_auth { HG_AUTH_HEADERS, HG_AUTH_TRUST, HG_AUTH_JWT };
enum hg_query_mode { HG_QUERY_AUTO, HG_QUERY_STRICT, HG_QUERY_LENIENT };
enum hg_row_shape { HG_ROW_NESTED, HG_ROW_FLAT, HG_ROW_BOTH };
enum hg_refuse { HG_REFUSE, HG_ALLOW };
enum hg_bare_keys { HG_BARE_AUTO, HG_BARE_DEFAULT_TENANT, HG_BARE_ALL };
enum hg_typed_presence { HG_PRESENCE_AUTO, HG_PRESENCE_YES, HG_PRESENCE_NO };
enum hg_typed_scope { HG_SCOPE_TENANT, HG_SCOPE_ALL };
enum hg_typed_broadcast { HG_BROADCAST_TENANT, HG_BROADCAST_PERMISSION };
enum hg_hot_cache { HG_HOT_CACHE_AUTO, HG_HOT_CACHE_ON, HG_HOT_CACHE_OFF };

#define HG_CT_STR char *
#define HG_CT_LIST char *
#define HG_CT_SECRET char *
#define HG_CT_INT int64_t
#define HG_CT_SIZE int64_t
#define HG_CT_DUR int64_t
#define HG_CT_BOOL bool
#define HG_CT_ENUM int

struct hg_conf {
#define HG_OPT(type, name, def, min, max, reload, sources, doc) HG_CT_##type name;
#include "common/sys/conf.def"
#undef HG_OPT
    char *jwt_key_data; /* no option: what the files of jwt_keys hold, see conf_keys.h; a secret */
};

struct hg_conf_in {
    const char *file; /* NULL: HEADGATE_CONFIG, else /etc/headgate/headgate.conf if it is there; a
                         named file must be */
    const char
        *dotenv; /* NULL: ".env" in the working directory if it is there; a named file must be */
    char **env;  /* environ */
    int argc;    /* flags after the program's name; --name=value, --name value, --bool, --no-bool */
    char **argv;
};

enum hg_conf_print { HG_CONF_EFFECTIVE, HG_CONF_EXAMPLE, HG_CONF_DOCS };

/* 0, or the first -HG_E_CONF_*; report gets one line per error ("error: ...") and warning
 * ("warning: ..."). */
int hg_conf_load(const struct hg_conf_in *in, struct hg_conf **out,
                 struct hg_buf *report) HG_MUST_CHECK;
struct hg_conf *hg_conf_defaults(void); /* nothing but the defaults; for tests and tools */
void hg_conf_free(struct hg_conf *cf);
/* Effective shows value, where it came from, and whether HUP applies it; secrets print as ***. The
 * others take cf = NULL. */
void hg_conf_print(const struct hg_conf *cf, enum hg_conf_print what, struct hg_buf *out);
/* One option's value as text and where it came from ("default", "FILE:LINE", "environment X", "flag
 * --x"); false: no such option. */
bool hg_conf_get(const struct hg_conf *cf, struct hg_slice name, struct hg_buf *value,
                 const char **origin);
/* Was it given anywhere, rather than left at its default? */
bool hg_conf_is_given(const struct hg_conf *cf, struct hg_slice name);
/* Copies the LIVE options of from into to; names what else differs in report ("workers: needs a
 * restart"). Returns how many were applied. Strings of to move: keep none across it. */
int hg_conf_apply_live(struct hg_conf *to, const struct hg_conf *from, struct hg_buf *report);
/* The LIVE options as text, for a worker, which reads no files itself; and what the worker does
 * with it. -HG_E_CONF_*: nothing changed. */
void hg_conf_live_text(const struct hg_conf *cf, struct hg_buf *out);
int hg_conf_apply_live_text(struct hg_conf *to, struct hg_slice text) HG_MUST_CHECK;
/* Iterates a LIST: next item of *rest, trimmed, empties skipped; false at the end. */
bool hg_conf_list_next(struct hg_slice *rest, struct hg_slice *item);

#endif
