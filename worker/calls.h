/*
 * Clients' calls in flight: the caps of a connection and of a tenant, whose answer it is, and what
 * a closing connection still gets. Builds no request (op_rpc.c does) and keeps no deadline (rpc.c
 * does).
 *
 *   const char *why = hg_calls_refusal(w, c);          NULL: one more may be made
 *   struct hg_rpc_call *rc = hg_calls_new(w);           fill rc->spec, build the request
 *   hg_calls_send(w, c, rc, method, correlation_id, request);   or hg_rpc_drop(rc)
 *   hg_calls_shutdown(w, c);                            each is answered "rpc shutdown", now
 *   hg_calls_gone(c);                                   nobody is left to be answered
 *
 * A call outlives its connection: it goes on counting for its tenant until it is answered or its
 * deadline passes, so that coming back does not get round the cap.
 */
#ifndef HG_WORKER_CALLS_H
#define HG_WORKER_CALLS_H

#include "worker/conn.h"
#include "worker/rpc.h"

struct hg_worker;

const char *hg_calls_refusal(struct hg_worker *w, const struct hg_conn *c);
struct hg_rpc_call *hg_calls_new(struct hg_worker *w);
void hg_calls_send(struct hg_worker *w, struct hg_conn *c, struct hg_rpc_call *call,
                   struct hg_slice method, struct hg_slice correlation_id, struct hg_slice request);
/* An rpcResult that says why not. */
void hg_calls_error(struct hg_worker *w, struct hg_conn *c, struct hg_slice method,
                    struct hg_slice correlation_id, struct hg_slice text);
void hg_calls_shutdown(struct hg_worker *w, struct hg_conn *c);
void hg_calls_gone(struct hg_conn *c);

#endif
