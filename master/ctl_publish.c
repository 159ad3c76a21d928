#include "master/ctl_publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "common/sys/conf_value.h"
#include "proto/base64.h"
#include "proto/json.h"
#include "proto/utf8.h"

enum { MESSAGE_MAX = 1 << 20, TARGETS = 5 };

static const char usage[] =
    "usage: headgate ctl publish --room R | --channel C | --path P | --id CONNECTION | --all\n"
    "                            [--tenant T] [--exclude CONNECTION] TEXT | - | --file FILE | "
    "--b64 BASE64\n"
    "                            [--binary] [--json]\n"
    "TEXT of a channel is a JSON object; - reads standard input; --binary sends what was read as a "
    "binary message;\n"
    "--json prints the answer as POST /publish gives it\n";

struct wanted {
    const char *targets[TARGETS]; /* as names below; the last is a flag */
    const char *tenant, *exclude, *text, *file, *b64;
    bool binary;
};
static const char *const target_names[TARGETS] = {"room", "channel", "path", "id", "all"};
enum { CHANNEL = 1, ALL = 4 };

static int misuse(const char *why)
{
    fprintf(stderr, "headgate ctl publish: %s\n%s", why, usage);
    return -2;
}

void hg_ctl_publish_help(struct hg_buf *out)
{
    hg_buf_adds(out, usage);
}

/* ---- words ---- */

static const char **value_of(struct wanted *w, struct hg_slice name)
{
    for (int i = 0; i < ALL; i++)
        if (hg_slice_is(name, target_names[i]))
            return &w->targets[i];
    return hg_slice_is(name, "tenant")    ? &w->tenant
           : hg_slice_is(name, "exclude") ? &w->exclude
           : hg_slice_is(name, "file")    ? &w->file
           : hg_slice_is(name, "b64")     ? &w->b64
                                          : NULL;
}

static bool take_flag(struct wanted *w, struct hg_slice name)
{
    if (hg_slice_is(name, "all"))
        w->targets[ALL] = "";
    else if (hg_slice_is(name, "binary"))
        w->binary = true;
    else
        return false;
    return true;
}

/* Does this option of the configuration have its value in the next word? */
static bool has_value(struct hg_slice name)
{
    char key[64];
    const struct hg_opt *o;

    if (name.n >= sizeof key)
        return false;
    for (size_t i = 0; i < name.n; i++)
        key[i] = name.p[i] == '-' ? '_' : name.p[i];
    o = hg_opt_find(hg_slice_of(key, name.n));
    return o && o->type != HG_OT_BOOL;
}

/* How many words of argv were taken; < 0: misuse was said. What is not ours is kept. */
static int take_word(struct wanted *w, int argc, char **argv, char **kept, int *nkept)
{
    const char *arg = argv[0], *eq = strchr(arg, '=');
    struct hg_slice name;
    const char **value;

    if (strncmp(arg, "--", 2) != 0) {
        if (w->text)
            return misuse("more than one message");
        w->text = arg;
        return 1;
    }
    name = eq ? hg_slice_of(arg + 2, (size_t)(eq - arg - 2)) : hg_slice_str(arg + 2);
    value = value_of(w, name);
    if (value && !eq && argc < 2)
        return misuse("an option lacks its value");
    if (value) {
        *value = eq ? eq + 1 : argv[1];
        return eq ? 1 : 2;
    }
    if (!eq && take_flag(w, name))
        return 1;
    kept[(*nkept)++] = argv[0];
    if (eq || argc < 2 || !has_value(name))
        return 1;
    kept[(*nkept)++] = argv[1];
    return 2;
}

/* ---- the message ---- */

static int read_all(int fd, const char *name, struct hg_buf *out)
{
    char chunk[65536];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || out->n + (size_t)n > MESSAGE_MAX) {
            fprintf(stderr, "headgate ctl publish: %s: %s\n", name,
                    n < 0 ? strerror(errno) : "larger than 1 MiB");
            return -1;
        }
        hg_buf_add(out, chunk, (size_t)n);
    }
    return 0;
}

static int read_file(const char *name, struct hg_buf *out)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC), rc;

    if (fd < 0) {
        fprintf(stderr, "headgate ctl publish: %s: %s\n", name, strerror(errno));
        return -1;
    }
    rc = read_all(fd, name, out);
    close(fd);
    return rc;
}

