/*
 * A small HTTP/1.1 server inside the master's poll loop, for the admin port and the control socket.
 * Owns its listening socket and connections; knows no path. Requests have a body of body_max bytes
 * at the most, none unless it is set; answers are made whole in memory by the handler, or later.
 *
 *   hg_httpd_init(&d, listen_fd, handler, ctx);
 *   each round: hg_httpd_expire(&d, now); hg_httpd_prepare(&d, &polls, now); hg_httpd_next(&d);
 *   hg_httpd_fini(&d);
 *
 * Bounded against hostile peers: HG_HTTPD_CONNS connections (the oldest makes room for a new one),
 * HG_HTTPD_HEAD bytes of request, a whole request within HG_HTTPD_READ of its first moment however
 * it trickles, an answer taken within HG_HTTPD_WRITE.
 */
#ifndef HG_MASTER_HTTPD_H
#define HG_MASTER_HTTPD_H

#include <stdbool.h>
#include <sys/types.h>
#include "common/base/buf.h"
#include "common/base/mono.h"
#include "master/polls.h"
#include "proto/http1.h"

enum { HG_HTTPD_CONNS = 64, HG_HTTPD_HEAD = 8192, HG_HTTPD_HEADERS = 64 };
#define HG_HTTPD_READ (5 * HG_S)
#define HG_HTTPD_WAIT (3 * HG_S) /* for an answer that comes later; then it is 504 */
#define HG_HTTPD_WRITE (10 * HG_S)
#define HG_HTTPD_LINGER (1 * HG_S)
#define HG_HTTPD_PAUSE (100 * HG_MS) /* without descriptors or memory to accept with */

struct hg_httpd_answer {
    int status;               /* starts as 404 */
    const char *content_type; /* starts as text/plain */
    const char *extra;        /* further header lines, "X: y\r\n", or "" */
    struct hg_buf body;       /* freed by the server */
    struct hg_slice request;  /* the request's body; borrows from the connection */
    uint64_t later; /* not 0: the answer comes by hg_httpd_answer_later with this number */
};
/* Fills the answer; req borrows from the connection. */
typedef void (*hg_httpd_fn)(void *ctx, const struct hg_http_req *req, struct hg_httpd_answer *a);

enum hg_httpd_state { HG_HTTPD_READING, HG_HTTPD_WAITING, HG_HTTPD_WRITING, HG_HTTPD_LINGERING };
struct hg_httpd_conn {
    int fd; /* -1: free row */
    enum hg_httpd_state state;
    bool keep_alive;
    uint64_t later; /* while WAITING */
    struct hg_mono since, deadline;
    struct hg_buf in, out;
    size_t sent;
    struct hg_httpd *d;
};

struct hg_httpd {
    int fd;         /* listening; -1: none */
    uid_t only_uid; /* unix sockets: answer this user and root only */
    bool check_peer;
    size_t body_max;
    hg_httpd_fn fn;
    void *ctx;
    struct hg_mono now;    /* of the round */
    struct hg_mono resume; /* accept again then: there were no descriptors left */
    struct hg_httpd_conn conns[HG_HTTPD_CONNS];
};

/* Takes listen_fd (non-blocking; -1 for none). */
void hg_httpd_init(struct hg_httpd *d, int listen_fd, hg_httpd_fn fn, void *ctx);
/* Nothing when nobody waits for it any more. Such an answer ends its connection. */
void hg_httpd_answer_later(struct hg_httpd *d, uint64_t later, int status, const char *type,
                           struct hg_slice body);
void hg_httpd_prepare(struct hg_httpd *d, struct hg_polls *ps, struct hg_mono now);
void hg_httpd_expire(struct hg_httpd *d, struct hg_mono now);
/* The next deadline; false: none. */
bool hg_httpd_next(const struct hg_httpd *d, struct hg_mono *when);
/* Closes every descriptor, without a word to the peers: also for a child after fork. */
void hg_httpd_fini(struct hg_httpd *d);

#endif
