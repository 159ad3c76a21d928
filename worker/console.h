/* Files of clients/console/, linked in by cmake/embed.cmake; the table ends with a NULL name. */
#ifndef HG_WORKER_CONSOLE_H
#define HG_WORKER_CONSOLE_H

#include <stddef.h>

struct hg_embedded {
    const char *name; /* "index.html" */
    const unsigned char *data;
    size_t len;
};
extern const struct hg_embedded hg_console_files[];

#endif
