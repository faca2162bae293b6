/*
 * The daemon's side of systemd: sockets by name, readiness, status, watchdog. Everything works, and
 * does nothing, without systemd.
 */
#pragma once

#include <stdint.h>

#include "orderhook/buf.h"

/*
 * -ERR_CONFIG, with the problem, when systemd passed a socket that no listener would take: of
 * another name, or a second one of the same. Whoever connects to it would wait for ever.
 */
int service_check_sockets(struct buf *problem);
/*
 * The socket for a listener: the one that systemd passed under this name, or one that is made for
 * address ("HOST:PORT", "[V6]:PORT", "unix:/path" with these permission bits, given to the group
 * where there is one of that name and we may; NULL: our own). On failure
 * -ERR_CONFIG or -ERR_SYSTEM, and problem says what and what to do. ret_made: ours to close, and
 * for a unix socket to unlink.
 */
int service_listen(const char *name, const char *address, int64_t unix_mode, const char *group,
		   int *ret_fd, bool *ret_made, struct buf *problem);
/* "127.0.0.1:8080": the address a socket is really bound to. */
int service_socket_address(int fd, struct buf *out);

void service_ready(const char *status);
void service_reloading(void);
void service_status(const char *status);
void service_stopping(void);
/* One kick; call it only while the writer makes progress. */
void service_watchdog(void);
/* How often systemd wants it, 0: no watchdog. */
int64_t service_watchdog_us(void);
