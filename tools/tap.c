/*
 * headgate-tap: prints what goes over the wires of a gateway, one line a record: replies, requests,
 * live queries, page seeds, diffs, row events, envelopes.
 *
 * It assigns all partitions of its topics to itself and joins no group: two taps each see
 * everything, nothing is committed, and no rebalance delays the first record. Who wants several
 * taps to share the records, as the tap of the gateways before did, names a group (--group,
 * SQL_RPC_TAP_GROUP).
 *
 * A name that ends with '*' stands for all topics that begin so, those made later too: a gateway
 * makes a reply topic of its own at each start.
 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/macros.h"
#include "common/base/num.h"
#include "tools/cli.h"
#include "tools/kafka.h"
#include "tools/tap_print.h"

enum { LOOK_EVERY_MS = 1000, ASK_MS = 1000, PAUSE_MS = 100, MAX_HEADERS = 32 };

struct wanted { /* a name of --topics */
    char *name; /* without '*' and kind */
    bool prefix, has_kind, missed;
    enum hg_tap_kind kind;
};

struct topic { /* one that is read */
    char *name;
    enum hg_tap_kind kind;
    int partitions;
};

struct tap {
    rd_kafka_t *rk;
    bool grouped;
    struct wanted *wanted;
    size_t nwanted;
    struct topic *topics;
    size_t ntopics;
    int64_t from; /* an offset, or RD_KAFKA_OFFSET_BEGINNING, _END */
    bool started; /* what appears from now on is read from its beginning */
    int64_t next_look_ms;
    uint64_t count, printed; /* count 0: no end */
    enum hg_tap_style style;
    bool full;
    struct hg_buf out;
};

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- which topics ---- */

/* "name", "name:kind", "name*", "name*:kind" */
static void want(struct tap *t, char *text)
{
    char *kind = strchr(text, ':');
    struct wanted w = {.name = text};
    if (kind) {
        *kind++ = '\0';
        w.has_kind = true;
        w.kind = (enum hg_tap_kind)hg_cli_word("--topics", kind, hg_tap_kind_names);
    }
    size_t n = strlen(text);
    if (n > 0 && text[n - 1] == '*') {
        w.prefix = true;
        text[n - 1] = '\0';
    }
    if (n == 0)
        hg_cli_wrong("--topics", "an empty name");
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
            hg_cli_wrong("--topics", "a name has letters, digits, '.', '_' and '-', and maybe a "
                                     "'*' behind it");
    t->wanted = hg_realloc(t->wanted, (t->nwanted + 1) * sizeof(*t->wanted));
    t->wanted[t->nwanted++] = w;
}

static void want_all(struct tap *t, char *list)
{
    char *rest = list, *name;
    while ((name = strsep(&rest, ",")))
        want(t, name + strspn(name, " "));
}

static const struct wanted *match(const struct tap *t, const char *topic)
{
    for (size_t i = 0; i < t->nwanted; i++) {
        const struct wanted *w = &t->wanted[i];
        if (w->prefix ? !strncmp(topic, w->name, strlen(w->name)) : !strcmp(topic, w->name))
            return w;
    }
    return NULL;
}

static struct topic *topic_of(struct tap *t, const char *name)
{
    for (size_t i = 0; i < t->ntopics; i++)
        if (!strcmp(t->topics[i].name, name))
            return &t->topics[i];
    const struct wanted *w = match(t, name);
    t->topics = hg_realloc(t->topics, (t->ntopics + 1) * sizeof(*t->topics));
    t->topics[t->ntopics] = (struct topic){
        .name = strdup(name), .kind = w && w->has_kind ? w->kind : hg_tap_kind_of(name)};
    return &t->topics[t->ntopics++];
}

/* Where to begin, settled now: what is written after the tap has said that it reads is printed. An
 * offset that is not there becomes the nearest that is. False when nobody answers. */
