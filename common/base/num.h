/*
 * Strict text to number: the whole slice or nothing; no leading blanks, no wrap-around, no locale.
 * Each returns 0, or -HG_E_CONF_VALUE with *why set to a constant ("not a number", "out of range",
 * "unknown unit").
 */
#ifndef HG_COMMON_BASE_NUM_H
#define HG_COMMON_BASE_NUM_H

#include <stdint.h>
#include "common/base/macros.h"
#include "common/base/slice.h"

int hg_num_i64(struct hg_slice s, int64_t *out, const char **why) HG_MUST_CHECK;
int hg_num_u64(struct hg_slice s, uint64_t *out, const char **why) HG_MUST_CHECK;
int hg_num_double(struct hg_slice s, double *out, const char **why) HG_MUST_CHECK;
int hg_num_size(struct hg_slice s, int64_t *bytes,
                const char **why) HG_MUST_CHECK; /* "4096" "64k" "4m" "1g" (powers of 1024) */
int hg_num_duration(struct hg_slice s, int64_t *us, const char **why)
    HG_MUST_CHECK; /* "200ms" "30s" "5m" "1h" "1d", fractions "0.5s"; a bare number needs a unit
                      unless 0 */
/* Decimal text of v into out (at least 21 bytes), NUL-terminated; returns the length. */
unsigned hg_num_u64_text(uint64_t v, char out[21]);
/* d as JavaScript's String() writes it ("1", "0.1", "1e+21", "Infinity"), NUL-terminated; returns
 * the length. */
enum { HG_NUM_JS_TEXT = 32 };
unsigned hg_num_js_text(double d, char out[HG_NUM_JS_TEXT]);

#endif
