/*
 * Requests before (or instead of) a WebSocket: the upgrade with its identity, /health, the console
 * page, the banner. Decides who a client is (ARCHITECTURE.md "Trust"). Owns nothing.
 */
#ifndef HG_WORKER_WEB_H
#define HG_WORKER_WEB_H

#include "worker/core.h"

void hg_web_on_http(void *ctx, struct hg_conn *c);        /* hg_conn_events.on_http */
void hg_web_gone(struct hg_worker *w, struct hg_conn *c); /* gives back what the session holds */

#endif
