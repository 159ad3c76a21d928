/*
 * The configuration's texts: both tokenizers on any bytes, every pair they give into every option,
 * and a live text as a worker gets it. What was accepted must print as text that gives the same
 * value.
 */
#include <stdint.h>
#include <stdlib.h>
#include "common/sys/conf_text.h"
#include "common/sys/conf_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hg_conf *cf, *again;
static struct hg_buf text;

static void check_prints_back(const struct hg_opt *o)
{
    const char *why;

    hg_buf_reset(&text);
    hg_opt_text(cf, o, &text);
    HG_BUG_ON(hg_opt_set(again, o, hg_slice_of(text.n ? text.p : "", text.n), &why) < 0);
    HG_BUG_ON(!hg_opt_same(cf, again, o));
}

static void on_pair(void *ctx, unsigned line, struct hg_slice key, struct hg_slice value,
                    const char *why)
{
    const struct hg_opt *o = hg_opt_find(key);

    (void)ctx, (void)line;
    if (why)
        return;
    if (!o)
        o = hg_opt_nearest(key);
    if (o && hg_opt_set(cf, o, value, &why) == 0)
        check_prints_back(o);
}

static struct hg_slice expected;
static int met;

static void on_rewritten(void *ctx, unsigned line, struct hg_slice key, struct hg_slice value,
                         const char *why)
{
    (void)ctx, (void)line, (void)key;
    HG_BUG_ON(why != NULL || !hg_slice_eq(value, expected));
    met++;
}

/* A pair of the file format, written again, must be read as the same pair. */
static void on_file_pair(void *ctx, unsigned line, struct hg_slice key, struct hg_slice value,
                         const char *why)
{
    struct hg_buf rewritten = {0};

    if (!why) {
        hg_buf_adds(&rewritten, "k = ");
        hg_conf_text_value(&rewritten, value);
        expected = value;
        met = 0;
        hg_conf_text_each(hg_buf_slice(&rewritten), on_rewritten, NULL);
        HG_BUG_ON(met != 1);
    }
    hg_buf_fini(&rewritten);
    on_pair(ctx, line, key, value, why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hg_slice s = hg_slice_of(data, size);

    cf = hg_conf_defaults();
    again = hg_conf_defaults();
    hg_conf_text_each(s, on_file_pair, NULL);
    hg_dotenv_each(s, on_pair, NULL);
    (void)!hg_conf_apply_live_text(cf, s);
    hg_conf_free(cf);
    hg_conf_free(again);
    hg_buf_fini(&text);
    return 0;
}