static bool first_offset(struct tap *t, const char *topic, int partition, int64_t *at)
{
    int64_t low, high;
    *at = RD_KAFKA_OFFSET_BEGINNING;
    if (t->started || t->from == RD_KAFKA_OFFSET_BEGINNING)
        return true;
    if (rd_kafka_query_watermark_offsets(t->rk, topic, partition, &low, &high, ASK_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    *at = t->from == RD_KAFKA_OFFSET_END ? high : HG_MAX(low, HG_MIN(t->from, high));
    return true;
}

/* Adds the partitions of a topic that are not read yet; false when one has to wait. */
static bool add_partitions(struct tap *t, const struct rd_kafka_metadata_topic *m,
                           rd_kafka_topic_partition_list_t *l)
{
    struct topic *k = topic_of(t, m->topic);
    for (int64_t at; k->partitions < m->partition_cnt; k->partitions++) {
        if (!first_offset(t, k->name, k->partitions, &at))
            return false;
        rd_kafka_topic_partition_list_add(l, k->name, k->partitions)->offset = at;
    }
    return true;
}

static void say_missing(struct tap *t)
{
    for (size_t i = 0; i < t->nwanted; i++) {
        bool there = false;
        for (size_t k = 0; k < t->ntopics && !there; k++)
            there = match(t, t->topics[k].name) == &t->wanted[i];
        if (!there && !t->wanted[i].missed)
            hg_cli_log("waiting for topic %s%s to be made", t->wanted[i].name,
                       t->wanted[i].prefix ? "*" : "");
        t->wanted[i].missed = !there;
    }
}

static void assign(struct tap *t, rd_kafka_topic_partition_list_t *l)
{
    rd_kafka_error_t *e = l->cnt > 0 ? rd_kafka_incremental_assign(t->rk, l) : NULL;
    if (e)
        hg_cli_die("assign: %s", rd_kafka_error_string(e));
}

/* Asks the broker for its topics; false when it does not answer for all there are. */
static bool look(struct tap *t)
{
    const struct rd_kafka_metadata *md;
    bool all = true;
    if (rd_kafka_metadata(t->rk, 1, NULL, &md, ASK_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    for (int i = 0; i < md->topic_cnt; i++)
        if (!md->topics[i].err && match(t, md->topics[i].topic))
            all &= add_partitions(t, &md->topics[i], l);
    assign(t, l);
    rd_kafka_topic_partition_list_destroy(l);
    rd_kafka_metadata_destroy(md);
    say_missing(t);
    return all;
}

static void look_again(struct tap *t)
{
    int64_t now = now_ms();
    if (t->grouped || now < t->next_look_ms)
        return;
    t->next_look_ms = now + LOOK_EVERY_MS;
    look(t);
}

static void first_look(struct tap *t)
{
    bool said = false;
    int partitions = 0;
    while (!look(t)) {
        if (hg_cli_stopped())
            return;
        if (!said)
            hg_cli_log("waiting for a Kafka broker");
        said = true;
        poll(NULL, 0, PAUSE_MS); /* not the consumer: what is assigned may have records already */
    }
    for (size_t i = 0; i < t->ntopics; i++)
        partitions += t->topics[i].partitions;
    hg_cli_log("reading %d partitions of %zu topics", partitions, t->ntopics);
    t->started = true;
    t->next_look_ms = now_ms() + LOOK_EVERY_MS;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *l, void *opaque)
{
    (void)opaque;
    bool given = err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    if (given)
        hg_cli_log("reading %d partitions as a member of the group", l->cnt);
    rd_kafka_assign(rk, given ? l : NULL);
}

/* librdkafka takes a regular expression for a name that begins with '^'. */
static void join(struct tap *t)
{
    rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < t->nwanted; i++) {
        const struct wanted *w = &t->wanted[i];
        struct hg_buf name = {0};
        hg_buf_adds(&name, w->prefix ? "^" : "");
        for (const char *p = w->name; *p; p++)
            hg_buf_addf(&name, w->prefix && *p == '.' ? "\\%c" : "%c", *p);
        hg_buf_addc(&name, '\0');
        rd_kafka_topic_partition_list_add(l, name.p, RD_KAFKA_PARTITION_UA);
        hg_buf_fini(&name);
    }
    rd_kafka_resp_err_t err = rd_kafka_subscribe(t->rk, l);
    if (err)
        hg_cli_die("subscribe: %s", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(l);
}

/* ---- records ---- */

static size_t read_headers(const rd_kafka_message_t *m, struct hg_tap_header *to)
{
    rd_kafka_headers_t *hdrs;
    const void *value;
    size_t n = 0, size;
    if (rd_kafka_message_headers(m, &hdrs) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    while (n < MAX_HEADERS && !rd_kafka_header_get_all(hdrs, n, &to[n].name, &value, &size)) {
        to[n].value = hg_slice_of(value ? value : "", value ? size : 0);
        n++;
    }
    return n;
}

static void print(struct tap *t, const rd_kafka_message_t *m)
{
    struct hg_tap_header headers[MAX_HEADERS];
    rd_kafka_timestamp_type_t type;
    struct hg_tap_record r = {
        .topic = rd_kafka_topic_name(m->rkt),
        .partition = m->partition,
        .offset = m->offset,
        .time_ms = rd_kafka_message_timestamp(m, &type),
        .key = m->key ? hg_slice_of(m->key, m->key_len) : HG_SLICE_NONE,
        .value = m->payload ? hg_slice_of(m->payload, m->len) : HG_SLICE_NONE,
        .headers = headers,
    };
    r.kind = topic_of(t, r.topic)->kind;
    r.nheaders = read_headers(m, headers);
    hg_buf_reset(&t->out);
    hg_tap_print(&t->out, &r, t->style, t->full);
    if (fwrite(t->out.p, 1, t->out.n, stdout) != t->out.n || fflush(stdout) != 0)
        hg_cli_die("standard output: %s", strerror(errno));
    t->printed++;
}

static void run(struct tap *t)
{
    while (!hg_cli_stopped() && (t->count == 0 || t->printed < t->count)) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(t->rk, 100);
        look_again(t);
        if (!m)
            continue;
        if (!m->err)
            print(t, m);
        else
            hg_cli_log("%s %d: %s", m->rkt ? rd_kafka_topic_name(m->rkt) : "Kafka", m->partition,
                       rd_kafka_message_errstr(m));
        rd_kafka_message_destroy(m);
    }
}

/* ---- life ---- */

static int64_t read_from(const char *text)
{
    int64_t offset;
    const char *unused;
    if (hg_num_i64(hg_slice_str(text), &offset, &unused) == 0 && offset >= 0)
        return offset;
    static const char *const words[] = {"start", "end", NULL};
    return hg_cli_word("--from", text, words) == 0 ? RD_KAFKA_OFFSET_BEGINNING
                                                   : RD_KAFKA_OFFSET_END;
}

static rd_kafka_t *new_consumer(const struct tap *t, const char *brokers, const char *group)
{
    const char *const props[][2] = {
        {"client.id", "headgate-tap"},
        {"group.id", group}, /* librdkafka wants one for assign(), too; it stays a name */
        {"enable.auto.commit", t->grouped ? "true" : "false"},
        {"auto.offset.reset", t->from == RD_KAFKA_OFFSET_END && t->grouped ? "latest" : "earliest"},
        {"fetch.wait.max.ms", "50"},
        {"topic.metadata.refresh.interval.ms", "2000"},
        {NULL, NULL}};
    rd_kafka_conf_t *conf = hg_tk_conf(brokers, props);
    if (t->grouped)
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    return hg_tk_new(RD_KAFKA_CONSUMER, conf);
}

static void fini(struct tap *t)
{
    rd_kafka_consumer_close(t->rk);
    rd_kafka_destroy(t->rk);
    for (size_t i = 0; i < t->ntopics; i++)
        free(t->topics[i].name);
    free(t->topics);
    free(t->wanted);
    hg_buf_fini(&t->out);
}

int main(int argc, char **argv)
{
    const char *brokers = getenv("KAFKA_BROKERS"), *topics = getenv("SQL_RPC_REPLY_TOPIC");
    const char *group = getenv("SQL_RPC_TAP_GROUP"), *from = "end", *count = "0";
    bool json = false, indent = false, full = false;
    struct tap t = {0};
    brokers = brokers && *brokers ? brokers : "localhost:9092";
    topics = topics && *topics ? topics : "sql.rpc.responses.ws*";
    group = group && *group ? group : "";
    const struct hg_cli_opt opts[] = {
        {"brokers", "LIST", "Kafka brokers, host:port,... (KAFKA_BROKERS)", &brokers, NULL},
        {"topics", "LIST",
         "topics, each name[:kind]; name* is all that begin so; kinds, else guessed from the "
         "name: reply, request, control, seed, diff, row, envelope (SQL_RPC_REPLY_TOPIC)",
         &topics, NULL},
        {"from", "WHERE", "start, end or an offset", &from, NULL},
        {"count", "N", "end after so many records; 0 goes on", &count, NULL},
        {"json", NULL, "one JSON object a line", NULL, &json},
        {"indent", NULL, "one field a line", NULL, &indent},
        {"full", NULL, "rows of replies and seeds, and long values, whole", NULL, &full},
        {"group", "NAME",
         "share the records with the other members of a consumer group (SQL_RPC_TAP_GROUP)", &group,
         NULL},
    };
    hg_cli_parse(argc, argv, "Prints what goes over the wires of headgate, decoded.", opts,
                 HG_COUNTOF(opts));
    t.count = (uint64_t)hg_cli_int("--count", count, 0, INT64_MAX);
    t.from = read_from(from);
    t.style = json ? HG_TAP_JSON : indent ? HG_TAP_INDENT : HG_TAP_LINE;
    t.full = full;
    t.grouped = *group != '\0';
    if (json && indent)
        hg_cli_wrong("--indent", "not together with --json");
    if (t.grouped && t.from >= 0)
        hg_cli_wrong("--from", "a group begins at start or end, or where it left off");
    char *list = strdup(topics);
    want_all(&t, list);
    hg_cli_catch_signals();
    t.rk = new_consumer(&t, brokers, t.grouped ? group : "sql-rpc-reply-tap");
    if (t.grouped)
        join(&t);
    else
        first_look(&t);
    run(&t);
    fini(&t);
    free(list);
    return 0;
}
