/*
 * Prints what the query encoder builds, so that another implementation can read it. One query per
 * line on stdin as JSON; per query three lines on stdout: "control <hex>", "get_data <hex>", or
 * "fault <text>" alone.
 *
 *   fbdump [lenient] < queries
 */
#include <stdio.h>
#include <stdlib.h>
#include "proto/query.h"

static void print_hex(const char *name, const struct hg_buf *b)
{
    printf("%s ", name);
    for (size_t i = 0; i < b->n; i++)
        printf("%02x", (unsigned char)b->p[i]);
    putchar('\n');
}

static void dump(struct hg_slice json, bool strict)
{
    static const struct hg_sqlrpc_call call = {HG_SLICE_LIT("c-1"), HG_SLICE_LIT("replies"),
                                               HG_SLICE_LIT("demo"), HG_SLICE_LIT("items")};
    char why[HG_QUERY_WHY_MAX];
    struct hg_query *q;
    struct hg_buf control = {0}, get_data = {0};
    if (hg_query_from_json(json, strict, &q, why) < 0) {
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
    bool strict = !(argc > 1 && strcmp(argv[1], "lenient") == 0);
    while ((n = getline(&line, &cap, stdin)) > 0)
        dump(hg_slice_of(line, (size_t)(n - (line[n - 1] == '\n'))), strict);
    free(line);
    return 0;
}
