/*
 * Queries made of any bytes: by the property test of random ones, by the fuzz target of those that
 * libFuzzer thinks up. Every operator, kind of value, modifier, order and cursor comes up; what is
 * made is a tree as a reader would have made it, so that building it must work.
 *
 *   struct query_gen g = {.p = data, .n = n};
 *   struct hg_query *q = query_make(&g);
 *   const char *fault = query_survives(q, g.plain);
 *   hg_query_free(q);
 *
 * query_make uses up the bytes; with none left all its choices are 0. query_same names the first
 * thing that differs, query_survives what went wrong on the way through all that is built of a
 * query, verified and read back; both NULL when nothing does.
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
#ifdef __cplusplus
}
#endif

#endif
