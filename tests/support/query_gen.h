/*
 * Queries made of any bytes: by the property test of random ones, by the fuzz target of those that
 * libFuzzer thinks up. Every operator, kind of value, modifier, order and cursor comes up; what is
 * made is a tree as a reader would have made it, so that building it must work.
 *
 *   struct query_gen g = {.p = data, .n = n};      the bytes it is made of; none left: all choices
 * 0 struct hg_query *q = query_make(&g);            hg_query_free frees it query_same(q, back)
 * NULL, or the first thing that differs query_survives(q, plain)                       NULL, or
 * what went wrong on the way through all that is built of q, verified and read back
 */
#ifndef HG_TESTS_SUPPORT_QUERY_GEN_H
#define HG_TESTS_SUPPORT_QUERY_GEN_H

#include "proto/query_tree.h"

struct query_gen {
    const unsigned char *p;
    size_t n;
    bool plain; /* texts are UTF-8 and numbers finite: what JSON can say */
    unsigned nodes;
};

struct hg_query *query_make(struct query_gen *g);
const char *query_same(const struct hg_query *a, const struct hg_query *b);
const char *query_survives(const struct hg_query *q, bool plain);

/* ---- tests/support/fb_verify.cc: the official verifier, on bytes at any address ---- */
#ifdef __cplusplus
extern "C" {
#endif
bool fb_verify_query(const void *bytes, size_t n);   /* StreamingSqlDataFilter */
bool fb_verify_request(const void *bytes, size_t n); /* RequestEnvelope */
/* What a GET_DATA request has beside filters, order and cursor; false: it is none. */
bool fb_request_limits(const void *bytes, size_t n, uint32_t *limit, uint32_t *offset,
                       bool *strict_after);
#ifdef __cplusplus
}
#endif

#endif
