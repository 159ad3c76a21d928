/*
 * One record of Kafka as text: what headgate-tap prints. Knows no Kafka handle, so that every kind
 * can be tested from bytes.
 *
 *   struct hg_tap_record r = {.topic = ..., .kind = hg_tap_kind_of(topic), ...};
 *   hg_tap_print(&out, &r, style, full);           appends whole lines
 *
 * FlatBuffers are verified before they are read. What cannot be decoded is a field "error" of its
 * line, never a failure.
 */
#ifndef HG_TOOLS_TAP_PRINT_H
#define HG_TOOLS_TAP_PRINT_H

#include <stdint.h>
#include "common/base/buf.h"

enum hg_tap_kind {
    HG_TAP_REPLY,
    HG_TAP_REQUEST,
    HG_TAP_CONTROL,
    HG_TAP_SEED,
    HG_TAP_DIFF,
    HG_TAP_ROW,
    HG_TAP_ENVELOPE,
    HG_TAP_KINDS
};
extern const char *const hg_tap_kind_names[HG_TAP_KINDS + 1]; /* ends with NULL */

/* Guessed from a topic's name; what tells nothing is a diff. */
enum hg_tap_kind hg_tap_kind_of(const char *topic);

enum hg_tap_style { HG_TAP_LINE, HG_TAP_INDENT, HG_TAP_JSON };

struct hg_tap_header {
    const char *name;
    struct hg_slice value;
};

struct hg_tap_record {
    const char *topic;
    int partition;
    int64_t offset;
    int64_t time_ms; /* below 0: none */
    enum hg_tap_kind kind;
    struct hg_slice key, value; /* none: null */
    const struct hg_tap_header *headers;
    size_t nheaders;
};

/* full: rows and long values whole; otherwise cut in LINE and INDENT, and rows only counted. */
void hg_tap_print(struct hg_buf *out, const struct hg_tap_record *r, enum hg_tap_style style,
                  bool full);

#endif
