/*
 * Fills a query from JSON (spec 12): query_json.c has the tree, query_value.c the tagged values.
 * Private to proto/: called by query.c.
 *
 * A reader knows where it is. Whoever goes into a member enters it first and leaves it only when
 * all went well, so that a fault names the member it is about.
 */
#ifndef HG_PROTO_QUERY_JSON_H
#define HG_PROTO_QUERY_JSON_H

#include "proto/json.h"
#include "proto/query_tree.h"

struct hg_query_reader {
    struct hg_query *q;
    bool strict;
    struct hg_query_path path;
    char *why;
    unsigned nodes;
};

#define HG_QUERY_FAULT(r, ...) hg_query_fault(&(r)->path, (r)->why, __VA_ARGS__)
/* Of the member key of where the reader is. */
#define HG_QUERY_FAULT_AT(r, key, ...)                                                             \
    (hg_query_enter(&(r)->path, key), HG_QUERY_FAULT(r, __VA_ARGS__))

/* Strings borrow from root's document. 0 or -HG_E_BAD_QUERY. */
int hg_query_read_json(struct hg_json_val root, bool strict, struct hg_query *q,
                       char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;

/* ---- shared by both files ---- */

/* Neither absent nor null. */
static inline bool hg_query_given(struct hg_json_val v)
{
    return v.node && hg_json_type(v) != HG_JSON_NULL;
}

/* In strict mode an unknown member is a fault: a misspelt "wrapper" must not become the whole
 * table. allowed: " a b c ". */
int hg_query_check_keys(struct hg_query_reader *r, struct hg_json_val obj,
                        const char *allowed) HG_MUST_CHECK;
/* A string; unless strict also what String() makes of one. Absent: "". */
int hg_query_read_text(struct hg_query_reader *r, struct hg_json_val v,
                       struct hg_slice *out) HG_MUST_CHECK;
/* Members of obj by key. Absent is false, or the number given before. */
int hg_query_read_flag(struct hg_query_reader *r, struct hg_json_val obj, const char *key,
                       bool *out) HG_MUST_CHECK;
int hg_query_read_word(struct hg_query_reader *r, struct hg_json_val obj, const char *key,
                       const char *const *words, unsigned n, unsigned *out) HG_MUST_CHECK;
/* A tagged value; the reader stands on it. */
int hg_query_read_value(struct hg_query_reader *r, struct hg_json_val v,
                        struct hg_value *out) HG_MUST_CHECK;

#endif