static int read_message(const struct wanted *w, struct hg_buf *out)
{
    if (w->file)
        return read_file(w->file, out);
    if (w->text && strcmp(w->text, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", out);
    hg_buf_adds(out, w->text ? w->text : w->b64);
    return 0;
}

/* Behind the brace there is no comma yet. */
static void put_name(struct hg_buf *body, const char *name)
{
    hg_buf_addf(body, "%s\"%s\":", body->n > 1 ? "," : "", name);
}

static void put_member(struct hg_buf *body, const char *name, struct hg_slice value)
{
    put_name(body, name);
    hg_json_add_str(body, value);
}

static int put_message(const struct wanted *w, struct hg_slice message, struct hg_buf *body)
{
    if (w->targets[CHANNEL]) {
        if (!hg_json_is_valid(message)) {
            fprintf(stderr, "headgate ctl publish: what goes to a channel must be JSON\n");
            return -1;
        }
        put_name(body, "data");
        hg_buf_add_slice(body, message);
    } else if (w->b64) {
        put_member(body, "b64", message);
    } else if (w->binary) {
        put_name(body, "b64");
        hg_buf_addc(body, '"');
        hg_b64_add(body, message);
        hg_buf_addc(body, '"');
    } else if (!hg_utf8_valid(message.p, message.n)) {
        fprintf(stderr, "headgate ctl publish: not UTF-8; --binary sends it as it is\n");
        return -1;
    } else {
        put_member(body, "text", message);
    }
    return 0;
}

static void put_target(const struct wanted *w, struct hg_buf *body)
{
    hg_buf_addc(body, '{');
    for (int i = 0; i < ALL; i++)
        if (w->targets[i])
            put_member(body, target_names[i], hg_slice_str(w->targets[i]));
    if (w->targets[ALL])
        hg_buf_adds(body, "\"all\":true");
    if (w->tenant)
        put_member(body, "tenant", hg_slice_str(w->tenant));
    if (w->exclude)
        put_member(body, "exclude", hg_slice_str(w->exclude));
}

static int put_body(const struct wanted *w, struct hg_buf *body)
{
    struct hg_buf message = {0};
    int rc = read_message(w, &message);

    if (rc == 0) {
        put_target(w, body);
        rc = put_message(w, hg_slice_of(message.p ? message.p : "", message.n), body);
        hg_buf_addc(body, '}');
    }
    hg_buf_fini(&message);
    return rc;
}

int hg_ctl_publish_body(int argc, char **argv, struct hg_buf *body)
{
    struct wanted w = {0};
    int nkept = 0, ntargets = 0, nmessages;

    for (int i = 0, took; i < argc; i += took)
        if ((took = take_word(&w, argc - i, argv + i, argv, &nkept)) < 0)
            return took;
    for (int i = 0; i < TARGETS; i++)
        ntargets += w.targets[i] != NULL;
    nmessages = !!w.text + !!w.file + !!w.b64;
    if (ntargets != 1)
        return misuse(ntargets ? "more than one receiver" : "to whom?");
    if (nmessages != 1)
        return misuse(nmessages ? "more than one message" : "no message");
    if (w.targets[CHANNEL] && (w.b64 || w.binary))
        return misuse("what goes to a channel is JSON, not bytes");
    return put_body(&w, body) < 0 ? -1 : nkept;
}

/* ---- the answer ---- */

bool hg_ctl_publish_show(struct hg_slice json, struct hg_buf *out)
{
    struct hg_json doc;
    struct hg_json_val root;
    uint64_t delivered = 0, silent = 0;
    bool good = hg_json_parse(json, NULL, &doc) == 0 &&
                hg_json_u64(hg_json_get(hg_json_root(&doc), "delivered"), &delivered);

    if (good) {
        root = hg_json_root(&doc);
        hg_buf_addf(out, "reached %" PRIu64 " connection%s of this host; %s\n", delivered,
                    delivered == 1 ? "" : "s",
                    hg_json_is_true(hg_json_get(root, "relayed"))
                        ? "handed to the backplane for the others"
                        : "nothing went to other hosts");
        if (hg_json_u64(hg_json_get(root, "unanswered"), &silent))
            hg_buf_addf(out, "%" PRIu64 " of its workers did not say in time whom they reached\n",
                        silent);
    }
    hg_json_fini(&doc);
    return good;
}
