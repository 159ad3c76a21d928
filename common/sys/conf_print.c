/* The three prints of the option table: effective values, a commented example file, the manual. */
#include <stdio.h>
#include "common/sys/conf_origin.h"
#include "common/sys/conf_text.h"

/* The rows of conf.def with the titles of their groups between them. */
static const struct line {
    const char *group;       /* a title, or NULL and */
    enum hg_opt_index index; /* an option */
} lines[] = {
#define HG_OPT_GROUP(title) {title, 0},
#define HG_OPT(type, name, def, min, max, reload, sources, doc) {NULL, HG_OI_##name},
#include "common/sys/conf.def"
#undef HG_OPT
};

static void add_pair(struct hg_buf *out, const char *name, struct hg_buf *value)
{
    hg_buf_addf(out, "%s = ", name);
    hg_conf_text_value(out, hg_slice_of(value->n ? value->p : "", value->n));
}

static void effective_line(const struct hg_conf *cf, const struct hg_opt *o, struct hg_buf *out)
{
    size_t start = out->n;
    struct hg_buf value = {0};

    hg_opt_text(cf, o, &value);
    if (o->type == HG_OT_SECRET && value.n) {
        hg_buf_reset(&value);
        hg_buf_adds(&value, "***");
    }
    add_pair(out, o->name, &value);
    hg_buf_fini(&value);
    do
        hg_buf_addc(out, ' ');
    while (out->n - start < 48);
    hg_buf_addf(out, "# %s; %s\n", *hg_conf_origin(cf, o),
                o->reload == HG_OR_LIVE ? "HUP applies it" : "needs a restart");
}

static void print_effective(const struct hg_conf *cf, struct hg_buf *out)
{
    for (size_t i = 0; i < HG_OPT_COUNT; i++)
        effective_line(cf, &hg_opts[i], out);
}

/* "# " before words, "#" before an option: taking that one character away from a line sets it to
 * its default. */
static void example_option(const struct hg_opt *o, struct hg_buf *out)
{
    struct hg_buf range = {0}, value = {0};

    hg_opt_range(o, &range);
    hg_buf_addf(out, "\n# %s\n", o->doc);
    if (range.n)
        hg_buf_addf(out, "# Allowed: %.*s. ", HG_SLICE_ARG(hg_buf_slice(&range)));
    else
        hg_buf_adds(out, "# ");
    hg_buf_adds(out, o->reload == HG_OR_LIVE ? "HUP applies it.\n#" : "Needs a restart.\n#");
    hg_buf_adds(&value, o->def);
    add_pair(out, o->name, &value);
    hg_buf_addc(out, '\n');
    hg_buf_fini(&range);
    hg_buf_fini(&value);
}

static void print_example(struct hg_buf *out)
{
    hg_buf_adds(out,
                "# headgate: every option with its default. Printed by headgate --print=example.\n"
                "#\n"
                "# A line is \"key = value\"; \" #\" begins a comment; values that need it stand "
                "in double quotes.\n"
                "# Sizes: 4096, 64k, 4m, 1g. Durations: 200ms, 30s, 5m, 1h, 1d.\n"
                "# Flags (--out-soft=64k) beat the environment (HEADGATE_OUT_SOFT), which beats "
                "this file.\n"
                "# HEADGATE_X_FILE names a file that holds the value of option x.\n");
    for (size_t i = 0; i < HG_COUNTOF(lines); i++)
        if (lines[i].group)
            hg_buf_addf(out, "\n# ---- %s ----\n", lines[i].group);
        else
            example_option(&hg_opts[lines[i].index], out);
}

/* A "|" would end the cell. */
static void add_cell(struct hg_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            hg_buf_addc(out, '\\');
        hg_buf_addc(out, *text);
    }
}

static void docs_row(const struct hg_opt *o, struct hg_buf *out)
{
    struct hg_buf range = {0};

    hg_opt_range(o, &range);
    hg_buf_addc(&range, '\0');
    hg_buf_addf(out, "| `%s` | ", o->name);
    if (o->def[0])
        hg_buf_addf(out, "`%s`", o->def);
    hg_buf_adds(out, " | ");
    add_cell(out, range.p);
    hg_buf_addf(out, " | %s | ", o->reload == HG_OR_LIVE ? "yes" : "");
    for (const char *p = o->sources; *p; p++)
        hg_buf_adds(out, *p == ',' ? ", " : (char[]){*p, '\0'});
    hg_buf_adds(out, " | ");
    add_cell(out, o->doc);
    hg_buf_adds(out, " |\n");
    hg_buf_fini(&range);
}

static void print_docs(struct hg_buf *out)
{
    hg_buf_adds(
        out,
        "# Options\n\n"
        "Printed by `headgate --print=docs`. `headgate --print=effective` shows each value and "
        "where it came "
        "from, `--check` reads everything and exits.\n\n"
        "Each option has one name in four spellings: `out_soft = 64k` in the file, "
        "`--out-soft=64k` as a flag, "
        "`HEADGATE_OUT_SOFT=64k` in the environment,\nand `HEADGATE_OUT_SOFT_FILE=/run/secrets/x`, "
        "which reads "
        "the value from a file. Flags beat the environment, which beats `.env` in the "
        "working\ndirectory, which "
        "beats the file, which beats the default. The file is what `--config` names, else "
        "`HEADGATE_CONFIG`, "
        "else\n`/etc/headgate/headgate.conf` if it is there. Names of the source systems work as "
        "well, below "
        "any `HEADGATE_` name and above the file.\n\n"
        "Sizes are bytes or `64k`, `4m`, `1g` (powers of 1024); durations `200ms`, `30s`, `5m`, "
        "`1h`, `1d`. "
        "HUP: `yes` where a reload applies a new value;\nthe others are named in the log and need "
        "a "
        "restart.\n\n"
        "Values of the sources keep their own units: `TINA4_WS_IDLE_TIMEOUT` is seconds, and 0 or "
        "no number "
        "turns it off; `TINA4_WS_MAX_BACKLOG` is bytes,\nand 0 or less means the largest "
        "`out_hard`; "
        "`TINA4_WS_BACKPLANE` with anything but `redis` and `nats` means this host alone, with a "
        "warning.\n\n"
        "Some defaults follow other options: under `profile = v1` `port` is 8080, under `v1` and "
        "`v2` "
        "`kafka_topics` is `server.cdc.filtered`; under `dev`\n`console` is on, "
        "`default_permissions` has "
        "`publish_all`, `kafka_fetch_wait` is `10ms`; `max_record` is at most an eighth of "
        "`ring_size`, "
        "`out_soft` at\nmost `out_hard`.\n");
    for (size_t i = 0; i < HG_COUNTOF(lines); i++) {
        if (lines[i].group)
            hg_buf_addf(out,
                        "\n## %s\n\n| option | default | allowed | HUP | sources' names | meaning "
                        "|\n|---|---|---|---|---|---|\n",
                        lines[i].group);
        else
            docs_row(&hg_opts[lines[i].index], out);
    }
}

void hg_conf_print(const struct hg_conf *cf, enum hg_conf_print what, struct hg_buf *out)
{
    if (what == HG_CONF_EFFECTIVE)
        print_effective(cf, out);
    else if (what == HG_CONF_EXAMPLE)
        print_example(out);
    else
        print_docs(out);
}
