/*
 * Loading the configuration: precedence over every option and every pair of places, the sources'
 * names and units, errors that name value, range and place, defaults that follow, prints that can
 * be read back, reload.
 */
#include "tests/support/hgtest.h"
#include "common/base/err.h"
#include "common/sys/conf_value.h"

/* ---- a load made of texts ---- */

static char dir[64];

struct given {
    const char *file, *dotenv;
    char *env[16], *argv[8];
};

static const char *put_file(const char *name, const char *text, char path[128])
{
    FILE *f;

    snprintf(path, 128, "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    return path;
}

static int load(const struct given *g, struct hg_conf **cf, struct hg_buf *report)
{
    char file[128], dotenv[128];
    struct hg_conf_in in = {
        .file = put_file("headgate.conf", g->file ? g->file : "", file),
        .dotenv = put_file("env", g->dotenv ? g->dotenv : "", dotenv),
        .env = (char **)(uintptr_t)g->env,
        .argv = (char **)(uintptr_t)g->argv,
    };

    while (in.argv[in.argc])
        in.argc++;
    hg_buf_reset(report);
    *cf = NULL;
    return hg_conf_load(&in, cf, report);
}

static struct hg_conf *good(const struct given *g)
{
    struct hg_buf report = {0};
    struct hg_conf *cf;

    if (load(g, &cf, &report) < 0)
        fail_msg("%s", hg_test_text(&report));
    hg_buf_fini(&report);
    return cf;
}

/* Loads, expects this error and a report that holds this text; NULL ends the texts. */
static void bad(const struct given *g, int want, const char *text)
{
    struct hg_buf report = {0};
    struct hg_conf *cf;
    int rc = load(g, &cf, &report);

    if (rc != want)
        fail_msg("rc %d: %s", rc, hg_test_text(&report));
    assert_null(cf);
    hg_test_has(&report, text);
    hg_buf_fini(&report);
}

static void warned(const struct given *g, const char *text)
{
    struct hg_buf report = {0};
    struct hg_conf *cf;

    if (load(g, &cf, &report) < 0)
        fail_msg("%s", hg_test_text(&report));
    if (text)
        hg_test_has(&report, text);
    else
        assert_int_equal(report.n, 0);
    hg_conf_free(cf);
    hg_buf_fini(&report);
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/hg_conf_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"headgate.conf", "env", "secret", "example", "one", "two"};
    char path[128];

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

/* ---- precedence ---- */

/* Values for the places, weakest first, each as an option prints it. Enums and switches have only
 * so many. */
enum { PLACES = 7 };
enum place { FROM_FILE, SOURCE_DOTENV, SOURCE_ENV, OWN_DOTENV, OWN_ENV, OWN_ENV_AS_FILE, FLAG };

static const struct {
    const char *name;
    const char *fmt; /* %d is 1..7 */
} samples[] = {
    {"listen", "127.0.0.%d"},
    {"admin_listen", "127.0.0.1:900%d"},
    {"trusted_proxies", "10.%d.0.0/16"},
    {"default_tenant", "t%d"},
    {"echo_path", "/e%d"},
    {"profile_paths", "/p%d=v1"},
    {"kafka_brokers", "k%d:9092"},
    {"kafka_topics", "t%d:diff"},
    {"kafka_properties", "a=%d"},
    {"jwt_keys", "k%d=ES256:/k"},
    {"instance_id", "000000000000000%d"},
    {"backplane_url", "redis://h%d:1"},
    {"registry_url", "redis://h%d:1"},
};
static const char *const permissions[] = {"join",         "publish",          "publish_all",
                                          "join,publish", "join,publish_all", "publish,publish_all",
                                          "join,join"};

static void sample(const struct hg_opt *o, enum place p, char out[64])
{
    int k = (int)p + 1;
    struct hg_conf *cf = hg_conf_defaults();
    struct hg_buf b = {0};
    const char *why;
    int words = 1;

    for (size_t i = 0; i < HG_COUNTOF(samples); i++)
        if (strcmp(samples[i].name, o->name) == 0) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(out, 64, samples[i].fmt, k);
#pragma GCC diagnostic pop
            goto done;
        }
    if (strcmp(o->name, "default_permissions") == 0) {
        strcpy(out, permissions[p]);
    } else if (strcmp(o->name, "auth") == 0) { /* jwt wants keys */
        strcpy(out, p % 2 ? "trust" : "headers");
    } else if (strcmp(o->name, "backplane") == 0) {
        strcpy(out, p % 2 ? "" : "redis");
    } else if (o->type == HG_OT_BOOL) {
        strcpy(out, p % 2 ? "yes" : "no");
    } else if (o->type == HG_OT_ENUM) {
        for (const char *c = o->min; *c; c++)
            words += *c == '|';
        const char *w = o->min;
        for (int i = k % words; i > 0; i--)
            w = strchr(w, '|') + 1;
        snprintf(out, 64, "%.*s", (int)strcspn(w, "|"), w);
    } else if (o->min[0]) { /* numbers: the least and a few above it */
        assert_int_equal(hg_opt_set(cf, o, hg_slice_str(o->min), &why), 0);
        int64_t v;
        memcpy(&v, (char *)cf + o->at, sizeof v);
        v += k;
        snprintf(out, 64, "%lld%s", (long long)v, o->type == HG_OT_DUR ? "us" : "");
        if (hg_opt_set(cf, o, hg_slice_str(out), &why) < 0)
            fail_msg("%s: %s: %s", o->name, out, why);
        hg_opt_text(cf, o, &b);
        snprintf(out, 64, "%s", hg_test_text(&b));
    } else {
        snprintf(out, 64, "value%d", k);
    }
done:
    hg_buf_fini(&b);
    hg_conf_free(cf);
}

