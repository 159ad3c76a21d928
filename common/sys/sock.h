/*
 * Sockets: addresses as text, listening sockets of worker slots, accept, Unix sockets. Every
 * descriptor made here is close-on-exec and non-blocking. Never resolves names (an address is
 * numeric), never logs; the caller closes what it gets.
 *
 *   hg_addr_parse(HG_SLICE_LIT("0.0.0.0"), 7000, &a)           master, before fork
 *   hg_sock_probe(&a) == -HG_E_EXISTS                          somebody listens there
 *   for each slot: fd[i] = hg_sock_listen(&a, backlog, true)   the order of these calls is the
 *                                                              group's index of a socket
 *   hg_sock_reuseport_pick(fd[0], live, n)                     new connections go to the slots with
 *                                                              live[i] only
 *   while ((c = hg_sock_accept(fd, &peer)) >= 0) ...           worker
 */
#ifndef HG_COMMON_SYS_SOCK_H
#define HG_COMMON_SYS_SOCK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/macros.h"
#include "common/base/slice.h"

struct hg_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};
enum { HG_ADDR_TEXT = 56 }; /* "[" IPv6 "]:65535" and NUL */

/* Numeric IPv4 or IPv6, the latter also in brackets; -HG_E_CONF_VALUE. */
int hg_addr_parse(struct hg_slice ip, uint16_t port, struct hg_addr *out) HG_MUST_CHECK;
/* "127.0.0.1:7001", "[::1]:7001"; -HG_E_CONF_VALUE and why, a constant. */
int hg_addr_parse_port(struct hg_slice text, struct hg_addr *out, const char **why) HG_MUST_CHECK;
/* Splits "host:port" or "[v6]:port" without looking at host, which may be a name.
 * -HG_E_CONF_VALUE */
int hg_host_port_split(struct hg_slice text, struct hg_slice *host, uint16_t *port) HG_MUST_CHECK;
void hg_addr_text(const struct hg_addr *a, char out[HG_ADDR_TEXT]); /* with port */
void hg_addr_ip_text(const struct hg_addr *a,
                     char out[HG_ADDR_TEXT]); /* without; ::ffff:1.2.3.4 as 1.2.3.4 */
uint16_t hg_addr_port(const struct hg_addr *a);
bool hg_addr_is_loopback(const struct hg_addr *a);

/* Is the address in one of the networks of a comma list ("10.0.0.0/8, ::1")? A malformed item
 * matches nobody. */
bool hg_cidr_list_has(struct hg_slice list, const struct hg_addr *a);
int hg_cidr_list_check(struct hg_slice list,
                       struct hg_slice *bad) HG_MUST_CHECK; /* -HG_E_CONF_VALUE: bad is malformed */

/*
 * Could somebody be listening there? SO_REUSEPORT lets processes of one user share a port silently,
 * so the master asks first, with a socket that does not have it. 0: free. -HG_E_EXISTS: taken.
 * -HG_E_SYS with errno: not bindable for another reason (EADDRNOTAVAIL, EACCES). Two masters in the
 * same instant can both pass; the control socket then stops one.
 */
int hg_sock_probe(const struct hg_addr *a) HG_MUST_CHECK;
int hg_sock_listen(const struct hg_addr *a, int backlog,
                   bool reuseport) HG_MUST_CHECK; /* fd; -HG_E_EXISTS; -HG_E_SYS with errno */
int hg_sock_local(int fd, struct hg_addr *out) HG_MUST_CHECK; /* e.g. the port picked for 0 */
/* fd; -HG_E_AGAIN: none waiting; -HG_E_FULL: out of descriptors or memory, the connection still
 * waits (stop accepting for a while or it spins); -HG_E_SYS. Connections that died in the queue are
 * passed over. TCP_NODELAY is set. */
int hg_sock_accept(int fd, struct hg_addr *peer) HG_MUST_CHECK;

/* Makes the kernel choose uniformly among the sockets of fd's group with live[i] != 0; among all n
 * if none is live. -HG_E_SYS */
int hg_sock_reuseport_pick(int fd, const uint8_t *live, unsigned n) HG_MUST_CHECK;

/* Listening Unix stream socket with this mode. A dead one's file is replaced; -HG_E_EXISTS if
 * somebody answers there, -HG_E_TOO_BIG for a path above 107 bytes, -HG_E_SYS with errno. */
int hg_sock_unix_listen(const char *path, unsigned mode) HG_MUST_CHECK;
int hg_sock_unix_connect(const char *path)
    HG_MUST_CHECK; /* blocking fd; -HG_E_TOO_BIG, -HG_E_SYS with errno */

#endif
