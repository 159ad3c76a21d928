/*
 * A crowd of WebSocket clients in one epoll loop, all on one thread. Loopback only: it never looks
 * up a name.
 *
 *   struct hg_crowd *c = hg_crowd_new(&target, on_message, arg);
 *   hg_crowd_open(c, n, path_of, deadline_ns)    connections 0..n-1, handshake done; dies when that
 *                                                can't be had
 *   hg_crowd_queue_text(c, i, text)              goes out with the next flush of i
 *   hg_crowd_flush(c, i)                         what the socket takes; poll writes the rest
 *   hg_crowd_poll(c, timeout_ms)                 reads, calls on_message for each frame, writes
 *                                                what waits
 *   hg_crowd_free(c)
 *
 * Pings are answered. A connection that is lost ends the program: its figures would mean nothing.
 */
#ifndef HG_TOOLS_BENCH_CLIENTS_H
#define HG_TOOLS_BENCH_CLIENTS_H

#include <netinet/in.h>
#include <stdint.h>
#include "common/base/slice.h"

struct hg_crowd;

/* opcode 1 text, 2 binary. The payload is borrowed. */
typedef void (*hg_crowd_fn)(void *arg, uint32_t conn, int opcode, struct hg_slice payload);
/* Writes the request path of connection i. */
typedef void (*hg_crowd_path_fn)(void *arg, uint32_t i, char *path, size_t cap);

struct hg_crowd *hg_crowd_new(const struct sockaddr_in *to, hg_crowd_fn fn, void *arg);
void hg_crowd_free(struct hg_crowd *c);
void hg_crowd_open(struct hg_crowd *c, uint32_t n, hg_crowd_path_fn path, uint64_t deadline_ns);
/* A masked text frame with a mask of zeros: legal, and spares the client the work. Queued until
 * hg_crowd_flush. */
void hg_crowd_queue_text(struct hg_crowd *c, uint32_t i, struct hg_slice text);
void hg_crowd_queue_raw(struct hg_crowd *c, uint32_t i, struct hg_slice bytes);
void hg_crowd_flush(struct hg_crowd *c, uint32_t i);
void hg_crowd_poll(struct hg_crowd *c, int timeout_ms);
size_t hg_crowd_unsent(const struct hg_crowd *c, uint32_t i);
uint64_t hg_crowd_bytes(const struct hg_crowd *c); /* received */

#endif