static void upper(char *s)
{
    for (; *s; s++)
        *s = *s >= 'a' && *s <= 'z' ? (char)(*s - 32) : *s;
}

struct made {
    char file[160], dotenv[320], env[8][256], flag[160], secret[160];
};

/* The source's spelling of a value of ours. */
static void as_source(const char *source, const char *value, char out[64])
{
    if (strcmp(source, "TINA4_WS_IDLE_TIMEOUT") == 0) /* "3us" is so many seconds */
        snprintf(out, 64, "%.6f", strtod(value, NULL) / 1e6);
    else
        snprintf(out, 64, "%s", value[0] ? value : "none-of-them"); /* an empty variable is none */
}

static void place_value(const struct hg_opt *o, enum place p, const char *source, struct given *g,
                        struct made *m)
{
    char v[64], sv[64], own[64];
    size_t e = 0;

    while (g->env[e])
        e++;
    sample(o, p, v);
    as_source(source, v, sv);
    snprintf(own, sizeof own, "HEADGATE_%s", o->name);
    upper(own);
    switch (p) {
    case FROM_FILE:
        snprintf(m->file, sizeof m->file, "# x\n%s = \"%s\"\n", o->name, v);
        g->file = m->file;
        break;
    case SOURCE_DOTENV:
        snprintf(m->dotenv, sizeof m->dotenv, "%s=%s\n", source, sv);
        break;
    case SOURCE_ENV:
        snprintf(m->env[e], sizeof m->env[e], "%s=%s", source, sv);
        g->env[e] = m->env[e];
        break;
    case OWN_DOTENV:
        snprintf(m->dotenv + strlen(m->dotenv), sizeof m->dotenv - strlen(m->dotenv), "%s=%s\n",
                 own, v);
        break;
    case OWN_ENV:
        snprintf(m->env[e], sizeof m->env[e], "%s=%s", own, v);
        g->env[e] = m->env[e];
        break;
    case OWN_ENV_AS_FILE:
        put_file("secret", v, m->secret);
        snprintf(m->env[e], sizeof m->env[e], "%s_FILE=%s", own, m->secret);
        g->env[e] = m->env[e];
        break;
    case FLAG:
        snprintf(m->flag, sizeof m->flag, "--%s=%s", o->name, v);
        for (char *c = m->flag + 2; *c != '='; c++)
            *c = *c == '_' ? '-' : *c;
        g->argv[0] = m->flag;
        break;
    }
    g->dotenv = m->dotenv;
}

static const char *const origins[PLACES] = {
    "/headgate.conf:2",      "/env:1 ", "environment ", "/env:",
    "environment HEADGATE_", "_FILE",   "flag --"};

/* The highest place of a set must win, with its origin. */
static void check_places(const struct hg_opt *o, unsigned set, const char *source)
{
    struct given g = {0};
    struct made m = {0};
    struct hg_buf value = {0}, report = {0};
    const char *origin;
    struct hg_conf *cf;
    enum place top = FROM_FILE;
    char want[64];

    for (int p = 0; p < PLACES; p++)
        if (set & 1u << p) {
            place_value(o, (enum place)p, source, &g, &m);
            top = (enum place)p;
        }
    if (load(&g, &cf, &report) < 0)
        fail_msg("%s, set %x: %s", o->name, set, hg_test_text(&report));
    assert_true(hg_conf_get(cf, hg_slice_str(o->name), &value, &origin));
    sample(o, top, want);
    if (strcmp(hg_test_text(&value), want) != 0 || !strstr(origin, origins[top]))
        fail_msg("%s, set %x: \"%s\" from %s, expected \"%s\"", o->name, set, hg_test_text(&value),
                 origin, want);
    hg_conf_free(cf);
    hg_buf_fini(&value);
    hg_buf_fini(&report);
}

static void the_stronger_place_wins_for_every_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        const struct hg_opt *o = &hg_opts[i];
        char first[64] = "";

        snprintf(first, sizeof first, "%.*s", (int)strcspn(o->sources, ","), o->sources);
        for (int a = 0; a < PLACES; a++)
            for (int b = a; b < PLACES; b++) {
                unsigned set = 1u << a | 1u << b, sources = 1u << SOURCE_DOTENV | 1u << SOURCE_ENV;

                if ((set & sources) && !first[0])
                    continue;
                if ((set & 1u << OWN_ENV) && (set & 1u << OWN_ENV_AS_FILE))
                    continue; /* an error, below */
                check_places(o, set, first);
            }
    }
}

