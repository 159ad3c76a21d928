/*
 * See log.h. A line is made in three steps:
 *   expand   walks fmt and the arguments itself, one conversion at a time, so that bytes of fmt
 * (structure) and bytes of arguments (data) are never mixed up: struct pair is what comes out emit
 * appends a pair as text or JSON, escaping put      ends the line and hands it to one write(2) on
 * an O_APPEND descriptor: lines of several processes stay whole Static buffers: loop thread only.
 */
#include "common/sys/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/sys/loop.h"

enum {
    MAX_LINE = 4000, /* below PIPE_BUF, so that a line into a pipe is atomic */
    MAX_VALUE = 512,
    MAX_KEY = 48,
    LIMIT_TAGS = 64,
    LIMIT_COUNT = 10,
};
#define LIMIT_WINDOW (10 * HG_S)

static struct {
    int fd;
    char file[PATH_MAX];
    bool json;
    enum hg_log_level least;
    char process[32];
    uint64_t lost; /* lines the kernel did not take (a full pipe) */
} out = {.fd = STDERR_FILENO, .least = HG_LOG_INFO, .process = "headgate"};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* ---- the destination ---- */

static int open_file(const char *file)
{
    return open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

int hg_log_open(const char *file, bool json)
{
    int fd = STDERR_FILENO;

    if (file && *file) {
        if (strlen(file) >= sizeof out.file)
            return -HG_E_SYS;
        fd = open_file(file);
        if (fd < 0)
            return -HG_E_SYS;
    }
    if (out.fd != STDERR_FILENO)
        close(out.fd);
    out.fd = fd;
    out.json = json;
    snprintf(out.file, sizeof out.file, "%s", file ? file : "");
    return 0;
}

int hg_log_reopen(void)
{
    int fd;

    if (!out.file[0])
        return 0;
    fd = open_file(out.file);
    if (fd < 0)
        return -HG_E_SYS; /* the old one goes on */
    close(out.fd);
    out.fd = fd;
    return 0;
}

void hg_log_set_level(enum hg_log_level least)
{
    out.least = least;
}

enum hg_log_level hg_log_level(void)
{
    return out.least;
}

void hg_log_set_process(const char *name)
{
    snprintf(out.process, sizeof out.process, "%s", name);
}

/* ---- the line ---- */

struct line {
    char p[MAX_LINE + 64]; /* room for the end */
    size_t n;
    bool full;
};

static void add(struct line *l, const char *p, size_t n)
{
    if (n > MAX_LINE - l->n)
        l->full = true;
    else
        memcpy(l->p + l->n, p, n), l->n += n;
}

static void adds(struct line *l, const char *s)
{
    add(l, s, strlen(s));
}

/* Length of the UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates), 0 if there is
 * none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    unsigned char lo = 0x80, hi = 0xbf;
    size_t len = p[0] < 0x80   ? 1
                 : p[0] < 0xc2 ? 0
                 : p[0] < 0xe0 ? 2
                 : p[0] < 0xf0 ? 3
                 : p[0] < 0xf5 ? 4
                               : 0;

    if (len < 2 || len > n)
        return len > n ? 0 : len;
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* C0, DEL and C1 (which are two bytes in UTF-8, and move a terminal's cursor as well as the short
 * ones). */
static bool is_control(const unsigned char *p, size_t len)
{
    return p[0] < 0x20 || p[0] == 0x7f || (len == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

static void add_escape(struct line *l, const unsigned char *p, size_t len)
{
    static const char named[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const char *at = len == 1 ? strchr(named, p[0]) : NULL;
    char text[8];

    if (at && p[0])
        snprintf(text, sizeof text, "\\%c", letters[at - named]);
    else if (out.json)
        snprintf(text, sizeof text, "\\u%04x", len == 2 ? p[1] : len ? p[0] : 0xfffd);
    else
        snprintf(text, sizeof text, "\\x%02x", len == 2 ? p[1] : p[0]);
    adds(l, text);
}

/* Escaped as both forms want it; no quotes around. A byte that is no UTF-8 is \xNN, in JSON
 * U+FFFD. */
static void add_escaped(struct line *l, const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;

    while (n) {
        size_t len = utf8_len(p, n);

        if (len == 0 || is_control(p, len) || *p == '"' || *p == '\\')
            add_escape(l, p, len);
        else
            add(l, (const char *)p, len);
        p += HG_MAX(len, 1u);
        n -= HG_MAX(len, 1u);
    }
}

static void add_quoted(struct line *l, const char *s, size_t n)
{
    adds(l, "\"");
    add_escaped(l, s, n);
    adds(l, "\"");
}

/* ---- pairs ---- */

struct pair {
    char key[MAX_KEY];
    size_t key_n;
    char value[MAX_VALUE + 4];
    size_t value_n;
    bool has_value; /* a "=" was seen; else key is empty and value a word of the text */
    bool quoted;    /* by fmt */
    bool cut;
    bool from_text; /* an argument of text is in it: never a JSON number */
};

static void pair_add(struct pair *p, const char *s, size_t n)
{
    if (n > MAX_VALUE - p->value_n) {
        n = MAX_VALUE - p->value_n;
        p->cut = true;
    }
    memcpy(p->value + p->value_n, s, n);
    p->value_n += n;
}

/* A "=" of fmt: what came so far was the key. */
static void pair_split(struct pair *p)
{
    p->key_n = HG_MIN(p->value_n, sizeof p->key);
    memcpy(p->key, p->value, p->key_n);
    p->value_n = 0;
    p->has_value = true;
    p->from_text = false;
}

static bool needs_quotes(const struct pair *p)
{
    if (p->value_n == 0)
        return true;
    for (size_t i = 0; i < p->value_n; i++)
        if ((unsigned char)p->value[i] <= ' ' || strchr("\"\\=", p->value[i]) ||
            p->value[i] == 0x7f)
            return true;
    return false;
}

/* A number by the grammar of JSON (RFC 8259 6), without exponent. */
static bool is_json_number(const char *s, size_t n)
{
    size_t i = n && s[0] == '-', digits = i;

    while (i < n && s[i] >= '0' && s[i] <= '9')
        i++;
    if (i == digits || (s[digits] == '0' && i > digits + 1))
        return false;
    if (i == n)
        return true;
    if (s[i++] != '.')
        return false;
    digits = i;
    while (i < n && s[i] >= '0' && s[i] <= '9')
        i++;
    return i == n && i > digits;
}

/* Text that fmt wrote without a key, for the "msg" of the JSON form. */
struct words {
    char p[MAX_VALUE];
    size_t n;
};

static void words_add(struct words *w, const struct pair *p)
{
    if (w->n && w->n < sizeof w->p)
        w->p[w->n++] = ' ';
    size_t n = HG_MIN(p->value_n, sizeof w->p - w->n);
    memcpy(w->p + w->n, p->value, n);
    w->n += n;
}

static void emit_text(struct line *l, const struct pair *p)
{
    adds(l, " ");
    if (p->has_value) {
        add_escaped(l, p->key, p->key_n);
        adds(l, "=");
    }
    if (p->quoted || (p->has_value && needs_quotes(p)))
        add_quoted(l, p->value, p->value_n);
    else
        add_escaped(l, p->value, p->value_n);
}

static void emit_json(struct line *l, const struct pair *p)
{
    adds(l, ",");
    add_quoted(l, p->key, p->key_n);
    adds(l, ":");
    if (!p->quoted && !p->from_text && is_json_number(p->value, p->value_n))
        add(l, p->value, p->value_n);
    else
        add_quoted(l, p->value, p->value_n);
}

/* Ends a pair; one that no longer fits leaves no half behind. */
static void pair_end(struct line *l, struct words *w, struct pair *p)
{
    size_t before = l->n;

    if (!p->has_value && p->value_n == 0 && !p->quoted)
        return;
    if (p->cut)
        memcpy(p->value + p->value_n, "...", 3), p->value_n += 3;
    if (!out.json)
        emit_text(l, p);
    else if (p->has_value)
        emit_json(l, p);
    else
        words_add(w, p);
    if (l->full)
        l->n = before;
    *p = (struct pair){0};
}

/* ---- fmt and arguments ---- */

/* One conversion: its text ("%5.2f"), width class and letter. */
struct conv {
    char spec[32];
    size_t n;
    int longs; /* 0 int, 1 long, 2 long long, 3 size_t/ptrdiff_t, 4 intmax_t; short and char are
                  ints here */
    char letter;
    int star[2], nstar;
};

/* fmt stands after '%'. Returns where the conversion ends; letter 0: not one of ours (the compiler
 * checked the rest). */
static const char *read_conv(const char *fmt, struct conv *c)
{
    const char *p = fmt;

    *c = (struct conv){.spec = "%", .n = 1};
    for (; *p && strchr("0123456789.+- #*hlzjt", *p); p++) {
        c->nstar += *p == '*';
        c->longs = *p == 'l' ? c->longs + 1 : *p == 'z' || *p == 't' ? 3 : *p == 'j' ? 4 : c->longs;
        HG_BUG_ON(c->n >= sizeof c->spec - 2);
        c->spec[c->n++] = *p;
    }
    HG_BUG_ON(*p == '\0' || !strchr("diuxXocspfgeE", *p) || c->nstar > 2);
    c->letter = *p;
    c->spec[c->n++] = *p++;
    c->spec[c->n] = '\0';
    return p;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
/* The stars were taken from the arguments already. */
#define PRINT(value)                                                                               \
    (c->nstar == 0   ? snprintf(text, size, c->spec, value)                                        \
     : c->nstar == 1 ? snprintf(text, size, c->spec, c->star[0], value)                            \
                     : snprintf(text, size, c->spec, c->star[0], c->star[1], value))

static int print_integer(const struct conv *c, char *text, size_t size, va_list *ap)
{
    if (c->longs == 0)
        return PRINT(va_arg(*ap, int));
    if (c->longs == 1)
        return PRINT(va_arg(*ap, long));
    if (c->longs == 2)
        return PRINT(va_arg(*ap, long long));
    return c->longs == 3 ? PRINT(va_arg(*ap, size_t)) : PRINT(va_arg(*ap, intmax_t));
}

static int print_conv(struct conv *c, char *text, size_t size, va_list *ap)
{
    for (int i = 0; i < c->nstar; i++)
        c->star[i] = va_arg(*ap, int);
    if (c->letter == 's') {
        const char *s = va_arg(*ap, const char *);

        return PRINT(s ? s : "-");
    }
    if (c->letter == 'p')
        return PRINT(va_arg(*ap, void *));
    if (strchr("fgeE", c->letter))
        return PRINT(va_arg(*ap, double));
    return print_integer(c, text, size, ap);
}
#pragma GCC diagnostic pop

/* An argument: data, whatever it looks like. */
static const char *take_argument(const char *fmt, struct pair *p, va_list *ap)
{
    char text[MAX_VALUE + 2];
    struct conv c;
    const char *end = read_conv(fmt, &c);
    int n = print_conv(&c, text, sizeof text, ap);

    if (n > 0)
        pair_add(p, text, HG_MIN((size_t)n, sizeof text - 1));
    if (strchr("sc", c.letter))
        p->from_text = true;
    return end;
}

static void expand(struct line *l, struct words *w, const char *fmt, va_list *ap)
{
    struct pair p = {0};
    bool inside = false; /* double quotes of fmt */

    while (*fmt) {
        char ch = *fmt++;

        if (ch == '%' && *fmt != '%') {
            fmt = take_argument(fmt, &p, ap);
            continue;
        }
        fmt += ch == '%';
        if (ch == '"') {
            inside = !inside;
            p.quoted = true;
        } else if (ch == ' ' && !inside) {
            pair_end(l, w, &p);
        } else if (ch == '=' && !inside && !p.has_value) {
            pair_split(&p);
        } else {
            pair_add(&p, &ch, 1);
        }
    }
    pair_end(l, w, &p);
}

/* ---- head, tail, write ---- */

static void add_time(struct line *l)
{
    int64_t ms = hg_wall_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char text[64];

    gmtime_r(&s, &tm);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
    adds(l, text);
}

static void json_field(struct line *l, const char *key, const char *value)
{
    adds(l, ",\"");
    adds(l, key);
    adds(l, "\":");
    add_quoted(l, value, strnlen(value, MAX_VALUE));
}

static void head(struct line *l, enum hg_log_level lv, const char *obj, const char *tag)
{
    if (out.json) {
        adds(l, "{\"ts\":\"");
        add_time(l);
        adds(l, "\"");
        json_field(l, "level", level_names[lv]);
        json_field(l, "proc", out.process);
        if (obj)
            json_field(l, "obj", obj);
        json_field(l, "event", tag);
        return;
    }
    add_time(l);
    adds(l, " ");
    adds(l, level_names[lv]);
    adds(l, " ");
    adds(l, out.process);
    adds(l, " ");
    if (obj) {
        add_escaped(l, obj, strnlen(obj, MAX_VALUE));
        adds(l, " ");
    }
    adds(l, tag);
}

static void put(struct line *l, const struct words *w)
{
    ssize_t n;

    if (out.json && w->n) {
        size_t before = l->n;

        adds(l, ",\"msg\":");
        add_quoted(l, w->p, w->n);
        if (l->full)
            l->n = before;
    }
    /* p has room behind MAX_LINE for the end. */
    l->n += (size_t)snprintf(l->p + l->n, sizeof l->p - l->n, "%s%s",
                             !l->full   ? ""
                             : out.json ? ",\"truncated\":true"
                                        : " truncated=1",
                             out.json ? "}\n" : "\n");
    do
        n = write(out.fd, l->p, l->n);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        out.lost++;
}

static void vlog(enum hg_log_level lv, const char *obj, const char *tag, const char *fmt,
                 va_list *ap)
{
    struct line l = {.n = 0};
    struct words w = {.n = 0};
    int saved = errno;

    head(&l, lv, obj, tag);
    expand(&l, &w, fmt, ap);
    put(&l, &w);
    errno = saved;
}

static void say_lost(void)
{
    uint64_t n = out.lost;

    out.lost = 0;
    hg_log_write(HG_LOG_WARN, NULL, "log.lost", "lines=%llu", (unsigned long long)n);
    out.lost += out.lost ? n : 0; /* this one was not taken either */
}

void hg_log_write(enum hg_log_level lv, const char *obj, const char *tag, const char *fmt, ...)
{
    va_list ap;

    if (HG_UNLIKELY(out.lost) && strcmp(tag, "log.lost") != 0)
        say_lost();
    va_start(ap, fmt);
    vlog(lv, obj, tag, fmt, &ap);
    va_end(ap);
}

/* ---- limit per tag ---- */

static struct limit {
    const char *tag; /* a constant of the caller's */
    enum hg_log_level level;
    struct hg_mono start;
    uint32_t count; /* in this window, those not written included */
} limits[LIMIT_TAGS];

static void say_suppressed(struct limit *x)
{
    if (x->count > LIMIT_COUNT)
        hg_log_write(x->level, NULL, x->tag, "suppressed=%u", x->count - LIMIT_COUNT);
    x->count = 0;
}

/* The tag's row, a free one, or the one whose window began first. */
static struct limit *limit_of(const char *tag)
{
    struct limit *oldest = &limits[0];

    for (size_t i = 0; i < LIMIT_TAGS; i++) {
        struct limit *x = &limits[i];

        if (x->tag && strcmp(x->tag, tag) == 0)
            return x;
        if (!x->tag || (oldest->tag && x->start.us < oldest->start.us))
            oldest = x;
        if (!x->tag)
            break;
    }
    if (oldest->tag)
        say_suppressed(oldest);
    *oldest = (struct limit){.tag = tag};
    return oldest;
}

void hg_log_limited_write(enum hg_log_level lv, const char *obj, const char *tag, const char *fmt,
                          ...)
{
    struct limit *x = limit_of(tag);
    struct hg_mono now = hg_mono_read();
    va_list ap;

    if (x->count == 0 || hg_mono_sub(now, x->start) >= LIMIT_WINDOW) {
        say_suppressed(x);
        x->start = now;
    }
    x->level = lv;
    if (++x->count > LIMIT_COUNT)
        return;
    va_start(ap, fmt);
    vlog(lv, obj, tag, fmt, &ap);
    va_end(ap);
}

void hg_log_tick(void)
{
    struct hg_mono now = hg_mono_read();

    for (size_t i = 0; i < LIMIT_TAGS; i++)
        if (limits[i].tag && hg_mono_sub(now, limits[i].start) >= LIMIT_WINDOW)
            say_suppressed(&limits[i]);
}
