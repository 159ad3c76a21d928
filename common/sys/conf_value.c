/* See conf_value.h. Types are rows of a table; what a type cannot say of an option (an address, a
 * list of words) is a check by name. */
#include "common/sys/conf_value.h"

#include <stddef.h>
#include <stdlib.h>
#include <strings.h>
#include "common/base/err.h"
#include "common/base/nearest.h"
#include "common/base/num.h"
#include "common/sys/conf_keys.h"
#include "common/sys/conf_text.h"
#include "common/sys/perm.h"
#include "common/sys/sock.h"

const struct hg_opt hg_opts[HG_OPT_COUNT] = {
#define HG_OPT(type, name, def, min, max, reload, sources, doc)                                    \
    {HG_OT_##type, #name, def,                                                                     \
     min,          max,   HG_OR_##reload,                                                          \
     sources,      doc,   offsetof(struct hg_conf, name)},
#include "common/sys/conf.def"
#undef HG_OPT
};

/* ---- finding ---- */

const struct hg_opt *hg_opt_find(struct hg_slice name)
{
    for (size_t i = 0; i < HG_OPT_COUNT; i++)
        if (hg_slice_is(name, hg_opts[i].name))
            return &hg_opts[i];
    return NULL;
}

const struct hg_opt *hg_opt_nearest(struct hg_slice name)
{
    struct hg_nearest near = hg_nearest(name);

    for (size_t i = 0; i < HG_OPT_COUNT; i++)
        hg_nearest_try(&near, hg_opts[i].name);
    return near.name ? hg_opt_find(hg_slice_str(near.name)) : NULL;
}

/* ---- types ---- */

static const char out_of_range[] = "out of range";

union value {
    char *text;
    int64_t number;
    bool yes;
    int index;
};

static void *field(const struct hg_conf *cf, const struct hg_opt *o)
{
    return (char *)(uintptr_t)cf + o->at;
}

/* The i-th word of "a|b|c"; false behind the last. */
static bool word_at(const char *words, int i, struct hg_slice *out)
{
    for (; *words; words += *words == '|') {
        size_t n = strcspn(words, "|");

        if (i-- == 0) {
            *out = hg_slice_of(words, n);
            return true;
        }
        words += n;
    }
    return false;
}

static int parse_text(const struct hg_opt *o, struct hg_slice s, union value *v, const char **why)
{
    (void)o;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) {
            *why = "control character";
            return -HG_E_CONF_VALUE;
        }
    v->text = hg_malloc(s.n + 1);
    if (s.n)
        memcpy(v->text, s.p, s.n);
    v->text[s.n] = '\0';
    return 0;
}

static int by_type(enum hg_opt_type type, struct hg_slice s, int64_t *out, const char **why)
{
    if (type == HG_OT_SIZE)
        return hg_num_size(s, out, why);
    return type == HG_OT_DUR ? hg_num_duration(s, out, why) : hg_num_i64(s, out, why);
}

static int parse_number(const struct hg_opt *o, struct hg_slice s, union value *v, const char **why)
{
    int64_t min, max;
    int rc = by_type(o->type, s, &v->number, why);

    if (rc < 0)
        return rc;
    HG_BUG_ON(by_type(o->type, hg_slice_str(o->min), &min, why) < 0);
    HG_BUG_ON(by_type(o->type, hg_slice_str(o->max), &max, why) < 0);
    if (v->number >= min && v->number <= max)
        return 0;
    *why = out_of_range;
    return -HG_E_CONF_VALUE;
}

static bool equals_any_case(struct hg_slice s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

static int parse_bool(const struct hg_opt *o, struct hg_slice s, union value *v, const char **why)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    (void)o;
    for (size_t i = 0; i < HG_COUNTOF(words); i++)
        if (equals_any_case(s, words[i])) {
            v->yes = i % 2;
            return 0;
        }
    *why = "neither yes nor no";
    return -HG_E_CONF_VALUE;
}