static void of_several_source_names_the_first_counts(void **state)
{
    struct hg_conf *cf;

    (void)state;
    cf = good(&(struct given){.env = {"TINA4_WS_PORT=1111", "WS_PORT=2222"}});
    assert_int_equal(cf->port, 2222);
    hg_conf_free(cf);
    cf = good(&(struct given){.env = {"TINA4_WS_PORT=1111"}, .dotenv = "WS_PORT=2222"});
    assert_int_equal(cf->port, 2222); /* as after dotenv has filled the environment */
    hg_conf_free(cf);
    cf = good(&(struct given){.env = {"TINA4_WS_PORT=1111", "WS_PORT="}});
    assert_int_equal(cf->port, 1111); /* empty is none */
    hg_conf_free(cf);
    cf = good(&(struct given){
        .env = {"WS_PORT=1111"}, .dotenv = "HEADGATE_PORT=2222", .file = "port=3333"});
    assert_int_equal(cf->port, 2222);
    hg_conf_free(cf);
}

/* ---- the sources' own units and customs ---- */

static void sources_keep_their_units(void **state)
{
    static const struct {
        const char *env, *option, *value, *warning;
    } rows[] = {
        {"TINA4_WS_IDLE_TIMEOUT=90", "idle_timeout", "90s", NULL},
        {"TINA4_WS_IDLE_TIMEOUT= 26.5 ", "idle_timeout", "26500ms", NULL},
        {"TINA4_WS_IDLE_TIMEOUT=30s", "idle_timeout", "30s", NULL}, /* parseFloat */
        {"TINA4_WS_IDLE_TIMEOUT=0", "idle_timeout", "0", NULL},
        {"TINA4_WS_IDLE_TIMEOUT=-5", "idle_timeout", "0", NULL},
        {"TINA4_WS_IDLE_TIMEOUT=never", "idle_timeout", "0", "not a number"},
        {"TINA4_WS_IDLE_TIMEOUT=100000", "idle_timeout", "1d", "its largest"},
        {"TINA4_WS_MAX_BACKLOG=2097152", "out_hard", "2m", NULL},
        {"TINA4_WS_MAX_BACKLOG=0", "out_hard", "1g", "no limit there"},
        {"TINA4_WS_MAX_BACKLOG=-1", "out_hard", "1g", "no limit there"},
        {"TINA4_WS_MAX_BACKLOG=x", "out_hard", "1g", "no limit there"},
        {"TINA4_WS_MAX_BACKLOG=1000", "out_hard", "16k", "its smallest"},
        {"TINA4_WS_MAX_BACKLOG=9000000000", "out_hard", "1g", "its largest"},
        {"TINA4_WS_BACKPLANE=redis", "backplane", "redis", NULL},
        {"TINA4_WS_BACKPLANE=Redis", "backplane", "redis", NULL},
#if HG_HAVE_NATS
        {"TINA4_WS_BACKPLANE=NATS", "backplane", "nats", NULL},
#else
        {"TINA4_WS_BACKPLANE=nats", "backplane", "", "no NATS carrier: local only"},
#endif
        {"TINA4_WS_BACKPLANE=rabbit", "backplane", "", "\"rabbit\": unknown backplane: local only"},
        {"TINA4_WS_BACKPLANE_URL=redis://r:1/2", "backplane_url", "redis://r:1/2", NULL},
        {"TINA4_WS_BACKPLANE_URL=nats://r:1", "backplane_url", "nats://r:1", NULL},
        {"TINA4_WS_ALLOWED_ORIGINS= https://a , ,https://b,", "allowed_origins",
         "https://a , ,https://b,", NULL},
        {"KEYDB_PREFIX= my cache: ", "keydb_prefix", "mycache:", NULL},
        {"HOTCACHE_RETENTION_MS=0", "hotcache_retention_ms", "0", NULL},
        {"SLOW_SOCKET_PAUSE_THRESHOLD=100", "slow_socket_pause_threshold", "100", NULL},
        {"ROW_EVENT_SHAPE=both", "row_event_shape", "both", NULL},
        {"KAFKA_TOPICS=a , b:row", "kafka_topics", "a , b:row",
         "KAFKA_TOPICS: kafka_topics: a has no kind and is read as diffs"},
        {"KAFKA_TOPICS=server.cdc.filtered,server.page.diffs,server.row.events,a:bare",
         "kafka_topics", "server.cdc.filtered,server.page.diffs,server.row.events,a:bare", NULL},
        {"SQL_RPC_REPLY_TOPIC=", "sql_rpc_reply_topic", "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct given g = {.env = {(char *)(uintptr_t)rows[i].env}};
        struct hg_conf *cf = good(&g);
        struct hg_buf value = {0};
        const char *origin;

        assert_true(hg_conf_get(cf, hg_slice_str(rows[i].option), &value, &origin));
        if (strcmp(hg_test_text(&value), rows[i].value) != 0)
            fail_msg("%s: \"%s\"", rows[i].env, hg_test_text(&value));
        hg_buf_fini(&value);
        hg_conf_free(cf);
        warned(&g, rows[i].warning);
    }
}

static void defaults_follow_the_profile_unless_set(void **state)
{
    static const char v3_topics[] = "server.page.diffs,server.row.events";
    static const struct {
        const char *file;
        int64_t port;
        const char *topics;
    } rows[] = {
        {"", 7000, v3_topics},
        {"profile = auto", 7000, v3_topics},
        {"profile = v1", 8080, "server.cdc.filtered"},
        {"profile = v2", 7000, "server.cdc.filtered"},
        {"profile = v3", 7000, v3_topics},
        {"profile = v1\nport = 7000\nkafka_topics = a", 7000, "a"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++) {
        struct hg_conf *cf = good(&(struct given){.file = rows[i].file});

        assert_int_equal(cf->port, rows[i].port);
        assert_string_equal(cf->kafka_topics, rows[i].topics);
        hg_conf_free(cf);
    }
}

static void dev_changes_what_is_not_set(void **state)
{
    struct hg_conf *cf = good(&(struct given){.argv = {"--dev"}});

    (void)state;
    assert_true(cf->dev && cf->console);
    assert_string_equal(cf->default_permissions, "join,publish,publish_all");
    assert_int_equal(cf->kafka_fetch_wait, 10000);
    hg_conf_free(cf);
    cf = good(&(struct given){.argv = {"--dev", "--no-console", "--default-permissions", "join"}});
    assert_false(cf->console);
    assert_string_equal(cf->default_permissions, "join");
    hg_conf_free(cf);
}

/* ---- what is wrong is named ---- */

#define V (-HG_E_CONF_VALUE)
#define U (-HG_E_CONF_UNKNOWN)
#define F (-HG_E_CONF_FILE)

static void errors_name_value_range_and_place(void **state)
{
    static const struct {
        struct given g;
        int rc;
        const char *text;
    } rows[] = {
        {{.file = "\n# c\nout_soft = 4x\n"},
         V,
         "/headgate.conf:3: out_soft: bad value \"4x\": unknown unit (allowed: 4k to 1g)\n"},
        {{.file = "port = 65536"},
         V,
         "/headgate.conf:1: port: bad value \"65536\": out of range (allowed: 0 to 65535)\n"},
        {{.file = "ping_interval = 25"}, V, "bad value \"25\": unknown unit (allowed: 0 to 1h)\n"},
        {{.file = "log_level = loud"},
         V,
         "bad value \"loud\": no such choice (allowed: error|warn|info|debug)\n"},
        {{.file = "dev = maybe"},
         V,
         "bad value \"maybe\": neither yes nor no (allowed: yes or no)\n"},
        {{.file = "workers ="},
         V,
         ":1: workers: bad value \"\": not a number (allowed: 0 to 62)\n"},
        {{.env = {"HEADGATE_WORKERS=63"}},
         V,
         "error: environment HEADGATE_WORKERS: workers: bad value \"63\": out of range (allowed: 0 "
         "to 62)\n"},
        {{.env = {"WS_PORT=http"}},
         V,
         "error: environment WS_PORT: port: bad value \"http\": not a number"},
        {{.dotenv = "A=1\nHEADGATE_BACKLOG=0"},
         V,
         "/env:2 HEADGATE_BACKLOG: backlog: bad value \"0\": out of range (allowed: 1 to 65535)\n"},
        {{.argv = {"--workers", "x"}},
         V,
         "error: flag --workers: workers: bad value \"x\": not a number"},
        {{.argv = {"--workers"}}, V, "error: flag --workers: its value is missing\n"},
        {{.file = "listen = localhost"}, V, "not a numeric IPv4 or IPv6 address"},
        {{.file = "admin_listen = 7001"}, V, "not address:port"},
        {{.file = "trusted_proxies = 10.0.0.0/8, proxy"},
         V,
         "not a list of addresses and networks"},
        {{.file = "default_tenant = a|b"}, V, "a tenant's name has no"},
        {{.file = "default_tenant = a_b"}, V, "needs tenant_underscore = allow"},
        {{.file = "default_permissions = join,fly"}, V, "permissions are"},
        {{.file = "auth = jwt"}, V, "auth = jwt needs jwt_keys"},
        {{.file = "jwt_keys = ES256"}, V, "items are ALG:file"},
        {{.file = "jwt_keys = none:/k"}, V, "items are ALG:file"},
        {{.file = "jwt_keys = es256:/k"}, V, "items are ALG:file"},
        {{.file = "jwt_keys = =ES256:/k"}, V, "items are ALG:file"},
        {{.file = "jwt_keys = a=ES256:"}, V, "items are ALG:file"},
        {{.file =
              "jwt_keys = ES256:1,ES256:2,ES256:3,ES256:4,ES256:5,ES256:6,ES256:7,ES256:8,ES256:9,"
              "ES256:1,ES256:2,ES256:3,ES256:4,ES256:5,ES256:6,ES256:7,ES256:8"},
         V,
         "more than 16 keys"},
        {{.file = "auth = jwt\njwt_keys = ES256:/nonexistent"},
         F,
         ":2: jwt_keys: /nonexistent: No such file"},
        {{.file = "auth = jwt\njwt_keys = ES256:/dev/null\njwt_cookie = s"},
         V,
         "jwt_cookie needs allowed_origins"},
        {{.file = "jwt_cookie = a b"}, V, "not a cookie's name"},
        {{.file = "jwt_leeway = 11m"}, V, "out of range"},
        {{.file = "echo_path = echo"}, V, "begins with /"},
        {{.file = "profile_paths = /a=v4"}, V, "items are /prefix"},
        {{.file = "kafka_topics = a:diffs"}, V, "items are name"},
        {{.file = "kafka_topics = ,"}, V, "empty"},
        {{.file = "kafka_topics = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}, V, "more than 16"},
        {{.file = "kafka_properties = a=1,=2"}, V, "name=value"},
        {{.file = "backplane = pigeon"}, V, "or empty"},
        {{.file = "backplane_url = http://x"}, V, "not redis://"},
        {{.file = "registry_url = nats://x"}, V, "not redis://"},
        {{.file = "instance_id = xyz"}, V, "16 hex"},
        {{.file = "ring_size = 256k\nmax_record = 64k"},
         V,
         ":2: max_record: bad value 65536: above an eighth of ring_size (262144, "},
        {{.file = "out_hard = 64k\nout_soft = 128k"},
         V,
         ":2: out_soft: bad value 131072: above out_hard (65536, "},
        /* unknown */
        {{.file = "a = 1"}, U, ":1: unknown option \"a\"\n"},
        {{.file = "\nwokers = 3"}, U, ":2: unknown option \"wokers\"; did you mean workers?\n"},
        {{.file = "out-soft = 64k"}, U, "unknown option \"out-soft\"; did you mean out_soft?"},
        {{.argv = {"--wrokers=3"}}, U, "unknown flag \"--wrokers\"; did you mean --workers?"},
        {{.argv = {"--no-workers"}}, U, "unknown flag \"--no-workers\""},
        {{.argv = {"start"}}, U, "unexpected argument \"start\""},
        {{.argv = {"-v"}}, U, "unexpected argument \"-v\""},
        {{.argv = {"--"}}, U, "unexpected argument \"--\""},
        /* the file's form */
        {{.file = "workers 3"}, F, ":1: not \"key = value\""},
        {{.file = "[main]"}, F, ":1: not \"key = value\""},
        {{.file = "= 3"}, F, "no key before"},
        {{.file = "user = \"a"}, F, "quote without its end"},
        {{.file = "user = \"a\" b"}, F, "text behind the closing quote"},
        {{.file = "user = \"a\\n\""}, F, "unknown escape"},
        {{.file = "user = a\x01"}, F, "control character"},
        {{.file = "port = 1\nworkers = 2\nport = 3"}, F, ":3: port stands in line 1 already"},
        {{.env = {"HEADGATE_USER=a\nb"}}, V, "bad value \"a?b\": control character"},
        {{.env = {"HEADGATE_PORT=1", "HEADGATE_PORT_FILE=/x"}},
         V,
         "environment HEADGATE_PORT: HEADGATE_PORT_FILE is given too"},
        {{.env = {"HEADGATE_USER_FILE=/nonexistent"}},
         F,
         "environment HEADGATE_USER_FILE: user: /nonexistent: No such file"},
    };

    (void)state;
    for (size_t i = 0; i < HG_COUNTOF(rows); i++)
        bad(&rows[i].g, rows[i].rc, rows[i].text);
}

static void all_errors_are_reported_and_the_first_is_the_result(void **state)
{
    const struct given g = {.file = "nope = 1\nport = x\n", .argv = {"--fly"}};

    (void)state;
    bad(&g, U, ":1: unknown option");
    bad(&g, U, ":2: port");
    bad(&g, U, "--fly");
}

static void a_named_file_must_be_there(void **state)
{
    char *none[] = {NULL}, *config[] = {"HEADGATE_CONFIG=/nonexistent/b", NULL};
    struct hg_conf_in in = {.file = "/nonexistent/a", .dotenv = "/dev/null", .env = none};
    struct hg_buf report = {0};
    struct hg_conf *cf;

    (void)state;
    assert_int_equal(hg_conf_load(&in, &cf, &report), F);
    hg_test_has(&report, "error: /nonexistent/a: No such file");
    in.file = NULL;
    in.env = config;
    hg_buf_reset(&report);
    assert_int_equal(hg_conf_load(&in, &cf, &report), F);
    hg_test_has(&report, "error: /nonexistent/b: No such file");
    in.file = dir; /* a directory */
    hg_buf_reset(&report);
    assert_int_equal(hg_conf_load(&in, &cf, &report), F);
    in.file = "/dev/zero"; /* without end */
    hg_buf_reset(&report);
    assert_int_equal(hg_conf_load(&in, &cf, &report), F);
    hg_test_has(&report, "File too large");
    in.file = "/dev/null";
    in.dotenv = "/nonexistent/c";
    hg_buf_reset(&report);
    assert_int_equal(hg_conf_load(&in, &cf, &report), F);
    hg_buf_fini(&report);
}

static void warnings(void **state)
{
    (void)state;
    warned(
        &(struct given){.env = {"HEADGATE_WROKERS=2"}},
        "warning: environment HEADGATE_WROKERS: no such option; did you mean HEADGATE_WORKERS?\n");
    warned(&(struct given){.dotenv = "\nHEADGATE_ZZZZZZZZ=2"},
           "/env:2 HEADGATE_ZZZZZZZZ: no such option\n");
    warned(&(struct given){.env = {"HEADGATE_NOPE_FILE=2"}}, "HEADGATE_NOPE_FILE: no such option");
    warned(&(struct given){.argv = {"--auth=trust"}}, "warning: flag --auth: auth = trust");
    warned(&(struct given){.file = "tenant_underscore = allow"}, "tenant_underscore = allow: ");
    warned(&(struct given){.file = "idle_timeout = 20s"}, "clients that only listen are closed");
    warned(&(struct given){.file = "ping_interval = 0"}, "clients that only listen are closed");
    warned(&(struct given){.file = "ping_interval = 0\nidle_timeout = 0"}, NULL);
    warned(&(struct given){.env = {"PATH=/bin", "HOME=/", "HEADGATE"}}, NULL);
}

/* A pod beside a Service named headgate gets these, and they are no options. */
static void service_links_of_kubernetes_are_passed_over(void **state)
{
    const struct given g = {.env = {"HEADGATE_PORT=tcp://10.0.0.7:7000",
                                    "HEADGATE_SERVICE_HOST=10.0.0.7", "HEADGATE_SERVICE_PORT=7000",
                                    "HEADGATE_PORT_7000_TCP=tcp://10.0.0.7:7000",
                                    "HEADGATE_PORT_7000_TCP_PROTO=tcp"}};
    struct hg_conf *cf = good(&g);

    (void)state;
    assert_int_equal(cf->port, 7000);
    hg_conf_free(cf);
    warned(&g, NULL);
}

static void secrets_come_from_files_and_are_never_shown(void **state)
{
    char path[128], var[160], wrong[] = "HEADGATE_KEYDB_PASSWORD=hunter2\x01";
    struct hg_buf out = {0};
    struct hg_conf *cf;

    (void)state;
    put_file("secret", "hunter2 \r\n\n", path);
    snprintf(var, sizeof var, "HEADGATE_KEYDB_PASSWORD_FILE=%s", path);
    cf = good(&(struct given){.env = {var}});
    assert_string_equal(cf->keydb_password, "hunter2 ");
    hg_conf_print(cf, HG_CONF_EFFECTIVE, &out);
    hg_test_has(&out, "\nkeydb_password = *** ");
    hg_test_has_not(&out, "hunter2");
    hg_conf_free(cf);
    hg_buf_reset(&out);
    assert_int_equal(load(&(struct given){.env = {wrong}}, &cf, &out), V);
    hg_test_has(&out, "bad value \"***\"");
    hg_test_has_not(&out, "hunter2");
    hg_buf_fini(&out);
}

/* ---- prints ---- */

static void same_but_secrets(const struct hg_conf *a, const struct hg_conf *b)
{
    for (size_t i = 0; i < HG_OPT_COUNT; i++)
        if (hg_opts[i].type != HG_OT_SECRET && !hg_opt_same(a, b, &hg_opts[i]))
            fail_msg("%s differs", hg_opts[i].name);
}

static void the_example_is_the_defaults_commented_or_not(void **state)
{
    struct hg_conf *defaults = hg_conf_defaults(), *cf;
    struct hg_buf out = {0};
    char *text;
    size_t n = 0, options = 0;

    (void)state;
    hg_conf_print(NULL, HG_CONF_EXAMPLE, &out);
    cf = good(&(struct given){.file = hg_test_text(&out)});
    same_but_secrets(cf, defaults);
    hg_conf_free(cf);
    text = malloc(out.n + 1);
    for (size_t i = 0; i < out.n; i++) {
        if (out.p[i] == '#' && (i == 0 || out.p[i - 1] == '\n') && out.p[i + 1] >= 'a' &&
            out.p[i + 1] <= 'z')
            options++;
        else
            text[n++] = out.p[i];
    }
    text[n] = '\0';
    assert_int_equal(options, HG_OPT_COUNT);
    cf = good(&(struct given){.file = text});
    same_but_secrets(cf, defaults);
    hg_conf_free(cf);
    free(text);
    hg_conf_free(defaults);
    hg_buf_fini(&out);
}

static void effective_says_value_place_and_reload_and_reads_back(void **state)
{
    struct hg_conf
        *cf = good(&(struct given){
            .file = "user = \" a # \\\"b\\\" \\\\ \"\nmax_rooms = 12 # a dozen\nout_soft = 5000\n",
            .env = {"WS_PORT=7777"},
            .argv = {"--ping-interval=1500ms", "--profile", "v2"}}),
        *again;
    struct hg_buf out = {0};

    (void)state;
    assert_string_equal(cf->user, " a # \"b\" \\ ");
    assert_int_equal(cf->max_rooms, 12);
    hg_conf_print(cf, HG_CONF_EFFECTIVE, &out);
    hg_test_has(&out, "\nport = 7777                                     # environment WS_PORT; "
                      "needs a restart\n");
    hg_test_has(&out, "\nping_interval = 1500ms                          # flag --ping-interval; "
                      "HUP applies it\n");
    hg_test_has(&out, "\nout_soft = 5000 ");
    hg_test_has(&out, "/headgate.conf:2; HUP applies it\n");
    hg_test_has(&out, "# profile; needs a restart\n");
    hg_test_has(&out,
                "\nworkers = 0                                     # default; needs a restart\n");
    again = good(&(struct given){.file = hg_test_text(&out)});
    same_but_secrets(cf, again);
    hg_conf_free(cf);
    hg_conf_free(again);
    hg_buf_fini(&out);
}

static void the_manual_has_a_row_for_each(void **state)
{
    struct hg_buf out = {0};
    char cell[96];

    (void)state;
    hg_conf_print(NULL, HG_CONF_DOCS, &out);
    for (size_t i = 0; i < HG_OPT_COUNT; i++) {
        snprintf(cell, sizeof cell, "\n| `%s` | ", hg_opts[i].name);
        hg_test_has(&out, cell);
    }
    hg_test_has(&out, "| `port` | `7000` | 0 to 65535 |  | WS_PORT, TINA4_WS_PORT | ");
    hg_test_has(&out, "| `log_level` | `info` | error\\|warn\\|info\\|debug | yes |");
    hg_buf_fini(&out);
}

/* ---- reload ---- */

static void reload_applies_live_options_and_names_the_others(void **state)
{
    struct hg_conf *a = good(&(struct given){.file = "workers = 2\nmax_rooms = 5"});
    struct hg_conf *b = good(&(struct given){
        .file = "workers = 3\nmax_rooms = 6\nallowed_origins = https://x\nport = 1"});
    struct hg_buf report = {0}, value = {0};
    const char *origin;

    (void)state;
    assert_int_equal(hg_conf_apply_live(a, b, &report), 2);
    assert_int_equal(a->max_rooms, 6);
    assert_string_equal(a->allowed_origins, "https://x");
    assert_int_equal(a->workers, 2);
    assert_string_equal(hg_test_text(&report), "workers: needs a restart\nport: needs a restart\n");
    assert_true(hg_conf_get(a, HG_SLICE_LIT("max_rooms"), &value, &origin));
    assert_non_null(strstr(origin, "headgate.conf:2"));
    assert_false(hg_conf_get(a, HG_SLICE_LIT("none"), &value, &origin));
    assert_true(hg_conf_is_given(a, HG_SLICE_LIT("max_rooms")));
    assert_false(hg_conf_is_given(a, HG_SLICE_LIT("backlog")));
    assert_false(hg_conf_is_given(a, HG_SLICE_LIT("none")));
    hg_buf_reset(&report);
    assert_int_equal(hg_conf_apply_live(a, b, &report), 0);
    hg_conf_free(a);
    hg_conf_free(b);
    hg_buf_fini(&report);
    hg_buf_fini(&value);
}

static void a_worker_gets_live_options_as_text(void **state)
{
    struct hg_conf *master = good(&(struct given){
        .file =
            "max_rooms = 6\nout_soft = 5000\nallowed_origins = \"https://x # \\\"\"\nworkers = 3"});
    struct hg_conf *worker = hg_conf_defaults();
    struct hg_buf text = {0};

    (void)state;
    hg_conf_live_text(master, &text);
    assert_int_equal(hg_conf_apply_live_text(worker, hg_buf_slice(&text)), 0);
    for (size_t i = 0; i < HG_OPT_COUNT; i++)
        if (hg_opts[i].reload == HG_OR_LIVE)
            assert_true(hg_opt_same(master, worker, &hg_opts[i]));
    assert_int_equal(worker->workers, 0);
    assert_int_equal(hg_conf_apply_live_text(worker, HG_SLICE_LIT("max_rooms = 7\nmax_calls = x")),
                     V);
    assert_int_equal(hg_conf_apply_live_text(worker, HG_SLICE_LIT("max_rooms = 7\nworkers = 7")),
                     U);
    assert_int_equal(hg_conf_apply_live_text(worker, HG_SLICE_LIT("max_rooms = 7\nx")), F);
    assert_int_equal(worker->max_rooms, 6); /* all or nothing */
    hg_conf_free(master);
    hg_conf_free(worker);
    hg_buf_fini(&text);
}

static void lists(void **state)
{
    struct hg_slice rest = HG_SLICE_LIT(" a ,, b=c,\t,d "), item;

    (void)state;
    assert_true(hg_conf_list_next(&rest, &item) && hg_slice_is(item, "a"));
    assert_true(hg_conf_list_next(&rest, &item) && hg_slice_is(item, "b=c"));
    assert_true(hg_conf_list_next(&rest, &item) && hg_slice_is(item, "d"));
    assert_false(hg_conf_list_next(&rest, &item));
    rest = HG_SLICE_NONE;
    assert_false(hg_conf_list_next(&rest, &item));
}

/* ---- keys ---- */

static struct hg_conf *with_keys(const char *one, const char *two, const char *more)
{
    char a[128], b[128], file[512];

    put_file("one", one, a);
    put_file("two", two, b);
    snprintf(file, sizeof file, "auth = jwt\njwt_keys = a:b=HS256:%s, ES256:%s\n%s", a, b, more);
    return good(&(struct given){.file = file});
}

static void key_files_are_read_and_shown_nowhere(void **state)
{
    struct hg_conf *cf = with_keys("Az\n", "", "");
    struct hg_buf out = {0};

    (void)state;
    assert_string_equal(cf->jwt_key_data, "417a0a,");
    hg_conf_print(cf, HG_CONF_EFFECTIVE, &out);
    hg_test_has_not(&out, "417a");
    hg_test_has_not(&out, "Az");
    hg_buf_fini(&out);
    hg_conf_free(cf);
    cf = good(
        &(struct given){.file = "jwt_keys = HS256:/nonexistent"}); /* not with auth = headers */
    assert_string_equal(cf->jwt_key_data, "");
    hg_conf_free(cf);
}

static void other_bytes_in_a_key_file_are_a_change(void **state)
{
    struct hg_conf *a = with_keys("x", "y", ""), *b = with_keys("x", "z", ""),
                   *worker = with_keys("x", "y", "");
    struct hg_buf report = {0}, text = {0};

    (void)state;
    assert_int_equal(hg_conf_apply_live(a, b, &report), 1);
    assert_string_equal(a->jwt_key_data, "78,7a");
    assert_int_equal(hg_conf_apply_live(a, b, &report), 0);
    hg_conf_live_text(a, &text);
    assert_int_equal(hg_conf_apply_live_text(worker, hg_buf_slice(&text)), 0);
    assert_string_equal(worker->jwt_key_data, "78,7a");
    hg_buf_fini(&report);
    hg_buf_fini(&text);
    hg_conf_free(a);
    hg_conf_free(b);
    hg_conf_free(worker);
}

static void keys_wait_for_a_restart_when_auth_changes(void **state)
{
    struct hg_conf *running = with_keys("x", "y", "jwt_leeway = 1s"),
                   *file = good(&(struct given){.file = "auth = headers\njwt_leeway = 2s"});
    struct hg_buf report = {0};

    (void)state;
    assert_int_equal(hg_conf_apply_live(running, file, &report), 1);
    assert_int_equal(running->jwt_leeway, 2000000);
    assert_string_equal(running->jwt_key_data, "78,79");
    hg_test_has(&report, "auth: needs a restart");
    hg_test_has(&report, "jwt_keys: needs a restart");
    hg_buf_fini(&report);
    hg_conf_free(running);
    hg_conf_free(file);
}

int main(void)
{
#define T(f) cmocka_unit_test(f)
    const struct CMUnitTest tests[] = {
        T(the_stronger_place_wins_for_every_option),
        T(of_several_source_names_the_first_counts),
        T(sources_keep_their_units),
        T(defaults_follow_the_profile_unless_set),
        T(dev_changes_what_is_not_set),
        T(errors_name_value_range_and_place),
        T(all_errors_are_reported_and_the_first_is_the_result),
        T(a_named_file_must_be_there),
        T(warnings),
        T(service_links_of_kubernetes_are_passed_over),
        T(secrets_come_from_files_and_are_never_shown),
        T(the_example_is_the_defaults_commented_or_not),
        T(effective_says_value_place_and_reload_and_reads_back),
        T(the_manual_has_a_row_for_each),
        T(reload_applies_live_options_and_names_the_others),
        T(a_worker_gets_live_options_as_text),
        T(lists),
        T(key_files_are_read_and_shown_nowhere),
        T(other_bytes_in_a_key_file_are_a_change),
        T(keys_wait_for_a_restart_when_auth_changes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
