/* Values of the source systems that are not written as ours are. Pure: text in, text out. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#include "common/base/num.h"
#include "common/sys/conf_text.h"
#include "common/sys/conf_value.h"

static bool is_word(struct hg_slice s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* The number at the front, as parseFloat and parseInt of JavaScript see it ("30s" is 30); false:
 * none there. */
static bool number_at_front(struct hg_slice s, double *out)
{
    size_t n = 0, digits = 0;
    bool point = false;
    const char *why;

    s = hg_slice_trim(s, HG_SPACES);
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        n++;
    for (; n < s.n; n++) {
        if (s.p[n] == '.' && !point)
            point = true;
        else if (isdigit((unsigned char)s.p[n]))
            digits++;
        else
            break;
    }
    return digits && hg_num_double(hg_slice_of(s.p, n), out, &why) == 0;
}

/* Bare seconds with a fraction; 0, negative or no number turns it off (004: startIdleReaper). */
static bool idle_seconds(struct hg_slice text, struct hg_buf *out, const char **warning)
{
    double s = 0;
    bool number = number_at_front(text, &s);

    if (!number)
        *warning = "not a number: idle_timeout is off, as in the source";
    if (!number || s <= 0) {
        hg_buf_adds(out, "0");
    } else if (s > 86400) {
        *warning = "idle_timeout is 1d, its largest";
        hg_buf_adds(out, "1d");
    } else {
        int64_t us = (int64_t)(s * 1e6 + 0.5);

        hg_buf_addf(out, "%lldus", (long long)HG_MAX(us, 1));
    }
    return true;
}

/* Bytes; 0, negative or no number turns the limit off there (004: write). Here every queue has a
 * bound. */
static bool backlog_bytes(struct hg_slice text, struct hg_buf *out, const char **warning)
{
    double n;

    if (!number_at_front(text, &n) || n <= 0) {
        *warning = "no limit there; here out_hard is 1g, its largest";
        hg_buf_adds(out, "1g");
    } else if (n < 16384) {
        *warning = "out_hard is 16k, its smallest";
        hg_buf_adds(out, "16k");
    } else if (n > 1 << 30) {
        *warning = "out_hard is 1g, its largest";
        hg_buf_adds(out, "1g");
    } else {
        hg_buf_addf(out, "%lld", (long long)n);
    }
    return true;
}

/* Anything but a carrier they have means local only there too (004: an error is logged, nothing
 * else happens). */
static bool backplane_name(struct hg_slice text, struct hg_buf *out, const char **warning)
{
    text = hg_slice_trim(text, HG_SPACES);
    if (is_word(text, "redis"))
        hg_buf_adds(out, "redis");
    else if (is_word(text, "nats") && HG_HAVE_NATS)
        hg_buf_adds(out, "nats");
    else if (is_word(text, "nats"))
        *warning = "this build has no NATS carrier: local only";
    else
        *warning = "unknown backplane: local only";
    return true;
}

/* Whitespace is taken out, as the source does. */
static bool prefix_without_blanks(struct hg_slice text, struct hg_buf *out, const char **warning)
{
    (void)warning;
    for (size_t i = 0; i < text.n; i++)
        if (!isspace((unsigned char)text.p[i]))
            hg_buf_addc(out, text.p[i]);
    return true;
}

static const struct {
    const char *name;
    bool (*fn)(struct hg_slice text, struct hg_buf *out, const char **warning);
} adapters[] = {
    {"TINA4_WS_IDLE_TIMEOUT", idle_seconds},
    {"TINA4_WS_MAX_BACKLOG", backlog_bytes},
    {"TINA4_WS_BACKPLANE", backplane_name},
    {"KEYDB_PREFIX", prefix_without_blanks},
};

bool hg_conf_adapt(const char *name, struct hg_slice text, struct hg_buf *out, const char **warning)
{
    for (size_t i = 0; i < HG_COUNTOF(adapters); i++)
        if (strcmp(adapters[i].name, name) == 0)
            return adapters[i].fn(text, out, warning);
    hg_buf_add_slice(out, hg_slice_trim(text, HG_SPACES));
    return true;
}

bool hg_conf_list_next(struct hg_slice *rest, struct hg_slice *item)
{
    while (rest->n) {
        const char *comma = memchr(rest->p, ',', rest->n);
        size_t n = comma ? (size_t)(comma - rest->p) : rest->n, skip = n + (comma != NULL);

        *item = hg_slice_trim(hg_slice_of(rest->p, n), HG_SPACES);
        *rest = hg_slice_of(rest->p + skip, rest->n - skip);
        if (item->n)
            return true;
    }
    return false;
}
