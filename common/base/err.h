/*
 * The one table of errors (err.def): number, whose fault, WebSocket close code, wire code, whether
 * to try again, text. Functions that can fail return int: >= 0 is good, < 0 is -HG_E_x. Numbers are
 * append-only. docs/CODES.md is printed from the same rows (headgate --print=codes).
 */
#ifndef HG_COMMON_BASE_ERR_H
#define HG_COMMON_BASE_ERR_H

#include <stdbool.h>
#include "common/base/buf.h"

enum hg_fault { HG_FAULT_PEER, HG_FAULT_LIMIT, HG_FAULT_BACKEND, HG_FAULT_US };

enum hg_err {
    HG_E_OK = 0,
#define HG_ERR(name, fault, close, wire, retry, text) HG_E_##name,
#include "common/base/err.def"
#undef HG_ERR
    HG_E_COUNT
};

struct hg_err_row {
    const char *name; /* "FRAME_UNMASKED" */
    enum hg_fault fault;
    int close_code;   /* RFC 6455 7.4 code to close with; 0 = the connection stays */
    const char *wire; /* the "code" of an error frame, or the close reason */
    bool retry;       /* trying again later may help */
    const char *text;
};

/* Row of an error; err may be given negative or positive. Unknown numbers give the row of BUG. */
const struct hg_err_row *hg_err_row(int err);
static inline int hg_err_close_code(int err)
{
    return hg_err_row(err)->close_code;
}
void hg_err_docs(struct hg_buf *out); /* docs/CODES.md */

#endif
