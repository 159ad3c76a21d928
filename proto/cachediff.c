#include "proto/cachediff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/num.h"
#include "proto/base64.h"
#include "proto/json.h"

/* ---- one entry ---- */

void hg_cachediff_put(struct hg_buf *out, uint64_t lsn, struct hg_slice value)
{
    char text[21];

    hg_buf_reserve(out, 40 + value.n / 3 * 4);
    hg_buf_adds(out, "{\"lsn\":\"");
    hg_buf_add(out, text, hg_num_u64_text(lsn, text));
    hg_buf_adds(out, "\",\"b64\":\"");
    hg_b64_add(out, value);
    hg_buf_adds(out, "\"}");
}

bool hg_cachediff_read(struct hg_slice text, uint64_t *lsn, struct hg_buf *bytes)
{
    struct hg_json doc;
    struct hg_slice number, b64;
    const char *why;
    bool ok = hg_json_parse(text, NULL, &doc) == 0 &&
              hg_json_str(hg_json_root(&doc), "lsn", &number) &&
              hg_json_str(hg_json_root(&doc), "b64", &b64) && hg_num_u64(number, lsn, &why) == 0 &&
              hg_b64_is_clean(b64);

    if (ok)
        hg_b64_decode_lenient(bytes, b64);
    hg_json_fini(&doc);
    return ok;
}

/* ---- a snapshot ---- */

void hg_cachesnap_begin(struct hg_buf *out)
{
    hg_buf_adds(out, "{\"rows\":[");
}

void hg_cachesnap_end(struct hg_buf *out, struct hg_slice cursor, uint64_t lsn, int64_t ts)
{
    hg_buf_adds(out, "],\"cursor\":{");
    hg_buf_add_slice(out, cursor);
    hg_buf_addf(out, "%s\"lsn\":\"%" PRIu64 "\"},\"ts\":%" PRId64 "}", cursor.n ? "," : "", lsn,
                ts);
}

/* ---- a list ---- */

static bool is_at(const struct hg_cachelist *l, size_t i, uint64_t lsn, struct hg_slice value)
{
    return l->entries[i].lsn == lsn && hg_slice_eq(hg_cachelist_value(l, i), value);
}

static bool holds(const struct hg_cachelist *l, uint64_t lsn, struct hg_slice value)
{
    size_t i = l->count; /* sorted: only entries with an LSN above are passed on the way */

    while (i > 0 && l->entries[i - 1].lsn > lsn)
        i--;
    while (i > 0 && l->entries[i - 1].lsn == lsn)
        if (is_at(l, --i, lsn, value))
            return true;
    return false;
}

bool hg_cachelist_add(struct hg_cachelist *l, uint64_t lsn, struct hg_slice value)
{
    if (l->count > 0 && lsn < l->entries[l->count - 1].lsn)
        return holds(l, lsn, value);
    if (l->count > 0 && is_at(l, l->count - 1, lsn, value))
        return true;
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->entries = hg_realloc(l->entries, l->cap * sizeof *l->entries);
    }
    l->entries[l->count++] = (struct hg_cachelist_entry){lsn, l->bytes.n, value.n};
    hg_buf_add_slice(&l->bytes, value);
    return true;
}

void hg_cachelist_fini(struct hg_cachelist *l)
{
    free(l->entries);
    hg_buf_fini(&l->bytes);
    *l = (struct hg_cachelist){0};
}

/* ---- the word beside a partition ---- */

unsigned hg_cachepos_put(char out[HG_CACHEPOS_TEXT], const struct hg_cachepos *p)
{
    return (unsigned)snprintf(out, HG_CACHEPOS_TEXT, "%" PRIu64 " %" PRIu64 " %" PRIu64, p->next,
                              p->since, p->token);
}

static bool next_number(struct hg_slice *rest, uint64_t *out)
{
    const char *why, *space = rest->n ? memchr(rest->p, ' ', rest->n) : NULL;
    struct hg_slice word = hg_slice_of(rest->p, space ? (size_t)(space - rest->p) : rest->n);
    size_t used = word.n + (space ? 1 : 0);

    *rest = hg_slice_of(rest->p ? rest->p + used : NULL, rest->n - used);
    return word.n > 0 && hg_num_u64(word, out, &why) == 0;
}

bool hg_cachepos_read(struct hg_slice text, struct hg_cachepos *out)
{
    return next_number(&text, &out->next) && next_number(&text, &out->since) &&
           next_number(&text, &out->token) && text.n == 0 && out->next <= INT64_MAX;
}
