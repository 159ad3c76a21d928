/*
 * Regular expressions: the one door to PCRE2. Patterns come from clients, so both compiling and
 * matching have a cap: a pattern that would take for ever on a text is an error, not a wait.
 *
 *   struct hg_regex *re = hg_regex_new(pattern, case_insensitive, &why);   NULL: why says where
 *   int found = hg_regex_find(re, text);                                   1, 0 or -HG_E_TOO_BIG
 *   hg_regex_free(re);
 *
 * Perl's syntax. "." takes a line's end too and "$" stands at the very end only, as in PostgreSQL.
 */
#ifndef HG_TOOLS_REGEX_H
#define HG_TOOLS_REGEX_H

#include "common/base/buf.h"
#include "common/base/macros.h"

enum { HG_REGEX_MAX_PATTERN = 2048 };

struct hg_regex;

struct hg_regex *hg_regex_new(struct hg_slice pattern, bool case_insensitive, struct hg_buf *why);
void hg_regex_free(struct hg_regex *re); /* NULL is fine */
int hg_regex_find(struct hg_regex *re, struct hg_slice text) HG_MUST_CHECK;

#endif
