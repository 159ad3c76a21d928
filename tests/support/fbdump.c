/*
 * Prints what the query encoder builds, so that another implementation can read it. One query per
 * line on stdin; for each, on stdout, "control <hex>" and "get_data <hex>", or "fault <text>"
 * alone. Queries are JSON, or with "bytes" the hex of a StreamingSqlDataFilter of somebody else's.
 * With "base64" a line is the hex of a text, and what that text is decoded to is printed.
 *
 *   fbdump strict|lenient|bytes|base64 < queries
 */
#include <stdio.h>
#include <stdlib.h>
#include "proto/base64.h"
#include "proto/query.h"

static void print_hex(const char *name, const struct hg_buf *b)
{
    printf("%s ", name);
    for (size_t i = 0; i < b->n; i++)
        printf("%02x", (unsigned char)b->p[i]);
    putchar('\n');
}

static void unhex(struct hg_slice line, struct hg_buf *out)
{
    for (size_t i = 0; i + 1 < line.n; i += 2) {
        const char pair[3] = {line.p[i], line.p[i + 1], '\0'};
        hg_buf_addc(out, (char)strtol(pair, NULL, 16));
    }
}

static int read_query(struct hg_slice line, const char *mode, struct hg_query **q, char *why)
{
    struct hg_buf bytes = {0};
    if (strcmp(mode, "bytes") != 0)
        return hg_query_from_json(line, strcmp(mode, "strict") == 0, q, why);
    unhex(line, &bytes);
    int rc = hg_query_from_fb(hg_buf_slice(&bytes), true, q, why);
    hg_buf_fini(&bytes);
    return rc;
}

static void dump_base64(struct hg_slice line)
{
    struct hg_buf text = {0}, bytes = {0};
    unhex(line, &text);
    hg_b64_decode_lenient(&bytes, hg_buf_slice(&text));
    print_hex("bytes", &bytes);
    hg_buf_fini(&text);
    hg_buf_fini(&bytes);
}

static void dump(struct hg_slice line, const char *mode)
{
    static const struct hg_sqlrpc_call call = {HG_SLICE_LIT("c-1"), HG_SLICE_LIT("replies"),
                                               HG_SLICE_LIT("demo"), HG_SLICE_LIT("items")};
    char why[HG_QUERY_WHY_MAX];
    struct hg_query *q;
    struct hg_buf control = {0}, get_data = {0};
    if (!strcmp(mode, "base64")) {
        dump_base64(line);
        return;
    }
    if (read_query(line, mode, &q, why) < 0) {
        printf("fault %s\n", why);
        return;
    }
    hg_query_put_control(&control, q);
    hg_query_put_get_data(&get_data, &call, q, 500);
    print_hex("control", &control);
    print_hex("get_data", &get_data);
    hg_buf_fini(&control);
    hg_buf_fini(&get_data);
    hg_query_free(q);
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0)
        dump(hg_slice_of(line, (size_t)(n - (line[n - 1] == '\n'))), argc > 1 ? argv[1] : "strict");
    free(line);
    return 0;
}
