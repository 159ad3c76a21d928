/*
 * Base64 (RFC 4648): strict writing, lenient reading as Node's Buffer does it (spec 13.1). Pure.
 */
#ifndef HG_PROTO_BASE64_H
#define HG_PROTO_BASE64_H

#include "common/base/buf.h"

void hg_b64_add(struct hg_buf *out, struct hg_slice bytes); /* standard alphabet, padded */
void hg_b64_decode_lenient(
    struct hg_buf *out,
    struct hg_slice s); /* both alphabets, missing padding, other bytes skipped, stops at '=' */
/* False when s is anything but padded or unpadded base64 of one alphabet; for what must not be
 * guessed at. */
bool hg_b64_is_clean(struct hg_slice s);

/* base64url (RFC 4648 5) without padding, as RFC 7515 2 has it, and nothing else: no blank, no "=",
 * no stray bit in the last character. 0, or -1 with part of it in out. */
int hg_b64url_decode(struct hg_buf *out, struct hg_slice s) HG_MUST_CHECK;

#endif
