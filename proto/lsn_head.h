/*
 * The LSN that travels in a Kafka header, in all encodings of the sources (C-8): text as
 * JavaScript's BigInt(String) reads it (decimal with or without "+", 0x, 0o, 0b, blanks around),
 * else 8 bytes big-endian, else it is unreadable. Eight bytes that are such a text count as text:
 * as a number they would be a position that no log reaches. Pure.
 */
#ifndef HG_PROTO_LSN_HEAD_H
#define HG_PROTO_LSN_HEAD_H

#include "common/base/lsn.h"
#include "common/base/macros.h"
#include "common/base/slice.h"

/* Header names to look for, in this order; ends with NULL. */
extern const char *const hg_lsn_head_names[];
#define HG_LSN_HEAD_SNAPSHOT "snapshot-lsn" /* of a reply: decimal text only */

/* 0, or -HG_E_LSN_HEADER (also for a number above 2^64-1, and for a negative one). */
int hg_lsn_head_decode(struct hg_slice value, struct hg_lsn *out) HG_MUST_CHECK;
/* 1 to 20 decimal digits and nothing else. */
int hg_lsn_text_decode(struct hg_slice value, struct hg_lsn *out) HG_MUST_CHECK;

#endif
