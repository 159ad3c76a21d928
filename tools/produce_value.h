/*
 * Values of the records that headgate-produce sends: what was given, checked, or made up. Knows no
 * Kafka.
 *
 *   int rc = hg_pv_make(&out, &spec, n, lsn, given, &why);     given none: made up
 */
#ifndef HG_TOOLS_PRODUCE_VALUE_H
#define HG_TOOLS_PRODUCE_VALUE_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/macros.h"

enum hg_pv_kind { HG_PV_DIFF, HG_PV_ROW, HG_PV_ENVELOPE, HG_PV_KINDS };

struct hg_pv_spec {
    enum hg_pv_kind kind;
    struct hg_slice key;    /* of diffs and row events */
    const char *target_key; /* of envelopes: "channel", "room", "path", "id", "all"; NULL: the value
                               is the whole envelope */
    const char *target;
    const char *tenant; /* of envelopes; NULL: none is named */
    size_t size;        /* pads what is made up */
};

/* Appends the value of record number n. 0, or -HG_E_BAD_OP with *why for what no gateway would
 * take. */
int hg_pv_make(struct hg_buf *out, const struct hg_pv_spec *spec, uint64_t n, uint64_t lsn,
               struct hg_slice given, struct hg_buf *why) HG_MUST_CHECK;

#endif
