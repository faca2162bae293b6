/*
 * Asking the daemon's admin listener, as `admin_listen` names it. One request a connection, in the
 * caller's thread, bounded in time and size.
 */
#pragma once

#include <stdint.h>

#include "orderhook/buf.h"

/* False for an address whose port the system chose (":0"): only the daemon's log has it. */
bool admin_can_ask(const char *address);

/*
 * GET path, or POST a JSON object to it. 0 with the answer's status and its body appended;
 * -ERR_NOT_FOUND when nobody listens there, -ERR_CONTROL_PEER when the socket's file is not for us,
 * -ERR_SYSTEM when nobody answers in time, -ERR_SYNTAX for an answer that is not HTTP; then problem
 * says why.
 */
int admin_get(const char *address, const char *path, int64_t timeout_ms, int *ret_status,
	      struct buf *body, struct buf *problem);
int admin_post(const char *address, const char *path, struct slice content, int64_t timeout_ms,
	       int *ret_status, struct buf *body, struct buf *problem);
