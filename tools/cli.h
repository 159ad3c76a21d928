/*
 * What every tool's main() has: a table of flags with --help and --version, a wish to stop, and one
 * line of log.
 *
 *   const struct hg_cli_opt opts[] = {{"db", "FILE", "the database", &db, NULL},
 *                                     {"seed", NULL, "...", NULL, &seed}};
 *   hg_cli_parse(argc, argv, "what it does", opts, HG_COUNTOF(opts));    exits: 0 after --help, 2
 *                                                                        when it is wrong
 *   hg_cli_catch_signals();
 *   while (!hg_cli_stopped()) ...        TERM and INT; no system call is restarted
 */
#ifndef HG_TOOLS_CLI_H
#define HG_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/macros.h"

struct hg_cli_opt {
    const char *name; /* without the dashes */
    const char *arg;  /* word for the help text; NULL: a flag without value */
    const char *help;
    const char **value; /* set when arg is not NULL; its content before is the default shown */
    bool *flag;
};

void hg_cli_parse(int argc, char **argv, const char *about, const struct hg_cli_opt *opts,
                  size_t n);
/* A number of the command line within bounds; exits with a message otherwise. */
int64_t hg_cli_int(const char *name, const char *text, int64_t min, int64_t max);
double hg_cli_double(const char *name, const char *text, double min, double max);
/* Which of the words (ends with NULL) the text is; exits with a message and the nearest
 * otherwise. */
unsigned hg_cli_word(const char *name, const char *text, const char *const *words);
/* The command line is wrong: says so and exits with 2. */
_Noreturn void hg_cli_wrong(const char *name, const char *what);
void hg_cli_catch_signals(void);
bool hg_cli_stopped(void);
/* One line to standard error, with the program's name in front. */
void hg_cli_log(const char *fmt, ...) HG_PRINTF(1, 2);
_Noreturn void hg_cli_die(const char *fmt, ...) HG_PRINTF(1, 2); /* the same, then exit(1) */

#endif
