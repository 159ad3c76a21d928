/* What query.c shares with sqlrpc.c: wrapping a payload in its RequestEnvelope. Private to
 * proto/. */
#ifndef HG_PROTO_SQLRPC_PUT_H
#define HG_PROTO_SQLRPC_PUT_H

#include "proto/fb_build.h"
#include "proto/sqlrpc.h"

/* Appends the finished request to out; fb is empty again afterwards. */
void hg_sqlrpc_finish(struct hg_fb *fb, const struct hg_sqlrpc_call *call, enum hg_sqlrpc_method m,
                      uint32_t payload, struct hg_buf *out);

#endif
