#define PCRE2_CODE_UNIT_WIDTH 8
#include "tools/regex.h"

#include <pcre2.h>
#include <stdlib.h>
#include "common/base/err.h"

/* Enough for honest patterns on long texts; a runaway one ends after milliseconds. */
enum { MATCH_STEPS = 200000, MATCH_HEAP_KB = 8192, NESTED = 64 };

struct hg_regex {
    pcre2_code *code;
    pcre2_match_data *found;
    pcre2_match_context *caps;
};

static void say(struct hg_buf *why, int code, size_t at)
{
    PCRE2_UCHAR text[128];

    if (pcre2_get_error_message(code, text, sizeof text) < 0)
        text[0] = 0;
    hg_buf_addf(why, "the pattern is wrong at %zu: %s", at, (const char *)text);
}

static pcre2_code *compile(struct hg_slice pattern, bool case_insensitive, struct hg_buf *why)
{
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C |
                       PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY |
                       (case_insensitive ? PCRE2_CASELESS : 0);
    pcre2_compile_context *caps = pcre2_compile_context_create(NULL);
    PCRE2_SPTR p = (PCRE2_SPTR)(pattern.p ? pattern.p : "");
    pcre2_code *code;
    int err = 0;
    size_t at = 0;

    if (!caps)
        abort();
    pcre2_set_parens_nest_limit(caps, NESTED);
    code = pcre2_compile(p, pattern.n, options, &err, &at, caps);
    if (!code)
        say(why, err, at);
    pcre2_compile_context_free(caps);
    return code;
}

struct hg_regex *hg_regex_new(struct hg_slice pattern, bool case_insensitive, struct hg_buf *why)
{
    struct hg_regex *re;
    pcre2_code *code;

    if (pattern.n > HG_REGEX_MAX_PATTERN) {
        hg_buf_addf(why, "the pattern is longer than %d bytes", HG_REGEX_MAX_PATTERN);
        return NULL;
    }
    code = compile(pattern, case_insensitive, why);
    if (!code)
        return NULL;
    re = hg_calloc(1, sizeof *re);
    re->code = code;
    re->found = pcre2_match_data_create(1, NULL);
    re->caps = pcre2_match_context_create(NULL);
    if (!re->found || !re->caps)
        abort();
    pcre2_set_match_limit(re->caps, MATCH_STEPS);
    pcre2_set_heap_limit(re->caps, MATCH_HEAP_KB);
    return re;
}

void hg_regex_free(struct hg_regex *re)
{
    if (!re)
        return;
    pcre2_match_context_free(re->caps);
    pcre2_match_data_free(re->found);
    pcre2_code_free(re->code);
    free(re);
}

int hg_regex_find(struct hg_regex *re, struct hg_slice text)
{
    int rc = pcre2_match(re->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, 0, re->found,
                         re->caps);

    if (rc >= 0)
        return 1;
    return rc == PCRE2_ERROR_NOMATCH ? 0 : -HG_E_TOO_BIG;
}
