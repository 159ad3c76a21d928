/*
 * The typed channel of the sources' later gateways (spec 4): replies, broadcasts to the tenant, who
 * comes and goes, how many clients there are. Across workers and hosts by way of the relay. Owns
 * the queue of comings and goings, and what other hosts said of their clients. A coming goes out at
 * once, a going at the end of the turn (never from inside a closing callback), or before the next
 * one comes: nobody is told of those who were counted, or gone, before he came.
 *
 *   hg_typed_init(w);
 *   hg_typed_enter(w, c);                             a session begins: it counts
 *   hg_typed_attend(w, c);                            before the greeting counts: it is told of others
 *   hg_typed_opened(w, c);                            behind its greeting: the others are told
 *   if (hg_typed_message(w, c, &op)) return;          before any op; false: not a type we know
 *   hg_typed_gone(w, c);                              while the session still is what it was
 *   n = hg_typed_clients(w, c);
 *   hg_typed_fini(w);                                 after the connections, before the relay
 *
 * Everything is the tenant's by itself, or one room for all tenants (typed_scope). Counts: this
 * host's are read from shared memory (census.h); others' workers tell theirs on headgate:bus when
 * they change, at most once a second, and every 5 s; who says nothing for 15 s counts no more, nor
 * one whose siblings say that it is gone.
 */
#ifndef HG_WORKER_TYPED_H
#define HG_WORKER_TYPED_H

#include "proto/envelope.h"
#include "proto/op.h"
#include "worker/core.h"

void hg_typed_init(struct hg_worker *w);
void hg_typed_fini(struct hg_worker *w);
bool hg_typed_message(struct hg_worker *w, struct hg_conn *c, const struct hg_op *op);
void hg_typed_enter(struct hg_worker *w, struct hg_conn *c);
void hg_typed_attend(struct hg_worker *w, struct hg_conn *c);
void hg_typed_opened(struct hg_worker *w, struct hg_conn *c); /* after the greeting was queued */
void hg_typed_gone(struct hg_worker *w, struct hg_conn *c);
bool hg_typed_has(const struct hg_conn *c); /* this channel? */
/* Of the cluster, as far as c may see it. */
uint64_t hg_typed_clients(const struct hg_worker *w, const struct hg_conn *c);
void hg_typed_heard_count(struct hg_worker *w, const struct hg_envelope *e);

#endif