static int parse_enum(const struct hg_opt *o, struct hg_slice s, union value *v, const char **why)
{
    struct hg_slice word;

    for (int i = 0; word_at(o->min, i, &word); i++)
        if (s.n == word.n && strncasecmp(s.p, word.p, s.n) == 0) {
            v->index = i;
            return 0;
        }
    *why = "no such choice";
    return -HG_E_CONF_VALUE;
}

static void show_text(const struct hg_opt *o, const void *f, struct hg_buf *out)
{
    (void)o;
    hg_buf_adds(out, *(char *const *)f);
}

static void show_int(const struct hg_opt *o, const void *f, struct hg_buf *out)
{
    (void)o;
    hg_buf_addf(out, "%lld", (long long)*(const int64_t *)f);
}

struct unit {
    const char *name;
    int64_t factor;
};

/* In the largest unit that divides it. */
static void show_units(const struct unit *u, int64_t v, struct hg_buf *out)
{
    while (v % u->factor) /* the last factor is 1 */
        u++;
    hg_buf_addf(out, "%lld%s", (long long)(v / u->factor), v ? u->name : "");
}

static void show_size(const struct hg_opt *o, const void *f, struct hg_buf *out)
{
    static const struct unit units[] = {{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}};

    (void)o;
    show_units(units, *(const int64_t *)f, out);
}

static void show_duration(const struct hg_opt *o, const void *f, struct hg_buf *out)
{
    static const struct unit units[] = {{"d", 86400000000LL}, {"h", 3600000000LL}, {"m", 60000000},
                                        {"s", 1000000},       {"ms", 1000},        {"us", 1}};

    (void)o;
    show_units(units, *(const int64_t *)f, out);
}

static void show_bool(const struct hg_opt *o, const void *f, struct hg_buf *out)
{
    (void)o;
    hg_buf_adds(out, *(const bool *)f ? "yes" : "no");
}

static void show_enum(const struct hg_opt *o, const void *f, struct hg_buf *out)
{
    struct hg_slice word;

    HG_BUG_ON(!word_at(o->min, *(const int *)f, &word));
    hg_buf_add_slice(out, word);
}

static const struct {
    int (*parse)(const struct hg_opt *o, struct hg_slice s, union value *v, const char **why);
    void (*show)(const struct hg_opt *o, const void *field, struct hg_buf *out);
    size_t size;
    bool is_text;
} types[] = {
    [HG_OT_STR] = {parse_text, show_text, sizeof(char *), true},
    [HG_OT_LIST] = {parse_text, show_text, sizeof(char *), true},
    [HG_OT_SECRET] = {parse_text, show_text, sizeof(char *), true},
    [HG_OT_INT] = {parse_number, show_int, sizeof(int64_t), false},
    [HG_OT_SIZE] = {parse_number, show_size, sizeof(int64_t), false},
    [HG_OT_DUR] = {parse_number, show_duration, sizeof(int64_t), false},
    [HG_OT_BOOL] = {parse_bool, show_bool, sizeof(bool), false},
    [HG_OT_ENUM] = {parse_enum, show_enum, sizeof(int), false},
};

/* ---- checks by name: NULL, or what is wrong (a constant) ---- */

static bool all_of(struct hg_slice s, const char *accepted)
{
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(accepted, s.p[i]))
            return false;
    return true;
}

static bool is_word_of(const char *words, struct hg_slice s)
{
    struct hg_slice word;

    for (int i = 0; word_at(words, i, &word); i++)
        if (hg_slice_eq(word, s))
            return true;
    return false;
}

static const char *check_ip(struct hg_slice s)
{
    struct hg_addr a;

    return hg_addr_parse(s, 0, &a) < 0 ? "not a numeric IPv4 or IPv6 address" : NULL;
}

static const char *check_admin(struct hg_slice s)
{
    const char *why = NULL;
    struct hg_addr a;

    if (s.n && hg_addr_parse_port(s, &a, &why) < 0)
        return why;
    return NULL;
}

