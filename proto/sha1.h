/*
 * SHA-1, for what asks for it by name (RFC 6455 4.2.2, Redis' EVALSHA); protects nothing. Pure.
 */
#ifndef HG_PROTO_SHA1_H
#define HG_PROTO_SHA1_H

#include "common/base/macros.h"
#include "common/base/slice.h"

enum { HG_SHA1_SIZE = 20 };

/* 0, or -HG_E_SYS: the crypto library was built or set up without it. */
int hg_sha1(struct hg_slice data, unsigned char out[HG_SHA1_SIZE]) HG_MUST_CHECK;
/* Lower case, with NUL. */
int hg_sha1_hex(struct hg_slice data, char out[2 * HG_SHA1_SIZE + 1]) HG_MUST_CHECK;

#endif
