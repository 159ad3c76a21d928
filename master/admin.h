/*
 * What the admin port and the control socket answer: paths, methods, texts. Serves through httpd;
 * what it shows comes from the owner's functions. Only the control socket may change anything.
 *
 *   admin port      GET, HEAD  /metrics /livez /readyz /status
 *   control socket  the same, and POST /reload /stop /drain?worker=N /log-level?level=L
 *                   /publish with a body
 *
 * /livez is 200 as long as the master turns its loop and never depends on Kafka or Redis: a restart
 * on their account would only add a storm. /readyz lists what is missing (JSON with "Accept:
 * application/json").
 */
#ifndef HG_MASTER_ADMIN_H
#define HG_MASTER_ADMIN_H

#include "master/httpd.h"
#include "master/status.h"

struct hg_admin {
    void (*status)(void *ctx, struct hg_status *st);
    void (*metrics)(void *ctx, struct hg_buf *out);
    /* Carries out "reload", "stop", "drain" or "log-level"; arg may be absent. Returns an HTTP
     * status, says why in reply. */
    int (*command)(void *ctx, struct hg_slice verb, struct hg_slice arg, struct hg_buf *reply);
    /* Publishes a body of proto/publish.h: an HTTP status with a reason in reply, or 0: the answer
     * comes by hg_httpd_answer_later with *later. */
    int (*publish)(void *ctx, struct hg_slice body, uint64_t *later, struct hg_buf *reply);
    void *ctx;
};

void hg_admin_answer(void *admin, const struct hg_http_req *req, struct hg_httpd_answer *a);
void hg_control_answer(void *admin, const struct hg_http_req *req, struct hg_httpd_answer *a);

#endif