static const char *check_networks(struct hg_slice s)
{
    struct hg_slice bad;

    return hg_cidr_list_check(s, &bad) < 0
               ? "not a list of addresses and networks (10.0.0.0/8, ::1)"
               : NULL;
}

static const char *check_tenant(struct hg_slice s)
{
    if (s.n == 0)
        return "empty";
    return memchr(s.p, '|', s.n) ? "a tenant's name has no \"|\"" : NULL;
}

static const char which_permissions[] = "permissions are"
#define HG_PERM(name, word, doc) " " #word
#include "common/sys/perm.def"
#undef HG_PERM
    ;

static const char *check_permissions(struct hg_slice s)
{
    struct hg_slice item;

    while (hg_conf_list_next(&s, &item))
        if (!hg_perm_find(item))
            return which_permissions;
    return NULL;
}

static const char *check_cookie(struct hg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr(" \t\"(),/:;<=>?@[\\]{}", s.p[i])) /* RFC 6265 4.1.1 */
            return "not a cookie's name";
    return NULL;
}

static const char *check_path(struct hg_slice s)
{
    return s.n == 0 || s.p[0] == '/' ? NULL : "a path begins with /";
}

static const char *check_profile_paths(struct hg_slice s)
{
    struct hg_slice item;

    while (hg_conf_list_next(&s, &item)) {
        const char *eq = memrchr(item.p, '=', item.n);

        if (item.p[0] != '/' || !eq ||
            !is_word_of("auto|v1|v2|v3", hg_slice_of(eq + 1, (size_t)(item.p + item.n - eq - 1))))
            return "items are /prefix=auto, =v1, =v2 or =v3";
    }
    return NULL;
}

static const char *check_brokers(struct hg_slice s)
{
    struct hg_slice item, host;
    unsigned n = 0;
    uint16_t port;

    for (; hg_conf_list_next(&s, &item); n++)
        if (memchr(item.p, ':', item.n) && hg_host_port_split(item, &host, &port) < 0)
            return "items are host or host:port";
    return n ? NULL : "empty";
}

/* Part of s up to sep; s keeps what is behind it, or becomes absent. */
static struct hg_slice take_part(struct hg_slice *s, char sep)
{
    const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
    struct hg_slice part = at ? hg_slice_of(s->p, (size_t)(at - s->p)) : *s;

    *s = at ? hg_slice_of(at + 1, s->n - part.n - 1) : HG_SLICE_NONE;
    return part;
}

#define TOPIC_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static bool is_topic(struct hg_slice s)
{
    return s.n > 0 && s.n <= 249 && all_of(s, TOPIC_CHARS);
}

static const char *check_topics(struct hg_slice s)
{
    struct hg_slice item, name, kind;
    unsigned n = 0;

    for (; hg_conf_list_next(&s, &item); n++) {
        name = take_part(&item, ':');
        kind = take_part(&item, ':');
        if (!is_topic(name) || (kind.p && !is_word_of("diff|bare|routed|row|envelope", kind)) ||
            (item.p && !is_word_of("header|offset", item)))
            return "items are name, name:diff, name:bare, name:routed, name:row or name:envelope, "
                   "and :header or "
                   ":offset behind it";
    }
    return n > 16 ? "more than 16 topics" : n ? NULL : "empty";
}

static const char *check_topic(struct hg_slice s)
{
    return is_topic(s) ? NULL : "not a topic name";
}

static const char *check_topic_or_empty(struct hg_slice s)
{
    return s.n ? check_topic(s) : NULL;
}

static const char *check_properties(struct hg_slice s)
{
    struct hg_slice item;

    while (hg_conf_list_next(&s, &item))
        if (!memchr(item.p, '=', item.n) || item.p[0] == '=')
            return "items are name=value";
    return NULL;
}

static const char *check_backplane(struct hg_slice s)
{
    if (s.n == 0 || is_word_of(HG_HAVE_NATS ? "redis|nats" : "redis", s))
        return NULL;
    return HG_HAVE_NATS ? "redis, nats or empty" : "redis or empty (this build has no NATS)";
}

