/*
 * The LSN that travels in a Kafka header, in both encodings of the sources (C-8): 1 to 20 ASCII
 * digits are a decimal number, else 8 bytes are big-endian, else it is unreadable. Pure.
 */
#ifndef HG_PROTO_LSN_HEAD_H
#define HG_PROTO_LSN_HEAD_H

#include "common/base/lsn.h"
#include "common/base/macros.h"
#include "common/base/slice.h"

/* Header names to look for, in this order; ends with NULL. */
extern const char *const hg_lsn_head_names[];
#define HG_LSN_HEAD_SNAPSHOT "snapshot-lsn" /* of a reply: decimal text only */

/* 0, or -HG_E_LSN_HEADER (also for a decimal above 2^64-1). */
int hg_lsn_head_decode(struct hg_slice value, struct hg_lsn *out) HG_MUST_CHECK;
int hg_lsn_text_decode(struct hg_slice value, struct hg_lsn *out) HG_MUST_CHECK;

#endif
