/*
 * Messages between the master and one worker, over a SOCK_SEQPACKET pair made before fork: one
 * packet is one message, type first. Grown from ipc.def. Never blocks, never logs. High rates go
 * through shared memory, not through here.
 *
 *   hg_ipc_pair(fd);          fd[0] stays with the master, fd[1] goes to the worker
 *   hg_ipc_send(fd, HG_IPC_DRAIN, &drain, sizeof drain, HG_SLICE_NONE);
 *   while ((rc = hg_ipc_recv(fd, HG_IPC_TO_WORKER, &m)) > 0)
 *       use m.type, m.drain, m.tail
 *
 * 1. What recv hands out has a known type, is meant for this side and has the size of its row.
 * 2. A peer's end shows as -HG_E_PEER_GONE: a worker that sees it ends, its master is gone.
 */
#ifndef HG_COMMON_SYS_IPC_H
#define HG_COMMON_SYS_IPC_H

#include <stdint.h>
#include "common/base/macros.h"
#include "common/base/slice.h"

struct hg_ipc_empty {
    uint32_t unused; /* 0 */
};
struct hg_ipc_drain {
    int64_t deadline_us;    /* from now: connections left then are closed at once */
    uint32_t has_successor; /* 1: another worker takes the slot's partitions (reload); 0: the whole
                               host stops */
    uint32_t unused;
};
struct hg_ipc_level {
    uint32_t level; /* enum hg_log_level */
};
struct hg_ipc_publish {
    uint64_t id;     /* of the asker, given back with the answer */
    uint32_t status; /* HTTP's, of the answer */
    uint32_t unused;
};

enum hg_ipc_side { HG_IPC_TO_MASTER, HG_IPC_TO_WORKER };

enum hg_ipc_type {
    HG_IPC_NONE,
#define HG_IPC(name, to, payload, tail, doc) HG_IPC_##name,
#include "common/sys/ipc.def"
#undef HG_IPC
    HG_IPC_COUNT
};

enum { HG_IPC_MAX = 64 * 1024 }; /* bytes of a whole message */

struct hg_ipc_msg {
    uint32_t type; /* enum hg_ipc_type */
    union {
        struct hg_ipc_empty empty;
        struct hg_ipc_drain drain;
        struct hg_ipc_level level;
        struct hg_ipc_publish publish;
    };
    struct hg_slice tail; /* into buf */
    char buf[HG_IPC_MAX];
};

int hg_ipc_pair(int fds[2]) HG_MUST_CHECK; /* non-blocking, close-on-exec; -HG_E_SYS */
/* 0; -HG_E_AGAIN: the peer does not read; -HG_E_TOO_BIG; -HG_E_PEER_GONE; -HG_E_SYS. A size that is
 * not the row's is a bug. */
int hg_ipc_send(int fd, enum hg_ipc_type type, const void *payload, size_t n,
                struct hg_slice tail) HG_MUST_CHECK;
/* 1: m is filled; 0: nothing waits; -HG_E_PEER_GONE; -HG_E_SYS; -HG_E_BUG: malformed (dropped). */
int hg_ipc_recv(int fd, enum hg_ipc_side me, struct hg_ipc_msg *m) HG_MUST_CHECK;
const char *hg_ipc_name(uint32_t type); /* "DRAIN"; "?" */

#endif