static const char *check_backplane_url(struct hg_slice s)
{
    static const char redis[] = "redis://", nats[] = "nats://";

    if (s.n == 0 || (s.n > sizeof redis - 1 && memcmp(s.p, redis, sizeof redis - 1) == 0) ||
        (s.n > sizeof nats - 1 && memcmp(s.p, nats, sizeof nats - 1) == 0))
        return NULL;
    return "not redis://host:port or nats://host:port";
}

static const char *check_registry_url(struct hg_slice s)
{
    static const char redis[] = "redis://";

    return s.n == 0 || (s.n > sizeof redis - 1 && memcmp(s.p, redis, sizeof redis - 1) == 0)
               ? NULL
               : "not redis://host:port";
}

static const char *check_instance(struct hg_slice s)
{
    return s.n == 0 || (s.n == 16 && all_of(s, "0123456789abcdef")) ? NULL : "not 16 hex digits";
}

static const struct {
    size_t at;
    const char *(*fn)(struct hg_slice);
} checks[] = {
#define CHECK(name, fn)                                                                            \
    {                                                                                              \
        offsetof(struct hg_conf, name), fn                                                         \
    }
    CHECK(listen, check_ip),
    CHECK(admin_listen, check_admin),
    CHECK(trusted_proxies, check_networks),
    CHECK(jwt_keys, hg_conf_jwt_keys_check),
    CHECK(jwt_cookie, check_cookie),
    CHECK(default_tenant, check_tenant),
    CHECK(default_permissions, check_permissions),
    CHECK(echo_path, check_path),
    CHECK(profile_paths, check_profile_paths),
    CHECK(kafka_brokers, check_brokers),
    CHECK(kafka_topics, check_topics),
    CHECK(kafka_properties, check_properties),
    CHECK(sql_rpc_request_topic, check_topic),
    CHECK(sql_rpc_reply_topic, check_topic_or_empty),
    CHECK(page_seed_topic, check_topic_or_empty),
    CHECK(query_control_topic, check_topic_or_empty),
    CHECK(backplane, check_backplane),
    CHECK(backplane_url, check_backplane_url),
    CHECK(registry_url, check_registry_url),
    CHECK(instance_id, check_instance),
#undef CHECK
};

static const char *check(const struct hg_opt *o, struct hg_slice text)
{
    for (size_t i = 0; i < HG_COUNTOF(checks); i++)
        if (checks[i].at == o->at)
            return checks[i].fn(text);
    return NULL;
}

/* ---- by row ---- */

int hg_opt_set(struct hg_conf *cf, const struct hg_opt *o, struct hg_slice text, const char **why)
{
    union value v;
    int rc;

    *why = check(o, text);
    if (*why)
        return -HG_E_CONF_VALUE;
    rc = types[o->type].parse(o, text, &v, why);
    if (rc < 0)
        return rc;
    hg_opt_free(cf, o);
    memcpy(field(cf, o), &v, types[o->type].size);
    return 0;
}

void hg_opt_text(const struct hg_conf *cf, const struct hg_opt *o, struct hg_buf *out)
{
    types[o->type].show(o, field(cf, o), out);
}

void hg_opt_range(const struct hg_opt *o, struct hg_buf *out)
{
    if (o->type == HG_OT_BOOL)
        hg_buf_adds(out, "yes or no");
    else if (o->type == HG_OT_ENUM)
        hg_buf_adds(out, o->min);
    else if (o->min[0])
        hg_buf_addf(out, "%s to %s", o->min, o->max);
}

bool hg_opt_same(const struct hg_conf *a, const struct hg_conf *b, const struct hg_opt *o)
{
    if (types[o->type].is_text)
        return strcmp(*(char **)field(a, o), *(char **)field(b, o)) == 0;
    return memcmp(field(a, o), field(b, o), types[o->type].size) == 0;
}

void hg_opt_free(struct hg_conf *cf, const struct hg_opt *o)
{
    char **p = field(cf, o);

    if (!types[o->type].is_text)
        return;
    free(*p);
    *p = NULL;
}
