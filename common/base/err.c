/* The rows of err.def as a table. */
#include "common/base/err.h"

#include "common/base/macros.h"

static const struct hg_err_row rows[HG_E_COUNT] = {
    [HG_E_OK] = {"OK", HG_FAULT_US, 0, "ok", false, "No error."},
#define HG_ERR(name, fault, close, wire, retry, text)                                              \
    [HG_E_##name] = {#name, HG_FAULT_##fault, close, wire, retry, text},
#include "common/base/err.def"
#undef HG_ERR
};

static const char *const fault_names[] = {
    [HG_FAULT_PEER] = "peer",
    [HG_FAULT_LIMIT] = "limit",
    [HG_FAULT_BACKEND] = "backend",
    [HG_FAULT_US] = "us",
};

const struct hg_err_row *hg_err_row(int err)
{
    /* Compared on the negative side, where INT_MIN has no trap. */
    int neg = err > 0 ? -err : err;

    return neg > -HG_E_COUNT ? &rows[-neg] : &rows[HG_E_BUG];
}

void hg_err_docs(struct hg_buf *out)
{
    hg_buf_adds(
        out, "# Errors and close codes\n\nPrinted by `headgate --print=codes`.\n\n"
             "Close is the WebSocket close code; `-` keeps the connection. Code is the text on the "
             "wire: the `code` of an error\nframe, or the close reason. Retry says whether trying "
             "again later may help.\n\n"
             "| name | fault | close | code | retry | meaning |\n|---|---|---|---|---|---|\n");
    for (int e = 1; e < HG_E_COUNT; e++) {
        const struct hg_err_row *r = &rows[e];

        hg_buf_addf(out, "| %s | %s | ", r->name, fault_names[r->fault]);
        if (r->close_code)
            hg_buf_addf(out, "%d", r->close_code);
        else
            hg_buf_addc(out, '-');
        hg_buf_addf(out, " | `%s` | %s | %s |\n", r->wire, r->retry ? "yes" : "no", r->text);
    }
}
