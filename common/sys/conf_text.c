/* See conf_text.h. */
#include "common/sys/conf_text.h"

#include <stdbool.h>
#include <stdint.h>

static const struct hg_slice none = {"", 0};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool has_control(struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return true;
    return false;
}

/* The next line without its end ("\n", "\r\n" or "\r"), out of *rest. */
static bool next_line(struct hg_slice *rest, struct hg_slice *line)
{
    size_t n = 0, skip;

    if (rest->n == 0)
        return false;
    while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
        n++;
    *line = hg_slice_of(rest->p, n);
    skip = n == rest->n ? n
                        : n + 1 + (rest->p[n] == '\r' && n + 1 < rest->n && rest->p[n + 1] == '\n');
    *rest = hg_slice_of(rest->p + skip, rest->n - skip);
    return true;
}

static struct hg_slice without_bom(struct hg_slice text)
{
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        return hg_slice_of(text.p + 3, text.n - 3);
    return text;
}

/* ---- headgate.conf ---- */

/* Where the comment begins, or the end: '#' at the start or after a blank. */
static size_t comment_at(struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '#' && (i == 0 || is_blank(s.p[i - 1])))
            return i;
    return s.n;
}

/* s begins behind the opening quote. NULL, or what is wrong. */
static const char *quoted(struct hg_slice s, struct hg_buf *out)
{
    size_t i;

    for (i = 0; i < s.n && s.p[i] != '"'; i++) {
        if (s.p[i] == '\\' && ++i < s.n && s.p[i] != '"' && s.p[i] != '\\')
            return "unknown escape: only \\\" and \\\\ there";
        if (i < s.n)
            hg_buf_addc(out, s.p[i]);
    }
    if (i >= s.n)
        return "quote without its end";
    s = hg_slice_trim(hg_slice_of(s.p + i + 1, s.n - i - 1), HG_BLANKS);
    return s.n && s.p[0] != '#' ? "text behind the closing quote" : NULL;
}

static const char *value_of(struct hg_slice s, struct hg_buf *out)
{
    s = hg_slice_trim(s, HG_BLANKS);
    if (s.n && s.p[0] == '"')
        return quoted(hg_slice_of(s.p + 1, s.n - 1), out);
    hg_buf_add_slice(out, hg_slice_trim(hg_slice_of(s.p, comment_at(s)), HG_BLANKS));
    return NULL;
}

static const char *read_pair(struct hg_slice line, struct hg_slice *key, struct hg_buf *value)
{
    const char *eq = memchr(line.p, '=', line.n);

    if (has_control(line))
        return "control character";
    if (!eq)
        return "not \"key = value\"";
    *key = hg_slice_trim(hg_slice_of(line.p, (size_t)(eq - line.p)), HG_BLANKS);
    if (key->n == 0)
        return "no key before \"=\"";
    return value_of(hg_slice_of(eq + 1, line.n - (size_t)(eq + 1 - line.p)), value);
}

void hg_conf_text_each(struct hg_slice text, hg_conf_pair_fn fn, void *ctx)
{
    struct hg_buf value = {0};
    struct hg_slice line, key;
    unsigned n = 0;

    for (text = without_bom(text); next_line(&text, &line); hg_buf_reset(&value)) {
        const char *why;

        n++;
        line = hg_slice_trim(line, HG_BLANKS);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        why = read_pair(line, &key, &value);
        if (why)
            fn(ctx, n, none, none, why);
        else
            fn(ctx, n, key, value.n ? hg_buf_slice(&value) : none, NULL);
    }
    hg_buf_fini(&value);
}

void hg_conf_text_value(struct hg_buf *out, struct hg_slice v)
{
    bool plain =
        v.n && v.p[0] != '"' && comment_at(v) == v.n && hg_slice_trim(v, HG_BLANKS).n == v.n;

    if (plain) {
        hg_buf_add_slice(out, v);
        return;
    }
    hg_buf_addc(out, '"');
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '"' || v.p[i] == '\\')
            hg_buf_addc(out, '\\');
        hg_buf_addc(out, v.p[i]);
    }
    hg_buf_addc(out, '"');
}

