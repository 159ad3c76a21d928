/*
 * A live query: read from JSON (spec 12) or FlatBuffers, checked, written as StreamingSqlDataFilter
 * for the change source, as GET_DATA for the SQL worker, as JSON for people. Pure.
 *
 *   struct hg_query *q;
 *   char why[HG_QUERY_WHY_MAX];
 *   if (hg_query_from_json(text, strict, &q, why) < 0)
 *       ... -HG_E_BAD_QUERY: why is "$.wrapper.filters[2].value: expected ..."
 *   hg_query_put_get_data(&out, &call, q, 500);
 *   hg_query_free(q), q = NULL;
 *
 * 1. A query owns everything in it; the input may go.
 * 2. All operators and kinds of value are handed on; whether one can be carried out is the SQL
 *    worker's to say.
 * 3. strict: what is misspelt, of a wrong type or without a meaning is refused, never guessed at.
 *    Not strict: missing or odd pieces get the sources' defaults (profiles v1-v3); an unknown
 *    operator (B-21) and a range that cannot be written (B-22) are refused even then.
 * 4. Values keep their exact type and all 64 bits, in both encodings (C-11).
 */
#ifndef HG_PROTO_QUERY_H
#define HG_PROTO_QUERY_H

#include "proto/sqlrpc.h"

enum {
    HG_QUERY_WHY_MAX = 832,
    HG_QUERY_MAX_DEPTH = 32,
    HG_QUERY_MAX_NODES = 4096,
    HG_QUERY_MAX_JSON = 1 << 20,
    HG_QUERY_MAX_FB =
        1 << 16, /* small: a vector that stands behind many filters is verified as often */
    HG_QUERY_MAX_BUILT = 4 << 20, /* of FlatBuffers built of the largest JSON, with room */
    HG_QUERY_DEFAULT_LIMIT = 50
};

struct hg_query;

int hg_query_from_json(struct hg_slice json, bool strict, struct hg_query **q,
                       char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;
/* Bytes of a StreamingSqlDataFilter; verified first. */
int hg_query_from_fb(struct hg_slice bytes, bool strict, struct hg_query **q,
                     char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;
/* The same of one that was taken before: lenient, and as large as what is built of JSON may be. */
int hg_query_from_control(struct hg_slice bytes, struct hg_query **q,
                          char why[HG_QUERY_WHY_MAX]) HG_MUST_CHECK;
void hg_query_free(struct hg_query *q); /* NULL is fine */

/* Equal for queries that ask the SQL worker the same; hash and schema_version don't count. */
uint64_t hg_query_fingerprint(const struct hg_query *q);

/* Appends a StreamingSqlDataFilter: an absent limit is the wire's default 50. */
void hg_query_put_control(struct hg_buf *out, const struct hg_query *q);
/* Appends a GET_DATA RequestEnvelope. q NULL: all rows of the table. default_limit stands in for an
 * absent limit; 0 = none. */
void hg_query_put_get_data(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                           const struct hg_query *q, uint32_t default_limit);

struct hg_query_agg {
    bool count;
    struct { /* sum, average, minimum, maximum */
        const struct hg_slice *fields;
        size_t n; /* 0: the list stays off the wire */
    } of[4];
};
/* Appends a RUN_AGGREGATION RequestEnvelope. Of q, which may be NULL, only the wrapper counts. */
void hg_query_put_aggregation(struct hg_buf *out, const struct hg_sqlrpc_call *call,
                              const struct hg_query *q, const struct hg_query_agg *agg);

/* Appends the query as JSON that hg_query_from_json reads as the same query. A double that JSON has
 * no number for becomes null. */
void hg_query_put_json(struct hg_buf *out, const struct hg_query *q);

#endif
