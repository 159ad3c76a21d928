/*
 * JSON from peers and to peers: the only face of cJSON. A parsed document owns its tree; a struct
 * hg_json_val is a borrowed place in it. Never does I/O or logs.
 *
 *   struct hg_json doc;
 *   if (hg_json_parse(text, NULL, &doc) == 0) {    text must stay for hg_json_raw and the getters
 * of integers struct hg_slice table; if (hg_json_str(hg_json_root(&doc), "table", &table)) ...
 *   }
 *   hg_json_fini(&doc);                            also after a failed parse; a zeroed document is
 *                                                  empty and valid
 *
 * 1. Stricter than cJSON: RFC 8259 and nothing else around it, valid UTF-8, capped depth and count
 *    of values.
 * 2. Exact: every value keeps its source text, so a 64-bit integer never passes through a double.
 * 3. Of equal keys the last one counts, as in JavaScript. A key with \u0000 is refused; text with
 *    \u0000 keeps its length.
 * 4. A surrogate without its partner becomes U+FFFD, so that every string handed out is valid
 *    UTF-8.
 * 5. Getters never fail loudly: an absent value, or one of another type, gives false, 0 or {NULL,
 *    0}.
 */
#ifndef HG_PROTO_JSON_H
#define HG_PROTO_JSON_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/num.h"
#include "common/base/slice.h"

#define HG_JSON_MAX_DEPTH 32 /* containers inside each other, the outermost included */
#define HG_JSON_MAX_VALUES                                                                         \
    65536 /* keeps a tree below about 8 MB, whatever a text of many commas may want */
#define HG_JSON_MAX_BYTES (16 << 20)
#define HG_JSON_ROW_DEPTH 256 /* hg_json_is_valid, hg_json_of_rows: rows may hold nested columns */

enum hg_json_type {
    HG_JSON_ABSENT,
    HG_JSON_NULL,
    HG_JSON_BOOL,
    HG_JSON_NUMBER,
    HG_JSON_STRING,
    HG_JSON_ARRAY,
    HG_JSON_OBJECT
};

struct hg_json_limits {
    size_t max_bytes;
    unsigned max_depth; /* at most HG_JSON_ROW_DEPTH */
    unsigned max_values;
};
/* For messages in which there may be rows, or other data of users. */
extern const struct hg_json_limits hg_json_of_rows;
/* What these allow, when hg_json_parse has refused more: "at most 256 levels of nesting". NULL: it
 * was refused for something else. */
const char *hg_json_of_rows_most(int rc);

struct cJSON;

struct hg_json_span { /* private to json.c: where a value stands in the text */
    uint32_t at, n;
    uint32_t decoded; /* length of a string after its escapes */
};

struct hg_json { /* private to json.c */
    struct cJSON *root;
    struct hg_slice text;
    char *mended; /* copy of the text with what cJSON cannot take replaced, when there was any */
    struct hg_json_span *spans;
    uint32_t nspans, cap;
    struct hg_json_span few[24];
};

struct hg_json_val {
    const struct hg_json *doc;
    const struct cJSON *node; /* NULL: absent */
};

/* 0, or -HG_E_BAD_JSON, -HG_E_DEPTH, -HG_E_TOO_BIG (bytes or values). limits NULL: the constants
 * above. */
int hg_json_parse(struct hg_slice text, const struct hg_json_limits *limits,
                  struct hg_json *doc) HG_MUST_CHECK;
void hg_json_fini(struct hg_json *doc);

struct hg_json_val hg_json_root(const struct hg_json *doc);
enum hg_json_type hg_json_type(struct hg_json_val v);
struct hg_json_val hg_json_get(struct hg_json_val obj, const char *key);
/* Members of an object, elements of an array, in the order of the text (equal keys: all of
 * them). */
struct hg_json_val hg_json_first(struct hg_json_val v);
struct hg_json_val hg_json_next(struct hg_json_val v);
size_t hg_json_count(struct hg_json_val v);
struct hg_slice hg_json_key(struct hg_json_val v); /* of a member */

struct hg_slice
hg_json_text(struct hg_json_val v); /* a string's content, else {NULL, 0}; lives as long as doc */
struct hg_slice
hg_json_raw(struct hg_json_val v); /* source text of any value; borrows from the parsed text */
/* A string with a surrogate that had no partner: its text is not quite what was written. */
bool hg_json_is_mended(struct hg_json_val v);
bool hg_json_is_true(struct hg_json_val v);   /* the literal true */
bool hg_json_is_truthy(struct hg_json_val v); /* as JavaScript has it */
/* Exact for integers as written; 1.0 and 1e3 count as integers up to 2^53. false: absent, no
 * number, fraction, out of range. */
bool hg_json_u64(struct hg_json_val v, uint64_t *out);
bool hg_json_i64(struct hg_json_val v, int64_t *out);
bool hg_json_double(struct hg_json_val v, double *out);
/* A number as JavaScript's String() has it; integers as they were written, to the last digit. Of no
 * number none. Borrows from the parsed text or from room. */
struct hg_slice hg_json_number_text(struct hg_json_val v, char room[HG_NUM_JS_TEXT]);
/* Member of an object in one go: true when it is a string. */
bool hg_json_str(struct hg_json_val obj, const char *key, struct hg_slice *out);

/* Is s one JSON text (RFC 8259, valid UTF-8, depth up to HG_JSON_ROW_DEPTH)? No allocation, one
 * pass. */
bool hg_json_is_valid(struct hg_slice s);
bool hg_json_is_object(struct hg_slice s); /* and is it an object? */

/* "..." with escapes where JSON needs them; bytes that are not UTF-8 become U+FFFD. */
void hg_json_add_str(struct hg_buf *out, struct hg_slice s);

#endif
