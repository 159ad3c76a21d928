/*
 * A producer made with librdkafka, for end-to-end tests: rdproduce BROKERS TOPIC, then a record per
 * line of standard input, fields separated by tabs, everything but names in hex:
 *
 *   KEY VALUE [NAME=HEADER]...
 *
 * Ends with 0 when all of them are in the log.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 65536, WAIT_MS = 20000 };

static int undelivered;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "rdproduce: %s: %s\n", what, why);
    exit(1);
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)opaque;
    if (m->err)
        die("delivery", rd_kafka_err2str(m->err));
    undelivered--;
}

/* In place; the length of what it was. */
static size_t unhex(char *s)
{
    size_t n = strlen(s) / 2;

    for (size_t i = 0; i < n; i++) {
        char pair[3] = {s[2 * i], s[2 * i + 1], 0};

        s[i] = (char)strtoul(pair, NULL, 16);
    }
    return n;
}

static rd_kafka_headers_t *headers_of(char **save)
{
    rd_kafka_headers_t *h = rd_kafka_headers_new(4);

    for (char *field; (field = strtok_r(NULL, "\t\n", save));) {
        char *value = strchr(field, '=');

        if (!value)
            die("header without =", field);
        *value++ = 0;
        rd_kafka_header_add(h, field, -1, value, (ssize_t)unhex(value));
    }
    return h;
}

static void produce(rd_kafka_t *rk, const char *topic, char *line)
{
    char *save = NULL, *key = strtok_r(line, "\t\n", &save), *value = strtok_r(NULL, "\t\n", &save);
    size_t kn, vn;
    rd_kafka_resp_err_t err;

    if (!key || !value)
        die("line", "no key or no value");
    kn = unhex(key);
    vn = unhex(value);
    err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, kn),
                            RD_KAFKA_V_VALUE(value, vn), RD_KAFKA_V_HEADERS(headers_of(&save)),
                            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (err)
        die("producev", rd_kafka_err2str(err));
    undelivered++;
}

int main(int argc, char **argv)
{
    static char line[LINE];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];
    rd_kafka_t *rk;

    if (argc != 3)
        die("usage", "rdproduce BROKERS TOPIC");
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof why) != RD_KAFKA_CONF_OK)
        die("bootstrap.servers", why);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk)
        die("rd_kafka_new", why);
    while (fgets(line, sizeof line, stdin))
        produce(rk, argv[2], line);
    rd_kafka_flush(rk, WAIT_MS);
    rd_kafka_destroy(rk);
    return undelivered != 0;
}
