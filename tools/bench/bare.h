/*
 * The ceiling: an epoll server without protocol state in a process of its own. It knows only which
 * room a connection is in (from its request line) and hands on what the feeding connection sends:
 * per epoll round one send per client, of one run of bytes: the frames of its room, put together
 * once for all of the room (a system call with one piece costs less than the same with sixteen).
 *
 *   int port; pid_t pid = hg_bare_start(&port);     a child on 127.0.0.1; ends by hg_proc_stop
 *
 * Request: "GET /bare?room=N ..." up to an empty line, answered by a fixed 101. The feeding
 * connection asks for "/bare?feed" and then sends records: 8 bytes of head (room, length; native
 * u32) and a WebSocket frame as a server sends it.
 */
#ifndef HG_TOOLS_BENCH_BARE_H
#define HG_TOOLS_BENCH_BARE_H

#include <stdint.h>
#include <sys/types.h>

struct hg_bare_record {
    uint32_t room, len;
};

pid_t hg_bare_start(int *port);

#endif
