/*
 * What systemd is told (sd_notify's protocol, by hand: one datagram of KEY=value lines to
 * $NOTIFY_SOCKET) and asked (the watchdog's interval). Outside of systemd every call does nothing.
 * Never blocks, never logs; a message that does not go through is lost.
 *
 *   hg_notify_open(&n);                        master, at start
 *   hg_notify_send(&n, "READY=1");             also "STOPPING=1", "STATUS=...",
 * "RELOADING=1\nMONOTONIC_USEC=..." if (n.watchdog_us) send "WATCHDOG=1" every n.watchdog_us / 2
 *   hg_notify_close(&n);
 */
#ifndef HG_COMMON_SYS_NOTIFY_H
#define HG_COMMON_SYS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/macros.h"

struct hg_notify {
    int fd;              /* -1: nobody listens */
    int64_t watchdog_us; /* 0: no watchdog for this process */
};

void hg_notify_open(struct hg_notify *n);
void hg_notify_close(struct hg_notify *n);
bool hg_notify_send(struct hg_notify *n, const char *fmt, ...)
    HG_PRINTF(2, 3); /* false: nobody was told */

#endif
