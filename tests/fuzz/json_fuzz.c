/*
 * Texts of a hostile peer. The scanner and cJSON must agree on every text the scanner lets through
 * (parse aborts if they see different values); raw texts are JSON again; strings are UTF-8; what is
 * written reads back.
 */
#include <stdint.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "proto/json.h"
#include "proto/utf8.h"

static void check_text(struct hg_slice text)
{
    struct hg_buf out = {0};
    struct hg_json doc;
    HG_BUG_ON(!hg_utf8_valid(text.p, text.n));
    hg_json_add_str(&out, text);
    HG_BUG_ON(hg_json_parse(hg_buf_slice(&out), NULL, &doc) != 0);
    HG_BUG_ON(!hg_slice_eq(hg_json_text(hg_json_root(&doc)), text));
    hg_json_fini(&doc);
    hg_buf_fini(&out);
}

static void check_value(struct hg_json_val v, unsigned depth)
{
    uint64_t u;
    int64_t i;
    double d;
    bool integer = hg_json_u64(v, &u) || hg_json_i64(v, &i);
    HG_BUG_ON(hg_json_type(v) == HG_JSON_ABSENT || !hg_json_is_valid(hg_json_raw(v)));
    HG_BUG_ON(integer && (hg_json_type(v) != HG_JSON_NUMBER || !hg_json_double(v, &d)));
    if (hg_json_type(v) == HG_JSON_STRING)
        check_text(hg_json_text(v));
    if (depth > 3) /* raw texts are checked again at every level: enough */
        return;
    for (struct hg_json_val kid = hg_json_first(v); kid.node; kid = hg_json_next(kid))
        check_value(kid, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hg_json doc;
    char *own = malloc(n ? n : 1);
    memcpy(own, data, n);
    struct hg_slice text = hg_slice_of(own, n);
    bool valid = hg_json_is_valid(text);
    int rc = hg_json_parse(text, NULL, &doc);
    HG_BUG_ON(rc == 0 && !valid);
    if (rc == 0)
        check_value(hg_json_root(&doc), 0);
    hg_json_fini(&doc);
    struct hg_buf out = {0};
    hg_json_add_str(&out, text); /* any bytes */
    HG_BUG_ON(!hg_json_is_valid(hg_buf_slice(&out)));
    hg_buf_fini(&out);
    free(own);
    return 0;
}