/* ---- .env ---- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

static void skip_blanks(struct hg_slice *s)
{
    while (s->n && is_blank(s->p[0]))
        s->p++, s->n--;
}

static struct hg_slice take_name(struct hg_slice *s)
{
    size_t n = 0;

    while (n < s->n && is_name_char(s->p[n]))
        n++;
    struct hg_slice name = hg_slice_of(s->p, n);
    s->p += n;
    s->n -= n;
    return name;
}

/* "[export ]NAME=" or "NAME: " out of *s; false: not such a line. */
static bool take_key(struct hg_slice *s, struct hg_slice *key)
{
    skip_blanks(s);
    *key = take_name(s);
    if (hg_slice_is(*key, "export") && s->n && is_blank(s->p[0])) {
        skip_blanks(s);
        *key = take_name(s);
    }
    if (key->n == 0)
        return false;
    if (s->n > 1 && s->p[0] == ':' && is_blank(s->p[1])) {
        s->p++, s->n--;
        return true;
    }
    skip_blanks(s);
    if (s->n == 0 || s->p[0] != '=')
        return false;
    s->p++, s->n--;
    return true;
}

/* Length up to the end of the line. */
static size_t line_len(struct hg_slice s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] != '\n' && s.p[n] != '\r')
        n++;
    return n;
}

/* In double quotes \n and \r are expanded, and nothing else. */
static void add_expanded(struct hg_buf *out, struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool escape = s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == 'n' || s.p[i + 1] == 'r');

        if (escape)
            i++;
        hg_buf_addc(out, !escape ? s.p[i] : s.p[i] == 'n' ? '\n' : '\r');
    }
}

/* A value in quotes, which may span lines, with nothing but a comment behind it: bytes used, 0 if
 * it is none. */
static size_t take_quoted(struct hg_slice s, struct hg_buf *out)
{
    char q = s.n ? s.p[0] : '\0';
    struct hg_slice rest;
    size_t end = 1;

    if (q != '"' && q != '\'' && q != '`')
        return 0;
    while (end < s.n && s.p[end] != q)
        end += s.p[end] == '\\' && end + 1 < s.n && s.p[end + 1] == q ? 2 : 1;
    if (end >= s.n)
        return 0;
    rest = hg_slice_of(s.p + end + 1, s.n - end - 1);
    skip_blanks(&rest);
    if (line_len(rest) && rest.p[0] != '#')
        return 0;
    if (q == '"')
        add_expanded(out, hg_slice_of(s.p + 1, end - 1));
    else
        hg_buf_add(out, s.p + 1, end - 1);
    return end + 1;
}

/* Bytes of the value, which goes into out. */
static size_t take_value(struct hg_slice s, struct hg_buf *out)
{
    struct hg_slice at = s, plain;
    size_t used;
    const char *hash;

    skip_blanks(&at);
    used = take_quoted(at, out);
    if (used)
        return used + (size_t)(at.p - s.p);
    plain = hg_slice_of(s.p, line_len(s));
    hash = plain.n ? memchr(plain.p, '#', plain.n) : NULL;
    if (hash)
        plain.n = (size_t)(hash - plain.p);
    hg_buf_add_slice(out, hg_slice_trim(plain, HG_BLANKS));
    return line_len(s);
}

static unsigned count_lines(const char *from, const char *to)
{
    unsigned n = 0;

    for (; from < to; from++)
        n += *from == '\n' || (*from == '\r' && !(from + 1 < to && from[1] == '\n'));
    return n;
}

void hg_dotenv_each(struct hg_slice text, hg_conf_pair_fn fn, void *ctx)
{
    struct hg_buf value = {0};
    struct hg_slice s = without_bom(text), key, unused;
    unsigned line = 1;

    while (s.n) {
        const char *start = s.p;
        struct hg_slice at = hg_slice_of(s.p, line_len(s));
        size_t used = 0;

        hg_buf_reset(&value);
        if (take_key(&at, &key)) {
            used = (size_t)(at.p - s.p);
            used += take_value(hg_slice_of(at.p, s.n - used), &value);
            fn(ctx, line, key, value.n ? hg_buf_slice(&value) : none, NULL);
        }
        s.p += used;
        s.n -= used;
        if (!next_line(&s, &unused))
            break;
        line += count_lines(start, s.p);
    }
    hg_buf_fini(&value);
}
